"""How the order of a run's output is sampled, and how large its files may grow."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from queuectl.domain.job import State
from queuectl.system.first_write import FirstWrites
from queuectl.system.home import Home
from queuectl.system.job_logs import JobLogs
from queuectl.system.run_order import read_turns
from queuectl.system.run_reader import RunReader
from queuectl.worker.runs import sampler as sampling
from queuectl.worker.runs.output import OutputFolder, RunFiles
from queuectl.worker.runs.sampler import Sampler
from tests.worker.fleet import Fleet, eventually

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell of writes")


class Run:
    """A run whose command is the test, with what samples it."""

    def __init__(self, root: Path) -> None:
        self.logs = JobLogs(Home(root))
        self.limit = 0
        self.folder = OutputFolder(self.logs.home)
        self.sampler = Sampler(lambda: self.limit)
        self.files = self.begun("a")

    def begun(self, job_id: str) -> RunFiles:
        """Make the files of another run, and have them sampled."""
        files = self.folder.open(job_id, 1)
        files.show()
        self.sampler.add(files, lambda seen: seen)
        return files

    def write(self, stream: str, data: bytes) -> None:
        """Write into a stream, as a command does."""
        path = getattr(self.logs, stream)("a", 1)
        with path.open("ab", buffering=0) as file:
            file.write(data)

    @property
    def turns(self) -> list[tuple[int, int]]:
        """The turns that were noted."""
        return [turn[:2] for turn in read_turns(self.logs.order("a", 1))]

    def end(self) -> str:
        """End the run, and return what it wrote in the order in which it is read."""
        self.sampler.remove(self.files)
        self.files.close()
        reader = RunReader(self.logs, "a", 1)
        text = "".join(piece.data.decode() for piece in reader.read())
        reader.close()
        return text


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run that has begun."""
    run = Run(tmp_path / "home")
    yield run
    run.sampler.close()
    run.folder.close()


