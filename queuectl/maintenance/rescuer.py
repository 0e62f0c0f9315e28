"""Taking back what workers and couriers held that are gone.

Workers do it for each other. Where all of a home were killed, together with who replaces them,
nobody was left to end what they ran: the next command of this home does it, on the same host.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from zlib import crc32

from queuectl.domain import state_machine
from queuectl.domain.errors import Conflict, StoreError, StoreRefused
from queuectl.domain.host import Loss, host_of
from queuectl.domain.job import Job
from queuectl.domain.settings import Settings, from_stored
from queuectl.domain.times import iso
from queuectl.domain.worker_record import ProcessIdentity, WorkerRecord
from queuectl.maintenance.hosts import HostKeeper
from queuectl.stores.base import Store
from queuectl.stores.exchange import HeldClaim
from queuectl.stores.rules import commit_reduced
from queuectl.system import pidfile
from queuectl.system.home import Home, open_private
from queuectl.system.processes import (
    HEARTBEAT_SECONDS,
    SILENCE_SECONDS,
    is_alive,
    is_here,
    rouse,
)
from queuectl.system.run_processes import kill_run, kill_runs, marked_orphans, members

log = logging.getLogger("queuectl.worker")

_KILL_SECONDS = 2.0
_LOOKS = 3
_LATE_SECONDS = 2 * HEARTBEAT_SECONDS
"""After so long a silence of a dead worker, no claim of its turns up any more."""

_DIED = "its worker has died"

_ADOPTERS = (1,)
"""Who has the orphans of a worker whose supervisor is dead too, as a rule."""

_WATCHDOG_SECONDS, _LATE_WATCHDOG_SECONDS = 0.2, 2.0
"""How long a dead worker's watchdog takes to commit what ended and give back what had not begun;
and on a busy machine, at most."""

_LOCK_SECONDS = 0.02
_POSTROOM_SECONDS = 0.5
"""How long a postroom that has lost its courier is waited for; else the next command looks."""


class Rescuer:
    """Takes claims back whose workers are gone, for one worker or command.

    `couriers_may_be_lost` says that deliveries may have been left too: a courier may have died
    with its workers and their supervisor. `workers` counts those in the registry at the last look.
    """

    def __init__(self, store: Store, home: Home | None = None) -> None:
        self._store = store
        self._home = home
        self.couriers_may_be_lost = True
        self.workers = 1
        self._sightings: dict[tuple[str, datetime], float] = {}
        self._looks: dict[str, int] = {}
        self._hopeless: set[str] = set()
        self._undying: set[str] = set()
        self._hosts = HostKeeper(store)
        self._losses: list[Loss] = []

    def watch_anew(self) -> None:
        """Forget how long leases were seen unrenewed: nobody could have renewed them."""
        self._sightings = {}

    def recover(self, settings: Settings) -> None:
        """Take back what dead workers of this machine held, at once, and forget them later.

        A claim that was on its way to the server when its worker died is seen only afterwards.
        """
        now = self._store.now()
        looks: dict[str, int] = {}
        workers = list(self._store.workers.all())
        self.workers = len(workers)
        for worker in workers:
            silence = (now - worker.heartbeat_at).total_seconds()
            if not is_here(worker.process):
                if silence > 20 * SILENCE_SECONDS:
                    self._forget(worker)
            elif not is_alive(worker.process):
                looks[worker.id] = self._looks.get(worker.id, 0) + 1
                self.couriers_may_be_lost = True
                is_last = silence > _LATE_SECONDS
                if looks[worker.id] <= _LOOKS or is_last or self._undying:
                    why = f"{_DIED} (pid {worker.process.pid})"
                    is_clear = self._end_claims(self._left_by_watchdog(worker), settings, why)
                    if is_clear and is_last:
                        self._forget(worker)
        self._looks = looks
        self._note_losses()

    def _forget(self, worker: WorkerRecord) -> None:
        """Remove a worker that has been silent for long, and note that of another host."""
        if worker.host != socket.gethostname():  # of the same machine too, in a namespace
            self._hosts.note_gone(worker)
        self._store.workers.unregister(worker.id)
        if self._home is not None:
            try:
                pidfile.forget(self._home, worker.id)
            except StoreError as fault:
                log.warning("%s", fault)

    def _left_by_watchdog(self, worker: WorkerRecord) -> list[Job]:
        """Return what a dead worker held, once its watchdog has had the time to do its part.

        Then no more is left than what ran in its slots.
        """
        ends_at = time.monotonic() + _LATE_WATCHDOG_SECONDS
        held = self._store.claimed_by(worker.id)
        if not any(job.claim and job.claim.id not in self._undying for job in held):
            return held
        while True:
            time.sleep(_WATCHDOG_SECONDS)
            self._store.between()
            held = self._store.claimed_by(worker.id)
            if len(held) <= worker.slots or time.monotonic() >= ends_at:
                return held

    def _end_claims(self, jobs: Sequence[Job], settings: Settings, why: str) -> bool:
        """End the claims of one worker, of which `why` says what became; were all taken back?

        All runs are killed together first: to look at all processes for each takes long.
        """
        claims = [job.claim.id for job in jobs if job.claim]
        are_dead = bool(claims) and self._undying.isdisjoint(claims) and not _kill(*claims)
        is_clear = True
        for job in jobs:
            is_clear &= self._end_claim(job, settings, why, is_dead=are_dead)
            self._store.between()
        return is_clear

    def _end_claim(self, job: Job, settings: Settings, why: str, *, is_dead: bool = False) -> bool:
        """Kill what is left here of a lost claim's run and take it back; return whether it was.

        A job whose processes cannot be killed stays claimed while they live, so that nobody starts
        it beside them: its lease is renewed in the name of the worker that was lost.
        """
        claim_id = job.claim_id
        is_known = claim_id in self._undying
        left = members(claim_id, None) if is_known else [] if is_dead else _kill(claim_id)
        if not left:
            self._undying.discard(claim_id)
            self._take_back(job, settings, why)
            return True
        if not is_known:
            pids = ", ".join(map(str, left))
            log.warning("job '%s': its processes cannot be killed (pid %s)", job.id, pids)
            self._undying.add(claim_id)
        self._store.renew([HeldClaim(job.id, claim_id)], settings.lease_seconds)
        return False

    def expire(self, settings: Settings) -> None:
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
        sightings: dict[tuple[str, datetime], float] = {}
        for job in ending:
            assert job.claim is not None
            lease = (job.claim.id, job.claim.lease_until)
            since = sightings[lease] = self._sightings.get(lease, watched_at)
            if job.claim.lease_until <= now and watched_at - since >= third:
                self._end_claim(job, settings, self._silence_of(job))
                self._store.between()
        self._sightings = sightings
        self._note_losses()

    def _silence_of(self, job: Job) -> str:
        """Return why a claim ended that nobody renewed, in plain words."""
        worker_id = job.worker or ""
        known = next((each for each in self._store.workers.all() if each.id == worker_id), None)
        host = known.host if known else host_of(worker_id)
        heard = f", last heard of at {iso(known.heartbeat_at)}" if known else ""
        return f"its claim was not renewed by {host}{heard}"

    def _note_losses(self) -> None:
        if self._losses:
            losses, self._losses = self._losses, []
            self._hosts.note_losses(losses)

    def _take_back(self, job: Job, settings: Settings, why: str) -> None:
        """End a lost claim; one job that cannot be taken back does not stop the others."""
        try:
            now = self._store.now()
            in_history = "" if why.startswith(_DIED) else why  # which "worker lost" says already
            change = state_machine.expire(job, now, settings.max_interruptions, in_history)
            try:
                is_committed = self._store.commit(change)
            except StoreRefused as fault:
                _, is_committed = commit_reduced(self._store.commit, change, fault)
        except (Conflict, StoreRefused) as fault:
            if job.id not in self._hopeless:
                log.error("job '%s' cannot be taken back: %s", job.id, fault)
            self._hopeless.add(job.id)
        else:
            if is_committed:
                log.warning("job '%s': worker %s was lost: %s", job.id, job.worker, why)
                self._losses.append(Loss(job.id, job.worker or "", now, why))


def _kill(*claim_ids: str) -> list[int]:
    """Kill what is left of runs on this host; return the pids that cannot be killed."""
    orphans = partial(marked_orphans, claim_ids, _ADOPTERS)
    return kill_runs(dict.fromkeys(claim_ids), _KILL_SECONDS, orphans=orphans)


def courier_lock(home: Home, patience: float = 0.0) -> int | None:
    """Return the lock that whoever delivers or takes deliveries back holds; None: somebody does.

    It is held for as long as any process has the descriptor open: until the postroom has ended
    of a courier that was killed, which `patience` (seconds) waits for.
    """
    lock = open_private(home.root / "courier.lock", os.O_RDWR)
    ends_at = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < ends_at:
                time.sleep(_LOCK_SECONDS)
                continue
            os.close(lock)
            return None
        return lock


def courier_id(home: Home) -> str:
    """Return by what the claims of a home's courier are known: the next one takes them back."""
    # hashlib would load the whole of OpenSSL at the start of each worker
    return f"{socket.gethostname()}-courier-{crc32(os.fsencode(home.root)):08x}"


