"""Queues in the embedded store: which of them goes next, which are shut, and who waits for whom.

Lanes (a queue at one priority) count the claimable jobs. One that is paused or full is outside the
index that claims walk, so that a thousand shut queues cost nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from queuectl.domain.dependencies import gone, has_failed, left_by, met_by, parent_of, wish_for
from queuectl.domain.job import State
from queuectl.domain.queue_limits import FIRST_NAME
from queuectl.domain.times import to_millis
from queuectl.stores import serialization
from queuectl.stores.sqlite import rows
from queuectl.stores.sqlite.database import translated
from queuectl.stores.sqlite.registry import SqliteFleet

if TYPE_CHECKING:
    from collections.abc import Collection, Set
    from datetime import datetime

    from queuectl.domain.job import Job
    from queuectl.domain.queue_limits import QueueLimit
    from queuectl.stores.base import ClaimRequest

NOTIFIED_AT_ONCE = 1000
"""How many children are notified inside the transaction that ends their parent."""

_SWEEP_SECONDS = 0.5
"""How long children are told in one transaction, and in one call of `sweep`: others wait for it."""

_ALL = 2**31
_IS_KNOWN = f"state IN ({', '.join(repr(state.value) for state in State)})"
_SLOTS = rows.COLUMNS.index("slots")
_OPEN = "ready > 0 AND paused = 0 AND full = 0"
# by the plus no index of queues is thought of: the one of open lanes is in the order of the claim
_OF_JOBS, _OF_DELIVERIES = f"+queue >= '{FIRST_NAME}'", f"+queue < '{FIRST_NAME}'"
_USED = (
    "SELECT COALESCE(SUM(slots), 0) FROM jobs INDEXED BY jobs_state "
    "WHERE state = 'processing' AND queue = ?"
)


class Parents:
    """The jobs that others wait for, and the state of each; None: it is not there any more."""

    __slots__ = ("states", "wanted")

    def __init__(self, wanted: Set[str], states: dict[str, State | None]) -> None:
        self.wanted = wanted
        self.states = states

    def link(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return new jobs without the blockers that are gone."""
        if not self.wanted:
            return jobs
        from dataclasses import replace

        return [
            replace(
                job,
                blocked_by=left_by(job.blocked_by, self.states),
                has_dependents=job.id in self.wanted,
            )
            for job in jobs
        ]


_NO_PARENTS = Parents(frozenset(), {})


