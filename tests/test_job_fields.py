"""Every field of a job can be asked for in every way, and is shown wherever a job is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from jsonschema import Draft202012Validator
from starlette.testclient import TestClient

from queuectl.domain.dependencies import parents
from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import State
from queuectl.domain.job_fields import ASKED, FIELDS, Kind, Spec, bounds_of
from queuectl.domain.request import RESULT_FIELDS, build_request
from queuectl.domain.settings import Settings
from queuectl.domain.sizes import size_text
from queuectl.domain.text import MASK
from queuectl.maintenance.scheduler import Scheduler
from queuectl.queue import Queue
from queuectl.web.api import description
from tests.cli.harness import Cli, cli, home
from tests.job_fields import (
    CHOSEN,
    EXCUSED,
    SPELLED,
    all_paths,
    as_json,
    filled,
    flat,
    free_value,
    full_job,
    given_fields,
    kinds_of,
    read_from,
    survives,
)
from tests.web.conftest import api, queue, served

__all__ = ["api", "cli", "home", "queue", "served"]

OPEN = ASKED["queue"]
"""A field that is no secret, as all are that are not in the table."""

OPTIONS = {"labels": "label", "needs": "need"}
"""Options of `enqueue` that are spelled otherwise than their fields."""

TITLES = {
    "max_retries": "attempts", "backoff_base": "backoff", "backoff_cap": "backoff",
    "clean_env": "environment",
}  # fmt: skip
"""The lines of `show` that are headed otherwise than by the field that they show."""


def asked(queue: Queue, turn: int = 0) -> Spec:
    """Return what to ask for, with jobs in the queue for those that it waits for."""
    spec = filled(Spec, turn, id="job")
    queue.enqueue([{"id": name, "command": "true", "cwd": "/"} for name in parents(spec)])
    return spec


def options_of(given: Mapping[str, Any]) -> list[str]:
    """Return the options of a command line that say what fields do."""
    words = []
    for name, value in given.items():
        option = f"--{OPTIONS.get(name, name).replace('_', '-')}"
        if isinstance(value, dict):
            value = [f"{key}={text}" for key, text in value.items()]
        for each in value if isinstance(value, list) else [value] if value is not False else []:
            words += [option] if each is True else [option, str(each)]
    return words


def by_web(api: TestClient, given: Mapping[str, Any]) -> None:
    answer = api.post("/api/jobs", json=given)
    assert answer.status_code == 201, answer.text
    assert {name: answer.json()[name] for name in given} == masked(given)


def masked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as they are shown: of a secret no more than that there is one."""
    return {name: MASK if ASKED.get(name, OPEN).is_secret else given[name] for name in given}


WAYS: dict[str, Callable[[Cli, Queue, TestClient, Mapping[str, Any]], object]] = {
    "lines": lambda cli, _q, _a, given: cli.ok("enqueue", "--file", "-", stdin=json.dumps(given)),
    "word": lambda cli, _queue, _api, given: cli.ok("enqueue", json.dumps(given)),
    "options": lambda cli, _queue, _api, given: cli.ok("enqueue", *options_of(given)),
    "program": lambda _cli, queue, _api, given: queue.enqueue_one(given),
    "web": lambda _cli, _queue, api, given: by_web(api, given),
}
"""How one asks for a job."""


@pytest.mark.parametrize("turn", [0, 2])
@pytest.mark.parametrize("way", WAYS)
def test_every_field_can_be_asked_for(
    cli: Cli, queue: Queue, api: TestClient, way: str, turn: int
) -> None:
    spec = asked(queue, turn)
    WAYS[way](cli, queue, api, given_fields(spec))
    survives("input", flat(spec, "spec."), flat(queue.get("job").spec, "spec."))


@pytest.mark.parametrize("state", [State.FAILED, State.DEAD])
def test_every_field_is_shown_to_programs(
    cli: Cli, api: TestClient, queue: Queue, state: State
) -> None:
    job = full_job(state, "job", seq=7)
    assert queue.store.restore([job], keep_numbers=True) == set()
    wanted = {path: as_json(path, value) for path, value in flat(job).items()}
    shown = cli.ok("show", "job", "--json").json
    survives("show", wanted, read_from(shown))
    assert cli.ok("list", "--json").json == [shown]
    answer = api.get("/api/jobs/job").json()
    assert answer == shown
    components = description()["components"]
    job_schema = components["schemas"]["Job"]
    assert job_schema["properties"].keys() == shown.keys()
    Draft202012Validator({**job_schema, "components": components}).validate(answer)


def test_every_field_is_described_where_the_web_takes_a_job() -> None:
    schema = description()["components"]["schemas"]["Enqueue"]
    for turn in (0, 1):
        given = given_fields(filled(Spec, turn))
        assert given.keys() <= schema["properties"].keys()
        Draft202012Validator(schema).validate(given)


def test_every_field_is_shown_to_people(cli: Cli, queue: Queue) -> None:
    wanted = given_fields(asked(queue))
    queue.enqueue_one(wanted)
    lines = dict(line.split(maxsplit=1) for line in cli.ok("show", "job").out.splitlines())
    for name, value in masked(wanted).items():
        words = size_text(value) if name in SIZES else text_of(value)
        assert words in lines.get(TITLES.get(name, name), ""), name


SIZES = {"memory"}
"""The fields that are amounts of memory, which have a unit and no bounds that anybody meets."""


def text_of(value: object) -> str:
    """Return what people read of a value; a flag has said enough when its line is there."""
    if isinstance(value, dict):
        return " ".join(f"{name}={text}" for name, text in value.items())
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is True else str(value)


