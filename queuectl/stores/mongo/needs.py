"""Jobs that need resources: which of them goes next, and the ledger of who holds what.

Such a job is `ready` with the word NEEDS, in an index of its own by what it needs. What is held
stands in one document, the ledger, which is changed only while it is as it was read. A claim is
three writes: what it will hold goes into the ledger, the job is claimed, and the entry confirmed.
The job is begun after the third. An entry goes away with its claim, whatever ends that: whoever
reads the ledger looks whether the claims still stand. One that was never confirmed goes away after
a while, and a worker that was slow finds its own gone and gives the job back.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from pymongo.errors import DuplicateKeyError

from queuectl.domain.allocation import Candidate, Choice, Room, choose
from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import Holding, State
from queuectl.domain.resources import (
    NOTHING,
    Pairs,
    Supply,
    check_needs,
    parse_amount,
    supply_of,
)
from queuectl.stores.components import Resources
from queuectl.stores.exchange import ClaimRequest, HeldUnits, Offer
from queuectl.stores.mongo.connection import Document, Link, durable, in_words
from queuectl.stores.mongo.documents import NEEDS
from queuectl.stores.mongo.queues import NoRoom, ReadyQueues, free_numbers
from queuectl.stores.mongo.schema import CLAIM_ORDER
from queuectl.stores.serialization import holding_from_document, holding_to_document

UNCONFIRMED_SECONDS = 30.0
"""How long an entry stands whose claim was not confirmed."""

_LEDGER = "+ledger"
_ANY_READY: Document = {"ready": NEEDS, "needs_key": {"$gt": ""}}
"""Any of them. No index is looked at of whose first field a query says nothing."""

_EMPTY: Document = {"_id": _LEDGER, "rev": 0, "holders": []}
_PROCESSING = State.PROCESSING.value
_HEAD = {
    "needs": True, "queue": True, "priority": True, "run_at": True, "seq": True, "slots": True,
    "runs": True, "passed_at": True, "suspect": True, "needs_key": True,
}  # fmt: skip
_FEW, _KINDS, _HEADS_OF_KIND = 4, 100, 4
"""From how many kinds on, and of how many at most, the first jobs are looked for together, and how
many jobs are read for each. MongoDB merges up to 200 ranges of an index into one order."""


def are_ready(link: Link) -> bool:
    """Whether any job may be claimed that needs resources. Cheap."""
    return link.jobs.find_one(_ANY_READY, {"_id": True}) is not None


class Ledger:
    """Who holds what, as it was read once."""

    def __init__(self, link: Link) -> None:
        self._link = link
        found = link.resources.find_one({"_id": _LEDGER}) or _begun(link)
        self._rev: int = found["rev"]
        self.holders = _standing(link, found["holders"])

    @property
    def holdings(self) -> list[Holding]:
        """What is held, by claims and by those that are about to be made."""
        return [holding_from_document(each["holding"]) for each in self.holders]

    def enter(self, claim_id: str, holding: Holding, now: datetime) -> bool:
        """Let a claim hold something if the ledger is still as it was read; return whether."""
        entry = {"claim": claim_id, "holding": holding_to_document(holding), "at": now}
        others = [each for each in self.holders if each["claim"] != claim_id]
        as_read = {"_id": _LEDGER, "rev": self._rev}
        change = {"$set": {"holders": [*others, entry]}, "$inc": {"rev": 1}}
        return self._link.resources.update_one(as_read, change).matched_count == 1


def _begun(link: Link) -> Document:
    try:
        link.resources.insert_one(dict(_EMPTY))
    except DuplicateKeyError:
        return link.resources.find_one({"_id": _LEDGER}) or _EMPTY
    return _EMPTY


def _standing(link: Link, holders: list[Document]) -> list[Document]:
    """Return the entries whose claims stand, or may be about to be made."""
    if not holders:
        return []
    claims = [each["claim"] for each in holders]
    wanted = {"state": _PROCESSING, "claim_id": {"$in": claims}}
    found = durable(link.jobs).find(wanted, {"claim_id": True})
    standing = {job["claim_id"] for job in found}
    since = link.now() - timedelta(seconds=UNCONFIRMED_SECONDS)
    return [
        each
        for each in holders
        if each["claim"] in standing or not (each.get("confirmed") or each["at"] < since)
    ]


def confirm(link: Link, claim_id: str) -> bool:
    """Confirm the entry of a claim that was made; False: it was taken for lost, and is gone."""
    change = {"$set": {"holders.$.confirmed": True}, "$inc": {"rev": 1}}
    own = {"_id": _LEDGER, "holders.claim": claim_id}
    return link.resources.update_one(own, change).matched_count == 1


def withdraw(link: Link, claim_id: str) -> None:
    """Take back the entry of a claim that was not made."""
    change = {"$pull": {"holders": {"claim": claim_id}}, "$inc": {"rev": 1}}
    link.resources.update_one({"_id": _LEDGER}, change)


def room_for(link: Link, offer: Offer, ledger: Ledger) -> Room:
    """Return what is free for a worker."""
    supply = _supply(link, offer.host) if offer.host else NOTHING
    amounts = {name: parse_amount(name, text) for name, text in fleet(link).items()}
    return Room(offer.host, supply, amounts, ledger.holdings, dict(offer.foreign))


def _supply(link: Link, host: str) -> Supply:
    """Return what a host has: what the latest of its workers declared."""
    declared: Document = {"host": host, "resources": {"$ne": None}}
    latest = [("started_at", -1), ("_id", -1)]
    found = link.workers.find_one(declared, {"resources": True}, sort=latest)
    if found is None:
        return NOTHING
    return supply_of(tuple((name, text) for name, text in found["resources"]))


def fleet(link: Link) -> dict[str, str]:
    """Return the capacities of the fleet; see `Resources.fleet`."""
    found = link.resources.find({"_id": {"$ne": _LEDGER}}).sort("_id", 1)
    return {each["_id"]: each["capacity"] for each in found}


def next_choice(
    link: Link, request: ClaimRequest, queues: ReadyQueues, room: Room, now: datetime
) -> Choice | None:
    """Return the job that goes next of those that need resources and have them now."""
    waiting = [
        candidate
        for head in _heads(link, request, queues)
        if (candidate := _candidate(head)) is not None
    ]
    waiting.sort(key=lambda each: each.place)
    return choose(waiting, room, now, request.offer.patience)


def _heads(link: Link, request: ClaimRequest, queues: ReadyQueues) -> Iterable[Document]:
    """Yield the first job of each kind, and the first that may be this worker's if it is another.

    A kind is what needs the same.
    """
    own: Document = {"queue": queues.open_queues(request.queues), **_suspects(request)}
    full: list[str] = []
    kinds = link.jobs.distinct("needs_key", _ANY_READY)
    mine = _firsts(link, kinds, own, queues, full)
    yield from mine.values()
    if not (request.queues or request.suspects or not request.alone):
        return
    for kind, first in _firsts(link, kinds, {"queue": queues.open_of_jobs()}, queues, full).items():
        is_others = kind not in mine or first["_id"] != mine[kind]["_id"]
        if is_others and _is_served(link, first, request.offer.host):
            yield {**first, "is_others": True}


def _firsts(
    link: Link, kinds: list[str], where: Document, queues: ReadyQueues, full: list[str]
) -> dict[str, Document]:
    """Return the first job of each kind whose queue has room for it.

    Most are among the first of many kinds together; only the others are looked for one by one.
    """
    found: dict[str, Document] = {}
    for at in range(0, len(kinds), _KINDS):
        some = kinds[at : at + _KINDS]
        is_whole = len(some) >= _FEW and _found_together(link, some, where, queues, full, found)
        for kind in () if is_whole else (each for each in some if each not in found):
            of_kind = {"ready": NEEDS, "needs_key": kind, **where}
            if (first := _first(link, of_kind, queues, full)) is not None:
                found[kind] = first
    return found


def _found_together(
    link: Link, kinds: list[str], where: Document, queues: ReadyQueues, full: list[str],
    found: dict[str, Document],
) -> bool:  # fmt: skip
    """Add the first jobs of kinds to `found`, as one query tells; return whether these are all."""
    wanted = {"ready": NEEDS, "needs_key": {"$in": kinds}, **where}
    limit = len(kinds) * _HEADS_OF_KIND
    heads = list(link.jobs.find(wanted, _HEAD, sort=CLAIM_ORDER, limit=limit))
    for head in heads:
        if head["needs_key"] in found or head["queue"] in full:
            continue
        if _is_blocked(link, queues, head):
            full.append(head["queue"])
        else:
            found[head["needs_key"]] = head
    return len(heads) < limit


def _first(link: Link, where: Document, queues: ReadyQueues, full: list[str]) -> Document | None:
    """Return the first job whose queue has room for it; those without are noted in `full`."""
    while True:
        wanted = {"$and": [where, {"queue": {"$nin": list(full)}}]} if full else where
        head = link.jobs.find_one(wanted, _HEAD, sort=CLAIM_ORDER)
        if head is None or not _is_blocked(link, queues, head):
            return head
        full.append(head["queue"])


def _is_served(link: Link, head: Document, host: str) -> bool:
    """Whether any worker takes a job: one of the host, unless the fleet alone has what it needs."""
    where: Document = {"$or": [{"queues": []}, {"queues": head["queue"]}]}
    amounts = fleet(link)
    if not all(name in amounts for name, _ in head["needs"]):
        where["host"] = host
    return link.workers.find_one(where, {"_id": True}) is not None


def _suspects(request: ClaimRequest) -> Document:
    """Return the condition on jobs that a worker may be given."""
    if request.suspects:
        return {"suspect": True}
    return {} if request.alone else {"suspect": {"$ne": True}}


def _is_blocked(link: Link, queues: ReadyQueues, head: Document) -> bool:
    """Whether the limit of a job's queue leaves no room for it."""
    limit = queues.limit(head["queue"])
    if not limit:
        return False
    try:
        free_numbers(link, head["queue"], limit, head.get("slots", 1))
    except NoRoom:
        return True
    return False


