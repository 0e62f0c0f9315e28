"""A backup takes the place of a store whole, or not at all; what was there is kept."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from queuectl.domain.errors import (
    Conflict,
    InvalidInput,
    StoreForeign,
    StoreRefused,
    StoreUnavailable,
)
from queuectl.stores.sqlite import copy as sqlite_copy
from queuectl.stores.sqlite.schema import DEVELOPMENT_ID
from queuectl.stores.sqlite.store import SqliteStore
from queuectl.stores.sqlite.transaction import WriterTurn
from queuectl.system import pidfile
from queuectl.system.home import Location
from queuectl.system.processes import this_process
from queuectl.transfer.restore import Restoration
from tests.cli.harness import ROOT, environment
from tests.stores.kit import added, listed, new_job, worker_record
from tests.transfer.kit import backup_of, not_told, place_in, restored

KILLED = """
import os, signal, sys
from pathlib import Path
from queuectl.system.home import Home, Location
from queuectl.transfer.restore import Restoration
from queuectl.transfer.restored_state import Wishes
home = Home(Path(sys.argv[1]))
steps = 0
def step(done, total):
    global steps
    steps += is_finishing
    if is_finishing and sys.argv[3] == (str(steps) if done < total else "last"):
        os.kill(os.getpid(), signal.SIGKILL)
is_finishing = False
with Restoration.of(Location(home, str(home.store_file)), Path(sys.argv[2]), step) as ready:
    is_finishing = True
    ready.finish(Wishes())
"""
"""Restores, and is killed at a step of writing into the live file."""


@pytest.fixture
def place(tmp_path: Path) -> Location:
    """A home; its store holds `a` and `b` in the backup, and later `c` too."""
    return place_in(tmp_path)


@pytest.fixture
def file(place: Location) -> Path:
    """The backup."""
    return backup_of(place, lambda store: [added(store, name) for name in "ab"])


@pytest.fixture
def store(place: Location, file: Path) -> Iterator[SqliteStore]:
    """The store as it is some time after the backup, open."""
    assert file.exists()
    with closing(SqliteStore(place.home.store_file)) as opened:
        added(opened, "c")
        yield opened


def names(place: Location) -> list[str]:
    """Return the files in a home but for those that are made anew."""
    anew = ("-lock", "-wal", "-shm", "-wake", "-spare", ".lock")
    found = (each.name for each in place.home.root.iterdir())
    return sorted(name for name in found if not name.endswith(anew))


def just_before_it_is_locked(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something when a restore has copied the old store, and has not locked it yet."""

    class Late(WriterTurn):
        def take(self) -> bool:
            act()
            return super().take()

    monkeypatch.setattr(sqlite_copy, "WriterTurn", Late)


def held(path: Path) -> list[str]:
    """Return the jobs in a store that nobody has open, which must be sound."""
    with closing(SqliteStore(path)) as opened:
        assert opened.check() == []
        return listed(opened)