class SqliteLanes(SqliteFleet):
    """The part of `SqliteStore` that knows queues, limits and dependencies."""

    def queue_limits(self) -> dict[str, QueueLimit]:
        """Return what was decided about queues; see `Store.lanes`."""
        from queuectl.domain.queue_limits import QueueLimit

        with translated(self._path):
            found = self._connection.execute(
                "SELECT name, paused, slot_limit FROM queues ORDER BY name"
            ).fetchall()
            return {
                name: QueueLimit(bool(paused), limit, self._used(name) if limit else 0)
                for name, paused, limit in found
            }

    def set_queue_limit(
        self, queue: str, *, paused: bool | None = None, limit: int | None = None
    ) -> None:
        """Pause, resume or limit a queue; see `Store.set_queue_limit`."""
        execute = self._connection.execute
        with self._writing():
            execute("INSERT OR IGNORE INTO queues (name) VALUES (?)", (queue,))
            if paused is not None:
                execute("UPDATE queues SET paused = ? WHERE name = ?", (paused, queue))
            if limit is not None:
                execute("UPDATE queues SET slot_limit = ? WHERE name = ?", (limit, queue))
            execute(
                "UPDATE queue_priority_counters SET full = 0, "
                "paused = (SELECT paused FROM queues WHERE name = ?1) WHERE queue = ?1",
                (queue,),
            )
            execute("DELETE FROM queues WHERE name = ? AND paused = 0 AND slot_limit = 0", (queue,))

    def _used(self, queue: str) -> int:
        used: int = self._connection.execute(_USED, (queue,)).fetchone()[0]
        return used

    def has_ready_deliveries(self, *, untried: bool = False) -> bool:
        """Whether a delivery may be claimed; see `Store.has_ready_deliveries`."""
        if not untried or not self._has_ready(deliveries=True):
            return self._has_ready(deliveries=True)
        with translated(self._path):
            lanes = self._open_priorities((), _ALL, deliveries=True)
            return any(self._first_rows(*lane[:2], 1, untried=True) for lane in lanes)

    def _has_ready(self, *, deliveries: bool = False) -> bool:
        kind = _OF_DELIVERIES if deliveries else _OF_JOBS
        with translated(self._path):
            row = self._connection.execute(
                f"SELECT 1 FROM queue_priority_counters WHERE {_OPEN} AND {kind} LIMIT 1"
            ).fetchone()
        return row is not None

    def _next(self, request: ClaimRequest) -> tuple[Sequence[Any], bool] | None:
        """Return the row of the job that goes next, and whether its queue has a limit.

        A queue without room for it is shut.
        """
        if request.untried:
            return self._next_untried(request)
        while True:
            found = self._open_priorities(request.queues, 1, deliveries=request.deliveries)
            if not found:
                return None
            queue, priority, limit = found[0]
            first = self._first_rows(queue, priority, 1)
            if not first:
                return None
            if self._has_room(queue, limit, first[0]):
                return first[0], bool(limit)

    def _next_untried(self, request: ClaimRequest) -> tuple[Sequence[Any], bool] | None:
        """Return what `_next` does, past lanes where all that is ready has been tried before."""
        lanes = self._open_priorities(request.queues, _ALL, deliveries=request.deliveries)
        for queue, priority, limit in lanes:
            first = self._first_rows(queue, priority, 1, untried=True)
            if first and self._has_room(queue, limit, first[0]):
                return first[0], bool(limit)
        return None

    def _has_room(self, queue: str, limit: int, row: Sequence[Any]) -> bool:
        """Whether the limit of a queue (0: none) lets a job in; if not, the queue is shut."""
        if not limit or not isinstance(row[_SLOTS], int):
            return True
        if self._used(queue) + row[_SLOTS] <= limit:
            return True
        self._connection.execute(
            "UPDATE queue_priority_counters SET full = 1 WHERE queue = ?", (queue,)
        )
        return False

    def _only_priority(self, queues: tuple[str, ...]) -> tuple[str, int] | None:
        """Return the queue and the priority that all jobs to be claimed have, without a limit."""
        found = self._open_priorities(queues, 2)
        if len(found) != 1:
            return None
        queue, priority, limit = found[0]
        return None if limit else (queue, priority)

    def _open_priorities(
        self, queues: tuple[str, ...], most: int, *, deliveries: bool = False
    ) -> list[tuple[str, int, int]]:
        """Return queue, priority and limit of the lanes that go next."""
        kind = _OF_DELIVERIES if deliveries else _OF_JOBS
        named = f"AND queue IN ({', '.join('?' * len(queues))})" if queues else ""
        return self._connection.execute(
            "SELECT queue, priority, COALESCE((SELECT slot_limit FROM queues "
            f"WHERE name = queue), 0) FROM queue_priority_counters "
            f"WHERE {_OPEN} AND {kind} {named} "
            "ORDER BY priority DESC, served LIMIT ?",
            (*queues, most),
        ).fetchall()

    def _first_rows(
        self, queue: str, priority: int, most: int, *, untried: bool = False
    ) -> list[Sequence[Any]]:
        """Return the jobs of a lane that go next."""
        chosen = "AND attempts = 0 " if untried else ""
        return self._connection.execute(
            f"SELECT {rows.SELECTED} FROM jobs WHERE ready = 1 AND queue = ? AND priority = ? "
            f"{chosen}ORDER BY run_at, seq LIMIT ?",
            (queue, priority, most),
        ).fetchall()

    def _serve(self, queue: str, priority: int, number: int) -> None:
        """Take jobs that are claimed off their lane; their queue has had its turn."""
        self._connection.execute(
            "UPDATE queue_priority_counters SET served = ?, ready = ready - (priority = ?) * ? "
            "WHERE queue = ?",
            (time.time_ns(), priority, number, queue),
        )

    def _may_start(self, job: Job) -> bool:
        """Whether a job's queue would let it start now."""
        found = self._connection.execute(
            "SELECT paused, slot_limit FROM queues WHERE name = ?", (job.spec.queue,)
        ).fetchone()
        if found is None:
            return True
        paused, limit = found
        return not paused and (not limit or self._used(job.spec.queue) + job.spec.slots <= limit)

    # dependencies

    def _parents_of(self, jobs: Sequence[Job]) -> Parents:
        """Return the jobs that new ones wait for, as they are now."""
        wanted = {parent_of(blocker) for job in jobs for blocker in job.blocked_by}
        if not wanted:
            return _NO_PARENTS
        new = {job.id for job in jobs}
        states = self._states(wanted)
        states |= dict.fromkeys(wanted - states.keys() - new)  # deleted ones
        return Parents(wanted, states)

    def _mark_wanted(self, wanted: Collection[str]) -> None:
        """Let parents know that they have children to notify."""
        ids = rows.dump_json(sorted(wanted))
        self._connection.execute(
            "UPDATE jobs SET has_dependents = 1, rev = rev + (state IN ('pending', 'failed')) "
            "WHERE has_dependents = 0 AND id IN (SELECT value FROM json_each(?))",
            (ids,),
        )

    def _relinked(self, job: Job) -> Job:
        """Return a job that is to wait for others, without the blockers that are gone."""
        from dataclasses import replace

        parents = self._parents_of([job])
        self._mark_wanted(parents.wanted)
        return replace(job, blocked_by=left_by(job.blocked_by, parents.states))

    def _waiting(self, ids: Iterable[str]) -> dict[str, list[str]]:
        """Return what jobs wait for, without those that wait for none."""
        found = self._connection.execute(
            "SELECT id, blocked_by FROM jobs WHERE blocked_by IS NOT NULL "
            "AND id IN (SELECT value FROM json_each(?))",
            (rows.dump_json(list(ids)),),
        )
        return {job_id: rows.load_json(blocked_by) for job_id, blocked_by in found}

    def _states(self, ids: Iterable[str]) -> dict[str, State | None]:
        found = self._connection.execute(
            "SELECT id, state FROM jobs WHERE id IN (SELECT value FROM json_each(?))",
            (rows.dump_json(sorted(ids)),),
        )
        return {job_id: serialization.parent_state(state) for job_id, state in found}

    def _release(self, job_id: str, state: State | None, now: datetime, limit: int) -> bool:
        """Take a parent off what its children wait for; return whether all have been notified."""
        execute = self._connection.execute
        met = met_by(job_id, state)
        wish = wish_for(job_id) if state is None else None
        found = execute(
            f"SELECT DISTINCT seq FROM blockers WHERE blocker IN ({', '.join('?' * len(met))}, ?) "
            "LIMIT ?",
            (*met, wish, limit + 1),
        ).fetchall()
        told = rows.dump_json([seq for (seq,) in found[:limit]])
        chosen = "seq IN (SELECT value FROM json_each(?))"
        execute(
            "UPDATE jobs SET rev = rev + 1, blocked_by = "
            "(SELECT CASE count(*) WHEN 0 THEN NULL "
            "ELSE json_group_array(CASE value WHEN ? THEN ? ELSE value END) END "
            f"FROM json_each(blocked_by) WHERE value NOT IN ({', '.join('?' * len(met))})) "
            f"WHERE {chosen}",
            (wish, gone(job_id), *met, told),
        )
        execute(
            f"UPDATE jobs SET ready = (run_at <= max(?, updated_at)) "
            f"WHERE {chosen} AND blocked_by IS NULL "
            "AND ready IS NULL AND paused = 0 AND state IN ('pending', 'failed')",
            (to_millis(now), told),
        )
        return len(found) <= limit

    def _detach_children(self, deleted: Job) -> None:
        """Notify the children of a job that is deleted, and of its end if they do not know yet."""
        now = self.now()
        if deleted.children_pending:
            self._release(deleted.id, deleted.state, now, _ALL)
        self._release(deleted.id, None, now, _ALL)
        self._notify_down(self._cancel_children(deleted.id, None, None, now, _ALL), now)

    def notify_children(self) -> int:
        """Notify children of their parents' ends; see `Store.notify_children`."""
        with translated(self._path):
            found = self._connection.execute(
                f"SELECT seq FROM jobs WHERE children_pending = 1 AND {_IS_KNOWN} LIMIT 10"
            ).fetchall()
        ends_at = time.monotonic() + _SWEEP_SECONDS
        for (seq,) in found:
            with self._writing():
                self._notify_children(seq, self.now())
            if time.monotonic() >= ends_at:
                break
        return len(found)

    def _notify_children(self, seq: int, now: datetime) -> None:
        """Notify the children of one job that has ended, and clear its mark once all know."""
        self._notify_down([seq], now)

    def _notify_down(self, ended: list[int], now: datetime) -> None:
        """Notify the children of jobs that have ended, and theirs where that cancels them.

        The upkeep goes on where the chain is long, or there are many: others wait to write.
        """
        done = 0
        ends_at = time.monotonic() + _SWEEP_SECONDS
        while done < min(len(ended), NOTIFIED_AT_ONCE) and time.monotonic() < ends_at:
            ended += self._notify_children_of(ended[done], now)
            done += 1

    def _notify_children_of(self, seq: int, now: datetime) -> list[int]:
        """Notify the children of one job; return which parents were cancelled with it."""
        marked = self._connection.execute(
            "SELECT id, state, last_error FROM jobs "
            f"WHERE seq = ? AND children_pending = 1 AND {_IS_KNOWN}",
            (seq,),
        ).fetchone()
        if marked is None:
            return []
        job_id, state, error = marked[0], State(marked[1]), marked[2]
        all_know = self._release(job_id, state, now, NOTIFIED_AT_ONCE)
        cancelled: list[int] = []
        if has_failed(state):
            cancelled = self._cancel_children(job_id, state, error, now, NOTIFIED_AT_ONCE)
            all_know = all_know and len(cancelled) < NOTIFIED_AT_ONCE
        if all_know:
            self._connection.execute("UPDATE jobs SET children_pending = 0 WHERE seq = ?", (seq,))
        return cancelled

    def _cancel_children(
        self, job_id: str, state: State | None, error: str | None, now: datetime, limit: int
    ) -> list[int]:
        """Cancel the children of a failed job that ask for it; return their numbers."""
        raise NotImplementedError
