"""The supervisor: preloads the program, forks workers with their guards, and replaces what dies.

It opens no store and starts no thread, so that its workers are plain copies which share its
memory. Each worker has a session of its own: what a terminal sends goes to the supervisor alone,
which hands it on. It adopts what a dead worker leaves behind, so that none of it is out of reach
of the guard.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial

from queuectl.domain.errors import ExitCode, QueuectlError, StoreError, StoreUnavailable
from queuectl.system import pidfile
from queuectl.system.home import Location
from queuectl.system.polling import wait_readable
from queuectl.system.processes import rouse, this_process
from queuectl.system.run_processes import adopt_orphans
from queuectl.system.store_url import is_mongo
from queuectl.worker import crash_journal
from queuectl.worker.deliveries.courier_slot import CourierSeat, delivers
from queuectl.worker.log_files import new_worker_id
from queuectl.worker.logging import be_worker
from queuectl.worker.options import WorkerOptions
from queuectl.worker.runs.watchdog import Post, Watchdog
from queuectl.worker.signals import LEAVE, LEAVE_NOW, STOP_SIGNALS, Control, fork_process
from queuectl.worker.slot_shares import SlotShare
from queuectl.worker.supervision.service import Service
from queuectl.worker.supervision.suspect_seats import SuspectSeats
from queuectl.worker.worker import Worker

log = logging.getLogger("queuectl.worker")

_BACKOFF_SECONDS = (0.1, 30.0)
_STEADY_SECONDS = 10.0
_ROUSE_SECONDS = 2.0
_GUARD_PAUSE = 0.05
"""How long a guard that dies is waited for at the least before the next, so that nothing spins."""

_STORE_PARTS = {
    "mongo": ("store",),
    "sqlite": ("store", "batches", "claims", "named", "stats", "suspects", "writes"),
}
"""The modules of each store that a worker uses, those too that it loads only when they are."""

Report = Callable[[str], None]
"""Tells whoever started the workers: `ready PID`, or `failed MESSAGE`."""


@dataclass(slots=True)
class _Seat:
    """A place for one worker: who sits there, since when, and when to fill it again."""

    place: int
    pid: int = 0
    since: float = 0.0
    failures: int = 0
    fill_at: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Keeps `count` workers alive until it is told to stop, or they have nothing left to do."""

    location: Location
    options: WorkerOptions
    count: int
    report: Report
    service: Service | None = None
    _control: Control = field(default_factory=Control)
    _seats: list[_Seat] = field(default_factory=list)
    _posts: list[Post] = field(default_factory=list)
    _courier: CourierSeat = field(init=False)
    _suspects: SuspectSeats = field(init=False)
    _handed_on: int = 0
    _exit_code: int = 0
    _rouse_at: float = 0.0

    def run(self) -> int:
        """Work until every worker has left; return an exit code."""
        self._control.install()
        adopt_orphans()
        _preload(self.location.store_url)
        pidfile.add(self.location.home, pidfile.ProcessEntry(pidfile.SUPERVISOR, this_process()))
        self._seats = [_Seat(place) for place in range(self.count)]
        self._courier = CourierSeat(self.location, self.options)
        self._suspects = SuspectSeats(self.location.home, self.options, self.count)
        bells = [self._control.wake, self._courier.bell, self._suspects.bell]
        if self.service:
            bells.append(self.service.bell)
        try:
            while self._seats or self._posts or self._courier.is_needed:
                self._fill_seats()
                self._man_posts()
                self._courier.fill(self._control)
                self._suspects.fill(self._fork)
                self._tell_service()
                wait_readable(bells, self._next_look())
                self._control.settle_down()
                self._rouse()
                self._hand_on_stop()
                self._reap()
        finally:
            pidfile.remove(self.location.home, {os.getpid()})
            self._control.close()
        return self._exit_code

    def _fill_seats(self) -> None:
        for seat in self._seats:
            if not seat.pid and seat.fill_at <= time.monotonic():
                bound = self.options.only is not None
                share = None if bound else self._suspects.share_of(seat.place)
                seat.pid = self._fork(self.options, self.report, share)
                seat.since = time.monotonic()

    def _man_posts(self) -> None:
        """Put another guard in the place of each that has died."""
        for post in self._posts:
            if not post.watchdog and post.manned_at + _GUARD_PAUSE <= time.monotonic():
                post.man()
                log.warning("the guard of a worker died; another takes its place")

    def _tell_service(self) -> None:
        if self.service:
            workers = sum(bool(seat.pid) for seat in self._seats)
            self.service.look(workers, is_stopping=self._control.is_stopping)

    def _next_look(self) -> float:
        """Return in how many seconds there is something to do, or to be looked after."""
        dues = [seat.fill_at for seat in self._seats if not seat.pid]
        dues += [post.manned_at + _GUARD_PAUSE for post in self._posts if not post.watchdog]
        dues += [self.service.due] if self.service else []
        return min((due - time.monotonic() for due in (*dues, self._rouse_at)), default=0.0)

    def _rouse(self) -> None:
        """Let guards and the courier go on, should somebody have stopped them in their place.

        A guard does not let its worker stand still for long; nobody else would look after it.
        """
        if time.monotonic() < self._rouse_at:
            return
        self._rouse_at = time.monotonic() + _ROUSE_SECONDS
        for pid in (self._courier.pid, *(post.watchdog for post in self._posts)):
            if pid:
                rouse(pid)

    def _fork(
        self,
        options: WorkerOptions,
        report: Report = lambda _: None,
        share: SlotShare | None = None,
    ) -> int:
        """Fork a guard and its worker, with stop signals held back until the worker counts them.

        A guard whose worker could not be forked finds that it has none, and leaves.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        post = Post(partial(crash_journal.act_on, self.location.store_url))
        call = self._courier.call if delivers(self.options) else None
        live = partial(_live, self.location, options, os.getpid(), report, call, share, post)
        try:
            post.man()
            self._posts.append(post)
            return fork_process(self._control, live, "worker failed")
        finally:
            post.hand_over()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _hand_on_stop(self) -> None:
        """Tell each worker what was asked of this supervisor."""
        while self._handed_on < self._control.stop_level:
            number = (LEAVE, LEAVE_NOW)[self._handed_on]
            self._handed_on += 1
            for seat in self._seats:
                if seat.pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(seat.pid, number)
                        os.kill(seat.pid, signal.SIGCONT)  # one that stands still cannot leave
            self._courier.hand_on(number)
            self._suspects.hand_on(number)
        if self._control.is_stopping:
            self._seats = [seat for seat in self._seats if seat.pid]

    def _reap(self) -> None:
        self._courier.reap()
        self._suspects.reap()
        for seat in list(self._seats):
            if not seat.pid:
                continue
            pid, status = os.waitpid(seat.pid, os.WNOHANG)
            if pid:
                self._emptied(seat, os.waitstatus_to_exitcode(status))
        for post in list(self._posts):
            if post.watchdog:
                self._reap_watchdog(post)
        own = {self._courier.pid, *self._suspects.pids, *(seat.pid for seat in self._seats)}
        reap_strangers(own | {post.watchdog for post in self._posts})

    def _reap_watchdog(self, post: Post) -> None:
        """Note that a guard has ended: all is done if it left by itself, since its worker has."""
        pid, status = os.waitpid(post.watchdog, os.WNOHANG)
        if pid:
            post.watchdog = 0
            if status == 0:
                post.close()
                self._posts.remove(post)

    def _emptied(self, seat: _Seat, code: int) -> None:
        """A worker has ended: fill its seat again unless it left of its own accord."""
        pid, seat.pid = seat.pid, 0
        try:
            pidfile.remove(self.location.home, {pid})
        except StoreError as fault:
            log.warning("%s", fault)  # the stale entry will heal
        is_hopeless = code == ExitCode.STORE and seat.failures == 0
        if code == ExitCode.OK or is_hopeless or self._control.is_stopping:
            self._exit_code = self._exit_code or max(0, code)
            self._seats.remove(seat)
            self._suspects.vacate(seat.place, is_for_good=True)
            return
        self._suspects.vacate(seat.place, is_for_good=False)
        is_steady = time.monotonic() - seat.since > _STEADY_SECONDS
        seat.failures = 1 if is_steady else seat.failures + 1
        first, longest = _BACKOFF_SECONDS
        wait = 0.0 if seat.failures == 1 else min(first * 2.0 ** (seat.failures - 2), longest)
        seat.fill_at = time.monotonic() + wait
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        log.warning("worker %d died (%s); another takes its place", pid, cause)


def _preload(store_url: str) -> None:
    """Import what workers need before they are forked, and keep it out of their collections."""
    kind = "mongo" if is_mongo(store_url) else "sqlite"
    for part in _STORE_PARTS[kind]:
        importlib.import_module(f"queuectl.stores.{kind}.{part}")
    gc.collect()
    gc.freeze()


def _live(
    place: Location,
    options: WorkerOptions,
    supervisor: int,
    report: Report,
    call_courier: Callable[[], None] | None,
    share: SlotShare | None,
    post: Post,
) -> int:
    """Be one worker from the fork on; return its exit code."""
    watchdog = Watchdog(post)
    os.setsid()
    is_adopter = adopt_orphans()
    has_been_ready = False

    def on_ready() -> None:
        nonlocal has_been_ready
        has_been_ready = True
        me = pidfile.ProcessEntry(
            pidfile.WORKER, this_process(), worker.record.id, supervisor, options.passing
        )
        pidfile.add(place.home, me)
        report(f"ready {os.getpid()}")

    try:
        if not place.home.root.is_dir():  # it was moved or removed, and is not made anew
            raise StoreUnavailable(f"{place.home.root} is gone", hint="put it back")
        worker_id = new_worker_id()
        be_worker(place.home, worker_id)
        worker = Worker(
            place, options, watchdog, worker_id, call_courier, share, is_adopter=is_adopter
        )
        if os.getppid() != supervisor:
            return ExitCode.OK  # it died before the worker could watch it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        worker.run(on_ready)
    except QueuectlError as fault:
        if not has_been_ready:
            report(f"failed {fault}")
        raise
    return ExitCode.OK


def reap_strangers(own: Collection[int]) -> None:
    """Reap dead children other than `own`: orphans of workers that have ended."""
    with contextlib.suppress(ChildProcessError):
        while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if found.si_pid in own:
                return  # it died just now, and its seat is looked at next
            os.waitpid(found.si_pid, os.WNOHANG)
