"""The screen as lines of styled text, from what was seen and what is looked at. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime

from queuectl.domain.frozen import replace
from queuectl.domain.job import Job, State
from queuectl.domain.job_fields import command_text
from queuectl.domain.text import printable
from queuectl.presentation.columns import STATE_STYLES, seconds_between, slots_text, state_text
from queuectl.presentation.layout import cut, fit, sparkline, width, wrap
from queuectl.presentation.run_log import BOTH, LogText
from queuectl.presentation.snapshot import Snapshot
from queuectl.presentation.tables import elapsed
from queuectl.system.run_reader import STREAMS
from queuectl.watch.panes import Fragment, Line, lines_of
from queuectl.watch.view import Mode, Pane, View, position

STYLES = {
    "bar": "reverse bold",
    "title": "ansibrightblack",
    "focus": "bold ansicyan",
    "chosen": "reverse",
    "dim": "ansibrightblack",
    "key": "bold",
    "trouble": "bold ansired",
    "message": "bold ansigreen",
    "question": "bold ansiyellow",
    "busy": "ansiblue",
    "idle": "ansigreen",
    "stopping": "ansiyellow",
    **{state.value: f"ansi{color}" for state, color in STATE_STYLES.items()},
}
"""How each kind of text looks, as prompt_toolkit names it."""

_PATIENCE_SECONDS = 3.0
_LEAST_ROWS = 12
_MOST_DEAD = 8
_KEYS = (
    ("q", "quit"), ("?", "help"), ("Enter", "log"), ("/", "filter"), ("Tab", "pane"),
    ("c", "cancel"), ("r", "retry"), ("d", "delete"), ("p", "pause"),
)  # fmt: skip
_LOG_KEYS = (
    ("q", "back"), ("↑↓", "move"), ("G", "follow"), ("Tab", "stream"), ("[ ]", "run"),
    ("c", "cancel"), ("r", "retry"), ("d", "delete"), ("p", "pause"),
)  # fmt: skip
"""The most important first, because a narrow screen shows fewer."""

_HELP = (
    ("↑ ↓ j k", "move"),
    ("PgUp PgDn", "a page; also Ctrl-B, Ctrl-F, Space"),
    ("Home End g G", "the first, the last"),
    ("Tab Shift-Tab", "the next pane, the one before"),
    ("Enter l", "the log of the job, or of the worker's job"),
    ("c", "cancel the job"),
    ("r", "retry the job"),
    ("d Delete", "delete the job"),
    ("p", "pause the job, or let it go on"),
    ("P", "pause the job's queue, or open it again"),
    ("/", "filter: words in id, command or error; failed,dead; queue=NAME; label=NAME"),
    ("Esc", "no filter"),
    ("q Ctrl-C", "quit; in a log q goes back"),
)
_HELP_IN_LOG = (
    ("Tab", "standard error, standard output, both in their order"),
    ("[ ]", "the run before, the run after"),
    ("↑", "stop following the end; G follows again"),
)
_COLUMN = 15
_ROOMY = 60

_SHORT = {"pending": "pend", "processing": "run", "completed": "done", "failed": "fail",
          "cancelled": "canc"}  # fmt: skip
"""States on a screen that has no room for their names."""


def draw(seen: Snapshot, view: View, columns: int, rows: int, silence: float = 0.0) -> list[Line]:
    """Return exactly `rows` lines of at most `columns` columns each.

    `silence` is for how many seconds the store has been asked and has not answered.
    """
    if silence > _PATIENCE_SECONDS and not seen.trouble:
        seen = replace(seen, trouble=f"the store has not answered for {silence:.0f} s")
    if not seen.is_known:
        text = f"cannot look: {seen.trouble}" if seen.trouble else "looking …"
        lines = [[("class:trouble" if seen.trouble else "", cut(printable(text), columns))]]
    elif view.mode is Mode.HELP:
        lines = [[("", line)] for line in help_lines(columns)]
    elif view.log:
        lines = list(_log(seen, view, columns, rows - 1))
    else:
        lines = [*_head(seen, columns), *_panes(seen, view, columns, rows - 4)]
    blank: list[Line] = [[] for _ in range(max(0, rows - 1 - len(lines)))]
    return [*lines[: rows - 1], *blank, _foot(seen, view, columns)]


def _head(snapshot: Snapshot, columns: int) -> Iterator[Line]:
    clock = snapshot.now.astimezone().strftime("%H:%M:%S")
    yield [("class:bar", fit(f" queuectl  {printable(snapshot.address)}", columns - 10)),
           ("class:bar", fit(f" {clock} ", 10))]  # fmt: skip
    yield list(_counts(snapshot, columns))
    rate = f" {snapshot.per_minute:,.0f} completed/min "
    bars = sparkline(snapshot.rates, columns - len(rate) - 1)
    yield [("class:dim", rate), ("class:completed", bars)]


def _counts(snapshot: Snapshot, columns: int) -> Iterator[Fragment]:
    counts = [(state.value, snapshot.counts.of(state)) for state in State]
    counted = [(name, count) for name, count in counts if count]
    counted.append(("total", snapshot.counts.total))
    taken = sum(len(f" {name} {count:,}") for name, count in counted)
    gap = " " if taken + len(counted) <= columns else ""
    left = columns
    for name, count in counted:
        word = _SHORT.get(name, name) if taken > columns else name
        text = f"{word} {count:,}"
        left -= len(text) + 1 + len(gap)
        if left < 0:
            return
        yield "", " "
        yield f"class:{name}", text
        yield "", gap


def _panes(snapshot: Snapshot, view: View, columns: int, rows: int) -> Iterator[Line]:
    """Share the rows out: the jobs get what the workers and the dead do not need."""
    if rows < _LEAST_ROWS:
        yield from _pane(snapshot, view, view.pane, columns, rows)
        return
    workers = min(max(1, len(snapshot.workers)), rows // 4) + 1
    dead = min(max(1, len(snapshot.dead)), rows // 5, _MOST_DEAD) + 1
    yield from _pane(snapshot, view, Pane.WORKERS, columns, workers)
    yield from _pane(snapshot, view, Pane.JOBS, columns, rows - workers - dead)
    yield from _pane(snapshot, view, Pane.DEAD, columns, dead)


def _pane(snapshot: Snapshot, view: View, pane: Pane, columns: int, rows: int) -> Iterator[Line]:
    """Yield a title and the rows around the chosen one."""
    is_focused = view.pane is pane
    yield _title(_title_of(snapshot, view, pane), is_focused, columns)
    room = rows - 1
    at = position(view, snapshot, pane) if is_focused else -1
    lines = lines_of(snapshot, pane, columns, at, room)
    if not lines:
        lines = [[("class:dim", cut(f" {_nothing_in(snapshot, view, pane)}", columns))]]
    blank: list[Line] = [[] for _ in range(room - len(lines))]
    yield from [*lines, *blank][:room]


def _title(text: str, is_focused: bool, columns: int) -> Line:
    style = "class:focus" if is_focused else "class:title"
    shown = cut(f"─ {text} ", columns)
    return [(style, shown + "─" * (columns - width(shown)))]


def _title_of(snapshot: Snapshot, view: View, pane: Pane) -> str:
    if pane is Pane.WORKERS:
        busy = sum(worker.job_id is not None for worker in snapshot.workers)
        slots = slots_text(*snapshot.workers)
        more = [f", {busy} busy" if busy else "", f", {slots} slots" if slots else ""]
        return f"Workers {len(snapshot.workers)}{''.join(more)}"
    if pane is Pane.DEAD:
        return f"Dead letter queue {snapshot.counts.of(State.DEAD):,}"
    if view.typed and view.mode is not Mode.FILTER:
        return f"Jobs that match '{printable(view.typed)}' (Esc shows all){_paused(snapshot)}"
    return f"Jobs, latest changes first{_paused(snapshot)}"


def _paused(snapshot: Snapshot) -> str:
    return f", paused: {printable(', '.join(snapshot.paused))}" if snapshot.paused else ""


def _nothing_in(snapshot: Snapshot, view: View, pane: Pane) -> str:
    if pane is Pane.WORKERS:
        return "no worker is running: queuectl worker start"
    if pane is Pane.DEAD:
        return "empty"
    if snapshot.counts.total:
        return "no such jobs" if view.typed else "…"
    return 'no jobs yet: queuectl enqueue hello "echo Hello"'


def _log(seen: Snapshot, view: View, columns: int, rows: int) -> Iterator[Line]:
    """Yield a bar that tells of the job, and the part of its output that is looked at."""
    text = seen.log
    wanted = view.log
    if text is None or wanted is None or text.wanted != wanted:
        yield [("class:bar", fit(f" {wanted.job_id if wanted else ''}", columns))]
        return
    job = _job_line(text.job, seen.now)
    yield [("class:bar", fit(f" {wanted.job_id}  {job}", columns))]
    yield _streams(text, columns)
    lines = log_lines(text, columns)
    room = rows - 2
    last = max(0, len(lines) - room)
    first = last if view.top is None else min(view.top, last)
    for line in lines[first : first + room]:
        yield [("", line)]


def log_lines(text: LogText, columns: int) -> list[str]:
    """Return the lines of a log, wrapped to the screen."""
    wrapped = [piece for line in text.lines for piece in wrap(line, columns)]
    if text.cut:
        wrapped.insert(0, "… the beginning is in: queuectl logs " + text.wanted.job_id)
    return wrapped or [text.notice or _no_output(text.job)]


def _no_output(job: Job | None) -> str:
    return "no output yet" if job and job.state is State.PROCESSING else "no output"


def log_room(rows: int) -> int:
    """Return how many lines of a log a screen shows."""
    return max(1, rows - 3)


def _job_line(job: Job | None, now: datetime) -> str:
    if job is None:
        return "deleted"
    ran = ""
    if job.state is State.PROCESSING and job.started_at:
        ran = f" for {elapsed(seconds_between(job.started_at, now))}"
    return f"{state_text(job)}{ran}  {printable(command_text(job.spec.command))}"


def _streams(text: LogText, columns: int) -> Line:
    """Return the line that tells which run and which of the two streams is shown."""
    runs = f" run {text.run} of {text.job.runs} " if text.job and text.run else " "
    parts: Line = [("class:title", runs)]
    if len(text.streams) > len(text.sizes):
        parts.append(("class:focus" if text.stream == BOTH else "class:dim", f" {BOTH} "))
    for stream, size in zip(STREAMS, text.sizes, strict=True):
        style = "class:focus" if stream == text.stream else "class:dim"
        parts += [("", " "), (style, f" {stream} {size:,} bytes ")]
    left = columns - sum(width(part) for _, part in parts)
    return parts if left >= 0 else [("class:title", fit(runs + text.stream, columns))]


def _foot(seen: Snapshot, view: View, columns: int) -> Line:
    """Return the last line: a question, what went wrong, what was done, or the keys."""
    if view.mode is Mode.ASKING and view.question:
        asked = f" {view.question.verb.capitalize()} job '{view.question.job_id}'? y/n "
        return [("class:question", fit(asked, columns))]
    if view.mode is Mode.HELP:
        return [("class:dim", fit(" any key goes back", columns))]
    if view.mode is Mode.FILTER:
        return [("class:question", fit(f" /{printable(view.typed)}▏", columns))]
    if seen.trouble and seen.is_known:
        return [("class:trouble", fit(f" {printable(seen.trouble)}; trying again", columns))]
    if view.message:
        return [("class:message", fit(f" {printable(view.message)}", columns))]
    return _keys(_LOG_KEYS if view.mode is Mode.LOG else _KEYS, columns)


def _keys(keys: Sequence[tuple[str, str]], columns: int) -> Line:
    """Return what there is room for of the keys, closer together where that shows them all."""
    wide = sum(len(key) + len(what) + 3 for key, what in keys)
    gap = " " if wide <= columns else ""
    parts: Line = []
    for key, what in keys:
        if sum(width(part) for _, part in parts) + len(key) + len(what) + 2 + len(gap) > columns:
            break
        parts += [("class:key", f" {key}"), ("class:dim", f" {what}{gap}")]
    return parts


def help_lines(columns: int) -> Iterator[str]:
    """Yield the lines of the help, each of at most so many columns."""
    yield from _listed(_HELP, columns)
    if columns >= _ROOMY:
        yield ""
    yield "In a log:"[:columns]
    yield from _listed(_HELP_IN_LOG, columns)


def _listed(keys: tuple[tuple[str, str], ...], columns: int) -> Iterator[str]:
    """Yield names of keys with what they do beside them, or after them on a narrow screen."""
    for names, what in keys:
        if columns < _ROOMY:
            yield from textwrap.wrap(f"{names}: {what}", columns, subsequent_indent="  ")
            continue
        first, *others = textwrap.wrap(what, columns - _COLUMN)
        yield fit(names, _COLUMN) + first
        yield from (" " * _COLUMN + line for line in others)