class Editor:
    """A program in the place of a person's editor, which keeps what it sees and types a file."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._seen, self._typed, program = root / "seen", root / "typed", root / "editor"
        program.write_text(
            f'cp "$1" {self._seen}\ntest ! -e {self._typed} || cp {self._typed} "$1"\n'
        )
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", f"sh {program}")

    def types(self, table: Mapping[str, Any]) -> None:
        """Type these fields of `job` next time, and nothing else."""
        self._typed.write_text(tomlkit.dumps({"job": table}))

    @property
    def seen(self) -> dict[str, Any]:
        """What it saw of `job`."""
        return dict(tomlkit.parse(self._seen.read_text()).unwrap()["job"])


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    """The editor of a person who has typed nothing yet."""
    return Editor(tmp_path, monkeypatch)


def test_the_editor_shows_every_field_and_takes_another_value_for_it(
    cli: Cli, queue: Queue, editor: Editor
) -> None:
    first, second = asked(queue), asked(queue, 1)
    queue.enqueue_one(given_fields(first))
    assert "nothing was changed" in cli.ok("edit", "job").err
    shown = masked({path[5:]: as_json("", v) for path, v in flat(first, "spec.").items()})
    wanted = {f"spec.{name}": value for name, value in shown.items() if value is not None}
    survives("editor", wanted, {f"spec.{name}": value for name, value in editor.seen.items()})
    editor.types(given_fields(second, "editor"))
    cli.ok("edit", "job")
    survives("edit", flat(second, "spec."), flat(queue.get("job").spec, "spec."))


def test_set_takes_another_value_for_every_field(cli: Cli, queue: Queue) -> None:
    first, second = asked(queue), asked(queue, 1)
    queue.enqueue_one(given_fields(first))
    words = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in given_fields(second, "editor").items()
    ]
    cli.ok("set", "job", *words)
    survives("edit", flat(second, "spec."), flat(queue.get("job").spec, "spec."))


@pytest.mark.parametrize("way", ["options", "fields"])
def test_a_schedule_gives_every_field_to_its_runs(cli: Cli, queue: Queue, way: str) -> None:
    spec = asked(queue)
    given = given_fields(spec, "schedule")
    if way == "options":
        words = [given.pop("command"), *options_of(given)]
        cli.ok("schedule", "add", "nightly", "* * * * *", *words)
    else:
        queue.schedules.add("nightly", "* * * * *", given)
    shown = cli.ok("schedule", "show", "nightly", "--json").json["job"]
    assert shown.keys() == given_fields(spec, "schedule").keys()
    store, added = queue.store, queue.schedules.get("nightly")
    due = replace(added, next_due=store.now() - timedelta(minutes=1), rev=added.rev + 1)
    assert store.schedules.save(due, added)
    assert Scheduler(store, store.now() - timedelta(hours=1)).enqueue_due(Settings()).enqueued
    (run,) = queue.schedules.runs("nightly", 2)
    survives("schedule", flat(spec, "spec."), flat(run.spec, "spec."))


@pytest.mark.parametrize("path", [path for path in CHOSEN if path.startswith("Spec.")])
def test_a_value_is_chosen_by_hand_where_no_other_would_be_taken(path: str) -> None:
    name = path.removeprefix("Spec.")
    given = {"id": "job", "command": "true", name: free_value(Spec, name, 0)}
    with pytest.raises(InvalidInput, match=name):
        build_request(given, Settings(), lambda _kind, _raw: pytest.fail("no time"), str)


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (place, path)
        for place in ("input", "editor", "schedule")
        for path in EXCUSED[place]
        if path.removeprefix("spec.") not in RESULT_FIELDS
    ],
)
def test_a_field_that_nobody_needs_to_ask_for_is_refused(
    queue: Queue, place: str, path: str
) -> None:
    queue.enqueue_one("true", id="job")
    ways: dict[str, Callable[[Mapping[str, Any]], object]] = {
        "input": queue.request,
        "editor": lambda given: queue.edit("job", given),
        "schedule": lambda given: queue.schedules.add("nightly", "* * * * *", given),
    }
    value = as_json("", flat(filled(Spec), "spec.")[path])
    with pytest.raises(
        InvalidInput, match=r"unknown field|cannot be changed|does not go with|true or false"
    ):
        ways[place]({"command": "true", "cwd": "/", path.removeprefix("spec."): value})


@pytest.mark.parametrize("name", sorted(kinds_of(Spec).keys() & RESULT_FIELDS))
def test_what_only_queuectl_sets_and_shows_is_passed_over_with_a_note(
    queue: Queue, name: str
) -> None:
    request = queue.request({"command": "true", "cwd": "/", name: free_value(Spec, name, 0)})
    assert getattr(request.spec, name) == FIELDS[name].default
    assert request.notes == (f"field '{name}' is a result and was ignored",)


def test_only_fields_that_there_are_have_excuses_and_other_names() -> None:
    assert {name for each in EXCUSED.values() for name in each} | SPELLED.keys() <= set(all_paths())
    assert OPTIONS.keys() | TITLES.keys() <= kinds_of(Spec).keys()


@pytest.mark.parametrize(
    "name", [
        name for name, field in ASKED.items()
        if field.kind in (Kind.WHOLE, Kind.NUMBER) and name not in SIZES
    ]
)  # fmt: skip
def test_the_bounds_of_a_number_are_in_the_help_and_in_every_refusal(cli: Cli, name: str) -> None:
    found = bounds_of(ASKED[name])
    assert found is not None
    least, most = found
    assert f"[{least:,}..{most:,}]" in cli.ok("enqueue", "--help").out
    for wrong in ("few", str(least - 1), str(most + 1)):
        refused = cli("enqueue", "a", "true", f"--{name.replace('_', '-')}", wrong)
        assert refused.code == 2
        assert str(most) in refused.err.replace(",", "")
