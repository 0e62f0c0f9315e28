"""The store's files are moved, removed and exchanged while processes have them open.

Nothing that was acknowledged may be lost or land in a file that it does not belong to.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import State
from queuectl.queue import Queue
from queuectl.stores.exchange import ClaimRequest
from queuectl.stores.sqlite import database, writes
from queuectl.stores.sqlite.store import SqliteStore
from queuectl.system.run_processes import children_of
from tests.chaos.ground import command, in_hand, open_gate, refusal, runs_begun
from tests.stores.kit import added
from tests.worker.fleet import Fleet, eventually, run_members

pytestmark = pytest.mark.usefixtures("nothing_of_the_users")

USER = """
import sys
from queuectl.queue import open_queue
queue = open_queue(sys.argv[1])
queue.enqueue([queue.request({"id": name, "command": "true"}) for name in sys.argv[2:]])
print("stored", flush=True)
sys.stdin.readline()
queue.close()
"""


@pytest.fixture
def impatient_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for those who have the old files open: in these tests they stay."""
    monkeypatch.setattr(database, "EXCHANGED_SECONDS", 0.0)


def is_taken(home: Path, job_id: str) -> bool:
    """Whether a job could be enqueued."""
    return command(home, "enqueue", job_id, "true").code == 0


def ids_in(file: Path) -> set[str]:
    """Return the ids of the jobs in a store's file, and see that it is sound."""
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {job_id for (job_id,) in database.execute("SELECT id FROM jobs")}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose store holds one job, and a copy of it beside it."""
    root = tmp_path / "home"
    with closing(SqliteStore(root / "queue.db")) as store:
        added(store, "seed")
    shutil.copy(root / "queue.db", root / "backup.db")
    return root


@pytest.fixture
def holder(home: Path) -> Iterator[SqliteStore]:
    """The store, open, with a job that is in its log of writes alone."""
    with closing(SqliteStore(home / "queue.db")) as store:
        added(store, "before")
        yield store


@contextmanager
def process_with_jobs(home: Path, *ids: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has enqueued jobs and keeps the store open until a line comes."""
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(home), *ids],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "stored\n"
            yield process
        finally:
            process.kill()


def killed_with_jobs(home: Path, *ids: str) -> None:
    """Have a process enqueue jobs and kill it, so that they are in the log of writes alone."""
    with process_with_jobs(home, *ids):
        pass


def move(file: Path) -> None:
    file.rename(file.with_name(f"moved-{file.name}"))


def exchange(file: Path) -> None:
    """Put a copy, which is another file, in a file's place."""
    copy = file.with_name("copy")
    shutil.copy(file, copy)
    copy.rename(file)


@pytest.mark.usefixtures("impatient_opening", "holder")
@pytest.mark.parametrize("meddle", [move, Path.unlink, exchange])
@pytest.mark.parametrize("name", ["queue.db", "queue.db-wal", "queue.db-shm"])
def test_who_comes_to_files_that_were_exchanged_is_refused_and_writes_nothing(
    home: Path, name: str, meddle: Callable[[Path], None]
) -> None:
    meddle(home / name)
    before = {path.name: path.stat().st_ino for path in home.iterdir()}
    for words in ("enqueue late true", "list", "worker start"):
        line = refusal(home, *words.split())
        assert name in line
        assert "queuectl worker stop" in line
    after = {path.name: path.stat().st_ino for path in home.iterdir()}
    made = after.keys() - before.keys()
    assert not any(each.startswith("queue.db") for each in made)
    assert {each: after[each] for each in before} == before


@pytest.mark.parametrize("meddle", [move, Path.unlink, exchange])
@pytest.mark.parametrize("name", ["queue.db-wal", "queue.db-shm"])
def test_the_last_one_to_let_go_brings_home_what_was_taken(
    home: Path, holder: SqliteStore, name: str, meddle: Callable[[Path], None]
) -> None:
    with closing(SqliteStore(home / "queue.db")) as other:
        meddle(home / name)
        with pytest.raises(StoreUnavailable, match=name):
            other.recover(0)
        added(holder, "after")
        added(other, "later")
        assert holder.get("later") is not None
    holder.close()
    assert ids_in(home / "queue.db") == {"seed", "before", "after", "later"}


