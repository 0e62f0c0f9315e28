"""Changes of jobs as statements: what is written, under which fence, and with which values.

Every job passes through here twice, and rarely alone. One statement for many rows takes half of
what it costs to run one as often. All that writes is called inside a transaction that is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import cache
from itertools import chain, groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

from queuectl.domain.job import HISTORY_RUNS, Job
from queuectl.domain.state_machine import MARKS, Fence, Transition
from queuectl.domain.times import to_millis
from queuectl.stores import serialization
from queuectl.stores.sqlite import rows, statements
from queuectl.stores.sqlite.rows import course_of, outcome_values, ready_flag, spec_values, stored
from queuectl.stores.sqlite.statements import ROWS_AT_ONCE, Statement, nulls_of, without_nulls

if TYPE_CHECKING:
    from queuectl.domain.events import RunFinished
    from queuectl.stores.sqlite.database import Database

_Shape = tuple[tuple[str, ...], bytes, Fence]
"""Which columns are written, which of them become NULL, and under which fence."""

_Update = tuple[_Shape, list[object]]
"""One job's change: its shape, and the values for what is written, `seq` and the fence."""

_FENCED = {
    Fence.REV: ("rev",),
    Fence.CLAIM: ("claim_id", *MARKS),
    Fence.LEASE: ("claim_id", *MARKS, "lease_until"),
}
_FENCES = {fence: " AND ".join(f"{name} = ?" for name in names) for fence, names in _FENCED.items()}
"""The condition under which a transition may be applied."""

_REV, _LEASE = Fence.REV, Fence.LEASE  # looked up once, as each job asks twice
_marks_of = attrgetter(*MARKS)
_shape_of = itemgetter(0)


def _update_of(change: Transition, after: Job, now: datetime) -> _Update:
    """Return what writes a change under its fence.

    Only what is another is written: others mark a job and renew its lease without touching
    `rev`. An outcome is written whole, as it may have been read without its output.
    """
    before = change.before
    names: list[str] = []
    values: list[object] = []
    if before.is_free or after.is_free:  # else it is NULL and stays so, as do the indexes over it
        names.append("ready")
        values.append(ready_flag(after, now))
    for name, old, new in zip(rows.COURSE, course_of(before), course_of(after), strict=True):
        if new is not old and new != old:
            names.append(name)
            values.append(stored(new))
    if after.claim is not before.claim:
        old_claim, claim = before.claim, after.claim
        names += rows.CLAIM
        values += (claim.id, to_millis(claim.lease_until)) if claim else (None, None)
        is_alone = claim is None or claim.alone
        if is_alone is not (old_claim is None or old_claim.alone):
            names.append(rows.ALONE)
            values.append(None if is_alone else 0)
    if after.outcome is not before.outcome:
        names += (*rows.OUTCOME, *serialization.OUTPUT_FIELDS)
        values += outcome_values(after.outcome)
    if after.spec is not before.spec:
        names += rows.SPEC
        values += spec_values(after.spec)
    shape = (tuple(names), nulls_of(values), change.fence)
    return shape, [*without_nulls(values), before.seq, *_fence_values(change)]


def _fence_values(change: Transition) -> list[object]:
    """Return the values for the condition in `_FENCES`."""
    before = change.before
    if change.fence is _REV:
        return [before.rev]
    assert before.claim is not None
    values = [before.claim.id, *map(int, _marks_of(before))]
    if change.fence is _LEASE:
        values.append(to_millis(before.claim.lease_until))
    return values


def _statements_for(updates: Iterable[_Update]) -> Iterator[Statement]:
    """Yield the statements for changes of different jobs; each returns the `seq` of those made."""
    for shape, alike in groupby(updates, _shape_of):
        some = [values for _, values in alike]
        for start in range(0, len(some), ROWS_AT_ONCE):
            part = some[start : start + ROWS_AT_ONCE]
            yield _update_many(shape, len(part)), [*chain.from_iterable(part)]


@cache
def _update_many(shape: _Shape, number: int) -> str:
    names, nulls, fence = shape
    present = [name for name, is_null in zip(names, nulls, strict=True) if not is_null]
    compared = ("seq", *_FENCED[fence])
    new = [f"new.column{place}" for place in range(1, len(present) + len(compared) + 1)]
    marks = dict(zip(present, new, strict=False))
    assignments = ", ".join(f"{name} = {marks.get(name, 'NULL')}" for name in names)
    conditions = zip(compared, new[len(present) :], strict=True)
    row = f"({', '.join('?' * len(new))})"
    return (
        f"UPDATE jobs SET {assignments} FROM (VALUES {', '.join([row] * number)}) AS new "
        f"WHERE {' AND '.join(f'jobs.{name} = {mark}' for name, mark in conditions)} "
        "RETURNING seq"
    )


_FORGET_RUNS = (
    "DELETE FROM runs WHERE seq = ?1 AND n <= "
    "(SELECT n FROM runs WHERE seq = ?1 ORDER BY n DESC LIMIT 1 OFFSET ?2)"
)


def update(db: Database, changes: Iterable[tuple[Transition, Job]], now: datetime) -> set[int]:
    """Write jobs as they shall be, where the fences hold; return the numbers of those."""
    written: set[int] = set()
    updates = (_update_of(change, after, now) for change, after in changes)
    for statement in _statements_for(updates):
        written.update(seq for (seq,) in db.connection.execute(*statement))
    return written


def delete(db: Database, change: Transition) -> bool:
    """Delete a job and its history if the fence holds; return whether it did."""
    execute = db.connection.execute
    seq = change.before.seq
    values = (seq, *_fence_values(change))
    deleted = execute(f"DELETE FROM jobs WHERE seq = ? AND {_FENCES[change.fence]}", values)
    if deleted.rowcount:
        execute("DELETE FROM runs WHERE seq = ?", (seq,))
    return deleted.rowcount > 0


def record(db: Database, written: Iterable[Transition]) -> None:
    """Enter runs that have ended into the history, and keep their events until processed."""
    execute = db.connection.execute
    runs, events = [], []
    event_of = _event_of()
    for change in written:
        if change.run is not None:
            runs.append((change.before.seq, change.run))
        if (event := event_of(change)) is not None:
            events.append(event)
    for statement in statements.inserts_of_runs(runs):
        execute(*statement)
    for seq, run in runs:
        if run.n > HISTORY_RUNS:
            execute(_FORGET_RUNS, (seq, HISTORY_RUNS))
    for statement in statements.inserts_of_events(events):
        execute(*statement)


@cache
def _event_of() -> Callable[[Transition], RunFinished | None]:
    """Return the function; who only enqueues needs none, and who settles needs it quickly."""
    from queuectl.domain.events import event_of

    return event_of
