"""Completion for bash, zsh and fish."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pexpect
import pytest

from queuectl.cli import completion
from queuectl.cli.completion import candidates
from queuectl.cli.session import Session
from tests.cli.harness import Cli, bury, environment
from tests.cli.test_workers import until

BASH = """
source <(queuectl completion bash)
COMP_LINE=$1; COMP_POINT=${#1}
_queuectl_completion queuectl
printf '%s\\n' "${COMPREPLY[@]}"
"""
PROGRAM = "from queuectl.cli import completion, main; completion.MOST_SECONDS = 60; main()"
"""`queuectl` on a machine that may be busy, whose answer is awaited all the same."""

Complete = Callable[[str], list[str]]


def offered(*words: str) -> list[str]:
    """Return what the last word may become."""
    return [str(item.value) for item in candidates(Session(), list(words[:-1]), words[-1])]


@pytest.fixture
def program(tmp_path: Path) -> dict[str, str]:
    """An environment in which `queuectl` is on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "queuectl"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{PROGRAM}' \"$@\"\n")
    script.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return {**environment(), "PATH": path}


def require(shell: str) -> str:
    """Return the path of a shell that not every machine has."""
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


def output_of(args: Sequence[str], environ: dict[str, str]) -> str:
    """Return what a shell writes, which must not complain."""
    ended = subprocess.run(args, capture_output=True, text=True, env=environ, check=True)
    assert ended.stderr == ""
    return ended.stdout


@pytest.fixture
def bash(program: dict[str, str]) -> Complete:
    """Completes a line in a real bash."""
    path = require("bash")

    def complete(line: str) -> list[str]:
        return output_of([path, "--norc", "-c", BASH, "bash", line], program).split("\n")[:-1]

    return complete


def test_commands_and_options_are_offered() -> None:
    assert "status" in offered("st")
    assert offered("worker", "st") == ["start", "stop"]
    assert offered("help", "worker", "st") == ["start", "stop"]
    assert offered("jobs", "sh") == ["show"]
    assert offered("list", "--st") == ["--state", "--store"]
    assert offered("completion", "") == ["bash", "zsh", "fish"]
    assert "--json" in offered("status", "")
    assert offered("nonsense", "") == []


def test_no_option_is_offered_where_the_value_of_one_must_stand() -> None:
    assert offered("enqueue", "job1", "--in", "") == []
    assert offered("worker", "start", "--count", "") == []
    assert offered("--store", "") == [""], "a file, for the shell to complete"
    assert "--limit" in offered("dlq", "list", "--json", "")
    assert offered("list", "comp") == ["completed"]


def test_values_are_offered(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true", "--queue", "imports")
    assert offered("list", "--state", "dead,can") == ["dead,cancelled"]
    assert offered("enqueue", "--priority", "h") == ["high"]
    assert offered("worker", "start", "--queue", "i") == ["imports"]
    assert offered("config", "set", "max-r") == ["max-retries"]
    assert offered("config", "set", "max_retries", "") == ["3"]
    assert offered("config", "set", "kill-leftovers", "") == ["true", "false"]
    Path("jobs.json").touch()
    assert offered("enqueue", "@jo") == ["@jobs.json"]


def test_jobs_are_offered_by_what_can_be_done_with_them(cli: Cli) -> None:
    bury("buried")
    cli.ok("enqueue", "waiting", "echo hi")
    assert offered("show", "") == ["waiting", "buried"]
    assert offered("cancel", "") == ["waiting"]
    assert offered("retry", "") == ["buried"]
    assert offered("kill", "") == ["waiting"], "as behind cancel"
    assert offered("group", "pa") == ["pause"]
    assert offered("dlq", "show", "b") == ["buried"]
    item = candidates(Session(), ["show"], "w")[0]
    assert item.help == "pending     echo hi"


def test_bash_completes_live_job_ids(bash: Complete, cli: Cli) -> None:
    cli.ok("enqueue", "nightly:1", "true")
    cli.ok("enqueue", "other", "true")
    assert bash("queuectl show o") == ["other"]
    assert bash("queuectl show nightly:") == ["1"], "readline has the part before the colon"
    assert "status" in bash("queuectl sta")
    assert bash("queuectl list --state=pen") == ["pending"]
    Path("jobs.json").touch()
    assert bash("queuectl enqueue @jo") == ["@jobs.json"], "readline replaces the @ too"


def test_bash_is_silent_and_makes_nothing_when_there_is_no_store(
    bash: Complete, home: Path
) -> None:
    assert bash("queuectl show j") == [""]
    assert "--json" in bash("queuectl show ")
    assert not home.exists()


@pytest.mark.parametrize("store", ["/nowhere/queue.db", "bogus://x"])
def test_bash_is_silent_when_the_store_is_away(
    store: str, bash: Complete, program: dict[str, str]
) -> None:
    program["QUEUECTL_STORE"] = store
    assert bash("queuectl show j") == [""]


def test_who_has_pressed_tab_does_not_wait_long_for_a_store(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(completion._Bash, "complete", lambda _asker: answers.wait())
    monkeypatch.setattr(completion, "MOST_SECONDS", 0.01)
    assert completion.answer("bash_complete") == 1
    assert capsys.readouterr().out == ""
    answers.set()


def test_zsh_completes_live_job_ids_with_their_state(program: dict[str, str], cli: Cli) -> None:
    zsh = require("zsh")
    cli.ok("enqueue", "nightly", "echo hi")
    asking = {**program, "COMP_WORDS": "queuectl show n", "COMP_CWORD": "2"}
    asking["_QUEUECTL_COMPLETE"] = "zsh_complete"
    shown = output_of(["queuectl"], asking)
    assert shown == "plain\nnightly\npending     echo hi\n"
    script = 'autoload -U compinit && compinit -D; eval "$(queuectl completion zsh)"'
    assert output_of([zsh, "-f", "-c", script + "; print $_comps[queuectl]"], program) == (
        "_queuectl_completion\n"
    )


def test_fish_completes_live_job_ids_with_their_state(program: dict[str, str], cli: Cli) -> None:
    fish = require("fish")
    cli.ok("enqueue", "nightly", "echo hi")
    script = "queuectl completion fish | source; complete -C 'queuectl show n'"
    assert "nightly\tpending     echo hi" in output_of([fish, "-N", "-c", script], program)


SHELLS = {
    "bash": (["--norc", "--noprofile", "-i"], ["shopt -s hostcomplete"]),
    "bash with its completion package": (
        ["--norc", "--noprofile", "-i"],
        ["shopt -u hostcomplete"],  # which leaves @ out of the characters that part words
    ),
    "zsh": (["-f", "-i"], ["autoload -U compinit && compinit -D", "bindkey -e"]),
    "fish": (["-N", "-i"], []),
}
"""How each shell is started, and what is typed there first."""

TYPED = {
    "show user@ho": "show user@host:1",
    "show deploy:eu@t": "show deploy:eu@two",
    "show deploy:": "show deploy:eu@",
    "show 'deploy:eu@o": "show deploy:eu@one",
    "enqueue @jo": "enqueue @jobs.json",
    "list --state=pen": "list --state=pending",
    "list --state dead,pen": "list --state dead,pending",
}
"""What is typed before the Tab key, and the words that stand there afterwards."""


@pytest.mark.parametrize("name", SHELLS)
def test_a_word_with_a_sign_in_it_is_completed_in_a_real_shell(
    name: str, program: dict[str, str], cli: Cli, tmp_path: Path
) -> None:
    shell, (args, first) = name.split()[0], SHELLS[name]
    path, written = require(shell), tmp_path / "written"
    for job_id in ("user@host:1", "deploy:eu@one", "deploy:eu@two"):
        cli.ok("enqueue", job_id, "true")
    Path("jobs.json").touch()
    note = tmp_path / "bin" / "note"
    note.write_text(f'#!/bin/sh\necho "$*" > {written}.new && mv {written}.new {written}\n')
    note.chmod(0o755)
    source = f'eval "$(queuectl completion {shell})"'
    if shell == "fish":
        source = "queuectl completion fish | source"
    environ = {**program, "TERM": "dumb", "INPUTRC": "/dev/null"}
    child = pexpect.spawn(path, args, env=environ, encoding="utf-8", timeout=60)
    for line in (*first, source, "echo rea''dy"):
        child.sendline(line)
    child.expect("ready\r")
    for typed, words in TYPED.items():
        child.send(f"queuectl {typed}\t\x01note \x05\r")
        until(written.exists)
        assert written.read_text().strip() == f"queuectl {words}"
        written.unlink()
    child.close(force=True)


def test_fish_shows_descriptions_with_commas(program: dict[str, str], cli: Cli) -> None:
    fish = require("fish")
    cli.ok("enqueue", "nightly", "echo one, two, three")
    script = "queuectl completion fish | source; complete -C 'queuectl show n'"
    assert "echo one, two, three" in output_of([fish, "-N", "-c", script], program)


def test_the_scripts_are_printed(cli: Cli) -> None:
    assert "complete -o nosort -F _queuectl_completion queuectl" in cli.ok("completion", "bash").out
    assert cli.ok("completion", "zsh").out.startswith("#compdef queuectl")
    assert "complete --no-files --command queuectl" in cli.ok("completion", "fish").out
    assert "is not one of" in cli.refused(2, "completion", "csh")
