"""The files that a job's output is in, and when there are none."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import sys
from pathlib import Path
from typing import Literal

import pytest

from queuectl.domain.job import Job, State
from queuectl.system.home import Home
from queuectl.system.job_logs import JobLogs
from queuectl.system.run_reader import RunReader
from queuectl.worker.runs import output
from queuectl.worker.runs.output import OutputFolder, RunFiles
from tests.worker.fleet import Fleet, eventually

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere files have names at once"
)


def files_of(fleet: Fleet, job_id: str) -> dict[str, str]:
    """What is in the log files of a job, by their names."""
    directory = JobLogs(fleet.home).directory(job_id)
    return {path.name: path.read_text() for path in directory.glob("*")}


def write(files: RunFiles, text: str) -> None:
    """Have a command write something into the files of a run."""
    argv = ["sh", "-c", f"printf {text}"]
    pid = os.posix_spawn("/bin/sh", argv, os.environ, file_actions=files.actions)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.usefixtures("leisurely")
def test_a_command_that_succeeds_at_once_without_a_word_leaves_no_files(fleet: Fleet) -> None:
    fleet.start()
    job = fleet.ran("true")
    assert not JobLogs(fleet.home).directory(job.id).exists()


@pytest.mark.parametrize(
    ("command", "out", "err"),
    [
        ("echo out", "out\n", ""),
        ("echo err >&2", "", "err\n"),
        ("exit 3", "", ""),  # a run that failed has files whatever it wrote
        ("kill -9 $$", "", ""),
        (["no-such-program-anywhere"], "", ""),
    ],
)
def test_what_a_command_wrote_is_in_its_files(
    workers: Fleet, command: object, out: str, err: str
) -> None:
    assert files_of(workers, workers.ran(command).id) == {"1.out": out, "1.err": err}


def test_the_output_of_a_running_command_can_be_seen(fleet: Fleet) -> None:
    fleet.start()
    job = fleet.running(fleet.enqueue("echo begun; sleep 60"))
    assert eventually(lambda: files_of(fleet, job.id).get("1.out") == "begun\n")
    fleet.kill()


@pytest.mark.usefixtures("leisurely")
def test_what_is_left_running_writes_into_the_files_of_its_own_job(fleet: Fleet) -> None:
    fleet.start()
    go, ready = fleet.root / "go", fleet.root / "ready"
    late = f"touch {ready}; until test -e {go}; do sleep 0.01; done; echo late; echo late >&2"
    first = fleet.ran(f"setsid sh -c '{late}' & until test -e {ready}; do :; done")
    others = [fleet.ran("true") for _ in range(3)]
    go.touch()
    assert eventually(lambda: files_of(fleet, first.id) == {"1.out": "late\n", "1.err": "late\n"})
    after = fleet.ran("echo mine")
    assert files_of(fleet, after.id) == {"1.out": "mine\n", "1.err": ""}
    assert not any(files_of(fleet, job.id) for job in others)


def test_old_files_of_the_same_name_are_not_taken_for_those_of_a_run(workers: Fleet) -> None:
    stale = JobLogs(workers.home).stdout("again", 1)
    stale.parent.mkdir(parents=True)
    stale.write_text("of a job that is gone\n")
    workers.ran("true", id="again")
    assert files_of(workers, "again") == {"1.out": "", "1.err": ""}


@pytest.mark.usefixtures("impatient")
def test_output_whose_files_cannot_be_made_is_in_the_record_and_said_once(fleet: Fleet) -> None:
    fleet.start()
    numbers = itertools.count()
    told = "what a job wrote is kept in its record alone"

    def without_files() -> Job | Literal[False]:
        """A job in whose way a link was put before its files had names; that takes some luck."""
        name = f"linked{next(numbers)}"
        job = fleet.ran(f"ln -s / {fleet.home.job_logs / name}; echo kept", id=name)
        return told in fleet.log() and job

    job = eventually(without_files)
    assert job.state is State.COMPLETED
    assert job.outcome is not None
    assert job.outcome.stdout == "kept\n"
    assert "is a symbolic link, which is not followed" in fleet.log()
    assert files_of(fleet, fleet.ran("echo next").id)["1.out"] == "next\n"
    assert fleet.log().count(told) == 1


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR])
def test_where_there_are_no_unnamed_files_they_have_names_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(_folder: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(output, "TempFile", refused)
    home = Home(tmp_path / "home")
    folder = OutputFolder(home)
    for run in (1, 2):
        files = folder.open("a", run)
        assert JobLogs(home).stdout("a", run).exists()
        files.close()
    folder.close()


def test_a_folder_that_was_removed_is_made_again_before_a_run_and_after(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    folder = OutputFolder(home)
    for number in range(4):
        files = folder.open(f"job{number}", 1)
        if number % 2:
            shutil.rmtree(home.job_logs)
        write(files, "said")
        files.close()
        assert JobLogs(home).stdout(f"job{number}", 1).read_text() == "said"
        if number % 2:
            shutil.rmtree(home.job_logs)
    folder.close()


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    folder = OutputFolder(Home(tmp_path / "home"))
    descriptors = Path("/proc/self/fd")
    open_before = len(list(descriptors.iterdir()))
    for number in range(20):
        files = folder.open(f"job{number}", 1)
        if number % 3:
            write(files, "said")
        if number % 5 == 0:
            files.show()
        files.close()
    folder.close()
    assert len(list(descriptors.iterdir())) == open_before


def test_a_run_of_more_than_a_second_keeps_when_it_wrote(workers: Fleet) -> None:
    job = workers.ran("echo one; sleep 1.2")
    assert job.started_at is not None
    assert job.finished_at is not None
    reader = RunReader(JobLogs(workers.home), job.id, 1)
    assert len(reader.turns) == 1
    written = reader.written_at(0, 0)
    reader.close()
    assert job.started_at <= written <= job.finished_at
