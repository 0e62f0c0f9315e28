"""Workers that are waited for while they stop, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from queuectl.domain.worker_record import LiveWorker
from queuectl.presentation.columns import in_hand_text


def jobs_in_hand(workers: Sequence[LiveWorker]) -> dict[int, str]:
    """Return what each worker of these has in hand, by its pid."""
    return {each.record.process.pid: in_hand_text(each) for each in workers if each.job_ids}


def names_of(pids: Sequence[int], jobs: Mapping[int, str]) -> str:
    """Return `worker 4711 (job1), 4712`, those with a job first."""
    ordered = sorted(pids, key=lambda pid: pid not in jobs)
    return ", ".join(
        f"worker {pid}" + (f" ({jobs[pid]})" if pid in jobs else "") for pid in ordered
    )
