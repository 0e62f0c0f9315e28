"""What a copy of the embedded store holds, and what is made of it before it becomes the store.

It is seen beside what it is to replace, so that the past does not come twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from queuectl.domain import state_machine
from queuectl.domain.batch import Batch
from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import is_name
from queuectl.domain.frozen import frozen
from queuectl.domain.hooks import hook_of, is_owed, told
from queuectl.domain.job import WAITING, Outcome, State
from queuectl.domain.query import Filter, Page
from queuectl.domain.queue_limits import DELIVERY_QUEUE, delivery_queue, is_of_deliveries
from queuectl.domain.schedule import skip_missed
from queuectl.domain.stats import counted
from queuectl.stores.base import Store
from queuectl.stores.rules import ARRIVING, MOVED_TO, MOVING
from queuectl.system.home import Home
from queuectl.system.timetable import dated, timetable_of
from queuectl.transfer.backup import MADE_AT, Contents, contents, unmade_batches

_INTERRUPTED = "interrupted: the store was restored from a backup"
_DEFAULT = "default"
_UNSETTLED = "state IN ('pending', 'failed', 'processing') AND id NOT GLOB 'hook:*'"
_OLD = "(SELECT {what} FROM old.jobs AS before WHERE before.id = main.jobs.id)"
_HAS_RUN_SINCE = f"(state = 'processing' OR coalesce({_OLD.format(what='before.runs')}, 0) > runs)"
_WAS_OVER = "before.state NOT IN ('pending', 'failed', 'processing')"
_IS_OVER = f"coalesce({_OLD.format(what=_WAS_OVER)}, 1)"


@frozen
class Found:
    """What a copy holds, and what will come of it.

    `waiting` jobs will run when workers take them: `again` counts those that ran when the copy
    was made, or have run since, `over` those that were cancelled, or are gone, without that.
    Both are None where the store cannot be read that could tell. `note` is a mark of a store on
    the move, with the address of the other one.
    """

    contents: Contents
    made_at: str | None
    waiting: int
    again: int | None
    over: int | None
    moved_to: str | None
    is_moving: bool
    is_arriving: bool


def compare(copy: sqlite3.Connection, old: Path | None) -> Found:
    """Return what is in a copy; `old` is the store that it is to replace, if that can be read."""
    again = over = None
    batches = [batch for batch in unmade_batches(copy) if batch.waits]
    with contextlib.suppress(sqlite3.DatabaseError), attached(copy, old) as is_there:
        if is_there:
            again = _count(copy, f"{_UNSETTLED} AND {_HAS_RUN_SINCE}")
            over = _count(copy, f"{_UNSETTLED} AND NOT {_HAS_RUN_SINCE} AND {_IS_OVER}")
            for batch in batches:
                again += _count_made_since(copy, batch, "runs > 0")
                over += _count_made_since(copy, batch, f"runs = 0 AND {_WAS_OVER}")
    return Found(
        contents(copy),
        _mark(copy, MADE_AT),
        _count(copy, _UNSETTLED) + sum(batch.unmade for batch in batches),
        again,
        over,
        _mark(copy, MOVED_TO),
        _mark(copy, MOVING) is not None,
        _mark(copy, ARRIVING) is not None,
    )


@contextlib.contextmanager
def attached(copy: sqlite3.Connection, old: Path | None) -> Iterator[bool]:
    """Have the old store beside a copy under the name `old`; says whether it is there."""
    if old is None:
        yield False
        return
    copy.execute("ATTACH ? AS old", (os.fsencode(old),))  # whatever bytes its name has
    try:
        yield True
    finally:
        copy.execute("DETACH old")


def _count(copy: sqlite3.Connection, condition: str) -> int:
    count: int = copy.execute(f"SELECT count(*) FROM main.jobs WHERE {condition}").fetchone()[0]
    return count


def _count_made_since(copy: sqlite3.Connection, batch: Batch, condition: str) -> int:
    """Return how many jobs of a batch were made in the old store since, and fit a condition."""
    count: int = copy.execute(
        "SELECT count(*) FROM old.jobs AS before WHERE batch_name = ? AND batch_index > ? "
        f"AND batch_index NOT IN (SELECT value FROM json_each(?)) AND {condition}",
        (batch.name, batch.made, json.dumps(batch.ahead)),
    ).fetchone()[0]
    return count


def _mark(copy: sqlite3.Connection, name: str) -> str | None:
    row = copy.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def number_runs(copy: sqlite3.Connection, old: Path | None, home: Home) -> list[str]:
    """Let no job of a copy give a run the number of one that there has been since.

    Neither what the old store counted nor what has logs in the home comes again. Returns the
    ids of jobs with logs that the copy does not know: the old store's, or where that cannot be
    read, all others.
    """
    highest = dict(_logged_runs(home))
    known = None
    with contextlib.suppress(sqlite3.DatabaseError), attached(copy, old) as is_there:
        if is_there:
            runs = _OLD.format(what="before.runs")
            copy.execute(f"UPDATE main.jobs SET runs = {runs} WHERE runs < {runs}")
            known = {name for name in highest if _knows(copy, "old", name)}
    with contextlib.closing(copy.cursor()) as cursor:
        cursor.execute("BEGIN")
        cursor.executemany(
            "UPDATE main.jobs SET runs = ?1 WHERE id = ?2 AND runs < ?1",
            [(run, name) for name, run in highest.items()],
        )
        cursor.execute("COMMIT")
    wanted = highest.keys() if known is None else known
    return [name for name in wanted if not _knows(copy, "main", name)]


def _knows(copy: sqlite3.Connection, place: str, job_id: str) -> bool:
    found = copy.execute(f"SELECT 1 FROM {place}.jobs WHERE id = ?", (job_id,))
    return found.fetchone() is not None


def _logged_runs(home: Home) -> Iterator[tuple[str, int]]:
    """Yield the jobs that have logs in a home, each with the number of its latest run there."""
    if home.logs.is_symlink() or not home.job_logs.is_dir() or home.job_logs.is_symlink():
        return
    for directory in home.job_logs.iterdir():
        if is_name(directory.name) and directory.is_dir() and not directory.is_symlink():
            numbers = [path.stem for path in directory.iterdir() if path.suffix in (".out", ".err")]
            runs = [int(number) for number in numbers if number.isdecimal() and len(number) < 18]
            yield directory.name, max(runs, default=0)


@frozen
class Wishes:
    """How a restored store shall be: all `paused`, with missed runs, with old deliveries."""

    paused: bool = False
    catch_up: bool = False
    deliver: bool = False


@frozen
class Settled:
    """What was done to a copy: how many jobs that ran were given back, and so on."""

    given_back: int
    skipped: tuple[str, ...]
    undelivered: int
    paused: tuple[str, ...]


def settle(store: Store, wishes: Wishes) -> Settled:
    """Make of a copy what can go on now."""
    store.meta.set(MADE_AT, None)
    for worker in store.workers.all():
        store.workers.unregister(worker.id)
    given_back = _give_back(store)
    skipped = () if wishes.catch_up else _skip_missed(store)
    undelivered = 0 if wishes.deliver else _forget_deliveries(store)
    paused = _pause_all(store) if wishes.paused else ()
    return Settled(given_back, skipped, undelivered, paused)


def _give_back(store: Store) -> int:
    """Give the runs back that went on when the copy was made; they count as no attempt."""
    now, number = store.now(), 0
    running = Filter(frozenset({State.PROCESSING}))
    for job in list(store.find(running, Page(with_history=True))):
        end = state_machine.release(job, now, Outcome(error=_INTERRUPTED))
        number += store.commit(end)
    return number


def _skip_missed(store: Store) -> tuple[str, ...]:
    """Let schedules go on from now; return those of which a run was due since."""
    now, skipped = store.now(), []
    for schedule in store.schedules.due(now):
        try:
            times = timetable_of(schedule)
        except InvalidInput:
            continue  # no worker here can serve it, and doctor says so
        after = skip_missed(dated(schedule), now, times.following, times.latest)
        if store.schedules.save(after, schedule):
            skipped.append(schedule.name)
    return tuple(skipped)


def _forget_deliveries(store: Store) -> int:
    """Cancel what hooks were still to be told, and note as told what they would be told of."""
    now, number = store.now(), 0
    for job in list(store.find(Filter(WAITING, deliveries=True), Page())):
        if hook_of(job.id) is not None:
            number += store.commit(state_machine.cancel(job, now))
    while not (pending_events := store.stats.pending_events()).is_empty:
        store.stats.record(
            pending_events, counted(pending_events.finished, pending_events.enqueued)
        )
    for hook in store.hooks.all():
        if is_owed(hook):
            store.hooks.save(told(hook), hook)
    for batch in store.batches.open():
        if batch.ended_at is not None and store.batches.notify(batch):
            store.batches.save(batch.changed(told=batch.ends), batch)
    return number


def _pause_all(store: Store) -> tuple[str, ...]:
    """Pause every queue there is, and those that schedules and hooks put jobs into.

    Returns their names as people type them: `hooks` stands for the queues of all deliveries.
    """
    named = (str(each.fields.get("queue") or _DEFAULT) for each in store.schedules.all())
    hooks = (delivery_queue(hook.name) for hook in store.hooks.all())
    queues = {_DEFAULT, *store.counts().by_queue, *store.queue_limits(), *named, *hooks}
    if any(map(is_of_deliveries, queues)):
        queues.add(DELIVERY_QUEUE)
    for queue in sorted(queues):
        store.set_queue_limit(queue, paused=True)
    return tuple(sorted(queue for queue in queues if not is_of_deliveries(queue)))
