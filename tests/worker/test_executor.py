"""How a worker runs one command."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest

from queuectl.domain.job import TAIL_BYTES, State
from queuectl.system.job_logs import JobLogs
from queuectl.system.run_processes import kill_run
from tests.worker.fleet import Fleet, lives, pids_in


@pytest.mark.parametrize(
    ("command", "exit_code", "error"),
    [
        ("true", 0, None),
        ("exit 3", 3, "Exit code 3"),
        ("no-such-program-anywhere", 127, "Command not found"),
        (["no-such-program-anywhere"], None, "Command not found"),
        ("/etc/passwd", 126, "Permission denied"),
        (["/etc/passwd"], None, "Permission denied"),
        ("exit 126", 126, "Exit code 126"),
    ],
)
def test_a_run_ends_with_its_exit_code_and_a_reason(
    workers: Fleet, command: object, exit_code: int | None, error: str | None
) -> None:
    job = workers.ran(command)
    assert job.outcome is not None
    assert (job.outcome.exit_code, job.last_error) == (exit_code, error)
    assert job.state is (State.DEAD if error else State.COMPLETED)


def test_a_run_that_a_signal_ended_names_the_signal(workers: Fleet) -> None:
    job = workers.ran("kill -9 $$")
    assert job.outcome is not None
    assert (job.outcome.exit_code, job.outcome.signal) == (None, 9)
    assert job.last_error == "Killed by signal 9 (Killed)"


def test_a_missing_working_directory_fails_the_attempt_clearly(workers: Fleet) -> None:
    job = workers.ran("true", cwd="/no/such/directory")
    assert job.last_error == "Working directory /no/such/directory: No such file or directory"
    assert job.attempts == 1


def test_a_command_runs_in_its_working_directory(workers: Fleet) -> None:
    job = workers.ran("pwd -P")
    assert job.outcome is not None
    assert job.outcome.stdout.strip() == str(workers.root.resolve())


def test_an_argument_list_is_run_without_a_shell(workers: Fleet) -> None:
    job = workers.ran(["printf", "%s|", "$HOME", "a b", "; exit 9"])
    assert job.outcome is not None
    assert job.outcome.stdout == "$HOME|a b|; exit 9|"


def test_a_program_is_found_on_the_path_that_the_job_asks_for(workers: Fleet) -> None:
    tools = workers.root / "tools"
    tools.mkdir()
    (tools / "only-here").write_text("#!/bin/sh\necho found\n")
    (tools / "only-here").chmod(0o700)
    for command in (["only-here"], "only-here"):
        job = workers.ran(command, env={"PATH": f"{tools}:/usr/bin:/bin"})
        assert job.outcome is not None
        assert job.outcome.stdout == "found\n"


def test_a_run_is_told_who_it_is(workers: Fleet) -> None:
    names = ("JOB_ID", "ATTEMPT", "RUN_ID", "QUEUE", "WORKER_ID")
    text = " ".join(f"$QUEUECTL_{name}" for name in names)
    job = workers.ran(f"echo {text}", queue="special", env={"QUEUECTL_JOB_ID": "forged"})
    assert job.outcome is not None
    run = job.history[0]
    expected = f"{job.id} 1 {run.claim_id} special {run.worker}"
    assert job.outcome.stdout.strip() == expected


def test_the_stores_address_is_not_inherited(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUECTL_STORE", "secret-store")
    monkeypatch.setenv("MONGO_URI", "mongodb://u:secret@h/d")
    monkeypatch.setenv("PLAIN", "kept")
    fleet.start()
    job = fleet.ran('echo "${QUEUECTL_STORE-none} ${MONGO_URI-none} $PLAIN"')
    assert job.outcome is not None
    assert job.outcome.stdout == "none none kept\n"


def test_a_command_has_nothing_to_read(workers: Fleet) -> None:
    job = workers.ran("readlink /proc/self/fd/0; cat; echo end")
    assert job.outcome is not None
    assert job.outcome.stdout == "/dev/null\nend\n"


def test_a_command_inherits_no_descriptor_of_its_worker(workers: Fleet) -> None:
    job = workers.ran("ls /proc/self/fd | wc -l")
    assert job.outcome is not None
    assert job.outcome.stdout.strip() == "4"  # the standard three, and the directory that ls reads


def test_a_command_has_a_session_and_a_process_group_of_its_own(workers: Fleet) -> None:
    job = workers.ran("cut -d ' ' -f 1,5,6 /proc/$$/stat")
    assert job.outcome is not None
    pid, group, session = job.outcome.stdout.split()
    assert pid == group == session


def test_a_command_starts_with_no_signal_ignored_or_blocked_whatever_started_its_worker(
    fleet: Fleet,
) -> None:
    ignored = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
    before = [signal.signal(number, signal.SIG_IGN) for number in ignored]
    try:
        fleet.start()
    finally:
        for number, handler in zip(ignored, before, strict=True):
            signal.signal(number, handler)
    job = fleet.ran(["grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"])
    assert job.outcome is not None
    blocked, not_heard = (int(mask, 16) for mask in job.outcome.stdout.split()[1::2])
    assert not blocked
    # those that nobody can name are the C library's own
    assert not [number for number in signal.valid_signals() if not_heard & 1 << (number - 1)]


def test_output_goes_into_files_of_the_run(workers: Fleet) -> None:
    job = workers.ran("echo out; echo err >&2")
    logs = JobLogs(workers.home)
    assert logs.stdout(job.id, 1).read_text() == "out\n"
    assert logs.stderr(job.id, 1).read_text() == "err\n"
    for path in (logs.stdout(job.id, 1), logs.stderr(job.id, 1)):
        assert path.stat().st_mode & 0o777 == 0o600
    assert job.outcome is not None
    assert (job.outcome.stdout, job.outcome.stderr) == ("out\n", "err\n")


def test_the_record_keeps_the_last_64_kib_and_counts_the_rest(workers: Fleet) -> None:
    job = workers.ran("yes 0123456789abcde | head -c 100000")
    outcome = job.outcome
    assert outcome is not None
    assert len(outcome.stdout) == TAIL_BYTES
    assert outcome.stdout_cut == 100_000 - TAIL_BYTES
    assert JobLogs(workers.home).stdout(job.id, 1).stat().st_size == 100_000


def test_output_that_is_not_utf8_is_kept_readable(workers: Fleet) -> None:
    job = workers.ran(r"printf 'ok \377\376 ok'")
    assert job.outcome is not None
    assert job.outcome.stdout == "ok \ufffd\ufffd ok"


def test_a_character_that_the_cut_splits_is_dropped(workers: Fleet) -> None:
    job = workers.ran(f"yes é | tr -d '\\n' | head -c {TAIL_BYTES}; echo")
    assert job.outcome is not None
    assert "\ufffd" not in job.outcome.stdout
    assert job.outcome.stdout.startswith("é")


def test_children_left_in_the_background_live_on(workers: Fleet) -> None:
    pids = workers.root / "left"
    job = workers.ran("sleep 60 & echo $! > left")
    assert job.state is State.COMPLETED
    (left,) = pids_in(pids)
    assert lives(left)
    assert kill_run(job.history[0].claim_id, None) == []


def test_kill_leftovers_ends_what_a_command_left(fleet: Fleet) -> None:
    fleet.set(kill_leftovers=True)
    fleet.start()
    job = fleet.ran("sleep 60 & echo $! > left; setsid sleep 60 & echo $! >> left")
    assert job.state is State.COMPLETED
    assert not any(lives(pid) for pid in pids_in(fleet.root / "left"))


TREE = (
    "echo $$ > pids; sleep 60 & echo $! >> pids; setsid sh -c 'echo $$ >> pids; exec sleep 60' & "
    "(setsid sh -c 'sh -c \"echo \\$\\$ >> pids; exec sleep 60\" &'); wait"
)


def test_a_timeout_kills_the_whole_tree(workers: Fleet) -> None:
    pids = workers.root / "pids"
    pids.unlink(missing_ok=True)
    job = workers.ran(TREE, timeout=0.7)
    assert job.outcome is not None
    assert job.outcome.timed_out
    assert job.last_error == "Job exceeded 0.7s timeout"
    assert len(pids_in(pids)) == 4
    assert not [pid for pid in pids_in(pids) if lives(pid)]


def test_a_command_that_is_stopped_is_asked_first(workers: Fleet) -> None:
    job = workers.ran("trap 'echo asked; exit 0' TERM; sleep 60 & wait", timeout=0.3)
    assert job.outcome is not None
    assert job.outcome.stdout == "asked\n"
    assert job.outcome.timed_out
    assert job.state is State.DEAD


def test_a_command_that_ignores_the_question_is_killed_after_the_grace(workers: Fleet) -> None:
    begun = time.monotonic()
    job = workers.ran("trap '' TERM; while :; do sleep 0.05; done", timeout=0.3)
    assert job.outcome is not None
    assert job.outcome.signal == signal.SIGKILL
    assert job.outcome.duration >= 0.6  # the timeout and kill_grace_seconds
    assert time.monotonic() - begun < 10


def test_a_stopped_command_is_killed_by_its_timeout_too(workers: Fleet) -> None:
    job = workers.ran("kill -STOP $$", timeout=0.3)
    assert job.outcome is not None
    assert job.outcome.timed_out


def test_a_symbolic_link_in_place_of_the_log_directory_is_not_followed(
    workers: Fleet, tmp_path: Path
) -> None:
    workers.ran("true")
    (workers.home.job_logs / "linked").symlink_to(tmp_path)
    job = workers.ran("touch ran", id="linked")
    assert job.state is State.DEAD
    assert job.last_error is not None
    assert "symbolic link" in job.last_error
    assert list(tmp_path.iterdir()) == []
    assert len(workers.pids()) == 2  # no worker was lost by it


def test_a_log_directory_that_was_removed_is_made_again(workers: Fleet) -> None:
    workers.ran("true")
    shutil.rmtree(workers.home.job_logs)
    job = workers.ran("echo here")
    assert JobLogs(workers.home).stdout(job.id, 1).read_text() == "here\n"
