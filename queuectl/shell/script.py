"""Lines as commands: of the tree, or such as exist only here; one, or a file of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from queuectl.cli.app import execute
from queuectl.cli.session import Session
from queuectl.domain.errors import ExitCode, InvalidInput
from queuectl.presentation.console import end_line, print_error, print_hint, print_line
from queuectl.shell.grammar import SHELL_WORDS
from queuectl.shell.tokenizer import is_continued, split_line


class Leave(Exception):
    """The user wants to leave the shell."""


def run_script(lines: Iterable[str], session: Session, *, keep_going: bool) -> int:
    """Run each line; stop at the first failure and return its exit code.

    With `keep_going` all are run, and the code is that of the first failure.
    """
    code: int = ExitCode.OK
    for number, line in joined(lines):
        try:
            result = run_line(line, session)
        except Leave:
            break
        code = code or result
        if result == ExitCode.INTERRUPTED:
            return result
        if result and not keep_going:
            print_hint(f"stopped at line {number}: {line.strip()}")
            return result
    return code


def joined(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield numbered lines, each with those that a final backslash makes a part of it."""
    kept, number = "", 0
    for number, line in enumerate(lines, 1):
        kept += line.rstrip("\r\n")
        if is_continued(kept):
            kept = kept[:-1]
            continue
        yield number, kept
        kept = ""
    if kept:
        yield number, kept


def run_line(line: str, session: Session) -> int:
    """Run one line; return its exit code. Raises Leave for `exit` and `quit`."""
    try:
        if line.lstrip().startswith("!"):
            return _run_system(line.lstrip()[1:])
        words = split_line(line)
        if not words:
            return ExitCode.OK
        if words[0] in SHELL_WORDS:
            return _run_shell_word(*words)
        if words[0] == "help" and len(words) == 2 and words[1] in SHELL_WORDS:
            return _run_shell_word(words[1], "--help")
    except InvalidInput as fault:
        print_error(fault)
        return fault.exit_code
    code = execute(words, session.fork())
    if words == ["help"]:
        print_line(f"Only here: {', '.join(SHELL_WORDS)}, !COMMAND (the system's shell).")
    return code


def _run_shell_word(word: str, *args: str) -> int:
    """Run a command that exists only here, none of which takes arguments."""
    if args in (("-h",), ("--help",)):
        print_line(SHELL_WORDS[word])
    elif args:
        raise InvalidInput(f"'{word}' takes no arguments", hint=word)
    elif word == "clear":
        from click import clear

        clear()
    else:
        raise Leave
    return ExitCode.OK


def _run_system(command: str) -> int:
    """Run a command with the system's shell, on this terminal. Raises InvalidInput."""
    import subprocess

    if "\0" in command:
        raise InvalidInput("a command must not contain a NUL byte")
    try:
        code = subprocess.run(command, shell=True, check=False).returncode
    except KeyboardInterrupt:
        end_line()
        return ExitCode.INTERRUPTED
    except (OSError, ValueError) as fault:
        raise InvalidInput(f"cannot run it: {fault}") from fault
    return ExitCode.OK if code == 0 else ExitCode.FAILED
