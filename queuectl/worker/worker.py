"""A worker's life: claim -> run -> commit, until it is asked to leave."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from queuectl.domain import settings as tunables
from queuectl.domain.errors import StoreError, StoreReplaced, StoreUnavailable
from queuectl.domain.job import Job, Outcome
from queuectl.domain.queue_limits import ONE_JOB
from queuectl.domain.worker_record import WorkerRecord
from queuectl.maintenance.rescuer import Rescuer, deliveries_are_left
from queuectl.maintenance.scheduler import Scheduler
from queuectl.queue import snapshots
from queuectl.queue.lazy import LazyJobs
from queuectl.stores import reopen_store
from queuectl.stores.base import Store
from queuectl.stores.rules import require_in_use
from queuectl.system.home import Home, Location
from queuectl.system.processes import this_process
from queuectl.worker.batch import ClaimBatch, ClaimedJob, Situation
from queuectl.worker.heartbeat import Heartbeat
from queuectl.worker.host_report import host_report, is_host_drained
from queuectl.worker.job_starter import JobStarter
from queuectl.worker.leaving import is_done, leave
from queuectl.worker.log_uploader import LogUploader
from queuectl.worker.logging import JobLog
from queuectl.worker.neighbours import admit_neighbours
from queuectl.worker.offers import Offers, declared_by
from queuectl.worker.options import WorkerOptions
from queuectl.worker.runs.executor import Executor
from queuectl.worker.runs.watchdog import Watchdog
from queuectl.worker.signals import Control
from queuectl.worker.slot_shares import SlotShare
from queuectl.worker.store_retry import OutageLog, StoreRetry

if TYPE_CHECKING:
    from queuectl.queue.signing import Verifier

log = logging.getLogger("queuectl.worker")

_LONGEST_SLEEP = 60.0
"""A worker whose host is drained has nothing to look at, and sleeps until it is told."""

_FEW = 100
"""A worker that finds nothing to do makes jobs of a batch of which no more than so many wait."""


class Worker:
    """One worker process. Make it in the process that shall work, before any thread.

    `call_courier` is called when there are deliveries of hooks, which it never makes itself. Of its
    slots it uses its `share`, where others run suspects beside it.
    `is_adopter` says that the process adopts the orphans of what it runs (see `adopt_orphans`).
    """

    def __init__(
        self,
        place: Location,
        options: WorkerOptions,
        watchdog: Watchdog,
        worker_id: str,
        call_courier: Callable[[], None] | None = None,
        share: SlotShare | None = None,
        *,
        is_adopter: bool = False,
    ) -> None:
        self._control = Control()
        self._watchdog = watchdog
        self._control.install()
        self._options = options
        self._call_courier = call_courier
        self._share = share
        self._store: Store = reopen_store(place.store_url)
        self._store.patience = options.timings.lock
        require_in_use(self._store)
        now, host = self._store.now(), socket.gethostname()
        is_drained = options.only is None and is_host_drained(self._store, host)
        settings = tunables.from_stored(self._store.settings.all())
        self.record = WorkerRecord(
            id=worker_id,
            process=this_process(),
            host=host,
            home=str(place.home.root),
            queues=options.queues if options.only is None else (ONE_JOB,),
            started_at=now,
            heartbeat_at=now,
            slots=options.slots(settings),
            resources=declared_by(options, settings),
            report=host_report(self._store, is_drained=is_drained),
        )
        self._offers = Offers(self.record, is_for_one=options.only is not None)
        if share:
            share.offer = self._offers.host_offer
        self._executor = Executor(
            self._control,
            self._watchdog,
            options.timings.quick,
            lambda: self._heartbeat.settings.max_log_bytes,
            is_adopter=is_adopter,
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
            share,
            options=options,
            is_drained=is_drained,
        )
        self._retry = StoreRetry(self._control, outage, self._store.recover, options.timings)
        self._scheduler = Scheduler(self._store, self.record.started_at)
        self._lazy = LazyJobs(self._store)
        self._log = JobLog()
        self._batch = ClaimBatch(
            self._store,
            worker_id,
            options,
            self._heartbeat,
            self._retry,
            self._watchdog,
            self._log,
            lambda: self._offers.now(self._heartbeat.settings.needs_patience_seconds),
        )
        self._uploader = LogUploader(
            place.home,
            worker_id,
            lambda: reopen_store(place.store_url),
            lambda: self._heartbeat.settings,
        )
        self._begun: dict[str, Job] = {}
        self._news: object = None
        self._starter = JobStarter(
            self._store,
            worker_id,
            place.home,
            self._executor,
            self._retry,
            self._log,
            options.timings,
            _verifier_of(place.home, self._store),
        )

    def run(self, on_ready: Callable[[], None]) -> None:
        """Work until asked to leave; `on_ready` is called when the first claim can be made."""
        self._store.workers.register(self.record)
        self._heartbeat.start()
        self._take_back()
        log.info("started")
        on_ready()
        self._uploader.start()
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
            self._uploader.close()
        if self._heartbeat.is_astray:
            raise StoreReplaced(f"{self._store.address} is not the file that it was")

    def _take_back(self) -> None:
        """Let what was lost on this machine wait again, before anything newer is claimed."""
        home = Home(Path(self.record.home))
        try:
            Rescuer(self._store).recover(self._heartbeat.settings)
            self._look_for_suspects()
            if home.snapshots.exists():
                snapshots.sweep(self._store, home)
            if self._call_courier and deliveries_are_left(home, self._store):
                self._call_courier()
        except StoreError as fault:
            log.warning("%s", fault)  # the maintenance of later will do it

    def _work(self) -> None:
        while True:
            self._end_ended()
            is_wide = self._heartbeat.slots > 1
            if is_wide:
                self._admit_neighbours()
            if self._share:
                self._share.plan(self._heartbeat.slots, len(self._begun))
            free = self._free
            may_claim = self._starter.can_log and not self._takes_none
            has_claimed = False
            if not (may_claim and free > 0 and self._batch.has_next):
                has_claimed = self._batch.settle(self._situation(free, may_claim=may_claim))
            free = self._begin_waiting(free)
            if has_claimed:
                self._sync()
            if self._share and is_wide:
                self._share.note(self._heartbeat.slots, len(self._begun))
            if is_wide or not self._begun:  # else it is held since it was begun
                self._log.hold(self._only_job())
            seconds = self._batch.next_look()
            if seconds <= 0 or (has_claimed and free > 0):
                continue
            if not self._begun and self._batch.is_empty and self._may_leave():
                return
            self._wait(seconds, free)

    @property
    def _takes_none(self) -> bool:
        """Whether no more jobs are taken: it is to leave, or its host is drained."""
        return self._control.is_stopping or self._heartbeat.is_drained

    def _may_leave(self) -> bool:
        """Whether a worker that has nothing in hand shall go."""
        if self._control.is_stopping or (self._heartbeat.is_drained and self._options.passing):
            return True
        return self._retry.call(self._is_done, may_leave=True)

    @property
    def _free(self) -> int:
        """How many jobs may be begun now: none beside one that runs alone."""
        slots = self._heartbeat.slots
        if slots == 1:
            return 1 - len(self._begun)
        only = self._only_job()
        if only is not None and only.runs_alone:
            return 0
        return (self._share.of(slots) if self._share else slots) - len(self._begun)

    def _situation(self, free: int, *, may_claim: bool) -> Situation:
        return Situation(
            free=free,
            may_claim=may_claim,
            is_alone=self._heartbeat.slots == 1,
            is_busy=bool(self._begun),
            is_slow=bool(self._begun) and self._executor.are_slow,
        )

    def _wait(self, most: float, free: int) -> None:
        """Sleep until a run ends, somebody says something, a time is up, or (for free slots) there
        is work.
        """
        seconds = min(most, self._executor.next_look(), _LONGEST_SLEEP)
        if self._share:
            seconds = min(seconds, self._share.next_look)
        if self._takes_none or free <= 0:
            self._control.sleep(seconds)
        elif not self._starter.can_log:
            self._control.sleep(min(seconds, self._starter.next_try - time.monotonic()))
        else:
            os.chdir("/")  # keeps no directory of a job busy
            self._wait_for_work(seconds)
        self._control.settle_down()
        if self._news is not self._control.news:
            self._news = self._control.news
            self._look_after_store()

    def _wait_for_work(self, seconds: float) -> None:
        if not self._begun:
            self._retry.call(partial(self._sleep, seconds), may_leave=True)
            return
        try:
            self._retry.attempt(partial(self._sleep, seconds))
        except StoreUnavailable:
            self._control.sleep(min(seconds, self._retry.next_try))

    def _sleep(self, most: float) -> None:
        """Sleep until there may be work: at most until the next job or schedule is due."""
        settings = self._heartbeat.settings
        if self._store.make_due_claimable():
            return
        if self._lazy.top_up(_FEW):
            return
        self._look_for_suspects()
        seconds = settings.poll_interval_sec
        schedules = self._scheduler.enqueue_due(settings, ahead=seconds)
        if schedules.enqueued:
            return
        seconds = min(seconds, most)
        for due in (self._store.next_due(), schedules.next_due):
            if due is not None:
                seconds = min(seconds, max(0.0, (due - self._store.now()).total_seconds()))
        self._store.wait_for_work(seconds, self._control.wake)

    def _look_for_suspects(self) -> None:
        """Let others run the suspects that wait, if this worker runs several jobs at once."""
        if self._share:
            self._share.look(self._store, self._heartbeat.slots)

    def _is_done(self) -> bool:
        """Whether a worker with limited orders has nothing left to do."""
        if not is_done(self._store, self._options, self._control, self._offers.host_offer):
            return False
        if self._options.only is not None or self._options.suspects:
            return True
        if self._starter.is_awaited():
            return False
        return not self._scheduler.enqueue_due(self._heartbeat.settings).enqueued

    # running

    def _end_ended(self) -> None:
        """Note how runs have ended, for the batch to commit."""
        for run, files, outcome in self._executor.ended():
            job = self._begun.pop(run.id)
            self._starter.close_files(files)
            if run.prepares:
                self._go_on(job, run.prepares, outcome)
            else:
                self._let_go(job, outcome)
                self._batch.end(job, outcome)

    def _let_go(self, job: Job, outcome: Outcome | None = None) -> None:
        """Let go of what was had for a run; its output may be kept for other hosts from now on."""
        self._starter.ended(job)
        is_silent = outcome is not None and not (outcome.stdout or outcome.stderr)
        self._uploader.end(job.claim_id, has_output=not is_silent)

    def _go_on(self, job: Job, prepared: str, outcome: Outcome) -> None:
        """Go on with a job for which something was done before its own command."""
        end = self._starter.after(job, prepared, outcome)
        if end is not None or outcome.interrupted or self._control.halt(job.claim_id):
            self._let_go(job)
            self._batch.end(job, end)
            return
        deadline = self._heartbeat.deadline_of(job.claim_id)
        self._start(ClaimedJob(job, deadline), prepared)

    def _only_job(self) -> Job | None:
        """Return the job that runs, if it is the only one: then what is logged is about it."""
        return next(iter(self._begun.values())) if len(self._begun) == 1 else None

    def _begin_waiting(self, free: int) -> int:
        """Begin the jobs that are claimed in the free slots; return how many are left free."""
        while self._batch.has_waiting and free > 0:
            self._begin(self._batch.take())
            free = self._free
        return free

    def _admit_neighbours(self) -> None:
        """Let a job have neighbours that was claimed when there were no slots for any."""
        only = self._only_job()
        if only is None or only.suspect or not only.runs_alone:
            return
        if self._batch.has_waiting:
            return  # each of them was claimed to run alone; given back, if they have to wait
        try:
            job = self._retry.attempt(partial(admit_neighbours, self._store, only))
        except StoreUnavailable as fault:
            log.debug("%s", fault)
            return
        if job is not None:
            self._begun[job.claim_id] = job

    def _begin(self, claimed: ClaimedJob) -> None:
        """Start one claimed job; what cannot be started is ended or given back."""
        job, claim_id = claimed.job, claimed.job.claim_id
        self._heartbeat.hold(job.id, claim_id, claimed.deadline)
        self._log.hold(job)
        is_beside = job.runs_alone and self._begun  # it was asked for when there was one slot
        if self._control.is_stopping or self._control.halt(claim_id) or is_beside:
            self._batch.end(job, None)
            return
        self._start(claimed)

    def _start(self, claimed: ClaimedJob, prepared: str = "") -> None:
        """Start a job's command, or what is next to do before; `prepared` is what was done last."""
        job = claimed.job
        try:
            outcome = self._starter.start(claimed, self._heartbeat.settings, prepared)
        except StoreUnavailable as fault:
            log.debug("%s", fault)
            self._let_go(job)
            self._batch.end(job, None)
            return
        if outcome is None:
            self._begun[job.claim_id] = job
            self._uploader.begin(job)
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


def _verifier_of(home: Home, store: Store) -> Verifier | None:
    """Return what refuses unsigned jobs, on a host that requires signatures."""
    if not home.requires_signed():
        return None
    from queuectl.queue.signing import Verifier  # which few hosts need

    return Verifier(home, store)
