"""Moving a whole store into another one, so that a crash at any point is only a pause.

The source is marked first, so that nothing more is enqueued into it and no worker takes from it.
The target is marked with the source's identity and the number of the last job that it has; jobs
keep their numbers. A job that had come just before a crash is refused as existing when it comes
again, and is the same. At the end both are read side by side and compared.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from hashlib import sha256
from itertools import zip_longest
from typing import TypeVar

from queuectl.domain.errors import Conflict, StoreError
from queuectl.domain.frozen import frozen, replace
from queuectl.domain.job import Job
from queuectl.domain.query import Filter, Page
from queuectl.domain.queue_limits import is_of_deliveries
from queuectl.domain.schedule import Schedule
from queuectl.queue.events import process_all_events
from queuectl.stores.base import Store
from queuectl.stores.rules import ARRIVING, MOVED_TO, MOVING, identity_of, require_in_use
from queuectl.system.store_url import is_mongo
from queuectl.transfer import refuse_workers
from queuectl.transfer.format import job_to_line, schedule_to_line

_ARRIVED = "arrived_whole"
"""The mark of a store into which all of another one has come: which one, and what there was."""

_STOP = "queuectl worker stop; then again"
_STOP_ALL = "queuectl worker stop, and --all-hosts for those elsewhere; then again"
_BATCH = 200
_BREATH_SECONDS = 0.002
_NOTED = ("compared", "deliveries", "schedules", "unmade", "checksum")
_WHOLE = Page(with_output=True, with_history=True)

_R = TypeVar("_R", Job, Schedule)


@frozen
class Progress:
    """How far a migration has come; `checksum` is there when all has been compared.

    `deliveries` of hooks are among what was moved and compared, and then counted by themselves.
    `unmade` jobs of batches are still to be made there.
    `is_over` says that an earlier call had come to the end, and was perhaps killed before it
    could say so.
    """

    moved: int = 0
    compared: int = 0
    deliveries: int = 0
    schedules: int = 0
    unmade: int = 0
    checksum: str = ""
    is_over: bool = False


def migrate(source: Store, target: Store, *, force: bool = False) -> Iterator[Progress]:
    """Move everything from one store into another, and compare; yields how far it has come.

    Repeating it goes on where it stopped, or tells how it ended. Raises Conflict when workers
    live on either (with `force` only for those that certainly do), when the target has jobs that
    did not come from here, when the source was moved elsewhere or was used again since, and when
    the two differ in the end. The source is left as it is, but marked as moved; after a failure it
    is in use as before.
    """
    identity = identity_of(source)
    if identity == identity_of(target):
        raise Conflict("a store cannot be moved into itself")
    if source.meta.get(MOVED_TO) != target.address:  # else it goes on where it stopped
        require_in_use(source)
    if (ended := _how_it_ended(source, target, identity)) is not None:
        yield ended
        return
    for store in (source, target):
        require_no_workers(store, force=force)
    after = _resume_at(target, identity)
    source.meta.set(MOVING, "yes")  # first, so that nobody ever reads that all was moved
    source.meta.set(MOVED_TO, target.address)
    try:
        require_no_workers(source, force=force)  # one may have begun before the mark
        yield from _move(source, target, identity, after)
    except BaseException:
        with contextlib.suppress(StoreError):  # else --release does it, as whoever is refused reads
            source.meta.set(MOVED_TO, None)
            source.meta.set(MOVING, None)
        raise
    source.meta.set(MOVING, None)


def require_no_workers(store: Store, *, force: bool) -> None:
    """Raise Conflict while workers live on a store, with `force` only those that certainly do."""
    hint = _STOP_ALL if is_mongo(store.address) else _STOP
    refuse_workers(store, hint=hint, certain=force)


def _move(source: Store, target: Store, identity: str, after: int) -> Iterator[Progress]:
    """Move what comes after a number, and compare the whole."""
    process_all_events(source)  # jobs move without pending events, and figures do not move
    _move_small_things(source, target)
    _move_schedules(source, target)
    moved = 0
    for batch in _batches(source, after):
        target.restore(batch, keep_numbers=True)
        moved += len(batch)
        _note_arrival(target, identity, batch[-1].seq)
        yield Progress(moved)
        time.sleep(_BREATH_SECONDS)
    result: dict[str, object] = {}
    for done in _compared(source, target):
        result = {name: getattr(done, name) for name in _NOTED}
        yield replace(done, moved=moved)
    target.meta.set(_ARRIVED, json.dumps({"source": identity, "result": result}))
    target.meta.set(ARRIVING, None)


def _how_it_ended(source: Store, target: Store, identity: str) -> Progress | None:
    """Return how an earlier move of this source to this target ended, or None if none did."""
    arrived = json.loads(target.meta.get(_ARRIVED) or "{}")
    if arrived.get("source") != identity:
        return None
    if source.meta.get(MOVED_TO) != target.address:
        raise Conflict(
            f"this store has been moved to {target.address} before, "
            "and is used again since queuectl migrate --release",
            hint="move it to an empty store",
        )
    target.meta.set(ARRIVING, None)  # the last things that a move does may be left
    source.meta.set(MOVING, None)
    return Progress(**arrived["result"], is_over=True)


def release(source: Store) -> bool:
    """Let a store be used again that was moved, or to which not all has come of another.

    Returns whether it was one.
    """
    marks = [name for name in (MOVED_TO, ARRIVING) if source.meta.get(name) is not None]
    for name in (*marks, MOVING):
        source.meta.set(name, None)
    return bool(marks)


def _resume_at(target: Store, identity: str) -> int:
    """Return the number of the last job that the target has from this source."""
    arriving = target.meta.get(ARRIVING)
    if arriving:
        found = json.loads(arriving)
        if found["source"] != identity:
            raise Conflict(f"another store is being moved to {target.address}")
        return int(found["seq"])
    if target.counts().total or target.schedules.all():
        what = "jobs" if target.counts().total else "schedules"
        raise Conflict(
            f"{target.address} has {what} of its own",
            hint="name an empty store; queuectl export and import add to one that is not",
        )
    _note_arrival(target, identity, 0)
    return 0


def _note_arrival(target: Store, identity: str, seq: int) -> None:
    target.meta.set(ARRIVING, json.dumps({"source": identity, "seq": seq}))


def _move_small_things(source: Store, target: Store) -> None:
    for key, value in source.settings.all().items():
        target.settings.set(key, value)
    for name, queue_limit in source.queue_limits().items():
        target.set_queue_limit(name, paused=queue_limit.paused, limit=queue_limit.limit)
    for name, capacity in source.resources.fleet().items():
        target.resources.set(name, capacity)
    for name in source.environments.names():
        target.environments.save(name, source.environments.get(name) or ())
    _move_hooks(source, target)
    _move_batches(source, target)


def _move_batches(source: Store, target: Store) -> None:
    """Bring the records of batches over, with the definitions of jobs that are still to be made."""
    there = {batch.name: batch for batch in target.batches.all()}
    for batch in source.batches.all():
        target.batches.save(batch, there.pop(batch.name, None))
    for name in there:
        target.batches.remove(name)


def _move_hooks(source: Store, target: Store) -> None:
    """Bring all hooks over, with their secrets and with what their thresholds have come to."""
    there = {hook.name: hook for hook in target.hooks.all()}
    for hook in source.hooks.all():
        target.hooks.save(hook, there.pop(hook.name, None))
    for name in there:
        target.hooks.remove(name)


def _move_schedules(source: Store, target: Store) -> None:
    """Bring all schedules over; no worker serves them there until everything has come."""
    there = {schedule.name: schedule for schedule in target.schedules.all()}
    for schedule in source.schedules.all():
        target.schedules.save(schedule, there.pop(schedule.name, None))
    for name in there:
        target.schedules.remove(name)


def _batches(source: Store, after: int) -> Iterator[list[Job]]:
    while True:
        page = Page(_BATCH, after, with_output=True, with_history=True)
        batch = list(source.find(Filter(), page))
        if not batch:
            return
        yield batch
        after = batch[-1].seq


def _compared(source: Store, target: Store) -> Iterator[Progress]:
    """Read both side by side. Raises Conflict for the first record that is not the same."""
    total, compared, deliveries, schedules = sha256(), 0, 0, 0
    for ours, theirs in zip_longest(source.find(Filter(), _WHOLE), target.find(Filter(), _WHOLE)):
        job, digest = _same(ours, theirs, "stop it, and move to an empty store; this one is in use")
        total.update(digest)
        compared += 1
        deliveries += is_of_deliveries(job.spec.queue)
        if compared % _BATCH == 0:
            yield Progress(compared=compared)
    for here, there in zip_longest(source.schedules.all(), target.schedules.all()):
        _, digest = _same(here, there, "run the same command again; until then this one is in use")
        total.update(digest)
        schedules += 1
    yield Progress(
        compared=compared,
        deliveries=deliveries,
        schedules=schedules,
        unmade=sum(batch.unmade for batch in target.batches.unmade()),
        checksum=total.hexdigest(),
    )


def _same(ours: _R | None, theirs: _R | None, advice: str) -> tuple[_R, bytes]:
    """Return a record that two stores have, and its checksum. Raises Conflict where they differ."""
    if ours is not None and theirs is not None:
        digest = checksum(ours)
        if digest == checksum(theirs):
            return ours, digest.encode()
    record = ours or theirs
    assert record is not None
    name = f"job '{record.id}'" if isinstance(record, Job) else f"schedule '{record.name}'"
    raise Conflict(
        f"{name} is not the same in both stores",
        hint=f"something changed a store meanwhile; {advice} as before",
    )


def checksum(record: Job | Schedule) -> str:
    """Return a checksum over all of a job or a schedule that two stores must agree on.

    `rev` is left out: it counts the changes that one store has made.
    """
    line = job_to_line(record) if isinstance(record, Job) else schedule_to_line(record)
    line.pop("rev")
    text = json.dumps(line, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