def deliveries_are_left(home: Home, store: Store) -> bool:
    """Whether deliveries are in hand of a courier of this home, and none is there.

    Raises StoreError when the list of processes or the store cannot be read.
    """
    couriers = (entry for entry in pidfile.registered(home) if entry.role == pidfile.COURIER)
    if any(is_here(entry.process) and is_alive(entry.process) for entry in couriers):
        return False
    return bool(store.claimed_by(courier_id(home)))


def take_deliveries_back(home: Home, store: Store, max_interruptions: int) -> None:
    """Kill what a courier of this home that is gone left running, and let it be delivered again.

    Only for who has the lock of `courier_lock`: nobody delivers meanwhile. It costs no attempt; a
    delivery that was interrupted `max_interruptions` times is dead. Raises StoreError.
    """
    for job in store.claimed_by(courier_id(home)):
        if job.claim is not None:
            kill_run(job.claim.id, None, _KILL_SECONDS)
            store.commit(state_machine.expire(job, store.now(), max_interruptions))


def end_abandoned_runs(home: Home, store: Store) -> None:
    """Kill what killed workers and couriers of this home on this host left, and take it back.

    Where a supervisor lives it does that itself; one that stands still is let go on. Raises
    StoreError when a file or the store fails.
    """
    entries = pidfile.registered(home)
    supervisors = {
        entry.process.pid
        for entry in entries
        if entry.role == pidfile.SUPERVISOR and is_alive(entry.process)
    }
    for pid in supervisors:
        rouse(pid)
    is_lost = any(
        worker.home == str(home.root) and _has_died_here(worker.process)
        for worker in store.workers.all()
    )
    settings = from_stored(store.settings.all())
    if is_lost and not supervisors:
        Rescuer(store, home).recover(settings)
    couriers = {
        entry.process.pid
        for entry in entries
        if entry.role == pidfile.COURIER
        and _has_died_here(entry.process)
        and entry.supervisor not in supervisors
    }
    is_clear = not couriers or _take_deliveries_back(home, store, settings)
    pidfile.remove(home, couriers if is_clear else ())


def _has_died_here(process: ProcessIdentity) -> bool:
    return is_here(process) and not is_alive(process)


def _take_deliveries_back(home: Home, store: Store, settings: Settings) -> bool:
    """Let what a dead courier had in hand be delivered again; return whether nothing is left."""
    if not deliveries_are_left(home, store):
        return True
    lock = courier_lock(home, _POSTROOM_SECONDS)
    if lock is None:
        return False
    try:
        take_deliveries_back(home, store, settings.max_interruptions)
    finally:
        os.close(lock)
    return True