@pytest.fixture(params=["told", "looked"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the system tell of writes, or not."""
    if request.param == "looked":

        def unable() -> None:
            raise OSError

        monkeypatch.setattr(sampling, "FirstWrites", unable)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_output_is_read_in_the_order_in_which_it_came(run: Run) -> None:
    run.write("stderr", b"one\n")
    run.write("stdout", b"two\n")
    assert eventually(lambda: run.turns and run.turns[-1] == (4, 4))
    run.write("stderr", b"three\n")
    assert eventually(lambda: run.turns[-1] == (4, 10))
    run.write("stdout", b"four\n")
    assert eventually(lambda: run.turns[-1] == (9, 10))
    run.write("stderr", b"five\n")
    assert run.end().endswith("three\nfour\nfive\n")


@on_linux
def test_what_is_written_first_after_a_pause_comes_first(run: Run) -> None:
    run.write("stdout", b"cc a.c\n")
    for number in range(1, 4):
        assert eventually(lambda: is_told_of_writes(run.files))
        run.write("stderr", b"a.c: warning\n")
        run.write("stdout", b"cc b.c\n")
        assert eventually(partial(ends_at, run, (7 + 7 * number, 13 * number)))
    assert run.end() == "cc a.c\n" + "a.c: warning\ncc b.c\n" * 3


def ends_at(run: Run, turn: tuple[int, int]) -> bool:
    """Whether that turn of a run is the latest."""
    return run.turns[-1:] == [turn]


def is_told_of_writes(files: RunFiles) -> bool:
    """Whether the system is to tell of the next write into each of two files."""
    inodes = {f"ino:{os.fstat(file).st_ino:x}" for file in files.descriptors}
    found = set()
    for path in Path("/proc/self/fdinfo").iterdir():
        try:
            words = path.read_text().split()
        except OSError:
            continue
        if "inotify" in words:
            found.update(words)
    return inodes <= found


@on_linux
def test_the_system_tells_of_the_first_write_to_each_file_in_their_order(tmp_path: Path) -> None:
    writes = FirstWrites()
    files = [(tmp_path / name).open("wb", buffering=0) for name in "abc"]
    watches = [writes.watch(file.fileno()) for file in files]
    assert writes.told() == []
    writes.forget(watches[2])
    for at in (1, 1, 2, 0, 1):
        files[at].write(b"x")
    assert writes.told() == [watches[1], watches[0]]
    files[1].write(b"x")
    assert writes.told() == []
    for file in files:
        file.close()
    writes.close()


@pytest.mark.usefixtures("way")
def test_a_run_that_writes_into_one_stream_alone_has_no_order(run: Run) -> None:
    run.write("stdout", b"one\n")
    run.write("stdout", b"two\n")
    assert run.end() == "one\ntwo\n"
    assert sorted(path.name for path in run.logs.directory("a").iterdir()) == ["1.err", "1.out"]


@pytest.mark.usefixtures("way")
def test_when_it_was_written_is_noted_of_a_run_that_is_not_over_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "_SHORT_SECONDS", 0.0)
    run.write("stdout", b"one\n")
    assert eventually(lambda: run.turns == [(4, 0)])
    before = time.time() * 1000
    run.write("stdout", b"two\n")
    run.end()
    turns = read_turns(run.logs.order("a", 1))
    assert turns[0].millis <= before <= turns[-1].millis + 1
    assert turns[-1][:2] == (8, 0)


def test_old_order_is_not_taken_for_that_of_a_run(run: Run) -> None:
    path = run.logs.order("b", 1)
    path.parent.mkdir()
    path.write_text("9 9\n")
    files = run.folder.open("b", 1)
    files.close()
    assert not path.exists()
    run.end()


def open_here(folder: Path) -> list[str]:
    """Return what this process has open of a folder, and what it watches files by."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that this very look needs
            found.append(str(each.readlink()))
    return [name for name in found if name.startswith(str(folder)) or "inotify" in name]


@on_linux
def test_nothing_is_left_open_and_nothing_watched(tmp_path: Path) -> None:
    before = open_here(tmp_path)
    run = Run(tmp_path / "home")
    others = [run.begun(f"b{number}") for number in range(5)]
    run.write("stdout", b"one\n")
    run.write("stderr", b"two\n")
    assert eventually(lambda: run.turns)
    assert len(open_here(tmp_path)) > len(before)
    run.end()
    for files in others:
        run.sampler.remove(files)
        files.close()
    run.sampler.close()
    run.folder.close()
    assert open_here(tmp_path) == before


@on_linux
def test_a_file_that_grows_beyond_its_limit_loses_its_middle_while_the_run_goes_on(
    run: Run,
) -> None:
    out = run.logs.stdout("a", 1)
    block = b"".join(b"%15d\n" % number for number in range(4096))
    run.write("stdout", b"first line\n" + block * 20)
    run.limit = 2 * sampling.LEAST_CAP
    most = sampling.LEAST_CAP + 4096
    for _ in range(3):
        run.write("stdout", block * 20)
        assert eventually(lambda: out.stat().st_blocks * 512 <= most)
    run.write("stdout", b"last line\n")
    text = run.end()
    assert out.stat().st_size == 11 + len(block) * 80 + 10
    assert text.startswith("first line\n")
    assert text.endswith("           4095\nlast line\n")
    assert text.count("bytes dropped here") == 1
    assert sampling.LEAST_CAP / 4 < len(text) < sampling.LEAST_CAP * 2


@on_linux
def test_a_job_that_runs_is_limited_by_a_setting_of_now(fleet: Fleet) -> None:
    fleet.start()
    over = fleet.root / "over"
    job_id = fleet.enqueue(f"until test -e {over}; do seq 10000; sleep 0.05; done; echo end")
    fleet.running(job_id)
    fleet.set(max_log_bytes="512KiB")
    out = JobLogs(fleet.home).stdout(job_id, 1)
    assert eventually(lambda: out.exists() and out.stat().st_size > 600_000)
    assert eventually(lambda: out.stat().st_blocks * 512 < out.stat().st_size / 2)
    over.touch()
    job = fleet.settled(job_id)
    assert job.state is State.COMPLETED
    assert job.outcome is not None
    assert job.outcome.stdout.endswith("10000\nend\n")
    assert "\0" not in job.outcome.stdout


def test_both_streams_of_a_job_are_in_one_file_if_it_asks_for_that(fleet: Fleet) -> None:
    fleet.start()
    job = fleet.ran("for n in 1 2 3; do echo o$n; echo e$n >&2; done", merge_output=True)
    assert job.outcome is not None
    assert job.outcome.stdout == "o1\ne1\no2\ne2\no3\ne3\n"
    assert job.outcome.stderr == ""
    again = fleet.ran("echo e >&2; exit 1", id="again", merge_output=True)
    assert again.outcome is not None
    assert (again.outcome.stdout, again.outcome.stderr) == ("e\n", "")
    fleet.queue.retry("again")
    assert fleet.settled("again").runs == 2
    assert JobLogs(fleet.home).stdout("again", 2).read_text() == "e\n"


@pytest.mark.usefixtures("leisurely")
def test_a_job_that_ends_at_once_is_not_sampled(fleet: Fleet) -> None:
    fleet.start()
    job = fleet.ran("echo out; sleep 0.05; echo err >&2; sleep 0.05; echo out")
    names = {path.name for path in JobLogs(fleet.home).directory(job.id).iterdir()}
    assert names == {"1.out", "1.err"}


def test_the_memory_of_a_run_is_looked_at_until_it_ends(run: Run) -> None:
    looks: list[int] = []
    third = Event()

    def look(seen: int) -> int:
        looks.append(seen)
        if len(looks) == 3:
            third.set()
        return max(seen, 10 * len(looks))

    files = run.folder.open("b", 1)
    run.sampler.add(files, look)
    assert third.wait(10)
    assert run.sampler.remove(files) >= 20
    assert looks[:3] == [0, 10, 20]
    files.close()
