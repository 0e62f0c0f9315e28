"""The heartbeat: a thread that renews the claims in hand, and does maintenance.

It has a store of its own and no part in the path of a job. When a renewal is refused, or has not
succeeded in time, the job is stopped before its lease ends: the worker fences itself. A store that
is locked is another matter: while nobody can write, nobody can take the job either, nor may anybody
before a third of a lease in which they could write, so it goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from queuectl.domain import settings as tunables
from queuectl.domain.errors import NotFound, StoreError, StoreLocked
from queuectl.domain.frozen import replace
from queuectl.domain.settings import Settings
from queuectl.domain.worker_record import StopRequest, WorkerRecord
from queuectl.maintenance import Maintenance
from queuectl.stores.base import Store
from queuectl.stores.exchange import HeldClaim, Leaving, Renewal
from queuectl.stores.rules import MOVED_TO
from queuectl.system import pidfile
from queuectl.system.home import Home
from queuectl.system.polling import LONGEST_GAP, Pace
from queuectl.system.processes import HEARTBEAT_SECONDS, boot_clock, rouse
from queuectl.worker.host_report import host_report, is_host_drained
from queuectl.worker.live_logs import LiveLogs
from queuectl.worker.logging import use_format
from queuectl.worker.options import WorkerOptions
from queuectl.worker.runs.watchdog import Watchdog
from queuectl.worker.signals import Control
from queuectl.worker.slot_shares import SlotShare
from queuectl.worker.store_retry import OutageLog

log = logging.getLogger("queuectl.worker")

_TICK_SECONDS = 1.0
_SETTINGS_SECONDS = 2.0
_FENCE_SECONDS = 2.0
_LEAST_PATIENCE = 0.05
_FRESH = 0.75
"""A claim of whose lease so much is left need not be renewed at once."""


@dataclass(slots=True)
class _Held:
    """A claim in hand, and when by `boot_clock` its lease ends and its run must be stopped.

    A run that is over sooner than it is to be renewed costs no renewal.
    """

    job_id: str
    claim_id: str
    deadline: float
    fence_at: float
    renew_at: float


class Heartbeat:
    """Keeps one worker's claims, its entry in the registry and its view of the settings alive.

    `settings` are those in force, and `slots` how many jobs the worker runs at once by them.
    `is_drained` says that the host is drained: it takes no jobs then.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        worker: WorkerRecord,
        control: Control,
        watchdog: Watchdog,
        outage: OutageLog,
        settings: Settings,
        is_in_place: Callable[[], bool] = lambda: True,
        call_courier: Callable[[], None] | None = None,
        share: SlotShare | None = None,
        *,
        options: WorkerOptions,
        is_drained: bool = False,
    ) -> None:
        self._open_store = open_store
        self._is_in_place = is_in_place
        self._call_courier = call_courier
        self._share = share
        self._options = options
        self._worker = worker
        self._control = control
        self._watchdog = watchdog
        self._outage = outage
        self._held: dict[str, _Held] = {}
        self._is_locked = False
        self.is_astray = False
        self.is_drained = is_drained
        self._live_logs = LiveLogs(Home(Path(worker.home)), worker.id)
        self._parent = os.getppid()
        self._has_missed_parent = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._store: Store | None = None
        self._maintenance: Maintenance | None = None
        self._longest_gap = min(LONGEST_GAP, settings.lease_seconds / 6)
        self._maintenance_pace = Pace(0, self._longest_gap)
        self._next_renewal = self._next_beat = self._next_settings = 0.0
        self._heed(settings)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating; the last thing a worker does after its job has been settled."""
        self._over.set()
        self._thread.join()

    def hold(self, job_id: str, claim_id: str, deadline: float) -> None:
        """Begin to renew a claim whose lease ends at `deadline` (`boot_clock`)."""
        present = boot_clock()
        is_fresh = deadline - present > self.settings.lease_seconds * _FRESH
        renew_at = present + self._tick_seconds / 2 if is_fresh else present
        held = _Held(job_id, claim_id, deadline, self._fence_before(deadline), renew_at)
        self._control.hold(claim_id, held.fence_at)
        self._held[claim_id] = held
        self._next_renewal = 0.0

    def note_over(self, claim_id: str) -> None:
        """Note that a run is over: its claim need only stand until the end is committed."""
        if held := self._held.get(claim_id):
            held.renew_at = held.deadline - self.settings.lease_seconds / 2

    def deadline_of(self, claim_id: str) -> float:
        """Return when the lease of a claim ends (`boot_clock`); in the past where it is lost."""
        held = self._held.get(claim_id)
        return held.deadline if held is not None else 0.0

    def let_go(self, claim_id: str) -> None:
        """Stop renewing a claim: the job has been settled, or the claim is lost."""
        self._held.pop(claim_id, None)
        self._control.let_go(claim_id)

    def _fence_before(self, deadline: float) -> float:
        return deadline - min(_FENCE_SECONDS, self.settings.lease_seconds / 5)

    def _extend(self, held: _Held, deadline: float, fence_at: float) -> None:
        """Let a run go on for longer, as its claim stands."""
        held.deadline, held.fence_at = deadline, fence_at
        self._control.fence(held.claim_id, fence_at)
        self._watchdog.extend(held.claim_id, deadline)

    def _outlast(self, held: _Held) -> None:
        """Let a job in hand go on: just now nobody could write, and its claim stood."""
        lease, now = self.settings.lease_seconds, boot_clock()
        self._extend(held, max(held.deadline, now + lease / 3), max(held.fence_at, now + lease / 4))

    def _beat(self) -> None:
        while not self._over.wait(self._tick_seconds):
            if self._is_alone():
                self._control.request_stop()
            self._watchdog.rouse()
            rouse(self._parent)
            if self._is_astray():
                self._control.request_stop(at_once=True)  # no claim holds there, no end is taken
                self._close_store()  # who comes to the other file waits until all have let go
                continue
            asked_at = time.monotonic()
            self._is_locked = False
            try:
                self._tick()
                self._outage.end("heartbeat")
            except StoreLocked as fault:
                self._outage.begin("heartbeat", fault, asked_at)
                self._is_locked = True
                if self._maintenance is not None:
                    self._maintenance.rescuer.watch_anew()
            except StoreError as fault:
                self._outage.begin("heartbeat", fault, asked_at)
                self._close_store()
                self._control.tell()  # so that whoever watches a job lets go of the store too
            except Leaving:
                break
            except Exception:
                log.exception("heartbeat failed")
        self._close_store()

    def _tick(self) -> None:
        if self._store is None:
            self._store = self._open_store()
            self._store.patience = self._patience
            home, store = Home(Path(self._worker.home)), self._store
            self._maintenance = Maintenance(
                store,
                home,
                self._worker.started_at,
                lambda: self._between(store),
                self._call_courier,
                drains=self._options.drain,
            )
        store, now = self._store, time.monotonic()
        store.recover(0)
        self._renew_in_time(store)
        if now >= self._next_settings:
            slots = self.slots
            self._heed(tunables.from_stored(store.settings.all()))
            if self.slots != slots:
                self._control.tell()
            store.patience = self._patience
            self._heed_move(store)
            self._heed_drain(store)
            self._next_settings = now + _SETTINGS_SECONDS
        self._report_in_time(store)
        self._live_logs.tick(store, has_jobs=bool(self._held))
        if self._maintenance is not None and self._maintenance_pace.is_due:
            with self._maintenance_pace.look():
                self._maintenance.tick(self.settings)
                if self._share is not None:
                    self._share.look(store, self.slots)
            if store.is_remote:  # a fleet does its chores as often as one worker would
                seconds = self._tick_seconds * (self._maintenance.rescuer.workers - 1)
                self._maintenance_pace.seconds = min(seconds, self._longest_gap)

    def _is_alone(self) -> bool:
        """Whether the supervisor, which would replace this worker or its guard, is gone."""
        if os.getppid() == self._parent:
            return False
        if not self._has_missed_parent:
            self._has_missed_parent = True
            log.warning(
                "supervisor %d was killed: leaving after the job in hand, if any "
                "(queuectl worker start begins anew)",
                self._parent,
            )
        return True

    def _is_astray(self) -> bool:
        """Whether there is another store now where this worker's was."""
        if not self.is_astray and not self._is_in_place():
            log.error("another file is where the store was: leaving, another worker begins with it")
            self.is_astray = True
        return self.is_astray

    def _renew_in_time(self, store: Store) -> None:
        """Renew the claims in hand, if that was not done just now."""
        now = time.monotonic()
        if self._held and now >= self._next_renewal:
            present = boot_clock()
            if due := [each for each in self._held.values() if each.renew_at <= present]:
                self._next_renewal = now + self._tick_seconds / 2
                self._renew(store, due)

    def _report_in_time(self, store: Store) -> None:
        """Say that this worker lives, if that was not done just now."""
        now = time.monotonic()
        if now >= self._next_beat:
            self._report(store)
            self._next_beat = now + HEARTBEAT_SECONDS

    def _between(self, store: Store) -> None:
        """Do what cannot wait for the end of a long chore. Raises Leaving when it must end now."""
        if self._over.is_set():
            raise Leaving
        self._renew_in_time(store)
        self._report_in_time(store)

    @property
    def _tick_seconds(self) -> float:
        lease = self.settings.lease_seconds
        return min(_TICK_SECONDS, lease / 4 if not self._is_locked else self._patience)

    @property
    def _patience(self) -> float:
        """How long to wait for a lock: turn, lock and pause take less than a fence is put off."""
        return max(_LEAST_PATIENCE, self.settings.lease_seconds / 24)

    def _heed(self, settings: Settings) -> None:
        self.settings = settings
        self.slots = self._options.slots(settings)
        self._watchdog.may_stop_for(settings.lease_seconds)
        self._control.set_stop_grace(settings.stop_grace_seconds)
        use_format(settings.log_format)

    def _heed_move(self, store: Store) -> None:
        """Leave a store that was moved: its jobs are run where they are now."""
        elsewhere = store.meta.get(MOVED_TO)
        if elsewhere and not self._control.is_stopping:
            log.error("this store is being moved to %s, or was: leaving", elsewhere)
            self._control.request_stop()

    def _heed_drain(self, store: Store) -> None:
        """Take no jobs while the host is drained; one for a single job runs that all the same."""
        is_drained = self._options.only is None and is_host_drained(store, self._worker.host)
        if is_drained == self.is_drained:
            return
        self.is_drained = is_drained
        log.info("the host is drained: no jobs are taken" if is_drained else "jobs are taken again")
        self._next_beat = 0.0
        self._control.tell()

    def _renew(self, store: Store, held: Sequence[_Held]) -> None:
        lease = self.settings.lease_seconds
        deadline = boot_clock() + lease
        try:
            renewals = store.renew([HeldClaim(each.job_id, each.claim_id) for each in held], lease)
        except StoreLocked as fault:
            for each in held:
                if each.claim_id in fault.claims_standing:
                    self._outlast(each)
            raise
        for each, renewal in zip(held, renewals, strict=True):
            self._heed_renewal(each, renewal, deadline)

    def _heed_renewal(self, held: _Held, renewal: Renewal, deadline: float) -> None:
        claim_id = held.claim_id
        if self._held.get(claim_id) is not held:
            return  # settled meanwhile
        if renewal is Renewal.LOST:
            self._control.lose(claim_id)
            return
        self._extend(held, deadline, self._fence_before(deadline))
        if renewal is Renewal.CANCEL_REQUESTED:
            self._control.cancel(claim_id)
        else:
            self._control.pause(claim_id, is_paused=renewal is Renewal.PAUSED)

    def _report(self, store: Store) -> None:
        try:
            report = host_report(store, is_drained=self.is_drained)
            request = store.workers.heartbeat(self._worker.id, self.slots, report)
        except NotFound:  # a fleet that took us for dead has removed us
            store.workers.register(
                replace(self._worker, heartbeat_at=store.now(), slots=self.slots, report=report)
            )
            me = pidfile.ProcessEntry(
                pidfile.WORKER, self._worker.process, self._worker.id, self._parent,
                self._options.passing,
            )  # fmt: skip
            pidfile.add(Home(Path(self._worker.home)), me)
            return
        if request is not None:
            self._control.request_stop(at_once=request is StopRequest.NOW)

    def _close_store(self) -> None:
        if self._store is not None:
            with contextlib.suppress(StoreError):
                self._store.close()
        self._store = self._maintenance = None
