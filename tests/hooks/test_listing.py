"""`hook deliveries`: what a hook has told and is about to tell, with what was answered."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain.job import SETTLED
from queuectl.queue import open_queue
from queuectl.queue.hook_deliveries import enqueue_deliveries
from tests.hooks.kit import ending, hook
from tests.hooks.receiver import Receiver
from tests.worker.fleet import Fleet, eventually


def test_deliveries_are_listed_with_when_how_often_and_the_answer(
    either: Fleet, receiver: Receiver, cli: Any
) -> None:
    receiver.answers = [410]
    either.queue.hooks.add(hook("told", address=receiver.url, events=("dead",)))
    either.start()
    for number in (1, 2):
        either.ran("exit 3", id=f"job{number}")
        eventually(partial(_are_over, either, number))
    command = ("--home", str(either.home.root), "--store", either.location.store_url)
    second, first = cli.ok(*command, "hook", "deliveries", "told", "--json").json
    assert (first["state"], first["attempts"]) == ("dead", 1)
    assert first["answer"] == "hook 'told': 127.0.0.1 answered HTTP 410"
    assert first["event"] == "job 'job1' is dead (run 1, queue default): Exit code 3"
    assert (second["state"], second["next_try"]) == ("completed", None)
    assert second["answer"] == "127.0.0.1 answered HTTP 200"
    assert second["sent_at"] >= second["created_at"]
    (latest,) = cli.ok(*command, "hook", "deliveries", "told", "-n", "1", "--json").json
    assert latest == second
    shown = cli.ok(*command, "hook", "deliveries", "told").out
    assert "127.0.0.1 answered HTTP 200" in shown
    assert "s3cr3t" not in shown


def _are_over(fleet: Fleet, number: int) -> bool:
    jobs = list(fleet.queue.hooks.deliveries("told", 10))
    return len(jobs) == number and all(job.state in SETTLED for job in jobs)


def test_what_waits_has_no_answer_yet_and_nothing_is_so_it_is_said(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUECTL_HOME", str(tmp_path / "home"))
    cli.ok("hook", "add", "a", "--on", "dead", "--command", "true")
    assert cli.ok("hook", "deliveries", "a", "--json").json == []
    assert "nothing was told yet" in cli.ok("hook", "deliveries", "a").err
    with open_queue(home=str(tmp_path / "home")) as queue:
        enqueue_deliveries(queue.store, [ending(queue.now(), job_id="job1")])
    (waiting,) = cli.ok("hook", "deliveries", "a", "--json").json
    assert (waiting["state"], waiting["answer"], waiting["attempts"]) == ("pending", None, 0)
    assert waiting["next_try"]
