"""A worker's life: claim -> run -> commit, until it is asked to leave."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from functools import partial

from queuectl.captured import Variables
from queuectl.domain import settings as tunables
from queuectl.domain import transitions
from queuectl.domain.errors import (
    NotFound,
    StoreError,
    StoreRefused,
    StoreReplaced,
    StoreUnavailable,
)
from queuectl.domain.filters import Filter
from queuectl.domain.hook import hook_of
from queuectl.domain.job import SETTLED, Job, Outcome, State, command_text
from queuectl.domain.policy import refusal
from queuectl.domain.transitions import Transition
from queuectl.home import Place
from queuectl.stores import open_store
from queuectl.stores.base import Store
from queuectl.stores.moved import require_in_use
from queuectl.worker import deliveries
from queuectl.worker.claims import Claims, Orders
from queuectl.worker.control import Control
from queuectl.worker.environment import Environment, MissingEnvironment
from queuectl.worker.guard import Guard
from queuectl.worker.lease import Heartbeat
from queuectl.worker.logs import JobLog
from queuectl.worker.output import OutputFolder, RunFiles
from queuectl.worker.patience import LONGEST_PAUSE, Absence, Patience
from queuectl.worker.processes import is_live
from queuectl.worker.record import new_record, new_worker_id
from queuectl.worker.refused import store_less
from queuectl.worker.runner import Run, Runner
from queuectl.worker.scheduling import Scheduling
from queuectl.worker.telling import tell_all

log = logging.getLogger("queuectl.worker")


_SHOWN = 200


class _Refused(Exception):
    """A run that is not begun, now or ever; the text says why."""


class Worker:
    """One worker process. Make it in the process that shall work, before any thread."""

    def __init__(self, place: Place, orders: Orders, worker_id: str | None = None) -> None:
        self._control = Control()
        self._guard = Guard()
        self._control.install()
        self._place = place
        self._orders = orders
        self._store: Store = open_store(place.store_url)
        require_in_use(self._store)
        self.record = new_record(
            worker_id or new_worker_id(), place.home, orders.queues, self._store.now()
        )
        self._runner = Runner(self._control, self._guard)
        self._output = OutputFolder(place.home)
        self._environment = Environment(self.record.id, self._captured)
        absence = Absence()
        self._heartbeat = Heartbeat(
            lambda: open_store(place.store_url),
            self.record,
            self._control,
            self._guard,
            absence,
            tunables.from_stored(self._store.settings()),
            self._store.is_in_place,
        )
        self._patience = Patience(self._control, absence)
        self._claims = Claims(self._store, self.record.id, orders, self._heartbeat, self._patience)
        self._scheduling = Scheduling(self._store, self.record.started_at)
        self._log = JobLog()
        self._can_log = True

    def run(self, on_ready: Callable[[], None]) -> None:
        """Work until asked to leave; `on_ready` is called when the first claim can be made."""
        self._store.register(self.record)
        self._heartbeat.start()
        log.info("started")
        on_ready()
        try:
            self._work()
        finally:
            self._heartbeat.stop()
            self._leave()
        if self._heartbeat.is_astray:
            raise StoreReplaced(f"{self._store.address} is not the file that it was")

    def _leave(self) -> None:
        try:
            if not self._patience.is_away:  # else upkeep removes the entry
                self._store.unregister(self.record.id)
                if not any(is_live(each, self._store.now()) for each in self._store.workers()):
                    tell_all(self._store)
        except StoreError as fault:
            log.warning("%s", fault)
        self._store.close()
        self._output.close()
        self._runner.close()
        self._guard.close()
        log.info("stopped")

    def _work(self) -> None:
        job: Job | None = None
        while True:
            if job is None:
                if not self._can_log:
                    self._patience.pause(LONGEST_PAUSE)
                if self._control.is_stopping:
                    return
                job = self._claims.take()
            if job is None:
                if self._patience.insist(self._is_done, may_leave=True):
                    return
                self._idle()
            else:
                job = self._do(job)

    def _idle(self) -> None:
        """Sleep until there may be work: at most until the next job or schedule is due."""
        os.chdir("/")  # keeps no directory of a job busy
        settings = self._heartbeat.settings

        def sleep() -> None:
            if self._store.promote():
                return
            seconds = settings.poll_interval_sec
            schedules = self._scheduling.enqueue_due(settings, ahead=seconds)
            if schedules.enqueued:
                return
            for due in (self._store.next_due(), schedules.next_due):
                if due is not None:
                    seconds = min(seconds, max(0.0, (due - self._store.now()).total_seconds()))
            self._store.wait_for_work(seconds, self._control.wake)
            self._control.settle_down()

        self._patience.insist(sleep, may_leave=True)

    def _is_done(self) -> bool:
        """Whether a worker with limited orders has nothing left to do."""
        if self._orders.only is not None:
            job = self._store.get(self._orders.only)
            return job is None or job.state in SETTLED
        if not self._orders.drain:
            return False
        if self._store.hooks() and self._store.untold(1).endings:
            tell_all(self._store)
            return False  # what hooks were told of the last jobs is to be delivered
        counts, unfinished = self._store.counts(), frozenset({State.PROCESSING, State.FAILED})
        filters = [Filter(unfinished, queue) for queue in self._orders.queues or (None,)]
        if any(map(counts.matching, filters)) or self._store.promote():
            return False
        return not self._scheduling.enqueue_due(self._heartbeat.settings).enqueued

    # running

    def _do(self, job: Job) -> Job | None:
        """Run one claimed job, settle it, and return the next that was claimed with that."""
        assert job.claim is not None
        self._heartbeat.hold(job.id, job.claim.id, self._claims.deadline)
        self._log.hold(job)
        try:
            # also what is given back at once is held: its lease ends the waiting for the store
            is_begun = not self._control.is_stopping
            return self._settle(job, self._run(job, job.claim.id) if is_begun else None)
        finally:
            self._heartbeat.let_go()
            self._log.hold(None)

    def _run(self, job: Job, claim_id: str) -> Outcome | None:
        """Run a job's command; None when its log cannot be written and it was given back."""
        settings = self._heartbeat.settings
        try:
            files = self._output.open(job.id, job.runs)
        except StoreUnavailable as fault:
            if self._can_log:
                log.warning("%s; trying again", fault)
            self._can_log = False
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
            self._log.tell(f"running job '{job.id}': {command_text(job.spec.command)[:_SHOWN]}")
        hook = hook_of(job.id)
        run = Run(
            claim_id,
            job.spec.command if hook is None else deliveries.program(hook),
            environment,
            job.spec.cwd if hook is None else None,
            job.spec.timeout,
            settings.kill_grace_seconds,
            settings.kill_leftovers,
            self._claims.deadline,
            b"" if hook is None else deliveries.orders(self._place),
        )
        try:
            outcome = self._runner.run(run, files, self._sync)
            return outcome if hook is None else deliveries.verdict(outcome)
        finally:
            self._put_away(files)

    def _put_away(self, files: RunFiles) -> None:
        """Close a run's files; what could not be kept is in its record, up to a length."""
        try:
            files.close()
        except (StoreUnavailable, StoreRefused) as fault:
            if self._can_log:
                log.warning("%s; what a job wrote is kept in its record alone", fault)
            self._can_log = False

    def _sync(self) -> None:
        """Make the claim durable while its job runs; what fails now is tried before any write."""
        with contextlib.suppress(StoreUnavailable):
            self._store.sync()

    def _captured(self, name: str) -> Variables | None:
        return self._patience.insist(partial(self._store.environment, name))

    def _allowed(self, job: Job, claim_id: str) -> dict[bytes, bytes]:
        """Return a run's environment. Raises _Refused when it must not or cannot be begun.

        A delivery is no command that somebody asked for.
        """
        why = refusal(job.spec.command, self._heartbeat.settings)
        if why and hook_of(job.id) is None:
            raise _Refused(f"Command is not allowed: {why}")
        try:
            return self._environment.of(job, claim_id)
        except MissingEnvironment as fault:
            raise _Refused(str(fault)) from None

    # settling

    def _settle(self, job: Job, outcome: Outcome | None) -> Job | None:
        """Commit a run's outcome (None: it was not begun), and claim the next job with that.

        A commit that is refused is looked into: asked to cancel meanwhile, it is decided again;
        else the claim was lost and the outcome is discarded.
        """
        next_job: Job | None = None
        may_claim = outcome is not None
        while True:
            now = self._patience.insist(self._store.now)
            change = (
                transitions.settle(job, outcome, now) if outcome else transitions.release(job, now)
            )
            try:
                if may_claim and not self._control.is_stopping:
                    is_committed, next_job = self._claims.settle_and_take(change)
                    may_claim = False
                else:
                    is_committed = self._commit(change)
            except StoreRefused as fault:
                try:
                    change, is_committed = store_less(self._commit, change, fault)
                except StoreRefused as refusal:
                    self._give_up(job, refusal)
                    return None
            if not is_committed:
                fresh = self._patience.insist(partial(self._store.get, job.id))
                if fresh is not None and _is_same_claim(fresh, job):
                    job = fresh
                    continue
            self._tell(job, change.after if is_committed else None, outcome)
            return next_job

    def _commit(self, change: Transition) -> bool:
        return self._patience.insist(partial(self._store.commit, change))

    def _give_up(self, job: Job, fault: StoreRefused) -> None:
        """Leave a job whose end cannot be stored; raise if the store refuses everything."""
        with contextlib.suppress(NotFound):  # even that is an answer
            self._patience.insist(partial(self._store.heartbeat, self.record.id))
        log.error("job '%s': its result cannot be stored: %s", job.id, fault)

    def _tell(self, job: Job, after: Job | None, outcome: Outcome | None) -> None:
        if after is None:
            log.warning("job '%s': the claim was lost, its result is discarded", job.id)
            return
        if outcome is None:
            return
        if self._orders.show_output:
            for line in (*outcome.stdout.splitlines(), *outcome.stderr.splitlines()):
                self._log.tell(f"job '{job.id}' | {line}")
        why = f" ({outcome.error})" if outcome.error else ""
        self._log.tell(f"job '{job.id}' -> {after.state.value}{why}")


def _is_same_claim(fresh: Job, held: Job) -> bool:
    return fresh.claim is not None and held.claim is not None and fresh.claim.id == held.claim.id
