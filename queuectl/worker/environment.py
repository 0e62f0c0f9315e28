"""The environment of a worker's jobs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from queuectl.domain.job import Job
from queuectl.queue.environments import Variables
from queuectl.system.home import STORE_VARIABLES
from queuectl.system.run_mark import RUN_ID_VARIABLE

CLEAN = ("PATH", "HOME", "LANG")
"""What a job with a clean environment still gets of its worker's."""

_REMEMBERED = 16
_RUN_ID = RUN_ID_VARIABLE.encode()

_OF_THE_WORKERS = frozenset({*STORE_VARIABLES, "PWD", "OLDPWD"})
"""What no job inherits: where the store is, and where its worker was started."""

_DOTS = re.compile(r"/\.{0,2}(/|$)")
"""What a path has in it that is not the short way to a directory."""


class MissingEnvironment(Exception):
    """A job names a captured environment that the store does not have."""


class Environment:
    """What the jobs of one worker get, less the store's address.

    The base is the worker's own environment, a few variables of that (`clean_env`), or one that
    was captured, which `captured` looks up by its name; a job's own variables go over it. `PWD`
    is the job's own directory, and `OLDPWD` nowhere, as a shell would have it that begins there.
    """

    def __init__(self, worker_id: str, captured: Callable[[str], Variables | None]) -> None:
        own = {"QUEUECTL_WORKER_ID": worker_id}
        inherited = {k: v for k, v in os.environ.items() if k not in _OF_THE_WORKERS}
        clean = {name: inherited[name] for name in CLEAN if name in inherited}
        self._inherited = _encoded({**inherited, **own})
        self._clean = _encoded({**clean, **own})

        @lru_cache(maxsize=_REMEMBERED)
        def base_of(name: str) -> dict[bytes, bytes]:
            variables = captured(name)
            if variables is None:
                raise MissingEnvironment(f"Captured environment {name} is not in the store")
            kept = {k: v for k, v in variables if k not in _OF_THE_WORKERS}
            return _encoded({**kept, **own})

        self._base_of = base_of

    def of(self, job: Job, claim_id: str) -> dict[bytes, bytes]:
        """Return the environment of one run, as the system takes it. Raises MissingEnvironment."""
        return {
            **self._base(job),
            **({} if job.spec.clean_env else {b"PWD": _directory(job.spec.cwd)}),
            **(_encoded(dict(job.spec.env)) if job.spec.env else {}),
            b"QUEUECTL_JOB_ID": job.spec.id.encode(),
            b"QUEUECTL_ATTEMPT": b"%d" % job.attempts,
            b"QUEUECTL_QUEUE": job.spec.queue.encode(),
            _RUN_ID: claim_id.encode(),
        }

    def _base(self, job: Job) -> dict[bytes, bytes]:
        if job.spec.environment is not None:
            return self._base_of(job.spec.environment)
        return self._clean if job.spec.clean_env else self._inherited


def _directory(cwd: str | None) -> bytes:
    """Return a working directory as a shell shows it: the whole way, without dots."""
    if not cwd:
        return b"/"
    return os.fsencode(os.path.realpath(cwd) if len(cwd) > 1 and _DOTS.search(cwd) else cwd)


def _encoded(variables: Mapping[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}
