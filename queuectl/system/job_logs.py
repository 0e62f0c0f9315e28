"""The log files of jobs: `logs/jobs/ID/RUN.out` and `RUN.err`, and their order in `RUN.order`."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.field_checks import is_name
from queuectl.domain.frozen import frozen
from queuectl.system.home import Home


@frozen
class JobLogs:
    """Where the output of a home's jobs is. Ids are valid names, so paths stay inside."""

    home: Home

    def directory(self, job_id: str) -> Path:
        """Return the directory of one job's logs. Raises InvalidInput for what is no id."""
        if not is_name(job_id):
            raise InvalidInput(f"{shown(job_id)} is no job's id")
        return self.home.job_logs / job_id

    def stdout(self, job_id: str, run: int) -> Path:
        """Return the file with the standard output of one run."""
        return self.directory(job_id) / f"{run}.out"

    def stderr(self, job_id: str, run: int) -> Path:
        """Return the file with the standard error of one run."""
        return self.directory(job_id) / f"{run}.err"

    def order(self, job_id: str, run: int) -> Path:
        """Return the file that tells in which order one run wrote; see `run_order`."""
        return self.directory(job_id) / f"{run}.order"

    def remove_run(self, job_id: str, run: int) -> None:
        """Remove the logs of one run, where there are any; nothing behind a symbolic link."""
        paths = (
            self.stdout(job_id, run),
            self.stderr(job_id, run),
            self.order(job_id, run),
        )
        around = (self.home.logs, self.home.job_logs, self.directory(job_id))
        if not any(path.is_symlink() for path in around):
            for path in paths:
                with suppress(OSError):
                    path.unlink()

    def remove(self, job_id: str) -> None:
        """Remove a job's logs, where there are any; nothing behind a symbolic link."""
        directory = self.directory(job_id)
        if not (self.home.logs.is_symlink() or self.home.job_logs.is_symlink()):
            shutil.rmtree(directory, ignore_errors=True)
