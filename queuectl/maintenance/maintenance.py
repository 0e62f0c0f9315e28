"""The small idempotent chores that every worker does now and then; there is no leader."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from queuectl.domain import state_machine
from queuectl.domain.errors import Conflict, StoreError, StoreRefused
from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job
from queuectl.domain.settings import Settings
from queuectl.domain.state_machine import Transition
from queuectl.domain.worker_record import WorkerRecord
from queuectl.maintenance.abandoned_deliveries import are_left
from queuectl.maintenance.pruner import Pruner
from queuectl.maintenance.scheduler import Scheduler
from queuectl.queue.events import EventProcessor
from queuectl.queue.thresholds import Thresholds
from queuectl.stores.base import BATCH, Leaving, Store
from queuectl.stores.rules import commit_reduced
from queuectl.system import pidfile
from queuectl.system.home import Home
from queuectl.system.polling import Pace
from queuectl.system.processes import HEARTBEAT_SECONDS, SILENCE_SECONDS, is_alive, is_here
from queuectl.system.run_processes import kill_run, marked_orphans, members

log = logging.getLogger("queuectl.worker")

_REPAIR_SECONDS = 10.0
_SWEEP_SECONDS = 3.0
_SWEEP_BUDGET_SECONDS = _PROMOTE_BUDGET_SECONDS = 1.0
_TIDY_SECONDS = 5.0
_TIDY_BUDGET_SECONDS = 0.1
_DELIVERY_SECONDS = 1.0
_KILL_SECONDS = 2.0
_LOOKS = 3
_LATE_SECONDS = 2 * HEARTBEAT_SECONDS
"""After so long a silence of a dead worker, no claim of its turns up any more."""

_ADOPTERS = (1,)
"""Who has the orphans of a worker whose supervisor is dead too, as a rule."""

_GUARD_SECONDS, _LATE_GUARD_SECONDS = 0.2, 2.0
"""How long a dead worker's guard takes to commit what had ended and give back what had not begun;
and on a busy machine, at most.

