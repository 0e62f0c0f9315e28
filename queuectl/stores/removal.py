"""Removing settled jobs for good, except runs of a schedule that might be enqueued again."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.domain.job import Job
from queuectl.domain.schedule import is_spared, parse_run_id
from queuectl.stores.base import Store


def remove_unspared(store: Store, jobs: Sequence[Job]) -> frozenset[str]:
    """Remove settled jobs that nothing needs any more; return the ids that are gone.

    The id of a run is what keeps it from being enqueued twice, so it stays until its schedule
    has advanced past it. `Store.remove` says what else is kept.
    """
    if any(parse_run_id(job.id) for job in jobs):
        schedules = {schedule.name: schedule for schedule in store.schedules()}
        now = store.now()
        jobs = [job for job in jobs if not is_spared(job.id, schedules, now)]
    return store.remove(jobs) if jobs else frozenset()
