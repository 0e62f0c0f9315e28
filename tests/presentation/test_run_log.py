"""The end of what a run wrote, as `watch` and the dashboard show it."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl.domain.job import TAIL_BYTES, Outcome
from queuectl.presentation.run_log import BOTH, LogWanted, read_log
from queuectl.queue import Queue
from queuectl.system.home import Home, Location
from queuectl.system.job_logs import JobLogs
from tests.cli.harness import run_next


@pytest.fixture
def logs(tmp_path: Path) -> JobLogs:
    """The logs of a home."""
    return JobLogs(Home(tmp_path / "home"))


@pytest.fixture
def queue(logs: JobLogs) -> Queue:
    """A queue with the job `a` that has run."""
    queue = Queue.open(Location(logs.home, str(logs.home.store_file)))
    queue.enqueue_one("true", id="a", cwd="/")
    run_next(queue, Outcome(exit_code=0, stdout="out\n", stderr="err\n"))
    return queue


def test_both_streams_are_read_in_their_order_unless_one_is_wanted(
    queue: Queue, logs: JobLogs
) -> None:
    logs.directory("a").mkdir(parents=True)
    logs.stdout("a", 1).write_text("o1\nhalf and half\n")
    logs.stderr("a", 1).write_text("e1\n")
    logs.order("a", 1).write_text("7 0\n7 3\n")
    log = read_log(queue, LogWanted("a"))
    assert (log.stream, log.lines, log.size) == (BOTH, ("o1", "e1", "half and half"), 20)
    assert log.streams == (BOTH, "stdout", "stderr")
    one = read_log(queue, LogWanted("a", stream="stderr"))
    assert (one.lines, one.size) == (("e1",), 3)
    logs.stdout("a", 1).write_text("")
    alone = read_log(queue, LogWanted("a"))
    assert (alone.stream, alone.streams) == ("stderr", ("stdout", "stderr"))
    queue.close()


def test_only_the_end_of_long_output_is_read(queue: Queue, logs: JobLogs) -> None:
    logs.directory("a").mkdir(parents=True)
    logs.stdout("a", 1).write_text("o\n" * TAIL_BYTES)
    logs.stderr("a", 1).write_text("e1\n")
    logs.order("a", 1).write_text(f"{2 * TAIL_BYTES - 4} 0\n{2 * TAIL_BYTES - 4} 3\n")
    log = read_log(queue, LogWanted("a"))
    assert log.cut
    assert log.lines[-4:] == ("o", "e1", "o", "o")
    assert len(log.text) <= TAIL_BYTES
    queue.close()


def test_the_record_of_a_job_has_both_streams_one_after_the_other(queue: Queue) -> None:
    log = read_log(queue, LogWanted("a"))
    assert (log.stream, log.text, log.size) == (BOTH, "out\nerr\n", 8)
    queue.close()
