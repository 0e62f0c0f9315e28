"""Room that the embedded store does not need any more, given back to the file system.

Pages that deleted jobs have left are cut off the file a few at a time, each few in a write of
their own, so that claims come in between. The write-ahead log is cut when it has grown, which takes
an instant without readers: that is waited for only when it is very long.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from queuectl.domain.errors import StoreUnavailable
from queuectl.stores.sqlite.connection import number_of, set_busy_seconds, translated
from queuectl.stores.sqlite.database import Database
from queuectl.stores.sqlite.queues import has_ready
from queuectl.stores.sqlite.registry import try_acquire_turn

_TIDY_SECONDS, _CUT_SECONDS = 0.5, 10.0
"""How often one of all processes cuts free pages off the file, and a log off that readers keep."""

_INCREMENTAL = 2
_SPARE_PAGES = 256
"""So many free pages are kept: what comes next needs them again."""

_STEP_PAGES = 100
_BREATH_SECONDS = 0.005
_LONG_LOG_BYTES = 1024 * 1024
_HUGE_LOG_BYTES = 32 * 1024 * 1024
"""Twice what the log comes to where no reader is in its way."""

_HUGE_LOG_SECONDS = 0.1
"""How long readers are waited for then, while nobody writes."""


def tidy(db: Database, seconds: float) -> bool:
    """Give back pages of the file and the end of the log; see `Store.tidy`."""
    is_more = has_shrunk = False
    with contextlib.suppress(StoreUnavailable):  # a full disk, or others who write: later
        if _has_surplus(db) and try_acquire_turn(db, "tidy", _TIDY_SECONDS):
            is_more = _give_back(db, seconds)
            has_shrunk = not is_more
    with contextlib.suppress(StoreUnavailable):
        if not is_more:
            _shorten_log(db, has_shrunk=has_shrunk)
    return is_more


def _has_surplus(db: Database) -> bool:
    """Whether the file has many more free pages than it should, and can give them back."""
    with translated(db.path):
        can_shrink = number_of(db.connection, "auto_vacuum") == _INCREMENTAL
        return can_shrink and number_of(db.connection, "freelist_count") > 2 * _SPARE_PAGES


def _give_back(db: Database, seconds: float) -> bool:
    """Cut free pages off the file for some time; return whether there are more."""
    ends_at = time.monotonic() + seconds
    while (surplus := number_of(db.connection, "freelist_count") - _SPARE_PAGES) > 0:
        with db.claiming:
            for _ in range(min(surplus, _STEP_PAGES)):
                # `execute` takes one step, which frees one page whatever number is asked for
                db.connection.execute("PRAGMA incremental_vacuum(1)")
        if time.monotonic() >= ends_at:
            return surplus > _STEP_PAGES
        time.sleep(_BREATH_SECONDS)
    return False


def _shorten_log(db: Database, *, has_shrunk: bool) -> None:
    """Cut the log where it is long and no job is to be claimed, or where it is very long.

    Readers are waited for only then, by one process now and then. A file that `has_shrunk` does
    so on the disk when the log is copied into it.
    """
    try:
        size = Path(f"{db.path}-wal").stat().st_size
    except OSError:
        return
    is_huge = size > _HUGE_LOG_BYTES and try_acquire_turn(db, "cut", _CUT_SECONDS)
    is_wanted = is_huge or (size > _LONG_LOG_BYTES and not has_ready(db))
    if is_wanted or has_shrunk:
        # most of the work is done while others write; the rest is short
        db.rows("PRAGMA wal_checkpoint(PASSIVE)")
    if is_wanted and db.lock.take_turn():
        try:
            with translated(db.path):
                set_busy_seconds(db.connection, _HUGE_LOG_SECONDS if is_huge else 0.0)
                db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            db.lock.end()
            set_busy_seconds(db.connection, db.lock.patience)
