"""A backup is whole, private, and overwrites nothing; it is made while others write."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.domain.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from queuectl.stores.sqlite.store import SqliteStore
from queuectl.transfer.backup import Contents, back_up
from tests.chaos.ground import small_disk
from tests.cli.harness import ROOT
from tests.stores.kit import added, listed
from tests.transfer.kit import not_told


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "home" / "queue.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """A store with three jobs that somebody has open."""
    with closing(SqliteStore(path)) as opened:
        for name in "abc":
            added(opened, name)
        yield opened


def test_a_backup_is_one_private_file_that_is_a_store_by_itself(
    store: SqliteStore, path: Path, tmp_path: Path
) -> None:
    store.settings.set("max_retries", 7)
    file = tmp_path / "out" / "b.db"
    file.parent.mkdir()
    before = os.umask(0)
    try:
        assert back_up(path, file, not_told) == Contents(3, 0, 0, 1, 0)
    finally:
        os.umask(before)
    assert [each.name for each in file.parent.iterdir()] == ["b.db"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with closing(SqliteStore(file)) as copy:
        assert listed(copy) == ["a", "b", "c"]
        assert copy.check() == []
        added(copy, "d")  # also by hand it can be put where the store was
    assert listed(store) == ["a", "b", "c"]


def test_what_others_write_while_a_backup_is_made_is_not_in_it_and_does_not_begin_it_again(
    store: SqliteStore, path: Path, tmp_path: Path
) -> None:
    seen: list[int] = []

    def write(done: int, _total: int) -> None:
        assert len(seen) < 100, "it begins again for ever"
        added(store, f"late{len(seen)}")
        seen.append(done)

    file = tmp_path / "b.db"
    back_up(path, file, write)
    assert len(seen) > 1
    assert seen == sorted(set(seen)), "it began again"
    assert seen[-1] > 1
    with closing(SqliteStore(file)) as copy:
        assert listed(copy) == ["a", "b", "c"]
        assert copy.check() == []
    assert len(listed(store)) == 3 + len(seen)


def test_what_is_there_already_is_never_overwritten(
    store: SqliteStore, path: Path, tmp_path: Path
) -> None:
    file, link = tmp_path / "b.db", tmp_path / "link"
    file.write_text("mine")
    link.symlink_to(tmp_path / "nowhere")
    for taken in (file, link, path):
        with pytest.raises(Conflict, match="exists already"):
            back_up(path, taken, not_told)
    assert file.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(InvalidInput, match="is a directory"):
        back_up(path, tmp_path, not_told)
    with pytest.raises(InvalidInput, match="of the store itself"):
        back_up(path, path.with_name("queue.db-journal"), not_told)
    assert listed(store) == ["a", "b", "c"]


@pytest.mark.usefixtures("store")
def test_a_file_that_comes_while_the_backup_is_made_is_not_overwritten(
    path: Path, tmp_path: Path
) -> None:
    file = tmp_path / "b.db"

    def come(_done: int, _total: int) -> None:
        file.write_text("mine")

    with pytest.raises(Conflict, match="exists already"):
        back_up(path, file, come)
    assert file.read_text() == "mine"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["b.db", "home"]


def test_a_store_that_is_damaged_gives_no_backup(path: Path, tmp_path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        for number in range(300):
            added(store, f"job{number}")
    data = path.read_bytes()
    path.write_bytes(data[:40960] + os.urandom(4096) + data[45056:])
    with pytest.raises(StoreRefused, match="is damaged") as refused:
        back_up(path, tmp_path / "b.db", not_told)
    assert "queuectl restore FILE" in refused.value.hint
    assert [each.name for each in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize(
    ("script", "named", "todo"),
    [
        ("CREATE VIEW mine AS SELECT 1", "the view 'mine' is not", 'DROP VIEW "mine"'),
        ('CREATE TABLE "my ""own" (a)', "the table 'my \"own' is not", 'DROP TABLE "my ""own"'),
        ("CREATE INDEX fast ON jobs (priority)", "the index 'fast' is not", 'DROP INDEX "fast"'),
        ("DROP TABLE figures", "the table 'figures' is missing", "queuectl restore FILE"),
        ("ALTER TABLE hooks ADD COLUMN more", "the table 'hooks' has been changed", "restore FILE"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_restore_would_refuse_is_not_backed_up_but_named_with_what_to_do(
    path: Path, tmp_path: Path, script: str, named: str, todo: str
) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute(script)
    with pytest.raises(StoreRefused) as refused:
        back_up(path, tmp_path / "b.db", not_told)
    assert named in str(refused.value)
    assert todo in refused.value.hint
    assert [each.name for each in tmp_path.iterdir()] == ["home"]


@pytest.mark.usefixtures("store")
def test_a_full_disk_of_the_backup_is_not_blamed_on_that_of_the_store(
    path: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "target", "96k") as target:
        with pytest.raises(StoreFull) as refused:
            back_up(path, target / "b.db", not_told)
        assert list(target.iterdir()) == []
    assert f"the disk of {target / 'b.db'} is full" in str(refused.value)
    assert str(path) not in str(refused.value)
    assert "purge" not in refused.value.hint
    assert "another disk" in refused.value.hint


KILLED = """
import os, signal, sys
from pathlib import Path
from queuectl.transfer.backup import back_up
back_up(Path(sys.argv[1]), Path(sys.argv[2]), lambda *_: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.usefixtures("store")
def test_what_a_backup_that_was_killed_has_left_is_removed_by_the_next_one_in_that_directory(
    path: Path, tmp_path: Path
) -> None:
    to = tmp_path / "to"
    to.mkdir()
    file = to / "b[1].db"
    command = [sys.executable, "-c", KILLED, str(path), str(file)]
    done = subprocess.run(command, cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    left = sorted(each.name for each in to.iterdir())
    assert left[0].startswith(f".{file.name}."), left
    ours = f".{file.name}.queuectl-{os.uname().nodename}"
    theirs = f".{file.name}.queuectl-elsewhere"
    kept = {f"{ours}-{os.getppid()}.new", f"{theirs}-999999999.new", ".c.db.999999999.new"}
    for name in kept:
        (to / name).touch()
    old = to / f"{theirs}-7.new"
    old.touch()
    os.utime(old, (0, 0))
    back_up(path, to / "another.db", not_told)
    assert {each.name for each in to.iterdir()} == {*kept, "another.db"}


def interrupted(_done: int, _total: int) -> None:
    """End it in the middle, as Ctrl-C does."""
    raise KeyboardInterrupt


def test_a_backup_that_cannot_be_made_is_told_and_leaves_nothing(
    path: Path, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="no store yet"):
        back_up(path, tmp_path / "b.db", not_told)
    assert list(tmp_path.iterdir()) == []
    SqliteStore(path).close()
    with pytest.raises(StoreUnavailable, match=r"cannot .*nowhere"):
        back_up(path, tmp_path / "nowhere" / "b.db", not_told)
    with pytest.raises(KeyboardInterrupt):
        back_up(path, tmp_path / "b.db", interrupted)
    assert [each.name for each in tmp_path.iterdir()] == ["home"]
