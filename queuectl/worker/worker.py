"""A worker's life: claim -> run -> commit, until it is asked to leave."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from queuectl.domain import settings as tunables
from queuectl.domain.errors import StoreError, StoreRefused, StoreReplaced, StoreUnavailable
from queuectl.domain.job import SETTLED, Job, Outcome, State
from queuectl.domain.job_fields import command_text
from queuectl.domain.query import Filter
from queuectl.domain.queue_limits import ONE_JOB
from queuectl.domain.worker_record import StopRequest, WorkerRecord
from queuectl.maintenance.rescuer import Rescuer, deliveries_are_left
from queuectl.maintenance.scheduler import Scheduler
from queuectl.queue.events import process_all_events
from queuectl.stores import reopen_store
from queuectl.stores.base import Store
from queuectl.stores.exchange import Leaving
from queuectl.stores.rules import require_in_use
from queuectl.system.home import Home, Location
from queuectl.system.processes import is_live, this_process
from queuectl.worker.batch import ClaimBatch
from queuectl.worker.environment import Environment, NotAllowed
from queuectl.worker.heartbeat import Heartbeat
from queuectl.worker.logging import JobLog
from queuectl.worker.options import WorkerOptions
from queuectl.worker.runs.executor import Executor
from queuectl.worker.runs.outcome import Run, postponed
from queuectl.worker.runs.output import OutputFolder
from queuectl.worker.runs.watchdog import Watchdog
from queuectl.worker.signals import Control
from queuectl.worker.store_retry import OutageLog, StoreRetry

log = logging.getLogger("queuectl.worker")

_COMMAND_LENGTH = 200
"""How much of a command is logged when it starts."""

_EVENTS_SECONDS = 0.5
"""How long a worker that drains processes events until it looks whether it shall stop."""


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
        worker_id: str,
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
        self._store.patience = options.timings.lock
        require_in_use(self._store)
        now = self._store.now()
        settings = tunables.from_stored(self._store.settings.all())
        self.record = WorkerRecord(
            id=worker_id,
            process=this_process(),
            host=socket.gethostname(),
            home=str(place.home.root),
            queues=options.queues if options.only is None else (ONE_JOB,),
            started_at=now,
            heartbeat_at=now,
            slots=options.slots(settings),
        )
        self._executor = Executor(
            self._control, self._watchdog, options.timings.quick, is_adopter=is_adopter
        )
        self._output = OutputFolder(place.home)
        outage = OutageLog()
        self._heartbeat = Heartbeat(
            lambda: reopen_store(place.store_url),
            self.record,
            self._control,
            self._watchdog,
            outage,
            settings,
            self._store.is_same_file,
            call_courier,
            drains=options.drain,
        )
        self._retry = StoreRetry(
            self._control, outage, self._store.recover, options.timings.longest_pause
        )
        self._environment = Environment(worker_id, self._store, self._retry)
        self._scheduler = Scheduler(self._store, self.record.started_at)
        self._log = JobLog()
        self._batch = ClaimBatch(
            self._store,
            worker_id,
            options,
            self._heartbeat,
            self._retry,
            self._watchdog,
            self._log,
        )
        self._can_log = True

    def run(self, on_ready: Callable[[], None]) -> None:
        """Work until asked to leave; `on_ready` is called when the first claim can be made."""
        self._store.workers.register(self.record)
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
            if not self._retry.is_away:  # else maintenance removes the entry
                leave(self._store, self.record.id, self._control, self._options, self._call_courier)
            self._store.close()
            self._output.close()
            self._executor.close()
            self._watchdog.close()
            log.info("stopped")
        if self._heartbeat.is_astray:
            raise StoreReplaced(f"{self._store.address} is not the file that it was")

    def _take_back(self) -> None:
        """Let what was lost on this machine wait again, before anything newer is claimed."""
        home = Home(Path(self.record.home))
        try:
            Rescuer(self._store).recover(self._heartbeat.settings)
            if self._call_courier and deliveries_are_left(home, self._store):
                self._call_courier()
        except StoreError as fault:
            log.warning("%s", fault)  # the maintenance of later will do it

    def _work(self) -> None:
        while True:
            if not self._can_log and self._batch.is_empty:
                self._retry.pause(self._options.timings.longest_pause)
            if self._batch.is_empty and self._control.is_stopping:
                return
            job = self._batch.take()
            if job is not None:
                self._do(job)
            elif self._retry.call(self._is_done, may_leave=True):
                return
            else:
                os.chdir("/")  # keeps no directory of a job busy
                self._executor.reap()
                self._retry.call(self._sleep, may_leave=True)

    def _sleep(self) -> None:
        """Sleep until there may be work: at most until the next job or schedule is due."""
        settings = self._heartbeat.settings
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

    def _is_done(self) -> bool:
        """Whether a worker with limited orders has nothing left to do."""
        if self._options.only is not None:
            job = self._store.get(self._options.only)
            return job is None or job.state in SETTLED or self._cannot_start(job)
        if not self._options.drain:
            return False
        # a courier delivers what hooks were told of the last jobs
        has_events = self._store.hooks.all() and not process_all_events(
            self._store, _EVENTS_SECONDS
        )
        if has_events or self._store.notify_children():
            self._control.rouse()  # go on soon, once somebody could ask to stop
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
        """Run one claimed job, and commit its end when its time has come."""
        assert job.claim is not None
        self._heartbeat.hold(job.id, job.claim.id, self._batch.deadline)
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
        if put_off := postponed(job, self._known):
            return put_off
        try:
            files = self._output.open(job.id, job.runs)
        except StoreUnavailable as fault:
            self._note_no_logs(f"{fault}; trying again")
            return None
        except StoreRefused as fault:
            return Outcome(error=str(fault))
        try:
            environment = self._environment.of(job, claim_id, settings)
        except NotAllowed as fault:
            files.close()
            return Outcome(error=str(fault), is_final=True)
        if not self._can_log:
            log.info("the logs of jobs can be written again")
            self._can_log = True
        if self._log.tells_starts:
            command = command_text(job.spec.command)[:_COMMAND_LENGTH]
            self._log.log(f"running job '{job.id}': {command}")
        run = Run(
            claim_id,
            job.spec.command,
            environment,
            job.spec.cwd,
            job.spec.timeout,
            settings.kill_grace_seconds,
            settings.kill_leftovers,
            self._batch.deadline,
        )
        try:
            return self._executor.run(
                run, files, self._sync, self._batch.lighten, self._look_after_store
            )
        finally:
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


def leave(
    store: Store,
    worker_id: str,
    control: Control,
    options: WorkerOptions,
    call_courier: Callable[[], None] | None,
) -> None:
    """Sign off a worker that has no job in hand; a fault of the store is only logged.

    It unregisters last, so that it is listed (as stopping) until it is about to end.
    """
    try:
        try:
            store.workers.ask_to_stop([worker_id], StopRequest.GRACEFUL)
            now = store.now()
            if not any(is_live(each, now) and not each.stop for each in store.workers.all()):
                _process_last_events(store, control, options.timings.leave)
                store.tidy(0.0)
            if call_courier and store.has_ready_deliveries(untried=options.drain):
                call_courier()
        finally:
            store.workers.unregister(worker_id)
    except StoreError as fault:
        log.warning("%s", fault)


def _process_last_events(store: Store, control: Control, seconds: float) -> None:
    """Process the events that nobody who stays will, unless the worker shall leave at once."""
    ends_at = time.monotonic() + seconds

    def between() -> None:
        if control.stop_level > 1 or time.monotonic() >= ends_at:
            raise Leaving

    store.between = between
    with contextlib.suppress(Leaving):
        between()
        process_all_events(store)
    store.between = lambda: None
