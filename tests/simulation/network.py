"""The driver's side: collections that send each command over a network that delays, loses and cuts.

As pymongo does by itself, a command that failed by the network is sent once more, but for those
that change many documents. A server that `remembers` answers the second with what became of the
first, as MongoDB does; others do it twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heapreplace
from typing import Any

from greenlet import getcurrent
from pymongo.errors import AutoReconnect, OperationFailure

from queuectl.stores.mongo.connection import Link
from queuectl.stores.mongo.schema import _OTHER_INDEXES, JOB_INDEXES
from tests.simulation.database import Collection
from tests.simulation.documents import Document
from tests.simulation.index import Sort
from tests.simulation.world import World

_NAMES = {
    "jobs": "jobs", "dlq": "dlq", "meta": "queuectl_meta", "settings": "queuectl_settings",
    "workers": "queuectl_workers", "turns": "queuectl_turns", "batches": "queuectl_batches",
    "job_batches": "queuectl_job_batches", "served_queues": "queuectl_served_queues",
    "queues": "queuectl_queues", "resources": "queuectl_resources",
    "host_records": "queuectl_hosts", "events": "queuectl_events",
}  # fmt: skip


@dataclass
class Faults:
    """What befalls messages: seconds of delay, and how many of a thousand are lost."""

    delay: float = 0.0005
    slowest: float = 0.005
    lost: float = 0.0
    timeout: float = 10.0
    remembers: bool = False


@dataclass
class Server:
    """What answers: so many processors, each of which is busy for a while with a command.

    `read_seconds` and `write_seconds` are what a command costs, and each document that it changes.
    """

    processors: int = 8
    read_seconds: float = 0.00005
    write_seconds: float = 0.00004
    free_at: list[float] = field(default_factory=list)
    collections: dict[str, Collection] = field(default_factory=dict)
    commands: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.free_at = [0.0] * self.processors
        indexes: Mapping[str, Any] = {"jobs": JOB_INDEXES, **_OTHER_INDEXES}
        for attribute, name in _NAMES.items():
            self.collections[name] = Collection(name, indexes.get(attribute, ()))

    def busy(self, now: float, seconds: float) -> float:
        """Return how long a command waits for a processor and is worked on."""
        begins = max(now, self.free_at[0])
        heapreplace(self.free_at, begins + seconds)
        return begins + seconds - now


class Network:
    """Between all hosts and the one server."""

    def __init__(self, world: World, server: Server, faults: Faults) -> None:
        self.world, self.server, self.faults = world, server, faults
        self.cut_off: set[object] = set()
        """Hosts whose messages do not get through."""

    def delay(self) -> float:
        """Return how long a message is on its way."""
        faults, chance = self.faults, self.world.chance
        if chance.random() < 0.01:
            return chance.uniform(faults.delay, faults.slowest)
        return faults.delay * chance.uniform(0.8, 1.2)

    def is_lost(self) -> bool:
        """Whether a message that is sent now by the current task's host does not arrive."""
        host = getattr(getcurrent(), "host", None)
        return host in self.cut_off or self.world.chance.random() * 1000 < self.faults.lost

    def send(
        self, place: Collection, name: str, act: Callable[[], Any], *, writes: int, repeats: bool
    ) -> Any:
        """Have the server do something; return its answer. Raises what it or the network does."""
        done: list[Any] = []
        for attempt in (0, 1):
            self.server.commands[f"{place.name}.{name}"] += 1
            if not self.is_lost():
                self.world.sleep(self.delay())
                if not (done and self.faults.remembers):
                    done.append(_outcome(act))
                server = self.server
                seconds = server.read_seconds + writes * server.write_seconds
                busy = server.busy(self.world.now, seconds)
                if not self.is_lost():
                    self.world.sleep(busy + self.delay())
                    if isinstance(done[-1], OperationFailure):
                        raise done[-1]
                    return done[-1]
            self.world.sleep(self.faults.timeout / 2)
            if attempt or not repeats:
                break
        raise AutoReconnect("the network lost a message")


