"""Who waits for whom in the embedded store, and what children are told when a parent has ended.

But for `notify_children`, all that writes is called inside a transaction that is open.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence, Set
from datetime import datetime
from typing import TYPE_CHECKING

from queuectl.domain import state_machine
from queuectl.domain.dependencies import (
    batch_of_parent,
    gone,
    has_failed,
    is_gone,
    left_by,
    met_by,
    parent_of,
    parents_in,
    root_cause,
    unwanted_by,
    wish_for,
)
from queuectl.domain.job import Job, State
from queuectl.domain.settings import CANCEL
from queuectl.domain.times import to_millis
from queuectl.stores import serialization
from queuectl.stores.sqlite import changes, reads, rows

if TYPE_CHECKING:
    from queuectl.stores.sqlite.database import Database

NOTIFIED_AT_ONCE = 1000
"""How many children are notified inside the transaction that ends their parent."""

_NOTIFY_SECONDS = 0.5
"""For how long children are notified in one transaction, and in one call: others wait for it."""

_ALL = 2**31
_IS_KNOWN = f"state IN ({', '.join(repr(state.value) for state in State)})"
_IN_ARRAY = "IN (SELECT value FROM json_each(?))"


class Parents:
    """The jobs that others wait for, and the state of each; None: it is not there any more."""

    __slots__ = ("ids", "states")

    def __init__(self, ids: Set[str], states: dict[str, State | None]) -> None:
        self.ids = ids
        self.states = states

    def link(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return new jobs without the blockers that are gone."""
        if not self.ids:
            return jobs
        from queuectl.domain.frozen import replace

        return [
            replace(
                job,
                blocked_by=left_by(job.blocked_by, self.states),
                has_dependents=job.id in self.ids,
            )
            for job in jobs
        ]


_NO_PARENTS = Parents(frozenset(), {})


def parents_of(db: Database, jobs: Sequence[Job]) -> Parents:
    """Return the jobs that new ones wait for, as they are now."""
    ids = {parent for job in jobs for parent in parents_in(job.blocked_by)}
    if not ids:
        return _NO_PARENTS
    states = _states(db, ids)
    states |= dict.fromkeys(ids - states.keys() - {job.id for job in jobs})  # deleted ones
    return Parents(ids, states)


def _states(db: Database, ids: Iterable[str]) -> dict[str, State | None]:
    wanted = sorted(ids)
    found = db.rows(f"SELECT id, state FROM jobs WHERE id {_IN_ARRAY}", (rows.dump_json(wanted),))
    states: dict[str, State | None] = {
        job_id: serialization.parent_state(state) for job_id, state in found
    }
    for parent in wanted:
        if (name := batch_of_parent(parent)) is not None:
            row = db.row("SELECT record FROM batches WHERE name = ?", (name,))
            if row:
                from queuectl.stores.records import batch_from_text

                states[parent] = batch_from_text(row[0]).state
    return states


def notify_of(db: Database, parent: str, state: State | None) -> bool:
    """Notify jobs of the end of a parent that is no job; return whether all know."""
    now = db.now()
    all_know = _release(db, parent, state, now, NOTIFIED_AT_ONCE)
    if has_failed(state):
        cancelled = _cancel_children(db, parent, state, None, now, NOTIFIED_AT_ONCE)
        all_know = all_know and len(cancelled) < NOTIFIED_AT_ONCE
        notify_from(db, cancelled, now)
    return all_know


def mark_parents(db: Database, ids: Collection[str]) -> None:
    """Let parents know that they have children to notify."""
    db.connection.execute(
        "UPDATE jobs SET has_dependents = 1, rev = rev + (state IN ('pending', 'failed')) "
        f"WHERE has_dependents = 0 AND id {_IN_ARRAY}",
        (rows.dump_json(sorted(ids)),),
    )


def link(db: Database, job: Job) -> Job:
    """Return a job that is to wait for others, without the blockers that are gone."""
    from queuectl.domain.frozen import replace

    parents = parents_of(db, [job])
    mark_parents(db, parents.ids)
    return replace(job, blocked_by=left_by(job.blocked_by, parents.states))


def blockers_of(db: Database, ids: Iterable[str]) -> dict[str, list[str]]:
    """Return what jobs wait for, without those that wait for none."""
    found = db.rows(
        f"SELECT id, blocked_by FROM jobs WHERE blocked_by IS NOT NULL AND id {_IN_ARRAY}",
        (rows.dump_json(list(ids)),),
    )
    return {job_id: rows.load_json(blocked_by) for job_id, blocked_by in found}


