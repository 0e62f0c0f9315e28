"""How many workers a home is to have, with real workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.harness import Cli, process
from tests.cli.test_workers import until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="workers need a Unix")


def slots(cli: Cli) -> list[int]:
    """Return the slots of each worker."""
    return sorted(each["slots"] for each in cli.ok("worker", "list", "--json").json)


def test_a_declared_number_of_workers_is_started_and_kept_over_a_restart(
    cli: Cli, home: Path
) -> None:
    assert process("worker", "scale", "3").out.endswith("This home has 3 workers\n")
    assert slots(cli) == [1, 1, 1]
    scaled = process("worker", "scale", "2")
    assert scaled.out.count("stopped\n") == 1
    assert scaled.out.endswith("This home has 2 workers\n")
    assert process("worker", "scale", "2").out == "This home has 2 workers\n"
    cli.ok("worker", "stop", "--all")
    assert process("worker", "start").out.startswith("Started 2 worker(s)")
    assert process("worker", "start").out.startswith("Started 1 worker(s)"), "there are some"
    cli.ok("worker", "stop")
    assert process("worker", "start", "1").out.startswith("Started 1 worker(s)"), "it was said"
    assert (home / "workers.scale").stat().st_mode & 0o777 == 0o600
    assert process("worker", "scale", "0").out.endswith("This home has 0 workers\n")
    assert slots(cli) == []
    (home / "workers.scale").write_text("nonsense")
    assert "queuectl worker scale N" in cli.refused(5, "worker", "start")


def test_the_number_is_that_of_the_workers_that_stay(cli: Cli, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    cli.ok("enqueue", "a", f"touch {begun}; sleep 30")
    process("worker", "start", "--drain")
    until(begun.exists)
    assert process("worker", "scale", "1").out.startswith("Started 1 worker(s)")
    scaled = process("worker", "scale", "2")
    assert scaled.out.startswith("Started 1 worker(s)")
    cli.ok("cancel", "--all", "-y")


def test_workers_come_back_after_a_restart_as_many_and_for_the_same_queues(cli: Cli) -> None:
    process("worker", "start", "-q", "gpu")
    process("worker", "start", "-j", "3")
    before = cli.ok("worker", "list", "--json").json
    restarted = process("worker", "restart")
    assert restarted.out.count("stopped\n") == 2
    after = cli.ok("worker", "list", "--json").json
    assert {each["pid"] for each in before}.isdisjoint(each["pid"] for each in after)

    def kinds(workers: list[dict[str, object]]) -> list[str]:
        return sorted(f"{each['slots']} {each['queues']}" for each in workers)

    assert kinds(after) == kinds(before)


def test_a_restart_without_workers_starts_what_was_declared(cli: Cli) -> None:
    process("parallel", "2")
    assert process("worker", "restart").out.startswith("Started 1 worker(s)")
    assert slots(cli) == [2]


def test_so_many_jobs_run_at_once_in_a_home_as_is_said(cli: Cli) -> None:
    declared = process("parallel", "3")
    assert declared.out == "This home runs 3 jobs at once\n"
    assert declared.err == "no worker is running: queuectl worker start\n"
    process("worker", "start")
    assert slots(cli) == [3]
    process("parallel", "5")
    assert sum(slots(cli)) == 5
    process("parallel", "1")
    assert slots(cli) == [1]
    assert cli.ok("parallel").out == "This home runs 1 job at once\n"
    cli.refused(2, "parallel", "0")


def test_a_queue_is_limited_by_the_same_word(cli: Cli) -> None:
    assert cli.ok("parallel", "3", "-q", "gpu").out == "Limited queue 'gpu' to 3 at once\n"
    assert cli.ok("parallel", "0", "-q", "gpu").out == "Removed the limit of queue 'gpu'\n"
    assert "say how many" in cli.refused(2, "parallel", "-q", "gpu")


def test_how_many_workers_is_said_once(cli: Cli) -> None:
    assert "said twice" in cli.refused(2, "worker", "start", "3", "-c", "3")
    assert "name the workers" in cli.refused(2, "worker", "stop", "--all", "1")
    assert process("worker", "start", "2").out.startswith("Started 2 worker(s)")
    assert process("worker", "start", "-j", "3").out.startswith("Started 1 worker(s)")
    assert slots(cli) == [1, 1, 3]
