"""Reading the embedded store: jobs one by one, in pages, and counted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from queuectl.domain.errors import StoreRefused
from queuectl.domain.job import Job, Run, State
from queuectl.domain.times import from_millis, to_millis
from queuectl.stores import serialization
from queuectl.stores.records import BATCH
from queuectl.stores.sqlite import rows

if TYPE_CHECKING:
    from datetime import datetime

    from queuectl.domain.query import Counts, Filter, Page
    from queuectl.stores.sqlite.database import Database

_PAGE = 500

_OLDEST_DUE = (
    "SELECT queue, min(since) FROM (SELECT queue, (SELECT min(run_at) FROM jobs WHERE ready = 1 "
    "AND queue = counter.queue AND priority = counter.priority) AS since "
    "FROM queue_priority_counters AS counter WHERE ready > 0 "
    "UNION ALL SELECT queue, run_at FROM jobs WHERE ready = 2 "
    "UNION ALL SELECT queue, run_at FROM jobs WHERE ready = 3) "
    "WHERE since IS NOT NULL GROUP BY queue"
)


_COUNTED = (
    "SELECT queue, state, jobs FROM counts WHERE jobs > 0 "
    "UNION ALL SELECT queue, rest, unmade FROM batches WHERE unmade > 0"
)
"""How many jobs there are, and how many of batches whose jobs are made while they run."""

_USED = (
    "SELECT COALESCE(SUM(slots), 0) FROM jobs INDEXED BY jobs_state "
    "WHERE state = 'processing' AND queue = ?"
)


def get(db: Database, job_id: str) -> Job | None:
    """Return one job with output and history; see `Store.get`."""
    db.recover()
    row = db.row(f"SELECT {rows.SELECTED_ALL} FROM jobs WHERE id = ?", (job_id,))
    try:
        return rows.job_from_row(row, history(db, row[0])) if row else None
    except serialization.UNREADABLE as fault:
        raise StoreRefused(
            f"the record of job '{job_id}' is damaged ({fault})",
            hint="queuectl restore FILE brings a backup back",
        ) from fault


def history(db: Database, seq: int) -> list[Run]:
    """Return the runs of a job. Raises one of `UNREADABLE`."""
    found = db.rows(f"SELECT {rows.SELECTED_RUN} FROM runs WHERE seq = ? ORDER BY n", (seq,))
    return [rows.run_from_row(row) for row in found]


def readable(row: Sequence[Any], db: Database | None = None) -> Job | None:
    """Return the job in a row, or None, noted once, when there is none to be made out.

    With `db` it has the history that is there.
    """
    try:
        return rows.job_from_row(row, history(db, row[0]) if db else ())
    except serialization.UNREADABLE:
        serialization.note_unreadable("jobs", row[1])
        return None


def select(db: Database, which: str, values: Sequence[object] = (), more: str = "") -> list[Job]:
    """Return the jobs that SQL after a WHERE chooses; `more` comes before the WHERE.

    One that cannot be read does not hide the others.
    """
    found = db.rows(f"SELECT {rows.SELECTED} FROM jobs {more} WHERE {which}", values)
    return [job for job in map(readable, found) if job is not None]


def used_slots(db: Database, queue: str) -> int:
    """Return how many slots the running jobs of a queue take."""
    used: int = db.row(_USED, (queue,))[0]
    return used


def first_ready(db: Database, queue: str) -> Job | None:
    """Return the ready job to be claimed first; see `Store.first_ready`."""
    return min(_ready_jobs(db, queue, "max", ""), key=_place, default=None)


def last_ready(db: Database, queue: str) -> Job | None:
    """Return the ready job to be claimed last; see `Store.last_ready`."""
    return max(_ready_jobs(db, queue, "min", "DESC"), key=_place, default=None)


def _place(job: Job) -> tuple[int, datetime, int]:
    """Return what a job's place among the ready ones of its queue follows from."""
    return -job.spec.priority, job.run_at, job.seq


def _ready_jobs(db: Database, queue: str, extreme: str, direction: str) -> list[Job]:
    """Return the job at one end of those of a queue that are ready, and the suspects there."""
    order = f"run_at {direction}, seq {direction}"
    return [
        *select(
            db,
            f"ready = 1 AND queue = ?1 AND priority = (SELECT {extreme}(priority) FROM "
            f"queue_priority_counters WHERE queue = ?1 AND ready > 0) ORDER BY {order} LIMIT 1",
            (queue,),
        ),
        *select(db, "ready = 2 AND queue = ?", (queue,)),
    ]


