"""Many jobs of one command: `--array`, `--param`, `--param-file`, and `:::` of `add`."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl.queue import open_queue
from tests.cli.harness import Cli, cli, environment, home, program
from tests.cli.test_startup import modules_of

__all__ = ["cli", "home"]

SWEEP = frozenset(
    "queuectl.cli.sweep queuectl.cli.param_files queuectl.domain.sweep queuectl.domain.shell_line "
    "queuectl.domain.sweep_words queuectl.domain.placeholders queuectl.queue.sweeps csv".split()
)


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        (["enqueue", "--array", "1-3", "--", "./job", "{}"], ["./job 1", "./job 2", "./job 3"]),
        (["enqueue", "--array", "1-9:4,7", "./job -n {}"],
         ["./job -n 1", "./job -n 5", "./job -n 9", "./job -n 7"]),
        (["enqueue", "--param", "lr=0.1,0.2", "--param", "bs=8,16", "--", "t", "{lr}", "{bs}"],
         ["t 0.1 8", "t 0.1 16", "t 0.2 8", "t 0.2 16"]),
        (["enqueue", "--array", "1-2", "--param", "x=a,", "--command", "t {}{x}"],
         ["t 1a", "t 1''", "t 2a", "t 2''"]),
        (["enqueue", "--array", "1-1", "{} x"], ["'1' x"]),
        (["enqueue", "--array", "1-1", '{"command": ["a", "{}"]}'], ["a 1"]),
        (["enqueue", "--array", "1-1", "--", "awk", "{print $1}", "${x}", "{}", ":::", "a"],
         ["awk '{print $1}' '${x}' 1 ::: a"]),
    ],
)  # fmt: skip
def test_each_value_and_each_combination_makes_a_command(
    cli: Cli, line: list[str], commands: list[str]
) -> None:
    at = line.index("--") if "--" in line else len(line)
    assert cli.ok(*line[:at], "--dry-run", *line[at:]).out.splitlines() == commands


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        ("gzip -9 ::: a b", ["gzip -9 a", "gzip -9 b"]),
        ("gzip ::: a 'b c'", ["gzip a", "gzip 'b c'"]),
        ("echo {#} ::: a b", ["echo 1", "echo 2"]),
        ("echo {1} {2} ::: a b ::: x y", ["echo a x", "echo a y", "echo b x", "echo b y"]),
        ("echo {} ::: a ::: x", ["echo a x"]),
        ("echo {2}{1} ::: a b :::+ x y", ["echo xa", "echo yb"]),
        ("convert {} {.}.png ::: d/a.jpg", ["convert d/a.jpg d/a.png"]),
        ("'cp {} {/} && rm {}' ::: 'd/a b'", ["cp 'd/a b' 'a b' && rm 'd/a b'"]),
        ("wc -l :::: files", ["wc -l a.txt", "wc -l 'b c.txt'"]),
        ("cat {1}-{2} ::: x y ::::+ files", ["cat x-a.txt", "cat 'y-b c.txt'"]),
        ("--array 1-2 echo {index}{} ::: a b",
         ["echo 1a", "echo 1b", "echo 2a", "echo 2b"]),
        ("echo {} ::: '$(id)' \"it's\"", ["echo '$(id)'", "echo 'it'\"'\"'s'"]),
    ],
)  # fmt: skip
def test_add_takes_values_as_users_of_gnu_parallel_type_them(
    cli: Cli, words: str, commands: list[str]
) -> None:
    Path("files").write_bytes(b"a.txt\r\nb c.txt\n")
    assert cli.ok("add", "--dry-run", *shlex.split(words)).out.splitlines() == commands


def test_a_linked_source_that_is_shorter_decides_and_it_is_said(cli: Cli) -> None:
    result = cli.ok("add", "--dry-run", "echo", ":::", "a", "b", "c", ":::+", "x", "y")
    assert result.out.splitlines() == ["echo a x", "echo b y"]
    assert "1 value is left out" in result.err


def test_a_batch_has_a_name_and_its_jobs_are_numbered(cli: Cli) -> None:
    line = ["--queue", "gpu", "--param", "lr=0.1,0.2", "--", "t", "{lr}"]
    assert cli.ok("enqueue", "--batch", "night", *line).out == (
        "Enqueued batch 'night': 2 jobs, 'night-1' to 'night-2'\n"
    )
    job = cli.job("night-2")
    assert (job["batch"], job["batch_index"], job["params"]) == ("night", 2, {"lr": "0.2"})
    assert (job["command"], job["queue"]) == (["t", "0.2"], "gpu")
    again = cli.refused(4, "enqueue", "--batch", "night", *line)
    assert "there is a batch 'night' already" in again
    assert cli.ids() == ["night-1", "night-2"]


def test_a_batch_that_nobody_names_gets_a_name_which_is_printed(cli: Cli) -> None:
    name = cli.ok("enqueue", "-p", "--array", "1-2", "x {}").out.strip()
    assert cli.ids() == [f"{name}-1", f"{name}-2"]
    made = cli.ok("enqueue", "--json", "--array", "1-2", "--at", "2030-01-31T14:30Z", "x {}").json
    assert made["jobs"] == 2
    assert made["run_at"] == "2030-01-31T14:30:00.000Z"
    assert [made["first"], made["last"]] == [f"{made['batch']}-1", f"{made['batch']}-2"]


@pytest.mark.parametrize("line", [["train"], ["--id", "train"], ["--batch", "train"]])
def test_an_id_names_the_batch(cli: Cli, line: list[str]) -> None:
    cli.ok("enqueue", *line, "--array", "1-2", "--", "x", "{}")
    assert cli.ids() == ["train-1", "train-2"]


def test_an_array_says_how_many_of_its_jobs_run_at_once(cli: Cli) -> None:
    cli.ok("enqueue", "--batch", "few", "--array", "1-4%2", "x {}")
    assert [cli.job(f"few-{number}")["at_once"] for number in (1, 4)] == [2, 2]


def test_what_is_said_of_all_holds_for_each(cli: Cli) -> None:
    cli.ok("enqueue", "first", "true")
    Path("1.txt").touch()
    cli.ok("enqueue", "all", "--array", "1-2", "--after", "first", "--hold", "--input", "{}.txt",
           "--label", "n-{}", "--unique", "u-{}", "--priority", "7", "x {}")  # fmt: skip
    job = cli.job("all-2")
    assert (job["after"], job["paused"], job["input"]) == (["first"], True, "2.txt")
    assert (job["labels"], job["unique"], job["priority"]) == (["n-2"], "u-2", 7)


FILES = {
    "x.csv": 'name,size\r\n"a,b",1\r\n\r\n"say ""hi""",\r\n',
    "x.tsv": 'name\tsize\na,b\t1\n"say ""hi"""\t\n',
    "x.json": '[{"name": "a,b", "size": 1}, {"name": "say \\"hi\\"", "size": ""}]',
    "x.jsonl": '{"name": "a,b", "size": 1}\n\n{"size": null, "name": "say \\"hi\\""}\n',
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_parameters_makes_a_job_of_each_row(cli: Cli, name: str) -> None:
    Path(name).write_text("\ufeff" * name.endswith("csv") + FILES[name], newline="")
    line = ["enqueue", "--dry-run", "--json", "--param-file", name, "--", "t", "{name}", "{size}"]
    assert [job["command"] for job in cli.ok(*line).json] == [
        ["t", "a,b", "1"], ["t", 'say "hi"', ""],
    ]  # fmt: skip