A command that its worker was just starting shows sooner whose it is.
"""

_BEGUN_AT_MOST = 1
"""How many claims of a dead worker are left when its guard has done that."""


@frozen
class _Sighting:
    """A lease as this worker first saw it, by its own monotonic clock."""

    lease_until: datetime
    since: float


class Maintenance:
    """The chores of one worker over one store; `since` is when the worker began (now).

    `between` is called after each step of them, and by the store within long ones: on a slow store
    they take long, and what cannot wait is done there; it raises Leaving to end them.
    `call_courier` is called when there are deliveries of hooks to be made, and with `drains` for
    none that is a retry.
    """

    def __init__(
        self,
        store: Store,
        home: Home | None = None,
        since: datetime | None = None,
        between: Callable[[], None] = lambda: None,
        call_courier: Callable[[], None] | None = None,
        *,
        drains: bool = False,
    ) -> None:
        self._store = store
        store.between = between
        self._home = home
        self._between = between
        self._call_courier = call_courier
        self._drains = drains
        self._courier_pace = Pace(_DELIVERY_SECONDS)
        self._may_be_left = True
        self._scheduler = Scheduler(store, since or store.now())
        self._events = EventProcessor(store)
        self._thresholds = Thresholds(store)
        self._pruner = Pruner(store, home) if home else None
        self._sightings: dict[str, _Sighting] = {}
        self._looks: dict[str, int] = {}
        self._next_sweep = self._next_repair = self._next_tidying = 0.0
        self._chores = (
            self._promote, self._schedule, self.recover, self._expire, self._sweep,
            self._repair, self._events.tick, self._thresholds.tick, self._deliver, self._age_out,
            self._tidy,
        )  # fmt: skip
        self._hopeless: set[str] = set()
        self._undying: set[str] = set()

    def tick(self, settings: Settings) -> None:
        """Do every chore once; a fault in one does not stop the others.

        A store that fails ends the tick with StoreError, and `between` may with Leaving.
        """
        for chore in self._chores:
            try:
                chore(settings)
            except (StoreError, Leaving):
                raise
            except Exception:
                log.exception("upkeep failed")
            self._between()

    def watch_anew(self) -> None:
        """Forget how long leases were seen unrenewed: nobody could have renewed them."""
        self._sightings = {}

    def _promote(self, _settings: Settings) -> None:
        ends_at = time.monotonic() + _PROMOTE_BUDGET_SECONDS
        while self._store.make_due_claimable() == BATCH and time.monotonic() < ends_at:
            self._between()

    def _schedule(self, settings: Settings) -> None:
        self._scheduler.enqueue_due(settings)

    def _deliver(self, _settings: Settings) -> None:
        """See that there is a courier when there is something to deliver."""
        if self._call_courier is None or not self._courier_pace.is_due:
            return
        with self._courier_pace.look():
            is_wanted = self._store.has_ready_deliveries(untried=self._drains)
            if self._may_be_left and self._home is not None:
                self._may_be_left = are_left(self._home, self._store)
        if is_wanted or self._may_be_left:
            self._call_courier()

    def _sweep(self, _settings: Settings) -> None:
        """Notify children that the commit of their parent's end did not reach."""
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + _SWEEP_SECONDS
        is_more = self._store.notify_children() > 0
        if not is_more or not self._store.try_acquire_turn("sweep", _SWEEP_BUDGET_SECONDS):
            return  # somebody else goes on
        while time.monotonic() < now + _SWEEP_BUDGET_SECONDS:
            if not self._store.notify_children():
                return
            self._between()
        self._next_sweep = now

    def _age_out(self, settings: Settings) -> None:
        if self._pruner is not None:
            self._pruner.tick(settings)

    def _tidy(self, _settings: Settings) -> None:
        """Give back room in the store, a little with each tick."""
        now = time.monotonic()
        if now < self._next_tidying:
            return
        self._next_tidying = now + _TIDY_SECONDS
        if self._store.tidy(_TIDY_BUDGET_SECONDS):
            self._next_tidying = now

    def recover(self, settings: Settings) -> None:
        """Take back what dead workers of this machine held, at once, and forget them later.

        A claim that was on its way to the server when its worker died is seen only afterwards.
        """
        now = self._store.now()
        looks: dict[str, int] = {}
        for worker in self._store.workers():
            silence = (now - worker.heartbeat_at).total_seconds()
            if not is_here(worker.process):
                if silence > 20 * SILENCE_SECONDS:
                    self._forget(worker)
            elif not is_alive(worker.process):
                looks[worker.id] = self._looks.get(worker.id, 0) + 1
                self._may_be_left = True  # a courier that died with them and their supervisor
                is_last = silence > _LATE_SECONDS
                if looks[worker.id] <= _LOOKS or is_last or self._undying:
                    is_clear = self._take_back_all(worker, settings)
                    self._between()
                    if is_clear and is_last:
                        self._store.unregister(worker.id)
        self._looks = looks

    def _forget(self, worker: WorkerRecord) -> None:
        """Remove a worker of another machine that has been silent for long."""
        self._store.unregister(worker.id)
        if self._home is not None:
            try:
                pidfile.forget(self._home, worker.id)
            except StoreError as fault:
                log.warning("%s", fault)

    def _take_back_all(self, worker: WorkerRecord, settings: Settings) -> bool:
        """Take back what a dead worker held; return whether nothing of it is left."""
        held = self._left_by_guard(worker)
        is_clear = True
        for job in held:
            is_clear &= self._end_claim(job, settings)
            self._between()
        return is_clear

    def _left_by_guard(self, worker: WorkerRecord) -> list[Job]:
        """Return what a dead worker held, once its guard has had the time to do its part."""
        ends_at = time.monotonic() + _LATE_GUARD_SECONDS
        held = self._store.claimed_by(worker.id)
        if not any(job.claim and job.claim.id not in self._undying for job in held):
            return held
        while True:
            time.sleep(_GUARD_SECONDS)
            self._between()
            held = self._store.claimed_by(worker.id)
            if len(held) <= _BEGUN_AT_MOST or time.monotonic() >= ends_at:
                return held

    def _end_claim(self, job: Job, settings: Settings) -> bool:
        """Kill what is left here of a lost claim's run and take it back; return whether it was.

        A job whose processes cannot be killed stays claimed while they live, so that nobody starts
        it beside them: its lease is renewed in the name of the worker that was lost.
        """
        assert job.claim is not None
        claim_id = job.claim.id
        is_known = claim_id in self._undying
        left = members(claim_id, None) if is_known else _kill(claim_id)
        if not left:
            self._undying.discard(claim_id)
            self._take_back(job, settings)
            return True
        if not is_known:
            pids = ", ".join(map(str, left))
            log.warning("job '%s': its processes cannot be killed (pid %s)", job.id, pids)
            self._undying.add(claim_id)
        self._store.renew(job.id, claim_id, settings.lease_seconds)
        return False

    def _expire(self, settings: Settings) -> None:
        """Take back claims that were watched unrenewed for a third of a lease until they ended.

        Watching by the monotonic clock keeps a clock that was stepped from stealing a claim. And
        they could have been renewed all the while: whoever can read may be unable to write.
        """
        third = settings.lease_seconds / 3
        now = self._store.now()
        ending = self._store.leases_ending(now + timedelta(seconds=third))
        if ending:
            asked_at = time.monotonic()
            self._store.require_writable()
            if time.monotonic() - asked_at > third / 4:
                self.watch_anew()
        watched_at = time.monotonic()
        sightings: dict[str, _Sighting] = {}
        for job in ending:
            assert job.claim is not None
            until = job.claim.lease_until
            before = self._sightings.get(job.claim.id)
            is_same = before is not None and before.lease_until == until
            seen = before if before is not None and is_same else _Sighting(until, watched_at)
            sightings[job.claim.id] = seen
            if until <= now and watched_at - seen.since >= third:
                self._end_claim(job, settings)
                self._between()
        self._sightings = sightings

    def _repair(self, _settings: Settings) -> None:
        now = time.monotonic()
        if now < self._next_repair:
            return  # asking for the turn is a write, which idle workers should not do each second
        self._next_repair = now + _REPAIR_SECONDS / 2
        if self._store.try_acquire_turn("repair", _REPAIR_SECONDS):
            self._store.repair()

    def _take_back(self, job: Job, settings: Settings) -> None:
        """End a lost claim; one job that cannot be taken back does not stop the others."""
        try:
            change = state_machine.expire(job, self._store.now(), settings.max_interruptions)
            is_committed = self._commit(change)
        except (Conflict, StoreRefused) as fault:
            if job.id not in self._hopeless:
                log.error("job '%s' cannot be taken back: %s", job.id, fault)
            self._hopeless.add(job.id)
        else:
            if is_committed:
                log.warning("job '%s': worker %s was lost", job.id, job.worker)

    def _commit(self, change: Transition) -> bool:
        try:
            return self._store.commit(change)
        except StoreRefused as fault:
            return commit_reduced(self._store.commit, change, fault)[1]


def _kill(claim_id: str) -> list[int]:
    """Kill what is left of a run on this host; return the pids that cannot be killed."""
    orphans = partial(marked_orphans, claim_id, _ADOPTERS)
    return kill_run(claim_id, None, _KILL_SECONDS, orphans=orphans)
