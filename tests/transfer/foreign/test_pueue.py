"""pueue's tasks, as its versions keep them."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from queuectl.domain.errors import InvalidInput
from tests.transfer.foreign.kit import entries_of, fields_of


def task(number: int, status: Any, **more: Any) -> dict[str, Any]:
    """Return a task as a state has it."""
    return {
        "id": number, "command": f"make t{number}", "original_command": "m", "path": "/srv/app",
        "envs": {}, "group": "default", "dependencies": [], "label": None, "status": status, **more,
    }  # fmt: skip


def state(*tasks: dict[str, Any], groups: Any = None, **more: Any) -> str:
    """Return the text of a state."""
    made = {str(each["id"]): each for each in tasks}
    return json.dumps({"tasks": made, "groups": groups or {}, **more})


OLD = {"daemon": {"default_parallel_tasks": 2, "groups": {"gpu": 3}}}


def test_groups_are_queues_with_limits() -> None:
    new = {"default": {"status": "Running", "parallel_tasks": 2},
           "gpu": {"status": "Paused", "parallel_tasks": 3},
           "any": {"status": "Running", "parallel_tasks": 0}}  # fmt: skip
    old = {"default": "Running", "gpu": "Paused"}
    for text in (state(groups=new), state(groups=old, settings=OLD)):
        found = entries_of("pueue", text)
        assert [(each.name, each.limit) for each in found] == [("default", 2), ("gpu", 3)]


def test_before_0_12_a_group_says_whether_it_runs() -> None:
    tasks = [task(1, "Queued", group=None), task(2, "Queued", group="gpu")]
    text = state(*tasks, groups={"gpu": False}, running=True, settings=OLD)
    default, gpu, first, second = entries_of("pueue", text)
    assert [(default.name, default.limit), (gpu.name, gpu.limit)] == [("default", 2), ("gpu", 3)]
    assert "hold" not in fields_of(first)
    assert fields_of(second)["hold"] is True
    assert fields_of(entries_of("pueue", state(tasks[0], running=False))[-1])["hold"] is True


QUEUED: list[Any] = ["Queued", {"Queued": {"enqueued_at": "2026-01-01T00:00:00Z"}}]


@pytest.mark.parametrize("status", QUEUED)
def test_a_task_that_waits_is_a_job(status: Any) -> None:
    text = state(task(7, status, label="docs", priority=5, group="gpu"))
    for data in (text.encode(), gzip.compress(text.encode())):
        (entry,) = entries_of("pueue", data)
        assert (entry.where, entry.name.rpartition("-")[0]) == ("task 7", "docs")
        assert fields_of(entry) == {
            "command": "make t7", "cwd": "/srv/app", "labels": ["docs"], "priority": 5,
            "queue": "gpu", "max_retries": 1, "timeout": 0,
        }  # fmt: skip


AT = "2031-07-05T23:27:46.347581949+02:00"


@pytest.mark.parametrize(
    ("status", "more", "wanted"),
    [
        ({"Stashed": {"enqueue_at": None}}, {}, {"hold": True}),
        ({"Stashed": {"enqueue_at": AT}}, {}, {"run_at": AT}),
        ("Stashed", {"enqueue_at": AT}, {"run_at": AT}),
        ("Stashed", {"enqueue_at": None}, {"hold": True}),
        ("Queued", {"group": "shut"}, {"hold": True}),
        ({"Stashed": {"enqueue_at": AT}}, {"group": "shut"}, {"hold": True, "run_at": AT}),
    ],
)
def test_stashed_delayed_and_paused_ones_do_not_run_at_once(
    status: Any, more: dict[str, Any], wanted: dict[str, Any]
) -> None:
    groups = {"shut": {"status": "Paused", "parallel_tasks": 0}}
    (entry,) = entries_of("pueue", state(task(1, status, **more), groups=groups))
    fields = fields_of(entry)
    assert {name: fields.get(name) for name in ("hold", "run_at") if name in fields} == wanted


@pytest.mark.parametrize(
    "status",
    [
        "Running", "Paused", {"Running": {"start": AT}}, {"Paused": {"start": AT}}, "Done",
        {"Done": "Success"}, {"Done": {"Failed": 2}}, {"Done": {"result": {"Failed": 2}}},
    ],
)  # fmt: skip
def test_what_runs_or_has_ended_is_listed_and_not_taken(status: Any) -> None:
    (entry,) = entries_of("pueue", state(task(1, status)))
    assert entry.left


def test_one_that_is_being_edited_is_refused() -> None:
    (entry,) = entries_of("pueue", state(task(1, {"Locked": {"previous_status": "Queued"}})))
    assert "Locked" in entry.refused


@pytest.mark.parametrize(
    ("parent", "why"),
    [
        ("Queued", None), ({"Done": "Success"}, ""), ({"Done": {"Failed": 1}}, "has failed"),
        ({"Done": {"result": "Success"}}, ""), ({"Done": {"result": "Killed"}}, "has failed"),
        ("Running", "is not taken"),
    ],
)  # fmt: skip
def test_dependencies_are_kept_dropped_or_make_a_task_impossible(parent: Any, why: Any) -> None:
    first, second = entries_of("pueue", state(task(1, parent), task(2, "Queued", dependencies=[1])))
    if why:
        assert why in second.refused
    else:
        wanted = [first.name] if why is None else None
        assert fields_of(second).get("after") == wanted


def test_an_environment_is_taken_only_when_that_is_said() -> None:
    text = state(task(1, "Queued", envs={"API_TOKEN": "hunter2", "PUEUE_GROUP": "x", "A": "1"}))
    (without,) = entries_of("pueue", text)
    assert without.environment == ()
    assert "hunter2" not in repr(without)
    assert "without its environment of 2 variables (--with-env)" in without.changes
    (entry,) = entries_of("pueue", text, with_env=True)
    assert entry.environment == (("A", "1"), ("API_TOKEN", "hunter2"))


@pytest.mark.parametrize("data", ["{", "[]", '{"tasks": []}', b"\x1f\x8bnothing", b"\xff"])
def test_what_is_not_of_pueue_is_refused(data: str | bytes) -> None:
    with pytest.raises(InvalidInput):
        entries_of("pueue", data)


@pytest.mark.parametrize(
    "more",
    [
        {"settings": []}, {"settings": {"daemon": 5}}, {"groups": []},
        {"tasks": {"1": {"status": [], "command": 5}}},
        {"tasks": {"1": task(1, "Queued", dependencies=7, envs=[1], group=5, label=5)}},
    ],
)  # fmt: skip
def test_a_state_of_another_shape_is_no_fault_of_ours(more: dict[str, Any]) -> None:
    text = json.dumps({"tasks": {}, "groups": {}, **more})
    assert all(each.refused or each.is_taken for each in entries_of("pueue", text))
