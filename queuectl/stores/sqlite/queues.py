"""Queues in the embedded store: which of them goes next, and which are shut.

The claimable jobs of each queue and priority are counted. A queue that is paused or full is
outside the index that claims walk, so that a thousand shut queues cost nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from queuectl.domain.frozen import frozen
from queuectl.domain.queue_limits import FIRST_NAME
from queuectl.domain.times import to_millis
from queuectl.stores.sqlite import needs, reads, rows, suspects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from queuectl.domain.job import Holding, Job
    from queuectl.stores.exchange import ClaimRequest
    from queuectl.stores.sqlite.database import Database

_OpenQueue = tuple[str, int, int, int, int]
_HAS_NEEDS = 4
_ALL = 2**31
_SLOTS = rows.COLUMNS.index("slots")
_OPEN = "ready > 0 AND paused = 0 AND full = 0"
# by the plus no index of queues is thought of: the one of open queues is in the order of the claim
_OF_JOBS = f"{_OPEN} AND +queue >= '{FIRST_NAME}'"
_OF_DELIVERIES = f"{_OPEN} AND +queue < '{FIRST_NAME}'"

_SKEW = 1000
_AHEAD = "ready = 0 AND updated_at > ?2 AND (state = 'failed' OR delayed = 1)"
_HAS_DUE = (
    "SELECT EXISTS (SELECT 1 FROM jobs WHERE ready = 0 AND run_at <= ?1), "
    f"EXISTS (SELECT 1 FROM jobs WHERE {_AHEAD})"
)
_SET_BACK = f"UPDATE jobs SET run_at = run_at - (updated_at - ?1), updated_at = ?1 WHERE {_AHEAD}"
"""A wait that was reckoned by a clock which was ahead by more than `_SKEW` milliseconds is as long
by ours; a time that somebody named stays.
"""


def has_ready(db: Database, *, deliveries: bool = False) -> bool:
    """Whether a job, or a delivery, may be claimed."""
    which = _open(deliveries)
    return bool(db.row(f"SELECT 1 FROM queue_priority_counters WHERE {which} LIMIT 1"))


def _open(deliveries: bool) -> str:
    """Return SQL for what is open and has something to claim: jobs, or deliveries."""
    return _OF_DELIVERIES if deliveries else _OF_JOBS


def has_ready_deliveries(db: Database, *, untried: bool) -> bool:
    """Whether a delivery may be claimed; see `Store.has_ready_deliveries`."""
    if not untried:
        return has_ready(db, deliveries=True)
    found = _open_of(db, (), _ALL, deliveries=True)
    return any(_first_rows(db, *each[:2], 1, untried=True) for each in found)


@frozen
class NextRows:
    """Rows that go next, and the place of the first of them among all jobs.

    They are of one queue and one priority. `goes_alone` says that no other is claimed with the
    job, and `holding` what it holds then of resources; `passed` are the jobs that it is given
    them before, which were there first.
    """

    rows: list[Sequence[Any]]
    place: tuple[float, ...]
    goes_alone: bool
    holding: Holding | None = None
    passed: tuple[int, ...] = ()


def next_rows(db: Database, request: ClaimRequest, number: int) -> NextRows | None:
    """Return the rows of jobs that go next.

    `number` at most, and one where others come between, or where the queue has a limit.
    """
    suspect = suspects.first(db, request) if suspects.may_be_for(request) else None
    number = 1 if suspect else number
    most = _ALL if request.untried else min(number, 2)
    found = [] if request.suspects else _open_queues(db, request, most)
    needy: needs.ReadyNeedy | None = None
    blocked: needs.Blocked = {}
    may_need = not (request.deliveries or request.suspects)
    if may_need and (found[0][_HAS_NEEDS] if found else needs.are_ready(db)):
        needy, blocked = needs.first(db, request)
        if needy is not None:
            number = 1
    other = _next_others(db, request, number, found, blocked) if found else None
    if suspect and all(each is None or suspect.place < each.place for each in (needy, other)):
        row = _row_of(db, suspect.seq)
        return NextRows([row], suspect.place, suspect.is_limited, suspect.holding)
    if needy and (other is None or needy.place < other.place):
        row = _row_of(db, needy.seq)
        return NextRows([row], needy.place, True, needy.holding, needy.passed)
    return other


def _row_of(db: Database, seq: int) -> Sequence[Any]:
    """Return the whole row of a job."""
    found: Sequence[Any] = db.row(f"SELECT {rows.SELECTED} FROM jobs WHERE seq = ?", (seq,))
    return found


def _next_others(
    db: Database,
    request: ClaimRequest,
    number: int,
    found: list[_OpenQueue],
    blocked: needs.Blocked,
) -> NextRows | None:
    """Return the rows that go next of jobs that are no suspects and need no resources.

    A queue without room for its first job is shut on the way. One in which another job waits
    before them that has to go by itself is passed over, and stays open: not all that becomes of
    a suspect opens its queue again.
    """
    most = _ALL if request.untried else min(number, 2)
    while found:
        is_all, has_passed = most == _ALL, False
        # the second says that others come between, and may be of the queue that is shut here
        for queue, priority, limit, served, _ in found if is_all else found[:1]:
            several = 1 if limit or len(found) > 1 else number
            first = _first_rows(db, queue, priority, several, untried=request.untried)
            if not (first or is_all):
                return None
            if not (first and _has_room(db, queue, limit, first[0])):
                continue
            place = suspects.place_of(priority, served, first[0])
            if limit and (
                suspects.wait_before(db, queue, priority, first[0])
                or (queue in blocked and blocked[queue] < place)
            ):
                has_passed = True
                continue
            return NextRows(first, place, bool(limit))
        if is_all:
            return None
        most = _ALL if has_passed else most
        found = _open_queues(db, request, most)
    return None


def _has_room(db: Database, queue: str, limit: int, row: Sequence[Any]) -> bool:
    """Whether the limit of a queue (0: none) lets a job in; if not, the queue is shut."""
    if not limit or not isinstance(row[_SLOTS], int):
        return True
    if reads.used_slots(db, queue) + row[_SLOTS] <= limit:
        return True
    db.connection.execute("UPDATE queue_priority_counters SET full = 1 WHERE queue = ?", (queue,))
    return False


def _open_queues(db: Database, request: ClaimRequest, most: int) -> list[_OpenQueue]:
    """Return queue, priority and limit of those that go next, and when each was served.

    Each also says whether any job that needs resources waits.
    """
    return _open_of(db, request.queues, most, deliveries=request.deliveries)


def _open_of(
    db: Database, queues: tuple[str, ...], most: int, *, deliveries: bool
) -> list[_OpenQueue]:
    named = f"AND queue IN ({', '.join('?' * len(queues))})" if queues else ""
    return db.rows(
        "SELECT queue, priority, COALESCE((SELECT slot_limit FROM queues WHERE name = queue), 0), "
        f"served, {needs.ANY} FROM queue_priority_counters WHERE {_open(deliveries)} {named} "
        "ORDER BY priority DESC, served LIMIT ?",
        (*queues, most),
    )


def _first_rows(
    db: Database, queue: str, priority: int, most: int, *, untried: bool
) -> list[Sequence[Any]]:
    """Return the jobs of a queue and priority that go next."""
    chosen = "AND attempts = 0 " if untried else ""
    return db.rows(
        f"SELECT {rows.SELECTED} FROM jobs WHERE ready = 1 AND queue = ? AND priority = ? "
        f"{chosen}ORDER BY run_at, seq LIMIT ?",
        (queue, priority, most),
    )


def serve(db: Database, job: Job, number: int) -> None:
    """Count jobs that are claimed out; the queue of the first has had its turn."""
    queue, priority = job.spec.queue, job.spec.priority
    if job.spec.needs:  # a queue that has nothing else has no counter to note its turns
        db.connection.execute(
            "INSERT OR IGNORE INTO queue_priority_counters (queue, priority, ready) "
            "VALUES (?, ?, 0)",
            (queue, priority),
        )
    db.connection.execute(
        "UPDATE queue_priority_counters SET served = ?, ready = ready - (priority = ?) * ? "
        "WHERE queue = ?",
        (time.time_ns(), priority, number, queue),
    )


def may_start(db: Database, job: Job) -> bool:
    """Whether a job's queue would let it start now."""
    queue = job.spec.queue
    found = db.row("SELECT paused, slot_limit FROM queues WHERE name = ?", (queue,))
    paused, limit = found or (False, 0)
    return not paused and (not limit or reads.used_slots(db, queue) + job.spec.slots <= limit)


def make_due_claimable(db: Database, limit: int) -> int:
    """Make due jobs claimable; see `Store.make_due_claimable`."""
    now = to_millis(db.now())
    due, ahead = db.row(_HAS_DUE, (now, now + _SKEW))
    if not (due or ahead):
        return 0
    with db.writing():
        if ahead:
            db.connection.execute(_SET_BACK, (now, now + _SKEW))
        made = db.connection.execute(
            f"UPDATE jobs SET ready = {rows.READY} WHERE seq IN "
            "(SELECT seq FROM jobs WHERE ready = 0 AND run_at <= ? ORDER BY run_at LIMIT ?)",
            (now, limit),
        )
    db.wake.notify()
    return made.rowcount
