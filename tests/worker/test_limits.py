"""The limits of a run: held by a cgroup where that is delegated, refused elsewhere."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain.job import State
from queuectl.system import cgroups
from tests.worker.fleet import Fleet, eventually

PYTHON = f"{sys.executable} -S -E"


def needed() -> str:
    """Return why runs cannot have cgroups here; nothing where they can."""
    if why := cgroups.lacking_on_host([cgroups.MEMORY, cgroups.CPU]):
        return why
    base = cgroups.base_of_worker()
    if base is None or not os.access(f"{base}/cgroup.subtree_control", os.W_OK):
        return "the cgroup of the tests is not delegated to them"
    return ""


delegated = pytest.mark.skipif(bool(needed()), reason=needed())
refused = pytest.mark.skipif(not needed(), reason="limits can be held here")


def holding(mebibytes: int) -> str:
    """Return a line that has so much memory."""
    return f"{PYTHON} -c 'x = b\"x\" * ({mebibytes} << 20)'"


def groups_of_runs() -> list[str]:
    """Return the cgroups of runs that there are."""
    base = cgroups.base_of_worker()
    return [path.name for path in Path(base or "/nowhere").glob("queuectl.run-*")]


@refused
@pytest.mark.parametrize(
    ("limits", "option"),
    [({"memory": "64M"}, "--memory"), ({"cpus": 1}, "--cpus"),
     ({"memory": "64M", "cpus": 1}, "--memory and --cpus")],
)  # fmt: skip
def test_a_run_whose_limits_cannot_be_held_is_not_started_and_not_tried_again(
    workers: Fleet, limits: dict[str, Any], option: str
) -> None:
    job = workers.settled(workers.enqueue("touch started", max_retries=3, **limits))
    assert (job.state, job.attempts, job.runs) == (State.DEAD, 1, 1)
    why = f"Command could not be started: {option} cannot be held here: "
    assert (job.last_error or "").startswith(why)
    assert not (workers.root / "started").exists()


def test_the_address_space_of_each_process_is_limited_without_a_cgroup(workers: Fleet) -> None:
    limits = {"memory": "256M", "memory_kind": "address-space"}
    assert "MemoryError" in workers.outcome(holding(300), **limits).stderr
    assert workers.outcome(["sh", "-c", "ulimit -v"], **limits).stdout == f"{256 * 1024}\n"


@pytest.mark.parametrize("command", [["printf", "%s|", "a b", "$HOME", ""], "printf 'a b|$HOME||'"])
def test_a_limited_command_is_started_as_it_stands(workers: Fleet, command: object) -> None:
    limits = {"memory": "1G", "memory_kind": "address-space"}
    assert workers.outcome(command, **limits).stdout == "a b|$HOME||"


def test_a_limited_command_that_is_not_there_is_told_as_any(workers: Fleet) -> None:
    limits = {"memory": "1G", "memory_kind": "address-space"}
    assert workers.outcome(["no-such-program"], **limits).error == "Command not found"


@delegated
def test_a_run_that_needs_more_memory_is_killed_alone_and_says_so(workers: Fleet) -> None:
    before = workers.pids()
    job = workers.ran(f"{holding(200)}; echo survived", memory="64M")
    assert job.last_error == "out of memory (64 MB)"
    assert job.outcome is not None
    assert (job.outcome.signal, job.outcome.stdout) == (9, "")
    assert (job.outcome.peak_memory or 0) <= 64 * 2**20
    assert [run.signal for run in job.history] == [9]
    assert (workers.pids(), groups_of_runs()) == (before, [])


@delegated
def test_a_run_gets_no_more_processors_than_it_may_use(workers: Fleet) -> None:
    spin = "import time; t = time.process_time()\nwhile time.process_time() - t < 0.2: pass"
    outcome = workers.outcome([sys.executable, "-S", "-E", "-c", spin], cpus=0.2)
    assert outcome.duration > 0.5
    assert groups_of_runs() == []


@delegated
def test_what_leads_a_run_and_all_that_it_starts_are_in_a_cgroup_apart(workers: Fleet) -> None:
    apart = workers.outcome("cat /proc/self/cgroup", memory="64M").stdout
    others = workers.outcome("cat /proc/self/cgroup").stdout
    assert "/queuectl.run-" in apart
    assert others.rstrip().endswith("/queuectl.own")


@delegated
def test_no_cgroup_is_left_behind_by_a_worker_that_is_killed(fleet: Fleet) -> None:
    fleet.start()
    job = fleet.running(fleet.enqueue("sleep 60", memory="64M"))
    (name,) = groups_of_runs()
    assert job.claim_id in name
    os.kill(fleet.pids()[0], signal.SIGKILL)
    eventually(lambda: name not in groups_of_runs())


MOUNTS = (
    "24 1 0:22 / /proc rw - proc proc rw\n"
    "41 31 0:38 {root} /sys/fs/cgroup{at} rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
)


@pytest.mark.parametrize(
    ("root", "at", "own", "base"),
    [
        ("/", "", "/user.slice/user@1.service/q.service", "/user.slice/user@1.service/q.service"),
        ("/", "", "/", ""),
        ("/", "", "/q.service/queuectl.own", "/q.service"),
        ("/", r"\040v2", "/q", " v2/q"),
        ("/docker/1", "", "/docker/1", ""),
        ("/docker/1", "", "/docker/1/queuectl.own", ""),
        ("/docker/1", "", "/docker/2", None),
        ("/", "", "/../other", None),
    ],
)
def test_the_cgroup_of_a_worker_is_found_where_the_hierarchy_is_mounted(
    monkeypatch: pytest.MonkeyPatch, root: str, at: str, own: str, base: str | None
) -> None:
    files = {
        "/proc/self/mountinfo": MOUNTS.format(root=root, at=at),
        "/proc/self/cgroup": f"4:memory:/elsewhere\n0::{own}\n",
    }
    monkeypatch.setattr(cgroups, "read_text", lambda path: files[path])
    assert cgroups.base_of_worker() == (None if base is None else f"/sys/fs/cgroup{base}")
