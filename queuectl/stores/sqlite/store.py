"""The embedded store: one SQLite file in WAL mode, every write synced before it is answered.

Every write is one `BEGIN IMMEDIATE` transaction, so what the domain decides on inside it is
still so when it is written.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from queuectl.stores.records import BATCH
from queuectl.stores.sqlite import reads, registry
from queuectl.stores.sqlite.connection import translated
from queuectl.stores.sqlite.database import EXCHANGED_SECONDS, Database

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from queuectl.domain.hooks import Hook
    from queuectl.domain.host import HostRecord
    from queuectl.domain.job import Job
    from queuectl.domain.query import Counts, Filter, Page
    from queuectl.domain.queue_limits import QueueLimits
    from queuectl.domain.state_machine import Transition
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
    from queuectl.stores.exchange import ClaimRequest, HeldClaim, Offer, Renewal
    from queuectl.stores.sqlite.claims import Claims
    from queuectl.stores.sqlite.transaction import Watch


class SqliteStore:
    """`Store` over one SQLite file; what each method does is said there.

    `address` is shown where that is not the path, and `on_close` is called in the end. Parts that
    a command may never need are imported when they are.
    """

    schedules: Schedules
    hooks: Named[Hook]
    hosts: Named[HostRecord]
    run_logs: RunLogs | None = None  # there is one host, which has the files
    log_wishes: LogWishes | None = None
    batches: Batches
    stats: Stats
    retention: Retention
    resources: Resources
    audit: Audit

    def __init__(
        self,
        path: str | Path,
        watch: Watch | None = None,
        *,
        address: str = "",
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._db = db = Database(path, watch)
        self._address = address or str(path)
        self._on_close = on_close
        self.between: Callable[[], None] = lambda: None
        self.settings: StoredSettings = registry.SettingsTable(db)
        self.workers: Workers = registry.WorkerTable(db)
        self.environments: Environments = registry.EnvironmentTable(db)
        self.meta: Meta = registry.MetaTable(db)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Make what few commands need when it is asked for first."""
            made: object
            if name == "schedules":
                from queuectl.stores.sqlite.named import ScheduleTable

                made = ScheduleTable(self._db)
            elif name == "hooks":
                from queuectl.stores.sqlite.named import hook_table

                made = hook_table(self._db)
            elif name == "hosts":
                from queuectl.stores.sqlite.named import host_table

                made = host_table(self._db)
            elif name == "batches":
                from queuectl.stores.sqlite.batches import BatchTable

                made = BatchTable(self._db)
            elif name == "stats":
                from queuectl.stores.sqlite.stats import StatsTables

                made = StatsTables(self._db)
            elif name == "resources":
                from queuectl.stores.sqlite.needs import ResourceTable

                made = ResourceTable(self._db)
            elif name == "audit":
                from queuectl.stores.sqlite.audit import AuditTable

                made = AuditTable(self._db)
            elif name == "retention":
                from queuectl.stores.sqlite.retention import OldJobs

                made = OldJobs(self._db)
            else:
                raise AttributeError(f"SqliteStore has no attribute '{name}'")
            setattr(self, name, made)
            return made

    @cached_property
    def _claims(self) -> Claims:
        from queuectl.stores.sqlite.claims import Claims

        return Claims(self._db)

    @property
    def address(self) -> str:
        return self._address

    @property
    def patience(self) -> float:
        return self._db.lock.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        with translated(self._db.path):
            self._db.lock.be_patient_for(seconds)

    def is_same_file(self) -> bool:
        return not self._db.files.is_replaced()

    def recover(self, patience: float = EXCHANGED_SECONDS) -> None:
        self._db.recover(patience)

    def close(self) -> None:
        self._db.close()
        self._on_close()

    def now(self) -> datetime:
        return self._db.now()

    # jobs

    def insert(self, jobs: Sequence[Job], *, atomic: bool = False) -> frozenset[str]:
        from queuectl.stores.sqlite.writes import insert

        if atomic or isinstance(jobs, list):
            return insert(self._db, jobs, atomic=atomic)
        from queuectl.domain.alike import AlikeJobs  # of many jobs only
        from queuectl.stores.sqlite import alike

        if isinstance(jobs, AlikeJobs):
            return alike.insert(self._db, jobs)
        return insert(self._db, jobs, atomic=False)

    def restore(self, jobs: Sequence[Job], *, keep_numbers: bool = False) -> frozenset[str]:
        from queuectl.stores.sqlite.writes import restore

        return restore(self._db, jobs, keep_numbers=keep_numbers)

    def get(self, job_id: str) -> Job | None:
        return reads.get(self._db, job_id)

    def present(self, ids: Collection[str]) -> frozenset[str]:
        return frozenset(reads.taken(self._db, ids))

    def generated_ids(self, prefix: str, limit: int) -> list[str]:
        return reads.generated_ids(self._db, prefix, limit)

    def unique_key_owner(self, unique: str) -> str | None:
        return reads.unique_key_owner(self._db, unique)

    def find(self, chosen: Filter, page: Page) -> Iterator[Job]:
        from queuectl.domain.query import Order

        if page.order is Order.ARRIVAL:
            return reads.find(self._db, chosen, page)
        from queuectl.stores.sqlite import ordered

        return ordered.find(self._db, chosen, page)

    def counts(self) -> Counts:
        return reads.counts(self._db)

    # claiming and committing

    def claim(self, request: ClaimRequest) -> Job | None:
        return self._claims.claim(request)

    def commit(self, change: Transition) -> bool:
        from queuectl.stores.sqlite.writes import commit

        return commit(self._db, change)

    def commit_all(self, changes: Sequence[Transition]) -> list[bool]:
        from queuectl.stores.sqlite.writes import commit_all

        return commit_all(self._db, changes)

    def commit_and_claim(
        self, changes: Sequence[Transition], requests: Sequence[ClaimRequest]
    ) -> tuple[list[bool], list[Job]]:
        return self._claims.commit_and_claim(changes, requests)

    @property
    def claim_batch_size(self) -> int:
        from queuectl.stores.sqlite.claims import BATCH_SIZE

        return BATCH_SIZE

    @property
    def is_remote(self) -> bool:
        return False

    def flush(self) -> None:
        self._db.log.catch_up()

    def renew(self, held: Sequence[HeldClaim], lease_seconds: float) -> list[Renewal]:
        from queuectl.stores.sqlite.claims import renew

        return renew(self._db, held, lease_seconds)

    def require_writable(self) -> None:
        with self._db.claiming:
            pass

    def wait_for_work(self, seconds: float, wake: int) -> None:
        self._claims.wait_for_work(seconds, wake)

    # queues

    def has_unmade(self) -> bool:
        return reads.has_unmade(self._db)

    def queue_limits(self) -> QueueLimits:
        from queuectl.stores.sqlite.queue_limits import queue_limits

        return queue_limits(self._db)

    def set_queue_limit(
        self, queue: str, *, paused: bool | None = None, limit: int | None = None
    ) -> None:
        from queuectl.stores.sqlite.queue_limits import set_queue_limit

        set_queue_limit(self._db, queue, paused, limit)

    def first_ready(self, queue: str) -> Job | None:
        return reads.first_ready(self._db, queue)

    def last_ready(self, queue: str) -> Job | None:
        return reads.last_ready(self._db, queue)

    def oldest_due(self) -> dict[str, datetime]:
        return reads.oldest_due(self._db)

    def has_ready_deliveries(self, *, untried: bool = False) -> bool:
        from queuectl.stores.sqlite.queues import has_ready_deliveries

        return has_ready_deliveries(self._db, untried=untried)

    def ready_suspects(
        self, queues: tuple[str, ...], limit: int, offer: Offer | None = None
    ) -> int:
        from queuectl.stores.sqlite.suspects import ready_suspects

        return ready_suspects(self._db, queues, limit, offer)

    # the chores of maintenance

    def make_due_claimable(self, limit: int = BATCH) -> int:
        from queuectl.stores.sqlite.queues import make_due_claimable

        return make_due_claimable(self._db, limit)

    def next_due(self) -> datetime | None:
        return reads.next_due(self._db)

    def leases_ending(self, before: datetime) -> list[Job]:
        return reads.leases_ending(self._db, before)

    def claimed_by(self, worker_id: str) -> list[Job]:
        return reads.claimed_by(self._db, worker_id)

    def notify_children(self) -> int:
        from queuectl.stores.sqlite.dependencies import notify_children

        return notify_children(self._db)

    def repair(self) -> int:
        return 0  # nothing is ever half done here: every move is one transaction

    def try_acquire_turn(self, chore: str, every_seconds: float) -> bool:
        return registry.try_acquire_turn(self._db, chore, every_seconds)

    def tidy(self, seconds: float) -> bool:
        from queuectl.stores.sqlite.vacuum import tidy

        return tidy(self._db, seconds)

    def check(self, *, quick: bool = False) -> list[str]:
        from queuectl.stores.sqlite.integrity import check

        return check(self._db, quick=quick)
