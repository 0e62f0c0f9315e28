"""What a worker is told from outside while it works: stop, cancel, pause, lease lost.

Signal handlers and the heartbeat only set flags here and write to the wake-up descriptor; the
loop and the runner act on them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable
from enum import Enum
from types import FrameType

from queuectl.domain.errors import ExitCode, QueuectlError
from queuectl.system.processes import boot_clock

log = logging.getLogger("queuectl.worker")

_DEBOUNCE_SECONDS = 0.2
_LONGEST_SLEEP = 60.0

LEAVE = signal.SIGTERM
"""Asks a worker or supervisor to leave after the job in hand, however often it comes."""

LEAVE_NOW = signal.SIGQUIT
"""Asks it to leave at once and to give back the job in hand."""

STOP_SIGNALS = frozenset({LEAVE, LEAVE_NOW, signal.SIGINT})
"""All that ask to leave. SIGINT comes from a terminal: the second one means at once."""


class Halt(Enum):
    """Why a run must be stopped."""

    CANCEL = "cancelled"
    RELEASE = "worker stopped"
    LOST = "lease lost"
    TIMEOUT = "timed out"


class Control:
    """The flags of one worker process, and the descriptor that wakes it."""

    def __init__(self) -> None:
        self.wake, self._waker = os.pipe()
        for descriptor in (self.wake, self._waker):
            os.set_blocking(descriptor, False)
        poller = select.poll()
        poller.register(self.wake, select.POLLIN)
        self._poll = poller.poll
        self._interrupts: list[float] = []
        self._is_closed = False
        self._must_leave = False
        self._must_leave_now = False
        self._stop_grace = 0.0
        self._stop_deadline: float | None = None
        self._interrupted_at = float("-inf")
        self._cancelled: set[str] = set()
        self._paused: set[str] = set()
        self._lost: set[str] = set()
        self._fences: dict[str, float] = {}
        self._fences_lock = threading.Lock()  # no signal handler takes it
        self.news = object()
        """Another one each time there is news; a count could lose one of two that tell at once."""

    def install(self) -> None:
        """Take over the signals of this process; any of them wakes a sleeping poll."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, _on_child)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        """Heed a stop signal.

        What was promised to whoever asked first holds: only Ctrl-C pressed again, and the signal
        that says so, end the job in hand.
        """
        is_again = number == signal.SIGINT and self._is_pressed_again()
        self.request_stop(at_once=number == LEAVE_NOW or is_again)

    def _is_pressed_again(self) -> bool:
        """Count a SIGINT, but one that came twice at once (to a group and by name) once."""
        now = time.monotonic()
        before, self._interrupted_at = self._interrupted_at, now
        # Another handler may run in the middle of this one. Appending is atomic, and flags are
        # only ever raised, so neither of two signals at once is lost.
        if now - before >= _DEBOUNCE_SECONDS:
            self._interrupts.append(now)
        return len(self._interrupts) > 1

    def set_stop_grace(self, seconds: float) -> None:
        """Say how long a job may go on after a graceful stop; 0 is for ever."""
        self._stop_grace = seconds

    def request_stop(self, *, at_once: bool = False) -> None:
        """Ask the worker to leave: after the job in hand, or at once."""
        if self._stop_deadline is None and self._stop_grace > 0:
            self._stop_deadline = time.monotonic() + self._stop_grace
        self._must_leave = True
        if at_once:
            self._must_leave_now = True
        self.tell()

    @property
    def stop_level(self) -> int:
        """0 while work goes on, 1 when the job in hand is the last, 2 when it must go too."""
        if self._must_leave_now:
            return 2
        return 1 if self._must_leave else 0

    @property
    def is_stopping(self) -> bool:
        """Whether no further job may be claimed or started."""
        return self._must_leave

    def hold(self, claim_id: str, fence_at: float) -> None:
        """Begin to heed what is said of a claim; see `fence`."""
        self._fences[claim_id] = fence_at

    def let_go(self, claim_id: str) -> None:
        """Forget what was said of a claim that is not in hand any more."""
        with self._fences_lock:
            self._fences.pop(claim_id, None)
        for told in (self._cancelled, self._paused, self._lost):
            told.discard(claim_id)

    def cancel(self, claim_id: str) -> None:
        """Say that the run of a claim is to be cancelled."""
        self._mark(self._cancelled, claim_id)

    def pause(self, claim_id: str, *, is_paused: bool) -> None:
        """Say whether the run of a claim is to stand still."""
        if is_paused:
            self._mark(self._paused, claim_id)
        elif claim_id in self._paused:
            self._paused.discard(claim_id)
            self.tell()

    def is_paused(self, claim_id: str) -> bool:
        """Whether the run of a claim is to stand still."""
        return claim_id in self._paused

    def lose(self, claim_id: str) -> None:
        """Say that a claim is lost, or cannot be renewed in time."""
        self._mark(self._lost, claim_id)

    def _mark(self, told: set[str], claim_id: str) -> None:
        """Note what is said of a claim. One that is let go of just now is not kept in mind."""
        if claim_id in told:
            return
        told.add(claim_id)
        if claim_id not in self._fences:
            told.discard(claim_id)
        self.tell()

    def fence(self, claim_id: str, at: float) -> None:
        """Say when, by `boot_clock`, the run of a claim that was not renewed must be stopped."""
        with self._fences_lock:
            if claim_id in self._fences:
                self._fences[claim_id] = at

    @property
    def is_fenced(self) -> bool:
        """Whether no claim in hand was renewed in time, so that each may be somebody else's."""
        fences = list(self._fences.values())
        return bool(fences) and boot_clock() >= max(fences)

    def halt(self, claim_id: str) -> Halt | None:
        """Return why the run of a claim must be stopped now, if it must."""
        if claim_id in self._lost or boot_clock() >= self._fences.get(claim_id, float("inf")):
            return Halt.LOST
        if claim_id in self._cancelled:
            return Halt.CANCEL
        is_over = self._stop_deadline is not None and time.monotonic() >= self._stop_deadline
        return Halt.RELEASE if self.stop_level > 1 or is_over else None

    def next_check(self, claim_ids: Iterable[str]) -> float:
        """Return seconds until `halt` of one of these claims may change by itself."""
        ends = [self._fences.get(each, float("inf")) for each in claim_ids]
        seconds = min(min(ends, default=float("inf")) - boot_clock(), _LONGEST_SLEEP)
        if self._stop_deadline is not None:
            seconds = min(seconds, self._stop_deadline - time.monotonic())
        return max(0.0, seconds)

    def tell(self) -> None:
        """Let the loop know that there is something new beside the end of a child."""
        self.news = object()
        self.rouse()

    def rouse(self) -> None:
        """Make the wake-up descriptor readable."""
        if self._is_closed:
            return  # the number may be another file's
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker, b"!")

    def sleep(self, seconds: float) -> bool:
        """Sleep until the wake-up descriptor is readable (True), or time is up."""
        return bool(self._poll(max(0.0, seconds) * 1000))

    def settle_down(self) -> None:
        """Empty the wake-up descriptor; look at the flags after this, not before."""
        try:
            os.read(self.wake, 4096)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Let go of the descriptors."""
        self._is_closed = True
        signal.set_wakeup_fd(-1)
        os.close(self.wake)
        os.close(self._waker)


def fork_process(control: Control, live: Callable[[], int], failure: str) -> int:
    """Fork a process that ends with the exit code which `live` returns; return its pid.

    It lets go of its parent's `control`, and stop signals are held back until it unblocks them,
    when it counts them itself. `failure` is what is logged with an error of Python's.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    pid = os.fork()
    if pid == 0:
        code = int(ExitCode.FAILED)
        try:
            control.close()
            code = live()
        except QueuectlError as fault:
            log.error("%s", fault)
            code = int(fault.exit_code)
        except Exception:
            log.exception(failure)
        finally:
            logging.shutdown()
            os._exit(code)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    return pid


def _on_child(_number: int, _frame: FrameType | None) -> None:
    """Exist, so that the end of a child interrupts a poll through the wake-up descriptor."""
