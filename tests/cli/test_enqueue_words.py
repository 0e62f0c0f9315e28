"""Which words of `enqueue` are an id, a command, JSON, or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from queuectl.cli.enqueue_words import Source, looks_like_json, read_words, split_at_dashes
from queuectl.domain.errors import InvalidInput
from tests.cli.harness import Cli


@pytest.mark.parametrize(
    ("line", "source"),
    [
        (["job1", "echo hi"], Source(command="echo hi", id="job1")),
        (["sleep 5 && echo done"], Source(command="sleep 5 && echo done")),
        (["./run.sh"], Source(command="./run.sh")),
        (["@job.json"], Source(file="job.json")),
        (["@-"], Source(file="-")),
        (['{"id": "a"}'], Source(json='{"id": "a"}')),
        (["[]"], Source(json="[]")),
        (['[{"id": "a"}]'], Source(json='[{"id": "a"}]')),
        (['{ "id": "a" }'], Source(json='{ "id": "a" }')),
        (['{\n  "id": "a"}'], Source(json='{\n  "id": "a"}')),
        (['[ {"id": "a"} ]'], Source(json='[ {"id": "a"} ]')),
        (["{ echo hi; }"], Source(command="{ echo hi; }")),
        (["[ -f x ] && rm x"], Source(command="[ -f x ] && rm x")),
        (["[[ -f x ]] && rm x"], Source(command="[[ -f x ]] && rm x")),
        (["--", "make", "all tests"], Source(command=("make", "all tests"))),
        (["build", "--", "make", "-j4"], Source(command=("make", "-j4"), id="build")),
        (["--", "ls"], Source(command=("ls",))),
        (["a", "--", "x", "--", "y"], Source(command=("x", "--", "y"), id="a")),
    ],
)
def test_words_have_one_meaning(line: list[str], source: Source) -> None:
    words, after = split_at_dashes(line)
    assert read_words(words, after) == source


@pytest.mark.parametrize(
    ("line", "options", "told"),
    [
        (["ls"], {}, "--command ls"),
        (["-"], {}, "--lines - reads commands from standard input"),
        (["ls"], {}, "-- ls"),
        (["echo", "hello", "world"], {}, "quotes"),
        (["echo hi", "there"], {}, "not a valid id"),
        (["a", "b", "--", "x"], {}, "only an id"),
        (["a b", "--", "x"], {}, "not a valid id"),
        (["a", "--"], {}, "no command"),
        ([], {}, "nothing to enqueue"),
        (["@"], {}, "no file"),
        (["a", "x y"], {"job_id": "b"}, "given twice"),
        (["a", "--", "x"], {"job_id": "b"}, "given twice"),
        (["a"], {"command": "x"}, "--command"),
        (["@f"], {"file": "g"}, "--file"),
        (["--", "x"], {"command": "y"}, "--command"),
        ([], {"command": "x", "file": "y"}, "cannot both"),
    ],
)
def test_words_without_one_meaning_are_refused(
    line: list[str], options: dict[str, Any], told: str
) -> None:
    words, after = split_at_dashes(line)
    with pytest.raises(InvalidInput) as refusal:
        read_words(words, after, **options)
    assert told in f"{refusal.value} {refusal.value.hint}"


def test_a_dash_is_no_command_of_add_either(cli: Cli) -> None:
    refused = cli("add", "--gpus", "1", "-")
    assert (refused.code, "--lines -" in refused.err) == (2, True)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with `python` and `sleep` alone."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("python", "sleep"):
        (folder / name).touch(mode=0o755)
    (folder / "hello").mkdir()
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(
    ("line", "forms"),
    [
        ("sleep 5", ("-- sleep 5", 'ID "sleep 5"')),
        ("python train.py", ("-- python train.py", 'ID "python train.py"')),
        ("test nothing", ("-- test nothing", 'ID "test nothing"')),
        ("--queue gpu sleep 5 --priority 3", ("-- sleep 5", 'ID "sleep 5"')),
        ("python -p train.py", ("-- python -p train.py",)),
        ("python train.py --gpu 0", ("put -- before", "-- python train.py --gpu 0")),
        ("rsync -a src dst", ("put -- before", "-- rsync -a src dst")),
        ("--queue gpu make --jobs 4", ("put -- before", "--queue gpu -- make --jobs 4")),
    ],
)
@pytest.mark.parametrize("verb", ["enqueue", "run"])
def test_a_command_without_quotes_is_refused_with_the_right_forms(
    cli: Cli, verb: str, line: str, forms: tuple[str, ...]
) -> None:
    Path("train.py").touch()
    told = cli.refused(2, verb, *line.split())
    for form in forms:
        assert (form if form.startswith("put") else f"queuectl {verb} {form}") in told
    assert cli.ids() == []


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(
    "words",
    [
        ("test", "./run.sh"), ("sleep", "python"), ("sleep", "true"), ("python", "A=1"),
        ("sleep", "sleep 5"), ("python", "x|y"), ("sleep", "*.py"), ("job1", "train.py"),
        ("hello", "5"),
    ],
)  # fmt: skip
def test_an_id_before_what_may_be_a_command_is_one_though_a_program_has_its_name(
    cli: Cli, words: tuple[str, str]
) -> None:
    cli.ok("enqueue", *words)
    assert cli.job(words[0])["command"] == words[1]


@pytest.mark.usefixtures("programs")
def test_an_option_behind_an_id_and_a_command_is_ours_mistyped(cli: Cli) -> None:
    for words in (["a", "true"], ["a", "./run.sh"], ["a", "echo hi"]):
        assert "'--priority'" in cli.refused(2, "enqueue", *words, "--prioritty", "5")


@pytest.mark.parametrize("verb", ["enqueue", "run"])
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ls", "queuectl {verb} -- ls"),
        ("echo hello world", '({verb} ID "COMMAND"), or {verb} ID -- COMMAND'),
        ("@a b", 'write {verb} ID "COMMAND"'),
        ("", 'queuectl {verb} job1 "echo Hello"'),
    ],
)
def test_what_is_to_be_typed_instead_begins_with_the_same_command(
    cli: Cli, verb: str, line: str, told: str
) -> None:
    assert told.format(verb=verb) in cli.refused(2, verb, *line.split())


@pytest.mark.parametrize("word", ["{", "{}", "[1]", '[["a"]]', '{"a', "[ ]", "{ }"])
def test_broken_json_is_still_meant_as_json(word: str) -> None:
    assert looks_like_json(word)
