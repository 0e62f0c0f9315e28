"""`schedule` on the command line."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import Outcome
from queuectl.domain.schedule import OVERLAPPED, Schedule
from queuectl.domain.settings import Settings
from queuectl.domain.times import iso
from queuectl.maintenance.scheduler import Scheduler
from queuectl.queue import open_queue
from queuectl.system import zones
from queuectl.system.zones import TzData, packaged_file, tz_data
from tests.cli.harness import Cli, run_next
from tests.local_zone import SetZone, zone

__all__ = ["zone"]

ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def make_due(name: str) -> None:
    """Let a schedule be due a minute ago, and play a worker that was there then."""
    with open_queue() as queue:
        before = queue.schedules.get(name)
        due = queue.now().replace(second=0, microsecond=0) - timedelta(minutes=1)
        assert queue.store.schedules.save(replace(before, next_due=due, rev=before.rev + 1), before)
        since = due - timedelta(minutes=1)
        assert Scheduler(queue.store, since).enqueue_due(Settings()).enqueued == 1


def test_a_schedule_is_added_and_shown(cli: Cli) -> None:
    out = cli.ok(
        "schedule", "add", "nightly", "0 3 * * *", "./backup.sh", "--tz", "Europe/Berlin",
        "--queue", "night", "--priority", "high", "--timeout", "600", "--max-retries", "5",
        "--env", "TOKEN=secret", "--env", "MODE=full", "--label", "backup", "--slots", "2",
    ).out  # fmt: skip
    assert re.fullmatch(rf"Added schedule 'nightly': next run {ISO}\n", out)
    shown = cli.ok("schedule", "show", "nightly", "--json").json
    job = shown.pop("job")
    assert job.pop("cwd").endswith("/work")
    assert job == {
        "command": "./backup.sh", "queue": "night", "priority": 10, "timeout": 600,
        "max_retries": 5, "labels": ["backup"], "slots": 2,
        "env": {"TOKEN": "********", "MODE": "full"},
    }  # fmt: skip
    assert (shown["name"], shown["cron"], shown["tz"]) == ("nightly", "0 3 * * *", "Europe/Berlin")
    assert (shown["catch_up"], shown["overlap"], shown["paused"]) == (False, False, False)
    assert len(shown["next"]) == 3
    assert shown["next"][0] == shown["next_due"]
    assert shown["jobs"] == []


def test_a_local_zone_without_a_name_is_the_one_of_its_rules_and_that_is_said(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    result = cli.ok("schedule", "add", "a", "0 3 * * *", "true")
    assert "is taken as CET" in result.err
    assert cli.ok("schedule", "show", "a", "--json").json["tz"] == "CET"
    monkeypatch.setenv("TZ", "XYZ-3:17")
    refused = cli.refused(2, "schedule", "add", "b", "0 3 * * *", "true")
    assert "no time zone has the rules" in refused
    assert "--tz Europe/Berlin" in refused
    cli.ok("schedule", "add", "b", "0 3 * * *", "true", "--tz", "Asia/Tokyo")


def test_a_line_that_is_legal_elsewhere_is_refused_with_what_to_write(cli: Cli) -> None:
    refused = cli.refused(2, "schedule", "add", "a", "0 3 * * fri-mon", "true")
    assert 'write "0 3 * * FRI,SAT,SUN,MON"' in refused


def test_an_interval_stands_in_place_of_the_expression(cli: Cli) -> None:
    cli.ok("schedule", "add", "sync", "--every", "90m", "./sync.sh", "--catch-up")
    cli.ok("schedule", "add", "list", "--every", "1h", "--", "echo", "a b")
    shown = cli.ok("schedule", "show", "sync", "--json").json
    assert (shown["cron"], shown["every"], shown["tz_version"]) == (None, 5400, None)
    anchor = datetime.fromisoformat(shown["anchor"].replace("Z", "+00:00"))
    assert [datetime.fromisoformat(each.replace("Z", "+00:00")) for each in shown["next"]] == [
        anchor + number * timedelta(minutes=90) for number in (1, 2, 3)
    ]
    assert re.search(r"every +1h30m", cli.ok("schedule", "show", "sync").out)
    assert "every 1h30m" in cli.ok("schedule", "list").out
    assert cli.ok("schedule", "show", "list", "--json").json["job"]["command"] == ["echo", "a b"]


def test_a_replaced_schedule_of_the_same_interval_keeps_its_pace(cli: Cli) -> None:
    add = ["schedule", "add", "a", "true", "--replace", "--every"]
    cli.ok(*add, "90m")
    with open_queue() as queue:
        before = queue.schedules.get("a")
        long_ago = before.created_at.replace(second=0, microsecond=0) - timedelta(minutes=100)
        after = replace(before, anchor=long_ago, rev=before.rev + 1)
        assert queue.store.schedules.save(after, before)
    cli.ok(*add, "90m")
    shown = cli.ok("schedule", "show", "a", "--json").json
    assert shown["anchor"] == iso(long_ago)
    assert shown["next_due"] == iso(long_ago + timedelta(minutes=180))
    cli.ok(*add, "2h")
    assert cli.ok("schedule", "show", "a", "--json").json["anchor"] != iso(long_ago)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["0 3 * * *", "true", "--every", "90m"], "--every goes without CRON"),
        (["0 3 * * *", "--every", "90m"], "--every goes without CRON"),
        (["@daily", "--every", "90m", "--", "true"], "--every goes without CRON"),
        (["90m", "true"], "is an interval"),
        (["true", "--every", "90m", "--tz", "UTC"], "--every goes without --tz"),
        (["true", "--every", "90s"], "whole minutes"),
        (["true", "--every", "soon"], "is not a duration"),
        (["--every", "90m"], "one command is needed"),
        ([], "needs CRON, or --every"),
    ],
)
def test_an_interval_that_cannot_be_is_refused(cli: Cli, words: list[str], why: str) -> None:
    assert why in cli.refused(2, "schedule", "add", "a", *words)
    assert cli.ok("schedule", "list", "--json").json == []


def test_a_schedule_with_an_interval_is_exported_and_imported_as_it_is(cli: Cli) -> None:
    cli.ok("schedule", "add", "a", "--every", "90m", "true")
    cli.ok("schedule", "add", "b", "0 3 * * *", "true", "--tz", "Asia/Tokyo")
    before = cli.ok("schedule", "list", "--json").json
    assert before[1]["tz_version"] == tz_data().in_use
    cli.ok("export", "all.jsonl")
    for name in ("a", "b"):
        cli.ok("schedule", "remove", name)
    cli.ok("import", "all.jsonl")
    assert cli.ok("schedule", "list", "--json").json == before


def test_steps_that_do_not_come_out_even_are_told_of_when_a_schedule_is_added(cli: Cli) -> None:
    result = cli.ok("schedule", "add", "a", "*/45 * * * *", "true")
    assert "the last step to the full hour is 15m long; --every 45m" in result.err


def test_the_environment_of_the_runs_is_decided_when_it_is_added(cli: Cli) -> None:
    Path("run.env").write_text("MODE=full\nREGION=eu\n")
    add = ["schedule", "add", "a", "* * * * *", "true", "--clean-env"]
    cli.ok(*add, "--env-file", "run.env", "--env", "MODE=half")
    Path("run.env").unlink()
    assert "environment  clean" in cli.ok("schedule", "show", "a").out
    cli.ok("schedule", "add", "b", "* * * * *", "true", "--pty")
    assert "\npty          yes\n" in cli.ok("schedule", "show", "b").out
    make_due("a")
    (job,) = cli.ok("list", "--json").json
    assert (job["env"], job["clean_env"]) == ({"MODE": "half", "REGION": "eu"}, True)
    assert "is not a file" in cli.refused(2, *add, "--replace", "--env-file", "run.env")


def test_the_command_may_be_an_argument_list(cli: Cli) -> None:
    cli.ok("schedule", "add", "a", "@hourly", "--catch-up", "--", "echo", "a b", "--tz")
    shown = cli.ok("schedule", "show", "a", "--json").json
    assert shown["job"]["command"] == ["echo", "a b", "--tz"]
    assert shown["catch_up"] is True
    assert "echo 'a b' --tz" in cli.ok("schedule", "list").out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["0 3 31 2 *", "true"], "is never due: none of its months has a day 31"),
        (["0 3 * *", "true"], "has 4 fields, not 5"),
        (["0 3 * * *", "true", "--tz", "Mars/Olympus"], "unknown time zone 'Mars/Olympus'"),
        (["0 3 * * *"], "one command is needed"),
        (["0 3 * * *", "true", "--", "true"], "one command is needed"),
        (["0 3 * * *", " "], "command is empty"),
        (["0 3 * * *", "true", "--timeout", "soon"], "timeout must be a number"),
        (["0 3 * * *", "true", "--env", "x"], "must be NAME=VALUE"),
    ],
)
def test_what_cannot_be_is_refused_with_one_line(cli: Cli, words: list[str], why: str) -> None:
    assert why in cli.refused(2, "schedule", "add", "a", *words)
    assert cli.ok("schedule", "list", "--json").json == []


def test_a_name_is_taken_once_unless_it_is_replaced(cli: Cli) -> None:
    assert "is not valid" in cli.refused(2, "schedule", "add", "a b", "0 3 * * *", "true")
    cli.ok("schedule", "add", "a", "0 3 * * *", "true")
    assert "exists already" in cli.refused(4, "schedule", "add", "a", "0 4 * * *", "true")
    cli.ok("schedule", "add", "a", "0 4 * * *", "false", "--replace")
    (told,) = cli.ok("schedule", "list", "--json").json
    assert (told["cron"], told["job"]["command"]) == ("0 4 * * *", "false")


def test_the_next_runs_are_listed(cli: Cli) -> None:
    cli.ok("schedule", "add", "a", "*/5 * * * *", "true")
    lines = cli.ok("schedule", "next", "a").out.splitlines()
    assert len(lines) == 5
    assert all(re.fullmatch(ISO, line) for line in lines)
    assert lines == sorted(set(lines))
    found = cli.ok("schedule", "next", "a", "-n", "7", "--json").json
    assert len(found) == 7


def test_pausing_and_resuming(cli: Cli) -> None:
    cli.ok("schedule", "add", "a", "0 3 * * *", "true")
    cli.ok("schedule", "add", "b", "0 3 * * *", "true")
    assert cli.ok("schedule", "pause", "a", "b").out == (
        "Paused schedule 'a'\nPaused schedule 'b'\n"
    )
    assert "is paused already" in cli.refused(1, "schedule", "pause", "a")
    assert "paused" in cli.ok("schedule", "list").out
    result = cli.ok("schedule", "next", "a")
    assert "it is paused: queuectl schedule resume a" in result.err
    assert "Resumed schedule 'a': next run" in cli.ok("schedule", "resume", "a").out
    assert "is not paused" in cli.refused(1, "schedule", "resume", "a")


def test_a_schedule_is_removed_and_its_jobs_stay(cli: Cli) -> None:
    cli.ok("schedule", "add", "a", "* * * * *", "true")
    make_due("a")
    assert cli.ok("schedule", "remove", "a").out == "Removed schedule 'a'\n"
    assert cli.ok("schedule", "list", "--json").json == []
    assert len(cli.ok("list", "--json").json) == 1
    for command in ("show", "next", "pause", "resume", "remove"):
        assert "no schedule 'a'" in cli.refused(3, "schedule", command, "a")


def test_what_to_type_is_told_where_there_is_none_and_the_nearest_where_there_is(cli: Cli) -> None:
    assert "queuectl schedule add nightly" in cli.ok("schedule", "list").err
    cli.ok("schedule", "add", "nightly", "0 3 * * *", "true")
    assert "did you mean 'nightly'" in cli.refused(3, "schedule", "show", "nigtly")


def test_the_jobs_of_a_schedule_are_its_history(cli: Cli) -> None:
    cli.ok("schedule", "add", "a", "* * * * *", "true", "--max-retries", "1")
    cli.ok("enqueue", "a@home", "true", "--in", "1h")
    make_due("a")
    with open_queue() as queue:
        run_next(queue, Outcome(exit_code=3, error="Exit code 3", duration=1.5))
    (job,) = cli.ok("schedule", "show", "a", "--json").json["jobs"]
    assert re.fullmatch(r"a@\d{8}T\d{4}Z", job["id"])
    assert (job["state"], job["unique"]) == ("dead", "schedule:a")
    assert re.search(r"dead \(3\) .* 1\.5 s +a@\d{8}T\d{4}Z", cli.ok("schedule", "show", "a").out)
    assert "dead (3)" in cli.ok("schedule", "list").out


def test_a_skipped_run_is_told_of(cli: Cli) -> None:
    cli.ok("schedule", "add", "a", "* * * * *", "true")
    with open_queue() as queue:
        before: Schedule = queue.schedules.get("a")
        after = replace(before, skipped_at=before.next_due, skipped_why=OVERLAPPED, rev=2)
        assert queue.store.schedules.save(after, before)
    assert re.search(rf"skipped +{ISO} \(overlapped\)", cli.ok("schedule", "show", "a").out)


def test_the_ids_of_runs_are_not_for_other_jobs(cli: Cli) -> None:
    why = cli.refused(2, "enqueue", "nightly@20300101T0300Z", "true")
    assert "belongs to schedules" in why
    cli.ok("enqueue", "me@home", "true")


@pytest.mark.parametrize("field", ["id", "at", "Delay", "unique", "after-any"])
def test_what_a_schedule_decides_cannot_be_among_its_fields(cli: Cli, field: str) -> None:
    cli.ok("init")
    with open_queue() as queue, pytest.raises(InvalidInput, match=f"'{field}' does not go"):
        queue.schedules.add("a", "@daily", {"command": "true", field: "x"})


def test_doctor_names_both_copies_of_the_tz_data_and_the_one_in_use(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finding(data: TzData) -> str:
        monkeypatch.setattr(zones, "tz_data", lambda: data)
        out = cli("doctor").out
        return next(line for line in out.splitlines() if "tz data:" in line)

    cli.ok("schedule", "add", "a", "@daily", "true")
    with open_queue() as queue:
        before = queue.schedules.get("a")
        assert queue.store.schedules.save(replace(before, tz_version="2026f", rev=2), before)
    assert finding(TzData("2025b", "2026f")) == (
        "OK    tz data: 2026f is in use, that of the package tzdata; the system's is 2025b"
    )
    assert finding(TzData("2026g", "2026f")) == (
        "OK    tz data: 2026g is in use, the system's; that of the package tzdata is 2026f"
    )
    old = finding(TzData(None, "2026e"))
    assert old.startswith("FAIL  tz data: 2026e is in use")
    assert "schedules were reckoned with 2026f; pip install --upgrade tzdata" in old


def test_doctor_tells_that_the_clocks_go_by_older_rules_than_schedules(
    cli: Cli, tmp_path: Path, zone: SetZone
) -> None:
    file = tmp_path / "zoneinfo" / "America" / "Vancouver"
    file.parent.mkdir(parents=True)
    file.write_bytes(packaged_file("Europe/Berlin"))
    cli.ok("init")
    zone(str(file))
    out = cli("doctor").out
    assert "'date' and --at show another time than schedules in America/Vancouver" in out
    zone("Europe/Berlin")
    assert "OK    tz data:" in cli("doctor").out


def test_doctor_tells_of_a_schedule_that_this_machine_cannot_serve(cli: Cli) -> None:
    cli.ok("schedule", "add", "a", "@daily", "true")
    with open_queue() as queue:
        before = queue.schedules.get("a")
        assert queue.store.schedules.save(replace(before, tz="Mars/Olympus", rev=2), before)
    result = cli("doctor")
    assert "schedule 'a': unknown time zone 'Mars/Olympus'" in result.out + result.err
    assert result.code != 0


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        (["--snapshot"], '"queuectl enqueue --snapshot …" takes one at each run'),
        (["--capture-env"], "--env NAME=VALUE, or --env-file FILE"),
        (["--no-capture-env"], "nobody enqueues its runs"),
        (["--hold"], "queuectl schedule pause NAME"),
        (["--id", "a"], "its runs are NAME@TIME"),
        (["--unique", "a"], "--overlap"),
        (["--batch", "a"], "queuectl enqueue --batch NAME"),
        (["--at-once", "2"], "queuectl queue limit"),
        (["--max-fails", "2"], "queuectl enqueue --batch NAME --max-fails N"),
        (["--after", "a"], "queuectl enqueue --after ID"),
        (["--after-any=a"], "queuectl enqueue --after-any ID"),
        (["--at", "9:00"], "CRON or --every"),
        (["--in", "5m"], "CRON or --every"),
        (["--array", "1-3"], "queuectl enqueue --array"),
        (["--param", "a=1,2"], "queuectl enqueue --param"),
        (["--lines", "a"], "queuectl enqueue --lines"),
    ],
)
def test_an_option_that_a_schedule_lacks_is_refused_with_the_reason(
    cli: Cli, option: list[str], hint: str
) -> None:
    said = cli.refused(2, "schedule", "add", "nightly", "0 3 * * *", "true", *option)
    name = option[0].partition("=")[0]
    assert f"{name} does not go with a schedule: " in said
    assert hint in said
    assert cli.ok("schedule", "list", "--json").json == []


@pytest.mark.usefixtures("cli")
def test_a_field_that_a_schedule_lacks_is_refused_with_the_reason() -> None:
    with open_queue() as queue, pytest.raises(InvalidInput, match="of one moment") as refusal:
        queue.schedules.add("nightly", "0 3 * * *", {"command": "true", "snapshot": True})
    assert "queuectl enqueue --snapshot" in refusal.value.hint


def test_a_schedule_is_given_another_time_and_other_fields_and_keeps_the_rest(cli: Cli) -> None:
    cli.ok(
        "schedule", "add", "a", "0 3 * * *", "true", "--tz", "UTC", "--env", "A=1", "-q", "night"
    )
    told = cli.ok("schedule", "edit", "a", "--cron", "30 4 * * *", "--env", "B=2", "--timeout", "9")
    assert re.fullmatch(r"Changed schedule 'a': next run .*T04:30:00.000Z\n", told.out)
    one = cli.ok("schedule", "show", "a", "--json").json
    assert (one["cron"], one["tz"]) == ("30 4 * * *", "UTC")
    assert one["job"]["env"] == {"A": "1", "B": "2"}
    assert (one["job"]["queue"], one["job"]["timeout"]) == ("night", 9)
    cli.ok("schedule", "edit", "a", "--every", "2h", "--without", "timeout", "--", "./x.sh", "-a")
    one = cli.ok("schedule", "show", "a", "--json").json
    assert (one["cron"], one["every"], one["job"]["command"]) == (None, 7200, ["./x.sh", "-a"])
    assert "timeout" not in one["job"]
    cli.ok("schedule", "edit", "a", "echo new", "--catch-up", "--overlap", "--cwd", "/tmp")
    one = cli.ok("schedule", "show", "a", "--json").json
    assert (one["catch_up"], one["overlap"], one["job"]["cwd"]) == (True, True, "/tmp")
    cli.ok("schedule", "edit", "a", "--skip-missed", "--no-overlap")
    one = cli.ok("schedule", "show", "a", "--json").json
    assert (one["catch_up"], one["overlap"], one["job"]["command"]) == (False, False, "echo new")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "nothing is to be changed"),
        (["--cron", "61 * * * *"], "61"),
        (["--every", "2h", "--cron", "* * * * *"], "either a cron line, in a zone, or an interval"),
        (["--timeout", "9", "--without", "timeout"], "--without timeout goes without a value"),
        (["--unique", "x"], "--unique does not go with a schedule"),
        (["true", "--", "false"], "one command is needed"),
    ],
)
def test_what_a_schedule_cannot_become_is_refused_and_it_stays(
    cli: Cli, words: list[str], why: str
) -> None:
    cli.ok("schedule", "add", "a", "0 3 * * *", "true")
    before = cli.ok("schedule", "show", "a", "--json").json
    assert why in cli.refused(2, "schedule", "edit", "a", *words)
    assert cli.ok("schedule", "show", "a", "--json").json == before


def test_a_run_is_enqueued_at_once_and_is_in_the_history(cli: Cli) -> None:
    cli.ok("schedule", "add", "a", "0 3 * * *", "true")
    told = cli.ok("schedule", "history", "a")
    assert told.out == ""
    assert "it has not run yet" in told.err
    assert re.fullmatch(r"Enqueued job 'a@\d{8}T\d{4}Z'\n", cli.ok("schedule", "run", "a").out)
    assert "of schedule 'a' is there" in cli.refused(4, "schedule", "run", "a")
    (job,) = cli.ok("schedule", "history", "a", "--json").json
    assert job["state"] == "pending"
    assert job["id"] in cli.ok("schedule", "history", "a", "-n", "1").out
    for words in (["history", "b"], ["run", "b"], ["edit", "b", "true"]):
        assert "no schedule 'b'" in cli.refused(3, "schedule", *words)
