"""The small idempotent chores that every worker does now and then; there is no leader."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime

from queuectl.domain.errors import StoreError
from queuectl.domain.settings import Settings
from queuectl.maintenance.batches import BatchKeeper
from queuectl.maintenance.hosts import HostKeeper
from queuectl.maintenance.pruner import Pruner
from queuectl.maintenance.rescuer import Rescuer, deliveries_are_left
from queuectl.maintenance.scheduler import Scheduler
from queuectl.maintenance.thresholds import Thresholds
from queuectl.queue.events import EventProcessor
from queuectl.stores.base import Store
from queuectl.stores.exchange import Leaving
from queuectl.stores.records import BATCH
from queuectl.system.home import Home
from queuectl.system.polling import Pace, Timer

log = logging.getLogger("queuectl.worker")

_REPAIR_SECONDS = 10.0
_SWEEP_SECONDS = 3.0
_SWEEP_BUDGET_SECONDS = _PROMOTE_BUDGET_SECONDS = 1.0
_TIDY_SECONDS = 5.0
_TIDY_BUDGET_SECONDS = 0.1
_DELIVERY_SECONDS = 1.0


class Maintenance:
    """The chores of one worker over one store; `since` is when the worker began (now).

    `between` is called after each step of them, and by the store within long ones: on a slow store
    they take long, and what cannot wait is done there; it raises Leaving to end them.
    `call_courier` is called when there are deliveries of hooks to be made, and with `drains` for
    none that is a retry.
    """

    def __init__(
        self,
        store: Store,
        home: Home | None = None,
        since: datetime | None = None,
        between: Callable[[], None] = lambda: None,
        call_courier: Callable[[], None] | None = None,
        *,
        drains: bool = False,
    ) -> None:
        self._store = store
        store.between = between
        self._home = home
        self._call_courier = call_courier
        self._drains = drains
        self._courier_pace = Pace(_DELIVERY_SECONDS)
        self._sweep_timer = Timer(_SWEEP_SECONDS)
        self._repair_timer = Timer(_REPAIR_SECONDS / 2)
        self._tidy_timer = Timer(_TIDY_SECONDS)
        self.rescuer = Rescuer(store, home)
        self._chores: list[Callable[[Settings], object]] = [
            self._promote,
            Scheduler(store, since or store.now()).enqueue_due,
            self.rescuer.recover,
            self.rescuer.expire,
            self._sweep,
            self._repair,
            EventProcessor(store).tick,
            BatchKeeper(store).tick,
            Thresholds(store).tick,
            self._deliver,
            *([Pruner(store, home).tick] if home else []),
            HostKeeper(store).tick,
            self._tidy,
        ]

    def tick(self, settings: Settings) -> None:
        """Do every chore once; a fault in one does not stop the others.

        A store that fails ends the tick with StoreError, and `between` may with Leaving.
        """
        for chore in self._chores:
            try:
                chore(settings)
            except (StoreError, Leaving):
                raise
            except Exception:
                log.exception("upkeep failed")
            self._store.between()

    def _promote(self, _settings: Settings) -> None:
        ends_at = time.monotonic() + _PROMOTE_BUDGET_SECONDS
        while self._store.make_due_claimable() == BATCH and time.monotonic() < ends_at:
            self._store.between()

    def _sweep(self, _settings: Settings) -> None:
        """Notify children that the commit of their parent's end did not reach."""
        if not self._sweep_timer.rings():
            return
        ends_at = time.monotonic() + _SWEEP_BUDGET_SECONDS
        is_more = self._store.notify_children() > 0
        if not is_more or not self._store.try_acquire_turn("sweep", _SWEEP_BUDGET_SECONDS):
            return  # somebody else goes on
        while time.monotonic() < ends_at:
            if not self._store.notify_children():
                return
            self._store.between()
        self._sweep_timer.ring_in(0)

    def _repair(self, _settings: Settings) -> None:
        # asking for the turn is a write, which idle workers should not do each second
        if self._repair_timer.rings() and self._store.try_acquire_turn("repair", _REPAIR_SECONDS):
            self._store.repair()

    def _deliver(self, _settings: Settings) -> None:
        """See that there is a courier when there is something to deliver."""
        if self._call_courier is None or not self._courier_pace.is_due:
            return
        with self._courier_pace.look():
            is_wanted = self._store.has_ready_deliveries(untried=self._drains)
            if self.rescuer.couriers_may_be_lost and self._home is not None:
                self.rescuer.couriers_may_be_lost = deliveries_are_left(self._home, self._store)
        if is_wanted or self.rescuer.couriers_may_be_lost:
            self._call_courier()

    def _tidy(self, _settings: Settings) -> None:
        """Give back room in the store, a little with each tick."""
        if self._tidy_timer.rings() and self._store.tidy(_TIDY_BUDGET_SECONDS):
            self._tidy_timer.ring_in(0)
