"""Suspects in the embedded store: jobs that may be claimed by a worker that runs nothing beside.

They are few, and in an index of their own. Other claims never look at them, but in a queue with a
limit, where none overtakes them.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from queuectl.domain.frozen import frozen
from queuectl.domain.queue_limits import FIRST_NAME
from queuectl.stores.sqlite import needs, reads, rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from queuectl.domain.job import Holding
    from queuectl.stores.exchange import ClaimRequest, Offer
    from queuectl.stores.sqlite.database import Database

_ANY = "SELECT EXISTS (SELECT 1 FROM jobs WHERE ready = 2)"
_READY = (
    "SELECT jobs.queue, jobs.priority, COALESCE((SELECT max(served) FROM queue_priority_counters "
    "AS counter WHERE counter.queue = jobs.queue), 0) AS served, run_at, seq, slots, "
    "COALESCE(slot_limit, 0), needs, runs FROM jobs LEFT JOIN queues ON queues.name = jobs.queue "
    f"WHERE ready = 2 AND jobs.queue >= '{FIRST_NAME}' AND COALESCE(queues.paused, 0) = 0"
)
_ORDER = "ORDER BY jobs.priority DESC, served, run_at, seq"
_BEFORE = (
    "SELECT EXISTS (SELECT 1 FROM jobs WHERE ready = 2 AND queue = ?1 AND "
    "(priority > ?2 OR (priority = ?2 AND (run_at, seq) < (?3, ?4))))"
)
_RUN_AT, _SEQ = rows.COLUMNS.index("run_at"), rows.COLUMNS.index("seq")


@frozen
class ReadySuspect:
    """A suspect that may be claimed now; `place` is where it stands among all jobs.

    `holding` is what it holds then, if it needs resources.
    """

    seq: int
    place: tuple[float, ...]
    is_limited: bool
    holding: Holding | None = None


def may_be_for(request: ClaimRequest) -> bool:
    """Whether a suspect may be what somebody gets who asks for any job."""
    return request.alone and not request.deliveries


def ready_suspects(db: Database, queues: tuple[str, ...], limit: int, offer: Offer | None) -> int:
    """Return how many suspects could be claimed; see `Store.ready_suspects`."""
    return sum(1 for _ in islice(_ready(db, queues, offer), limit))


def first(db: Database, request: ClaimRequest) -> ReadySuspect | None:
    """Return the suspect that goes first of those whose queues let them start."""
    return next(_ready(db, request.queues, request.offer), None)


def place_of(priority: object, served: int, row: Sequence[Any]) -> tuple[float, ...]:
    """Return the place of any job, by its row and by when its queue was served."""
    return _place(priority, served, row[_RUN_AT], row[_SEQ])


def _place(priority: object, served: int, run_at: object, seq: int) -> tuple[float, ...]:
    """Return the place of a job; one that cannot be read goes first, to be set aside."""
    if not (isinstance(priority, int) and isinstance(run_at, int)):
        return (float("-inf"),)
    return -priority, served, run_at, seq


def wait_before(db: Database, queue: str, priority: int, row: Sequence[Any]) -> bool:
    """Whether a suspect of a queue would go before a job that goes first of the others there."""
    found = db.row(_BEFORE, (queue, priority, row[_RUN_AT], row[_SEQ]))
    return bool(found[0])


def _ready(db: Database, queues: tuple[str, ...], offer: Offer | None) -> Iterator[ReadySuspect]:
    """Yield the suspects that could all be claimed now, the first one first.

    Each of those that need resources could be claimed as the only one of them.
    """
    if not db.row(_ANY)[0]:
        return
    named = f"AND jobs.queue IN ({', '.join('?' * len(queues))})" if queues else ""
    room: dict[str, int] = {}
    for queue, priority, served, run_at, seq, slots, limit, needed, runs in db.rows(
        f"{_READY} {named} {_ORDER}", queues
    ):
        if limit and isinstance(slots, int):
            if queue not in room:
                room[queue] = limit - reads.used_slots(db, queue)
            room[queue] -= slots
            if room[queue] < 0:
                continue  # and nothing overtakes it
        holding = None
        if needed is not None:
            holding = needs.held_by(db, offer, needs.needs_from_text(needed) or (), runs)
            if holding is None:
                continue
        yield ReadySuspect(seq, _place(priority, served, run_at, seq), bool(limit), holding)
