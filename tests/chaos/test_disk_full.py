"""The disk fills up under a store, a log and a command line; work goes on when there is room."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from queuectl.domain.job import Job, State
from queuectl.domain.query import Filter
from queuectl.queue import open_queue
from queuectl.system.home import Home
from queuectl.worker.options import Timings
from tests.chaos.ground import command, fill, in_hand, open_gate, refusal, runs_begun, small_disk
from tests.worker.fleet import Fleet, eventually, fleet_in, run_members

pytestmark = pytest.mark.usefixtures("nothing_of_the_users")

FULL = "is full; make room and try again"
FULL_FOR_NOW = "is full; make room"
BATCH = 400


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The place of a home: a disk of a megabyte."""
    with small_disk(tmp_path / "home", "1m") as disk:
        yield disk


@pytest.fixture
def cramped(tmp_path: Path, disk: Path) -> Iterator[Fleet]:
    """A home on that disk, without workers yet."""
    with fleet_in(tmp_path) as fleet:
        assert fleet.home.root == disk
        try:
            yield fleet
        finally:
            (disk / "filler").unlink(missing_ok=True)


def is_sound(home: Path) -> bool:
    """Whether SQLite's own check finds nothing, and the counts are right."""
    with closing(sqlite3.connect(home / "queue.db")) as database:
        found = database.execute("PRAGMA integrity_check").fetchall()
    with open_queue(str(home)) as queue:
        return found == [("ok",)] and queue.faults() == []


def ids_in(home: Path) -> set[str]:
    with open_queue(str(home)) as queue:
        return {job.id for job in queue.find(Filter())}


@pytest.fixture
def full(disk: Path) -> Path:
    """That disk with the job `before` in its store, and no room left."""
    assert command(disk, "enqueue", "before", "true").code == 0
    fill(disk)
    return disk


def test_an_enqueue_on_a_full_disk_is_refused_and_stores_nothing(full: Path) -> None:
    assert "disk" in refusal(full, "enqueue", "refused", "true")
    (full / "filler").unlink()
    assert is_sound(full)
    assert command(full, "enqueue", "after", "true").code == 0
    assert ids_in(full) == {"before", "after"}


@pytest.mark.parametrize("words", ["status", "list", "worker start", "enqueue late true", "stats"])
def test_a_command_that_a_full_disk_keeps_from_opening_the_store_says_so(
    full: Path, words: str
) -> None:
    assert "is full; make room" in refusal(full, *words.split())
    assert not Home(full).pid_file.exists()
    (full / "filler").unlink()
    assert is_sound(full)


def test_doctor_says_that_the_disk_is_full(full: Path) -> None:
    result = command(full, "doctor")
    assert result.code == 5
    assert "FAIL  store: the disk of" in result.out


def many_on(disk: Path) -> None:
    """Fill a disk that has a store with 300 jobs in it, 20 of them cancelled."""
    with open_queue(str(disk)) as queue:
        wanted = [{"id": f"job{number:03}", "command": "true"} for number in range(300)]
        queue.enqueue([queue.request(each) for each in wanted[20:]])
    with open_queue(str(disk)) as queue:
        queue.enqueue([queue.request({**each, "queue": "off"}) for each in wanted[:20]])
        assert len(list(queue.cancel_all(Filter(queue="off")))) == 20
    fill(disk)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("delete job299", 296),
        ("delete --state pending --yes", 20),
        ("purge --yes", 277),
        ("cancel job299", 297),
        ("cancel --state pending --yes", 297),
    ],
)
def test_what_frees_room_is_done_on_a_full_disk_too_as_often_as_one_likes(
    disk: Path, words: str, left: int
) -> None:
    many_on(disk)
    for job_id in ("job200", "job201", "job202"):
        assert command(disk, "delete", job_id).code == 0
        assert FULL_FOR_NOW in refusal(disk, "enqueue", "late", "true")
    result = command(disk, *words.split())
    assert result.code == 0, result
    (disk / "filler").unlink()
    assert len(ids_in(disk)) == left
    assert is_sound(disk)


def test_what_is_deleted_on_a_full_disk_makes_room_on_it(disk: Path) -> None:
    assert command(disk, "enqueue", "greedy", "true").code == 0
    output = disk / "logs" / "jobs" / "greedy"
    output.mkdir(parents=True)
    (output / "1.out").write_bytes(b"x" * 100_000)
    fill(disk)
    assert FULL_FOR_NOW in refusal(disk, "enqueue", "late", "true")
    assert command(disk, "delete", "greedy").code == 0
    assert command(disk, "enqueue", "late", "true").code == 0


