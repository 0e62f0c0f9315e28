"""A worker's life: claim -> run -> commit, until it is asked to leave."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from queuectl.domain import settings as tunables
from queuectl.domain.errors import StoreError, StoreReplaced, StoreUnavailable
from queuectl.domain.job import Job
from queuectl.domain.queue_limits import ONE_JOB
from queuectl.domain.worker_record import WorkerRecord
from queuectl.maintenance.rescuer import Rescuer, deliveries_are_left
from queuectl.maintenance.scheduler import Scheduler
from queuectl.stores import reopen_store
from queuectl.stores.base import Store
from queuectl.stores.rules import require_in_use
from queuectl.system.home import Home, Location
from queuectl.system.polling import wait_readable
from queuectl.system.processes import this_process
from queuectl.worker.batch import ClaimBatch, ClaimedJob, Situation
from queuectl.worker.heartbeat import Heartbeat
from queuectl.worker.job_starter import JobStarter
from queuectl.worker.leaving import is_done, leave
from queuectl.worker.logging import JobLog
from queuectl.worker.options import WorkerOptions
from queuectl.worker.runs.executor import Executor
from queuectl.worker.runs.watchdog import Watchdog
from queuectl.worker.signals import Control
from queuectl.worker.store_retry import OutageLog, StoreRetry

log = logging.getLogger("queuectl.worker")


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
            options=options,
        )
        self._retry = StoreRetry(self._control, outage, self._store.recover, options.timings)
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
        self._begun: dict[str, Job] = {}
        self._news = 0
        self._starter = JobStarter(
            self._store,
            worker_id,
            place.home,
            self._executor,
            self._retry,
            self._log,
            options.timings.longest_pause,
        )

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
            self._starter.close()
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
            self._end_ended()
            has_claimed = self._batch.settle(self._situation())
            self._begin_waiting()
            self._log.hold(self._only_job())
            has_more = has_claimed and self._situation().can_take_more
            if has_more or self._batch.next_look() <= 0:
                continue
            if not self._begun and self._batch.is_empty and self._may_leave():
                return
            self._wait()

    def _may_leave(self) -> bool:
        """Whether a worker that has nothing in hand shall go."""
        return self._control.is_stopping or self._retry.call(self._is_done, may_leave=True)

    @property
    def _free(self) -> int:
        """How many jobs may be begun now: none beside a suspect, nor while one is to be."""
        only = self._only_job()
        if self._batch.aside or (only is not None and only.suspect):
            return 0
        return self._heartbeat.slots - len(self._begun)

    def _situation(self) -> Situation:
        return Situation(
            free=self._free,
            may_claim=self._starter.can_log and not self._control.is_stopping,
            is_alone=self._heartbeat.slots == 1,
            is_busy=bool(self._begun),
            is_slow=bool(self._begun) and self._executor.are_slow,
        )

    def _wait(self) -> None:
        """Sleep until a run ends, somebody says something, there is work, or a time is up."""
        os.chdir("/")  # keeps no directory of a job busy
        seconds = min(self._executor.next_look(), self._batch.next_look())
        now = self._situation()
        if not now.can_take_more:
            if not now.may_claim and not self._control.is_stopping:
                seconds = min(seconds, max(0.0, self._starter.next_try - time.monotonic()))
            wait_readable([self._control.wake], seconds)
        elif now.is_busy:
            try:
                self._retry.attempt(partial(self._sleep, seconds))
            except StoreUnavailable:
                wait_readable([self._control.wake], min(seconds, self._retry.next_try))
        else:
            self._retry.call(partial(self._sleep, seconds), may_leave=True)
        self._control.settle_down()
        if self._news != self._control.news:
            self._news = self._control.news
            self._look_after_store()

    def _sleep(self, most: float) -> None:
        """Sleep until there may be work: at most until the next job or schedule is due."""
        settings = self._heartbeat.settings
        if self._store.make_due_claimable():
            return
        seconds = settings.poll_interval_sec
        schedules = self._scheduler.enqueue_due(settings, ahead=seconds)
        if schedules.enqueued:
            return
        seconds = min(seconds, most)
        for due in (self._store.next_due(), schedules.next_due):
            if due is not None:
                seconds = min(seconds, max(0.0, (due - self._store.now()).total_seconds()))
        self._store.wait_for_work(seconds, self._control.wake)

    def _is_done(self) -> bool:
        """Whether a worker with limited orders has nothing left to do."""
        if not is_done(self._store, self._options, self._control):
            return False
        if self._options.only is not None:
            return True
        return not self._scheduler.enqueue_due(self._heartbeat.settings).enqueued

    # running

    def _end_ended(self) -> None:
        """Note how runs have ended, for the batch to commit."""
        for run, files, outcome in self._executor.ended():
            self._starter.close_files(files)
            self._batch.end(self._begun.pop(run.id), outcome)

    def _only_job(self) -> Job | None:
        """Return the job that runs, if it is the only one: then what is logged is about it."""
        return next(iter(self._begun.values())) if len(self._begun) == 1 else None

    def _begin_waiting(self) -> None:
        """Begin the jobs that are claimed, as far as there are slots for them."""
        begun_before = len(self._begun)
        if self._batch.aside:
            self._look_at_suspect(self._batch.aside)
        while self._batch.has_waiting and self._free > 0:
            claimed = self._batch.take()
            if claimed.job.suspect and self._begun:
                self._heartbeat.hold(claimed.job.id, claimed.claim_id, claimed.deadline)
                self._batch.set_aside(claimed)
            else:
                self._begin(claimed)
        if len(self._begun) > begun_before:
            self._sync()

    def _look_at_suspect(self, claimed: ClaimedJob) -> None:
        """Begin the job that has to run alone once nothing else runs, or give it back."""
        is_over = self._control.is_stopping or self._control.halt(claimed.claim_id)
        if is_over or not self._begun:
            self._batch.take_aside()
            self._begin(replace(claimed, deadline=self._heartbeat.deadline_of(claimed.claim_id)))

    def _begin(self, claimed: ClaimedJob) -> None:
        """Start one claimed job; what cannot be started is ended or given back."""
        job, claim_id = claimed.job, claimed.claim_id
        self._heartbeat.hold(job.id, claim_id, claimed.deadline)
        self._log.hold(job)
        if self._control.is_stopping or self._control.halt(claim_id):
            self._batch.end(job, None)
            return
        try:
            outcome = self._starter.start(claimed, self._heartbeat.settings)
        except StoreUnavailable as fault:
            log.debug("%s", fault)
            self._batch.end(job, None)
            return
        if outcome is None:
            self._begun[claim_id] = job
        else:
            self._batch.end(job, outcome)

    def _sync(self) -> None:
        """Make the claim durable while its job runs; what fails now is tried before any write."""
        try:
            self._store.flush()
        except StoreUnavailable as fault:
            log.debug("%s", fault)

    def _look_after_store(self) -> None:
        """Let go of files that were taken from the store; nobody can open it before."""
        try:
            self._store.recover(0)
        except StoreError as fault:
            log.debug("%s", fault)