def cancel_those_of_failed(db: Database, jobs: Sequence[Job], now: datetime) -> None:
    """Cancel jobs that were just linked to parents which have failed, if they ask for it."""
    asking = [job for job in jobs if job.spec.on_parent_failure == CANCEL]
    blockers = {blocker for job in asking for blocker in job.blocked_by}
    if not blockers:
        return
    states = _states(db, map(parent_of, blockers))
    for blocker in sorted(blockers):
        parent = parent_of(blocker)
        state = None if is_gone(blocker) else states.get(parent)
        if has_failed(state):
            row = db.row("SELECT last_error FROM jobs WHERE id = ?", (parent,))
            cancelled = _cancel_children(db, parent, state, row[0] if row else None, now, _ALL)
            notify_from(db, cancelled, now)


def detach_children(db: Database, deleted: Job) -> None:
    """Notify the children of a job that is deleted, and of its end if they do not know yet."""
    now = db.now()
    if deleted.children_pending:
        _release(db, deleted.id, deleted.state, now, _ALL)
    _release(db, deleted.id, None, now, _ALL)
    notify_from(db, _cancel_children(db, deleted.id, None, None, now, _ALL), now)


def notify_children(db: Database) -> int:
    """Notify children of their parents' ends; see `Store.notify_children`."""
    found = db.rows(f"SELECT seq FROM jobs WHERE children_pending = 1 AND {_IS_KNOWN} LIMIT 10")
    ends_at = time.monotonic() + _NOTIFY_SECONDS
    for (seq,) in found:
        with db.writing():
            notify_from(db, [seq], db.now())
        if time.monotonic() >= ends_at:
            break
    return len(found)


def notify_from(db: Database, ended: list[int], now: datetime) -> None:
    """Notify the children of jobs that have ended, and theirs where that cancels them.

    `notify_children` goes on where the chain is long, or there are many: others wait to write.
    """
    done = 0
    ends_at = time.monotonic() + _NOTIFY_SECONDS
    while done < min(len(ended), NOTIFIED_AT_ONCE) and time.monotonic() < ends_at:
        ended += _notify_children_of(db, ended[done], now)
        done += 1


def _notify_children_of(db: Database, seq: int, now: datetime) -> list[int]:
    """Notify the children of one job, and clear its mark once all know; return the cancelled."""
    marked = db.row(
        "SELECT id, state, last_error FROM jobs "
        f"WHERE seq = ? AND children_pending = 1 AND {_IS_KNOWN}",
        (seq,),
    )
    if marked is None:
        return []
    job_id, state, error = marked[0], State(marked[1]), marked[2]
    all_know = _release(db, job_id, state, now, NOTIFIED_AT_ONCE)
    cancelled: list[int] = []
    if has_failed(state):
        cancelled = _cancel_children(db, job_id, state, error, now, NOTIFIED_AT_ONCE)
        all_know = all_know and len(cancelled) < NOTIFIED_AT_ONCE
    if all_know:
        db.connection.execute("UPDATE jobs SET children_pending = 0 WHERE seq = ?", (seq,))
    return cancelled


def _release(db: Database, job_id: str, state: State | None, now: datetime, limit: int) -> bool:
    """Take a parent off what its children wait for; return whether all have been notified."""
    execute = db.connection.execute
    met = met_by(job_id, state)
    marks = ", ".join("?" * len(met))
    wish = wish_for(job_id) if state is None else None
    found = db.rows(
        f"SELECT DISTINCT seq FROM blockers WHERE blocker IN ({marks}, ?) LIMIT ?",
        (*met, wish, limit + 1),
    )
    children = rows.dump_json([seq for (seq,) in found[:limit]])
    execute(
        "UPDATE jobs SET rev = rev + 1, blocked_by = (SELECT CASE count(*) WHEN 0 THEN NULL "
        "ELSE json_group_array(CASE value WHEN ? THEN ? ELSE value END) END "
        f"FROM json_each(blocked_by) WHERE value NOT IN ({marks})) WHERE seq {_IN_ARRAY}",
        (wish, gone(job_id), *met, children),
    )
    execute(
        f"UPDATE jobs SET ready = (run_at <= max(?, updated_at)) * {rows.READY} "
        f"WHERE seq {_IN_ARRAY} AND blocked_by IS NULL AND ready IS NULL AND paused = 0 "
        "AND state IN ('pending', 'failed')",
        (to_millis(now), children),
    )
    return len(found) <= limit


def _cancel_children(
    db: Database, job_id: str, state: State | None, error: str | None, now: datetime, limit: int
) -> list[int]:
    """Cancel the children of a failed job that ask for it; return their numbers."""
    found = db.rows(
        f"SELECT {rows.SELECTED_ALL} FROM jobs "
        "WHERE seq IN (SELECT seq FROM blockers WHERE blocker = ?) "
        "AND on_parent_failure = ? AND state IN ('pending', 'failed') LIMIT ?",
        (unwanted_by(job_id, state), CANCEL, limit),
    )
    children = [job for job in map(reads.readable, found) if job is not None]
    if children:
        why = root_cause(job_id, state, error)
        cancels = [state_machine.cancel_with_parent(job, why, now) for job in children]
        changes.update(db, [(change, change.after) for change in cancels if change.after], now)
        changes.record(db, cancels)
    return [job.seq for job in children]
