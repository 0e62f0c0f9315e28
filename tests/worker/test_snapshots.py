"""Jobs that run in a checkout of the work tree as it was when they were enqueued."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import replace
from queuectl.domain.job import Job, State
from queuectl.domain.snapshot import Snapshot
from queuectl.queue.snapshots import sweep
from queuectl.system.git_snapshot import REFS
from tests.system.test_git_snapshot import git, no_own_configuration
from tests.worker.fleet import Fleet, eventually, pids_in

__all__ = ["no_own_configuration"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A work tree with one commit and a change."""
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    git(tree, "init", "-q", "-b", "main")
    (tree / "version.txt").write_text("first\n")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "first")
    (tree / "version.txt").write_text("second\n")
    return tree


@pytest.fixture
def running(fleet: Fleet) -> Iterator[Fleet]:
    """A fleet of one worker that runs two jobs at once; in the end no checkout is left."""
    fleet.set(concurrency=2, backoff_base=0, kill_grace_seconds=0.3)
    fleet.start()
    yield fleet
    eventually(lambda: checkouts(fleet) == [])


def checkouts(fleet: Fleet) -> list[Path]:
    """Return the checkouts that there are."""
    return [*fleet.home.checkouts.iterdir()] if fleet.home.checkouts.exists() else []


def enqueue(fleet: Fleet, tree: Path, command: str, **fields: object) -> str:
    """Enqueue a job with a snapshot of a tree."""
    return fleet.enqueue(command, cwd=str(tree), snapshot=True, **fields)  # type: ignore[arg-type]


def output(job: Job) -> str:
    """Return what a job has written that has succeeded."""
    assert job.outcome is not None
    assert job.state is State.COMPLETED, job.last_error
    return job.outcome.stdout


def refs(tree: Path) -> str:
    """Return the refs that hold snapshots."""
    return git(tree, "for-each-ref", "--format=%(objectname)", REFS)


def test_a_job_and_its_retries_see_the_tree_as_it_was(running: Fleet, tree: Path) -> None:
    tried = running.root / "tried"
    command = f"cat version.txt; test -e {tried} || {{ touch {tried}; exit 1; }}"
    running.queue.pause_queue("default")
    job_id = enqueue(running, tree, command)
    (tree / "version.txt").write_text("third\n")
    running.queue.resume_queue("default")
    job = running.settled(job_id)
    assert (output(job), job.attempts) == ("second\n", 2)
    assert (tree / "version.txt").read_text() == "third\n"
    assert job.spec.snapshot is not None
    assert Snapshot.of(job.spec.snapshot).commit == refs(tree)


def test_it_runs_below_the_root_as_there_and_is_told_where_it_came_from(
    running: Fleet, tree: Path
) -> None:
    job = running.settled(
        enqueue(
            running,
            tree / "below",
            'pwd; echo "$PWD"; echo "$QUEUECTL_SUBMIT_DIR"; cat ../version.txt',
        )
    )
    here, told, came_from, version = output(job).splitlines()
    assert here == told
    assert Path(here).name == "below"
    assert Path(here).parent.parent == running.home.checkouts
    assert (came_from, version) == (str(tree / "below"), "second")


def test_each_run_has_a_checkout_of_its_own(running: Fleet, tree: Path) -> None:
    command = "pwd; echo $QUEUECTL_JOB_ID > mine; sleep 0.2; cat mine; git rev-parse HEAD"
    ids = [enqueue(running, tree, command) for _ in range(2)]
    (first, mine, commit), (second, other, same) = (
        output(running.settled(job_id)).splitlines() for job_id in ids
    )
    assert first != second
    assert [mine, other] == ids
    assert commit == same == refs(tree), "two of one state share one commit"


def test_a_preflight_runs_in_the_checkout(running: Fleet, tree: Path) -> None:
    job_id = enqueue(running, tree, "cat seen", preflight="cp version.txt seen")
    assert output(running.settled(job_id)) == "second\n"


def test_a_snapshot_that_is_gone_is_told(running: Fleet, tree: Path) -> None:
    running.queue.pause_queue("default")
    job_id = enqueue(running, tree, "true")
    tree.rename(tree.with_name("moved"))
    running.queue.resume_queue("default")
    job = running.settled(job_id)
    assert (job.state, job.attempts, len(job.not_on)) == (State.DEAD, 1, 1)
    short = Snapshot.of(job.spec.snapshot or "").short
    assert job.last_error == f"Snapshot {short} cannot be checked out: {tree} is not there"


