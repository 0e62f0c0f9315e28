"""Files and modes, symbolic links, ids as paths, and whose `.env` is believed."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.domain.errors import InvalidInput, StoreError, StoreRefused
from queuectl.domain.job import State
from queuectl.queue import open_queue
from queuectl.shell.history import PrivateHistory
from queuectl.system.home import Home, find_location
from queuectl.system.job_logs import JobLogs
from queuectl.worker.runs.output import OutputFolder
from tests.chaos.ground import command, refusal
from tests.cli.harness import home
from tests.worker.fleet import eventually, fleet_in

__all__ = ["home"]

OTHER_USER = 65_534


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run the test under several umasks, the most generous among them."""
    before = os.umask(request.param)
    yield
    os.umask(before)


# modes


@pytest.mark.usefixtures("umask")
def test_nobody_else_can_read_anything_of_a_home_whatever_the_umask(tmp_path: Path) -> None:
    with fleet_in(tmp_path) as fleet:
        fleet.start()
        assert fleet.ran("echo out; echo err >&2").state is State.COMPLETED
        PrivateHistory(fleet.home).store_string("list")
        eventually(lambda: (fleet.home.root / "queue.db-wake").exists())
        root = fleet.home.root
        modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (root, *root.rglob("*"))}
        for path, mode in modes.items():
            assert mode == (0o700 if path.is_dir() else 0o600), f"{path} has {mode:o}"
        names = {path.name for path in modes}
        assert names >= {
            "queue.db", "queue.db-wal", "queue.db-shm", "queue.db-wake", "workers.pid",
            "workers.lock", "history", "1.out", "1.err",
        }  # fmt: skip
        assert any(path.suffix == ".log" for path in modes)
        assert fleet.stop() == []


@pytest.mark.usefixtures("umask")
def test_a_job_keeps_the_umask_of_its_worker(tmp_path: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    with fleet_in(tmp_path) as fleet:
        fleet.start()
        job = fleet.ran("umask")
        assert job.outcome is not None
        assert int(job.outcome.stdout, 8) == mask


# symbolic links


LINKS = (
    "queue.db", "queue.db-wal", "queue.db-shm", "queue.db-journal", "queue.db-lock",
    "workers.lock", "workers.pid.new", "logs", "logs/jobs", "logs/workers",
)  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("is_directory", [False, True], ids=["file", "directory"])
def test_a_link_in_a_home_is_not_followed_for_writing(
    home: Path, tmp_path: Path, name: str, is_directory: bool
) -> None:
    target = tmp_path / "target"
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": "a", "command": "echo hi"})])
    if is_directory:
        target.mkdir()
    else:
        target.write_text("precious")
    link = home / name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    for line in ("enqueue b true", "worker start --drain", "run c -- echo hi", "delete a",
                 "worker stop --now"):  # fmt: skip
        command(home, *line.split())
    if is_directory:
        assert list(target.iterdir()) == []
    else:
        assert target.read_text() == "precious"


def test_a_link_in_place_of_the_room_kept_back_is_not_followed(home: Path, tmp_path: Path) -> None:
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": "a", "command": "true"})])
    link = home / "queue.db-spare"
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path / "target")
    assert command(home, "worker", "start", "--drain").code == 0
    assert command(home, "delete", "--state", "pending,completed", "--yes").code == 0
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal", "-lock"])
def test_a_link_beside_the_store_is_named_with_what_to_do(
    home: Path, tmp_path: Path, suffix: str
) -> None:
    open_queue().close()
    link = home / f"queue.db{suffix}"
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path / "target")
    line = refusal(home, "enqueue", "a", "true")
    assert f"{link} is a symbolic link, which is not followed; remove it" in line
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("name", ["queue.db-wake", "history", "workers.pid"])
def test_a_link_to_a_file_is_replaced_or_passed_over_and_never_written(
    tmp_path: Path, name: str
) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    with fleet_in(tmp_path) as fleet:
        (fleet.home.root / name).symlink_to(target)
        if name == "history":
            with pytest.raises(StoreRefused, match="symbolic link"):
                PrivateHistory(fleet.home)
        fleet.start()
        assert fleet.ran("true").state is State.COMPLETED
        assert fleet.stop() == []
    assert target.read_text() == "precious"


