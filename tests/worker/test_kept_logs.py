"""The whole output of runs from any host: kept in GridFS, in a directory, or behind S3."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain.job import State
from queuectl.domain.times import to_millis
from queuectl.queue import Queue
from queuectl.stores import open_store
from queuectl.stores.exchange import KeptRun
from queuectl.stores.run_logs import open_run_logs
from queuectl.system.home import Home
from queuectl.system.job_logs import JobLogs
from queuectl.system.run_archive import pack, unpack
from queuectl.system.run_reader import RunReader
from tests.worker.fleet import Fleet, eventually, fleet_in

LONG = "seq 1 40000; echo oops >&2"
"""Writes more than a job's record has."""

S3_SERVER = """
import sys, threading
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("port", server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a real S3 API server with a bucket `logs`."""
    argv = [sys.executable, "-c", S3_SERVER]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            line = next(line for line in server.stdout if line.startswith(b"port "))
            yield f"http://127.0.0.1:{int(line.split()[1])}"
        finally:
            server.kill()


@pytest.fixture(params=["store", "file", "s3"])
def log_store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Each place where output may be kept in turn, as the setting names it."""
    if request.param == "store":
        return "store"
    if request.param == "file":
        return f"file://{tmp_path}/shared"
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    address = request.getfixturevalue("s3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs: Any = importlib.import_module("s3fs")
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem()
    if not files.exists("logs"):
        files.mkdir("logs")
    return f"s3://logs/{tmp_path.name}"


@pytest.fixture
def ran_there(tmp_path: Path, mongo_url: str, log_store: str) -> Iterator[Fleet]:
    """A host whose workers keep the output of runs."""
    with fleet_in(tmp_path, mongo_url) as fleet:
        fleet.set(log_store=log_store)
        yield fleet


def elsewhere(fleet: Fleet) -> Queue:
    """The same store, seen from a host with a home of its own."""
    home = Home(fleet.root / "elsewhere")
    home.make()
    return Queue(open_store(fleet.location.store_url), home)


def read(queue: Queue, job_id: str, run: int, *streams: str) -> str:
    """Return what is read of a run on a host; nothing where that has no files of it."""
    reader = RunReader(queue.logs_of(queue.get(job_id), run), job_id, run, streams or ("stdout",))
    try:
        return b"".join(piece.data for piece in reader.read()).decode()
    finally:
        reader.close()


def kept(fleet: Fleet, job_id: str) -> dict[int, bool]:
    """Return of which runs of a job the output is kept."""
    job = fleet.job(job_id)
    place = open_run_logs(fleet.queue.store, fleet.queue.settings().log_store)
    assert place is not None
    return {run.n: place.get(job.id, run.n, run.claim_id) is not None for run in job.history}


def test_every_run_is_read_whole_on_another_host_and_goes_with_its_job(ran_there: Fleet) -> None:
    ran_there.start()
    job_id = ran_there.enqueue(f"{LONG}; exit 1", max_retries=2, backoff_base=0)
    assert ran_there.settled(job_id).state is State.DEAD
    eventually(lambda: kept(ran_there, job_id) == {1: True, 2: True})
    wanted = "".join(f"{n}\n" for n in range(1, 40001))
    with elsewhere(ran_there) as queue:
        assert queue.logs_of(queue.get(job_id), 1).home != queue.home
        for run in (1, 2):
            assert read(queue, job_id, run) == wanted
            assert read(queue, job_id, run, "stderr") == "oops\n"
        assert queue.log_trouble is None
        runs = queue.get(job_id).history
        queue.delete(job_id)
        place = open_run_logs(queue.store, queue.settings().log_store)
        assert place is not None
        assert [place.get(job_id, run.n, run.claim_id) for run in runs] == [None, None]


def test_what_a_dead_worker_left_is_kept_by_the_next(ran_there: Fleet) -> None:
    log_store = ran_there.queue.settings().log_store
    ran_there.set(log_store="file:///proc/nowhere")
    ran_there.start()
    job_id = ran_there.enqueue("echo hello")
    assert ran_there.settled(job_id).state is State.COMPLETED
    eventually(lambda: "is not kept for other hosts" in ran_there.log())
    ran_there.kill()
    ran_there.set(log_store=log_store)
    assert kept(ran_there, job_id) == {1: False}
    ran_there.start()
    eventually(lambda: kept(ran_there, job_id) == {1: True})
    unsent = ran_there.home.logs / "unsent"
    eventually(lambda: not [path for path in unsent.iterdir() if path.stat().st_size])


def test_a_log_store_that_comes_back_gets_what_it_missed(tmp_path: Path, mongo_url: str) -> None:
    shared = tmp_path / "shared"
    shared.write_text("in its place")  # so that no directory can be made there
    with fleet_in(tmp_path, mongo_url) as fleet:
        fleet.set(log_store=f"file://{shared}")
        fleet.start()
        job_id = fleet.enqueue("echo hello")
        assert fleet.settled(job_id).state is State.COMPLETED
        eventually(lambda: "is not kept for other hosts" in fleet.log())
        shared.unlink()
        eventually(lambda: kept(fleet, job_id) == {1: True})
        with elsewhere(fleet) as queue:
            assert read(queue, job_id, 1) == "hello\n"
            shutil.rmtree(shared)
            shared.write_text("in its place again")
            shutil.rmtree(queue.home.logs / "fetched")
            assert read(queue, job_id, 1) == ""
            assert "does not answer" in str(queue.log_trouble)


def test_of_long_streams_the_beginning_and_the_end_are_kept(tmp_path: Path) -> None:
    logs = JobLogs(Home(tmp_path))
    logs.directory("a").mkdir(parents=True)
    logs.stdout("a", 1).write_bytes(b"x" * 5000 + b"y" * 5000)
    data = pack(logs, "a", 1, 2000)
    assert data is not None
    assert len(data) < 2000
    there = JobLogs(Home(tmp_path / "there"))
    unpack(data, there, "a", 1)
    text = there.stdout("a", 1).read_bytes()
    assert text.startswith(b"x" * 1000 + b"\n[queuectl: 8000 bytes dropped here")
    assert text.endswith(b"y" * 1000)


def test_the_times_of_what_was_written_are_kept(tmp_path: Path) -> None:
    logs, there = JobLogs(Home(tmp_path)), JobLogs(Home(tmp_path / "there"))
    logs.directory("a").mkdir(parents=True)
    logs.stdout("a", 1).write_text("one\ntwo\n")
    logs.order("a", 1).write_text("4 0 1800000000123\n")
    os.utime(logs.stdout("a", 1), (1800000001, 1800000001))
    unpack(pack(logs, "a", 1, 2000) or b"", there, "a", 1)
    found = []
    for place in (logs, there):
        reader = RunReader(place, "a", 1)
        assert reader.sizes == (8, 0)
        found.append([to_millis(reader.written_at(0, byte)) for byte in (0, 4)])
        reader.close()
    assert found == [[1800000000123, 1800000001000]] * 2


def test_to_keep_a_run_again_is_harmless(tmp_path: Path, mongo_url: str) -> None:
    store: Any = open_store(mongo_url)
    run = KeptRun("a", 1, "claim", b"x" * 600_000)
    other = KeptRun("a", 2, "claim2", b"y")
    store.run_logs.put([run])
    store.run_logs.put([run, other])
    assert store.run_logs.get("a", 1, "claim") == run.data
    assert store.run_logs.get("a", 2, "claim2") == b"y"
    assert store.run_logs.get("b", 1, "claim") is None
    store.run_logs.remove(["a", "b"])
    assert store.run_logs.get("a", 1, "claim") is None
    assert not list(store.link.database["queuectl_logs.chunks"].find())
    store.close()
    assert tmp_path


def test_a_run_that_goes_on_elsewhere_is_followed_as_it_comes(
    tmp_path: Path, mongo_url: str
) -> None:
    with fleet_in(tmp_path, mongo_url) as fleet:
        fleet.start()
        gate = tmp_path / "gate"
        wait = f"while [ ! -e {gate} ]; do sleep 0.05; done"
        job_id = fleet.enqueue(f"echo one; {wait}; seq 1 100000; exit 3", max_retries=1)
        eventually(lambda: read(fleet.queue, job_id, 1))
        there = {"QUEUECTL_HOME": str(tmp_path / "elsewhere"), "QUEUECTL_STORE": mongo_url}
        argv = [sys.executable, "-m", "queuectl", "logs", job_id]
        so_far = subprocess.run(argv, capture_output=True, env={**os.environ, **there}, check=True)
        assert so_far.stdout == b"one\n"
        argv.insert(-1, "-f")
        with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, **there}) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == b"one\n", "before it has ended"
            gate.touch()
            text = reader.stdout.read().decode()
        assert text == "".join(f"{n}\n" for n in range(1, 100001))
        assert reader.returncode == 3
        assert not list(open_wishes(mongo_url))


def open_wishes(mongo_url: str) -> list[object]:
    """Return who is said to look at a run."""
    store: Any = open_store(mongo_url)
    try:
        return list(store.link.database["queuectl_log_wishes"].find())
    finally:
        store.close()
