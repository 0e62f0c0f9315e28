"""Starting a claimed job: its log files, its environment, its command."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from queuectl.domain.errors import StoreRefused, StoreUnavailable
from queuectl.domain.field_checks import Command
from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.job_fields import Spec, command_text
from queuectl.domain.placeholders import with_slot
from queuectl.domain.settings import Settings
from queuectl.domain.sweep_names import SLOT_VARIABLE
from queuectl.stores.base import Store
from queuectl.system.home import Home
from queuectl.worker.batch import ClaimedJob
from queuectl.worker.checkouts import Checkouts, own_variables
from queuectl.worker.environment import Environment, NotAllowed
from queuectl.worker.hosts import Hosts
from queuectl.worker.logging import JobLog
from queuectl.worker.options import Timings
from queuectl.worker.runs.console import ConsoleWanted
from queuectl.worker.runs.executor import Executor
from queuectl.worker.runs.outcome import Run, postponed
from queuectl.worker.runs.output import OutputFolder, RunFiles, ScratchFiles
from queuectl.worker.runs.results import ResultFolder
from queuectl.worker.slot_numbers import SlotNumbers
from queuectl.worker.start_rules import StartRules
from queuectl.worker.store_retry import StoreRetry

if TYPE_CHECKING:
    from queuectl.queue.signing import Verifier

log = logging.getLogger("queuectl.worker")

_COMMAND_LENGTH = 200
"""How much of a command is logged when it starts."""

CHECKOUT, PREFLIGHT = "checkout", "preflight"
"""What is done before the command of a job, where that asks for it, in this order."""

Variables = dict[bytes, bytes]

T = TypeVar("T")


class JobStarter:
    """Starts the jobs of one worker.

    While the logs of jobs cannot be written none is started; `next_try` is when that is tried
    again (`time.monotonic`), `longest_pause` after it failed.
    """

    def __init__(
        self,
        store: Store,
        worker_id: str,
        home: Home,
        executor: Executor,
        retry: StoreRetry,
        job_log: JobLog,
        timings: Timings,
        verifier: Verifier | None = None,
    ) -> None:
        self._store = store
        self._executor = executor
        self._retry = retry
        self._log = job_log
        self._pause = timings.longest_pause
        self._output = OutputFolder(home)
        self._results = ResultFolder(home)
        self._sockets = home.sockets
        self._environment = Environment(worker_id, store, self._answer, verifier)
        self._hosts = Hosts(store, self._answer)
        self._rules = StartRules(timings.ask_again)
        self._checkouts = Checkouts(home)
        self._checkouts.sweep()
        self._slots = SlotNumbers(home.slots_file)
        self._can_log = True
        self.next_try = 0.0

    def close(self) -> None:
        """Let go of what is open."""
        self._output.close()
        self._slots.close()

    @property
    def can_log(self) -> bool:
        """Whether the logs of jobs can be written, or it is time to try that again."""
        return self._can_log or time.monotonic() >= self.next_try

    def start(self, claimed: ClaimedJob, settings: Settings, prepared: str = "") -> Outcome | None:
        """Start a job's command: None when it runs, else how it has ended at once.

        A command that is to be run before comes first, unless that was what was `prepared` last.
        Raises StoreUnavailable when it cannot be started now and is to be given back.
        """
        job, spec = claimed.job, claimed.job.spec
        if not prepared and (ended := self._held_up(job)):
            return ended
        is_prepared = spec.snapshot is not None or spec.preflight is not None
        if is_prepared and (next_one := _next_preparation(spec, prepared)):
            outcome = self._prepare(claimed, settings, next_one)
        else:
            outcome = self._start(claimed, settings)
        if outcome is None:
            return None
        self.ended(job)
        return self._hosts.judged(job, outcome)

    def after(self, job: Job, prepared: str, outcome: Outcome) -> Outcome | None:
        """Return how a job ends after what was to be done before it; None: it goes on, or back."""
        if outcome.interrupted:
            return None
        if prepared == PREFLIGHT:
            return self._rules.after_preflight(job, outcome)
        assert job.spec.snapshot is not None
        end = self._checkouts.failed(job.spec.snapshot, outcome)
        return end and self._hosts.judged(job, end)

    def is_awaited(self) -> bool:
        """Whether a job still waits that was put back here, to be asked again before long."""
        for job_id in [*self._rules.asked_again]:
            job = self._known(job_id)
            if job is not None and job.put_backs and job.state is State.PENDING and not job.paused:
                return True
            self._rules.asked_again.discard(job_id)
        return False

    def ended(self, job: Job) -> None:
        """Let go of what was had for a run that has ended, or is not begun after all."""
        if job.spec.batch is not None:
            self._slots.free(job.claim_id)
        if job.spec.snapshot is not None:
            self._checkouts.remove(job)

    def _held_up(self, job: Job) -> Outcome | None:
        """Return how a job is put back, or ends, that is not to be started now."""
        if put_off := postponed(job, self._known):
            return put_off
        if job.not_on and (passed_over := self._hosts.passed_over(job)):
            return passed_over
        spec = job.spec
        if spec.snapshot is not None and (refused := self._checkouts.refusal(job, spec.snapshot)):
            return self._hosts.judged(job, refused)
        if spec.between is not None or spec.load_below:
            return self._rules.held_up(job, self._store.now())
        return None

    def _prepare(self, claimed: ClaimedJob, settings: Settings, what: str) -> Outcome | None:
        """Start what is to be run before a job, as `start` does."""
        job, spec = claimed.job, claimed.job.spec
        command: Command
        try:
            cwd, environment = self._surroundings(job, settings)
        except NotAllowed as fault:
            return Outcome(error=str(fault), is_final=True)
        try:
            if what == PREFLIGHT:
                assert spec.preflight is not None
                command, timeout = spec.preflight, settings.preflight_seconds
            else:
                assert spec.snapshot is not None
                command, cwd = self._checkouts.command(job, spec.snapshot)
                environment, timeout = own_variables(), 0.0
            files = ScratchFiles()
        except StoreUnavailable as fault:  # a full disk, which others may do without
            return self._rules.again(job, str(fault))
        except StoreRefused as fault:
            return Outcome(error=str(fault))
        run = Run(
            job.claim_id,
            command,
            environment,
            cwd,
            timeout,
            settings.kill_grace_seconds,
            kill_leftovers=True,
            deadline=claimed.deadline,
            prepares=what,
        )
        outcome = self._executor.start(run, files)
        if outcome is not None:
            files.close()
        return outcome

    def _surroundings(
        self, job: Job, settings: Settings, result: str = ""
    ) -> tuple[str | None, Variables]:
        """Return the directory and the environment of a job, which may leave a `result` there.

        Raises NotAllowed.
        """
        environment = self._environment.of(job, job.claim_id, settings, result)
        if job.spec.snapshot is None:
            return job.spec.cwd, environment
        return self._checkouts.inside(job, job.spec.snapshot, environment)

    def _start(self, claimed: ClaimedJob, settings: Settings) -> Outcome | None:
        """Open the log files of a job and start its command, as `start` does."""
        job = claimed.job
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
        if outcome is None:
            return None
        self.close_files(files)
        return outcome

    def _run(self, claimed: ClaimedJob, settings: Settings, files: RunFiles) -> Outcome | None:
        job, spec = claimed.job, claimed.job.spec
        try:
            result = self._results.path_of(job.claim_id)
            cwd, environment = self._surroundings(job, settings, result)
        except NotAllowed as fault:
            return Outcome(error=str(fault), is_final=True)
        except StoreUnavailable:
            files.close()
            raise
        if not self._can_log:
            log.info("the logs of jobs can be written again")
            self._can_log = True
        if self._log.tells_starts:
            text = command_text(spec.command)[:_COMMAND_LENGTH]
            self._log.log(f"running job '{job.id}': {text}")
        command = spec.command
        if spec.batch:
            slot = self._slots.take(job.claim_id)
            environment[SLOT_VARIABLE.encode()] = b"%d" % slot
            command = with_slot(command, spec.slot_places, slot)
        run = Run(
            job.claim_id,
            command,
            environment,
            cwd,
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


def _next_preparation(spec: Spec, prepared: str) -> str:
    """Return what is to be done before a job's command after what was done last; empty: nothing."""
    if spec.snapshot is not None and not prepared:
        return CHECKOUT
    if spec.preflight is not None and prepared != PREFLIGHT:
        return PREFLIGHT
    return ""
