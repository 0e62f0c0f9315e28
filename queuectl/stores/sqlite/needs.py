"""Jobs that need resources, in the embedded store: which of them goes next, and what it gets.

They are in an index of their own, those that need the same side by side, so that a claim looks at
one of each kind however many wait. What is in use is what the jobs hold that run: it is given back
by whatever ends their claim, and nothing can be forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from queuectl.domain.frozen import frozen
from queuectl.domain.times import from_millis, to_millis
from queuectl.stores.sqlite import reads, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from queuectl.domain.allocation import Candidate, Room
    from queuectl.domain.job import Holding, Job
    from queuectl.domain.resources import Pairs
    from queuectl.stores.exchange import ClaimRequest, HeldUnits, Offer
    from queuectl.stores.sqlite.database import Database

Blocked = dict[str, tuple[float, ...]]
"""The limited queues without room for a job that has all it needs, with the place of that."""

ANY = "EXISTS (SELECT 1 FROM jobs WHERE ready = 3)"
_NEXT_KIND = (
    "SELECT needs, jobs.queue, jobs.priority, run_at, seq, slots, runs, passed_at, ready, "
    "COALESCE((SELECT max(served) FROM queue_priority_counters AS counter "
    "WHERE counter.queue = jobs.queue), 0), "
    "COALESCE(queues.paused, 0), COALESCE(slot_limit, 0) "
    "FROM jobs INDEXED BY jobs_needs LEFT JOIN queues ON queues.name = jobs.queue "
    "WHERE ready = 3 AND (needs, jobs.queue) > (?, ?) "
    "ORDER BY needs, jobs.queue, jobs.priority DESC, run_at, seq LIMIT 1"
)
_SUSPECTS = _NEXT_KIND.partition("WHERE ready")[0].replace("jobs_needs", "jobs_suspects") + (
    "WHERE ready = 2 AND needs IS NOT NULL"
)
_HELD_UNITS = (
    "SELECT id, worker, holding FROM jobs INDEXED BY jobs_state "
    "WHERE state = 'processing' AND holding IS NOT NULL"
)
_DECLARED = (
    "SELECT resources FROM workers WHERE host = ? AND resources IS NOT NULL "
    "ORDER BY started_at DESC, id DESC LIMIT 1"
)
_SUSPECT = 2


@frozen
class ReadyNeedy:
    """A job that goes next of those that need resources, and what it holds then.

    `place` is where it stands among all jobs.
    """

    seq: int
    place: tuple[float, ...]
    holding: Holding
    passed: tuple[int, ...]


def are_ready(db: Database) -> bool:
    """Whether any job may be claimed that needs resources. Cheap."""
    return bool(db.row(f"SELECT {ANY}")[0])


def first(db: Database, request: ClaimRequest) -> tuple[ReadyNeedy | None, Blocked]:
    """Return the job that goes next of those that need resources and have them now.

    And which queues have no room in their limit for one that would.
    """
    from queuectl.domain.allocation import choose

    waiting, blocked = _candidates(db, request)
    room = _room(db, request.offer)
    shut = {
        each.key[1]: each.place for each in reversed(blocked) if room.place(each.needs) is not None
    }
    choice = choose(waiting, room, db.now(), request.offer.patience)
    if choice is None:
        return None, shut
    passed = tuple(each.key[0] for each in choice.passed)
    seq = choice.candidate.key[0]
    return ReadyNeedy(seq, choice.candidate.place, choice.holding, passed), shut


def holding_for(db: Database, request: ClaimRequest, job: Job) -> Holding | None:
    """Return what one job would hold that started now; None where it does not fit."""
    return held_by(db, request.offer, job.spec.needs, job.runs)


def held_by(db: Database, offer: Offer | None, needs: Pairs, runs: int) -> Holding | None:
    """Return what a job would hold that started now and has had so many runs; None: no room."""
    from queuectl.stores.exchange import NO_OFFER

    room = _room(db, offer or NO_OFFER)
    units = room.place(needs, runs)
    return None if units is None else room.holding(units)


def note_passed(db: Database, passed: Sequence[int], taken: int, now: datetime) -> None:
    """Note since when jobs have been passed over, and that the one that is taken is no more."""
    execute = db.connection.execute
    execute("UPDATE jobs SET passed_at = NULL WHERE seq = ? AND passed_at IS NOT NULL", (taken,))
    if passed:
        execute(
            "UPDATE jobs SET passed_at = ? WHERE passed_at IS NULL "
            "AND seq IN (SELECT value FROM json_each(?))",
            (to_millis(now), rows.dump_json(passed)),
        )


def _held(db: Database) -> list[HeldUnits]:
    """Return what the jobs hold that run; see `Resources.held`."""
    from queuectl.stores.exchange import HeldUnits

    return [
        HeldUnits(job_id, worker, rows.holding_from_text(text))
        for job_id, worker, text in db.rows(_HELD_UNITS)
    ]


def _fleet(db: Database) -> dict[str, str]:
    """Return the capacities of the fleet; see `Resources.fleet`."""
    return dict(db.rows("SELECT name, capacity FROM resources ORDER BY name"))


def _room(db: Database, offer: Offer) -> Room:
    """Return what is free for a worker."""
    from queuectl.domain.allocation import Room
    from queuectl.domain.resources import NOTHING, parse_amount, supply_of

    host = offer.host
    row = db.row(_DECLARED, (host,)) if host else None
    supply = supply_of(rows.pairs_from_text(row[0])) if row else NOTHING
    amounts = {name: parse_amount(name, text) for name, text in _fleet(db).items()}
    holdings = [each.holding for each in _held(db)]
    return Room(host, supply, amounts, holdings, dict(offer.foreign))


def _candidates(db: Database, request: ClaimRequest) -> tuple[list[Candidate], list[Candidate]]:
    """Return the first job of each kind in their order: all that is open, and what is blocked.

    Those that are for another worker are there too, suspects among them, as what they need may
    have to be kept for them. Blocked are those for which their queue has no room.
    """
    found: list[Candidate] = []
    blocked: list[Candidate] = []
    is_served = _servants(db, request.offer.host)
    room: dict[str, int] = {}
    for row in _first_rows(db):
        queue, slots, *_, paused, limit = row[1], row[5], *row[10:]
        candidate = _candidate(row, request)
        if candidate is None or paused:
            continue
        if not (candidate.is_mine or is_served(queue, candidate.needs)):
            continue
        if limit and queue not in room:
            room[queue] = limit - reads.used_slots(db, queue)
        is_blocked = limit and isinstance(slots, int) and slots > room[queue]
        (blocked if is_blocked else found).append(candidate)
    return sorted(found, key=_place), sorted(blocked, key=_place)


def _first_rows(db: Database) -> Iterator[Sequence[Any]]:
    """Yield the first row of each kind, and those of the suspects."""
    after = ("", "")
    while row := db.row(_NEXT_KIND, after):
        after = row[:2]
        yield row
    yield from db.rows(_SUSPECTS)


def _place(candidate: Candidate) -> tuple[float, ...]:
    return candidate.place


def _candidate(row: Sequence[Any], request: ClaimRequest) -> Candidate | None:
    """Return the job of a row as one that waits for resources; None where it cannot be read."""
    from queuectl.domain.allocation import Candidate

    text, queue, priority, run_at, seq, _, runs, passed_at, ready, served, *_ = row
    needs = needs_from_text(text)
    if needs is None or not (isinstance(priority, int) and isinstance(run_at, int)):
        return None
    is_mine = ready != _SUSPECT and (not request.queues or queue in request.queues)
    since = None if passed_at is None else from_millis(passed_at)
    return Candidate((seq, queue), needs, (-priority, served, run_at, seq), is_mine, since, runs)


def needs_from_text(text: str) -> Pairs | None:
    """Return the needs of a job as they are kept; None where they cannot be read."""
    from queuectl.domain.errors import InvalidInput
    from queuectl.domain.resources import check_needs

    try:
        return check_needs("needs", dict(rows.pairs_from_text(text)))
    except (ValueError, TypeError, InvalidInput):
        return None


def _servants(db: Database, host: str) -> Callable[[str, Pairs], bool]:
    """Return what tells whether any worker takes jobs of a queue that have some needs.

    It has to be one of a host, unless the fleet alone has what they need.
    """
    served: list[tuple[str, list[str]]] | None = None
    amounts: dict[str, str] = {}

    def is_served(queue: str, needs: Pairs) -> bool:
        nonlocal served, amounts
        if served is None:
            found = db.rows("SELECT host, queues FROM workers")
            served = [(place, rows.load_json(text)) for place, text in found]
            amounts = _fleet(db)
        is_for_all = all(name in amounts for name, _ in needs)
        return any(
            (is_for_all or place == host) and (not queues or queue in queues)
            for place, queues in served
        )

    return is_served


class ResourceTable:
    """What the fleet has, and what is in use of all there is, as `components.Resources` says."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def fleet(self) -> dict[str, str]:
        """Return how much the fleet has of each resource."""
        return _fleet(self._db)

    def set(self, name: str, capacity: str | None) -> bool:
        """Say how much the fleet has of a resource; see `Resources.set`."""
        db = self._db
        with db.writing():
            execute = db.connection.execute
            is_known = execute("DELETE FROM resources WHERE name = ?", (name,)).rowcount > 0
            if capacity is not None:
                execute("INSERT INTO resources VALUES (?, ?)", (name, capacity))
        db.wake.notify()
        return is_known

    def held(self) -> list[HeldUnits]:
        """Return what the jobs hold that run."""
        return _held(self._db)
