"""Which program a run starts, and what is said of one that cannot be started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queuectl.worker.runs.programs import CannotStart, explained, instead, to_start
from tests.worker.fleet import Fleet

PATH = b"/usr/bin:/bin"
PLAIN = {b"PATH": PATH}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that a run has entered."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def a_file(path: Path, text: str = "", mode: int = 0o700) -> str:
    """Make a file and return its path."""
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def refusal(*command: str) -> str:
    """Return why a command cannot be started, by asking the system for it."""
    try:
        _start(command)
    except CannotStart as refused:
        return str(refused)
    pytest.fail("it was started")


def _start(command: tuple[str, ...]) -> None:
    start = to_start(command, PLAIN)
    while True:
        try:
            os.waitpid(os.posix_spawn(start.program, start.argv, PLAIN), 0)
        except OSError as fault:
            start = instead(fault, start, PLAIN)
        else:
            return


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["nowhere", "./nowhere", "/no/such/program", "/etc/passwd/x"])
def test_what_is_not_there_is_not_found(name: str) -> None:
    assert refusal(name) == "Command not found"


@pytest.mark.parametrize("name", ["./file", "/etc/passwd", "./", "/tmp", "./folder"])
def test_what_is_there_and_no_program_is_denied(here: Path, name: str) -> None:
    a_file(here / "file", "#!/bin/sh\n", 0o600)
    (here / "folder").mkdir()
    assert refusal(name) == "Permission denied"


def test_on_the_path_a_file_that_is_no_program_is_denied_and_a_folder_passed_over(
    here: Path,
) -> None:
    (here / "folder").mkdir()
    a_file(here / "file", mode=0o600)
    on_path = {b"PATH": os.fsencode(here)}
    for name, told in (("file", "Permission denied"), ("folder", "Command not found")):
        with pytest.raises(CannotStart, match=told):
            to_start((name,), on_path)


@pytest.mark.parametrize(
    ("first_line", "told"),
    [
        ("#! /no/such/perl -w\n", "/no/such/perl, named in {script}"),
        ("#!/bin/sh\r\n", "/bin/sh, named in {script}, with the line ends of Windows"),
    ],
)
def test_an_interpreter_that_is_missing_is_named(here: Path, first_line: str, told: str) -> None:
    script = a_file(here / "script", first_line)
    assert refusal(script) == f"Interpreter not found: {told.format(script=script)}"


def test_an_interpreter_that_is_no_program_is_named(here: Path) -> None:
    inner = a_file(here / "inner", mode=0o600)
    script = a_file(here / "script", f"#!{inner}\n")
    assert refusal(script) == f"Permission denied: {inner}, the interpreter of {script}"


def test_a_file_of_bytes_that_is_no_program_of_this_machine_is_not_given_to_the_shell(
    here: Path,
) -> None:
    program = here / "program"
    program.write_bytes(b"MZ\0\0\nrm -rf everything\n")
    program.chmod(0o700)
    assert refusal(str(program)) == "Command could not be started: Exec format error"


def test_a_script_without_a_first_line_for_the_kernel_is_run_by_the_shell(here: Path) -> None:
    script = a_file(here / "script", "echo $0 $1\n")
    fault = OSError(8, "Exec format error")
    start = instead(fault, to_start((script, "a b"), PLAIN), PLAIN)
    assert start == ("/bin/sh", ["sh", script, "a b"])
    assert instead(fault, to_start(("./script",), PLAIN), PLAIN).argv == ["sh", "./script"]


MANY = ["x" * 100_000] * (os.sysconf("SC_ARG_MAX") // 100_000 + 1)


@pytest.mark.usefixtures("here")
def test_arguments_that_are_too_long_are_named_alone_or_with_the_environment() -> None:
    told = refusal("true", *MANY)
    assert told.startswith("Arguments and environment are too long: ")
    assert f" bytes of arguments and {len('PATH=') + len(PATH) + 9:,} of environment; " in told
    assert told.endswith(f"the system takes {os.sysconf('SC_ARG_MAX'):,} together")
    assert refusal("true", "short", "x" * 131_072) == (
        "Arguments and environment are too long: argument 2 has 131,072 bytes; "
        "the system takes 131,071 in one"
    )


@pytest.mark.parametrize(
    ("code", "command", "told"),
    [
        (127, "./lost --now", "Interpreter not found: /no/such/perl, named in {here}/lost"),
        (127, "A=1 ./lost", "Interpreter not found: /no/such/perl, named in {here}/lost"),
        (127, ("./lost",), "Interpreter not found: /no/such/perl, named in {here}/lost"),
        (127, "./by-env", "Interpreter not found: no-perl, named in {here}/by-env"),
        (127, "./fine", "Command not found"),
        (127, "nowhere", "Command not found"),
        (127, "if true; then nowhere; fi", "Command not found"),
        (127, "echo 'a quote that is open", "Command not found"),
        (126, "./plain", "Permission denied"),
        (126, "/tmp", "Permission denied"),
        (126, "./fine", None),
        (126, "exit 126", None),
        (1, "./lost", None),
    ],
)
def test_the_codes_of_a_shell_are_explained_by_the_file_that_it_was_to_start(
    here: Path, code: int, command: str | tuple[str, ...], told: str | None
) -> None:
    a_file(here / "lost", "#!/no/such/perl\n")
    a_file(here / "by-env", "#!/usr/bin/env -S no-perl -w\n")
    a_file(here / "fine", "#!/bin/sh\n")
    a_file(here / "plain", mode=0o600)
    expected = told.format(here=here) if told else None
    assert explained(code, command, PLAIN, str(here)) == expected


def test_a_worker_runs_and_refuses_as_a_shell_would(workers: Fleet) -> None:
    script = a_file(workers.root / "script", 'echo "$0 $1"\n')
    a_file(workers.root / "lost", "#!/no/such/perl\n")
    assert workers.outcome(["./script", "a b"]).stdout == "./script a b\n"
    by_path = workers.outcome(["script", "x"], env={"PATH": f"{workers.root}:/usr/bin:/bin"})
    assert by_path.stdout == f"{script} x\n"
    lost = f"Interpreter not found: /no/such/perl, named in {workers.root}/lost"
    assert workers.ran("./lost").last_error == lost
    assert workers.ran(["/tmp"]).last_error == workers.ran("/tmp").last_error == "Permission denied"


def test_long_arguments_run_where_each_and_all_of_them_are_within_the_limits(
    workers: Fleet,
) -> None:
    longest = ["sh", "-c", "echo ${#1} ${#2}", "sh", "x" * 131_071, "y" * 100_000]
    assert workers.outcome(longest).stdout == "131071 100000\n"
    too_long = workers.ran(["true", *MANY]).last_error or ""
    assert too_long.startswith("Arguments and environment are too long: ")


@pytest.mark.parametrize("path", [b"", b":/usr/bin"])
def test_an_empty_path_means_the_working_directory(here: Path, path: bytes) -> None:
    a_file(here / "prog", "#!/bin/sh\n")
    assert Path(to_start(("prog",), {b"PATH": path}).program).samefile(here / "prog")
