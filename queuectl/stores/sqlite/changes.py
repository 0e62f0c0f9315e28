"""Changes of jobs as statements: what is written, under which fence, and with which values.

Every job passes through here twice, and rarely alone. One statement for many rows takes half of
what it costs to run one as often. All that writes is called inside a transaction that is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache, lru_cache
from itertools import chain, groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from queuectl.domain.job import HISTORY_RUNS, Job
from queuectl.domain.state_machine import MARKS, Fence, Transition
from queuectl.domain.times import to_millis
from queuectl.stores import serialization
from queuectl.stores.sqlite import rows, statements
from queuectl.stores.sqlite.rows import course_of, outcome_values, ready_flag, spec_values
from queuectl.stores.sqlite.statements import ROWS_AT_ONCE, Statement, shared_and_varied

if TYPE_CHECKING:
    from queuectl.domain.events import RunFinished
    from queuectl.stores.sqlite.database import Database

_FENCED = {
    Fence.REV: ("rev",),
    Fence.CLAIM: ("claim_id", *MARKS),
    Fence.LEASE: ("claim_id", *MARKS, "lease_until"),
}
_FENCES = {fence: " AND ".join(f"{name} = ?" for name in names) for fence, names in _FENCED.items()}
"""The condition under which a transition may be applied."""

_REV, _LEASE = Fence.REV, Fence.LEASE  # looked up once, as each job asks twice
_marks_of = attrgetter(*MARKS)

_Columns = dict[str, Sequence[Any]]
_Pair = tuple[Transition, Job]
"""A change, and what becomes of its job."""


def _kind_of(pair: _Pair) -> tuple[object, ...]:
    """Return what has to be alike in changes for one statement to make them.

    An outcome is written whole where it is another, as it may have been read without its output.
    """
    change, after = pair
    before = change.before
    return (
        change.event,
        change.fence,
        after.claim is before.claim,
        after.outcome is before.outcome,
        after.spec is before.spec,
    )


def _new_columns(pairs: Sequence[_Pair], now: datetime) -> _Columns:
    """Return the values of the columns that changes of one kind write.

    A column that none of them changes stays as it is: others mark a job that runs, and renew its
    lease, without touching `rev`.
    """
    befores = [change.before for change, _ in pairs]
    afters = [after for _, after in pairs]
    columns: _Columns = {}
    is_waiting = [a.is_free or b.is_free for a, b in zip(afters, befores, strict=True)]
    if any(is_waiting):  # else `ready` is NULL and stays so, as do the indexes over it
        columns["ready"] = [ready_flag(after, now) for after in afters]
    olds = zip(*map(course_of, befores), strict=True)
    news = zip(*map(course_of, afters), strict=True)
    for name, old, new in zip(rows.COURSE, olds, news, strict=True):
        if old != new:
            columns[name] = new
    if afters[0].claim is not befores[0].claim:
        columns |= _claim_columns(befores, afters)
    if afters[0].outcome is not befores[0].outcome:
        outcomes = [outcome_values(after.outcome) for after in afters]
        names = (*rows.OUTCOME, *serialization.OUTPUT_FIELDS)
        columns |= zip(names, zip(*outcomes, strict=True), strict=True)
    if afters[0].spec is not befores[0].spec:
        specs = [spec_values(after.spec) for after in afters]
        columns |= zip(rows.SPEC, zip(*specs, strict=True), strict=True)
    return columns


def _claim_columns(befores: Sequence[Job], afters: Sequence[Job]) -> _Columns:
    claims = [after.claim for after in afters]
    columns: _Columns = {
        "claim_id": [claim.id if claim else None for claim in claims],
        "lease_until": [claim.lease_until if claim else None for claim in claims],
    }
    are_alone = [claim is None or claim.alone for claim in claims]
    if not all(are_alone) or not all(b.claim is None or b.claim.alone for b in befores):
        columns[rows.ALONE] = [None if is_alone else 0 for is_alone in are_alone]
    if any(job.spec.needs for job in afters):
        columns[rows.HOLDING] = [
            rows.holding_text(claim.holding) if claim else None for claim in claims
        ]
    return columns


def _fenced_columns(changes: Sequence[Transition]) -> _Columns:
    """Return the values for `seq`, and for the condition in `_FENCES`."""
    fence = changes[0].fence
    names = ("seq", *_FENCED[fence])
    values = [(change.before.seq, *_fence_values(change)) for change in changes]
    return dict(zip(names, zip(*values, strict=True), strict=True))


def _fence_values(change: Transition) -> tuple[object, ...]:
    """Return the values for the condition in `_FENCES`."""
    before = change.before
    if change.fence is _REV:
        return (before.rev,)
    claim = before.claim
    assert claim is not None
    if change.fence is _LEASE:
        return claim.id, *_marks_of(before), to_millis(claim.lease_until)
    return claim.id, *_marks_of(before)


def _statements_for(pairs: Sequence[_Pair], now: datetime) -> Iterator[Statement]:
    """Yield the statements for changes of one kind; each returns the `seq` of those made."""
    for start in range(0, len(pairs), ROWS_AT_ONCE):
        part = pairs[start : start + ROWS_AT_ONCE]
        set_all, set_each = shared_and_varied(_new_columns(part, now))
        asked_all, asked_each = shared_and_varied(_fenced_columns([change for change, _ in part]))
        given = {name: value for name, value in set_all.items() if value is not None}
        nulls = tuple(name for name, value in set_all.items() if value is None)
        names = _Names(tuple(given), nulls, tuple(asked_all), tuple(set_each), tuple(asked_each))
        each = zip(*set_each.values(), *asked_each.values(), strict=True)
        values = [*given.values(), *asked_all.values(), *chain.from_iterable(each)]
        yield _update_many(names, len(part)), values


class _Names(NamedTuple):
    """Columns by what one statement for many rows does with them.

    What is the same for all rows is `given`, made NULL or compared (`asked_all`); the others are
    set and compared for each row.
    """

    given: tuple[str, ...]
    nulls: tuple[str, ...]
    asked_all: tuple[str, ...]
    set_each: tuple[str, ...]
    asked_each: tuple[str, ...]


@lru_cache(maxsize=256)
def _update_many(names: _Names, number: int) -> str:
    given, nulls, asked_all, set_each, asked_each = names
    shared = [f"?{n}" for n in range(1, len(given) + len(asked_all) + 1)]
    width = len(set_each) + len(asked_each)
    own = [f"new.column{n}" for n in range(1, width + 1)]
    sets = [*zip(given, shared, strict=False), *zip(set_each, own, strict=False)]
    asked = [
        *zip(asked_all, shared[len(given) :], strict=True),
        *zip(asked_each, own[len(set_each) :], strict=True),
    ]
    source = ""
    if width:
        marks = iter(range(len(shared) + 1, len(shared) + width * number + 1))
        some = (", ".join(f"?{next(marks)}" for _ in range(width)) for _ in range(number))
        source = f"FROM (VALUES {', '.join(f'({each})' for each in some)}) AS new "
    new = ", ".join([*(f"{name} = {mark}" for name, mark in sets), *(f"{n} = NULL" for n in nulls)])
    fence = " AND ".join(f"jobs.{name} = {mark}" for name, mark in asked)
    return f"UPDATE jobs SET {new} {source}WHERE {fence} RETURNING seq"


_FORGET_RUNS = (
    "DELETE FROM runs WHERE seq = ?1 AND n <= "
    "(SELECT n FROM runs WHERE seq = ?1 ORDER BY n DESC LIMIT 1 OFFSET ?2)"
)


def update(db: Database, changes: Iterable[_Pair], now: datetime) -> set[int]:
    """Write jobs as they shall be, where the fences hold; return the numbers of those."""
    written: set[int] = set()
    for _, alike in groupby(changes, _kind_of):
        for statement in _statements_for(list(alike), now):
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
