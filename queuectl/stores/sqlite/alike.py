"""Inserting jobs that are alike but for ids and commands: one statement for thousands of rows."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

import msgspec

from queuectl.domain.alike import AlikeJobs
from queuectl.stores.exchange import ALIKE_BATCH
from queuectl.stores.sqlite import statements, writes
from queuectl.stores.sqlite.connection import translated

if TYPE_CHECKING:
    from queuectl.stores.sqlite.database import Database

_KEPT_PAGES = 8_000
"""How many changed pages are kept in memory until the end of a transaction: 32 MB.

Ids in any order change a page of the index each. With the usual cache one would be written, and
read again for the next id, several times in a transaction.
"""


class _Taken(Exception):
    """The store did not take all of some jobs, and so took none."""


def insert(db: Database, jobs: AlikeJobs) -> frozenset[str]:
    """Insert jobs whose ids are distinct; return those that are refused.

    They are inserted without a look at the ids that exist. Where one of them does, the jobs go the
    general way.
    """
    refused: set[str] = set()
    for start in range(0, len(jobs), ALIKE_BATCH):
        if start:
            time.sleep(writes.BREATH_SECONDS)
        some = jobs[start : start + ALIKE_BATCH]
        db.recover()
        try:
            with translated(db.path):
                db.connection.execute(f"PRAGMA cache_spill={_KEPT_PAGES}")
            _insert(db, some)
        except _Taken:
            refused |= writes.insert(db, list(some), atomic=False)
    return frozenset(refused)


def _insert(db: Database, jobs: AlikeJobs) -> None:
    now = db.now()
    own = msgspec.json.encode(dict(zip(jobs.ids, jobs.commands, strict=True))).decode()
    new = statements.alike_rows(jobs, own, now)
    with db.adding:
        try:
            for statement, values in new.inserts:
                db.connection.execute(statement, values)
        except sqlite3.IntegrityError as fault:
            raise _Taken from fault
        writes.count_in(db, new, now)