def oldest_due(db: Database) -> dict[str, datetime]:
    """Return since when jobs have been due; see `Store.oldest_due`."""
    found = db.rows(_OLDEST_DUE)
    return {queue: from_millis(run_at) for queue, run_at in found if type(run_at) is int}


def generated_ids(db: Database, prefix: str, limit: int) -> list[str]:
    """Return ids made for the user; see `Store.generated_ids`."""
    found = db.rows(
        "SELECT id FROM jobs WHERE generated_id = 1 AND id >= ? AND id < ? LIMIT ?",
        (prefix, prefix + "\U0010ffff", limit),
    )
    return [job_id for (job_id,) in found]


def unique_key_owner(db: Database, unique: str) -> str | None:
    """Return the id of the job that has a unique key now; see `Store.unique_key_owner`."""
    row = db.row(f"SELECT id FROM jobs WHERE {rows.IS_LIVE} AND unique_key = ?", (unique,))
    return row[0] if row else None


def taken(db: Database, ids: Collection[str]) -> set[str]:
    """Return those of some ids that jobs have."""
    array = '["' + '","'.join(ids) + '"]'  # an id holds nothing that JSON would escape
    found = db.rows(
        "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM jobs WHERE id = value)",
        (array,),
    )
    return {job_id for (job_id,) in found}


def keys_taken(db: Database, keys: list[str]) -> set[str]:
    """Return those of some unique keys that jobs have which wait or run."""
    if not keys:
        return set()
    found = db.rows(
        f"SELECT unique_key FROM jobs WHERE {rows.IS_LIVE} "
        "AND unique_key IN (SELECT value FROM json_each(?))",
        (rows.dump_json(keys),),
    )
    return {key for (key,) in found}


def find(db: Database, chosen: Filter, page: Page) -> Iterator[Job]:
    """Yield jobs in order of arrival, or the newest first; see `Store.find`."""
    from queuectl.stores.sqlite.list_query import statement

    left, after = page.limit, page.after_seq
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        db.recover()
        found = db.rows(*statement(db, chosen, page, after, size))
        jobs = [readable(row, db if page.with_history else None) for row in found]
        present = [job for job in jobs if job is not None]
        yield from present
        if len(found) < size:
            return
        after = found[-1][0]
        left = None if left is None else left - len(present)


def counts(db: Database) -> Counts:
    """Return how many jobs there are; triggers keep the figures."""
    from queuectl.domain.query import Counts

    db.recover()
    by_queue: dict[str, dict[State, int]] = {}
    for queue, state, jobs in db.rows(_COUNTED):
        if (known := serialization.known_state(state)) is not None:
            states = by_queue.setdefault(queue, {})
            states[known] = states.get(known, 0) + jobs
    return Counts(by_queue)


def has_unmade(db: Database) -> bool:
    """Whether a batch has jobs that do not exist yet."""
    return bool(db.row("SELECT 1 FROM batches WHERE unmade > 0 LIMIT 1"))


def next_due(db: Database) -> datetime | None:
    """Return when the next job that waits for its time is due."""
    row = db.row("SELECT run_at FROM jobs WHERE ready = 0 ORDER BY run_at LIMIT 1")
    return from_millis(row[0]) if row and type(row[0]) is int else None


def leases_ending(db: Database, before: datetime) -> list[Job]:
    """Return jobs whose lease ends before an instant; see `Store.leases_ending`."""
    which = f"state = 'processing' AND lease_until < ? LIMIT {BATCH}"
    return select(db, which, (to_millis(before),))


def claimed_by(db: Database, worker_id: str) -> list[Job]:
    """Return the jobs that a worker has claimed and not finished."""
    return select(db, "state = 'processing' AND worker = ?", (worker_id,))


def unreadable_jobs(db: Database) -> Iterator[object]:
    """Yield the ids of jobs whose records cannot be read.

    Reads all, a page at a time: while one reads the log cannot be cut.
    """
    after: object = 0
    statement = f"SELECT {rows.SELECTED} FROM jobs WHERE seq > ? ORDER BY seq LIMIT {_PAGE}"
    while found := db.rows(statement, (after,)):
        for row in found:
            try:
                rows.job_from_row(row)
            except serialization.UNREADABLE:
                yield row[1]
        after = found[-1][0]
