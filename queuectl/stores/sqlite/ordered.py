"""Listings of the embedded store in another order than that of arrival.

The numbers of the jobs come first, in one statement that keeps no more of them than are wanted;
then the jobs themselves, a limited number at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from queuectl.domain.job import WAITING, State
from queuectl.domain.query import ORDER_FIELDS, Filter, Order, Page
from queuectl.stores.sqlite import reads, rows
from queuectl.stores.sqlite.list_query import conditions

if TYPE_CHECKING:
    from queuectl.domain.job import Job
    from queuectl.stores.sqlite.database import Database
from queuectl.stores.state_order import by_state

_PAGE = 500
_NO_LIMIT = -1
_CLAIMABLE = (1, 2, 3)
"""What `ready` is of jobs that may be claimed; each is in one of the indexes."""

_IN_SHUT_QUEUE = "queue IN (SELECT name FROM queues WHERE paused = 1)"


def find(db: Database, chosen: Filter, page: Page) -> Iterator[Job]:
    """Yield jobs in the order of the page, which is not that of arrival; see `Store.find`."""
    if page.order is Order.STATE:
        yield from by_state(partial(reads.find, db), chosen, page)
        return
    db.recover()
    limit = _NO_LIMIT if page.limit is None else page.limit
    if page.order is Order.TURN:
        numbers = _in_turn(db, chosen, limit)
    else:
        numbers = _by_field(db, chosen, page, limit)
    columns = rows.SELECTED_ALL if page.with_output else rows.SELECTED
    statement = f"SELECT {columns} FROM jobs WHERE seq IN (SELECT value FROM json_each(?))"
    for start in range(0, len(numbers), _PAGE):
        wanted = numbers[start : start + _PAGE]
        found = {row[0]: row for row in db.rows(statement, (rows.dump_json(wanted),))}
        for number in wanted:
            row = found.get(number)
            job = reads.readable(row, db if page.with_history else None) if row else None
            if job is not None and chosen.fits(job):  # it may have changed since it was numbered
                yield job


def _by_field(db: Database, chosen: Filter, page: Page, limit: int) -> list[int]:
    """Return the numbers of jobs by the value of a column; those that have none come last."""
    column, way = ORDER_FIELDS[page.order], "DESC" if page.newest_first else "ASC"
    condition, bound = conditions(db, chosen)
    arms = [
        f"SELECT seq, {column} AS place FROM jobs WHERE {is_state} {condition}"
        for is_state in _each_state(chosen.states)
    ]
    statement = " UNION ALL ".join(arms)
    values = [*bound * len(arms), limit]
    if page.newest_first:
        order = f"place {way}, seq {way}"
    else:  # NULL is before all
        statement, order = f"SELECT seq, place FROM ({statement})", "place IS NULL, place, seq"
    return [row[0] for row in db.rows(f"{statement} ORDER BY {order} LIMIT ?", values)]


def _each_state(states: frozenset[State]) -> list[str]:
    """Return a condition for each state, or one that holds always where none is named.

    The names stand in the text, by which the planner knows the indexes of some states.
    """
    return [f"state = '{name}'" for name in sorted(state.value for state in states)] or ["true"]


def _in_turn(db: Database, chosen: Filter, limit: int) -> list[int]:
    """Return the numbers of the jobs that wait, in the order in which they will run."""
    states = (chosen.states or WAITING) & WAITING
    if not states:
        return []
    condition, bound = conditions(db, chosen)
    those = " OR ".join(_each_state(states))

    def ready(where: str) -> str:
        parts = (
            f"SELECT seq, priority, run_at FROM jobs WHERE ready = {flag} AND {where}"
            for flag in _CLAIMABLE
        )
        return f"{' UNION ALL '.join(parts)} ORDER BY priority DESC, run_at, seq"

    more = f"{condition} " if states == WAITING else f"AND ({those}) {condition} "
    others = " UNION ALL ".join(
        f"SELECT seq FROM jobs WHERE {is_state} AND ready IS NULL {condition}"
        for is_state in _each_state(states)
    )
    stretches = [
        (ready(f"NOT {_IN_SHUT_QUEUE} {more}"), len(_CLAIMABLE)),
        (f"SELECT seq FROM jobs WHERE ready = 0 {more} ORDER BY run_at, seq", 1),
        (ready(f"{_IN_SHUT_QUEUE} {more}"), len(_CLAIMABLE)),
        (f"{others} ORDER BY seq", len(states)),
    ]
    numbers: list[int] = []
    for statement, times in stretches:
        left = limit if limit == _NO_LIMIT else limit - len(numbers)
        if left:
            found = db.rows(f"{statement} LIMIT ?", (*bound * times, left))
            numbers += [row[0] for row in found]
    return numbers
