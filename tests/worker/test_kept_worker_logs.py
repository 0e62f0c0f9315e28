"""The logs of workers from any host: as they are kept, and live while somebody looks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from queuectl.domain.job import State
from queuectl.domain.settings import Settings
from queuectl.maintenance.pruner import Pruner
from queuectl.queue.kept_worker_logs import forget_logs, keep_logs, kept_log, kept_logs
from queuectl.queue.live_logs import RemoteLog
from queuectl.stores import open_store
from queuectl.stores.run_logs import open_run_logs
from queuectl.system.home import Home
from queuectl.worker.live_logs import LiveLogs
from tests.worker.fleet import Fleet, eventually, fleet_in, lives
from tests.worker.test_kept_logs import log_store, open_wishes, ran_there, s3

__all__ = ["log_store", "ran_there", "s3"]

LINE = "2030-01-01T10:00:00.000 [worker 7] {}\n"


def there(fleet: Fleet) -> dict[str, str]:
    """Return the environment of somebody who looks from another home."""
    home = str(fleet.root / "elsewhere")
    own = {"QUEUECTL_HOME": home, "QUEUECTL_STORE": str(fleet.location.store_url)}
    return {**os.environ, **own}


def command(*words: str) -> list[str]:
    """Return the command that shows logs of workers."""
    return [sys.executable, "-m", "queuectl", "worker", "logs", *words]


def read(fleet: Fleet, *words: str) -> str:
    """Return what that command writes in another home; nothing where it refuses."""
    argv = command(*words)
    return subprocess.run(argv, capture_output=True, env=there(fleet), check=False).stdout.decode()


def own_log(fleet: Fleet, pid: int) -> Path:
    """Return the log of a worker in its home."""
    (path,) = fleet.home.worker_logs.glob(f"*-{pid}-*.log")
    return path


def test_the_log_of_a_worker_that_has_left_is_read_from_elsewhere_to_its_last_line(
    ran_there: Fleet,
) -> None:
    (pid,) = ran_there.start()
    job_id = ran_there.enqueue("exit 3", max_retries=1)
    assert ran_there.settled(job_id).state is State.DEAD
    assert ran_there.stop() == []
    path = own_log(ran_there, pid)
    assert path.read_text().endswith(f"[worker {pid}] stopped\n")
    assert read(ran_there, path.stem) == path.read_text()
    host = os.uname().nodename
    assert read(ran_there, "--host", host, "-n", "1") == path.read_text().splitlines(True)[-1]
    assert read(ran_there, path.stem.replace(str(pid), "1")) == ""


def test_what_a_killed_worker_logged_while_the_log_store_was_away_is_kept_by_the_next(
    ran_there: Fleet,
) -> None:
    log_store = ran_there.queue.settings().log_store
    ran_there.set(log_store="file:///proc/nowhere")
    (pid,) = ran_there.start()
    path = own_log(ran_there, pid)
    eventually(lambda: "is not kept for other hosts" in path.read_text())
    ran_there.kill()
    ran_there.set(log_store=log_store)
    ran_there.start()
    eventually(lambda: read(ran_there, path.stem) == path.read_text())


def test_the_log_of_a_worker_that_lives_elsewhere_is_followed_until_it_has_left(
    ran_there: Fleet,
) -> None:
    (pid,) = ran_there.start()
    path = own_log(ran_there, pid)
    argv = command(path.stem, "-f")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=there(ran_there)) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline().decode() == path.read_text().splitlines(True)[0]
        job_id = ran_there.enqueue("true")
        while job_id not in reader.stdout.readline().decode():
            assert reader.poll() is None
        assert ran_there.stop() == []
        while not reader.stdout.readline().endswith(b"stopped\n"):
            assert reader.poll() is None
        reader.send_signal(signal.SIGINT)
    assert not lives(reader.pid)
    assert not open_wishes(str(ran_there.location.store_url))


def test_without_a_log_store_workers_that_live_send_their_logs(
    tmp_path: Path, mongo_url: str
) -> None:
    with fleet_in(tmp_path, mongo_url) as fleet:
        for pid in fleet.start(2):
            assert f"[worker {pid}] started" in read(fleet, "--host", os.uname().nodename)
            assert f"[worker {pid}] started" in read(fleet, str(pid))


def test_a_log_that_makes_way_while_it_is_sent_loses_no_line(
    tmp_path: Path, mongo_url: str
) -> None:
    home, store = Home(tmp_path), open_store(mongo_url)
    home.worker_logs.mkdir(parents=True)
    path = home.worker_logs / "host-7-abc.log"
    path.write_text("".join(LINE.format(n) for n in range(10_000)))
    live, remote = LiveLogs(home, "host-7-abc"), RemoteLog(store, "host-7-abc")

    def sent(last: int) -> list[int]:
        live._next_look, text = 0.0, b""
        while not text.endswith(f" {last}\n".encode()):
            text += remote.lines()
            live.tick(store, has_jobs=False)
        return [int(line.rpartition(b" ")[2]) for line in text.splitlines()]

    first = sent(9_999)
    assert first == list(range(first[0], 10_000))
    with path.open("a") as file:
        file.write("".join(LINE.format(n) for n in range(10_000, 20_000)))
    path.rename(f"{path}.1")
    path.write_text(LINE.format(20_000))
    assert sent(20_000) == list(range(10_000, 20_001))
    remote.close()
    store.close()


def test_a_worker_of_an_older_version_is_asked_for_no_log(mongo_url: str) -> None:
    store = open_store(mongo_url)
    remote = RemoteLog(store, "host-7-abc")
    remote.poll()
    (wish,) = open_wishes(mongo_url)
    assert isinstance(wish, dict)
    assert wish["worker"] != "host-7-abc"
    remote.close()
    store.close()


def test_kept_logs_are_the_latest_and_go_when_they_are_old(ran_there: Fleet) -> None:
    place = open_run_logs(ran_there.queue.store, ran_there.queue.settings().log_store)
    assert place is not None
    folder, now = ran_there.home.worker_logs, time.time()
    folder.mkdir(parents=True)
    for name, age in (("new", 0), ("old", 1000), ("older", 5000)):
        path = folder / f"build.7-7-{name}.log"
        path.write_text(LINE.format(name))
        os.utime(path, (now - age, now - age))

    def keep() -> list[str]:
        keep_logs(place, folder, lambda _name: True, now - 2000)
        return kept_logs(place, "build.7")

    assert keep() == ["build.7-7-new", "build.7-7-old"]
    assert kept_logs(place, "build") == []
    with (folder / "build.7-7-new.log").open("a") as file:
        file.write(LINE.format("newer"))
    keep()
    text = kept_log(place, "build.7-7-new").decode()
    assert text == LINE.format("new") + LINE.format("newer")
    assert len(place.runs(".workers/build.7")) == 2
    forget_logs(place, now - 500)
    assert kept_logs(place, "build.7") == ["build.7-7-new"]
    settings = ran_there.queue.settings()
    assert settings.retention_worker_logs > 0
    soon = Settings(log_store=settings.log_store, retention_worker_logs=1e-6)
    Pruner(ran_there.queue.store, ran_there.home).tick(soon)
    assert kept_logs(place, "build.7") == []
