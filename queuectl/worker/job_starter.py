"""Starting a claimed job: its log files, its environment, its command."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from queuectl.domain.errors import StoreRefused, StoreUnavailable
from queuectl.domain.job import Job, Outcome
from queuectl.domain.job_fields import Spec, command_text
from queuectl.domain.settings import Settings
from queuectl.stores.base import Store
from queuectl.system.home import Home
from queuectl.worker.batch import ClaimedJob
from queuectl.worker.environment import Environment, NotAllowed
from queuectl.worker.logging import JobLog
from queuectl.worker.runs.console import ConsoleWanted
from queuectl.worker.runs.executor import Executor
from queuectl.worker.runs.outcome import Run, postponed
from queuectl.worker.runs.output import OutputFolder, RunFiles
from queuectl.worker.runs.results import ResultFolder
from queuectl.worker.store_retry import StoreRetry

log = logging.getLogger("queuectl.worker")

_COMMAND_LENGTH = 200
"""How much of a command is logged when it starts."""

T = TypeVar("T")


class JobStarter:
    """Starts the jobs of one worker.

    While the logs of jobs cannot be written none is started; `next_try` is when that is tried
    again (`time.monotonic`), `pause` seconds after it failed.
    """

    def __init__(
        self,
        store: Store,
        worker_id: str,
        home: Home,
        executor: Executor,
        retry: StoreRetry,
        job_log: JobLog,
        pause: float,
    ) -> None:
        self._store = store
        self._executor = executor
        self._retry = retry
        self._log = job_log
        self._pause = pause
        self._output = OutputFolder(home)
        self._results = ResultFolder(home)
        self._sockets = home.sockets
        self._environment = Environment(worker_id, store, self._answer)
        self._can_log = True
        self.next_try = 0.0

    def close(self) -> None:
        """Let go of what is open."""
        self._output.close()

    @property
    def can_log(self) -> bool:
        """Whether the logs of jobs can be written, or it is time to try that again."""
        return self._can_log or time.monotonic() >= self.next_try

    def start(self, claimed: ClaimedJob, settings: Settings) -> Outcome | None:
        """Start a job's command: None when it runs, else how it has ended at once.

        Raises StoreUnavailable when it cannot be started now and is to be given back.
        """
        job = claimed.job
        if put_off := postponed(job, self._known):
            return put_off
        try:
            files = self._output.open(job.id, job.runs)
            if job.spec.merge_output:
                files.merge()
        except StoreUnavailable as fault:
            self._note_no_logs(f"{fault}; trying again")
            raise
        except StoreRefused as fault:
            return Outcome(error=str(fault))
        outcome = self._run(claimed, settings, files)
        if outcome is not None:
            self.close_files(files)
        return outcome

    def _run(self, claimed: ClaimedJob, settings: Settings, files: RunFiles) -> Outcome | None:
        job, spec = claimed.job, claimed.job.spec
        try:
            result = self._results.path_of(job.claim_id)
            environment = self._environment.of(job, job.claim_id, settings, result)
        except NotAllowed as fault:
            return Outcome(error=str(fault), is_final=True)
        except StoreUnavailable:
            files.close()
            raise
        if not self._can_log:
            log.info("the logs of jobs can be written again")
            self._can_log = True
        if self._log.tells_starts:
            command = command_text(spec.command)[:_COMMAND_LENGTH]
            self._log.log(f"running job '{job.id}': {command}")
        run = Run(
            job.claim_id,
            spec.command,
            environment,
            spec.cwd,
            spec.timeout,
            settings.kill_grace_seconds,
            settings.kill_leftovers,
            claimed.deadline,
            self._console_of(spec),
            spec.input,
            spec.input_text,
            result,
            spec.memory,
            spec.cpus,
            spec.memory_kind,
        )
        return self._executor.start(run, files)

    def _console_of(self, spec: Spec) -> ConsoleWanted | None:
        """Return how people may talk to a run; one that reads a file is not written to."""
        is_written_to = spec.stdin and spec.input is None and spec.input_text is None
        return ConsoleWanted(spec.pty, self._sockets) if spec.pty or is_written_to else None

    def close_files(self, files: RunFiles) -> None:
        """Close the files of a run that has ended."""
        try:
            files.close()
        except (StoreUnavailable, StoreRefused) as fault:
            self._note_no_logs(f"{fault}; what a job wrote is kept in its record alone")

    def _note_no_logs(self, text: str) -> None:
        """Say once that the logs of jobs cannot be written."""
        if self._can_log:
            log.warning("%s", text)
        self._can_log = False
        self.next_try = time.monotonic() + self._pause

    def _known(self, job_id: str) -> Job | None:
        return self._answer(partial(self._store.get, job_id))

    def _answer(self, ask: Callable[[], T]) -> T:
        """Ask the store: until it answers, or once while there are runs to be looked after."""
        return self._retry.attempt(ask) if len(self._executor) else self._retry.call(ask)
