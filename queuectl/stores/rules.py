"""What those who use a store owe it beside its contract, and what is made of a refusal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from queuectl.domain.errors import Conflict, StoreRefused
from queuectl.domain.frozen import replace

if TYPE_CHECKING:
    from queuectl.domain.job import Job
    from queuectl.domain.state_machine import Transition
    from queuectl.stores.base import Store

MOVED_TO = "moved_to"
"""The mark of a store that is being moved, or was: the address of the other one."""

MOVING = "moving"
"""Beside that, the mark of a store of which not all has been moved yet."""

ARRIVING = "arriving"
"""The mark of a store that is being filled from another one, until all of that is there."""

_IDENTITY = "identity"


def identity_of(store: Store) -> str:
    """Return what tells a store from all others; it is made when it is first asked for."""
    identity = store.meta.get(_IDENTITY)
    if identity is None:
        from queuectl.system.ids import new_token

        identity = new_token()
        store.meta.set(_IDENTITY, identity)
    return identity


def require_in_use(store: Store) -> None:
    """Raise Conflict for a store whose jobs are, or will be, in another one.

    Whoever changes a store, and workers, ask this first; deleting is left to people, who may want
    to empty a store that has been left.
    """
    elsewhere = store.meta.get(MOVED_TO)
    if elsewhere and store.meta.get(MOVING):
        raise Conflict(
            f"this store is being moved to {elsewhere}, or was not moved completely",
            hint=f"run queuectl migrate --to {elsewhere} again, or queuectl migrate --release",
        )
    if elsewhere:
        raise Conflict(
            f"this store was moved to {elsewhere}",
            hint="name that one with --store, or use this one again: queuectl migrate --release",
        )
    if store.meta.get(ARRIVING):
        raise Conflict(
            "another store is being moved here, and not all of it has come",
            hint="run queuectl migrate there again, which goes on where it stopped; "
            "or use what has come: queuectl migrate --release",
        )


def remove_unspared(store: Store, jobs: Sequence[Job]) -> frozenset[str]:
    """Remove settled jobs that nothing needs any more; return the ids that are gone.

    The id of a run is what keeps it from being enqueued twice, so it stays until its schedule
    has advanced past it. `Store.remove` says what else is kept.
    """
    from queuectl.domain.schedule import is_spared, parse_run_id

    if any(parse_run_id(job.id) for job in jobs):
        schedules = {schedule.name: schedule for schedule in store.schedules.all()}
        now = store.now()
        jobs = [job for job in jobs if not is_spared(job.id, schedules, now)]
    gone = store.retention.remove(jobs) if jobs else frozenset()
    forget_batches(store, {job.spec.batch for job in jobs if job.id in gone})
    return gone


def forget_batches(store: Store, names: Collection[str | None]) -> None:
    """Remove the records of batches whose last job has gone, unless its end is still to be told."""
    for name in names:
        if name is None:
            continue
        record = store.batches.get(name)
        if record is not None and record.unmade <= 0 and not record.is_open:
            store.batches.forget(name)


def commit_reduced(
    commit: Callable[[Transition], bool], change: Transition, fault: StoreRefused
) -> tuple[Transition, bool]:
    """Commit what can be of a refused change; return what was written, and whether it was.

    The change itself is tried once more: what was refused may have been the claim that went
    with it. Raises StoreRefused when nothing helps.
    """
    last = fault
    for form in (change, *_reduced_forms(change, str(fault))):
        try:
            is_committed = commit(form)
        except StoreRefused as refusal:
            last = refusal
            continue
        if form is not change:
            import logging

            log = logging.getLogger("queuectl.worker")
            log.error("job '%s': its result is stored only in part: %s", change.before.id, fault)
        return form, is_committed
    raise last


def _reduced_forms(change: Transition, why: str) -> tuple[Transition, ...]:
    """Return the end of a run in less and less, for a store that refuses it as it is.

    First without the output, which then counts as cut off, and without the job's own result; then
    without an entry in the history too, and with the reason in the job's last error. The verdict
    stays.
    """
    after, outcome = change.after, change.after.outcome if change.after else None
    if after is None or outcome is None:
        return ()
    bare = replace(
        outcome,
        stdout="",
        stderr="",
        stdout_cut=outcome.stdout_cut + len(outcome.stdout.encode()),
        stderr_cut=outcome.stderr_cut + len(outcome.stderr.encode()),
        result=None,
    )
    said = f"{bare.error or 'done'}; the store did not take its result: {why}"
    unlisted = replace(after, outcome=replace(bare, error=said), history=change.before.history)
    return (
        replace(change, after=replace(after, outcome=bare)),
        replace(change, after=unlisted, run=None),
    )
