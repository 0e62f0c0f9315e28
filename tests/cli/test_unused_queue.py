"""Queues that no job ever was in, as a mistyped name makes one."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl.domain.job import Outcome
from queuectl.queue import open_queue
from tests.cli.harness import Cli, process, run_next
from tests.stores.conftest import new_mongo_url

__all__ = ["new_mongo_url"]

NOT_YET = "no job is in queue 'typo' yet\n"


@pytest.fixture(params=["sqlite", "mongo"])
def store(request: pytest.FixtureRequest, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Command lines that use a store of each kind, with a job in queue `gpu`."""
    if request.param == "mongo":
        monkeypatch.setenv("QUEUECTL_STORE", request.getfixturevalue("new_mongo_url"))
    cli.ok("enqueue", "a", "true", "--queue", "gpu")
    return cli


def test_waiting_for_a_queue_in_which_no_job_ever_was_is_refused(store: Cli) -> None:
    assert "no job has ever been in queue 'typo'" in store.refused(3, "wait", "--queue", "typo")
    store.ok("queue", "limit", "typo", "3")
    store.refused(3, "wait", "--queue", "typo")
    with open_queue() as queue:
        run_next(queue, Outcome(exit_code=0))
    store.ok("wait", "--queue", "gpu")
    store.ok("delete", "a")
    assert store.ok("wait", "--queue", "gpu").code == 0, "it had a job once"


def test_waiting_for_a_queue_where_there_is_no_store_is_refused_and_makes_none(
    cli: Cli, home: Path
) -> None:
    assert "does not exist" in cli.refused(3, "wait", "--queue", "typo")
    assert not home.exists()


def test_whoever_pauses_a_queue_that_has_no_job_yet_is_told_so(store: Cli) -> None:
    paused = store.ok("queue", "pause", "typo")
    assert (paused.out, paused.err) == ("Paused queue 'typo'\n", NOT_YET)
    assert store.ok("queue", "pause", "gpu").err == ""
    assert store.ok("queue", "pause", "hooks").err == ""


def test_whoever_starts_workers_for_a_queue_that_has_no_job_yet_is_told_so(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true", "--queue", "gpu")
    started = process("worker", "start", "--queue", "typo", "--queue", "gpu")
    assert started.out.startswith("Started 1 worker(s)")
    assert started.err == NOT_YET