def test_numbers_in_json_stay_as_they_are_written(cli: Cli) -> None:
    Path("x.json").write_text('[{"a": 1e-5, "b": 0.10, "c": true, "d": [1, "x"]}]')
    line = ["enqueue", "--dry-run", "--param-file", "x.json", "--", "t", "{a}", "{b}", "{c}", "{d}"]
    assert cli.ok(*line).out == 't 1e-5 0.10 true \'["1","x"]\'\n'


def test_parameters_come_from_standard_input_too(cli: Cli) -> None:
    result = cli.ok(
        "enqueue", "--dry-run", "--param-file", "-", "--", "t", "{a}", stdin="a\n1\n2\n"
    )
    assert result.out == "t 1\nt 2\n"


REFUSED = {
    "--array 5-1 'x {}'": "counts down; did you mean 1-5?",
    "--array x 'y {}'": "'x' is no range",
    "--array 1-3 'echo \"{}\"'": 'write "$QUEUECTL_INDEX" there, or put the command behind --',
    "--param lr=1 \"echo '{lr}'\"": 'write "$QUEUECTL_PARAM_LR" there',
    "--param lr=1 -- sh -c 'echo {lr}'": "in the line that sh reads",
    "--param lr 'x {}'": "must be NAME=VALUE,VALUE",
    "--param lr=1 --param LR=2 'x {lr}'": "would both be $QUEUECTL_PARAM_LR",
    "--param lr=1 --param lr=2 'x {lr}'": "is given twice",
    "--array 1-2 --param index=1 'x {}'": "'index' is given twice",
    "--param-file none.csv 'x {a}'": "cannot read none.csv",
    "--param-file empty.csv 'x {a}'": "there are no rows",
    "--param-file ragged.csv 'x {a}'": "ragged.csv: line 2 has 1 values for 2 names",
    "--param-file blank.csv 'x {a}'": "'a b' cannot be the name of a parameter",
    "--param-file odd.jsonl 'x {a}'": "row 2: 'a' is not in every row",
    "--param-file list.json 'x {a}'": "a row must be a JSON object",
    "--param-file bytes.csv 'x {a}'": "not UTF-8 at byte 3",
    "--array 1-2 --file jobs.json": "a file of jobs has a command for each job",
    "--array 1-2 --lines jobs.txt": "--lines has a command for each job",
    "--array 1-2 --unique k 'x {}'": "all 2 jobs would have the unique key 'k'",
    "--array 1-2 --replace 'x {}'": "--replace does not go with many jobs",
    "--array 1-2 --skip-existing 'x {}'": "--skip-existing does not go with many jobs",
    "--array 1-2 --id a --batch b --command 'x {}'": "both name the batch",
    "--array 1-2%8 --at-once 3 'x {}'": "say twice how many at once",
    "--at-once 3 'x y'": "is of a batch",
    "--max-fails 3 'x y'": "is of a batch",
    "--batch a@b 'x y'": "is not valid",
    "--array 1-2 --cwd run-{} 'x y'": "'cd {} && COMMAND'",
    "--param lr=1 --preflight 'test -e {lr}' 'x y'": 'write "$QUEUECTL_PARAM_LR" there',
    "--array 1-2 --env 'S={%}' 'x y'": "the command finds it as $QUEUECTL_SLOT",
    "--array 1-2": "nothing to enqueue",
    "--array '' 'x {}'": "'' is no range",
    "--array 1-2 make": "'make' may be an id or a command",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_meant_is_refused_and_nothing_is_stored(cli: Cli, line: str) -> None:
    Path("empty.csv").write_text("a,b\n")
    Path("ragged.csv").write_text("a,b\n1\n")
    Path("blank.csv").write_text("a b\n1\n")
    Path("odd.jsonl").write_text('{"a": 1}\n{"b": 1}\n')
    Path("list.json").write_text("[1]")
    Path("bytes.csv").write_bytes(b"a\n\xff\n")
    Path("run-{}").mkdir()
    assert REFUSED[line] in cli.refused(2, "enqueue", *shlex.split(line))
    assert cli.ids() == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["gzip", ":::"], "no value stands behind ':::'"),
        (["gzip", ":::", "a", ":::"], "no value stands behind ':::'"),
        (["gzip", "::::", "empty"], "no value stands behind '::::'"),
        (["gzip", "::::", "nowhere"], "cannot read nowhere"),
        (["gzip", ":::+", "a"], "goes with the values before it"),
        (["echo '{}'", ":::", "a"], 'write "$QUEUECTL_PARAM_1" there'),
        (["gzip # all", ":::", "a"], "in a comment"),
        (["-f", "jobs.json", ":::", "a"], "a file of jobs has a command for each job"),
    ],
)
def test_sources_that_cannot_be_are_refused(cli: Cli, words: list[str], why: str) -> None:
    Path("empty").touch()
    assert why in cli.refused(2, "add", *words)
    assert cli.ids() == []


