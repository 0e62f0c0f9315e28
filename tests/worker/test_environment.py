"""What a run finds in its environment, and what is refused before it begins."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from queuectl.domain.job import Outcome, State
from queuectl.system.home import STORE_VARIABLES
from tests.worker.fleet import Fleet, eventually


@pytest.fixture
def marked(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A fleet of one worker, with a variable that the enqueuer has and the worker inherits."""
    monkeypatch.setenv("MARKED", "by the caller")
    fleet.start()
    return fleet


def variables_of(outcome: Outcome) -> dict[str, str]:
    """Return what `env` has written."""
    return dict(line.partition("=")[::2] for line in outcome.stdout.splitlines())


def test_a_clean_environment_has_only_the_few_and_what_is_named(marked: Fleet) -> None:
    names = set(variables_of(marked.outcome(["env"], clean_env=True, env={"OWN": "1"})))
    allowed = {"PATH", "HOME", "LANG", "OWN"}
    assert {name for name in names if not name.startswith("QUEUECTL_")} <= allowed
    assert {"PATH", "OWN", "QUEUECTL_JOB_ID", "QUEUECTL_WORKER_ID"} <= names


def test_the_directory_that_a_job_is_told_is_its_own_and_not_its_workers(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PWD", str(fleet.root))
    monkeypatch.setenv("OLDPWD", "/somewhere")
    fleet.start()
    folder, link = fleet.root / "folder", fleet.root / "link"
    folder.mkdir()
    link.symlink_to(folder)
    told = {
        str(folder): str(folder),
        str(link): str(link),  # as a shell shows it that has gone there
        f"{link}/../folder/.": str(folder),
        f"{folder}/": str(folder),
        "/": "/",
    }
    for cwd, expected in told.items():
        variables = variables_of(fleet.outcome(["env"], cwd=cwd))
        assert variables["PWD"] == expected
        assert "OLDPWD" not in variables
    shown = fleet.outcome("pwd; echo ${OLDPWD-none}", cwd=str(link))
    assert shown.stdout == f"{link}\nnone\n"
    captured = fleet.outcome(["env"], capture_env=True)
    assert variables_of(captured)["PWD"] == str(fleet.root)
    assert variables_of(fleet.outcome(["env"], env={"PWD": "/x"}))["PWD"] == "/x"


def test_the_setting_makes_it_the_rule_for_jobs_that_say_nothing(marked: Fleet) -> None:
    inherited = marked.outcome("echo $MARKED")
    marked.set(clean_env=True)
    cleaned, kept = (marked.outcome("echo $MARKED", **env) for env in ({}, {"clean_env": False}))
    outputs = [each.stdout for each in (inherited, cleaned, kept)]
    assert outputs == ["by the caller\n", "\n", "by the caller\n"]


def test_a_captured_environment_is_the_enqueuers_and_not_the_workers(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.start()
    monkeypatch.setenv("MARKED", "by the caller")
    for name in STORE_VARIABLES:
        monkeypatch.setenv(name, "mongodb://user:secret@db")
    captured = fleet.outcome("env", capture_env=True, env={"OWN": "1"})
    found = variables_of(captured)
    assert (found["MARKED"], found["OWN"]) == ("by the caller", "1")
    assert "secret@db" not in captured.stdout
    fleet.enqueue_all({"command": "true", "capture_env": True} for _ in range(5))
    assert len(fleet.queue.store.environments.names()) == 1


def test_a_job_whose_environment_is_gone_is_buried_at_once(fleet: Fleet) -> None:
    job_id = fleet.enqueue("true", max_retries=3, capture_env=True)
    assert fleet.queue.store.environments.forget(fleet.queue.now()) == 0
    with closing(sqlite3.connect(fleet.home.store_file)) as base, base:
        base.execute("DELETE FROM environments")
    fleet.start()
    job = fleet.settled(job_id)
    assert (job.state, job.attempts) == (State.DEAD, 1)
    assert "is not in the store" in str(job.last_error)


def test_a_command_that_is_denied_later_is_buried_at_once_and_never_run(fleet: Fleet) -> None:
    marker = fleet.root / "ran"
    job_id = fleet.enqueue(f"touch {marker}", max_retries=3)
    other = fleet.enqueue("true")
    fleet.set(denied_commands="touch *")
    fleet.start()
    job = fleet.settled(job_id)
    assert (job.state, job.attempts) == (State.DEAD, 1)
    assert job.last_error == "Command is not allowed: denied_commands has 'touch *'"
    assert not marker.exists()
    assert fleet.settled(other).state is State.COMPLETED


def test_a_job_goes_on_when_its_command_is_allowed_again(fleet: Fleet) -> None:
    job_id = fleet.enqueue("true")
    fleet.set(allowed_commands="make *")
    fleet.start()
    assert fleet.settled(job_id).state is State.DEAD
    fleet.set(allowed_commands="make *, true")
    fleet.queue.retry_dead(job_id)

    def has_succeeded() -> bool:
        job = fleet.job(job_id)
        if job.state is State.DEAD:  # by a worker that had not read the setting yet
            fleet.queue.retry_dead(job_id)
        return job.state is State.COMPLETED

    eventually(has_succeeded)


def test_of_an_environment_of_some_names_all_others_are_the_workers(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("CUDA_HOME", "/of/the/worker")
    monkeypatch.setenv("MARKED", "by the worker")
    fleet.start()
    fleet.set(capture_env=True, capture_env_names="CUDA_*, VIRTUAL_ENV")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.delenv("CUDA_HOME")
    monkeypatch.setenv("MARKED", "by the caller")
    found = variables_of(fleet.outcome(["env"]))
    assert (found["CUDA_VISIBLE_DEVICES"], found["MARKED"]) == ("3", "by the worker")
    assert "CUDA_HOME" not in found, "the caller does not have it, and it is one of the names"
    assert "QUEUECTL_CAPTURED_NAMES" not in found
    assert found["PATH"]
    fleet.set(clean_env=True)
    found = variables_of(fleet.outcome(["env"]))
    assert found["CUDA_VISIBLE_DEVICES"] == "3"
    assert "MARKED" not in found
