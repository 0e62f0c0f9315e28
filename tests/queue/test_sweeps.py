"""Sweeps from other people's Python: what they store, on each store, and how they are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queuectl import open_queue
from queuectl.domain.errors import Conflict, InvalidInput, NotFound
from queuectl.domain.sweep import Sweep
from queuectl.queue import Queue
from queuectl.queue.sweep_text import from_text, to_text
from tests.stores.conftest import mongo_url, store_url
from tests.worker.conftest import fleet
from tests.worker.fleet import Fleet

__all__ = ["fleet", "mongo_url", "store_url"]


@pytest.fixture
def queue(tmp_path: Path, store_url: str) -> Iterator[Queue]:
    """A queue on each store."""
    with open_queue(str(tmp_path / "home"), store_url) as queue:
        yield queue


def test_every_combination_is_a_job_of_one_batch(queue: Queue) -> None:
    sweep = queue.sweep(
        {"command": ["train", "--lr={lr}", "{seed}"], "queue": "gpu"},
        params={"lr": [0.1, 1e-5], "seed": range(2)}, priority=3,
    )  # fmt: skip
    result = queue.enqueue_sweep(sweep, "night")
    assert (result.batch, result.total) == ("night", 4)
    jobs = {job.id: job.spec for job in queue.find()}
    assert [*jobs] == ["night-1", "night-2", "night-3", "night-4"]
    last = jobs["night-4"]
    assert last.command == ("train", "--lr=1e-05", "1")
    assert (last.queue, last.priority, last.batch, last.batch_index) == ("gpu", 3, "night", 4)
    assert last.params == (("lr", "1e-05"), ("seed", "1"))


@pytest.mark.parametrize("array", ["3-9:3", range(3, 10, 3)])
def test_an_array_is_text_or_a_range(queue: Queue, array: str | range) -> None:
    sweep = queue.sweep("job {}", array=array)
    assert [member.command for member in sweep.members()] == ["job 3", "job 6", "job 9"]


def test_rows_go_together_and_a_name_is_made_where_none_is_given(queue: Queue) -> None:
    sweep = queue.sweep("job {a} {b}", rows=[{"a": 1, "b": None}, {"b": "x y", "a": True}])
    name = queue.enqueue_sweep(sweep).batch
    found = {job.id: job.spec.command for job in queue.find()}
    assert found == {f"{name}-1": "job 1 ''", f"{name}-2": "job true 'x y'"}


def test_all_jobs_are_stored_or_none(queue: Queue) -> None:
    queue.enqueue({"id": "b-2", "command": "true"})
    with pytest.raises(Conflict, match="there is a batch 'b' already"):
        queue.enqueue_sweep(queue.sweep("job {}", array="1-3"), "b")
    with pytest.raises(NotFound):
        queue.enqueue_sweep(queue.sweep("job {}", array="1-3", after=["nobody"]), "c")
    assert [job.id for job in queue.find()] == ["b-2"]


@pytest.mark.parametrize(
    ("job", "more"),
    [
        ("job {}", {}),
        ("job {}", {"array": "1-2%8"}),
        ("job '{}'", {"array": "1-2"}),
        ("job {x}", {"params": {"x": []}}),
        ("job {x}", {"params": {"a b": ["1"]}}),
        ("job {x}", {"rows": []}),
        ("job {x}", {"rows": [{"x": 1}, {"y": 1}]}),
        ("job {x}", {"params": {"x": ["\0"]}}),
        ("job {}", {"array": "1-2", "unique": "k"}),
        ("job {}", {"array": "1-2", "priorty": 3}),
    ],
)
def test_what_cannot_be_meant_is_refused(queue: Queue, job: str, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        queue.enqueue_sweep(queue.sweep(job, **more))
    assert [*queue.find()] == []


def test_a_list_is_no_sweep(queue: Queue) -> None:
    with pytest.raises(TypeError, match="one command with its fields"):
        queue.sweep(["job", "{}"], array="1-2")  # type: ignore[arg-type]


def same(one: Sweep, other: Sweep) -> bool:
    """Whether two sweeps make the same jobs."""
    numbers = range(1, one.total + 1)
    return one.total == other.total and all(
        one.request(number, "b") == other.request(number, "b") for number in numbers
    )


def test_a_sweep_comes_back_from_its_text(queue: Queue) -> None:
    queue.enqueue({"id": "first", "command": "true"})
    sweep = queue.sweep(
        {"command": ["job", "{}", "{x}", "{%}"], "env": {"A": "1"}, "after": ["first"]},
        array="1-5:2,9", params={"x": ["a", "é\n'"]}, unique="u-{}-{x/}", labels=["l-{x}", "m"],
        timeout=3.5, hold=True, at="2030-01-31T14:30Z",
    )  # fmt: skip
    assert same(sweep, from_text(to_text(sweep)))
    line = queue.sweep("job {x}", params={"x": ["a b"]})
    assert same(line, from_text(to_text(line)))


def test_a_job_finds_its_values_in_its_environment(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("INDEX", "SLOT", "PARAM_X"):  # of a job that starts workers
        monkeypatch.setenv(f"QUEUECTL_{name}", "another's")
    sweep = fleet.queue.sweep(
        'printf "%s|" "$QUEUECTL_PARAM_LEARN_RATE" "$QUEUECTL_INDEX" "$QUEUECTL_PARAM_INDEX" '
        '"$QUEUECTL_BATCH" "$QUEUECTL_BATCH_INDEX" "$QUEUECTL_SLOT" {%} '
        '"$SLURM_ARRAY_TASK_ID" "$PBS_ARRAY_INDEX" "$SGE_TASK_ID"',
        array="7-8", env={"SGE_TASK_ID": "my own"}, params={"learn-rate": ["a  'b\n$(id)"]},
    )  # fmt: skip
    fleet.queue.enqueue_sweep(sweep, "b")
    plain = fleet.queue.enqueue_one(
        {"command": 'echo "$QUEUECTL_INDEX$QUEUECTL_SLOT$QUEUECTL_PARAM_X"'}
    )
    fleet.start()
    outcome = fleet.settled("b-2").outcome
    assert outcome is not None
    assert outcome.stdout == "a  'b\n$(id)|8|8|b|2|1|1|8|8|my own|"
    assert fleet.settled(plain).outcome.stdout == "\n"  # type: ignore[union-attr]


def test_jobs_that_run_at_once_have_slots_of_their_own_in_all_workers(fleet: Fleet) -> None:
    meet = f"echo x >> {fleet.root}/here; until [ $(wc -l < {fleet.root}/here) = 4 ]; do :; done; "
    sweep = fleet.queue.sweep(
        {"command": ["sh", "-c", meet + 'echo "$1 $QUEUECTL_SLOT"', "sh", "s{%}"]}, array="1-4"
    )
    fleet.queue.enqueue_sweep(sweep, "b")
    fleet.set(concurrency=2)
    fleet.start(2)
    outputs = [fleet.settled(f"b-{number}").outcome for number in range(1, 5)]
    assert sorted(each.stdout for each in outputs if each) == [f"s{n} {n}\n" for n in range(1, 5)]
    again = fleet.queue.sweep("echo {%}", array="1-1")
    fleet.queue.enqueue_sweep(again, "c")
    outcome = fleet.settled("c-1").outcome
    assert outcome is not None
    assert outcome.stdout == "1\n"