def test_another_host_refuses_it(fleet: Fleet, tree: Path) -> None:
    fleet.enqueue("true", "job1", cwd=str(tree), snapshot=True, hold=True)
    job = fleet.job("job1")
    elsewhere = Snapshot.of(job.spec.snapshot or "")._replace(host="elsewhere").text
    moved = replace(job, spec=replace(job.spec, id="job2", snapshot=elsewhere), paused=False)
    fleet.queue.store.restore([moved])
    fleet.start()
    dead = fleet.settled("job2")
    assert dead.last_error == f"Snapshot {elsewhere[:12]} is on elsewhere"
    assert dead.state is State.DEAD


def test_a_killed_worker_leaves_nothing_behind_for_long(fleet: Fleet, tree: Path) -> None:
    begun = fleet.root / "begun"
    fleet.set(kill_grace_seconds=0.3)
    (worker,) = fleet.start()
    job_id = enqueue(fleet, tree, f"test -s {begun} && exit; echo $$ > {begun}; sleep 60")
    eventually(lambda: pids_in(begun))
    assert len(checkouts(fleet)) == 1
    os.kill(worker, signal.SIGKILL)
    assert fleet.settled(job_id).state is State.COMPLETED
    eventually(lambda: checkouts(fleet) == [])
    assert git(tree, "worktree", "list").count("\n") == 0


def test_a_job_that_is_cancelled_or_given_back_leaves_no_checkout(
    running: Fleet, tree: Path
) -> None:
    begun = running.root / "begun"
    job_id = enqueue(running, tree, "true", preflight=f"echo $$ > {begun}; sleep 60")
    eventually(lambda: pids_in(begun))
    running.queue.cancel(job_id)
    assert running.settled(job_id).state is State.CANCELLED


def test_its_objects_are_held_until_no_job_needs_them(fleet: Fleet, tree: Path) -> None:
    ids = [enqueue(fleet, tree, "true") for _ in range(2)]
    held = refs(tree)
    assert held
    for job_id, left in zip(ids, (held, ""), strict=True):
        fleet.queue.delete(job_id)
        sweep(fleet.queue.store, fleet.home)
        assert refs(tree) == held, "one that was taken just now may be of a job to come"
        sweep(fleet.queue.store, fleet.home, older_than=-1)
        assert refs(tree) == left
    assert [path for path in fleet.home.snapshots.rglob("*") if path.is_file()] == []


def test_where_there_is_no_work_tree_nothing_is_enqueued(fleet: Fleet, tmp_path: Path) -> None:
    done = subprocess.run(["git", "rev-parse"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode, "the tests do not run in a work tree"
    with pytest.raises(InvalidInput, match="no snapshot can be taken in"):
        enqueue(fleet, tmp_path, "true")
    assert fleet.queue.counts().total == 0


def test_a_checkout_that_fails_for_now_is_an_attempt_as_any(running: Fleet, tree: Path) -> None:
    lock = tree / ".git" / "worktrees"
    lock.write_text("in the way of what git keeps of work trees\n")
    job_id = enqueue(running, tree, "true", max_retries=2)
    job = running.settled(job_id)
    assert (job.state, job.attempts, job.not_on) == (State.DEAD, 2, ())
    assert "cannot be checked out: " in (job.last_error or "")


def test_a_linked_work_tree_may_be_removed_before_its_jobs_run(
    running: Fleet, tree: Path, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    git(tree, "worktree", "add", "-q", "--detach", str(linked))
    (linked / "below").mkdir(exist_ok=True)
    (linked / "below" / "only.txt").write_text("only\n")
    running.queue.pause_queue("default")
    job_id = enqueue(running, linked / "below", "cat only.txt")
    git(tree, "worktree", "remove", "--force", str(linked))
    running.queue.resume_queue("default")
    job = running.settled(job_id)
    assert (job.state, output(job)) == (State.COMPLETED, "only\n")
    running.queue.delete(job_id)
    sweep(running.queue.store, running.home, older_than=-1)
    assert refs(tree) == ""


def test_its_objects_are_held_while_a_batch_has_yet_to_make_jobs_of_it(
    fleet: Fleet, tree: Path
) -> None:
    fields = {"command": ["true"], "cwd": str(tree), "snapshot": True}
    made = fleet.queue.enqueue_sweep(fleet.queue.sweep(fields, array="1-20000"))
    (batch,) = fleet.queue.store.batches.unmade()
    for number in range(1, batch.made + 1):
        fleet.queue.delete(f"{made.batch}-{number}")
    sweep(fleet.queue.store, fleet.home, older_than=-1)
    assert refs(tree)
