"""What is done with whole batches: keeping their records, telling how they stand, ending them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from queuectl.domain import batch as batches
from queuectl.domain import state_machine
from queuectl.domain.batch import Batch
from queuectl.domain.errors import InvalidInput, NotFound, QueuectlError, nearest
from queuectl.domain.frozen import frozen
from queuectl.domain.job import SETTLED, WAITING, State
from queuectl.domain.query import Filter, Page
from queuectl.queue.outpaced import Outpaced, retry_on_conflict

if TYPE_CHECKING:
    from datetime import datetime

    from queuectl.domain.job_fields import Spec
    from queuectl.domain.state_machine import Transition
    from queuectl.stores.base import Store

_STOPPED_AT_ONCE = 500
_UNUSED = timedelta(hours=1)
"""How long a record is kept without jobs: they may still be on the way."""


@frozen
class BatchStatus:
    """How a batch stands: how many of its jobs are in each state, and what its record says.

    `created_at` is None, and the limits are 0, where there are jobs and no record.
    """

    name: str
    counts: Mapping[State, int]
    created_at: datetime | None = None
    at_once: int = 0
    max_fails: int = 0
    is_stopped: bool = False
    ended_at: datetime | None = None
    unmade: int = 0

    @property
    def total(self) -> int:
        """How many jobs it has, those that are not made yet among them."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """How many of them have ended."""
        return sum(n for state, n in self.counts.items() if state in SETTLED)

    @property
    def is_over(self) -> bool:
        """Whether all of them have ended."""
        return self.done == self.total

    @property
    def is_success(self) -> bool:
        """Whether all of them are completed."""
        return self.counts.get(State.COMPLETED, 0) == self.total


def status(store: Store, name: str, hint: str = "") -> BatchStatus:
    """Return how a batch stands. Raises NotFound."""
    record = store.batches.get(name)
    counts = batches.with_rest(record, store.batches.counts(name))
    if record is None and not counts:
        raise _no_batch(store, name, hint)
    return _status(name, record, counts)


def require(store: Store, name: str, hint: str = "") -> None:
    """Raise NotFound where there is no batch of a name, with the one that may be meant."""
    is_there = store.batches.get(name) is not None
    if not is_there and next(store.find(Filter(batch=name), Page(limit=1)), None) is None:
        raise _no_batch(store, name, hint)


def _no_batch(store: Store, name: str, hint: str) -> NotFound:
    near = nearest(name, [each.name for each in store.batches.all()])
    return NotFound(f"no batch '{name}'{near}", hint or "queuectl batch list shows the batches")


def _status(name: str, record: Batch | None, counts: Mapping[State, int]) -> BatchStatus:
    if record is None:
        return BatchStatus(name, counts)
    ended_at = record.ended_at if batches.is_over(counts) else None
    return BatchStatus(
        name, counts, record.created_at, record.at_once, record.max_fails, record.is_stopped,
        ended_at, max(record.unmade, 0),
    )  # fmt: skip


def all_of(store: Store, *, newest_first: bool = False) -> Iterator[BatchStatus]:
    """Yield how each batch stands that has a record, the oldest first unless said."""
    records = sorted(store.batches.all(), key=lambda each: (each.created_at, each.name))
    for record in reversed(records) if newest_first else records:
        counts = batches.with_rest(record, store.batches.counts(record.name))
        if counts:
            yield _status(record.name, record, counts)


# records


def prepare(store: Store, specs: Iterable[Spec]) -> frozenset[str]:
    """See that there is a record of each batch that new jobs are in; return their names.

    Raises InvalidInput for one to which nothing can be added.
    """
    first: dict[str, Spec] = {}
    for spec in specs:
        if spec.batch is not None:
            first.setdefault(spec.batch, spec)
    for spec in first.values():
        _prepare(store, spec)
    return frozenset(first)


@retry_on_conflict
def _prepare(store: Store, spec: Spec) -> None:
    name = spec.batch
    assert name is not None
    before = store.batches.get(name)
    if before is None:
        after = Batch(name, store.now(), spec.queue, at_once=spec.at_once, max_fails=spec.max_fails)
    else:
        batches.require_open_name(before, lazy=False)
        after = batches.reopen(before).changed(
            at_once=spec.at_once or before.at_once, max_fails=spec.max_fails or before.max_fails
        )
    if not store.batches.save(after, before):
        raise Outpaced(f"batch '{name}'")


def without_batch(specs: Iterable[Spec]) -> dict[str, QueuectlError]:
    """Return why jobs are refused that name limits of a batch, and no batch, by id."""
    return {
        spec.id: InvalidInput(
            f"{'--at-once' if spec.at_once else '--max-fails'} is of a batch",
            hint="name it: --batch NAME",
        )
        for spec in specs
        if spec.batch is None and (spec.at_once or spec.max_fails)
    }


def reopened_by(changes: Collection[Transition]) -> frozenset[str]:
    """Return the batches of which jobs wait again with some changes."""
    return frozenset(
        change.after.spec.batch
        for change in changes
        if change.after is not None
        and change.after.spec.batch is not None
        and change.before.state in SETTLED
        and change.after.state not in SETTLED
    )


def reopen(store: Store, names: Collection[str]) -> None:
    """Note that batches have jobs that have not ended, before and after these are written.

    Before, as a crash may come after; and after, as an end may have been seen in between.
    """
    for name in names:
        _reopen(store, name)


@retry_on_conflict
def _reopen(store: Store, name: str) -> None:
    record = store.batches.get(name)
    if record is None or (record.ended_at is None and not record.is_stopped):
        return
    if not store.batches.save(batches.reopen(record), record):
        raise Outpaced(f"batch '{name}'")


# upkeep


def look_after(store: Store, record: Batch) -> None:
    """Do for one batch what its jobs do not do by themselves; any number may do so at once."""
    if record.is_stopped:
        _cancel_waiting(store, record)
    if record.ended_at is None:
        ended = _ended(store, record)
        if ended is None:
            return
        record = ended
    if record.told < record.ends:
        tell_end(store, record)


def _cancel_waiting(store: Store, record: Batch) -> None:
    """Cancel some of the jobs that still wait of a batch of which too many have died."""
    waiting = list(store.find(Filter(WAITING, batch=record.name), Page(limit=_STOPPED_AT_ONCE)))
    if not waiting:
        return
    now = store.now()
    why = batches.stop_reason(record.name, store.batches.counts(record.name).get(State.DEAD, 0))
    store.commit_all([state_machine.cancel_with_batch(job, why, now) for job in waiting])


def _ended(store: Store, record: Batch) -> Batch | None:
    """Return the record of a batch all of whose jobs have ended, stored; None for any other."""
    if record.waits or store.batches.has_unsettled(record.name):
        return None
    counts = batches.with_rest(record, store.batches.counts(record.name))
    if not counts:
        if store.now() - record.created_at > _UNUSED:
            store.batches.forget(record.name)
        return None
    if not batches.is_over(counts):
        return None
    latest = store.batches.last_end(record.name)
    before = record.last_end
    if before is not None and (latest is None or latest <= before):
        after = record.changed(ended_at=before)  # nothing has ended since that was told
    else:
        after = batches.end(record, counts, max(store.now(), latest or record.created_at))
    return after if store.batches.save(after, record) else None


def tell_end(store: Store, record: Batch) -> None:
    """Tell hooks, and jobs that wait for it, that a batch has ended; note that they know."""
    from queuectl.queue.hook_deliveries import enqueue_batch_deliveries

    if not store.batches.notify(record):
        return  # the next look goes on
    enqueue_batch_deliveries(store, record)
    store.batches.save(record.changed(told=record.ends), record)
