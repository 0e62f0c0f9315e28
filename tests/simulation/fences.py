"""Each safeguard of the store taken out in turn, and a simulation that must find that.

`python -m tests.simulation --fences` prints which promise was broken without which safeguard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from queuectl.domain.state_machine import Fence, Transition
from queuectl.domain.times import EPOCH
from queuectl.stores.mongo import documents, needs, several
from queuectl.stores.mongo.connection import Document, Link
from queuectl.stores.serialization import holding_to_document
from tests.simulation.checks import Broken
from tests.simulation.network import Faults, Server
from tests.simulation.scenario import Scenario, simulate

_COURSES = 4
_LOSSES = Faults(lost=5.0, timeout=4.0)
_LONG = Scenario(
    hosts=12, jobs=250, seconds=(0.5, 4.0), lease=6.0, cuts=30, cut_seconds=12.0, crashes=6,
    faults=_LOSSES,
)  # fmt: skip
_LONGER = replace(_LONG, jobs=80, seconds=(4.0, 14.0))
_SHORT = Scenario(hosts=12, jobs=600, seconds=(0.01, 0.05), lease=6.0)


@dataclass(frozen=True)
class Safeguard:
    """One safeguard: how it is taken out, and a scenario in which it is needed."""

    name: str
    without: Callable[[], AbstractContextManager[Any]]
    scenario: Scenario
    server: Callable[[], Server] = Server


def _any_settles(change: Transition, linking: Document | None = None) -> Document:
    if change.fence is Fence.REV:
        return _FENCE(change, linking)
    return {"_id": change.before.id}


_FENCE = documents.fence


def _fence(other: Callable[..., Document]) -> Callable[[], AbstractContextManager[Any]]:
    @contextmanager
    def without() -> Iterator[None]:
        with (
            patch("queuectl.stores.mongo.writes.fence", other),
            patch("queuectl.stores.mongo.ends.fence", other),
        ):
            yield

    return without


@contextmanager
def _taken_as_seen() -> Iterator[None]:
    def take(link: Link, marks: Sequence[several.Mark]) -> Any:
        unfenced = [UpdateOne({"_id": seen["_id"]}, update) for _, seen, update in marks]
        with suppress(BulkWriteError):
            link.jobs.bulk_write(unfenced, ordered=False)
        return several.held(link, [request for request, _, _ in marks])

    with patch.object(several, "take", take):
        yield


@contextmanager
def _at_once_expired() -> Iterator[None]:
    from queuectl.maintenance.rescuer import Rescuer

    def expire(self: Any, settings: Any) -> None:
        for job in self._store.leases_ending(EPOCH.replace(year=2100)):
            self._end_claim(job, settings, "taken back before its lease ended")

    with patch.object(Rescuer, "expire", expire):
        yield


@contextmanager
def _ledger_unread() -> Iterator[None]:
    def enter(self: Any, claim_id: str, holding: Any, now: Any) -> bool:
        entry = {
            "claim": claim_id, "holding": holding_to_document(holding), "at": now,
        }  # fmt: skip
        change = {"$set": {"holders": [*self.holders, entry]}, "$inc": {"rev": 1}}
        self._link.resources.update_one({"_id": "+ledger"}, change)
        return True

    with patch.object(needs.Ledger, "enter", enter):
        yield


@contextmanager
def _own_clock() -> Iterator[None]:
    from tests.simulation.fleet import Worker

    with patch.object(Worker, "_holds", lambda *_: True):
        yield


def _without_index(name: str) -> Callable[[], Server]:
    def server() -> Server:
        made = Server()
        made.collections["jobs"].indexes[name].is_unique = False
        return made

    return server


@contextmanager
def _nothing() -> Iterator[None]:
    yield


SAFEGUARDS = (
    Safeguard("only who has the claim settles a run", _fence(_any_settles), _LONG),
    Safeguard("a job is claimed as it was seen, while it is ready", _taken_as_seen, _SHORT),
    Safeguard("a lease is waited for before a claim is taken back", _at_once_expired, _LONG),
    Safeguard("a worker stops a run whose lease it could not renew", _own_clock, _LONGER),
    Safeguard("no two jobs hold one number of a queue's limit", _nothing,
              Scenario(hosts=16, jobs=300, limit=3, limited=1, seconds=(0.01, 0.03)),
              _without_index("slots_held")),
    Safeguard("the ledger is written only as it was read", _ledger_unread,
              Scenario(hosts=30, jobs=1500, licences=2, seconds=(0.05, 0.3))),
)  # fmt: skip


def broken_without(safeguard: Safeguard, seed: int) -> str | None:
    """Return which promise is broken without a safeguard, in the first few courses; None: none."""
    for number in range(seed, seed + _COURSES):
        try:
            with safeguard.without():
                simulate(replace(safeguard.scenario, server=safeguard.server), number)
        except Broken as broken:
            return str(broken)
    return None
