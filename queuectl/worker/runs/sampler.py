"""In which order and when long runs write to their two files, how large these grow, and memory.

A thread looks at the sizes, so that nothing is in the way of what a command writes: each hundredth
of a second while it writes, and when it writes again after a pause. It looks at the memory of runs
too (`usage.look`), more rarely the longer they go on.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from heapq import heappop, heappush

from queuectl.system import holes
from queuectl.system.first_write import FirstWrites
from queuectl.system.run_order import Sizes, Turns
from queuectl.worker.runs.output import RunFiles

log = logging.getLogger("queuectl.worker")

_PACE_SECONDS = 0.01
_RAREST = 4
"""Where the system does not tell of writes, the pace is halved so often while there are none."""

_MANY = 100
"""With more runs than these it is halved further, so that looking at them costs no more."""

_WATCHED = 9
"""How often it is halved where the system does tell, lest it should not: a look each 5 s."""

_FULL_PACE_BYTES = 64 * 1024
_BUSIEST = 7
"""Each time the order has grown by so much the pace is halved, down to a look each 1.3 s."""

_MOST_BYTES = 4 * 1024 * 1024
"""When the order is so large no more of it is kept."""

_SHORT_SECONDS = 1.0
"""For the times alone a run gets no file before it has gone on for so long."""

_FIRST_PAUSE, _LONGEST_PAUSE, _PAUSE_GROWS = 0.03, 2.0, 1.5
"""How many seconds lie between two looks at the memory of a run: each time more."""

_MEMORY_SHARE = 50
"""At most such a part of one processor goes into looking at memory."""

LEAST_CAP = 256 * 1024
"""No file is cut that is smaller: a quarter of it stays at each end, what the record has too."""


LookAtMemory = Callable[[int], int]
"""Takes the most bytes that a run has had, and returns them, or more that it has now."""


class _Sampled:
    """One run that is looked at."""

    def __init__(self, files: RunFiles, look_at_memory: LookAtMemory) -> None:
        self.files = files
        self.look_at_memory = look_at_memory
        self.memory = 0
        self.memory_pause = _FIRST_PAUSE
        self.begun = time.monotonic()
        self.turns = Turns()
        self.unwritten = b""
        self.sizes: Sizes = (0, 0)
        self.pace = 0
        self.due = 0.0
        self.watches: dict[int, int] = {}
        self.first: int | None = None
        self.order: int | None = None
        self.noted = 0
        self.has_order = True
        self.dropped = [0, 0]
        self.is_over = False


class Sampler:
    """Looks at the files of runs; `limit` is how many bytes those of one run may take, 0 any.

    The thread begins with the first run that is added, and sleeps while none writes.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._sampled: dict[RunFiles, _Sampled] = {}
        self._watched: dict[int, tuple[_Sampled, int]] = {}
        self._due: list[tuple[float, int, _Sampled]] = []
        self._memory_due: list[tuple[float, int, _Sampled]] = []
        self._writes: FirstWrites | None = None
        self._thread: threading.Thread | None = None
        self._wake: tuple[int, int] | None = None
        self._is_closed = False
        self._count = 0

    def add(self, files: RunFiles, look_at_memory: LookAtMemory) -> None:
        """Begin to look at the files of a run, and at its memory."""
        with self._lock:
            if self._thread is None:
                self._begin()
            self._sampled[files] = sampled = _Sampled(files, look_at_memory)
            now = time.monotonic()
            self._look(sampled, now)
            self._plan_memory(sampled, now)
        self._rouse()

    def remove(self, files: RunFiles) -> int:
        """Look at the files of a run for the last time, before they are closed.

        Returns the most bytes of memory that it was seen to have.
        """
        with self._lock:
            sampled = self._sampled.pop(files)
            self._hear()
            self._sample(sampled)
            self._note(sampled, sampled.turns.end())
            sampled.is_over = True
            self._unwatch(sampled)
            if sampled.order is not None:
                os.close(sampled.order)
            return sampled.memory

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self._rouse()
        if self._thread is not None:
            self._thread.join()
        if self._writes is not None:
            self._writes.close()
        for descriptor in self._wake or ():
            os.close(descriptor)

    def _begin(self) -> None:
        if self._wake is None:
            with suppress(OSError):
                self._writes = FirstWrites()
            self._wake = os.pipe()
            for descriptor in self._wake:
                os.set_blocking(descriptor, False)
        thread = threading.Thread(target=self._work, name="sampler", daemon=True)
        with suppress(RuntimeError):  # a job has used up what processes there may be
            thread.start()
            self._thread = thread

    def _rouse(self) -> None:
        if self._wake is not None:
            with suppress(BlockingIOError):
                os.write(self._wake[1], b"!")

    def _work(self) -> None:
        assert self._wake is not None
        poller = select.poll()
        poller.register(self._wake[0], select.POLLIN)
        if self._writes is not None:
            poller.register(self._writes.descriptor, select.POLLIN)
        while not self._is_closed:
            with self._lock:
                seconds = self._look_at_due()
            until_memory = self._look_at_memory()
            if until_memory is not None:
                seconds = until_memory if seconds is None else min(seconds, until_memory)
            poller.poll(None if seconds is None else max(0.0, seconds) * 1000)
            with suppress(BlockingIOError):
                os.read(self._wake[0], 4096)

    def _look_at_due(self) -> float | None:
        """Look at the runs for which it is time; return seconds until the next, if there is one."""
        self._hear()
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            due, _, sampled = heappop(self._due)
            if due == sampled.due and not sampled.is_over:
                self._look(sampled, now)
        return self._due[0][0] - now if self._due else None

    def _look_at_memory(self) -> float | None:
        """Look at the memory of runs for which it is time; return seconds until the next, if any.

        The lock is not held meanwhile, as that of a large process takes long.
        """
        while True:
            with self._lock:
                due, _, sampled = self._memory_due[0] if self._memory_due else (None, 0, None)
                if sampled is None or due is None:
                    return None
                begun = time.monotonic()
                if due > begun:
                    return due - begun
                heappop(self._memory_due)
                seen = sampled.memory
            seen = sampled.look_at_memory(seen)
            now = time.monotonic()
            with self._lock:
                if sampled.is_over:
                    continue  # its pids may have been another's
                sampled.memory = seen
                pause, least = sampled.memory_pause, (now - begun) * _MEMORY_SHARE
                self._plan_memory(sampled, now + max(pause, least * len(self._sampled)))
                sampled.memory_pause = min(pause * _PAUSE_GROWS, _LONGEST_PAUSE)

    def _plan_memory(self, sampled: _Sampled, due: float) -> None:
        self._count += 1
        heappush(self._memory_due, (due, self._count, sampled))

    def _hear(self) -> None:
        """Heed what is told of writes: which run is to be looked at, and what came first in it."""
        for watch in self._writes.told() if self._writes else ():
            sampled, stream = self._watched.pop(watch)
            del sampled.watches[stream]
            if sampled.first is None:
                sampled.first = stream
                self._plan(sampled, 0.0)

    def _look(self, sampled: _Sampled, now: float) -> None:
        """Look at one run, and say when to look again: all of a pace at once."""
        busiest = min(sampled.noted // _FULL_PACE_BYTES, _BUSIEST)
        if self._sample(sampled):
            sampled.pace = busiest
        elif self._is_watched(sampled):
            sampled.pace = max(busiest, _WATCHED)
        else:
            rarest = _RAREST + (len(self._sampled) // _MANY).bit_length()
            sampled.pace = min(sampled.pace + 1, max(busiest, rarest))
        seconds = _PACE_SECONDS * 2**sampled.pace
        self._plan(sampled, (now // seconds + 1) * seconds)

    def _plan(self, sampled: _Sampled, due: float) -> None:
        """Have one run looked at then, and not when that was planned before."""
        sampled.due = due
        self._count += 1
        heappush(self._due, (due, self._count, sampled))

    def _is_watched(self, sampled: _Sampled) -> bool:
        """Have the system tell of the next write, if it can; there has been none meanwhile."""
        if self._writes is None:
            return False
        try:
            for stream, file in enumerate(sampled.files.descriptors):
                if stream not in sampled.watches:
                    watch = self._writes.watch(file)
                    sampled.watches[stream] = watch
                    self._watched[watch] = sampled, stream
        except OSError:
            return False
        return sampled.files.sizes() == sampled.sizes

    def _unwatch(self, sampled: _Sampled) -> None:
        for watch in sampled.watches.values():
            del self._watched[watch]
            if self._writes is not None:
                self._writes.forget(watch)

    def _sample(self, sampled: _Sampled) -> bool:
        """Note the order of what is new, and cut what is too long; return whether any is."""
        files, before = sampled.files, sampled.sizes
        first, sampled.first = sampled.first, None
        sizes = files.sizes()
        if sizes == before:
            return False
        sampled.sizes = sizes
        is_error_first = first == 1
        if first is None and sizes[0] > before[0] and sizes[1] > before[1]:
            is_error_first = files.is_error_older()
        millis = int(time.time() * 1000)
        self._note(sampled, sampled.turns.look(sizes, millis, is_error_first=is_error_first))
        if limit := self._limit():
            for stream, size in enumerate(sizes):
                self._cut(sampled, stream, size, max(limit // 2, LEAST_CAP))
        return True

    def _note(self, sampled: _Sampled, lines: bytes) -> None:
        lines = sampled.unwritten + lines
        if not (lines and sampled.has_order):
            return
        is_short = time.monotonic() - sampled.begun < _SHORT_SECONDS
        if is_short and sampled.order is None and not all(sampled.sizes):
            sampled.unwritten = lines
            return
        sampled.unwritten = b""
        try:
            if sampled.order is None:
                sampled.order = sampled.files.make_order()
            sampled.noted += os.write(sampled.order, lines)
            sampled.has_order = sampled.noted < _MOST_BYTES
        except OSError as fault:
            log.debug("the order of a run's output: %s", fault)
            sampled.has_order = False

    def _cut(self, sampled: _Sampled, stream: int, size: int, cap: int) -> None:
        """Drop the middle of a file that takes more than `cap` bytes."""
        if size - sampled.dropped[stream] <= cap:
            return
        start = _whole_blocks(cap // 4 + holes.BLOCK - 1)
        end = _whole_blocks(size - cap // 4)
        sampled.dropped[stream] = max(0, end - start)
        with suppress(OSError):  # this file system has no holes
            sampled.files.drop_part(stream, start, end)


def _whole_blocks(size: int) -> int:
    return size - size % holes.BLOCK