def test_who_has_the_store_open_goes_on_in_the_restored_one_and_the_old_one_is_kept(
    place: Location, store: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, backup = place.home.store_file, file.read_bytes()
    before = path.stat()
    with monkeypatch.context() as patch:
        just_before_it_is_locked(patch, lambda: added(store, "late"))
        done = restored(place, file)
    assert listed(store) == ["a", "b"]
    added(store, "d")
    after = path.stat()
    assert (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino)
    assert held(path) == ["a", "b", "d"]
    assert done.kept
    assert held(done.kept) == ["a", "b", "c", "late"]
    assert stat.S_IMODE(done.kept.stat().st_mode) == 0o600
    assert names(place) == sorted(["queue.db", done.kept.name])
    assert file.read_bytes() == backup
    assert sorted(each.name for each in file.parent.iterdir()) == ["b.db", "home"]
    again = restored(place, done.kept).kept
    assert listed(store) == ["a", "b", "c", "late"]
    assert again
    assert again != done.kept
    assert held(again) == ["a", "b", "d"]


def test_nobody_writes_between_what_is_kept_and_what_is_restored(
    place: Location, store: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    keep = sqlite_copy._keep

    def attacked(*args: object) -> None:
        with closing(sqlite3.connect(store.address, timeout=0)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as fault:
                seen.append(str(fault))
        keep(*args)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(sqlite_copy, "_keep", attacked)
    restored(place, file)
    assert seen == ["database is locked"]


@pytest.mark.parametrize("comes_late", [False, True])
def test_a_worker_that_lives_is_named_and_nothing_is_restored(
    place: Location,
    store: SqliteStore,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    comes_late: bool,
) -> None:
    record = replace(worker_record(store, "w9"), process=this_process())
    if comes_late:
        just_before_it_is_locked(monkeypatch, lambda: store.workers.register(record))
    else:
        store.workers.register(record)
    with pytest.raises(Conflict, match=rf"still has 1 worker: .*w9 \(pid {os.getpid()}\)"):
        restored(place, file)
    assert listed(store) == ["a", "b", "c"]
    assert names(place) == ["queue.db"]


def test_workers_of_the_time_of_the_backup_are_forgotten(place: Location) -> None:
    def fill(store: SqliteStore) -> None:
        added(store, "a")
        store.workers.register(worker_record(store, "w1"))

    file = backup_of(place, fill)
    with closing(SqliteStore(place.home.store_file)) as store:
        store.workers.unregister("w1")
        restored(place, file)
        assert store.workers.all() == []


def test_a_store_that_stays_locked_is_not_waited_for_for_ever(
    place: Location, store: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_copy, "BUSY_SECONDS", 0.2)
    with closing(sqlite3.connect(store.address, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            restored(place, file)
        other.execute("ROLLBACK")
    assert listed(store) == ["a", "b", "c"]
    assert names(place) == ["queue.db"]


@pytest.mark.parametrize("step", ["1", "2", "last"])
def test_killed_at_any_point_the_store_is_the_one_or_the_other_and_the_next_one_succeeds(
    place: Location, step: str
) -> None:
    with closing(SqliteStore(place.home.store_file)) as store:
        store.insert([new_job(store, f"late{n}", labels=("x" * 2000,)) for n in range(1200)])
    big = backup_of(place, lambda store: added(store, "last"), "big.db")
    with closing(SqliteStore(place.home.store_file)) as store:
        added(store, "lost")
        before = listed(store)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(place.home.root), str(big), step],
        env=environment(), cwd=ROOT, check=False, timeout=60, capture_output=True, text=True,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    is_after = step == "last"  # which is told of when all is committed
    assert held(place.home.store_file) == (before[:-1] if is_after else before)
    restored(place, big)
    assert held(place.home.store_file) == before[:-1]
    assert not [name for name in names(place) if "restoring" in name]


def test_two_restores_do_not_meet(place: Location, file: Path) -> None:
    with (
        Restoration.of(place, file, not_told),
        pytest.raises(Conflict, match="another restore"),
    ):
        restored(place, file)
    restored(place, file)


def test_a_backup_with_its_log_beside_it_is_read_whole(
    place: Location, store: SqliteStore, tmp_path: Path
) -> None:
    """Somebody copied the files of a store, and not by `backup`."""
    raw = tmp_path / "raw.db"
    for suffix in ("", "-wal"):
        Path(f"{raw}{suffix}").write_bytes(Path(f"{store.address}{suffix}").read_bytes())
    data = raw.read_bytes()
    added(store, "d")
    restored(place, raw)
    assert listed(store) == ["a", "b", "c"]
    assert raw.read_bytes() == data


@pytest.mark.parametrize("layout", [(1024, 0), (8192, 0), (4096, 1), (4096, 2), (512, 2)])
def test_a_copy_of_another_layout_is_laid_out_anew(
    place: Location, store: SqliteStore, file: Path, layout: tuple[int, int]
) -> None:
    with closing(sqlite3.connect(file)) as copy:
        copy.execute("PRAGMA journal_mode=DELETE")
        copy.execute(f"PRAGMA page_size={layout[0]}")
        copy.execute(f"PRAGMA auto_vacuum={layout[1]}")
        copy.execute("VACUUM")
    was = layout_of(store)
    restored(place, file)
    assert listed(store) == ["a", "b"]
    assert layout_of(store) == was
    assert store.check() == []


def layout_of(store: SqliteStore) -> list[int]:
    """Return page size, mode of giving pages back, and journal mode of a store."""
    with closing(sqlite3.connect(store.address)) as other:
        pragmas = ("page_size", "auto_vacuum", "journal_mode")
        return [other.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]


# what is refused


def changed(sql: str) -> Callable[[Path], None]:
    """Return what runs a script in a backup."""

    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as copy:
            copy.executescript(sql)

    return change


def written(data: bytes) -> Callable[[Path], None]:
    """Return what writes something else over a backup."""

    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


def scribbled(path: Path) -> None:
    """Overwrite a page in the middle."""
    data = path.read_bytes()
    path.write_bytes(data[:36864] + b"\xa5" * 4096 + data[40960:])


NOT_TAKEN: dict[str, tuple[Callable[[Path], object], type[Exception], str]] = {
    "empty": (written(b""), StoreRefused, "is empty"),
    "copied in the middle of a write": (
        lambda path: Path(f"{path}-journal").write_bytes(b"what was there before"),
        StoreRefused,
        "was copied while it was written",
    ),
    "an export": (written(b'{"type": "queuectl", "format": 1}\n' * 50), StoreRefused, "damaged"),
    "cut": (lambda path: os.truncate(path, 40960), StoreRefused, "damaged"),
    "a page": (scribbled, StoreRefused, "damaged"),
    "another's": (changed("PRAGMA application_id=7"), StoreForeign, "another program"),
    "newer": (changed("PRAGMA user_version=999999"), StoreRefused, "newer queuectl"),
    "a development version": (
        changed(f"PRAGMA application_id={DEVELOPMENT_ID}"),
        StoreRefused,
        "development version",
    ),
    "no version": (changed("PRAGMA user_version=0"), StoreRefused, "no tables"),
    "a trigger": (
        changed("CREATE TRIGGER t AFTER INSERT ON jobs BEGIN DELETE FROM dlq; END"),
        StoreRefused,
        "trigger 't' is not queuectl's",
    ),
    "a view": (changed("CREATE VIEW v AS SELECT 1"), StoreRefused, "view 'v' is not"),
    "a view for a table": (
        changed("DROP TABLE meta; CREATE VIEW meta AS SELECT 'a' AS name, 'b' AS value"),
        StoreRefused,
        "view 'meta' is not",
    ),
    "an index": (
        changed("CREATE INDEX i ON jobs (command)"), StoreRefused, "index 'i' is not"
    ),
    "a trigger of ours": (
        changed(
            "DROP TRIGGER runs_followed; "
            "CREATE TRIGGER runs_followed AFTER INSERT ON runs BEGIN DELETE FROM jobs; END"
        ),
        StoreRefused,
        "'runs_followed' has been changed",
    ),
    "less": (changed("DROP INDEX jobs_claim"), StoreRefused, "'jobs_claim' is missing"),
    "without jobs": (
        changed("DELETE FROM jobs; DELETE FROM counts; DELETE FROM queue_priority_counters"),
        Conflict,
        "holds nothing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", NOT_TAKEN.values(), ids=NOT_TAKEN)
def test_what_is_no_sound_backup_of_ours_is_refused_and_changes_nothing(
    place: Location,
    store: SqliteStore,
    file: Path,
    attack: tuple[Callable[[Path], object], type[Exception], str],
) -> None:
    change, kind, said = attack
    change(file)
    with pytest.raises(kind, match=said) as refused:
        restored(place, file)
    assert file.name in str(refused.value)
    assert listed(store) == ["a", "b", "c"]
    assert names(place) == ["queue.db"]


def test_a_file_that_cannot_be_read_or_is_the_store_is_refused(
    place: Location, store: SqliteStore, tmp_path: Path
) -> None:
    os.link(store.address, tmp_path / "link.db")
    os.mkfifo(tmp_path / "fifo")
    for path, said in (
        (tmp_path / "nowhere", "No such file"),
        (tmp_path, "not a regular file"),
        (tmp_path / "fifo", "not a regular file"),
        (place.home.store_file, "is the store itself"),
        (tmp_path / "link.db", "is the store itself"),
    ):
        with pytest.raises(InvalidInput, match=said):
            restored(place, path)
    assert listed(store) == ["a", "b", "c"]


def test_a_database_of_another_program_is_not_replaced(place: Location, file: Path) -> None:
    path = place.home.store_file
    path.unlink()
    changed("CREATE TABLE mine (a)")(path)
    data = path.read_bytes()
    with pytest.raises(StoreForeign):
        restored(place, file)
    assert path.read_bytes() == data


# a store that is damaged, or gone


DAMAGES: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(os.urandom(50_000)),
    "empty": lambda path: os.truncate(path, 0),
    "cut": lambda path: os.truncate(path, 40960),
    "a page": scribbled,
    "a table": changed("DROP TABLE meta"),
    "newer": changed("PRAGMA user_version=999999"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_store_that_is_damaged_is_replaced_and_kept_as_it_is(
    place: Location, file: Path, damage: Callable[[Path], object]
) -> None:
    path = place.home.store_file
    damage(path)
    data = path.read_bytes()
    done = restored(place, file)
    assert held(path) == ["a", "b"]
    assert done.kept
    assert len(done.kept.read_bytes()) == len(data)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_of_writes_that_is_left_does_not_get_onto_the_restored_store(
    place: Location, file: Path
) -> None:
    path = place.home.store_file
    with closing(SqliteStore(path)) as store:
        added(store, "c")
        log = Path(f"{path}-wal").read_bytes()
    path.write_bytes(b"garbage" * 1000)
    Path(f"{path}-wal").write_bytes(log)
    done = restored(place, file)
    assert held(path) == ["a", "b"]
    assert done.kept
    assert Path(f"{done.kept}-wal").read_bytes() == log


def test_where_no_store_is_it_is_made_of_a_backup_that_is_good_and_of_no_other(
    file: Path, tmp_path: Path
) -> None:
    place = place_in(tmp_path / "other")
    bad = tmp_path / "bad.db"
    bad.write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreRefused):
        restored(place, bad)
    assert not place.home.root.exists()
    for _ in range(2):
        assert restored(place, file).kept is None
        assert held(place.home.store_file) == ["a", "b"]
        assert stat.S_IMODE(place.home.root.stat().st_mode) == 0o700
        place.home.store_file.unlink()


def test_a_damaged_store_is_not_replaced_while_a_worker_of_the_home_lives(
    place: Location, file: Path
) -> None:
    path = place.home.store_file
    path.write_bytes(b"garbage" * 1000)
    pidfile.add(place.home, pidfile.ProcessEntry(pidfile.WORKER, this_process(), "w1"))
    with pytest.raises(Conflict, match=f"running: pid {os.getpid()}"):
        restored(place, file)
    assert path.read_bytes() == b"garbage" * 1000