def test_links_in_place_of_a_jobs_logs_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("precious")
    with fleet_in(tmp_path) as fleet:
        jobs = fleet.home.job_logs
        jobs.mkdir(parents=True)
        (jobs / "a").symlink_to(outside)
        (jobs / "b").mkdir()
        (jobs / "b" / "1.out").symlink_to(outside / "keep")
        for name in "ab":
            fleet.enqueue("echo written", name, max_retries=1)
        fleet.start()
        for name in "ab":
            job = fleet.settled(name)
            assert job.state is State.DEAD
            assert job.outcome is not None
            assert "symbolic link, which is not followed" in (job.outcome.error or "")
        JobLogs(fleet.home).remove("a")
        assert fleet.stop() == []
        jobs.rename(outside / "jobs")
        jobs.symlink_to(outside / "jobs")
        JobLogs(fleet.home).remove("b")
    assert {path.name for path in outside.iterdir()} == {"keep", "jobs"}
    assert (outside / "keep").read_text() == "precious"
    assert (outside / "jobs" / "b").is_dir()


# ids as paths


BAD_IDS = ("../../../escaped", "..", ".", "a/b", "/etc", "", "a\0b", "-rf", "é" * 3)


@pytest.mark.parametrize("job_id", BAD_IDS)
def test_what_is_no_id_leads_to_no_file(tmp_path: Path, job_id: str) -> None:
    home = Home(tmp_path / "home")
    home.make()
    with pytest.raises(StoreError):
        OutputFolder(home).open(job_id, 1)
    with pytest.raises(InvalidInput):
        JobLogs(home).directory(job_id)
    with pytest.raises(InvalidInput), open_queue(str(home.root)) as queue:
        queue.request({"id": job_id, "command": "true"})


def test_a_record_whose_id_was_made_a_path_by_hand_writes_nothing_outside(tmp_path: Path) -> None:
    with fleet_in(tmp_path) as fleet:
        fleet.enqueue("echo written", "a", max_retries=1)
        with closing(sqlite3.connect(fleet.home.store_file)) as database:
            database.execute("UPDATE jobs SET id = '../../../escaped'")
            database.commit()
        fleet.start()
        eventually(lambda: fleet.queue.counts().of(State.PENDING) == 0)
        assert fleet.ran("true").state is State.COMPLETED
        assert fleet.stop() == []
    assert not list(tmp_path.rglob("escaped*"))


# whose .env is believed


def give_away(path: Path) -> None:
    """Make a file, or a link, another user's."""
    if os.geteuid() != 0:
        pytest.skip("giving a file away needs root")
    os.chown(path, OTHER_USER, OTHER_USER, follow_symlinks=False)


@pytest.mark.parametrize("is_link", [False, True], ids=["file", "link"])
def test_an_env_file_of_another_user_is_refused(tmp_path: Path, is_link: bool) -> None:
    file = tmp_path / ".env"
    text = tmp_path / "real" if is_link else file
    text.write_text("QUEUECTL_STORE=/tmp/theirs.db\n")
    if is_link:
        file.symlink_to(text)
    assert find_location(environ={}, cwd=tmp_path).store_url == "/tmp/theirs.db"
    give_away(file)
    with pytest.raises(InvalidInput, match="others can write it") as caught:
        find_location(environ={}, cwd=tmp_path)
    assert "chmod o-w" in caught.value.hint


@pytest.mark.parametrize("variable", ["QUEUECTL_STORE", "MONGO_URI", "QUEUECTL_HOME", "COLOUR"])
def test_an_env_file_that_anybody_can_write_is_refused_if_it_says_something_of_ours(
    tmp_path: Path, variable: str
) -> None:
    file = tmp_path / ".env"
    file.write_text(f"{variable}={'x' if variable == 'MONGO_URI' else '/tmp/theirs'}\n")
    file.chmod(0o666)
    if variable == "COLOUR":
        assert find_location("home", environ={}, cwd=tmp_path).home.root == tmp_path / "home"
    else:
        with pytest.raises(InvalidInput, match="others can write it"):
            find_location(environ={}, cwd=tmp_path)
    named = {"QUEUECTL_HOME": str(tmp_path / "home"), "QUEUECTL_STORE": str(tmp_path / "q.db")}
    assert find_location(environ=named, cwd=tmp_path).store_url == str(tmp_path / "q.db")
