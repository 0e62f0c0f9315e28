"""Runs that were stopped and whose processes cannot be killed, as they are another user's.

The run ends and says so; its job is not started again on this host while they live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from queuectl.domain.job import Job, Outcome
from queuectl.system.run_processes import members

_SAID = "its processes cannot be killed"
_AGAIN_SECONDS = 30.0


def error(what: str, pids: Iterable[int]) -> str:
    """Return the error of a run that was stopped, and of which these processes are left."""
    return f"{what}, {_SAID} ({_numbered(pids)})"


def postponed(job: Job, fetch: Callable[[str], Job | None]) -> Outcome | None:
    """Return how a job's run ends at once, as processes of an earlier one live on this host.

    `fetch` returns the job with its history, which few need. None: nothing is in its way.
    """
    if job.runs < 2 or _SAID not in (job.last_error or ""):
        return None
    known = fetch(job.id)
    for run in reversed(known.history if known else ()):
        if _SAID in (run.error or ""):
            left = members(run.claim_id, None)
            why = f"Not started: run {run.n} was stopped, {_SAID} ({_numbered(left)})"
            return Outcome(error=why, postponed=_AGAIN_SECONDS) if left else None
    return None


def _numbered(pids: Iterable[int]) -> str:
    return f"pid {', '.join(map(str, pids))}"
