"""How a worker runs one command."""

from __future__ import annotations

import shutil
import signal
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
        ("kill -9 $$", None, "Killed by signal 9 (Killed)"),
    ],
)
def test_a_run_ends_with_its_exit_code_and_a_reason(
    workers: Fleet, command: object, exit_code: int | None, error: str | None
) -> None:
    job = workers.ran(command)
    assert job.outcome is not None
    assert (job.outcome.exit_code, job.last_error) == (exit_code, error)
    assert job.outcome.signal == (9 if error and "signal" in error else None)
    assert job.state is (State.DEAD if error else State.COMPLETED)


def test_a_missing_working_directory_fails_the_attempt_clearly(workers: Fleet) -> None:
    job = workers.ran("true", cwd="/no/such/directory")
    assert job.last_error == "Working directory /no/such/directory: No such file or directory"
    assert job.attempts == 1


ROW = "yes é | tr -d '\\n' | head -c"


@pytest.mark.parametrize(
    ("command", "stdout"),
    [
        pytest.param("pwd -P", "{root}\n", id="it runs in its working directory"),
        pytest.param(
            ["printf", "%s|", "$HOME", "a b", "; exit 9"], "$HOME|a b|; exit 9|",
            id="an argument list is run without a shell",
        ),
        pytest.param(
            "readlink /proc/self/fd/0; cat; echo end", "/dev/null\nend\n", id="nothing to read"
        ),
        pytest.param(  # the standard three, and the directory that ls reads
            "ls /proc/self/fd | wc -l", "4\n", id="no descriptor of its worker"
        ),
        pytest.param(
            "set -- $(cut -d ' ' -f 1,5,6 /proc/$$/stat); [ $1 = $2 ] && [ $2 = $3 ] && echo own",
            "own\n", id="a session and a process group of its own",
        ),
        pytest.param(r"printf 'ok \377\376 ok'", "ok \ufffd\ufffd ok", id="kept readable"),
        pytest.param(
            f"{ROW} {TAIL_BYTES}; echo", "é" * (TAIL_BYTES // 2 - 1) + "\n",
            id="a character that the cut splits is dropped",
        ),
    ],
)  # fmt: skip
def test_what_a_command_finds_and_what_is_kept_of_its_output(
    workers: Fleet, command: object, stdout: str
) -> None:
    assert workers.outcome(command).stdout == stdout.format(root=workers.root.resolve())


def test_a_command_reads_the_text_of_its_job_and_no_path_leads_to_it(workers: Fleet) -> None:
    text = "one\ntwo\n" + "x" * 100_000
    counted = workers.outcome("head -c 8; readlink /proc/self/fd/0; wc -c", input_text=text)
    assert counted.stdout.splitlines()[:2] == ["one", "two"]
    assert "(deleted)" in counted.stdout
    assert workers.outcome("wc -c", input_text=text).stdout == f"{len(text)}\n"
    assert workers.outcome("ls /proc/self/fd | wc -l", input_text=text).stdout == "4\n"


def test_a_program_is_found_on_the_path_that_the_job_asks_for(workers: Fleet) -> None:
    tools = workers.root / "tools"
    tools.mkdir()
    (tools / "only-here").write_text("#!/bin/sh\necho found\n")
    (tools / "only-here").chmod(0o700)
    for command in (["only-here"], "only-here"):
        found = workers.outcome(command, env={"PATH": f"{tools}:/usr/bin:/bin"})
        assert found.stdout == "found\n"


def test_a_run_is_told_who_it_is(workers: Fleet) -> None:
    names = ("JOB_ID", "ATTEMPT", "RUN_ID", "QUEUE", "WORKER_ID")
    text = " ".join(f"$QUEUECTL_{name}" for name in names)
    job = workers.ran(f"echo {text}", queue="special", env={"QUEUECTL_JOB_ID": "forged"})
    run = job.history[0]
    assert job.outcome is not None
    assert job.outcome.stdout == f"{job.id} 1 {run.claim_id} special {run.worker}\n"


def test_the_stores_address_is_not_inherited(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUECTL_STORE", "secret-store")
    monkeypatch.setenv("MONGO_URI", "mongodb://u:secret@h/d")
    monkeypatch.setenv("PLAIN", "kept")
    fleet.start()
    told = fleet.outcome('echo "${QUEUECTL_STORE-none} ${MONGO_URI-none} $PLAIN"')
    assert told.stdout == "none none kept\n"


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
    masks = fleet.outcome(["grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"]).stdout
    blocked, not_heard = (int(mask, 16) for mask in masks.split()[1::2])
    assert not blocked
    # those that nobody can name are the C library's own
    assert not [number for number in signal.valid_signals() if not_heard & 1 << (number - 1)]


def test_output_goes_into_files_of_the_run_and_its_end_into_the_record(workers: Fleet) -> None:
    job = workers.ran("echo out; echo err >&2")
    for path, text in (("1.out", "out\n"), ("1.err", "err\n")):
        file = JobLogs(workers.home).directory(job.id) / path
        assert (file.read_text(), file.stat().st_mode & 0o777) == (text, 0o600)
    assert job.outcome is not None
    assert (job.outcome.stdout, job.outcome.stderr) == ("out\n", "err\n")
    long = workers.ran("yes 0123456789abcde | head -c 100000")
    assert long.outcome is not None
    assert len(long.outcome.stdout) == TAIL_BYTES
    assert long.outcome.stdout_cut == 100_000 - TAIL_BYTES
    assert JobLogs(workers.home).stdout(long.id, 1).stat().st_size == 100_000


def test_children_left_in_the_background_live_on(workers: Fleet) -> None:
    job = workers.ran("sleep 60 & echo $! > left")
    assert job.state is State.COMPLETED
    (left,) = pids_in(workers.root / "left")
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
    job = workers.ran(TREE, timeout=2.5)
    assert job.last_error == "Job exceeded 2.5s timeout"
    assert len(pids_in(pids)) == 4
    assert not [pid for pid in pids_in(pids) if lives(pid)]


@pytest.mark.parametrize(
    ("command", "stdout", "number"),
    [
        ("trap 'echo asked; exit 0' TERM; sleep 60 & wait", "asked\n", None),
        ("trap '' TERM; while :; do sleep 0.05; done", "", signal.SIGKILL),
        ("kill -STOP $$", "", signal.SIGTERM),  # it hears that once it goes on
    ],
)
def test_a_command_whose_time_is_up_is_asked_to_end_and_then_killed(
    workers: Fleet, command: str, stdout: str, number: int | None
) -> None:
    ended = workers.outcome(command, timeout=1.0)
    assert (ended.timed_out, ended.stdout, ended.signal) == (True, stdout, number)
    assert ended.duration >= (1.3 if number is signal.SIGKILL else 1.0)  # kill_grace_seconds


def test_a_symbolic_link_in_place_of_the_log_directory_is_not_followed(
    workers: Fleet, tmp_path: Path
) -> None:
    workers.ran("true")
    (workers.home.job_logs / "linked").symlink_to(tmp_path)
    job = workers.ran("touch ran", id="linked")
    assert job.state is State.DEAD
    assert "symbolic link" in (job.last_error or "")
    assert list(tmp_path.iterdir()) == []
    assert len(workers.pids()) == 2  # no worker was lost by it


def test_a_log_directory_that_was_removed_is_made_again(workers: Fleet) -> None:
    workers.ran("true")
    shutil.rmtree(workers.home.job_logs)
    job = workers.ran("echo here")
    assert JobLogs(workers.home).stdout(job.id, 1).read_text() == "here\n"
