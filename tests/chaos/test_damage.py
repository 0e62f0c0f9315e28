"""Damaged things: each has a defined answer, and nothing of what was there is overwritten."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import State
from queuectl.queue import Queue, open_queue
from queuectl.stores.sqlite import integrity
from queuectl.stores.sqlite.schema import DEVELOPMENT_ID, SCHEMA_VERSION
from queuectl.system import pidfile
from queuectl.system.home import Home
from tests.chaos.ground import command, in_hand, open_gate, read_only, refusal
from tests.worker.fleet import Fleet, eventually

pytestmark = pytest.mark.usefixtures("nothing_of_the_users")

Damage = Callable[[bytes], bytes]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with three jobs in its store, and nobody who uses it."""
    root = tmp_path / "home"
    with open_queue(str(root)) as queue:
        queue.enqueue([queue.request({"id": name, "command": "true"}) for name in "abc"])
    assert not (root / "queue.db-wal").exists()
    return root


def bytes_of(home: Path) -> dict[str, bytes]:
    """Return what is in the regular files of a home, but for what a reader may make anew."""
    made_anew = {"queue.db-shm", "queue.db-lock", "workers.lock"}
    return {
        path.name: path.read_bytes()
        for path in home.iterdir()
        if path.is_file() and path.name not in made_anew
    }


def findings(home: Path, *, code: int) -> dict[str, Any]:
    """Run doctor, and return its findings by name."""
    result = command(home, "doctor", "--json")
    assert result.code == code, result
    assert command(home, "doctor").code == code
    return {found["name"]: found for found in json.loads(result.out)}


def told(home: Path, name: str, *, code: int) -> str:
    """Return what doctor says of something that it must find at fault, with the remedy."""
    found = findings(home, code=code)[name]
    assert not found["ok"]
    assert found["advice"], "there is no remedy"
    return f"{found['detail']}; {found['advice']}"


# the store's file


def cut(length: int) -> Damage:
    return lambda data: data[:length]


def garbage_from(start: int) -> Damage:
    return lambda data: data[:start] + random.Random(start).randbytes(len(data) - start)


DAMAGES = {
    **{f"cut to {length}": cut(length) for length in (0, 1, 99, 100, 4095, 4096, 20_000, -4096)},
    "one byte short": cut(-1),
    "garbage": garbage_from(0),
    "garbage after the header": garbage_from(100),
    "garbage after the first page": garbage_from(4096),
    "nothing but zeros": lambda data: bytes(len(data)),
    "a text": lambda _data: b"these are the notes of my grandmother\n" * 200,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_store_that_is_damaged_is_refused_and_left_as_it_is(home: Path, damage: Damage) -> None:
    file = home / "queue.db"
    file.write_bytes(damage(file.read_bytes()))
    before = bytes_of(home)
    for words in ("enqueue d true", "list", "status", "worker start", "dlq retry --all"):
        assert str(file) in refusal(home, *words.split())
    assert str(file) in told(home, "store", code=5)
    eventually(lambda: not (home / "workers.pid").exists())  # nor is a worker left behind
    assert bytes_of(home) == before


@pytest.mark.parametrize(
    ("statement", "refused", "advice"),
    [
        (f"PRAGMA user_version={SCHEMA_VERSION + 1}", "newer queuectl", "upgrade queuectl"),
        (
            f"PRAGMA application_id={DEVELOPMENT_ID}",
            "queuectl export FILE of that version",
            "queuectl export FILE of that version",
        ),
        ("CREATE TABLE jobs (mine)", "another program", "--store"),
    ],
    ids=["newer", "development version", "another program"],
)
def test_a_store_that_this_version_does_not_know_is_refused_and_left_as_it_is(
    home: Path, statement: str, refused: str, advice: str
) -> None:
    if statement.startswith("CREATE"):
        (home / "queue.db").unlink()
    with closing(sqlite3.connect(home / "queue.db")) as database:
        database.execute(statement)
    before = bytes_of(home)
    assert refused in refusal(home, "enqueue", "d", "true")
    assert advice in told(home, "store", code=5)
    assert bytes_of(home) == before


def test_a_log_of_writes_that_is_garbage_is_ignored_as_sqlite_ignores_it(home: Path) -> None:
    (home / "queue.db-wal").write_bytes(random.Random(1).randbytes(50_000))
    assert command(home, "enqueue", "d", "true").code == 0
    with open_queue(str(home)) as queue:
        assert [job.id for job in queue.find()] == ["a", "b", "c", "d"]
        assert queue.faults() == []


def test_a_torn_log_of_writes_loses_no_more_than_its_end(home: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    torn.mkdir(mode=0o700)
    with open_queue(str(home)) as queue:
        for number in range(3):
            queue.enqueue([queue.request({"id": f"late{number}", "command": "true"})])
        for name in ("queue.db", "queue.db-wal"):
            shutil.copy(home / name, torn / name)
    log = torn / "queue.db-wal"
    os.truncate(log, log.stat().st_size - 10)
    with open_queue(str(torn)) as queue:
        assert [job.id for job in queue.find()] == ["a", "b", "c", "late0", "late1"]
        assert queue.faults() == []


def spoil_a_page(file: Path, table: str) -> None:
    """Write garbage over the page of a table that no command has to read."""
    with closing(sqlite3.connect(file)) as database:
        (page,) = database.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)
        ).fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    data = bytearray(file.read_bytes())
    data[(page - 1) * size : page * size] = random.Random(page).randbytes(size)
    file.write_bytes(data)


