"""The watchdog: nothing that a worker ran outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from types import SimpleNamespace
from typing import Any

import pytest

from queuectl.system.processes import boot_clock
from queuectl.system.run_mark import RUN_ID_VARIABLE
from queuectl.worker.runs import watchdog
from tests.worker.fleet import (
    PATIENCE_SECONDS,
    Fleet,
    eventually,
    innocent,
    lives,
    pids_in,
    run_members,
)

RUN_ID, OTHER_RUN_ID = token_hex(12), token_hex(12)  # marks hold for the whole machine

WORKER = """
import fcntl, sys
from queuectl.worker.runs.watchdog import Post, Watchdog
from queuectl.system.processes import boot_clock

def passed_on(notes):
    with open(sys.argv[1], "w") as file:
        file.write(" ".join(note.decode() for note in notes))

post = Post(passed_on)
post.man()
watchdog = Watchdog(post)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
watchdog.close()
"""


class Guarded:
    """A process with a watchdog, that does what it is told line by line."""

    def __init__(self, notes: Path) -> None:
        self.notes = notes
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(notes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def tell(self, line: str) -> None:
        """Give an order, a line of Python, and wait until it has been carried out."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def announce(self, seconds: float, run_id: str = RUN_ID) -> None:
        """Let it say that a run begins, and for how long it may go."""
        self.tell(f"watchdog.announce({run_id!r}, boot_clock() + {seconds})")

    def started(self, pid: int, run_id: str = RUN_ID) -> None:
        """Let it say which process group the run has."""
        self.tell(f"watchdog.started({run_id!r}, {pid})")

    def kill(self) -> None:
        """Kill the process, not its watchdog."""
        self.process.kill()
        self.process.wait()

    def kill_and_wait(self) -> None:
        """Kill the process, and wait until all that its watchdog was to kill is dead."""
        pid = self.process.pid
        (watchdog,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert lives(int(watchdog))
        self.kill()
        assert eventually(lambda: not lives(int(watchdog)))


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """A process with a watchdog."""
    guarded = Guarded(tmp_path / "notes")
    yield guarded
    guarded.kill()
    for stream in (guarded.process.stdin, guarded.process.stdout):
        assert stream is not None
        stream.close()


@contextmanager
def command(run_id: str = RUN_ID) -> Iterator[int]:
    """A process in a group of its own that carries a run's id."""
    environment = {**os.environ, RUN_ID_VARIABLE: run_id}
    process = subprocess.Popen(["sleep", "60"], env=environment, start_new_session=True)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def test_what_a_killed_worker_ran_is_killed(guarded: Guarded) -> None:
    guarded.announce(60)
    with command() as pid:
        guarded.started(pid)
        assert lives(pid)
        guarded.kill()
        assert eventually(lambda: not lives(pid))


def test_a_run_that_was_only_announced_is_found_by_its_id(guarded: Guarded) -> None:
    guarded.announce(60)
    with command() as pid:
        guarded.kill()
        assert eventually(lambda: not lives(pid))


def test_a_run_is_killed_at_its_deadline_though_its_worker_hangs(guarded: Guarded) -> None:
    guarded.announce(1)
    with command() as pid:
        guarded.started(pid)
        assert eventually(lambda: not lives(pid))
    assert lives(guarded.process.pid)


def test_a_worker_that_is_stopped_past_the_deadline_of_its_run_is_killed(guarded: Guarded) -> None:
    guarded.announce(1)
    with command() as pid:
        guarded.started(pid)
        guarded.process.send_signal(signal.SIGSTOP)
        assert guarded.process.wait(timeout=PATIENCE_SECONDS) == -signal.SIGKILL
        assert eventually(lambda: not lives(pid))


def test_a_worker_that_was_stopped_with_a_lock_in_hand_is_killed(
    guarded: Guarded, tmp_path: Path
) -> None:
    guarded.tell(f"file = open({str(tmp_path / 'lock')!r}, 'w'); fcntl.flock(file, fcntl.LOCK_EX)")
    guarded.process.send_signal(signal.SIGSTOP)
    assert guarded.process.wait(timeout=PATIENCE_SECONDS) == -signal.SIGKILL


def test_a_worker_that_was_stopped_without_a_lock_lives_on(guarded: Guarded) -> None:
    guarded.process.send_signal(signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        guarded.process.wait(timeout=watchdog._MOST_STOPPED_SECONDS + 2 * watchdog._LOOK_SECONDS)
    guarded.process.send_signal(signal.SIGCONT)
    guarded.tell("watchdog.may_stop_for(60)")


def test_what_has_ended_is_not_looked_for(guarded: Guarded) -> None:
    guarded.announce(60)
    with command() as pid:
        guarded.started(pid)
        guarded.tell(f"watchdog.ended({RUN_ID!r})")
        with command(OTHER_RUN_ID) as other:
            guarded.announce(60, OTHER_RUN_ID)
            guarded.started(other, OTHER_RUN_ID)
            guarded.kill_and_wait()
            assert not lives(other)
        assert lives(pid)


def test_all_that_a_killed_worker_ran_is_killed_but_what_has_ended(guarded: Guarded) -> None:
    ids = [token_hex(12) for _ in range(12)]
    with ExitStack() as stack:
        pids = [stack.enter_context(command(run_id)) for run_id in ids]
        for run_id, pid in zip(ids, pids, strict=True):
            guarded.announce(60, run_id)
            guarded.started(pid, run_id)
        for number in (0, 5, 11):
            guarded.tell(f"watchdog.ended({ids[number]!r})")
        again = token_hex(12)
        guarded.announce(60, again)  # in the place of one that has ended
        pid = stack.enter_context(command(again))
        guarded.kill_and_wait()
        assert not lives(pid)
        assert [number for number in range(12) if lives(pids[number])] == [0, 5, 11]


def test_of_several_runs_only_that_is_killed_whose_deadline_has_passed(guarded: Guarded) -> None:
    with command() as pid, command(OTHER_RUN_ID) as other:
        guarded.announce(60, OTHER_RUN_ID)
        guarded.announce(1)
        guarded.started(pid)
        guarded.started(other, OTHER_RUN_ID)
        guarded.tell(f"watchdog.extend({OTHER_RUN_ID!r}, boot_clock() + 90)")
        assert eventually(lambda: not lives(pid))
        guarded.tell(f"watchdog.ended({RUN_ID!r})")
        assert lives(other)


def test_a_lease_that_is_renewed_while_its_run_ends_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    post = watchdog.Post()
    ours = watchdog.Watchdog(post)
    ours.announce(RUN_ID, boot_clock() + 60)
    loop = threading.Thread(target=ours.ended, args=(RUN_ID,))
    written = watchdog._DEADLINE

    def write_late(*args: Any) -> None:
        loop.start()
        loop.join(0.2)  # it may have to wait until this is written
        written.pack_into(*args)

    monkeypatch.setattr(watchdog, "_DEADLINE", SimpleNamespace(pack_into=write_late))
    ours.extend(RUN_ID, boot_clock() + 90)
    loop.join()
    assert watchdog._records(post.memory) == []
    ours.close()
    os.close(post.reader)


def test_a_group_number_that_was_given_to_a_stranger_is_spared(guarded: Guarded) -> None:
    with innocent() as stranger, command() as pid:
        # the stranger is older than the run that is said to have its number
        assert eventually(lambda: _is_older(stranger))
        guarded.announce(60)
        guarded.started(stranger)
        guarded.kill_and_wait()
        assert not lives(pid)
        assert lives(stranger)


def _is_older(pid: int) -> bool:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK") < boot_clock() - 0.1


@pytest.mark.parametrize(
    ("orders", "passed_on"),
    [
        (["keep(b'a')", "keep(b'b')"], "a b"),
        (["keep(b'a')", "keep(b'b')", "replace(b'c')", "keep(b'd')"], "c d"),
        (["keep(b'a')", "replace(b'b')", "replace(b'c')"], "c"),
        (["keep(b'a')", "replace()"], None),
        (["announce('a', boot_clock() + 60)", "ended('a')"], None),
    ],
)
def test_what_a_killed_worker_had_noted_is_passed_on(
    guarded: Guarded, orders: list[str], passed_on: str | None
) -> None:
    for order in orders:
        guarded.tell(f"assert watchdog.{order} is not False")
    guarded.kill_and_wait()
    assert (guarded.notes.read_text() if guarded.notes.exists() else None) == passed_on


def test_notes_for_which_there_is_no_room_are_refused_and_the_others_kept(guarded: Guarded) -> None:
    guarded.tell("watchdog.keep(b'a')")
    guarded.tell("while watchdog.keep(b'x' * 1000): pass")
    guarded.kill_and_wait()
    first, *others = guarded.notes.read_text().split()
    assert first == "a"
    assert 120 < len(others) <= 131
    assert set(others) == {"x" * 1000}


def test_a_job_cannot_escape_by_leaving_its_session_and_its_parent(fleet: Fleet) -> None:
    fleet.start()
    job = fleet.running(
        fleet.enqueue(
            "echo $$ >> pids; setsid sh -c 'echo $$ >> pids; (sleep 60; :) & exec sleep 60' & "
            "(setsid sh -c 'sh -c \"echo \\$\\$ >> pids; exec sleep 60\" &'); sleep 60"
        )
    )
    pids = eventually(lambda: len(found := pids_in(fleet.root / "pids")) == 3 and found)
    assert set(pids) <= set(run_members(job))
    fleet.kill()
    assert eventually(lambda: not run_members(job))
