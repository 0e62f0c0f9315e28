"""The lock that the writers of the embedded store wait for, and a process that keeps it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from queuectl.domain.errors import StoreLocked
from queuectl.domain.job import Job
from queuectl.stores import open_store
from queuectl.stores.exchange import HeldClaim
from queuectl.stores.sqlite import writes
from queuectl.stores.sqlite.database import Database
from queuectl.stores.sqlite.store import SqliteStore
from queuectl.system import lock_watch
from queuectl.system.lock_holder import holder_of
from tests.chaos.ground import command
from tests.stores.kit import added, claimed, existing, new_job, settled
from tests.worker.fleet import eventually, lives

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="who has a lock only Linux tells")

PATIENCE = 0.3

# What it is told line by line: hold and free the lock, and answer, also from another thread.
PROGRAM = """
import sys, threading
from pathlib import Path
from queuectl.stores.sqlite.store import SqliteStore
from queuectl.system.terminal_stops import be_a_command

if sys.argv[2] == "ours":
    be_a_command()
path = Path(sys.argv[1])

def obey(store, word):
    if word == "hold":
        store._db.writing().__enter__()
        store._db.connection.execute("INSERT INTO meta VALUES ('half', 'done')")
    elif word == "free":
        store._db.writing().__exit__(None, None, None)
    elif word == "turn":
        store._db._turn.take()

if sys.argv[3:] == ["thread"]:
    def serve(words, done):
        store = SqliteStore(path)
        for word in words:
            obey(store, word)
            done.release()
    from queue import SimpleQueue
    words, done = SimpleQueue(), threading.Semaphore(0)
    threading.Thread(target=serve, args=(iter(words.get, None), done), daemon=True).start()
    def tell(word):
        words.put(word)
        done.acquire()
else:
    store = SqliteStore(path)
    tell = lambda word: obey(store, word)
print("ready", flush=True)
for line in sys.stdin:
    tell(line.strip())
    print("done", flush=True)
