"""Virtual time: tasks that sleep, and a clock that jumps to whatever is next.

Each task is a greenlet. Only one runs at a time, and another goes on only where a task sleeps, so
that what happens between two sleeps is one step. Code that asks `time` is answered in virtual time,
by the clock of the host that its task belongs to.
"""

from __future__ import annotations

import heapq
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

from greenlet import GreenletExit, getcurrent, greenlet

from queuectl.domain.times import EPOCH

BEGINNING = EPOCH + timedelta(days=20_000)


class Task(greenlet):
    """What goes on by itself, on a host whose clock is `rate` times as fast and `ahead` seconds."""

    rate = 1.0
    ahead = 0.0
    host = ""
    """By what the network knows whose messages they are."""


def _in_tasks(name: str, virtual: Callable[..., Any]) -> AbstractContextManager[object]:
    """Replace a function of `time` for tasks; threads of others keep the real one."""
    real = getattr(time, name)

    def answer(*arguments: Any) -> Any:
        return (virtual if isinstance(getcurrent(), Task) else real)(*arguments)

    return patch.object(time, name, answer)


class World:
    """All tasks of one simulation; `now` is in seconds since its beginning."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.steps = 0
        self._due: list[tuple[float, int, Task, BaseException | None]] = []
        self._count = 0
        self._hub = getcurrent()

    @property
    def instant(self) -> datetime:
        """The true time, which the server has."""
        return BEGINNING + timedelta(seconds=self.now)

    def spawn(self, function: Callable[[], Any], *, rate: float = 1.0, ahead: float = 0.0) -> Task:
        """Begin a task at once, as soon as the current one sleeps."""
        task = Task(function, self._hub)
        task.rate, task.ahead = rate, ahead
        self._plan(self.now, task)
        return task

    def kill(self, task: Task) -> None:
        """End a task where it sleeps; it does nothing more."""
        if not task.dead:
            self._plan(self.now, task, GreenletExit())

    def sleep(self, seconds: float) -> None:
        """Let the others go on, for so long by the true clock."""
        task = getcurrent()
        assert isinstance(task, Task), "only tasks sleep"
        self._plan(self.now + max(seconds, 0.0), task)
        self._hub.switch()

    def run(self, is_over: Callable[[], bool], until: float) -> None:
        """Go on until that is so, or nothing is left to do, or the time is up."""
        while self._due and not is_over():
            due, _, task, fault = heapq.heappop(self._due)
            if due > until:
                return
            self.now = max(self.now, due)
            self.steps += 1
            if task.dead:
                continue
            if fault is not None:
                task.throw(fault)
            else:
                task.switch()

    def close(self) -> None:
        """End every task that is left."""
        while self._due:
            _, _, task, _ = heapq.heappop(self._due)
            if not task.dead:
                task.throw(GreenletExit())

    def _plan(self, due: float, task: Task, fault: BaseException | None = None) -> None:
        self._count += 1
        heapq.heappush(self._due, (due, self._count, task, fault))

    # what `time` answers

    def monotonic(self) -> float:
        """Return the steady clock of the host whose task asks."""
        task = getcurrent()
        assert isinstance(task, Task)
        return self.now * task.rate + task.ahead

    def _local_sleep(self, seconds: float) -> None:
        task = getcurrent()
        assert isinstance(task, Task)
        self.sleep(seconds / task.rate)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let `time` and `random` be those of this world, and every token follow from its seed."""
        state = random.getstate()
        random.seed(self.chance.random())

        def token(size: int) -> str:
            return f"{self.chance.getrandbits(8 * size):0{2 * size}x}"

        with (
            _in_tasks("monotonic", self.monotonic),
            _in_tasks("clock_gettime", lambda _clock: self.monotonic()),
            _in_tasks("time", lambda: BEGINNING.timestamp() + self.monotonic()),
            _in_tasks("sleep", self._local_sleep),
            patch("queuectl.stores.mongo.documents.token_hex", token),
            # what runs here is of no simulated host, and is not looked at by virtual clocks
            patch("queuectl.maintenance.rescuer._kill", lambda *_claim_ids: []),
            patch.object(logging.getLogger("queuectl.worker"), "disabled", new=True),
        ):
            try:
                yield
            finally:
                random.setstate(state)
