"""What a listing asks SQLite: the rows that fit a filter, in order, read no further than needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.domain.job import State
from queuectl.domain.job_fields import FIELDS
from queuectl.domain.query import SIGNALLED, TIMED_OUT, Filter, Page, is_plain, search_text
from queuectl.domain.queue_limits import FIRST_NAME
from queuectl.domain.times import to_millis
from queuectl.stores.sqlite import rows
from queuectl.stores.sqlite.schema import ENDED_BADLY

if TYPE_CHECKING:
    from queuectl.stores.sqlite.database import Database

_BEYOND_ALL = 2**63 - 1
_FEW = 1000
"""Of so many jobs whose ids begin alike the index of ids gives the list, else all are read."""

_SEARCHED = ("id", "command", "last_error")


def statement(
    db: Database, chosen: Filter, page: Page, after: int, size: int
) -> tuple[str, list[object]]:
    """Return what selects `size` rows at most beyond the number `after`, and its values.

    Jobs of each state are merged in order; asked for together they would be sorted.
    """
    columns = rows.SELECTED_ALL if page.with_output else rows.SELECTED
    beyond, order = ("<", "DESC") if page.newest_first else (">", "ASC")
    start = after or (_BEYOND_ALL if page.newest_first else 0)
    arms: list[str] = []
    values: list[object] = []
    condition, bound = conditions(db, chosen)
    # what few jobs have is found by an index of its own, and not by that of states
    is_rare = (chosen.labels or chosen.exit_code) and chosen.batch is None
    state_column = "+state" if is_rare else "state"
    states = chosen.states or (frozenset(State) if chosen.batch is not None else frozenset())
    for state in sorted(state.value for state in states) or [""]:
        is_state = f"AND {state_column} = ? " if state else ""
        arms.append(f"SELECT {columns} FROM jobs WHERE seq {beyond} ? {is_state}{condition}")
        values += [start, *([state] if state else []), *bound]
    return f"{' UNION ALL '.join(arms)} ORDER BY seq {order} LIMIT ?", [*values, size]


_PARENTS = [FIELDS[name].column for name in ("after", "after_any", "after_fail")]
_FOLLOWS = f"({' OR '.join(f'instr({column}, ?)' for column in _PARENTS)})"
"""Whether a job was to follow one whose id is given with its quotes, as in an array of ids."""


def _range(prefix: str) -> tuple[str, str]:
    """Return between what the ids lie that begin with something."""
    return prefix, prefix + "\U0010ffff"


def _begin_few_with(db: Database, prefix: str) -> bool:
    """Whether so few ids begin with this that it is quicker to list them first."""
    found = "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE id >= ? AND id < ? LIMIT ?)"
    return bool(prefix) and db.row(found, (*_range(prefix), _FEW))[0] < _FEW


def conditions(db: Database, chosen: Filter) -> tuple[str, list[object]]:
    """Return SQL that continues a WHERE with all but the states, and its values."""
    if not all(map(is_plain, chosen.texts)):
        db.connection.create_function("small_text", 3, _small_text, deterministic=True)
    are_few = _begin_few_with(db, chosen.id_prefix)
    parts: list[str] = []
    values: list[object] = []
    if chosen.queue is not None:
        parts.append("queue = ?")
        values.append(chosen.queue)
    elif chosen.deliveries is not None:
        parts.append(f"+queue {'<' if chosen.deliveries else '>='} '{FIRST_NAME}'")
    if chosen.batch is not None:
        parts.append("batch_name = ?")
        values.append(chosen.batch)
    if chosen.labels:
        parts.append("labels IS NOT NULL")
    for label in chosen.labels:
        parts.append("EXISTS (SELECT 1 FROM json_each(labels) WHERE value = ?)")
        values.append(label)
    if chosen.id_prefix:
        begins = "id >= ? AND id < ?"
        parts.append(f"seq IN (SELECT seq FROM jobs WHERE {begins})" if are_few else begins)
        values += _range(chosen.id_prefix)
    if chosen.unchanged_since is not None:
        parts.append("updated_at < ?")
        values.append(to_millis(chosen.unchanged_since))
    if chosen.changed_since is not None:
        parts.append("updated_at >= ?")
        values.append(to_millis(chosen.changed_since))
    if (code := chosen.exit_code) is not None:
        if code:
            parts.append(ENDED_BADLY)
        parts.append("(exit_code = ? OR signal = ? OR (timed_out AND ?))")
        values += [code, code - SIGNALLED, code == TIMED_OUT]
    if chosen.parent is not None:
        parts.append(_FOLLOWS)
        values += [f'"{chosen.parent}"'] * len(_PARENTS)
    for text in chosen.texts:
        condition, bound = _search(text)
        parts.append(condition)
        values += bound
    return "".join(f"AND {part} " for part in parts), values


def _search(text: str) -> tuple[str, list[object]]:
    """Return what finds a text in whatever case, and its values.

    LIKE knows the case of ASCII alone, and costs a third of what calling Python for each row does.
    """
    if not is_plain(text):
        return "instr(small_text(id, command, last_error), ?)", [text.lower()]
    for sign in ("\\", "%", "_"):
        text = text.replace(sign, f"\\{sign}")
    has = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in _SEARCHED)
    return f"({has})", [f"%{text}%"] * len(_SEARCHED)


def _small_text(job_id: str, command: str, error: str | None) -> str:
    """Return in small letters what a text is looked for in."""
    return search_text(job_id, command, error).lower()
