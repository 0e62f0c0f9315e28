"""Rows to be inserted, many with one statement: the history of jobs, and what has ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, groupby
from typing import TYPE_CHECKING

from queuectl.domain.job import Run
from queuectl.domain.times import to_millis
from queuectl.stores import serialization
from queuectl.stores.sqlite import rows

if TYPE_CHECKING:
    from queuectl.domain.events import RunFinished

Statement = tuple[str, list[object]]
"""SQL, and the values for it."""


_RUN = ("seq", *serialization.RUN_FIELDS)
ROWS_AT_ONCE = 100
"""A statement for that many rows costs SQLite half of what it costs to run one as often."""


def inserts_of_runs(runs: Iterable[tuple[int, Run]]) -> Iterator[Statement]:
    """Yield the statements that add runs to the history of jobs, each with the job's `seq`."""
    return _inserts_into(
        "runs",
        _RUN,
        (
            [
                seq,
                run.n,
                run.claim_id,
                run.worker,
                to_millis(run.started_at),
                to_millis(run.finished_at),
                run.exit_code,
                run.signal,
                int(run.timed_out),
                run.error,
                run.duration,
            ]
            for seq, run in runs
        ),
    )


def inserts_of_events(events: Iterable[RunFinished]) -> Iterator[Statement]:
    """Yield the statements that keep events until they are processed."""
    return _inserts_into("events", (*rows.EVENT, "rest"), map(_event_values, events))


def _event_values(event: RunFinished) -> list[object]:
    started_at = event.started_at
    is_plain = event.exit_code == 0 and not (event.error or event.labels or event.timed_out)
    rest = "" if is_plain else rows.dump_json({name: getattr(event, name) for name in rows.REST})
    return [
        event.seq,
        event.rev,
        event.job_id,
        event.run,
        event.queue,
        event.outcome.value,
        to_millis(event.finished_at),
        event.attempts,
        event.command,
        None if started_at is None else to_millis(started_at),
        event.waited,
        event.duration,
        rest,
    ]


def _inserts_into(
    table: str, names: tuple[str, ...], found: Iterable[list[object]]
) -> Iterator[Statement]:
    """Yield the statements that insert rows in their order, as many with each as are alike."""
    for nulls, alike in groupby(found, nulls_of):
        some = list(map(without_nulls, alike))
        for start in range(0, len(some), ROWS_AT_ONCE):
            part = some[start : start + ROWS_AT_ONCE]
            yield insert_into(table, names, nulls, len(part)), [*chain.from_iterable(part)]


@cache
def insert_into(table: str, names: tuple[str, ...], nulls: bytes, number: int = 1) -> str:
    """Return the statement for a number of rows whose nulls are in the same places."""
    given = [name for name, is_null in zip(names, nulls, strict=True) if not is_null]
    row = f"({', '.join('?' * len(given))})"
    return f"INSERT INTO {table} ({', '.join(given)}) VALUES {', '.join([row] * number)}"


# A NULL is spelled out, as Python's module takes a microsecond to find out that None means it:
# it looks for an adapter of everything that is not exactly a number or a string.


def nulls_of(values: Iterable[object]) -> bytes:
    """Return where values are None, a byte for each."""
    return bytes([value is None for value in values])


def without_nulls(values: Iterable[object]) -> list[object]:
    """Return the values that are not None: those that a statement is given."""
    return [value for value in values if value is not None]
