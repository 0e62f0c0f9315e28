"""One line of the shell: a command of the tree, or one that exists only here."""

from __future__ import annotations

from queuectl.cli.app import execute
from queuectl.cli.session import Session, end_line, print_error, print_line
from queuectl.domain.errors import ExitCode, InvalidInput
from queuectl.shell.grammar import SHELL_WORDS, SYSTEM_HELP
from queuectl.shell.tokenizer import split_line

_LEAVING = ("exit", "quit")


class Leave(Exception):
    """The user wants to leave the shell."""


def run_line(line: str, session: Session) -> int:
    """Run one line; return its exit code. Raises Leave for `exit` and `quit`."""
    if line.lstrip().startswith("!"):
        return _run_system(line.lstrip()[1:])
    try:
        words = split_line(line)
    except InvalidInput as fault:
        print_error(fault)
        return fault.exit_code
    if not words:
        return ExitCode.OK
    if words[0] in SHELL_WORDS:
        return _run_shell_word(words)
    if words[0] == "help" and len(words) == 2 and words[1] in SHELL_WORDS:
        print_line(SHELL_WORDS[words[1]])
        return ExitCode.OK
    code = execute(words, session.fork())
    if words == ["help"]:
        _tell_of_shell_words()
    return code


def _run_shell_word(words: list[str]) -> int:
    """Run a command that exists only here, none of which takes arguments."""
    if words[1:] in (["-h"], ["--help"]):
        print_line(SHELL_WORDS[words[0]])
        return ExitCode.OK
    if len(words) > 1:
        print_error(InvalidInput(f"'{words[0]}' takes no arguments", hint=words[0]))
        return ExitCode.USAGE
    if words[0] in _LEAVING:
        raise Leave
    from click import clear

    clear()
    return ExitCode.OK


def _tell_of_shell_words() -> None:
    """Add to the help what only the shell knows."""
    print_line("")
    print_line("Only here:")
    for word, text in [*SHELL_WORDS.items(), ("!COMMAND", SYSTEM_HELP)]:
        print_line(f"  {word:<10}  {text}")


def _run_system(command: str) -> int:
    """Run a command with the system's shell, on this terminal."""
    import subprocess

    if "\0" in command:
        print_error(InvalidInput("a command must not contain a NUL byte"))
        return ExitCode.USAGE
    try:
        code = subprocess.run(command, shell=True, check=False).returncode
    except KeyboardInterrupt:
        end_line()
        return ExitCode.INTERRUPTED
    except (OSError, ValueError) as fault:
        print_error(InvalidInput(f"cannot run it: {fault}"))
        return ExitCode.USAGE
    return ExitCode.OK if code == 0 else ExitCode.FAILED
