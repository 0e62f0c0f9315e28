"""The command lines that people bring with them, without workers."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from queuectl.domain.job import Outcome, State
from queuectl.domain.settings import KEYS
from queuectl.domain.times import UTC
from queuectl.queue import open_queue
from queuectl.stores.mongo.connection import Link
from tests.cli.harness import Cli, bury, claim_next, run_next
from tests.stores.conftest import new_mongo_url

__all__ = ["new_mongo_url"]

STATES = [state.value for state in State]


def test_init_makes_a_home_here_once(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QUEUECTL_HOME")
    store = tmp_path / "work" / ".queuectl" / "queue.db"
    assert cli.ok("init").out == f"Initialized {store}\n"
    cli.ok("enqueue", "a", "true")
    assert cli.ok("init").out == f"{store} already initialized\n"
    assert cli.ids() == ["a"]


def test_init_makes_the_home_that_is_named(cli: Cli, tmp_path: Path) -> None:
    named = tmp_path / "named"
    assert cli.ok("init", "--home", str(named)).out == f"Initialized {named / 'queue.db'}\n"
    assert named.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "args",
    [["@job.json"], ["--file", "job.json"], ["-f", "job.json"], ["-f", "-"], ["@-"],
     ['{"id": "job1",\n "command": "echo Hello", "max_retries": 2}']],
)  # fmt: skip
def test_a_job_is_enqueued_from_json_in_a_file_or_on_the_command_line(
    cli: Cli, args: list[str]
) -> None:
    written = '{"id": "job1",\n "command": "echo Hello", "max_retries": 2}'
    Path("job.json").write_text(written)
    assert cli.ok("enqueue", *args, stdin=written).out == "Enqueued job 'job1'\n"
    job = cli.job("job1")
    assert (job["command"], job["max_retries"], job["state"]) == ("echo Hello", 2, "pending")


def test_jobs_are_enqueued_from_an_array_in_a_file(cli: Cli) -> None:
    Path("job.json").write_text('[{"id": "a", "command": "true"}, {"id": "b", "command": "true"}]')
    assert cli.ok("enqueue", "-f", "job.json").out == "Enqueued job 'a'\nEnqueued job 'b'\n"


def test_a_job_is_enqueued_from_options_and_replaced(cli: Cli) -> None:
    cli.ok("enqueue", "--id", "job1", "--command", "sleep 2", "--max-retries", "5")
    assert "exists already" in cli.refused(4, "enqueue", "--id", "job1", "--command", "true")
    result = cli.ok("enqueue", "--id", "job1", "--command", "true", "--replace")
    assert result.out == "Replaced job 'job1'\n"
    assert cli.job("job1")["command"] == "true"


def test_a_job_that_is_processing_is_neither_replaced_nor_deleted(cli: Cli) -> None:
    cli.ok("enqueue", "job1", "sleep 2")
    with open_queue() as queue:
        claim_next(queue)
    cli.refused(4, "enqueue", "job1", "sleep 3", "--replace")
    assert "--force" in cli.refused(4, "delete", "job1")


def test_an_argument_list_is_kept_as_typed(cli: Cli) -> None:
    cli.ok("enqueue", "build", "--", "make", "-j4", "all tests", "--", "--queue")
    job = cli.job("build")
    assert job["command"] == ["make", "-j4", "all tests", "--", "--queue"]


def test_a_command_alone_gets_an_id_that_is_printed(cli: Cli) -> None:
    line = cli.ok("enqueue", "sleep 5 && echo done").out
    job_id = line.split("'")[1]
    assert cli.ok("enqueue", "-p", "echo again").out.strip().isalnum()
    assert cli.job(job_id[:6])["id"] == job_id


def test_every_option_of_enqueue_reaches_the_job(cli: Cli, tmp_path: Path) -> None:
    cli.ok(
        *"enqueue all true --queue gpu --priority high --timeout 9 --max-retries 7".split(),
        *"--backoff-base 1.5 --backoff-cap 60 --cwd sub --env A=1 --env B=x=y".split(),
        *"--label nightly --label db --run-at 2099-01-01T00:00:00Z".split(),
    )
    job = cli.job("all")
    wanted = {
        "queue": "gpu", "priority": 10, "timeout": 9, "max_retries": 7, "backoff_base": 1.5,
        "backoff_cap": 60, "cwd": str(tmp_path / "work" / "sub"), "env": {"A": "1", "B": "x=y"},
        "labels": ["nightly", "db"], "run_at": "2099-01-01T00:00:00.000Z",
    }  # fmt: skip
    assert {name: job[name] for name in wanted} == wanted


@pytest.mark.parametrize("option", ["--in", "--delay"])
def test_a_delay_makes_a_job_wait(cli: Cli, option: str) -> None:
    cli.ok("enqueue", "later", "true", option, "1h30m")
    assert cli.job("later")["reason"].startswith("scheduled for ")


def test_options_come_before_the_fields_of_a_file(cli: Cli) -> None:
    Path("j.json").write_text(
        '{"id": "a", "command": "true", "max-retries": 9, "in": "1h", "env": {"A": "1", "B": "2"},'
        ' "labels": ["x"]}'
    )
    cli.ok(*"enqueue @j.json --max-retries 2 --at 2099-01-01T00:00:00Z --env B=3 --label y".split())
    job = cli.job("a")
    assert (job["max_retries"], job["run_at"][:4]) == (2, "2099")
    assert (job["env"], job["labels"]) == ({"A": "1", "B": "3"}, ["x", "y"])


def test_the_working_directory_is_the_enqueuers(cli: Cli, tmp_path: Path) -> None:
    cli.ok("enqueue", "a", "pwd")
    assert cli.job("a")["cwd"] == str(tmp_path / "work")


def test_result_fields_are_ignored_with_a_note(cli: Cli) -> None:
    result = cli.ok("enqueue", '{"id": "a", "command": "true", "state": "dead", "attempts": 9}')
    assert "field 'state' is a result" in result.err
    assert cli.job("a")["state"] == "pending"


def test_the_shown_job_can_be_enqueued_again_as_it_is(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true", "--env", "A=1")
    shown = cli.ok("show", "a", "--json").out
    assert cli.ok("enqueue", "-f", "-", "--id", "b", stdin=shown).out == "Enqueued job 'b'\n"


def test_status_counts_every_state(cli: Cli) -> None:
    bury("dead1")
    cli.ok("enqueue", "a", "true")
    status = cli.ok("status", "--json").json
    assert status["counts"] == {**dict.fromkeys(STATES, 0), "pending": 1, "dead": 1, "total": 2}
    assert status["workers"] == []
    assert [queue["name"] for queue in status["queues"]] == ["default"]
    text = cli.ok("status").out.split()
    assert all(word in text for word in [*STATES, "total", "workers"])


def test_a_listing_shows_dead_jobs_too_in_order_of_arrival(cli: Cli) -> None:
    bury("job10")
    cli.ok("enqueue", "job2", "echo two")
    header, first, second = cli.ok("list").out.splitlines()
    assert header.split()[:3] == ["ID", "STATE", "ATTEMPTS"]
    assert first.split()[:4] == ["job10", "dead", "(1)", "1/1"]
    assert "no worker is running" in second
    assert second.endswith("echo two")


def test_a_listing_of_each_state_is_a_json_array(cli: Cli) -> None:
    bury("d")
    cli.ok("enqueue", "p", "true")
    for state in STATES:
        states = [job["state"] for job in cli.ok("list", "--state", state, "--json").json]
        assert states == ([state] if state in ("dead", "pending") else [])
    assert len(cli.ok("list", "--state", "dead,pending", "--json").json) == 2


def test_a_long_listing_is_cut_and_says_so(cli: Cli) -> None:
    lines = "".join(json.dumps({"id": f"j{n}", "command": "true"}) + "\n" for n in range(120))
    cli.ok("enqueue", "-f", "-", stdin=lines)
    shown = cli.ok("list")
    assert len(shown.out.splitlines()) == 101
    assert "100 of 120" in shown.err
    assert len(cli.ok("list", "--limit", "0").out.splitlines()) == 121
    assert len(cli.ok("list", "--json").json) == 120
    assert len(cli.ok("list", "--json", "--limit", "7").json) == 7


def test_an_empty_listing_says_what_to_type(cli: Cli) -> None:
    assert cli.ok("list").err.startswith("no jobs yet: queuectl enqueue")
    assert cli.ok("list", "--json").json == []
    assert "empty" in cli.ok("dlq", "list").err


def test_the_dlq_tells_when_and_why(cli: Cli) -> None:
    bury("a", error="Job exceeded 10s timeout")
    header, line = cli.ok("dlq", "list").out.splitlines()
    assert "FAILED AT" in header
    assert "Job exceeded 10s timeout" in line
    assert cli.ok("dlq", "list", "--json").json[0]["failed_at"] in line
    assert cli.ok("dlq", "show", "a", "--json").json["state"] == "dead"


def test_dead_jobs_are_retried_with_all_of_their_attempts(cli: Cli) -> None:
    bury("a", "b", "c")
    cli.ok("dlq", "retry", "a")
    assert "not dead" in cli.refused(4, "dlq", "retry", "a")
    cli.ok("dlq", "retry", "--all")
    jobs = cli.ok("list", "--json").json
    assert [(job["state"], job["attempts"]) for job in jobs] == [("pending", 0)] * 3
    assert cli.ok("dlq", "retry", "--all").code == 0


def test_each_of_several_ids_is_done_or_refused_by_itself(cli: Cli) -> None:
    bury("a", "b")
    result = cli("dlq", "retry", "a", "missing", "a", "b")
    assert result.code == 3
    assert cli.ok("status", "--json").json["counts"]["pending"] == 2


@pytest.mark.parametrize("words", ["jobs delete", "job delete", "delete", "rm", "jobs rm"])
def test_a_job_is_deleted(cli: Cli, words: str) -> None:
    cli.ok("enqueue", "job1", "true")
    assert "deleted" in cli.ok(*words.split(), "job1").out
    cli.refused(3, "show", "job1")


def test_settings_are_shown_in_three_ways(cli: Cli) -> None:
    lines = cli.ok("config", "get").out.splitlines()
    assert [line.split(" = ")[0] for line in lines] == list(KEYS)
    assert cli.ok("config", "get", "max-retries").out == "3\n"
    assert cli.ok("config", "show").json["max_retries"] == 3


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("timeout-seconds", "15", "timeout_seconds = 15"),
        ("backoff_base", "1.5", "backoff_base = 1.5"),
        ("job_timeout", "5", "timeout_seconds = 5"),
        ("MAX-Retries", "4", "max_retries = 4"),
    ],
)
def test_settings_are_changed_and_unset(cli: Cli, key: str, value: str, line: str) -> None:
    assert cli.ok("config", "set", key, value).out == line + "\n"
    assert cli.ok("config", "get", key).out == value + "\n"
    assert cli.ok("config", "unset", key).out != line + "\n"


def test_settings_are_copied_into_a_job_when_it_is_enqueued(cli: Cli) -> None:
    cli.ok("config", "set", "max_retries", "8")
    cli.ok("enqueue", "a", "true")
    cli.ok("config", "set", "max_retries", "2")
    assert cli.job("a")["max_retries"] == 8


def test_a_cancelled_job_can_be_retried(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true")
    assert cli.ok("cancel", "a").out == "Cancelled job 'a'\n"
    assert cli("wait", "a").code == 143
    cli.ok("retry", "a")
    assert "nothing to retry" in cli.refused(4, "retry", "a")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome(exit_code=0), 0),
        (Outcome(exit_code=7, error="Exit code 7"), 7),
        (Outcome(signal=9, error="Killed by signal 9"), 137),
        (Outcome(signal=15, timed_out=True, error="Job exceeded 1s timeout"), 124),
        (Outcome(error="Command not found"), 127),
        (Outcome(error="Working directory /nowhere: No such file or directory"), 1),
    ],
)
def test_waiting_for_one_job_ends_with_its_own_code(cli: Cli, outcome: Outcome, code: int) -> None:
    cli.ok("enqueue", "a", "true", "--max-retries", "1")
    with open_queue() as queue:
        run_next(queue, outcome)
    assert cli("wait", "a").code == code
    assert cli("wait", "a", "a", "--json").json[0]["id"] == "a"


def test_waiting_too_long_ends_with_124(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true")
    for words in (["a"], ["--all"], ["--queue", "default"]):
        assert "still pending" in cli.refused(124, "wait", *words, "--timeout", "0")


def test_the_output_of_another_host_is_shown_from_the_record(cli: Cli) -> None:
    bury("a", "b")
    result = cli.ok("logs", "a")
    assert (result.out, result.err) == ("", "oh no\n")
    assert cli.ok("logs", "a", "--stderr", "-n", "1").out == "oh no\n"
    assert "no run 2" in cli.refused(3, "logs", "a", "--attempt", "2")
    assert cli.ok("logs", "a", "b", "--stderr").out == "a: oh no\nb: oh no\n"


def test_the_last_lines_of_a_log_file_are_shown(cli: Cli, home: Path) -> None:
    bury("a")
    folder = home / "logs" / "jobs" / "a"
    folder.mkdir(parents=True)
    (folder / "1.out").write_text("".join(f"line {n}\n" for n in range(20_000)))
    assert cli.ok("logs", "a", "-n", "2").out == "line 19998\nline 19999\n"
    assert cli.ok("logs", "a", "-n", "0").out == ""
    assert len(cli.ok("logs", "a").out.splitlines()) == 20_000


@pytest.mark.parametrize(
    "line",
    ["show a --home {0}", "--home {0} show a", "jobs show --home {0} a", "--store {0}/queue.db ls"],
)
def test_global_options_stand_before_or_after_the_command(
    cli: Cli, tmp_path: Path, line: str
) -> None:
    other = str(tmp_path / "other")
    cli.ok("--home", other, "enqueue", "a", "true")
    assert "a" in cli.ok(*line.format(other).split()).out
    cli.refused(3, "show", "a")


def test_help_has_an_example_for_every_command(cli: Cli) -> None:
    from queuectl.cli.root import COMMANDS

    assert cli.ok("--help").out == cli.ok("-h").out == cli.ok("help").out
    groups = {"dlq": "list show retry", "worker": "start stop list run logs",
              "config": "get show set unset"}  # fmt: skip
    paths = [[name] for name in COMMANDS]
    paths += [[group, name] for group, names in groups.items() for name in names.split()]
    for path in paths:
        text = cli.ok(*path, "--help").out
        example = text.partition("Examples:\n")[2]
        assert "queuectl " in example, path
        assert cli.ok("help", *path).out == text


def test_the_version_is_printed(cli: Cli) -> None:
    assert cli.ok("--version").out.startswith("queuectl ")


def test_doctor_finds_a_sound_home_sound(cli: Cli) -> None:
    cli.ok("init")
    assert all(finding["ok"] for finding in cli.ok("doctor", "--json").json)
    assert cli.ok("doctor").out.count("OK") >= 5


def test_doctor_says_what_to_do(cli: Cli, home: Path) -> None:
    cli.ok("enqueue", "a", "true")
    home.chmod(0o755)
    result = cli("doctor")
    assert result.code == 1
    assert f"chmod -R go= {home}" in result.out
    assert "queuectl worker start" in result.out


def test_doctor_reports_a_damaged_store(cli: Cli, home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "queue.db").write_bytes(b"not a database" * 100)
    assert cli("doctor").code == 5


def test_a_clock_that_is_off_is_told_of_once_with_what_helps(
    cli: Cli, new_mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.ok("--store", new_mongo_url, "init")
    monkeypatch.setattr(Link, "now", lambda _: datetime.now(UTC) + timedelta(hours=1))
    result = cli("--store", new_mongo_url, "doctor")
    assert result.code == 1
    (fault,) = [line for line in result.out.splitlines() if line.startswith("FAIL")]
    assert fault.startswith("FAIL  clock: 3600.0 s behind the store's")
    assert fault.endswith("; set this host's clock")


def test_a_stored_setting_that_nobody_knows_is_removed_as_doctor_says(cli: Cli) -> None:
    with open_queue() as queue:
        queue.store.settings.set("of_old", 1)
    assert "config unset, corrects" in cli("doctor").out
    assert cli.ok("config", "unset", "of_old").out == "Removed setting 'of_old'\n"
    assert "OK    settings" in cli("doctor").out


def test_a_stored_setting_that_cannot_be_used_is_told_of_where_it_is_read(cli: Cli) -> None:
    with open_queue() as queue:
        queue.store.settings.set("max_retries", "many")
    read = cli.ok("config", "get", "max-retries")
    assert read.out == "3\n"
    assert "the default 3 is used" in read.err
    assert "the default 3 is used" in cli.ok("config", "show").err
    assert not cli.ok("config", "get", "backoff-cap").err


def test_a_word_of_another_group_is_proposed_with_its_place(cli: Cli) -> None:
    said = cli.refused(2, "schedule", "set", "nightly", "priority=3")
    assert "no such command 'set' (did you mean 'queuectl set'?)" in said
