"""`--env-file`, `--capture-env`, `--clean-env`, and the settings that say what may run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queuectl.queue import environments, open_queue
from tests.cli.harness import Cli


def test_a_file_of_variables_comes_under_those_that_are_named(cli: Cli) -> None:
    Path("job.env").write_text("# of the job\nA=1\nexport B='two words'\nC=3\n")
    cli.ok("enqueue", "job1", "make", "--env-file", "job.env", "--env", "C=4")
    assert cli.job("job1")["env"] == {"A": "1", "B": "two words", "C": "4"}


def test_a_file_of_variables_may_be_a_field(cli: Cli) -> None:
    Path("job.env").write_text("A=1\nAPI_TOKEN=hunter2\n")
    cli.ok("enqueue", '{"id": "job1", "command": "true", "env_file": "job.env"}')
    assert cli.job("job1")["env"] == {"A": "1", "API_TOKEN": "********"}
    assert "hunter2" not in cli.ok("show", "job1").out


def test_a_line_that_would_be_left_out_refuses_the_file_and_is_not_shown(cli: Cli) -> None:
    for word in ("missing.env", "."):
        assert "is not a file" in cli.refused(2, "enqueue", "make all", "--env-file", word)
    Path("job.env").write_text("A='two\nlines'\nAPI_TOKEN: hunter2\n")
    err = cli.refused(2, "enqueue", "make all", "--env-file", "job.env")
    assert "job.env:3: this is not NAME=VALUE" in err
    assert "hunter2" not in err


def test_a_captured_environment_is_stored_once_and_never_shown(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "hunter2")
    monkeypatch.setenv("MONGO_URI", "")
    cli.ok("enqueue", "job1", "make", "--capture-env")
    cli.ok("enqueue", '{"id": "job2", "command": "true", "capture_env": true}')
    with open_queue() as queue:
        (name,) = queue.store.environments.names()
        variables = dict(queue.store.environments.get(name) or ())
    assert variables["API_TOKEN"] == "hunter2"
    assert not {"MONGO_URI", "QUEUECTL_HOME", "PWD"} & variables.keys()
    for command in (["show", "job1"], ["show", "job1", "--json"], ["list", "--json"]):
        assert "hunter2" not in cli.ok(*command).out
    assert cli.job("job1")["capture_env"] is True
    assert "captured" in cli.ok("show", "job1").out
    assert "hunter2" not in cli.ok("export", "--mask").out


def test_a_captured_environment_comes_along_with_an_export(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKED", "yes")
    cli.ok("enqueue", "job1", "make", "--capture-env")
    text = cli.ok("export").out
    cli.ok("--home", "other", "import", "-", stdin=text)
    with open_queue("other") as queue:
        name = queue.get("job1").spec.environment
        assert name is not None
        assert ("MARKED", "yes") in (queue.store.environments.get(name) or ())
    changed = text.replace('["MARKED", "yes"]', '["MARKED", "no"]')
    result = cli("--home", "third", "import", "-", stdin=changed)
    assert result.code == 2
    assert "the environment is not what its id says" in result.err
    assert "its captured environment is missing" in result.err


def test_the_setting_for_clean_environments_is_copied_into_the_job(cli: Cli) -> None:
    why = cli.refused(2, "enqueue", "make all", "--capture-env", "--clean-env")
    assert "exclude each other" in why
    cli.ok("config", "set", "clean-env", "yes")
    cli.ok("enqueue", "job1", "make all")
    cli.ok("enqueue", '{"id": "job2", "command": "true", "clean_env": false}')
    cli.ok("enqueue", "job3", "make all", "--capture-env")
    shown = {job["id"]: job["clean_env"] for job in cli.ok("list", "--json").json}
    assert shown == {"job1": True, "job2": False, "job3": False}


def test_what_may_not_run_is_not_enqueued_and_the_pattern_is_named(cli: Cli) -> None:
    cli.ok("config", "set", "allowed_commands", "make *, ./run.sh")
    cli.ok("config", "set", "denied-commands", "make clean*")
    assert cli.ok("config", "get", "allowed_commands").out == "make *, ./run.sh\n"
    assert cli.ok("config", "show").json["denied_commands"] == "make clean*"
    cli.ok("enqueue", "make all")
    why = cli.refused(2, "enqueue", "make clean-all")
    assert "denied_commands has 'make clean*'" in why
    assert "fits none of allowed_commands" in cli.refused(2, "enqueue", "job9", "--", "rm", "x")
    cli.ok("config", "unset", "allowed_commands")
    cli.ok("enqueue", "job9", "--", "rm", "x")


def test_a_setting_of_text_is_emptied_by_an_empty_text(cli: Cli) -> None:
    cli.ok("config", "set", "denied_commands", "rm *")
    assert cli.ok("config", "set", "denied_commands", "").out == "denied_commands = \n"
    cli.ok("enqueue", "rm -f x")


# the caller's environment by a setting


def captured(job_id: str) -> dict[str, str] | None:
    """Return the variables that were captured for a job; None where none were."""
    with open_queue() as queue:
        name = queue.get(job_id).spec.environment
        return None if name is None else dict(queue.store.environments.get(name) or ())


def test_the_setting_captures_for_every_way_in_and_stores_equal_ones_once(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    cli.ok("enqueue", "job0", "make all")
    cli.ok("config", "set", "capture-env", "true")
    cli.ok("enqueue", "job1", "make all")
    cli.ok("enqueue", "job2", "--", "make", "all")
    cli.ok("enqueue", '{"id": "job3", "command": "make all"}')
    cli.ok("add", "make all")
    lines = "".join(f'{{"id": "line{n}", "command": "true"}}\n' for n in range(300))
    cli.ok("enqueue", "--file", "-", stdin=lines)
    with open_queue() as queue:
        queue.enqueue_one({"id": "job4", "command": "true"})
        assert len(queue.store.environments.names()) == 1
    for name in ("job1", "job2", "job3", "job4", "line0", "line299"):
        assert (captured(name) or {})["CUDA_VISIBLE_DEVICES"] == "3"
    assert captured("job0") is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    cli.ok("enqueue", "job5", "make all")
    assert (captured("job5") or {})["CUDA_VISIBLE_DEVICES"] == "4"


def test_one_job_can_do_without_what_the_setting_captures(cli: Cli) -> None:
    cli.ok("config", "set", "capture_env", "yes")
    cli.ok("enqueue", "job1", "make all", "--no-capture-env")
    cli.ok("enqueue", "job2", "make all", "--clean-env")
    cli.ok("enqueue", '{"id": "job3", "command": "true", "capture_env": false}')
    cli.ok("schedule", "add", "nightly", "* * * * *", "make all")
    assert [captured(f"job{n}") for n in (1, 2, 3)] == [None] * 3
    assert cli.job("job2")["clean_env"] is True
    with open_queue() as queue:
        assert queue.store.environments.names() == []


def test_only_what_fits_the_names_is_captured(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("OTHER", "x")
    cli.ok("config", "set", "capture_env_names", "CUDA_*,VIRTUAL_ENV")
    cli.ok("enqueue", "job1", "make all", "--capture-env")
    variables = captured("job1") or {}
    assert variables.pop("CUDA_VISIBLE_DEVICES") == "3"
    assert variables == {"QUEUECTL_CAPTURED_NAMES": "CUDA_*,VIRTUAL_ENV"}


def test_secrets_are_captured_and_shown_nowhere_or_left_out(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "hunter2")
    cli.ok("config", "set", "capture_env", "true")
    cli.ok("enqueue", "job1", "make all")
    assert (captured("job1") or {})["API_TOKEN"] == "hunter2"
    assert "hunter2" not in cli.ok("show", "job1").out + cli.ok("show", "job1", "--json").out
    cli.ok("config", "set", "capture_env_secrets", "false")
    cli.ok("enqueue", "job2", "make all")
    assert "API_TOKEN" not in (captured("job2") or {"API_TOKEN": ""})


def test_an_environment_of_some_names_comes_along_with_an_export(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    cli.ok("config", "set", "capture_env_names", "CUDA_*")
    cli.ok("enqueue", "job1", "make all", "--capture-env")
    text = cli.ok("export").out
    cli.ok("--home", "other", "import", "-", stdin=text)
    with open_queue("other") as queue:
        (name,) = queue.store.environments.names()
        assert ("CUDA_VISIBLE_DEVICES", "3") in (queue.store.environments.get(name) or ())


@pytest.mark.parametrize(
    "words",
    [
        ("enqueue", "job1", "make", "--capture-env"),
        ("enqueue", "--file", "-", "--capture-env"),
        ("enqueue", "--array", "1-3", "--capture-env", "--", "make", "{}"),
        ("add", "--capture-env", "make"),
    ],
    ids=lambda words: " ".join(words),
)
def test_an_enqueue_that_is_only_tried_stores_no_environment(
    cli: Cli, words: tuple[str, ...]
) -> None:
    cli.ok("enqueue", "first", "true")
    lines = "".join(f'{{"id": "b{n}", "command": "true"}}\n' for n in range(200))
    verb, *others = words
    cli.ok(verb, "--dry-run", *others, stdin=lines)
    with open_queue() as queue:
        assert queue.counts().total == 1
        name = environments.name_of(environments.capture(os.environ))
        assert queue.store.environments.get(name) is None