def _candidate(head: Document) -> Candidate | None:
    try:
        needs = check_needs("needs", dict(head["needs"]))
        place = -head["priority"], head["run_at"].timestamp(), head["seq"]
    except (InvalidInput, ValueError, TypeError, KeyError, AttributeError):
        return None
    is_mine = not head.get("is_others")
    passed_at = head.get("passed_at")
    return Candidate(head, needs, place, is_mine, passed_at, head.get("runs", 0))


def note_passed(link: Link, passed: Iterable[Candidate], now: datetime) -> None:
    """Note since when jobs have been passed over."""
    ids = [each.key["_id"] for each in passed]
    if ids:
        waiting = {"_id": {"$in": ids}, "ready": NEEDS, "passed_at": None}
        link.jobs.update_many(waiting, {"$set": {"passed_at": now}})


def units_for(room: Room, found: Document) -> Pairs | None:
    """Return what one job would hold that started now; None where it does not fit."""
    try:
        needs = check_needs("needs", dict(found["needs"]))
    except (InvalidInput, ValueError, TypeError, KeyError):
        return None
    return room.place(needs, found.get("runs", 0))


@in_words
class MongoResources(Resources):
    """What the fleet has, and what is in use of all there is."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def fleet(self) -> dict[str, str]:
        return fleet(self.link)

    def set(self, name: str, capacity: str | None) -> bool:
        if capacity is None:
            return self.link.resources.delete_one({"_id": name}).deleted_count == 1
        change = {"$set": {"capacity": capacity}}
        return self.link.resources.update_one({"_id": name}, change, upsert=True).matched_count == 1

    def held(self) -> list[HeldUnits]:
        wanted: Any = {"state": _PROCESSING, "holding": {"$ne": None}}
        found = self.link.jobs.find(wanted, {"worker": True, "holding": True}).sort("_id", 1)
        return [
            HeldUnits(each["_id"], each["worker"], holding_from_document(each["holding"]))
            for each in found
        ]
