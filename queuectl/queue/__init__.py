"""Every use case of queuectl, one short method each.

The command line, the shell and other people's programs call this and nothing below it.
"""

from __future__ import annotations

from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from queuectl.domain import settings as tunables
from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import MAX_SLOTS, check_name
from queuectl.domain.queue_limits import DELIVERY_QUEUE
from queuectl.domain.settings import Value
from queuectl.queue.bulk import ManyChanges
from queuectl.queue.enqueue import Enqueueing, EnqueueResult
from queuectl.queue.read import Statistics
from queuectl.stores import open_existing, open_store
from queuectl.stores.base import Store
from queuectl.system.home import Home, Location, find_location

if TYPE_CHECKING:
    from queuectl.domain.worker_record import StopRequest
    from queuectl.queue.hooks import Hooks
    from queuectl.queue.schedules import Schedules

_Q = TypeVar("_Q", bound="Queue")

__all__ = ["EnqueueResult", "Queue", "open_queue"]


class Queue(Enqueueing, ManyChanges, Statistics):
    """An open store with its home. A context manager; use it from one thread.

    Every method may raise `StoreUnavailable` or `StoreRefused`. What reads is in `Reading`, what
    changes a job that is in the store in `Changes` and `ManyChanges`.
    """

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self.home = home
        self.missing = ""

    @classmethod
    def open(cls: type[_Q], place: Location) -> _Q:
        """Open the store of a place, making home and store on first use."""
        place.home.make()
        return cls(open_store(place.store_url), place.home)

    @classmethod
    def look(cls: type[_Q], place: Location) -> _Q:
        """Open a place to read: nothing is made, and a missing store reads as an empty one.

        `missing` then names what is not there.
        """
        store = open_existing(place.store_url)
        if store is not None:
            return cls(store, place.home)
        from queuectl.stores.missing import NoStore

        queue = cls(NoStore(place.store_url), place.home)
        queue.missing = _missing(place, queue.address)
        return queue

    def __enter__(self) -> Queue:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    @property
    def address(self) -> str:
        """Where the store is, without any password."""
        return self._store.address

    # queues

    def pause_queue(self, name: str) -> None:
        """Claim nothing more from a queue; what runs there goes on."""
        self._decide(name, paused=True)

    def resume_queue(self, name: str) -> None:
        """Claim from a queue again."""
        self._decide(name, paused=False)

    def limit_queue(self, name: str, slots: int) -> None:
        """Let at most so many slots of a queue run at once, in the whole fleet; 0 is any number.

        Of the queue `hooks` that is how many deliveries of each hook may run at once.
        """
        if not 0 <= slots <= MAX_SLOTS:
            raise InvalidInput(f"a limit is a whole number from 0 to {MAX_SLOTS:,}, not {slots}")
        self._decide(name, limit=slots)

    def _decide(self, name: str, *, paused: bool | None = None, limit: int | None = None) -> None:
        self._store.set_queue_limit(check_name("queue", name), paused=paused, limit=limit)
        if name == DELIVERY_QUEUE:
            self.hooks.decide(paused=paused, limit=limit)

    # the fleet

    def ask_workers_to_stop(self, ids: Collection[str], how: StopRequest) -> None:
        """Ask workers, wherever they are, to leave with their next heartbeat."""
        self._store.ask_to_stop(ids, how)

    # schedules

    @property
    def schedules(self) -> Schedules:
        """What is enqueued again and again."""
        from queuectl.queue.schedules import Schedules

        return Schedules(self._store, self.request, self.missing_hint)

    # hooks

    @property
    def hooks(self) -> Hooks:
        """Who is told of what."""
        from queuectl.queue.hooks import Hooks

        return Hooks(self._store, self.missing_hint)

    # settings

    def set_setting(self, word: str, raw: object) -> tuple[str, Value]:
        """Store a setting; return its key and value. Raises InvalidInput."""
        key = tunables.resolve_key(word)
        value = tunables.parse_value(key, raw)
        self._store.set_setting(key, value)
        return key, value

    def unset_setting(self, word: str) -> tuple[str, Value | None]:
        """Remove a setting from the store; return its key and default. Raises InvalidInput.

        One that is stored and unknown, such as that of another version, has no default.
        """
        if word not in tunables.KEYS and word in self._store.settings():
            self._store.set_setting(word, None)
            return word, None
        key = tunables.resolve_key(word)
        self._store.set_setting(key, None)
        return key, tunables.default_of(key)

    # looking after the store

    def faults(self) -> list[str]:
        """Return one line for each fault of the store and of what it holds."""
        return [
            *self._store.check(),
            *tunables.faults(self._store.settings()),
            *self.schedules.faults(),
        ]

    @property
    def store(self) -> Store:
        """The store itself, for what runs jobs."""
        return self._store


def _missing(place: Location, address: str) -> str:
    """Return what is named as missing: the home where the store would be in it, else the store."""
    root = place.home.root
    return str(root) if place.is_store_inside and not root.exists() else address


def open_queue(home: str | None = None, store: str | None = None) -> Queue:
    """Open the queue that `home` and `store` (or the environment, as for the command) mean.

    Close it when done, or use it in a `with` statement.
    """
    return Queue.open(find_location(home, store))
