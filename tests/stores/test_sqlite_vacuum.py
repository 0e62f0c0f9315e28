"""The embedded store gives back the room that it does not need any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import pytest

from queuectl.stores.sqlite import vacuum
from queuectl.stores.sqlite.connection import connect
from queuectl.stores.sqlite.store import SqliteStore
from tests.stores.kit import added, listed, new_job
from tests.worker.fleet import eventually

MEGABYTE = 1024 * 1024
LONG = "x" * 4000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "queue.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    with closing(SqliteStore(path)) as store:
        yield store


def log_of(path: Path) -> int:
    """How long the write-ahead log is."""
    return Path(f"{path}-wal").stat().st_size


def asked(path: Path, pragma: str) -> int:
    with closing(connect(path)) as connection:
        value: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    return value


def filled_and_emptied(store: SqliteStore, number: int = 1500) -> None:
    """Add jobs that take some megabytes and delete all but the first."""
    store.insert([new_job(store, f"j{n}", command=f"echo {LONG}") for n in range(number)])
    with store._db.writing():
        store._db.connection.execute("DELETE FROM jobs WHERE seq > 1")


def filler(number: int) -> str:
    """Some hundred kilobytes that SQLite cannot take for what is there already."""
    return f"{number:08}" * 50_000


def grown_log(store: SqliteStore, path: Path, size: int) -> None:
    """Write until the log is longer than that."""
    numbers = count()

    def write() -> bool:
        store.meta.set("filler", filler(next(numbers)))
        return log_of(path) > size

    eventually(write)


@contextmanager
def readers(path: Path, number: int) -> Iterator[None]:
    """Readers each of which begins before the one before it has ended, again and again."""
    is_over = threading.Event()

    def read(first: float) -> None:
        with closing(connect(path)) as connection:
            is_over.wait(first)
            while not is_over.is_set():
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM meta").fetchone()
                is_over.wait(0.02)
                connection.execute("COMMIT")

    threads = [threading.Thread(target=read, args=(n * 0.01,)) for n in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_the_file_shrinks_when_jobs_are_deleted_a_few_pages_a_write(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vacuum, "_SPARE_PAGES", 16)
    filled_and_emptied(store)
    store._db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before, writes = path.stat().st_size, 0
    begin: Callable[[], None] = store._db.lock.begin

    def counted() -> None:
        nonlocal writes
        writes += 1
        begin()

    monkeypatch.setattr(store._db.lock, "begin", counted)
    assert not store.tidy(60)
    after = path.stat().st_size
    assert before > 5 * MEGABYTE
    assert after < before / 10
    assert writes > (before - after) / asked(path, "page_size") / vacuum._STEP_PAGES
    assert (listed(store), store.check()) == (["j0"], [])


def test_giving_back_ends_when_its_time_is_up_and_goes_on_later(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queuectl.stores.sqlite.vacuum._TIDY_SECONDS", 0.0)
    filled_and_emptied(store)
    free = asked(path, "freelist_count")
    assert store.tidy(0.0)
    assert asked(path, "freelist_count") == free - vacuum._STEP_PAGES
    eventually(lambda: not store.tidy(0.0))
    assert asked(path, "freelist_count") <= 2 * vacuum._SPARE_PAGES


def test_a_log_that_a_reader_has_let_grow_is_cut_once_the_reader_has_gone(
    store: SqliteStore, path: Path
) -> None:
    with closing(connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM jobs").fetchone()
        grown_log(store, path, 2 * MEGABYTE)
        store.tidy(1)
        assert log_of(path) > 2 * MEGABYTE, "its reader still needs it"
        reader.execute("COMMIT")
        store.tidy(1)
        assert log_of(path) == 0
    assert (store.meta.get("filler") or "").startswith("0000")


def test_a_very_long_log_is_cut_between_readers_that_overlap(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vacuum, "_HUGE_LOG_BYTES", 2 * MEGABYTE)
    monkeypatch.setattr("queuectl.stores.sqlite.vacuum._CUT_SECONDS", 0.0)
    added(store, "a")  # it is not quiet
    with readers(path, 3):
        grown_log(store, path, 4 * MEGABYTE)

        numbers = count(1000)

        def cut() -> bool:
            store.meta.set("filler", filler(next(numbers)))
            store.tidy(1)
            return log_of(path) < 2 * MEGABYTE

        eventually(cut)
        assert next(numbers) < 1020, "it was left to chance"
    assert listed(store) == ["a"]


def test_a_log_of_a_busy_store_is_left_alone(store: SqliteStore, path: Path) -> None:
    added(store, "a")
    grown_log(store, path, 2 * MEGABYTE)
    store.tidy(1)
    assert log_of(path) > 2 * MEGABYTE


def test_what_readers_made_of_the_log_is_cut_off_by_the_next_round_of_writes(
    store: SqliteStore, path: Path
) -> None:
    limit: int = store._db.connection.execute("PRAGMA journal_size_limit").fetchone()[0]
    with closing(connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM jobs").fetchone()
        grown_log(store, path, limit + 2 * MEGABYTE)
    numbers = count(1000)

    def write() -> bool:
        store.meta.set("filler", filler(next(numbers)))
        return log_of(path) <= limit

    eventually(write)
