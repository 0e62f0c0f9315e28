"""Batches in the embedded store as changes of their jobs see to them: turns, and failures.

Of a batch with `at_once` the jobs that may be claimed, or run, are let go: at most so many. The
others wait for their turn, which is a blocker like others (`dependencies.TURN`), and cost a claim
nothing. Who holds a turn follows from the jobs themselves, so none can leak. All of this is called
inside a transaction that is open, which is what keeps two from taking the same turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.domain.dependencies import TURN, holds_turn
from queuectl.domain.times import to_millis
from queuectl.stores.sqlite import rows
from queuectl.stores.sqlite.schema import HOLDS_TURN, IS_NEXT_IN_TURN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from queuectl.domain.batch import Batch
    from queuectl.domain.job import Job
    from queuectl.domain.state_machine import Transition
    from queuectl.stores.sqlite.database import Database

STOPPED_AT_ONCE = 1000
"""How many jobs are cancelled in the transaction in which one too many of their batch has died."""

_NEXT = (
    "SELECT seq, at_once FROM jobs WHERE batch_name = ?1 AND run_at <= ?2 AND paused = 0 "
    f"AND state IN ('pending', 'failed') AND {IS_NEXT_IN_TURN} ORDER BY run_at, seq LIMIT ?3"
)
_HELD = f"SELECT count(*) FROM jobs INDEXED BY jobs_turns WHERE batch_name = ? AND {HOLDS_TURN}"
_LET_GO = (
    f"UPDATE jobs SET blocked_by = NULL, rev = rev + 1, ready = {rows.READY} "
    "WHERE seq IN (SELECT value FROM json_each(?))"
)
_NEXT_BATCH = (
    f"SELECT batch_name FROM jobs WHERE {IS_NEXT_IN_TURN} AND batch_name > ? "
    "ORDER BY batch_name LIMIT 1"
)
"""Finds one batch after the other by the index; asked for all it would read every job in it."""
_DEAD = "SELECT count(*) FROM jobs WHERE batch_name = ? AND state = 'dead'"


def after_changes(
    db: Database, some: Sequence[Transition], applied: Sequence[bool], now: datetime
) -> None:
    """See to the batches of jobs that were changed."""
    freed: dict[str, int] = {}
    for change, is_done in zip(some, applied, strict=True):
        spec = change.before.spec
        if spec.batch is None or not is_done:
            continue
        after = change.after
        if spec.max_fails and change.to_dead:
            _stop_if_failed(db, change.before, now)
        if spec.at_once and (after is None or not holds_turn(after)):
            freed[spec.batch] = spec.at_once
        if after is not None and after.spec is not spec and after.spec.batch is not None:
            freed[after.spec.batch] = after.spec.at_once
    for name, at_once in freed.items():
        let_go(db, name, at_once, now)


def after_insert(db: Database, jobs: Iterable[Job], now: datetime) -> None:
    """Let the first of new jobs go that wait for their turn."""
    for name, at_once in {
        job.spec.batch: job.spec.at_once for job in jobs if TURN in job.blocked_by
    }.items():
        if name is not None:
            let_go(db, name, at_once, now)


def let_go_all(db: Database, now: datetime) -> int:
    """Let jobs go whose turn it is, of all batches; return how many."""
    number, name = 0, ""
    while (found := db.row(_NEXT_BATCH, (name,))) is not None:
        (name,) = found
        number += let_go(db, name, 0, now)
    return number


def let_go(db: Database, name: str, at_once: int, now: datetime) -> int:
    """Let jobs of a batch go, as many as there is room for; return how many.

    The record of the batch says how many may go, else the first of the jobs, or `at_once`.
    """
    most = _most(db, name) or at_once
    if not most:
        first = db.row(_NEXT, (name, to_millis(now), 1))
        most = first[1] if first else 0
    room = most - int(db.row(_HELD, (name,))[0])
    if room <= 0:
        return 0
    chosen = [seq for seq, _ in db.rows(_NEXT, (name, to_millis(now), room))]
    if chosen:
        db.connection.execute(_LET_GO, (rows.dump_json(chosen),))
    return len(chosen)


def _most(db: Database, name: str) -> int:
    """Return how many jobs of a batch may go at once, as its record says; 0 where it does not."""
    found = db.row("SELECT json_extract(record, '$.at_once') FROM batches WHERE name = ?", (name,))
    return int(found[0]) if found else 0


def _stop_if_failed(db: Database, job: Job, now: datetime) -> None:
    """Cancel what waits of a batch of which too many jobs are dead; the rest its upkeep does."""
    from queuectl.domain import batch as batches
    from queuectl.domain import state_machine
    from queuectl.stores import records
    from queuectl.stores.sqlite import changes, dependencies, reads

    name = job.spec.batch
    assert name is not None
    found = db.row("SELECT record FROM batches WHERE name = ?", (name,))
    record = records.batch_from_text(found[0]) if found else None
    most = (record.max_fails if record else 0) or job.spec.max_fails
    dead = int(db.row(_DEAD, (name,))[0])
    if dead < most:
        return
    why = batches.stop_reason(name, dead)
    if record is not None and not record.is_stopped:
        save(db, batches.stop(record, why))
    waiting = reads.select(
        db, "batch_name = ? AND state IN ('pending', 'failed') LIMIT ?", (name, STOPPED_AT_ONCE)
    )
    cancels = [state_machine.cancel_with_batch(each, why, now) for each in waiting]
    changes.update(db, [(change, change.after) for change in cancels if change.after], now)
    changes.record(db, cancels)
    dependencies.notify_from(db, [each.seq for each in waiting if each.has_dependents], now)


def save(db: Database, record: Batch) -> None:
    """Store the record of a batch that was read in this transaction."""
    from queuectl.stores.sqlite.batch_rows import COLUMNS, to_row

    columns, marks = ", ".join(COLUMNS), ", ".join("?" * len(COLUMNS))
    db.connection.execute(
        f"UPDATE batches SET ({columns}) = ({marks}) WHERE name = ?", (*to_row(record), record.name)
    )
