"""The postroom: the process in which the deliveries of a courier go out, each in one of its own.

It knows no store and has no thread, so that what it forks is sound at once, with all that a
delivery needs in memory already. It is told what to deliver over a socket that it shares with its
courier alone: when that ends, so has the courier, and the postroom kills what it began and leaves.
So a receiver that hangs holds up nothing, and nobody goes on delivering whom no courier awaits.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from mmap import mmap
from typing import IO, Any

from queuectl.domain.frozen import frozen
from queuectl.domain.hooks import NOT_NOW, REFUSED_FOR_GOOD, Hook, Target
from queuectl.domain.job import Outcome
from queuectl.hooks import DeliveryError, webhook
from queuectl.stores.records import hook_from_text, hook_to_text
from queuectl.system.processes import boot_clock
from queuectl.system.run_mark import RUN_ID_VARIABLE, Marker, mark_of
from queuectl.system.run_processes import kill_run, signal_group
from queuectl.worker.runs.output import read_tail

_GRACE_SECONDS = 2.0
"""How long a delivery whose time is up has to end by itself."""

_KILL_SECONDS = 2.0
_CHUNK = 65_536
_SECONDS = struct.Struct("d")
_HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class PostroomGone(Exception):
    """The postroom has ended: what it was delivering is dead, or will be in a moment."""


@frozen
class Limits:
    """How many seconds a delivery may take, and until when (`boot_clock`) unless it is extended."""

    seconds: float
    until: float = float("inf")


class Postroom:
    """The courier's side. Make it before any store is opened and any thread is started.

    `kept` is a descriptor that stays open until the postroom and all that it began have ended.
    """

    def __init__(self, kept: int) -> None:
        self._link, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                self._link.close()
                _Room(theirs, kept).serve()
            os._exit(0)
        theirs.close()
        self._link.setblocking(False)
        self._unread = b""

    def fileno(self) -> int:
        """Return what is readable when a delivery has ended."""
        return self._link.fileno()

    def begin(
        self, run_id: str, hook: Hook, facts: Mapping[str, Any], name: str, limits: Limits
    ) -> None:
        """Deliver an event, whose delivery has that name, within limits."""
        order = {"hook": hook_to_text(hook), "facts": facts, "name": name}
        self._say({"run": run_id, **order, "seconds": limits.seconds, "until": limits.until})

    def extend(self, run_id: str, until: float) -> None:
        """Let a delivery go on until then: its lease was renewed."""
        self._say({"run": run_id, "until": until})

    def end(self, run_id: str) -> None:
        """Kill a delivery; it is among the `endings` then, as any other."""
        self._say({"run": run_id})

    def endings(self) -> dict[str, Outcome]:
        """Return how those deliveries ended that have, by the ids of their runs.

        Raises PostroomGone.
        """
        with contextlib.suppress(BlockingIOError):
            while chunk := self._link.recv(_CHUNK):
                self._unread += chunk
            raise PostroomGone
        *lines, self._unread = self._unread.split(b"\n")
        ends = [json.loads(line) for line in lines]
        return {each.pop("run"): Outcome(**each) for each in ends}

    def close(self) -> None:
        """Dismiss the postroom; what it still delivers is killed."""
        self._link.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _say(self, message: dict[str, Any]) -> None:
        try:
            self._link.setblocking(True)
            self._link.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            raise PostroomGone from None
        finally:
            self._link.setblocking(False)


@dataclass(slots=True)
class _Delivery:
    """One that goes out: its process, its output, and when it must have ended.

    `wait` is memory that is shared with the process, which writes into it how long its receiver
    asks to be left alone. `ends_at` is by the monotonic clock; at `until`, by `boot_clock`,
    somebody else may deliver it.
    """

    pid: int
    begun: float
    ends_at: float
    until: float
    stdout: IO[bytes]
    stderr: IO[bytes]
    seconds: float
    wait: mmap
    is_late: bool = False
    is_lost: bool = False


class _Room:
    """The process itself."""

    def __init__(self, link: socket.socket, kept: int) -> None:
        self._link, self._kept = link, kept
        self._going: dict[str, _Delivery] = {}
        self._unread = b""
        self._wake, self._waker = os.pipe()
        for descriptor in (self._wake, self._waker):
            os.set_blocking(descriptor, False)

    def serve(self) -> None:
        """Begin and end deliveries until the courier has gone."""
        for number in _HEARD:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the courier may still hold some back
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        os.setsid()
        poller = select.poll()
        for descriptor in (self._link.fileno(), self._wake):
            poller.register(descriptor, select.POLLIN)
        try:
            while True:
                monotonic, boot = time.monotonic(), boot_clock()
                left = [min(e.ends_at - monotonic, e.until - boot) for e in self._going.values()]
                poller.poll(max(0.0, min(left)) * 1000 if left else None)
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, _CHUNK)
                if not self._listen():
                    return
                self._hurry()
                self._reap()
        finally:
            for run_id in self._going:
                self._kill(run_id)

    def _listen(self) -> bool:
        """Do what the courier says; return whether it is there."""
        try:
            chunk = self._link.recv(_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "hook" in order:
                self._begin(order)
            elif going := self._going.get(order["run"]):
                if "until" in order:
                    going.until = order["until"]
                else:
                    self._kill(order["run"])
        return bool(chunk)

    def _begin(self, order: dict[str, Any]) -> None:
        run_id, hook = order["run"], hook_from_text(order["hook"])
        begun = time.monotonic()
        try:
            webhook.prepare(hook)
            # the files belong to the delivery, and are closed when its end is told
            stdout, stderr = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
            wait = mmap(-1, _SECONDS.size)
            pid = os.fork()
        except OSError as fault:
            error = f"the delivery could not be begun: {fault.strerror or fault}"
            self._tell(run_id, Outcome(exit_code=NOT_NOW, stderr=error))
            return
        if pid == 0:
            self._be(order, hook, stdout, stderr, wait)
        seconds = order["seconds"]
        self._going[run_id] = _Delivery(
            pid, begun, begun + seconds, order["until"], stdout, stderr, seconds, wait
        )

    def _be(
        self, order: dict[str, Any], hook: Hook, stdout: IO[bytes], stderr: IO[bytes], wait: mmap
    ) -> None:
        """Be the process of one delivery; does not return."""
        code = 1
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (*_HEARD, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            if hook.target is Target.COMMAND:  # which ends by it, as this then does
                signal.signal(signal.SIGTERM, lambda *_: None)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(stdout.fileno(), 1)
            os.dup2(stderr.fileno(), 2)
            self._link.close()
            os.close(self._kept)
            os.environ[RUN_ID_VARIABLE] = order["run"]
            Marker().put(mark_of(order["run"]))
            code = _deliver(hook, order, wait)
        finally:
            os._exit(code)

    def _hurry(self) -> None:
        """End what takes too long: ask first, then kill; and what is not ours any more."""
        present = time.monotonic()
        for run_id, delivery in self._going.items():
            if boot_clock() >= delivery.until:
                delivery.is_lost, delivery.until = True, float("inf")
                self._kill(run_id)
                continue
            if present < delivery.ends_at:
                continue
            if delivery.is_late:
                self._kill(run_id)
            else:
                delivery.is_late = True
                signal_group(delivery.pid, signal.SIGTERM)
            delivery.ends_at = present + _GRACE_SECONDS

    def _kill(self, run_id: str) -> None:
        pid = self._going[run_id].pid
        os.kill(pid, signal.SIGKILL)  # it may not lead its group yet, and is not reaped
        kill_run(run_id, pid, _KILL_SECONDS)

    def _reap(self) -> None:
        for run_id, delivery in list(self._going.items()):
            how = os.WEXITED | os.WNOHANG | os.WNOWAIT
            if os.waitid(os.P_PID, delivery.pid, how) is None:
                continue
            if delivery.is_late:  # none of what was told to end is left, while the number is ours
                kill_run(run_id, delivery.pid, _KILL_SECONDS)
            _, status = os.waitpid(delivery.pid, 0)
            del self._going[run_id]
            self._tell(run_id, _outcome(delivery, os.waitstatus_to_exitcode(status)))

    def _tell(self, run_id: str, outcome: Outcome) -> None:
        fields = {name: getattr(outcome, name) for name in Outcome.__match_args__}
        with contextlib.suppress(OSError):  # then it is seen that the courier has gone
            self._link.sendall(json.dumps({"run": run_id, **fields}).encode() + b"\n")


def _outcome(delivery: _Delivery, code: int) -> Outcome:
    """Return how a delivery ended whose process is gone; let go of its files."""
    with delivery.stdout, delivery.stderr, delivery.wait as wait:
        (retry_after,) = _SECONDS.unpack(wait[:])
        stdout, stdout_cut = read_tail(delivery.stdout.fileno())
        stderr, stderr_cut = read_tail(delivery.stderr.fileno())
    error = None
    if delivery.is_lost:
        error = "Lease lost"
    elif delivery.is_late:
        error = f"the delivery took longer than {delivery.seconds:g} s"
    elif code:
        error = f"Killed by signal {-code}" if code < 0 else f"Exit code {code}"
    return Outcome(
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        timed_out=delivery.is_late,
        error=error,
        duration=time.monotonic() - delivery.begun,
        stdout=stdout,
        stderr=stderr,
        stdout_cut=stdout_cut,
        stderr_cut=stderr_cut,
        interrupted=delivery.is_lost,
        retry_after=retry_after,
    )


def _deliver(hook: Hook, order: dict[str, Any], wait: mmap) -> int:
    """Deliver, and say what came of it; return an exit code."""
    try:
        said = webhook.deliver(hook, order["facts"], order["name"])
    except DeliveryError as fault:
        wait[:] = _SECONDS.pack(fault.retry_after)
        os.write(2, f"hook '{hook.name}': {fault}\n".encode(errors="backslashreplace"))
        return REFUSED_FOR_GOOD if fault.is_final else NOT_NOW
    os.write(1, f"{said}\n".encode(errors="backslashreplace"))
    return 0
