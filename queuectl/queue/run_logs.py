"""The output of runs that were on another host, brought here when somebody wants to see it.

It is put beside the files of this host's own runs, under the id of its claim, which no other run
ever has; so whoever reads a run reads files. What was brought a day ago is removed.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import SETTLED, WAITING, Job
from queuectl.stores.run_logs import open_run_logs
from queuectl.system.home import Home
from queuectl.system.job_logs import JobLogs
from queuectl.system.run_archive import unpack

if TYPE_CHECKING:
    from queuectl.domain.settings import Settings
    from queuectl.stores.base import Store

_KEPT_SECONDS = 86_400.0


def logs_of(store: Store, home: Home, settings: Settings, job: Job, run: int) -> JobLogs:
    """Return where the files of a run are: here, or where they were brought to.

    Where there are none it is here. Raises InvalidInput, StoreUnavailable or StoreRefused where a
    log store is set up and does not give what it has.
    """
    local = JobLogs(home)
    if not settings.log_store or _has(local, job.id, run):
        return local
    claim_id = next((each.claim_id for each in job.history if each.n == run), None)
    if claim_id is None or (run == job.runs and job.state not in (*SETTLED, *WAITING)):
        return local
    brought = JobLogs(Home(_folder(home) / claim_id))
    if _has(brought, job.id, run):
        return brought
    kept = open_run_logs(store, settings.log_store)
    data = kept.get(job.id, run, claim_id) if kept else None
    if data is None:
        return local
    unpack(data, brought, job.id, run)
    return brought


def remove_kept(store: Store, log_store: str, job_ids: Collection[str]) -> QueuectlError | None:
    """Remove the kept output of jobs that are gone; return what hindered that, if anything did."""
    if not job_ids:
        return None
    try:
        kept = open_run_logs(store, log_store)
        if kept is not None:
            kept.remove(job_ids)
    except QueuectlError as fault:
        return fault
    return None


def _has(logs: JobLogs, job_id: str, run: int) -> bool:
    return logs.stdout(job_id, run).exists() or logs.stderr(job_id, run).exists()


_scratch: Path | None = None


def _folder(home: Home) -> Path:
    """Return where runs are brought to; without a home, a directory that goes with this process."""
    global _scratch
    if not home.root.is_dir():
        if _scratch is None:
            _scratch = Path(tempfile.mkdtemp(prefix="queuectl-"))
            atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
        return _scratch
    folder = home.logs / "fetched"
    oldest = time.time() - _KEPT_SECONDS
    with suppress(OSError):
        for path in folder.iterdir():
            if path.stat().st_mtime < oldest:
                shutil.rmtree(path, ignore_errors=True)
    return folder
