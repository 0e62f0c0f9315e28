"""`--env-file`, `--capture-env`, `--clean-env`, and the settings that say what may run."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl.queue import open_queue
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
