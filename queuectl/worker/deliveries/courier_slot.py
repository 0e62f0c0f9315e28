"""The place of a courier beside the workers of one supervisor, filled when one of them calls.

The supervisor opens no store, so it cannot know whether there is something to deliver; its workers
can, and say so through a pipe.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from functools import partial

from queuectl.domain.errors import ExitCode, StoreError
from queuectl.domain.queue_limits import DELIVERY_QUEUE
from queuectl.maintenance.rescuer import courier_lock
from queuectl.system import pidfile
from queuectl.system.home import Location
from queuectl.system.processes import this_process
from queuectl.worker.logging import be_worker
from queuectl.worker.options import WorkerOptions
from queuectl.worker.signals import STOP_SIGNALS, Control, fork_process

log = logging.getLogger("queuectl.worker")

_PAUSE_SECONDS = 5.0
"""How long after a courier has failed, or found another, no other is tried."""

_POSTROOM_SECONDS = 10.0
"""How long the postroom of a courier that was killed takes at most to end what it was doing."""

_RESCUE_SECONDS = 1.0
"""How long a command takes to end what a courier has left, as a rule (see `rescuer`)."""

_MOST_DEATHS = 5
"""After so many couriers that were killed one after the other, the next has to be called."""


def delivers(options: WorkerOptions) -> bool:
    """Whether workers with such orders see that deliveries are made: not if bound elsewhere."""
    return options.only is None and (not options.queues or DELIVERY_QUEUE in options.queues)


class CourierSeat:
    """A supervisor's courier: `pid` is 0 while there is none. Make it before any worker is forked.

    `bell` is readable when a worker has called.
    """

    def __init__(self, place: Location, options: WorkerOptions) -> None:
        self.pid = 0
        self._location = place
        self._options = options
        self._is_wanted = False
        self._fill_at = 0.0
        self._deaths = 0
        self.bell, self._rope = os.pipe()
        for descriptor in (self.bell, self._rope):
            os.set_blocking(descriptor, False)

    def call(self) -> None:
        """Say, as a worker, that there are deliveries to be made."""
        with contextlib.suppress(OSError):  # full: it has been said often enough
            os.write(self._rope, b"!")

    @property
    def is_needed(self) -> bool:
        """Whether there is a courier, or is to be one at once."""
        self._listen()
        return bool(self.pid) or (self._is_wanted and self._fill_at <= time.monotonic())

    def fill(self, control: Control) -> None:
        """Fork a courier if one is wanted and there is none; `control` is the supervisor's."""
        if self.pid or not self.is_needed:
            return
        self._is_wanted = False
        patience = _POSTROOM_SECONDS if self._deaths else _RESCUE_SECONDS
        live = partial(_live, self._location, self._options, os.getpid(), patience)
        self.pid = fork_process(control, live, "courier failed")

    def hand_on(self, number: int) -> None:
        """Send the courier a signal that came to its supervisor; none is made any more."""
        self._fill_at = float("inf")
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def reap(self) -> None:
        """Let go of a courier that has ended."""
        if not self.pid:
            return
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return
        self.pid = 0
        try:
            pidfile.remove(self._location.home, {pid})
        except StoreError as fault:
            log.warning("%s", fault)  # the stale entry will heal
        code = os.waitstatus_to_exitcode(status)
        self._deaths = self._deaths + 1 if code < 0 else 0
        if code < 0:  # what it was delivering is to be taken back
            log.warning("courier %d died (signal %d)", pid, -code)
            self._is_wanted = self._deaths <= _MOST_DEATHS
        elif code != ExitCode.OK:
            self._is_wanted = False
            self._fill_at = max(self._fill_at, time.monotonic() + _PAUSE_SECONDS)

    def _listen(self) -> None:
        """Hear whether a worker has called; one that is here looks by itself.

        Where all leave when nothing is left to do, nobody calls again.
        """
        with contextlib.suppress(BlockingIOError):
            if os.read(self.bell, 4096):
                self._is_wanted = not self.pid or self._options.drain


def _live(place: Location, options: WorkerOptions, supervisor: int, patience: float) -> int:
    """Be the courier from the fork on; return its exit code."""
    from queuectl.worker.deliveries.courier import Courier  # which few supervisors ever need

    os.setsid()
    lock = courier_lock(place.home, patience)
    if lock is None:
        return ExitCode.CONFLICT  # another supervisor's courier makes the deliveries
    log_id = f"{socket.gethostname()}-{os.getpid()}-courier"
    be_worker(place.home, log_id, role="courier")
    pidfile.add(
        place.home, pidfile.ProcessEntry(pidfile.COURIER, this_process(), supervisor=supervisor)
    )
    courier = Courier(place, lock, supervisor, options)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    courier.run()
    return ExitCode.OK
