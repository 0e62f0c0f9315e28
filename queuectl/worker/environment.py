"""The environment of a worker's jobs."""

from __future__ import annotations

import os
from collections.abc import Mapping

from queuectl.domain.job import Job
from queuectl.home import STORE_VARIABLES
from queuectl.worker.processes import RUN_ID_VARIABLE


class Environment:
    """What every job of one worker gets: its own environment less the store's address."""

    def __init__(self, worker_id: str) -> None:
        inherited = {k: v for k, v in os.environ.items() if k not in STORE_VARIABLES}
        self._inherited = _encoded({**inherited, "QUEUECTL_WORKER_ID": worker_id})

    def of(self, job: Job, claim_id: str) -> dict[bytes, bytes]:
        """Return the environment of one run, as the system takes it."""
        own = {
            **dict(job.spec.env),
            "QUEUECTL_JOB_ID": job.id,
            "QUEUECTL_ATTEMPT": str(job.attempts),
            "QUEUECTL_QUEUE": job.spec.queue,
            RUN_ID_VARIABLE: claim_id,
        }
        return {**self._inherited, **_encoded(own)}


def _encoded(variables: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return variables in bytes; what is inherited is encoded only once."""
    return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}