"""


class Other:
    """Another process with the store open, in a process group of its own."""

    def __init__(self, path: Path, *how: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path), *how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            preexec_fn=os.setpgrp,
        )
        self.answer()

    @property
    def pid(self) -> int:
        """Its pid."""
        return self.process.pid

    def send(self, word: str) -> None:
        """Give an order."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def answer(self) -> None:
        """Wait until it has been carried out."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline()

    def tell(self, word: str) -> None:
        """Give an order and wait until it has been carried out."""
        self.send(word)
        self.answer()

    def stop_with(self, word: str) -> None:
        """Give an order, and stop it in its place when it has been carried out."""
        self.tell(word)
        os.kill(self.pid, signal.SIGSTOP)
        assert self.stopped_by() == signal.SIGSTOP

    def stopped_by(self) -> int:
        """Wait until it is stopped in its place; return the signal that did it."""
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), status
        return os.WSTOPSIG(status)

    def is_stopped_after(self, number: int) -> bool:
        """Send a signal; return whether that signal has stopped it by now."""
        os.kill(self.pid, number)
        _, status = os.waitpid(self.pid, os.WUNTRACED | os.WNOHANG)
        return os.WIFSTOPPED(status) and os.WSTOPSIG(status) == number


@contextmanager
def another(path: Path, *how: str) -> Iterator[Other]:
    """Another process: `ours` or `a stranger`, which may write in a `thread`."""
    other = Other(path, *how)
    try:
        yield other
    finally:
        other.process.kill()
        other.process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "queue.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """A store whose writers do not wait long for each other."""
    with closing(open_store(str(path))) as store:
        assert isinstance(store, SqliteStore)
        store.patience = PATIENCE
        yield store


def refusal(store: SqliteStore) -> StoreLocked:
    """Try to write in vain; return the error."""
    with pytest.raises(StoreLocked) as caught:
        store.insert([new_job(store, "refused")])
    return caught.value


def test_who_cannot_write_is_told_which_process_has_the_lock(
    store: SqliteStore, path: Path
) -> None:
    with another(path, "ours") as other:
        other.tell("hold")
        assert f"is locked by process {other.pid} (queuectl)" in str(refusal(store))
        other.tell("free")
        added(store, "a")


def test_a_stopped_stranger_is_told_of_and_left_alone(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_watch, "MOST_STOPPED_SECONDS", 0.0)
    with another(path, "a stranger") as other:
        other.stop_with("hold")
        for _ in range(2):
            refused = refusal(store)
        assert f"process {other.pid} (python" in str(refused)
        assert "which is stopped" in str(refused)
        assert f"kill -CONT {other.pid}" in refused.hint
        assert lives(other.pid)
        os.kill(other.pid, signal.SIGCONT)
        other.tell("free")
        added(store, "a")


def test_a_command_of_ours_that_stays_stopped_with_the_lock_is_ended_and_undone(
    store: SqliteStore,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(lock_watch, "MOST_STOPPED_SECONDS", 0.5)
    store.patience = 30
    with another(path, "ours") as other:
        other.stop_with("hold")
        added(store, "a")
        assert other.process.wait() == -signal.SIGKILL
    assert store.meta.get("half") is None
    told, ended = (record.getMessage() for record in caplog.records)
    assert f"held by process {other.pid} (queuectl), which is stopped" in told
    assert f"ended process {other.pid} (queuectl)" in ended


def test_doctor_names_a_stopped_process_that_keeps_the_lock(path: Path) -> None:
    with another(path, "ours") as other:
        other.stop_with("hold")
        found = command(path.parent, "doctor", "--quick")
        assert found.code == 5
        assert f"is locked by process {other.pid} (queuectl), which is stopped" in found.out
        assert f"kill -CONT {other.pid}" in found.out


def test_one_that_goes_on_in_time_is_not_ended(store: SqliteStore, path: Path) -> None:
    with another(path, "ours") as other:
        other.stop_with("hold")
        assert "which is stopped" in str(refusal(store))
        os.kill(other.pid, signal.SIGCONT)
        other.tell("free")
        assert store.meta.get("half") == "done"


def test_one_that_was_stopped_with_no_more_than_the_turn_is_found_too(
    store: SqliteStore, path: Path
) -> None:
    with another(path, "ours") as other:
        other.stop_with("turn")
        holder = holder_of(path)
        assert holder is not None
        assert (holder.pid, holder.is_stopped, holder.is_ours) == (other.pid, True, True)
        added(store, "a")  # SQLite's own lock decides


def test_nobody_holds_a_lock_that_is_free(store: SqliteStore, path: Path) -> None:
    added(store, "a")
    assert holder_of(path) is None


@pytest.mark.parametrize("how", [("ours",), ("ours", "thread")], ids=["alone", "thread"])
@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU])
def test_a_stop_from_the_terminal_waits_until_the_lock_is_free(
    store: SqliteStore, path: Path, how: tuple[str, ...], number: signal.Signals
) -> None:
    with another(path, *how) as other:
        other.tell("hold")
        os.kill(other.pid, number)
        other.send("free")
        assert other.stopped_by() == number
        added(store, "a")
        assert store.meta.get("half") == "done"
        os.kill(other.pid, signal.SIGCONT)
        other.answer()
        # and so it does the next time, with nothing in hand; what comes just before Python waits
        # for a line is handled behind that line, so it is sent until it is heeded
        assert eventually(lambda: other.is_stopped_after(number))


def test_a_renewal_that_the_lock_prevents_tells_which_claims_stand(
    store: SqliteStore, path: Path
) -> None:
    for name in "abc":
        added(store, name)
    jobs = [claimed(store, claim_id=f"claim of {name}") for name in "abc"]
    settled(store, jobs[1])
    with another(path, "ours") as other:
        other.tell("hold")
        with pytest.raises(StoreLocked) as caught:
            store.renew([HeldClaim(job.id, f"claim of {job.id}") for job in jobs], 60)
        assert caught.value.claims_standing == {"claim of a", "claim of c"}
        with pytest.raises(StoreLocked):
            store.require_writable()
    store.require_writable()
    assert [existing(store, name).claim for name in "ac"] == [jobs[0].claim, jobs[2].claim]


def test_jobs_are_made_into_rows_before_the_lock_is_taken(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []
    make = writes.prepare

    def prepared(db: Database, jobs: Sequence[Job], now: datetime) -> writes.PreparedInsert:
        held.append(db.connection.in_transaction)
        return make(db, jobs, now)

    monkeypatch.setattr(writes, "prepare", prepared)
    added(store, "parent")
    store.insert([new_job(store, f"j{n}", after=("parent",)) for n in range(3)], atomic=True)
    assert held == [False, False]
