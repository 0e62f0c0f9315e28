"""A command that cannot be started: not again on that host, and dead where no other lives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.domain.job import State
from queuectl.domain.views import exit_code, reason
from queuectl.domain.worker_record import ProcessIdentity, WorkerRecord
from queuectl.worker.runs import programs
from tests.worker.fleet import Fleet, eventually, fleet_in


def join(fleet: Fleet, host: str, queues: tuple[str, ...] = ()) -> WorkerRecord:
    """Register a worker of another host, which claims nothing."""
    now = fleet.queue.store.now()
    process = ProcessIdentity(4711, "12345.5", "another boot")
    record = WorkerRecord(f"{host}-1", process, host, "/home/me", queues, now, now)
    fleet.queue.store.workers.register(record)
    return record


def script(root: Path, first_line: str) -> str:
    """Make a script that begins so, and return its path."""
    path = root / "script"
    path.write_text(f"{first_line}\necho hi\n")
    path.chmod(0o755)
    return str(path)


def unstartable(fleet: Fleet, case: str) -> dict[str, object]:
    """Return the fields of a job that no worker here can start."""
    closed = fleet.root / "file"
    closed.write_text("")
    cases: dict[str, dict[str, object]] = {
        "no program": {"command": ["no-such-program-anywhere"]},
        "not executable": {"command": ["/etc/passwd"]},
        "no interpreter": {"command": [script(fleet.root, "#!/no/such/python")]},
        "no directory": {"command": "true", "cwd": "/no/such/directory"},
        "no directory but a file": {"command": ["true"], "cwd": str(closed)},
        "too long": {"command": ["true", *["x" * 100_000] * 60]},
    }
    return {"cwd": str(fleet.root), **cases[case]}


@pytest.mark.parametrize(
    ("case", "error", "code"),
    [
        ("no program", "Command not found", 127),
        ("not executable", "Permission denied", 126),
        ("no interpreter", "Interpreter not found: /no/such/python", 127),
        ("no directory", "Working directory /no/such/directory: No such file", 1),
        ("no directory but a file", "Not a directory", 1),
        ("too long", "Arguments and environment are too long", 126),
    ],
)
def test_where_there_is_one_host_it_is_dead_at_once(
    workers: Fleet, case: str, error: str, code: int
) -> None:
    job = workers.settled(workers.enqueue(**unstartable(workers, case)))  # type: ignore[arg-type]
    assert (job.state, job.attempts, len(job.history)) == (State.DEAD, 1, 1)
    assert error in (job.last_error or "")
    assert exit_code(job) == code
    assert len(job.not_on) == 1
    why = reason(job, workers.queue.store.now()) or ""
    assert why == f"{job.last_error} (on {job.not_on[0]}; it is not tried again there)"


@pytest.mark.parametrize(
    "fields",
    [
        {"command": "no-such-program-anywhere"},
        {"command": "/etc/passwd"},
        {"command": ["cat"], "input": "missing.csv"},
    ],
)
def test_what_a_shell_reports_or_lacks_its_input_is_an_attempt_as_any(
    workers: Fleet, fields: dict[str, object]
) -> None:
    job = workers.settled(workers.enqueue(max_retries=2, backoff_base=0, **fields))  # type: ignore[arg-type]
    assert (job.state, job.attempts, job.not_on) == (State.DEAD, 2, ())


def test_a_retry_by_hand_tries_it_again_here(workers: Fleet) -> None:
    program = workers.root / "later"
    job_id = workers.enqueue([str(program)])
    assert workers.settled(job_id).state is State.DEAD
    script(workers.root, "#!/bin/sh")
    (workers.root / "script").rename(program)
    workers.queue.retry(job_id)
    assert workers.settled(job_id).state is State.COMPLETED


def test_what_the_system_lacks_for_a_moment_is_an_attempt_as_any() -> None:
    for number, kind in ((11, programs.CannotStart), (2, programs.CannotStartHere)):
        fault = OSError(number, "no")
        assert type(programs.cannot_start(fault, "why")) is kind


@pytest.fixture(params=["sqlite", "mongo"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """A home without workers yet, on each kind of store."""
    url = request.getfixturevalue("mongo_url") if request.param == "mongo" else None
    with fleet_in(tmp_path, url) as fleet:
        yield fleet


def test_another_host_that_lives_may_start_it_and_this_one_leaves_it_alone(anywhere: Fleet) -> None:
    fleet = anywhere
    join(fleet, "elsewhere")
    fleet.start()
    job_id = fleet.enqueue(["no-such-program-anywhere"], max_retries=1)
    job = eventually(lambda: (job := fleet.job(job_id)).put_backs > 0 and job)
    assert (job.state, job.attempts) == (State.PENDING, 0)
    assert len(job.history) == 1, "it is not begun here again"
    assert job.put_back == f"for another host, as {job.not_on[0]} cannot start it"
    assert fleet.ran("true").state is State.COMPLETED, "others run meanwhile"
    fleet.queue.store.workers.unregister("elsewhere-1")
    dead = fleet.settled(job_id)
    assert (dead.state, dead.last_error) == (State.DEAD, "Command not found")


def test_a_host_whose_workers_do_not_take_from_its_queue_does_not_count(fleet: Fleet) -> None:
    join(fleet, "elsewhere", queues=("gpu",))
    fleet.start()
    assert fleet.settled(fleet.enqueue(["no-such-program-anywhere"])).state is State.DEAD
