"""What a copy of the embedded store holds, beside what the store holds that it is to replace."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from queuectl.domain.field_checks import is_name
from queuectl.domain.frozen import frozen
from queuectl.stores.rules import ARRIVING, MOVED_TO, MOVING
from queuectl.system.home import Home
from queuectl.transfer.backup import MADE_AT, Contents, contents

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
    with contextlib.suppress(sqlite3.DatabaseError), attached(copy, old) as is_there:
        if is_there:
            again = _count(copy, f"{_UNSETTLED} AND {_HAS_RUN_SINCE}")
            over = _count(copy, f"{_UNSETTLED} AND NOT {_HAS_RUN_SINCE} AND {_IS_OVER}")
    return Found(
        contents(copy),
        _mark(copy, MADE_AT),
        _count(copy, _UNSETTLED),
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
