"""The environment of a worker's jobs."""

from __future__ import annotations

import os
from collections.abc import Mapping

from queuectl.domain.job import Job
from queuectl.home import STORE_VARIABLES
from queuectl.worker.processes import RUN_ID_VARIABLE

_RUN_ID = RUN_ID_VARIABLE.encode()


class Environment:
    """What every job of one worker gets: its own environment less the store's address."""

    def __init__(self, worker_id: str) -> None:
        inherited = {k: v for k, v in os.environ.items() if k not in STORE_VARIABLES}
        self._inherited = _encoded({**inherited, "QUEUECTL_WORKER_ID": worker_id})

    def of(self, job: Job, claim_id: str) -> dict[bytes, bytes]:
        """Return the environment of one run, as the system takes it."""
        return {
            **self._inherited,
            **(_encoded(dict(job.spec.env)) if job.spec.env else {}),
            b"QUEUECTL_JOB_ID": job.spec.id.encode(),
            b"QUEUECTL_ATTEMPT": b"%d" % job.attempts,
            b"QUEUECTL_QUEUE": job.spec.queue.encode(),
            _RUN_ID: claim_id.encode(),
        }


def _encoded(variables: Mapping[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}
