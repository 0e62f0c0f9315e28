"""Whatever is typed, the answer is one line and an exit code of the table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.harness import Cli, environment, process, program, running


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["enqueue", '{"command": "x"'], "not valid JSON"),
        (["enqueue", '{"command": "x", "command": "y"}'], "given twice"),
        (["enqueue", '{"command": "x", "priority": NaN}'], "NaN"),
        (["enqueue", '{"command": "x", "timeout": 1e999}'], "must be a number"),
        (["enqueue", '{"command": "x", "timeout": ' + "9" * 5000 + "}"], "too long"),
        (["enqueue", "[" * 100_000 + '"x"'], "nested too deeply"),
        (["enqueue", "[1]"], "must be a JSON object"),
        (["enqueue", "[[]]"], "must be a JSON object"),
        (["enqueue", '{"commnad": "x"}'], "did you mean 'command'"),
        (["enqueue", '{"command": 5}'], "command must be a string"),
        (["enqueue", '{"command": ["a", 1]}'], "command must be a string"),
        (["enqueue", '{"command": "x", "env": []}'], "env must be an object"),
        (["enqueue", '{"command": "a\\u0000b"}'], "NUL"),
        (["enqueue", '{"command": "\\ud800"}'], "UTF-8"),
        (["enqueue", '{"id": "a b", "command": "x"}'], "id 'a b' is not valid"),
        (["enqueue", '{"id": "a"}'], "'command' is missing"),
        (["enqueue", '{"command": "x", "comand": 1}'], "did you mean 'command'"),
        (["enqueue", '{"command": "x", "zzzz": 1}'], "each long option"),
        (["list", "--exit-code", "x"], "'x' is not a whole number"),
        (["enqueue", "@missing.json"], "cannot read missing.json"),
        (["enqueue", "-f", "."], "cannot read ."),
        (["enqueue", "a", ""], "command is empty"),
        (["enqueue", ""], "command is empty"),
        (["enqueue", "a", "true", "--max-retries", "-1"], "between 0 and"),
        (["enqueue", "a", "true", "--timeout", "1e400"], "must be a number"),
        (["enqueue", "a", "true", "--timeout", "-5"], "timeout must be"),
        (["enqueue", "a", "true", "--priority", "99999999999"], "priority"),
        (["enqueue", "a", "true", "--at", "the day before never"], "as a time"),
        (["enqueue", "a", "true", "--in", "-5m"], "not a duration"),
        (["enqueue", "a", "true", "--in", "5m", "--at", "tomorrow"], "--at and --in"),
        (["enqueue", "a", "true", "--env", "A"], "NAME=VALUE"),
        (["enqueue", "a", "true", "--queue", "a b"], "queue"),
        (["enqueue", "a", "x\0y"], "NUL"),
        (["enqueue", "a", "x" * 1_000_000], "bytes; the system takes at most"),
        (["enqueue", "a", "\udcff"], "UTF-8"),
        (["enqueue", "-f", "/dev/null"], "is empty"),
        (["list", "--state", "bogus"], "unknown state"),
        (["list", "--state", ""], "unknown state"),
        (["list", "--limit", "-1"], "--limit"),
        (["list", "--bogus"], "--bogus"),
        (["lsit"], "did you mean 'list'"),
        (["config", "set", "max-retrys", "1"], "did you mean 'max_retries'"),
        (["config", "set", "max-retries", "-1"], "between 0 and 1000000"),
        (["config", "set", "max-retries", "1.5"], "whole number"),
        (["config", "set", "lease_seconds", "nan"], "must be a number"),
        (["config", "set", "max-retries"], "missing argument"),
        (["config", "get", "bogus"], "unknown setting"),
        (["config", "unset", "bogus"], "unknown setting"),
        (["worker", "start", "--count", "0"], "--count"),
        (["worker", "start", "--count", "many"], "--count"),
        (["worker", "start", "-j", "0"], "--concurrency"),
        (["worker", "run", "--concurrency", "257"], "1<=x<=256"),
        (["worker", "start", "--queue", "a b"], "queue"),
        (["worker", "stop", "--timeout", "soon"], "not a duration"),
        (["dlq", "retry"], "name the jobs"),
        (["dlq", "bogus"], "no such command"),
        (["wait"], "name the jobs"),
        (["wait", "--all", "--timeout", "-1"], "between"),
        (["delete"], "name the jobs"),
        (["logs", "a", "-f", "--attempt", "1"], "--attempt"),
        (["run", "[]"], "one job"),
        (["run"], "nothing to enqueue"),
        (["parallel", "3", "-q"], "requires an argument; queuectl parallel --help"),
        (["parallel", "x"], "invalid value for 'N'"),
        (["config", "ls", "-x"], "'-x'; queuectl config get --help"),
        (["worker", "ps", "-x"], "'-x'; queuectl worker list --help"),
        (["worker", "add", "-n", "3"], "queuectl worker start -c 3"),
        (
            ["list", "--limt", "3"],
            "no such option '--limt' (did you mean '--limit'?); queuectl list",
        ),
        (["status", "--al"], "no such option '--al'; queuectl status --help"),
        (["status", "--halp"], "(did you mean '--help'?)"),
        (["run", "--hold", "true"], "no such option '--hold'; queuectl run --help"),
        (["sleep", "5"], "no such command 'sleep'; queuectl add sleep 5 makes a job of it"),
        (["make"], "no such command 'make'; queuectl add make makes a job of it"),
        (["echo hi && ls"], "; queuectl add 'echo hi && ls' makes a job of it"),
        (["shell", "missing.script"], "cannot read"),
        (["help", "bogus"], "no such command"),
        (["help", "list", "bogus"], "has no command"),
        (["--store", "mysql://host/db", "list"], "unknown kind of store"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(cli: Cli, args: list[str], told: str) -> None:
    assert told in cli.refused(2, *args)
    assert cli.ok("list", "--json").json == []


@pytest.mark.parametrize(
    "args",
    ["show a", "logs a", "cancel a", "retry a", "delete a", "dlq show a", "dlq retry a", "wait a"],
)
@pytest.mark.parametrize("job_id", ["missing", "", "a b", "x" * 500, "\udcff", "-"])
def test_an_unknown_job_is_refused_with_3(cli: Cli, args: str, job_id: str) -> None:
    cli.refused(3, *[job_id if word == "a" else word for word in args.split()])


def test_a_prefix_stands_for_made_ids_only(cli: Cli) -> None:
    cli.ok("enqueue", "nightly", "true")
    cli.refused(3, "show", "nigh")
    made = cli.ok("enqueue", "-p", "echo hi").out.strip()
    cli.refused(3, "show", made[:3])
    assert made in cli.ok("show", made[:4]).out


def test_each_bad_line_of_a_batch_is_named_and_the_good_are_stored(cli: Cli) -> None:
    lines = [
        '{"id": "a", "command": "true"}', "nonsense", "", '{"id": "a", "command": "true"}',
        '{"id": "b", "command": "true", "qeueu": "x"}', "7", '{"id": "c", "command": "true"}',
    ]  # fmt: skip
    Path("jobs.jsonl").write_text("\n".join(lines))
    result = cli("enqueue", "-f", "jobs.jsonl")
    assert result.out == "Enqueued job 'a'\nEnqueued job 'c'\n"
    told = result.err.splitlines()
    assert [line.split(": ")[1] for line in told[:4]] == [f"jobs.jsonl:{n}" for n in (2, 4, 5, 6)]
    assert told[4] == "2 enqueued, 4 refused"
    assert result.code == 2


def test_where_a_line_is_no_json_is_told_by_its_column(cli: Cli) -> None:
    result = cli("enqueue", "-f", "-", stdin='{"command": "a"}\n{"command":\n{"command": "b"}\n')
    assert result.err.splitlines()[0].endswith(
        "input:2: not valid JSON: Expecting value at column 12"
    )


@pytest.mark.parametrize(
    "lines",
    [
        ('{"command": "a"', '"id": "b"}'),
        ('{"command": "a"}, {"command": "b"', '"id": "b"}'),
        ('{"command": "a"}, {"command": "b", "labels": ["c"', '"d"]}'),
        ('{"command": "a"}, null, {"command": "b", "labels": ["c"', '"d"]}'),
    ],
)
def test_lines_that_are_json_only_together_are_refused(cli: Cli, lines: tuple[str, str]) -> None:
    result = cli("enqueue", "-f", "-", stdin="\n".join(['{"command": "a"}', *lines]))
    assert result.out.count("Enqueued") == 1
    assert [line.split(": ")[1] for line in result.err.splitlines()[:2]] == [
        "standard input:2",
        "standard input:3",
    ]


def test_a_doubled_field_far_down_a_file_is_refused_by_its_line(cli: Cli) -> None:
    lines = [f'{{"id": "job{n}", "command": "true"}}' for n in range(1, 1200)]
    lines[1100] = '{"id": "a", "command": "true", "command": "false"}'
    result = cli("enqueue", "-f", "-", stdin="\n".join(lines))
    assert result.out.splitlines() == [
        f"Enqueued job 'job{n}'" for n in range(1, 1200) if n != 1101
    ]
    assert "standard input:1101: not valid JSON: field 'command' is given twice" in result.err


def test_the_code_of_a_batch_is_that_of_its_first_refusal(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true")
    lines = '{"id": "a", "command": "true"}\nnonsense\n'
    assert cli("enqueue", "-f", "-", stdin=lines).code == 4


def test_a_line_that_is_not_utf8_is_refused_by_itself(cli: Cli) -> None:
    data = b'{"id": "a", "command": "true"}\n{"command": "\xff"}\n'
    result = cli("enqueue", "-f", "-", stdin=data)
    assert "standard input:2: not UTF-8" in result.err
    assert result.out == "Enqueued job 'a'\n"


def test_a_byte_order_mark_is_no_obstacle(cli: Cli) -> None:
    cli.ok("enqueue", "-f", "-", stdin=b'\xef\xbb\xbf{"id": "a", "command": "true"}\r\n')


@pytest.mark.parametrize("bad", ["nonsense", '{"id": "b", "command": ""}'])
def test_nothing_of_an_atomic_batch_is_stored_when_a_line_is_bad(cli: Cli, bad: str) -> None:
    result = cli("enqueue", "-f", "-", "--atomic", stdin=f'{{"id":"a","command":"x"}}\n{bad}\n')
    assert (result.code, result.out) == (2, "")
    assert cli.ok("list", "--json").json == []


def test_nothing_of_an_atomic_batch_is_stored_when_an_id_exists(cli: Cli) -> None:
    cli.ok("enqueue", "b", "true")
    lines = "".join(json.dumps({"id": x, "command": "true"}) + "\n" for x in "abc")
    assert "job 'b' exists" in cli.refused(4, "enqueue", "-f", "-", "--atomic", stdin=lines)
    twice = lines.replace('"b"', '"c"')
    assert "the id 'c' is there twice" in cli.refused(
        4, "enqueue", "-f", "-", "--atomic", stdin=twice
    )
    cli.ok("enqueue", "-f", "-", "--atomic", stdin=lines.replace('"b"', '"d"'))
    assert len(cli.ok("list", "--json").json) == 4


def test_a_big_batch_goes_through_in_chunks(cli: Cli) -> None:
    lines = "".join(f'{{"id": "j{n}", "command": "true"}}\n' for n in range(2_500))
    assert len(cli.ok("enqueue", "-f", "-", "-p", stdin=lines).out.splitlines()) == 2_500


def test_what_became_of_a_batch_is_told_as_json(cli: Cli) -> None:
    array = '[{"id": "a", "command": "true"}, {"id": "b", "command": "true"}]'
    told = cli.ok("enqueue", array, "--json").json
    assert told == [{"id": "a", "result": "enqueued"}, {"id": "b", "result": "enqueued"}]
    single = cli.ok("enqueue", "a", "true", "--replace", "--json").json
    assert single == {"id": "a", "result": "replaced"}


def test_a_password_is_not_shown_when_mongodb_is_out_of_reach(cli: Cli) -> None:
    address = "mongodb://me:hunter2@127.0.0.1:1/jobs?serverSelectionTimeoutMS=200"
    assert "hunter2" not in cli.refused(5, "--store", address, "list")


def test_a_damaged_store_is_code_5_and_left_alone(cli: Cli, home: Path) -> None:
    home.mkdir(mode=0o700)
    damaged = b"not a database" * 100
    (home / "queue.db").write_bytes(damaged)
    cli.refused(5, "list")
    cli.refused(5, "enqueue", "a", "true")
    assert (home / "queue.db").read_bytes() == damaged


def test_control_characters_do_not_break_a_table(cli: Cli) -> None:
    cli.ok("enqueue", "a", "echo one\necho two \x1b[31m\t漢字")
    lines = cli.ok("list").out.splitlines()
    assert len(lines) == 2
    assert "echo one\\necho two \\x1b[31m\\t漢字" in lines[1]


def test_an_error_is_one_line_whatever_is_quoted(cli: Cli) -> None:
    assert "a\\nb" in cli.refused(3, "show", "a\nb")
    cli.refused(2, "a\nb")


def test_json_is_utf8_in_every_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert process("enqueue", "a", "echo 漢字 é").code == 0
    assert process("list", "--json").json[0]["command"] == "echo 漢字 é"
    assert "漢字" in process("list").out


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_told_in_one_line(unbuffered: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "queuectl", "config", "show"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env={**environment(), "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert ended.returncode != 0
    assert ended.stderr.count("\n") == 1
    assert "No space left" in ended.stderr


def test_verbose_adds_nothing_to_a_refusal_of_what_was_typed(cli: Cli) -> None:
    for words in (["list", "--state", "bogus"], ["list", "--bogus"], ["show", "missing"]):
        assert cli("-v", *words).err == cli(*words).err


def test_streams_that_the_caller_has_closed_are_no_error() -> None:
    line = f"{sys.executable} -m queuectl enqueue a true <&- >&- && {sys.executable} -m queuectl ls"
    ended = program(["/bin/sh", "-c", line])
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[1].startswith("a ")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    lines = "".join(f'{{"id": "j{n}", "command": "echo {"x" * 200}"}}\n' for n in range(2_000))
    assert process("enqueue", "-f", "-", stdin=lines).code == 0
    with running("list", "--json") as reading:
        reading.out.readline()
        reading.out.close()
        assert reading.err.read() == ""


def test_a_job_whose_worker_is_gone_is_deleted_once_its_claim_has_ended(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from queuectl.queue import change, open_queue
    from queuectl.stores.exchange import ClaimRequest

    monkeypatch.setattr(change, "_CANCEL_SECONDS", 0.0)
    cli.ok("config", "set", "kill_grace_seconds", "0")
    cli.ok("enqueue", "a", "true")
    cli.ok("enqueue", "b", "true")
    with open_queue() as queue:
        queue.store.claim(ClaimRequest("claim1", "worker1", lease_seconds=0.001))
        queue.store.claim(ClaimRequest("claim2", "worker2", lease_seconds=60))
    assert "deleted" in cli.ok("delete", "--force", "a").out
    assert "does not answer" in cli.refused(4, "delete", "--force", "b")


def test_what_cannot_be_a_file_of_an_export_is_refused(cli: Cli) -> None:
    for word in (".", "..", "/"):
        assert "is a directory" in cli.refused(2, "export", word)


def test_a_home_whose_variables_hold_a_nul_byte_is_refused(cli: Cli, home: Path) -> None:
    home.mkdir()
    (home / ".env").write_bytes(b"QUEUECTL_STORE=\0x\n")
    assert f"{home / '.env'} holds a NUL byte" in cli.refused(2, "list")
