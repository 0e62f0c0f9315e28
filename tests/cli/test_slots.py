"""Workers that run several jobs at once: how many each may, and what is shown of them."""

from __future__ import annotations

import os
import signal

import pytest

from queuectl.queue import Queue, open_queue
from tests.cli.harness import Cli, play_worker, process, running
from tests.cli.test_workers import until

needs_workers = pytest.mark.skipif(os.name == "nt", reason="workers need a Unix")


def add(queue: Queue, *names: str) -> None:
    """Enqueue jobs of these names."""
    queue.enqueue([queue.request({"id": name, "command": "true"}) for name in names])


def listed(cli: Cli) -> list[dict[str, object]]:
    """Return the workers as `worker list` shows them in JSON."""
    workers: list[dict[str, object]] = cli.ok("worker", "list", "--json").json
    return workers


def shown(cli: Cli) -> list[dict[str, object]]:
    """Return the workers as JSON, which is the same in both places."""
    workers = listed(cli)
    assert cli.ok("status", "--json").json["workers"] == workers
    return workers


def slots_of(worker: dict[str, object]) -> int:
    return int(str(worker["slots"]))


def test_a_worker_with_64_jobs_in_hand_takes_one_short_line(cli: Cli) -> None:
    names = [f"job{number:02}" for number in range(64)]
    with open_queue() as queue:
        add(queue, *names)
        play_worker(queue, slots=64, jobs=64)
    (worker,) = shown(cli)
    assert (worker["job"], worker["jobs"], worker["slots"]) == ("job00", names, 64)
    titles, line = cli.ok("worker", "list").out.splitlines()
    assert titles.split()[:4] == ["PID", "STATE", "SLOTS", "JOB"]
    assert line.split()[1:5] == ["busy", "64/64", "job00", "+63"]
    assert cli.ok("status").out.splitlines()[-1] == line
    assert all(worker_id not in line for worker_id in names[1:])


def test_slots_in_use_are_never_more_than_there_are(cli: Cli) -> None:
    with open_queue() as queue:
        add(queue, "a", "b", "c")
        play_worker(queue, slots=2, jobs=3)
    assert shown(cli)[0]["jobs"] == ["a", "b", "c"]
    assert cli.ok("worker", "list").out.splitlines()[1].split()[2:5] == ["2/2", "a", "+1"]


def test_a_worker_with_one_slot_is_shown_with_its_job(cli: Cli) -> None:
    with open_queue() as queue:
        add(queue, "a", "b")
        play_worker(queue, jobs=2)
    assert (shown(cli)[0]["job"], shown(cli)[0]["slots"]) == ("a", 1)
    titles, line = cli.ok("worker", "list").out.splitlines()
    assert "SLOTS" not in titles
    assert line.split()[1:3] == ["busy", "a"]
    assert "+1" not in line


def test_an_idle_worker_shows_its_free_slots(cli: Cli) -> None:
    with open_queue() as queue:
        play_worker(queue, slots=16)
    assert cli.ok("worker", "list").out.splitlines()[1].split()[1:4] == ["idle", "0/16", "-"]


@needs_workers
def test_workers_have_as_many_slots_as_their_start_said_else_the_setting(cli: Cli) -> None:
    process("worker", "start", "-j", "3")
    process("worker", "start")
    cli.ok("config", "set", "concurrency", "5")
    process("worker", "start", "--count", "2")
    # who was told nothing follows the setting, as it is now
    until(lambda: sorted(map(slots_of, listed(cli))) == [3, 5, 5, 5])


@needs_workers
def test_a_worker_on_a_terminal_has_the_slots_that_it_was_told(cli: Cli) -> None:
    with running("worker", "run", "--concurrency", "4") as run:
        until(lambda: bool(cli.ok("worker", "list", "--json").json))
        slots = [worker["slots"] for worker in cli.ok("worker", "list", "--json").json]
        assert run.ends(signal.SIGTERM).code == 0
    assert slots == [4]
