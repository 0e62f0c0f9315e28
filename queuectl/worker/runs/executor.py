"""Commands -> Outcomes: the runs that one worker has in hand. Knows no store.

One loop starts and reaps them all. What may take a while, to stop a run or to kill what it leaves
behind, is done in a thread for that run alone.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from queuectl.domain.job import Outcome
from queuectl.system.run_mark import mark_of, read_mark
from queuectl.system.run_processes import children_of
from queuectl.worker.runs import usage
from queuectl.worker.runs.console import Console
from queuectl.worker.runs.limits import LimitedRun, Limits
from queuectl.worker.runs.outcome import Run, outcome_of
from queuectl.worker.runs.output import RunFiles
from queuectl.worker.runs.programs import CannotStart, CannotStartHere
from queuectl.worker.runs.sampler import Sampler
from queuectl.worker.runs.starting import Starter
from queuectl.worker.runs.stopping import RunTimer, Stopper, has_ended, reaped
from queuectl.worker.runs.usage import Reaped, Used
from queuectl.worker.runs.watchdog import Watchdog
from queuectl.worker.signals import Control, Halt

_LONGEST_GAP = 1.0
"""How long after a run has begun all are looked at, at the latest: when is reckoned then."""


@dataclass(slots=True)
class _Ending:
    """What a thread does about the end of a run; `left` are the pids that cannot be killed."""

    halt: Halt | None
    left: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _RunInHand:
    """A command that runs."""

    run: Run
    files: RunFiles
    pid: int
    begun: float
    timer: RunTimer
    console: Console | None = None
    ending: _Ending | None = None
    is_sampled: bool = False
    memory_seen: int = 0
    limited: LimitedRun | None = None


class Executor:
    """Runs commands side by side for one worker, each known by the id of its claim.

    What a command writes can be seen when it has run for `quick` seconds, or has ended; from then
    on the files of one run take no more than `log_limit` bytes, where that is not 0. Where this
    process adopts orphans (`is_adopter`), each process of its runs is its descendant, and every
    child of its that ends is its to reap.
    """

    def __init__(
        self,
        control: Control,
        watchdog: Watchdog,
        quick: float,
        log_limit: Callable[[], int],
        *,
        is_adopter: bool = False,
    ) -> None:
        self._control = control
        self._watchdog = watchdog
        self._quick = quick
        self._is_adopter = is_adopter
        self._stopper = Stopper(control, self._adopted, self._is_unclear)
        self._sampler = Sampler(log_limit)
        self._meter = usage.Meter()
        self._limits = Limits()
        self._starter = Starter()
        self._unreaped: set[int] = set()
        """Leaders that must not be reaped when they end, as more of their runs is to be killed."""

        self._has_orphans = not is_adopter
        self._consoles: set[int] = set()
        self._in_hand: dict[int, _RunInHand] = {}
        self._quick_ones: deque[_RunInHand] = deque()
        self._over: deque[_RunInHand] = deque()
        self._is_starting = False
        self._news: object = None
        self._next_check = math.inf

    def close(self) -> None:
        """Let go of what is open."""
        self._sampler.close()
        self._limits.close()
        self._starter.close()

    def __len__(self) -> int:
        """Return how many runs are in hand."""
        return len(self._in_hand)

    @property
    def are_slow(self) -> bool:
        """Whether all that runs has run for longer than `quick` seconds."""
        while self._quick_ones and self._quick_ones[0].pid not in self._in_hand:
            self._quick_ones.popleft()
        return not self._quick_ones

    # beginning

    def start(self, run: Run, files: RunFiles) -> Outcome | None:
        """Start a command; return how it ended if it could not be started, else None."""
        begun = time.monotonic()
        self._watchdog.announce(run.id, run.deadline)
        self._is_starting = True
        console = limited = None
        try:
            if run.is_limited:
                limited = self._limits.of(run)
            if run.console is not None:
                console, pid = self._starter.start_with_console(run, run.console, files, limited)
                self._consoles.add(console.pid)
            else:
                pid = self._starter.start(run, files, limited)
        except CannotStart as fault:
            self._watchdog.ended(run.id)
            files.show()
            if limited is not None:
                self._limits.remove(limited)
            here = socket.gethostname() if isinstance(fault, CannotStartHere) else None
            return Outcome(error=str(fault), unfit_host=here)
        else:
            self._watchdog.started(run.id, pid)
            hand = _RunInHand(run, files, pid, begun, RunTimer(run.id, pid, begun), console)
            hand.limited = limited
            self._in_hand[pid] = hand
            if run.kill_leftovers or console is not None:
                self._unreaped.add(pid)
        finally:
            self._is_starting = False
        if not run.prepares:
            self._quick_ones.append(hand)
        self._next_check = min(
            self._next_check, begun + min(run.timeout or _LONGEST_GAP, _LONGEST_GAP)
        )
        return None

    # ending

    def next_look(self) -> float:
        """Return seconds until `ended` has something to do, if nothing rouses the control."""
        next_check = self._next_check
        if self._quick_ones:
            next_check = min(next_check, self._quick_ones[0].begun + self._quick)
        return max(0.0, next_check - time.monotonic())

    def ended(self) -> Iterator[tuple[Run, RunFiles, Outcome]]:
        """Yield what has ended, and look after what goes on.

        Runs whose time is up, or of which the control says so, are stopped.
        """
        for hand, end in self._reaped():
            yield hand.run, hand.files, self._outcome(hand, end)
        now = time.monotonic()
        self._show_slow_ones(now)
        if self._news is not self._control.news or now >= self._next_check:
            self._news = self._control.news
            self._look_after_all(now)

    def _outcome(self, hand: _RunInHand, end: Reaped | None) -> Outcome:
        """Return how a run ended, by how its command did (None: it cannot be killed)."""
        run, ending = hand.run, hand.ending
        status = end.status if end else None
        halt, left = (ending.halt, ending.left) if ending else (None, [])
        if status != 0:
            hand.files.show()
            if halt is None and self._was_fenced(run, status):
                halt = Halt.LOST
            left = left or ([hand.pid] if status is None else [])
        lasted = time.monotonic() - hand.begun
        used = self._used(hand, end, lasted)
        return outcome_of(end, halt, left, run, hand.files, lasted, used)

    def _used(self, hand: _RunInHand, end: Reaped | None, lasted: float) -> Used:
        """Return what a run that has ended used; its limits are over."""
        if end is None:
            used = Used(None, hand.memory_seen or None)
        else:
            seconds = end.used.ru_utime + end.used.ru_stime
            used = Used(round(seconds, 6), self._meter.peak(end.used, hand.memory_seen, lasted))
        if hand.limited is not None:
            used = hand.limited.used(used)
            self._limits.remove(hand.limited)
        return used

    def _was_fenced(self, run: Run, status: int | None) -> bool:
        """Whether the guard has ended the run, because this worker did not renew in time."""
        if status is None:
            return False
        was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        return was_killed and self._control.halt(run.id) is Halt.LOST

    def _reaped(self) -> Iterator[tuple[_RunInHand, Reaped | None]]:
        """Reap what has ended, orphans too; yield the runs among that, with how they ended.

        One after the other, so that the end of each is noted before the next is reaped.
        """
        while self._over:
            hand = self._over.popleft()
            end = reaped(hand.pid)
            self._let_go(hand)
            yield hand, end
        while (ended := self._next_reaped()) is not None:
            pid, end = ended
            found = self._in_hand.get(pid)
            if found is not None:
                self._let_go(found)
                yield found, end

    def _let_go(self, hand: _RunInHand) -> None:
        """Forget a run whose leader is reaped."""
        del self._in_hand[hand.pid]
        if hand.is_sampled:
            hand.memory_seen = self._sampler.remove(hand.files)
        self._unreaped.discard(hand.pid)
        if hand.console is not None:
            self._consoles.discard(hand.console.pid)
        self._watchdog.ended(hand.run.id)
        self._has_orphans = self._has_orphans or bool(self._in_hand)  # it may have left some

    def _next_reaped(self) -> tuple[int, Reaped | None] | None:
        """Reap a child that has ended; return its pid and how it ended; None: there is none."""
        if not self._unreaped:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self._has_orphans = not self._is_adopter
                return None
            if pid == 0:
                self._has_orphans = self._has_orphans or not self._in_hand
                return None
            return pid, Reaped(status, used)
        while (pid := self._next_dead() or 0) in self._unreaped:
            # what it leaves behind is killed, and its console done, before its pid is free
            hand, bring_about = self._in_hand[pid], _nothing
            if hand.run.kill_leftovers:
                bring_about = partial(self._stopper.kill_leftovers, hand.run, pid)
            self._begin_ending(hand, None, bring_about)
        return (pid, reaped(pid)) if pid else None

    def _next_dead(self) -> int | None:
        """Return the pid of a child that has ended and is not a run's whose end is being made."""
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            self._has_orphans = not self._is_adopter
            return None
        if found is None:
            self._has_orphans = self._has_orphans or not self._in_hand
            return None
        hand = self._in_hand.get(found.si_pid)
        if hand is None or hand.ending is None:
            return int(found.si_pid)
        others = (each.pid for each in self._in_hand.values() if not each.ending)
        return next(filter(has_ended, chain(others, self._adopted())), None)

    def _adopted(self) -> list[int]:
        """Return the children that lead no run in hand, where this process adopts orphans."""
        if not self._is_adopter:
            return []
        others = self._in_hand.keys() | self._consoles
        return [pid for pid in children_of(os.getpid()) if pid not in others]

    def _is_unclear(self) -> bool:
        """Whether a child that bears no mark may be of any run."""
        return self._has_orphans or self._is_starting or len(self._in_hand) > 1

    # looking after

    def _show_slow_ones(self, now: float) -> None:
        """Let others see the output of runs that take longer."""
        while self._quick_ones and now >= self._quick_ones[0].begun + self._quick:
            hand = self._quick_ones.popleft()
            if self._in_hand.get(hand.pid) is hand:
                hand.files.show()
                hand.is_sampled = True
                self._sampler.add(hand.files, partial(self._memory_of, hand))

    def _memory_of(self, hand: _RunInHand, seen: int) -> int:
        """Return the most memory of a run, of which so much was `seen`; for the sampler's thread.

        What has lost its parents is a child of this process, and bears the run's mark.
        """
        mark = mark_of(hand.run.id)
        orphans = [pid for pid in self._adopted() if read_mark(pid) == mark]
        return usage.look(hand.pid, orphans, seen)

    def _look_after_all(self, now: float) -> None:
        """Stop what must be stopped, pause what must pause, and say when to look again."""
        next_check = math.inf
        for hand in self._in_hand.values():
            if hand.ending:
                continue
            run, timer = hand.run, hand.timer
            halt = self._control.halt(run.id)
            if halt is None and run.timeout and timer.seconds() >= run.timeout:
                halt = Halt.TIMEOUT
            if halt is not None:
                self._begin_ending(
                    hand, halt, partial(self._stopper.stop, run, hand.pid, timer, halt)
                )
                continue
            timer.follow(self._control.is_paused(run.id))
            if run.timeout and not timer.is_paused:
                next_check = min(next_check, now + run.timeout - timer.seconds())
        going_on = [each.run.id for each in self._in_hand.values() if not each.ending]
        self._next_check = min(next_check, now + self._control.next_check(going_on))

    def _begin_ending(
        self, hand: _RunInHand, halt: Halt | None, bring_about: Callable[[], list[int]]
    ) -> None:
        """Bring about the end of a run in a thread; the control is roused when that is done."""
        hand.ending = ending = _Ending(halt)
        self._unreaped.add(hand.pid)

        def end() -> None:
            try:
                ending.left = bring_about()
                if hand.console is not None:
                    hand.console.finish()
            finally:
                self._over.append(hand)
                self._control.rouse()

        try:
            threading.Thread(target=end, name=f"end of {hand.pid}", daemon=True).start()
        except RuntimeError:  # a job has used up what processes there may be: then it ends here
            end()


def _nothing() -> list[int]:
    """Bring about the end of a run that has ended and of which nothing is to be killed."""
    return []
