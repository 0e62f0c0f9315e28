"""What the person looks at: which pane, which row, which log. Values and moves; pure."""

from __future__ import annotations

from enum import Enum

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import fresh, frozen, replace
from queuectl.domain.job import State
from queuectl.domain.query import Filter
from queuectl.presentation.run_log import LogWanted
from queuectl.presentation.snapshot import Snapshot

_STATES = frozenset(state.value for state in State)


class Pane(str, Enum):
    """The lists on the screen, from top to bottom."""

    WORKERS = "workers"
    JOBS = "jobs"
    DEAD = "dead letter queue"


class Mode(Enum):
    """What the keys mean now."""

    LISTS = "lists"
    LOG = "log"
    FILTER = "filter"
    ASKING = "asking"
    HELP = "help"


@frozen
class Cursor:
    """The row that is chosen in one pane.

    It stays with its row by name while rows come and go. At the top, where no row has been
    chosen, it stays with the top.
    """

    name: str = ""
    index: int = 0


@frozen
class Question:
    """Something to be confirmed with `y`: what to do to which job."""

    verb: str
    job_id: str


@frozen
class View:
    """All that keys change. With a `log` it covers the lists, `top` its first line shown; None
    follows its end. `message` says what became of an action, until the next key.
    """

    mode: Mode = Mode.LISTS
    pane: Pane = Pane.JOBS
    cursors: dict[Pane, Cursor] = fresh(dict)
    typed: str = ""
    log: LogWanted | None = None
    top: int | None = None
    question: Question | None = None
    message: str = ""

    def cursor(self, pane: Pane) -> Cursor:
        """Return the chosen row of a pane."""
        return self.cursors.get(pane, Cursor())


def names(snapshot: Snapshot, pane: Pane) -> list[str]:
    """Return what tells the rows of a pane apart: ids of jobs or workers."""
    if pane is Pane.WORKERS:
        return [worker.record.id for worker in snapshot.workers]
    return [job.id for job in (snapshot.jobs if pane is Pane.JOBS else snapshot.dead)]


def position(view: View, snapshot: Snapshot, pane: Pane) -> int:
    """Return the row that is chosen now: by its name, else where it was."""
    rows = names(snapshot, pane)
    cursor = view.cursor(pane)
    if cursor.name in rows:
        return rows.index(cursor.name)
    return max(0, min(cursor.index, len(rows) - 1))


def moved(view: View, snapshot: Snapshot, rows: int) -> View:
    """Return the view with the cursor of its pane moved, and kept inside."""
    found = names(snapshot, view.pane)
    if not found:
        return view
    at = max(0, min(position(view, snapshot, view.pane) + rows, len(found) - 1))
    cursor = Cursor(found[at] if at else "", at)
    return replace(view, cursors={**view.cursors, view.pane: cursor})


def turned(view: View, step: int) -> View:
    """Return the view with the next or the previous pane in focus."""
    panes = list(Pane)
    return replace(view, pane=panes[(panes.index(view.pane) + step) % len(panes)])


def chosen_job(view: View, snapshot: Snapshot) -> str | None:
    """Return the id of the job that keys act on: the chosen one, or the worker's in hand."""
    at = position(view, snapshot, view.pane)
    if view.pane is Pane.WORKERS:
        return snapshot.workers[at].job_id if snapshot.workers else None
    rows = names(snapshot, view.pane)
    return rows[at] if rows else None


def scrolled(view: View, lines: int, total: int, room: int) -> View:
    """Return the view with the log moved; at its end it follows what comes."""
    last = max(0, total - room)
    top = max(0, (last if view.top is None else min(view.top, last)) + lines)
    return replace(view, top=None if top >= last else top)


def parse_filter(typed: str) -> Filter:
    """Return what `failed,dead queue=gpu label=x text` means. Raises InvalidInput.

    A word that names states chooses them; any other is looked for as text.
    """
    states: frozenset[State] = frozenset()
    queue, labels, words = None, [], []
    for word in typed.split():
        name, equals, value = word.partition("=")
        named = [part for part in word.lower().split(",") if part]
        if equals and name in ("queue", "label", "state") and not value:
            raise InvalidInput(f"{name}= needs a value")
        if name == "queue" and equals:
            queue = value
        elif name == "label" and equals:
            labels.append(value)
        elif named and _STATES.issuperset(named):
            states |= {State(part) for part in named}
        else:
            words.append(word)
    return Filter(states, queue, tuple(labels), texts=tuple(words))
