"""A worker's life: claim -> run -> commit, until it is asked to leave."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from queuectl.domain import settings as tunables
from queuectl.domain.errors import StoreError, StoreRefused, StoreReplaced, StoreUnavailable
from queuectl.domain.hooks import hook_of
from queuectl.domain.job import SETTLED, Job, Outcome, State
from queuectl.domain.job_fields import command_text
from queuectl.domain.query import Filter
from queuectl.domain.queue_limits import ONE_JOB
from queuectl.domain.request import command_refusal
from queuectl.maintenance.abandoned_deliveries import are_left
from queuectl.maintenance.maintenance import Maintenance
from queuectl.maintenance.scheduler import Scheduler
from queuectl.queue.environments import Variables
from queuectl.queue.events import process_all_events
from queuectl.stores import reopen_store
from queuectl.stores.base import Store
from queuectl.stores.rules import require_in_use
from queuectl.system.home import Home, Location
from queuectl.worker.batch import ClaimBatch
from queuectl.worker.claims import Claims, WorkerOptions
from queuectl.worker.environment import Environment, MissingEnvironment
from queuectl.worker.heartbeat import Heartbeat
from queuectl.worker.logging import JobLog
from queuectl.worker.registration import new_record, new_worker_id
from queuectl.worker.runs import unkillable
from queuectl.worker.runs.executor import Executor, Run
from queuectl.worker.runs.output import OutputFolder, RunFiles
from queuectl.worker.runs.watchdog import Watchdog
from queuectl.worker.shutdown import leave
from queuectl.worker.signals import Control
from queuectl.worker.store_retry import LONGEST_PAUSE, OutageLog, StoreRetry

log = logging.getLogger("queuectl.worker")


_SHOWN = 200
_TELL_SECONDS = 0.5
"""How long a worker that drains tells what has happened until it looks whether it shall stop."""


class _Refused(Exception):
    """A run that is not begun, now or ever; the text says why."""


class Worker:
    """One worker process. Make it in the process that shall work, before any thread.

    `call_courier` is called when there are deliveries of hooks, which it never makes itself.
    `is_adopter` says that the process adopts the orphans of what it runs (see `adopt_orphans`).
    """

    def __init__(
        self,
        place: Location,
        options: WorkerOptions,
        watchdog: Watchdog,
        worker_id: str | None = None,
        call_courier: Callable[[], None] | None = None,
        *,
        is_adopter: bool = False,
    ) -> None:
        self._control = Control()
        self._watchdog = watchdog
        self._control.install()
        self._options = options
        self._call_courier = call_courier
        self._store: Store = reopen_store(place.store_url)
        require_in_use(self._store)
        self.record = new_record(
            worker_id or new_worker_id(),
            place.home,
            options.queues if options.only is None else (ONE_JOB,),
            self._store.now(),
        )
        self._executor = Executor(self._control, self._watchdog, is_adopter=is_adopter)
        self._output = OutputFolder(place.home)
        self._environment = Environment(self.record.id, self._captured)
        outage = OutageLog()
        self._heartbeat = Heartbeat(
            lambda: reopen_store(place.store_url),
            self.record,
            self._control,
            self._watchdog,
            outage,
            tunables.from_stored(self._store.settings()),
            self._store.is_same_file,
            call_courier,
            drains=options.drain,
        )
        self._retry = StoreRetry(self._control, outage, self._store.recover)
        self._claims = Claims(self._store, self.record.id, options, self._heartbeat, self._retry)
        self._scheduler = Scheduler(self._store, self.record.started_at)
        self._log = JobLog()
        self._batch = ClaimBatch(
            self._store,
            self.record.id,
            self._claims,
            self._retry,
            self._watchdog,
            self._log,
            1 if options.only else self._store.claim_batch_size,
            show_output=options.show_output,
        )
        self._can_log = True

    def run(self, on_ready: Callable[[], None]) -> None:
        """Work until asked to leave; `on_ready` is called when the first claim can be made."""
        self._store.register(self.record)
        self._heartbeat.start()
        self._take_back()
        log.info("started")
        on_ready()
        try:
            self._work()
        except StoreError:
            if not self._heartbeat.is_astray:
                raise
        finally:
            self._heartbeat.stop()
            self._leave()
        if self._heartbeat.is_astray:
            raise StoreReplaced(f"{self._store.address} is not the file that it was")

    def _take_back(self) -> None:
        """Let what was lost on this machine wait again, before anything newer is claimed."""
        maintenance = Maintenance(self._store, since=self.record.started_at)
        try:
            maintenance.recover(self._heartbeat.settings)
            if self._call_courier and are_left(Home(Path(self.record.home)), self._store):
                self._call_courier()
        except StoreError as fault:
            log.warning("%s", fault)  # the upkeep of later will do it

    def _leave(self) -> None:
        if not self._retry.is_away:  # else upkeep removes the entry
            leave(
                self._store,
                self.record.id,
                self._control,
                self._call_courier,
                drains=self._options.drain,
            )
        self._store.close()
        self._output.close()
        self._executor.close()
        self._watchdog.close()
        log.info("stopped")

    def _work(self) -> None:
        while True:
            if not self._can_log and self._batch.is_empty:
                self._retry.pause(LONGEST_PAUSE)
            if self._batch.is_empty and self._control.is_stopping:
                return
            job = self._batch.take()
            if job is not None:
                self._do(job)
            elif self._retry.call(self._is_done, may_leave=True):
                return
            else:
                self._idle()

    def _idle(self) -> None:
        """Sleep until there may be work: at most until the next job or schedule is due."""
        os.chdir("/")  # keeps no directory of a job busy
        self._executor.reap()
        settings = self._heartbeat.settings

        def sleep() -> None:
            if self._store.make_due_claimable():
                return
            seconds = settings.poll_interval_sec
            schedules = self._scheduler.enqueue_due(settings, ahead=seconds)
            if schedules.enqueued:
                return
            for due in (self._store.next_due(), schedules.next_due):
                if due is not None:
                    seconds = min(seconds, max(0.0, (due - self._store.now()).total_seconds()))
            self._store.wait_for_work(seconds, self._control.wake)
            self._control.settle_down()

        self._retry.call(sleep, may_leave=True)

    def _is_done(self) -> bool:
        """Whether a worker with limited orders has nothing left to do."""
        if self._options.only is not None:
            job = self._store.get(self._options.only)
            return job is None or job.state in SETTLED or self._cannot_start(job)
        if not self._options.drain:
            return False
        # a courier delivers what hooks were told of the last jobs
        if self._store.hooks() and not process_all_events(self._store, _TELL_SECONDS):
            self._control.rouse()  # go on soon, once somebody could ask to stop
            return False
        if self._store.notify_children():
            self._control.rouse()
            return False
        counts = self._store.counts().only(deliveries=False)
        unfinished = frozenset({State.PROCESSING, State.FAILED})
        filters = [Filter(unfinished, queue) for queue in self._options.queues or (None,)]
        if any(map(counts.matching, filters)) or self._store.make_due_claimable():
            return False
        return not self._scheduler.enqueue_due(self._heartbeat.settings).enqueued

    def _cannot_start(self, job: Job) -> bool:
        """Whether a job waits for another that has ended otherwise."""
        if not job.blocked_by:
            return False
        from queuectl.domain.dependencies import Obstacles

        return Obstacles(self._store.get).before(job) is not None

    # running

    def _do(self, job: Job) -> None:
        """Run one claimed job, and settle it when its time has come."""
        assert job.claim is not None
        self._heartbeat.hold(job.id, job.claim.id, self._claims.deadline)
        self._log.hold(job)
        try:
            # also what is given back at once is held: its lease ends the waiting for the store
            is_begun = not (self._control.is_stopping or self._control.is_fenced)
            outcome = self._run(job, job.claim.id) if is_begun else None
            self._batch.end(job, outcome, may_claim=not self._control.is_stopping)
        finally:
            self._heartbeat.let_go()
            self._log.hold(None)

    def _run(self, job: Job, claim_id: str) -> Outcome | None:
        """Run a job's command; None when its log cannot be written and it was given back."""
        settings = self._heartbeat.settings
        if put_off := unkillable.postponed(job, self._known):
            return put_off
        try:
            files = self._output.open(job.id, job.runs)
        except StoreUnavailable as fault:
            self._note_no_logs(f"{fault}; trying again")
            return None
        except StoreRefused as fault:
            return Outcome(error=str(fault))
        try:
            environment = self._allowed(job, claim_id)
        except _Refused as fault:
            files.close()
            return Outcome(error=str(fault), is_final=True)
        if not self._can_log:
            log.info("the logs of jobs can be written again")
            self._can_log = True
        if self._log.tells_starts:
            self._log.log(f"running job '{job.id}': {command_text(job.spec.command)[:_SHOWN]}")
        run = Run(
            claim_id,
            job.spec.command,
            environment,
            job.spec.cwd,
            job.spec.timeout,
            settings.kill_grace_seconds,
            settings.kill_leftovers,
            self._claims.deadline,
        )
        try:
            return self._executor.run(
                run, files, self._sync, self._batch.lighten, self._look_after_store
            )
        finally:
            self._put_away(files)

    def _put_away(self, files: RunFiles) -> None:
        """Close a run's files; what could not be kept is in its record, up to a length."""
        try:
            files.close()
        except (StoreUnavailable, StoreRefused) as fault:
            self._note_no_logs(f"{fault}; what a job wrote is kept in its record alone")

    def _note_no_logs(self, text: str) -> None:
        """Say once that the logs of jobs cannot be written."""
        if self._can_log:
            log.warning("%s", text)
        self._can_log = False

    def _sync(self) -> None:
        """Make the claim durable while its job runs; what fails now is tried before any write."""
        try:
            self._store.flush()
        except StoreUnavailable as fault:
            log.debug("%s", fault)

    def _known(self, job_id: str) -> Job | None:
        return self._retry.call(partial(self._store.get, job_id))

    def _look_after_store(self) -> None:
        """Let go of files that were taken from the store; nobody can open it before."""
        try:
            self._store.recover(0)
        except StoreError as fault:
            log.debug("%s", fault)

    def _captured(self, name: str) -> Variables | None:
        return self._retry.call(partial(self._store.environment, name))

    def _allowed(self, job: Job, claim_id: str) -> dict[bytes, bytes]:
        """Return a run's environment. Raises _Refused when it must not or cannot be begun.

        What has the id of a delivery and is none was brought in past all checks.
        """
        if hook_of(job.id) is not None:
            raise _Refused("its id belongs to the deliveries of hooks")
        why = command_refusal(job.spec.command, self._heartbeat.settings)
        if why:
            raise _Refused(f"Command is not allowed: {why}")
        try:
            return self._environment.of(job, claim_id)
        except MissingEnvironment as fault:
            raise _Refused(str(fault)) from None
