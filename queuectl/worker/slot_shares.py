"""How the slots of one supervisor's workers are shared out between them and those for suspects.

A suspect runs in a process that runs nothing else. Each such process takes a slot from the workers
of several slots, so that no more jobs run at once than there are slots. What that needs is in
memory which the supervisor and its workers share; nobody waits for anybody there.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable

from queuectl.stores.base import Store
from queuectl.stores.exchange import NO_OFFER

_CELL = 8
_RUNNERS, _SUSPECTS, _OF_WORKERS = 0, 1, 2
_LOOK_SECONDS = 0.5


class SlotTable:
    """The slots of the workers, as the supervisor keeps it. Make it before any is forked.

    Of each worker it has how many slots there are, and in how many something runs or is claimed for
    just now. `suspects` is how many could be claimed when a worker last looked.
    """

    def __init__(self, workers: int) -> None:
        memory = mmap.mmap(-1, _CELL * (_OF_WORKERS + 2 * workers))
        self._cells = memoryview(memory).cast("q")
        self._places = range(_OF_WORKERS, _OF_WORKERS + 2 * workers, 2)

    @property
    def runners(self) -> int:
        """How many processes there are for suspects."""
        return self._cells[_RUNNERS]

    @runners.setter
    def runners(self, number: int) -> None:
        self._cells[_RUNNERS] = number

    @property
    def suspects(self) -> int:
        """How many suspects wait."""
        return self._cells[_SUSPECTS]

    @suspects.setter
    def suspects(self, number: int) -> None:
        self._cells[_SUSPECTS] = number

    def note(self, worker: int, slots: int, used: int) -> None:
        """Enter how many slots a worker has, and how many of them are in use."""
        place = self._places[worker]
        self._cells[place], self._cells[place + 1] = slots, used

    def vacate(self, worker: int, *, is_for_good: bool) -> None:
        """Note that a worker has ended; `is_for_good` says that no other takes its place."""
        slots = 0 if is_for_good else self._cells[self._places[worker]]
        self.note(worker, slots, 0)

    @property
    def free(self) -> int:
        """How many more processes for suspects there may be: one slot stays with each worker."""
        slots = [self._cells[place] for place in self._places]
        used = sum(self._cells[place + 1] for place in self._places)
        return sum(slots) - max(used, sum(map(bool, slots))) - self.runners

    def share(self, slots: int) -> int:
        """Return how many of its slots a worker may use itself; what is uneven stays empty."""
        taken = self.runners + self.suspects
        if not taken:
            return slots
        workers = sum(1 for place in self._places if self._cells[place])
        return max(1, slots - -(-taken // max(1, workers)))


class SlotShare:
    """What one worker has of the table. `ring` says to its supervisor that suspects wait.

    `offer` is what its host has to offer to those that need resources.
    """

    def __init__(
        self, table: SlotTable, worker: int, queues: tuple[str, ...], ring: Callable[[], None]
    ) -> None:
        self._table = table
        self._worker = worker
        self._queues = queues
        self._ring = ring
        self.offer = NO_OFFER
        self._is_narrow = False

    def of(self, slots: int) -> int:
        """Return how many of its slots the worker may use now."""
        return self._table.share(slots)

    def plan(self, slots: int, used: int) -> None:
        """Say, before any job is claimed, that all that may be used will be.

        Whoever looks at the table now sees that; if the share became less before, it is less here.
        """
        if slots == 1:
            self.note(1, used)
            return
        share = -1
        while share != (share := self.of(slots)):
            self._table.note(self._worker, slots, max(share, used))

    def note(self, slots: int, used: int) -> None:
        """Say in how many slots something runs; in one slot something is taken to run always."""
        if slots == 1 and self._is_narrow:
            return
        self._is_narrow = slots == 1
        used = 1 if self._is_narrow else used
        self._table.note(self._worker, slots, used)

    def look(self, store: Store, slots: int) -> None:
        """See whether suspects wait, and if so let the supervisor know. Raises StoreError.

        A worker of one slot runs them itself.
        """
        waiting = store.ready_suspects(self._queues, slots, self.offer) if slots > 1 else 0
        if waiting or self._table.suspects:
            self._table.suspects = waiting
        if waiting:
            self._ring()

    @property
    def next_look(self) -> float:
        """Return in how many seconds the share may have grown."""
        return _LOOK_SECONDS if self._table.runners or self._table.suspects else float("inf")