def test_what_was_acknowledged_before_the_disk_was_full_is_there_and_nothing_else(
    cramped: Fleet,
) -> None:
    acknowledged: set[str] = set()
    refused: set[str] = set()
    for number in range(100):
        ids = {f"job{number}-{n}" for n in range(BATCH)}
        wanted = [{"id": job_id, "command": "true"} for job_id in sorted(ids)]
        text = "\n".join(str(job).replace("'", '"') for job in wanted)
        (cramped.root / "jobs.jsonl").write_text(text)
        result = command(cramped.home.root, "enqueue", "-f", str(cramped.root / "jobs.jsonl"))
        if result.code:
            refused = ids
            break
        acknowledged |= ids
    assert result.code == 5
    assert FULL in result.err
    assert result.err.count("\n") == 1
    assert acknowledged
    assert refused
    found = ids_in(cramped.home.root)
    assert found == acknowledged
    assert is_sound(cramped.home.root)


def test_a_worker_keeps_its_result_until_there_is_room(cramped: Fleet) -> None:
    cramped.set(lease_seconds=60)
    job = in_hand(cramped)
    filler = fill(cramped.home.root)
    open_gate(cramped)
    assert cramped.home.worker_logs.is_dir()
    eventually(lambda: cramped.queue.counts().of(State.PROCESSING) == 1)
    assert "disk" in refusal(cramped.home.root, "enqueue", "refused", "true")
    filler.unlink()
    ended = cramped.settled(job.id)
    assert (ended.state, len(ended.history), runs_begun(cramped)) == (State.COMPLETED, 1, 1)
    assert cramped.ran("true").state is State.COMPLETED
    assert is_sound(cramped.home.root)


def test_a_job_that_fills_the_disk_with_its_output_fails_and_the_next_one_runs(
    cramped: Fleet,
) -> None:
    greedy = cramped.enqueue("head -c 4M /dev/zero && echo never", "greedy", max_retries=1)
    cramped.start()
    output = cramped.home.job_logs / greedy / "1.out"
    job = cramped.claimed(greedy)
    eventually(lambda: output.exists() and output.stat().st_size > 0 and not run_members(job))
    refusal(cramped.home.root, "enqueue", "refused", "true")
    assert cramped.job(greedy).state is State.PROCESSING, "there is no room to note how it ended"
    output.write_bytes(b"")
    ended = cramped.settled(greedy)
    assert (ended.state, len(ended.history)) == (State.DEAD, 1)
    assert ended.outcome is not None
    assert ended.outcome.exit_code == 1
    assert "never" not in ended.outcome.stdout
    assert cramped.ran("true").state is State.COMPLETED
    assert is_sound(cramped.home.root)


@pytest.mark.usefixtures("impatient")
def test_a_run_whose_log_cannot_be_made_is_given_back_until_there_is_room(
    tmp_path: Path, store_url: str
) -> None:
    with fleet_in(tmp_path, store_url) as fleet, without_room_for_logs(fleet) as takers:
        job_id = fleet.enqueue("echo hi")
        given_back = is_given_back(fleet, job_id)
        assert (given_back.attempts, given_back.history) == (0, ())
        for taker in takers:
            taker.unlink(missing_ok=True)
        ended = fleet.settled(job_id)
        assert (ended.state, ended.attempts) == (State.COMPLETED, 1)
        assert fleet.stop() == []


def test_a_worker_that_cannot_write_logs_pauses_before_it_claims_again(
    fleet: Fleet,
) -> None:
    fleet.timings = Timings(longest_pause=3600)
    with without_room_for_logs(fleet):
        job_id = fleet.enqueue("echo hi")
        assert is_given_back(fleet, job_id).runs == 1
        assert fleet.stop() == [], "it hears that it shall leave all the same"
        assert fleet.job(job_id).runs == 1


@contextmanager
def without_room_for_logs(fleet: Fleet) -> Iterator[list[Path]]:
    """A worker whose log disk holds no more files; what takes the room."""
    logs = fleet.home.logs
    logs.mkdir(mode=0o700)
    with small_disk(logs, "64k", files=10):
        fleet.start()
        takers = [logs / f"taker{number}" for number in range(10)]
        for taker in takers:
            with suppress(OSError):  # the disk holds fewer
                taker.touch()
        yield takers


def is_given_back(fleet: Fleet, job_id: str) -> Job:
    """Wait until a job has been claimed and given back, and return it."""
    eventually(lambda: "No space left on device; trying again" in fleet.log())
    return eventually(
        lambda: (job := fleet.job(job_id)).state is State.PENDING and job.runs > 0 and job
    )


def test_a_server_whose_disk_is_full_is_told_as_unavailable(tmp_path: Path, mongo_url: str) -> None:
    home = tmp_path / "home"
    assert command(home, "--store", mongo_url, "enqueue", "before", "true").code == 0
    with MongoClient[dict[str, Any]](mongo_url) as client:
        failing = {"failCommands": ["insert"], "errorCode": 14031}
        client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=failing)
        try:
            line = refusal(home, "--store", mongo_url, "enqueue", "refused", "true")
        finally:
            client.admin.command("configureFailPoint", "failCommand", mode="off")
    assert "cannot be used now" in line
    assert command(home, "--store", mongo_url, "enqueue", "refused", "true").code == 0