def test_a_parameter_that_is_a_secret_by_its_name_is_hidden_with_the_job(cli: Cli) -> None:
    cli.ok("enqueue", "b", "--param", "api_token=abc", "--", "curl")
    assert cli.job("b-1")["params"] == {"api_token": "********"}
    assert "abc" not in cli.ok("show", "b-1").out
    assert "abc" not in cli.ok("export", "--mask").out


def test_values_behind_enqueue_are_shown_the_way_to_add(cli: Cli) -> None:
    line = cli.refused(2, "enqueue", "gzip", ":::", "a b", "c")
    assert "':::' is a word of queuectl add; queuectl add gzip ::: 'a b' c" in line


def test_add_needs_a_command_before_its_values(cli: Cli) -> None:
    assert "queuectl enqueue --lines -" in cli.refused(2, "add", ":::", "true", "false")


def test_a_command_that_is_not_allowed_with_its_values_is_refused(cli: Cli) -> None:
    cli.ok("config", "set", "denied_commands", "rm *")
    assert "job 2" in cli.refused(2, "enqueue", "--param", "c=ls,rm", "--", "{c}", "x")
    assert cli.ids() == []


def test_what_is_no_placeholder_and_what_has_none_is_said(cli: Cli) -> None:
    line = ["--param", "lr=1", "--param", "bs=2", "t {lrr} $QUEUECTL_PARAM_BS"]
    result = cli.ok("enqueue", *line)
    assert "{lrr} is no placeholder here, and is left as typed (did you mean 'lr'?)" in result.err
    assert "{lr} is not in the command, which finds it as $QUEUECTL_PARAM_LR" in result.err
    assert "bs" not in result.err


