"""`run`: how often it tries, and what becomes of its standard input; and jobs that read a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl.cli import run_input
from queuectl.domain.text import MASK
from queuectl.queue import open_queue
from tests.cli.harness import Cli, environment, process
from tests.shell.conftest import OpenShell, open_shell
from tests.stores.conftest import mongo_url

__all__ = ["mongo_url", "open_shell"]

UNREAD = "standard input was not read: queuectl run -i passes it to the command\n"


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        (["exit 3"], 1),
        (["exit 3", "--max-retries", "2", "--backoff-base", "0"], 2),
        (['{"command": "exit 3", "max_retries": 2, "backoff_base": 0}'], 2),
    ],
)
def test_run_tries_once_unless_an_option_or_the_job_says_more(
    cli: Cli, words: list[str], runs: int
) -> None:
    cli.ok("config", "set", "max_retries", "5")
    assert process("run", *words).code == 3
    (job,) = cli.ok("list", "--json").json
    assert (job["state"], job["runs"], job["max_retries"]) == ("dead", runs, runs)


def test_what_is_piped_into_run_is_read_where_that_is_asked_for(cli: Cli, home: Path) -> None:
    passed = process("run", "a", "-i", "--", "cat", stdin="hi\nthere\n")
    assert (passed.code, passed.out, passed.err) == (0, "hi\nthere\n", "")
    (file,) = (home / "logs" / "jobs" / "a").glob("*.in")
    assert file.stat().st_mode & 0o777 == 0o600
    assert cli.job("a")["input"] == str(file)
    again = process("run", "b", "-i", "wc -l; exit 2", "--max-retries", "2",
                    "--backoff-base", "0", stdin="1\n2\n3\n")  # fmt: skip
    assert (again.code, again.out.split()) == (2, ["3", "3"])  # each attempt reads it anew
    cli.ok("delete", "a")
    assert not file.exists()


def test_without_it_one_line_says_that_it_is_not_read() -> None:
    unread = process("run", "echo out", stdin="lost\n")
    assert (unread.code, unread.out, unread.err) == (0, "out\n", UNREAD)
    assert process("run", "echo out").err == ""
    assert process("run", "-f", "-", stdin='{"command": "true"}').err == ""


def test_a_script_and_the_prompt_keep_their_lines(cli: Cli, open_shell: OpenShell) -> None:
    script = process(stdin="run a -i -- cat\nstatus\n")
    assert (script.code, script.out) == (2, "")
    assert "the lines here are commands" in script.err
    lines = process(stdin="run -- cat\nrun -- echo next\n")
    assert (lines.code, lines.out, lines.err) == (0, "next\n", "")
    shell = open_shell()
    shell.enter("run -i -- cat")
    shell.shows("the lines here are commands")
    assert len(cli.ids()) == 2


def test_input_that_cannot_be_passed_is_refused_and_leaves_nothing(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.ok("enqueue", "a", "sleep 60", "--unique", "k")
    assert "is the job already" in cli.refused(2, "run", "-i", "-f", "-", stdin='{"command": "x"}')
    for other in (["--pty"], ["--stdin"], ["--input", "/etc/hostname"], ["--input-text", "x"]):
        line = cli.refused(2, "run", "-i", *other, "--", "cat", stdin="x")
        assert f"-i and {other[0]} exclude each other" in line
    cli.refused(4, "run", "a", "-i", "cat -", stdin="x")
    assert "without this input" in cli.refused(
        4, "run", "-i", "--unique", "k", "--", "cat", stdin="x"
    )
    monkeypatch.setattr(run_input, "MOST_BYTES", 2)
    assert "longer than" in cli.refused(2, "run", "b", "-i", "cat -", stdin="xyz")
    assert not list((home / "logs" / "jobs").glob("*"))
    assert cli.ids() == ["a"]


def test_in_a_store_of_several_hosts_the_input_goes_with_the_job(
    cli: Cli, mongo_url: str, home: Path
) -> None:
    store = ["--store", mongo_url]
    passed = process("run", *store, "a", "-i", "--", "cat", stdin="hi\nthere\n")
    assert (passed.code, passed.out, passed.err) == (0, "hi\nthere\n", "")
    assert cli.ok("show", *store, "a", "--json").json["input_text"] == MASK
    assert not list((home / "logs" / "jobs" / "a").glob("*.in"))
    for data, why in ((b"\xff", "not UTF-8 text"), (b"x" * 262_145, "longer than 262,144 bytes")):
        refused = subprocess.run(
            [sys.executable, "-m", "queuectl", "run", *store, "-i", "--", "cat"],
            input=data, capture_output=True, env=environment(), timeout=60, check=False,
        )  # fmt: skip
        assert refused.returncode == 2
        assert f"{why}; --input FILE names a file" in refused.stderr.decode()
    assert [job["id"] for job in cli.ok("list", *store, "--json").json] == ["a"]


def test_a_job_reads_the_file_that_it_names_from_its_directory(cli: Cli) -> None:
    Path("data.csv").write_text("1,2\n")
    assert process("run", "--input", "data.csv", "--", "cat").out == "1,2\n"
    os.mkfifo("pipe")
    for name, why in (("none.csv", "No such file"), ("pipe", "Not a regular"), (".", "Not a")):
        ended = process("run", "--input", name, "--", "cat")
        assert ended.code == 1
        assert f"Standard input {name}: {why}" in ended.err
    with open_queue() as queue:
        queue.enqueue(id="later", command="cat", input="data.csv")
    assert cli.job("later")["input"] == "data.csv"
