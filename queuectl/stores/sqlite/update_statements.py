"""Changes of jobs as statements: what is written, under which fence, and with which values.

Every job passes through here twice, and rarely alone. One statement for many rows takes half of
what it costs to run one as often.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from itertools import chain, groupby
from operator import attrgetter, itemgetter

from queuectl.domain.job import Job
from queuectl.domain.state_machine import MARKS, Fence, Transition
from queuectl.domain.times import to_millis
from queuectl.stores import serialization
from queuectl.stores.sqlite import rows
from queuectl.stores.sqlite.insert_statements import (
    ROWS_AT_ONCE,
    Statement,
    nulls_of,
    without_nulls,
)
from queuectl.stores.sqlite.row_values import (
    course_of,
    outcome_values,
    ready_flag,
    spec_values,
    stored,
)

Shape = tuple[tuple[str, ...], bytes, Fence]
"""Which columns are written, which of them become NULL, and under which fence."""

Update = tuple[Shape, list[object]]
"""One job's change: its shape, and the values for what is written, `seq` and the fence."""

_FENCED = {
    Fence.REV: ("rev",),
    Fence.CLAIM: ("claim_id", *MARKS),
    Fence.LEASE: ("claim_id", *MARKS, "lease_until"),
}
FENCES = {fence: " AND ".join(f"{name} = ?" for name in names) for fence, names in _FENCED.items()}
"""The condition under which a transition may be applied."""

_REV, _LEASE = Fence.REV, Fence.LEASE  # looked up once, as each job asks twice
_marks_of = attrgetter(*MARKS)
_shape_of = itemgetter(0)


def update_of(change: Transition, after: Job, now: datetime) -> Update:
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
        claim = after.claim
        names += rows.CLAIM
        values += (claim.id, to_millis(claim.lease_until)) if claim else (None, None)
    if after.outcome is not before.outcome:
        names += (*rows.OUTCOME, *serialization.OUTPUT_FIELDS)
        values += outcome_values(after.outcome)
    if after.spec is not before.spec:
        names += rows.SPEC
        values += spec_values(after.spec)
    shape = (tuple(names), nulls_of(values), change.fence)
    return shape, [*without_nulls(values), before.seq, *fence_values(change)]


def fence_values(change: Transition) -> list[object]:
    """Return the values for the condition in `FENCES`."""
    before = change.before
    if change.fence is _REV:
        return [before.rev]
    assert before.claim is not None
    values = [before.claim.id, *map(int, _marks_of(before))]
    if change.fence is _LEASE:
        values.append(to_millis(before.claim.lease_until))
    return values


def statements_for(updates: Iterable[Update]) -> Iterator[Statement]:
    """Yield the statements for changes of different jobs; each returns the `seq` of those made."""
    for shape, alike in groupby(updates, _shape_of):
        some = [values for _, values in alike]
        for start in range(0, len(some), ROWS_AT_ONCE):
            part = some[start : start + ROWS_AT_ONCE]
            yield _update(shape, len(part)), [*chain.from_iterable(part)]


@cache
def _update(shape: Shape, number: int) -> str:
    names, nulls, fence = shape
    given = [name for name, is_null in zip(names, nulls, strict=True) if not is_null]
    compared = ("seq", *_FENCED[fence])
    new = [f"new.column{place}" for place in range(1, len(given) + len(compared) + 1)]
    marks = dict(zip(given, new, strict=False))
    assignments = ", ".join(f"{name} = {marks.get(name, 'NULL')}" for name in names)
    conditions = zip(compared, new[len(given) :], strict=True)
    row = f"({', '.join('?' * len(new))})"
    return (
        f"UPDATE jobs SET {assignments} FROM (VALUES {', '.join([row] * number)}) AS new "
        f"WHERE {' AND '.join(f'jobs.{name} = {mark}' for name, mark in conditions)} "
        "RETURNING seq"
    )