@pytest.mark.parametrize(
    "damage", ["TABLE turns", "TABLE jobs", "INDEX jobs_unique", "TRIGGER runs_followed", "page"]
)
def test_damage_that_is_not_met_is_found_by_init_and_worker_start_too(
    home: Path, damage: str
) -> None:
    file = home / "queue.db"
    if damage == "page":
        spoil_a_page(file, "figures")
    else:
        with closing(sqlite3.connect(file)) as database:
            database.execute(f"DROP {damage}")
    before = bytes_of(home)
    for words in ("init", "worker start", "worker run"):
        line = refusal(home, *words.split())
        assert f"{file} is damaged" in line
        assert damage.split()[-1] in line.lower()
        assert "queuectl restore FILE" in line
    assert f"{file} is damaged" in told(home, "store", code=5)
    assert bytes_of(home) == before
    assert not pidfile.living(Home(home))


def test_a_store_too_large_to_be_looked_over_quickly_is_looked_over_by_doctor(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_a_page(home / "queue.db", "figures")
    monkeypatch.setattr(integrity, "QUICK_BYTES", 4096)
    assert command(home, "init").code == 0
    assert "is damaged" in told(home, "store", code=5)


def test_damage_below_the_surface_is_named_by_doctor(home: Path) -> None:
    with closing(sqlite3.connect(home / "queue.db")) as database:
        database.execute("PRAGMA writable_schema=ON")
        database.execute("UPDATE counts SET jobs = 7")
        database.commit()
    line = told(home, "store", code=1)
    assert "counts" in line
    assert "restore a backup" in line


# records written by hand


def test_settings_with_bad_values_count_as_unset_and_are_named(home: Path) -> None:
    bad = [("max_retries", '"many"'), ("lease_seconds", "-5"), ("backoff_base", "{broken")]
    with closing(sqlite3.connect(home / "queue.db")) as database:
        database.executemany("INSERT INTO settings VALUES (?, ?)", [*bad, ("colour", "1")])
        database.commit()
    assert command(home, "config", "get", "max-retries").out == "3\n"
    assert command(home, "enqueue", "d", "true").code == 0
    line = told(home, "settings", code=1)
    for key in ("max_retries", "lease_seconds", "backoff_base", "colour"):
        assert key in line
    assert "queuectl config unset" in line or "config unset" in line


def test_a_record_that_cannot_be_read_stops_neither_workers_nor_the_listing(fleet: Fleet) -> None:
    fleet.enqueue_all({"id": name, "command": "true", "cwd": "/"} for name in "abc")
    with closing(sqlite3.connect(fleet.home.store_file)) as database:
        database.execute("UPDATE jobs SET argv = '{', env = 'x' WHERE id = 'a'")
        database.commit()
    pids = fleet.start(2)
    for name in "bc":
        assert fleet.settled(name).state is State.COMPLETED
    assert sorted(fleet.pids()) == pids
    assert eventually(lambda: "cannot be read" in fleet.log())
    result = command(fleet.home.root, "list")
    assert result.code == 0
    assert "completed" in result.out
    assert "'a'" in told(fleet.home.root, "store", code=1)


# the list of workers


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]", b'{"processes": [{}]}'])
def test_a_damaged_pid_file_is_named_and_set_aside_by_the_next_worker(
    fleet: Fleet, content: bytes
) -> None:
    fleet.enqueue("true")
    fleet.home.pid_file.write_bytes(content)
    assert "workers.pid" in told(fleet.home.root, "pid file", code=1)
    line = refusal(fleet.home.root, "worker", "stop")
    assert str(fleet.home.pid_file) in line
    assert fleet.home.pid_file.read_bytes() == content
    pids = fleet.start()
    assert fleet.pids() == pids
    assert fleet.home.pid_file.with_suffix(".pid.damaged").read_bytes() == content
    assert fleet.stop() == []