def test_placeholders_stand_for_values_in_each_field_that_is_text(cli: Cli) -> None:
    line = ["enqueue", "b", "--array", "3-4", "--param", "v=a 'b'", "--env", "OUT=run-{}/{v}",
            "--env", "N={{}}", "--input", "in-{}", "--label", "l-{}", "--unique"]  # fmt: skip
    cli.ok(*line, "u-{}", "--", "./job", "{}")
    for name, number in (("b-1", 3), ("b-2", 4)):
        job = cli.job(name)
        assert job["env"] == {"OUT": f"run-{number}/a 'b'", "N": "{{}}"}
        assert job["input"].endswith(f"in-{number}")
        assert (job["labels"], job["unique"]) == ([f"l-{number}"], f"u-{number}")
    cli.ok("enqueue", "c", "--array", "3-4", "--input-text", "say {}", "--", "cat")
    with open_queue() as queue:
        assert [queue.get(f"c-{n}").spec.input_text for n in (1, 2)] == ["say 3", "say 4"]


def test_an_unknown_placeholder_of_a_variable_is_said_but_for_secrets(cli: Cli) -> None:
    line = ["enqueue", "--param", "lr=1", "--env", "A={lrr}", "--env", "TOKEN={abc}"]
    said = cli.ok(*line, "--", "./job", "{lr}").err
    assert "{lrr} is no placeholder here" in said
    assert "abc" not in said


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (["./job $SLURM_ARRAY_TASK_ID"], ""),
        (["--", "sh", "-c", "./job ${SLURM_ARRAY_TASK_ID}"], ""),
        (["./job $SLURM_ARRAY_TASK_COUNT"], "$SLURM_ARRAY_TASK_COUNT is not set here"),
        (["--env", "SLURM_ARRAY_TASK_COUNT=2", "./job $SLURM_ARRAY_TASK_COUNT"], ""),
        (["--", "./job", "$SGE_TASK_ID"], "$SGE_TASK_ID is left as typed, as no shell reads"),
        (["--", "./job", "$QUEUECTL_INDEX"], "$QUEUECTL_INDEX is left as typed"),
    ],
)
def test_variables_that_a_job_of_an_array_will_not_have_are_told(
    cli: Cli, words: list[str], note: str
) -> None:
    said = cli.ok("enqueue", "--dry-run", "--array", "1-2", *words).err
    assert note in said
    assert bool(note) == ("note:" in said)


def test_a_dry_run_stores_nothing_and_shows_all_off_a_terminal(cli: Cli, home: Path) -> None:
    line = ["enqueue", "--dry-run", "--array", "1-500", "--batch", "b", "x {} {%}"]
    assert len(cli.ok(*line).out.splitlines()) == 500
    first = cli.ok(*line, "--json").json[0]
    assert first == {
        "id": "b-1", "index": 1, "command": "x 1 ${QUEUECTL_SLOT}", "params": {"index": "1"},
    }  # fmt: skip
    assert not home.exists()


def test_on_a_terminal_a_dry_run_shows_the_first_commands_and_their_number() -> None:
    parent, child = pty.openpty()
    code = "import sys; from queuectl.cli import main; sys.exit(main())"
    line = [sys.executable, "-c", code, "enqueue", "--dry-run", "--array", "1-5000", "x {}"]
    with subprocess.Popen(line, stdout=child, stdin=child, stderr=child, env=environment()) as run:
        os.close(child)
        text = b""
        try:
            while chunk := os.read(parent, 4096):
                text += chunk
        except OSError:
            pass  # the terminal's other end is closed
        run.wait()
    os.close(parent)
    lines = text.decode().split("\r\n")
    assert "x 30" in lines
    assert "x 31" not in lines
    assert "… 5,000 jobs would be enqueued" in lines


def test_a_plain_enqueue_loads_nothing_of_sweeps() -> None:
    modules_of("init")
    assert modules_of("enqueue", "a", "true") & SWEEP == set()


def test_the_prompt_takes_the_same_lines() -> None:
    script = "enqueue --array 1-2 --batch b -- x {}\nadd --batch c y {} ::: 1 2\nlist --json\n"
    result = program([sys.executable, "-m", "queuectl"], stdin=script)
    assert result.code == 0, result
    jobs = json.loads(result.out[result.out.index("[") :])
    assert [job["id"] for job in jobs] == ["b-1", "b-2", "c-1", "c-2"]
