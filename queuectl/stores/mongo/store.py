"""MongoDB as a store: many hosts share one queue. Needs no transactions, only single writes.

The parts: `connection` connects, `schema` marks and indexes, `batches` inserts, `claims` chooses,
`writes` and `bulk` apply, `dead` moves the dead, `dependencies` and `dependents` link parents and
children, `reads` looks; `registry`, `stats` and `retention` keep what else there is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from itertools import islice

from pymongo.errors import DuplicateKeyError

from queuectl.domain.hooks import Hook
from queuectl.domain.host import HostRecord
from queuectl.domain.job import Job
from queuectl.domain.query import Counts, Filter, Order, Page
from queuectl.domain.queue_limits import QueueLimit
from queuectl.domain.state_machine import Transition
from queuectl.domain.times import later
from queuectl.stores.base import Store
from queuectl.stores.components import (
    Audit,
    Batches,
    Environments,
    LogWishes,
    Meta,
    Named,
    Resources,
    Retention,
    RunLogs,
    Schedules,
    Stats,
    StoredSettings,
    Workers,
)
from queuectl.stores.exchange import NO_OFFER, ClaimRequest, HeldClaim, Offer, Renewal
from queuectl.stores.mongo import (
    batches,
    dead,
    dependencies,
    needs,
    ordered,
    queues,
    reads,
    registry,
)
from queuectl.stores.mongo.audit import MongoAudit
from queuectl.stores.mongo.claims import BATCH_SIZE, Claims, renew
from queuectl.stores.mongo.connection import Link, in_words, opening
from queuectl.stores.mongo.job_batches import MongoBatches
from queuectl.stores.mongo.log_wishes import MongoLogWishes
from queuectl.stores.mongo.retention import MongoRetention
from queuectl.stores.mongo.run_logs import MongoRunLogs
from queuectl.stores.mongo.schema import prepare
from queuectl.stores.mongo.stats import MongoStats, finish_batch
from queuectl.stores.mongo.writes import Writes
from queuectl.stores.records import BATCH


@in_words
class MongoStore(Store):
    """Jobs in a MongoDB database. Make it with `open`; `Store` says what each method does."""

    patience = 0.0  # writers do not wait for each other

    def __init__(self, link: Link) -> None:
        self.link = link
        self._claims = Claims(link)
        self._writes = Writes(link, self._claims.ready_queues)
        self._swept_to = ""
        self.schedules: Schedules = registry.MongoSchedules(link, self._writes)
        self.hooks: Named[Hook] = registry.MongoHooks(link)
        self.hosts: Named[HostRecord] = registry.MongoHosts(link)
        self.run_logs: RunLogs | None = MongoRunLogs(link)
        self.log_wishes: LogWishes | None = MongoLogWishes(link)
        self.batches: Batches = MongoBatches(link, self._writes)
        self.settings: StoredSettings = registry.MongoSettings(link)
        self.workers: Workers = registry.MongoWorkers(link)
        self.stats: Stats = MongoStats(link)
        self.environments: Environments = registry.MongoEnvironments(link)
        self.retention: Retention = MongoRetention(link, self._writes)
        self.resources: Resources = needs.MongoResources(link)
        self.audit: Audit = MongoAudit(link)
        self.meta: Meta = registry.MongoMeta(link)

    @classmethod
    def open(cls, url: str) -> MongoStore:
        """Connect to `mongodb://` or `mongodb+srv://`; the database is `queuectl` unless named.

        Raises InvalidInput for a malformed address, StoreUnavailable within 5 seconds when
        nothing answers, StoreRefused for bad credentials, a database with collections of these
        names that are not queuectl's, or one of a newer version.
        """
        store = cls._opened(url, make=True)
        assert store is not None, "what is missing is made"
        return store

    @classmethod
    def open_existing(cls, url: str) -> MongoStore | None:
        """Connect as `open` does, but make nothing: None for a database without our mark."""
        return cls._opened(url, make=False)

    @classmethod
    def _opened(cls, url: str, *, make: bool) -> MongoStore | None:
        link = Link(url)
        is_ours = False
        try:
            with opening(link):
                is_ours = prepare(link, make=make)
        finally:
            if not is_ours:
                link.close()
        return cls(link) if is_ours else None

    @property
    def address(self) -> str:
        return self.link.address

    @property
    def between(self) -> Callable[[], None]:
        return self.link.between

    @between.setter
    def between(self, between: Callable[[], None]) -> None:
        self.link.between = between

    def is_same_file(self) -> bool:
        return True  # nothing takes the place of a database of a server

    def recover(self, patience: float = 0) -> None:
        pass  # the driver finds its servers again

    def close(self) -> None:
        self.link.close()

    def now(self) -> datetime:
        return self.link.now()

    # jobs

    def insert(self, jobs: Sequence[Job], *, atomic: bool = False) -> frozenset[str]:
        return self._writes.insert(jobs, atomic=atomic)

    def get(self, job_id: str) -> Job | None:
        return reads.get(self.link, job_id)

    def generated_ids(self, prefix: str, limit: int) -> list[str]:
        return reads.generated_ids(self.link, prefix, limit)

    def find(self, chosen: Filter, page: Page) -> Iterator[Job]:
        if page.order is Order.ARRIVAL:
            return reads.find(self.link, chosen, page)
        return ordered.find(self.link, chosen, page)

    def first_ready(self, queue: str) -> Job | None:
        return reads.ready_job(self.link, queue)

    def last_ready(self, queue: str) -> Job | None:
        return reads.ready_job(self.link, queue, last=True)

    def oldest_due(self) -> dict[str, datetime]:
        return reads.oldest_due(self.link)

    def counts(self) -> Counts:
        return reads.counts(self.link)

    # claiming and committing

    def claim(self, request: ClaimRequest) -> Job | None:
        return next(iter(self._claims.claim([request])), None)

    def commit(self, change: Transition) -> bool:
        return self._writes.commit(change)

    def commit_all(self, changes: Sequence[Transition]) -> list[bool]:
        return self._writes.commit_all(changes)

    def commit_and_claim(
        self, changes: Sequence[Transition], requests: Sequence[ClaimRequest]
    ) -> tuple[list[bool], list[Job]]:
        applied = self._writes.commit_ends(changes)
        if not requests:
            return applied, []
        are_alike = not any(each.only or each.deliveries or each.suspects for each in requests)
        return applied, self._claims.claim(requests if are_alike else requests[:1])

    @property
    def claim_batch_size(self) -> int:
        return BATCH_SIZE

    @property
    def is_remote(self) -> bool:
        return True

    def flush(self) -> None:
        pass  # the server acknowledges what is journaled

    def renew(self, held: Sequence[HeldClaim], lease_seconds: float) -> list[Renewal]:
        return renew(self.link, held, lease_seconds)

    def require_writable(self) -> None:
        pass  # nothing keeps others from writing that lets them read

    def has_ready_deliveries(self, *, untried: bool = False) -> bool:
        return self._claims.ready_queues.has_deliveries(untried=untried)

    def ready_suspects(
        self, queues: tuple[str, ...], limit: int, offer: Offer | None = None
    ) -> int:
        found = self._claims.ready_queues.ready_suspects(queues, limit)
        number = sum(1 for _ in islice(found, limit))
        return number or self._claims.needy.has_suspect(queues, offer or NO_OFFER)

    # small idempotent chores of the maintenance

    def make_due_claimable(self, limit: int = BATCH) -> int:
        return self._writes.make_due_claimable(limit)

    def next_due(self) -> datetime | None:
        return reads.next_due(self.link)

    def leases_ending(self, before: datetime) -> list[Job]:
        return reads.leases_ending(self.link, before)

    def claimed_by(self, worker_id: str) -> list[Job]:
        return reads.claimed_by(self.link, worker_id)

    def notify_children(self) -> int:
        return self._writes.notify_children()

    def repair(self) -> int:
        finish_batch(self.link)
        mended = batches.mend(self.link) + dependencies.mend(self.link)
        mended += dead.finish_burials(self.link)
        lost, self._swept_to = dead.unbelieved(self.link, self._swept_to)  # one stretch a call
        return mended + dead.remove_copies(self.link, lost)

    def tidy(self, seconds: float) -> bool:  # noqa: ARG002 - the server does that by itself
        return False

    def try_acquire_turn(self, chore: str, every_seconds: float) -> bool:
        now = self.now()
        due = {"_id": chore, "next_at": {"$lte": now}}
        next_at = {"$set": {"next_at": later(now, every_seconds)}}
        try:
            self.link.turns.update_one(due, next_at, upsert=True)
        except DuplicateKeyError:
            return False  # the turn is there and not due
        return True

    # whole jobs

    def present(self, ids: Collection[str]) -> frozenset[str]:
        return batches.present(self.link, ids)

    def restore(self, jobs: Sequence[Job], *, keep_numbers: bool = False) -> frozenset[str]:
        if any(job.spec.needs for job in jobs):
            queues.note_needs(self.link)
        return batches.restore(self.link, jobs, keep_numbers=keep_numbers)

    def has_unmade(self) -> bool:
        return self.link.job_batches.find_one({"unmade": {"$gt": 0}}, {"_id": True}) is not None

    # queues

    def queue_limits(self) -> dict[str, QueueLimit]:
        return queues.limits_in_use(self.link)

    def set_queue_limit(
        self, queue: str, *, paused: bool | None = None, limit: int | None = None
    ) -> None:
        queues.decide(self.link, queue, paused, limit)

    def unique_key_owner(self, unique: str) -> str | None:
        return reads.unique_key_owner(self.link, unique)

    # waiting and looking

    def wait_for_work(self, seconds: float, wake: int) -> None:
        self._claims.wait_for_work(seconds, wake)

    def check(self, *, quick: bool = False) -> list[str]:
        return [] if quick else list(reads.faults(self.link))
