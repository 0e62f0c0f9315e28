"""When the embedded store syncs: before it answers, unless somebody has said otherwise."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.domain import state_machine
from queuectl.domain.errors import StoreUnavailable
from queuectl.stores.sqlite import transaction
from queuectl.stores.sqlite.store import SqliteStore
from tests.stores.kit import SUCCESS, added, claimed, existing, new_job, renewal, request

SEEN = "SELECT group_concat(id || ' ' || state, ', ') FROM jobs"


class Disk:
    """Stands where the disk is: notes what had been committed when a sync of it was asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: list[str] = []
        self.faults = 0

    def sync(self, descriptor: int) -> None:
        """Sync a file, or fail as often as `faults` says."""
        assert Path(f"/proc/self/fd/{descriptor}").readlink() == Path(f"{self._path}-wal")
        if self.faults:
            self.faults -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fdatasync(descriptor)
        with closing(sqlite3.connect(self._path)) as other:
            self._jobs.append(other.execute(SEEN).fetchone()[0])

    def synced(self) -> list[str]:
        """Return what each sync found since the last look."""
        found, self._jobs = self._jobs, []
        return found


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk below the store."""
    disk = Disk(tmp_path / "queue.db")
    monkeypatch.setattr(transaction, "_sync_data", disk.sync)
    return disk


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store."""
    with closing(SqliteStore(tmp_path / "queue.db")) as store:
        yield store


def test_what_a_person_asks_for_is_on_the_disk_before_it_is_answered(
    disk: Disk, store: SqliteStore
) -> None:
    store.insert([new_job(store, "a")])
    assert disk.synced() == ["a pending"]
    store.insert([new_job(store, "b"), new_job(store, "c")], atomic=True)
    assert disk.synced() == ["a pending, b pending, c pending"]
    assert store.commit(state_machine.cancel(existing(store, "a"), store.now()))
    assert disk.synced() == ["a cancelled, b pending, c pending"]


def test_a_claim_is_synced_while_its_job_is_started(disk: Disk, store: SqliteStore) -> None:
    added(store, "a")
    disk.synced()
    claimed(store)
    assert disk.synced() == []
    store.flush()
    assert disk.synced() == ["a processing"]
    store.flush()
    assert disk.synced() == []


def test_an_end_is_synced_before_the_next_write_begins(disk: Disk, store: SqliteStore) -> None:
    added(store, "a")
    added(store, "b")
    job = claimed(store)
    disk.synced()
    assert store.commit_and_claim([state_machine.finish(job, SUCCESS, store.now())], [request()])[1]
    assert disk.synced() == ["a processing, b pending"]
    renewal(store, "b", "somebody-else", 30)
    assert disk.synced() == ["a completed, b processing"] * 2


def test_the_last_end_is_synced_at_once(disk: Disk, store: SqliteStore) -> None:
    added(store, "a")
    job = claimed(store)
    store.flush()
    disk.synced()
    assert not store.commit_and_claim(
        [state_machine.finish(job, SUCCESS, store.now())], [request()]
    )[1]
    assert disk.synced() == ["a completed"]


def test_a_sync_that_fails_is_said_and_done_again_before_anything_else(
    disk: Disk, store: SqliteStore
) -> None:
    disk.faults = 2
    with pytest.raises(StoreUnavailable, match="cannot sync"):
        store.insert([new_job(store, "a")])
    with pytest.raises(StoreUnavailable, match="cannot sync"):
        store.insert([new_job(store, "b")])
    store.insert([new_job(store, "c")])
    assert disk.synced() == ["a pending", "a pending, c pending"]


@pytest.mark.parametrize(
    ("value", "is_synced"),
    [(False, False), (True, True), ("false", True), (0, True), (None, True)],
)
def test_only_a_plain_no_relaxes_it(
    tmp_path: Path, disk: Disk, store: SqliteStore, value: object, is_synced: bool
) -> None:
    store.settings.set("full_durability", value)
    disk.synced()
    with closing(SqliteStore(tmp_path / "queue.db")) as again:
        again.insert([new_job(again, "a")])
    assert disk.synced() == ["a pending"] * is_synced


def test_between_commits_the_file_itself_is_kept_sound(store: SqliteStore) -> None:
    normal = 1  # what is copied home has been synced
    assert store._db.row("PRAGMA synchronous") == (normal,)