# directories


def test_a_log_directory_that_is_removed_under_a_worker_is_made_again(fleet: Fleet) -> None:
    fleet.start()
    assert fleet.ran("echo one").state is State.COMPLETED
    shutil.rmtree(fleet.home.logs)
    job = fleet.ran("echo two")
    assert job.outcome is not None
    assert (job.state, job.outcome.stdout) == (State.COMPLETED, "two\n")
    assert (fleet.home.job_logs / job.id / "1.out").read_text() == "two\n"


def test_a_store_that_is_replaced_under_a_worker_is_found(fleet: Fleet) -> None:
    fleet.start()
    assert fleet.ran("echo one").state is State.COMPLETED
    for path in fleet.home.root.glob("queue.db*"):
        path.rename(path.with_name(f"old-{path.name}"))
    with pytest.raises(StoreUnavailable, match=r"queue\.db was moved or removed"):
        fleet.queue.counts()
    fleet.queue.close()
    fleet.queue = Queue.open(fleet.location)
    fleet.enqueue("echo two", "new")
    assert fleet.settled("new").state is State.COMPLETED
    assert "another file is where the store was" in fleet.log()


def test_a_home_that_cannot_be_written_is_told_and_left_as_it_is(home: Path) -> None:
    before = bytes_of(home)
    with read_only(home):
        for words in ("enqueue d true", "worker start", "config set max-retries 2"):
            line = refusal(home, *words.split())
            assert "read-only" in line.lower() or "readonly" in line.lower()
        line = told(home, "store", code=5)
        assert "read-only" in line.lower() or "readonly" in line.lower()
    assert bytes_of(home) == before


def test_a_worker_whose_home_becomes_read_only_goes_on_when_it_is_writable_again(
    fleet: Fleet,
) -> None:
    job = in_hand(fleet)
    with read_only(fleet.home.root):
        open_gate(fleet)
        refusal(fleet.home.root, "enqueue", "x", "true")
    ended = fleet.settled(job.id)
    assert (ended.state, len(ended.history)) == (State.COMPLETED, 1)
    assert fleet.pids()


def test_a_file_in_place_of_the_home_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("mine")
    for words in ("enqueue d true", "list", "worker start", "worker stop", "status"):
        assert "not a directory" in refusal(home, *words.split()).lower()
    assert "is not a directory" in told(home, "home", code=5)
    assert home.read_text() == "mine"


def test_a_stale_list_of_workers_heals(home: Path) -> None:
    gone = {"role": "worker", "pid": 4711, "started": "1", "boot": "x", "worker_id": "w"}
    Home(home).pid_file.write_text(json.dumps({"processes": [{**gone, "supervisor": 0}]}))
    assert pidfile.living(Home(home)) == []
    assert command(home, "worker", "stop").code == 0
    assert findings(home, code=1)["pid file"]["ok"]