def test_a_store_that_opens_its_files_again_is_as_patient_as_before(
    home: Path, holder: SqliteStore
) -> None:
    holder.patience = 0.25
    move(home / "queue.db-wal")
    added(holder, "after")
    assert holder.patience == 0.25
    assert holder._db.row("PRAGMA busy_timeout") == (250,)


@pytest.mark.parametrize("meddle", [move, Path.unlink, exchange])
def test_a_write_into_a_store_whose_file_is_not_there_any_more_is_refused(
    home: Path, holder: SqliteStore, meddle: Callable[[Path], None]
) -> None:
    meddle(home / "queue.db")
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match=r"queue\.db"):
            added(holder, "late")
        with pytest.raises(StoreUnavailable, match=r"queue\.db"):
            holder.claim(ClaimRequest("c", "w", 30))
        with pytest.raises(StoreUnavailable, match=r"queue\.db"):
            holder.counts()


def test_a_store_whose_file_is_put_back_goes_on(home: Path, holder: SqliteStore) -> None:
    move(home / "queue.db")
    with pytest.raises(StoreUnavailable):
        added(holder, "late")
    (home / "moved-queue.db").rename(home / "queue.db")
    added(holder, "after")
    holder.close()
    assert ids_in(home / "queue.db") == {"seed", "before", "after"}


def test_a_file_that_is_put_there_while_a_store_opens_its_own_again_is_not_taken_for_it(
    home: Path, holder: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = holder._db._close_files

    def close_and_meddle() -> None:
        close()
        monkeypatch.undo()
        exchange(home / "queue.db")

    monkeypatch.setattr(holder._db, "_close_files", close_and_meddle)
    move(home / "queue.db-wal")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"queue\.db was exchanged"):
            added(holder, "late")
    assert not holder.is_same_file()
    assert "late" not in ids_in(home / "queue.db")