def _outcome(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except OperationFailure as refused:
        return refused


class Cursor:
    """A query that is sent when its first document is asked for."""

    def __init__(self, send: Callable[[Sort, int], list[Document]]) -> None:
        self._send = send
        self._sort: Sort = ()
        self._limit = 0

    def sort(self, key: str | Sort, way: int = 1) -> Cursor:
        """Ask for an order."""
        self._sort = [(key, way)] if isinstance(key, str) else key
        return self

    def limit(self, number: int) -> Cursor:
        """Ask for so many at most."""
        self._limit = number
        return self

    def batch_size(self, _number: int) -> Cursor:
        """Change nothing: an answer is one message here."""
        return self

    def __iter__(self) -> Iterator[Document]:
        return iter(self._send(self._sort, self._limit))


class Remote:
    """One collection as pymongo shows it, as far as the store uses it."""

    def __init__(self, network: Network, place: Collection) -> None:
        self._network, self._place = network, place

    def with_options(self, **_options: object) -> Remote:
        """Return this collection: there is one server, which forgets nothing."""
        return self

    def _send(
        self, name: str, act: Callable[[], Any], *, writes: int = 0, repeats: bool = True
    ) -> Any:
        return self._network.send(self._place, name, act, writes=writes, repeats=repeats)

    def find(
        self, where: Any = None, fields: Any = None, *, sort: Sort = (), limit: int = 0,
        hint: object = None,  # noqa: ARG002 - the best index is taken anyway
    ) -> Cursor:  # fmt: skip
        """Find documents."""
        place = self._place

        def send(order: Sort, most: int) -> list[Document]:
            act = lambda: place.find(where, fields, order or sort, most or limit)  # noqa: E731
            return list(self._send("find", act))

        return Cursor(send)

    def find_one(self, where: Any = None, fields: Any = None, **more: Any) -> Document | None:
        """Find one document."""
        return next(iter(self.find(where, fields, **{**more, "limit": 1})), None)

    def distinct(self, field: str, where: Any) -> list[Any]:
        """Return the values of a field."""
        return list(self._send("distinct", lambda: self._place.distinct(field, where)))

    def count_documents(self, where: Any) -> int:
        """Count what matches."""
        return int(self._send("count", lambda: len(self._place.find(where, {"_id": True}))))

    def find_one_and_update(
        self, where: Any, change: Any, fields: Any = None, *, sort: Sort | None = None,
        upsert: bool = False, return_document: bool = False,
    ) -> Any:  # fmt: skip
        """Update one and return it."""
        place = self._place
        act = lambda: place.find_one_and_update(  # noqa: E731
            where, change, fields, sort or (), upsert=upsert, is_after=return_document
        )
        return self._send("find_one_and_update", act, writes=1)

    def insert_one(self, document: Document) -> Any:
        """Insert one."""
        return self._send("insert_one", lambda: self._place.insert_one(document), writes=1)

    def insert_many(self, documents: Sequence[Document], *, ordered: bool) -> Any:
        """Insert many."""
        assert not ordered
        act = lambda: self._place.insert_many(documents)  # noqa: E731
        return self._send("insert_many", act, writes=len(documents))

    def update_one(self, where: Any, change: Any, *, upsert: bool = False) -> Any:
        """Update one."""
        act = lambda: self._place.update_one(where, change, upsert=upsert)  # noqa: E731
        return self._send("update_one", act, writes=1)

    def update_many(self, where: Any, change: Any = None, **more: Any) -> Any:
        """Update many; that is never sent twice."""
        act = lambda: self._place.update_many(where, more.get("update", change))  # noqa: E731
        return self._send("update_many", act, writes=4, repeats=False)

    def replace_one(self, where: Any, whole: Document, *, upsert: bool = False) -> Any:
        """Replace one."""
        act = lambda: self._place.replace_one(where, whole, upsert=upsert)  # noqa: E731
        return self._send("replace_one", act, writes=1)

    def delete_one(self, where: Any) -> Any:
        """Delete one."""
        return self._send("delete_one", lambda: self._place.delete_many(where, most=1), writes=1)

    def delete_many(self, where: Any) -> Any:
        """Delete many; that is never sent twice."""
        return self._send(
            "delete_many", lambda: self._place.delete_many(where), writes=4, repeats=False
        )

    def bulk_write(self, writes: Sequence[Any], *, ordered: bool) -> Any:
        """Send several writes together."""
        assert not ordered
        act = lambda: self._place.bulk_write(writes)  # noqa: E731
        return self._send("bulk_write", act, writes=len(writes))


class SimulatedLink(Link):
    """A link of the store whose collections are in memory, behind a network."""

    def __init__(self, network: Network) -> None:
        super().__init__("mongodb://simulated.invalid/simulated")
        self.client.close()
        self._network = network
        for attribute, name in _NAMES.items():
            setattr(self, attribute, Remote(network, network.server.collections[name]))

    def _measure(self) -> None:
        """Ask the server for its time, as the driver's `hello` does."""
        from queuectl.stores.mongo import connection

        world, network = self._network.world, self._network
        place = network.server.collections["queuectl_meta"]
        asked = connection._steady()
        local: datetime = network.send(
            place, "hello", lambda: world.instant, writes=0, repeats=False
        )
        self._server_time = local
        self._measured = (asked + connection._steady()) / 2