@pytest.mark.parametrize("name", ["queue.db", "queue.db-wal", "queue.db-shm"])
def test_what_is_exchanged_in_the_middle_of_a_write_is_found_before_the_answer(
    home: Path, holder: SqliteStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = writes.insert_prepared

    def meddled(*args: Any, **options: Any) -> Any:
        move(home / name)
        return insert(*args, **options)

    monkeypatch.setattr(writes, "insert_prepared", meddled)
    with pytest.raises(StoreUnavailable, match=name):
        added(holder, "late")


def test_a_log_of_writes_is_not_applied_to_a_file_that_it_does_not_belong_to(
    home: Path,
) -> None:
    killed_with_jobs(home, "last")
    backup = (home / "backup.db").read_bytes()
    (home / "backup.db").rename(home / "queue.db")
    for words in ("enqueue late true", "list", "worker start"):
        line = refusal(home, *words.split())
        assert "queue.db-wal" in line
        assert "remove" in line
    assert (home / "queue.db").read_bytes() == backup
    move(home / "queue.db-wal")
    assert command(home, "enqueue", "late", "true").code == 0
    assert ids_in(home / "queue.db") == {"seed", "late"}


def test_a_file_that_has_the_number_of_the_one_before_it_is_told_from_it(
    home: Path, tmp_path: Path
) -> None:
    killed_with_jobs(home, "last")
    store, number = home / "queue.db", (home / "queue.db").stat().st_ino
    store.unlink()
    for attempt in range(50):
        shutil.copy(home / "backup.db", store)
        if store.stat().st_ino == number:
            break
        store.rename(tmp_path / f"other{attempt}")
    else:
        pytest.skip("this file system does not give the number again at once")
    assert "queue.db-wal" in refusal(home, "enqueue", "late", "true")


def test_no_store_is_made_beside_the_log_of_one_that_is_gone(home: Path) -> None:
    killed_with_jobs(home, "last")
    move(home / "queue.db")
    line = refusal(home, "enqueue", "late", "true")
    assert "is gone" in line
    assert not (home / "queue.db").exists()
    (home / "moved-queue.db").rename(home / "queue.db")
    assert command(home, "enqueue", "late", "true").code == 0
    assert ids_in(home / "queue.db") == {"seed", "last", "late"}


def test_a_killed_process_leaves_nothing_that_looks_exchanged(home: Path) -> None:
    for name in ("one", "two"):
        killed_with_jobs(home, name)
        assert (home / "queue.db-wal").stat().st_size
    assert command(home, "list").code == 0
    assert ids_in(home / "queue.db") == {"seed", "one", "two"}


@pytest.mark.parametrize("carry", [shutil.copytree, shutil.move])
def test_a_home_that_was_copied_or_moved_is_taken_as_it_is(
    home: Path, tmp_path: Path, carry: Callable[[Path, Path], object]
) -> None:
    killed_with_jobs(home, "last")
    (home / "queue.db-wake").unlink(missing_ok=True)  # which is no file that can be copied
    carry(home, tmp_path / "carried")
    assert command(tmp_path / "carried", "enqueue", "late", "true").code == 0
    assert ids_in(tmp_path / "carried" / "queue.db") == {"seed", "last", "late"}


def test_a_store_that_is_opened_and_closed_by_many_at_once_never_looks_exchanged(
    home: Path,
) -> None:
    def use(number: int) -> None:
        for turn in range(10):
            with closing(SqliteStore(home / "queue.db")) as store:
                added(store, f"job{number}-{turn}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))
    assert len(ids_in(home / "queue.db")) == 41


def test_a_store_is_known_to_be_open_though_its_lock_file_was_removed_too(home: Path) -> None:
    with process_with_jobs(home, "last") as process:
        for path in home.glob("queue.db-*"):
            path.unlink()
        assert "queue.db-wal" in refusal(home, "enqueue", "late", "true")
        process.communicate("\n")  # it ends, and closes the store
    assert command(home, "enqueue", "after", "true").code == 0
    assert ids_in(home / "queue.db") == {"seed", "last", "after"}


def test_a_copy_that_is_not_in_wal_mode_is_used_as_the_store_it_is(home: Path) -> None:
    with closing(sqlite3.connect(home / "queue.db")) as database:
        database.execute("VACUUM INTO ?", (str(home / "plain.db"),))
    (home / "plain.db").rename(home / "queue.db")
    assert command(home, "enqueue", "after", "true").code == 0
    assert ids_in(home / "queue.db") == {"seed", "after"}


@pytest.mark.parametrize("name", ["queue.db-wal", "queue.db-shm"])
def test_workers_go_on_with_what_they_run_when_a_file_is_taken_from_the_store(
    fleet: Fleet, name: str
) -> None:
    long = in_hand(fleet, workers=2).id
    (fleet.home.root / name).unlink()
    fleet.queue.close()
    acknowledged = [f"late{number}" for number in range(10)]
    for job_id in acknowledged:
        eventually(partial(is_taken, fleet.home.root, job_id))
    fleet.queue = Queue.open(fleet.location)
    for job_id in acknowledged:
        assert fleet.settled(job_id).state is State.COMPLETED
    open_gate(fleet)
    ended = fleet.settled(long)
    assert (ended.state, len(ended.history), runs_begun(fleet)) == (State.COMPLETED, 1, 1)
    assert fleet.stop() == []
    fleet.queue.close()
    assert ids_in(fleet.home.store_file) == {long, *acknowledged}


def test_workers_leave_a_store_in_whose_place_another_one_was_put(fleet: Fleet) -> None:
    job_id = fleet.enqueue("sleep 60")
    with closing(sqlite3.connect(fleet.home.store_file)) as database:
        database.execute("VACUUM INTO ?", (str(fleet.root / "backup.db"),))
    fleet.start()
    job = fleet.running(job_id)
    (fleet.root / "backup.db").rename(fleet.home.store_file)
    fleet.queue.close()
    eventually(lambda: "another file is where the store was" in fleet.log())
    eventually(lambda: not run_members(job))
    (fleet.home.root / "queue.db-wal").unlink()
    fleet.queue = Queue.open(fleet.location)
    assert fleet.running(job_id).history == ()


def test_workers_make_no_new_store_where_their_home_was_moved_from(fleet: Fleet) -> None:
    fleet.start()
    fleet.ran("true")
    aside = fleet.root / "aside"
    fleet.home.root.rename(aside)
    (worker,) = [pid for pid in children_of(*fleet.supervisors) if "queuectl" in title_of(pid)]
    os.kill(worker, signal.SIGKILL)  # so that another is begun
    ends_at = time.monotonic() + 4
    while time.monotonic() < ends_at:
        assert not fleet.home.root.exists()
        time.sleep(0.05)
    aside.rename(fleet.home.root)
    assert fleet.ran("true").state is State.COMPLETED


def title_of(pid: int) -> str:
    """Return the command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_text()
