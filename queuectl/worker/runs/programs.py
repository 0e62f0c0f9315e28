"""Which program a run starts, and in plain words why it could not be started.

The words and the codes are those of a shell: what is not there is not found (127), and what is
there and cannot be run is something else (126).
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import stat
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from queuectl.domain.field_checks import MAX_ARGUMENT_BYTES, Command
from queuectl.domain.job import (
    COMMAND_NOT_FOUND,
    COULD_NOT_START,
    INTERPRETER_NOT_FOUND,
    PERMISSION_DENIED,
    TOO_LONG,
)

SHELL = "/bin/sh"

_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
_FIRST_LINE = 256
"""How much of a script the kernel reads to learn its interpreter."""

_POINTER_BYTES = 8
"""What the system counts for a string beside its bytes and the NUL."""

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_ENV = re.compile(r"/(?:usr/)?bin/env")

Environment = Mapping[bytes, bytes]


_LASTING = frozenset(
    {
        errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP,
        errno.ENAMETOOLONG, errno.ENOEXEC, errno.EINVAL,
    }
)  # fmt: skip
"""The errors that say how things are on this host, and not what it lacks at the moment."""


class CannotStart(Exception):
    """The command could not be started; the text says why."""


class CannotStartHere(CannotStart):
    """The command could not be started on this host, where another try would end the same."""


def cannot_start(fault: OSError, text: str) -> CannotStart:
    """Return what to raise where the system refused something for a command, with a text."""
    return CannotStartHere(text) if fault.errno in _LASTING else CannotStart(text)


class Start(NamedTuple):
    """A program's file, and its arguments from the name that it is called by."""

    program: str
    argv: list[str]


def to_start(command: Command, environment: Environment) -> Start:
    """Return what to start for a command, with the job's directory as the working directory.

    Raises CannotStart.
    """
    if isinstance(command, str):
        return Start(SHELL, ["sh", "-c", command])
    return Start(_find(command[0], environment), list(command))


def open_input(path: str) -> int:
    """Return the descriptor of a file that a run reads, seen from the job's directory.

    Raises CannotStart where it cannot be read, and for what is no file: a pipe would be waited for.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or fault
        raise CannotStart(f"Standard input {path}: {why}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CannotStart(f"Standard input {path}: Not a regular file")
    return descriptor


def instead(fault: OSError, start: Start, environment: Environment) -> Start:
    """Return what to start after the system has refused `start`: as a shell would do it.

    A file that is no program is a script for the shell. Raises CannotStart for all else.
    """
    program, argv = start
    if fault.errno == errno.ENOEXEC and program != SHELL and _is_text(program):
        is_path = "/" in program and program[0] != "-"
        return Start(SHELL, ["sh", program if is_path else f"./{program}", *argv[1:]])
    if fault.errno == errno.E2BIG:
        raise CannotStartHere(_too_long(argv, environment))
    if fault.errno == errno.ENOENT:
        raise CannotStartHere(
            _missing_interpreter(program, "", environment)
            or _missing_loader(program)
            or COMMAND_NOT_FOUND
        )
    if fault.errno == errno.EACCES:
        words = _interpreter_of(program)
        of_what = f": {words[0]}, the interpreter of {program}" if words else ""
        raise CannotStartHere(f"{PERMISSION_DENIED}{of_what}")
    raise cannot_start(fault, f"{COULD_NOT_START}: {fault.strerror}")


def explained(
    exit_code: int, command: Command, environment: Environment, cwd: str | None
) -> str | None:
    """Return what an exit code by which shells tell of a program that does not run stands for.

    Its first word is looked at again, as the shell saw it; None where nothing is wrong with that.
    """
    program = _first_program(command, environment, cwd or "/")
    if exit_code == _NOT_EXECUTABLE:
        is_denied = program is not None and _is_there(program) and not _is_runnable(program)
        return PERMISSION_DENIED if is_denied else None
    if exit_code != _NOT_FOUND:
        return None
    if program is None or not _is_runnable(program):
        return COMMAND_NOT_FOUND
    return _missing_interpreter(program, cwd or "/", environment) or COMMAND_NOT_FOUND


def _find(name: str, environment: Environment) -> str:
    """Return the path of a program, found as the command's own PATH says."""
    if program := shutil.which(name, path=_path(environment)):
        return program
    is_path = "/" in name
    for place in [name] if is_path else _places(name, environment):
        try:
            mode = os.stat(place).st_mode  # noqa: PTH116  # a string that is a path as it is
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError:
            if is_path:
                raise CannotStartHere(PERMISSION_DENIED) from None
            continue
        except OSError as fault:
            raise cannot_start(fault, f"{COULD_NOT_START}: {fault.strerror}") from None
        if is_path or stat.S_ISREG(mode):
            raise CannotStartHere(PERMISSION_DENIED)
    raise CannotStartHere(COMMAND_NOT_FOUND)


def _path(environment: Environment) -> str:
    """Return where programs are looked for; as an empty entry, an empty PATH is the directory."""
    return os.fsdecode(environment.get(b"PATH", os.fsencode(os.defpath))) or os.pathsep


def _places(name: str, environment: Environment) -> Iterator[str]:
    return (os.path.join(folder, name) for folder in _path(environment).split(os.pathsep))  # noqa: PTH118  # as a shell does it


def _first_program(command: Command, environment: Environment, cwd: str) -> str | None:
    """Return the path of the file that the first word of a command names, if it names one."""
    try:
        words = shlex.split(command) if isinstance(command, str) else list(command)
    except ValueError:
        return None
    name = next((word for word in words if not _ASSIGNMENT.match(word)), None)
    if not name or "\0" in name:
        return None
    places = [name] if "/" in name else _places(name, environment)
    beside = (os.path.join(cwd, place.removeprefix("./")) for place in places)  # noqa: PTH118  # as a shell does it
    return next((place for place in beside if _is_there(place)), None)


def _is_there(path: str) -> bool:
    return os.access(path, os.F_OK)


def _is_runnable(path: str) -> bool:
    return os.access(path, os.X_OK) and _is_file(path)


def _is_file(path: str) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  # a string that is a path as it is


def _beginning(path: str) -> bytes | None:
    """Return the first bytes of a file, or None for what is none or cannot be read."""
    if not _is_file(path):  # to open something else may take for ever
        return None
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # a string that is a path as it is
            return file.read(_FIRST_LINE)
    except OSError:
        return None


def _is_text(path: str) -> bool:
    """Whether a file may be a script: there is no NUL in the beginning of its first line."""
    begin = _beginning(path)
    return begin is not None and b"\0" not in begin.partition(b"\n")[0]


def _interpreter_of(path: str) -> list[str]:
    """Return the interpreter that a script names, and its argument if it has one."""
    begin = _beginning(path) or b""
    if not begin.startswith(b"#!"):
        return []
    line = os.fsdecode(begin[2:].partition(b"\n")[0]).strip(" \t")
    return [word for word in re.split(r"[ \t]+", line, maxsplit=1) if word]


def _missing_interpreter(program: str, cwd: str, environment: Environment) -> str | None:
    """Return a line on the interpreter of a script that is not there, or None if all is well."""
    words = _interpreter_of(program)
    if not words:
        return None
    name = words[0]
    is_missing = not _is_there(os.path.join(cwd, name))  # noqa: PTH118  # as the kernel does it
    if not is_missing and _ENV.fullmatch(name):
        name = _asked_of_env(words)
        is_missing = bool(name) and shutil.which(name, path=_path(environment)) is None
    if not is_missing:
        return None
    ends = ", with the line ends of Windows" if name.endswith("\r") else ""
    return f"{INTERPRETER_NOT_FOUND}: {name.rstrip()}, named in {program}{ends}"


def _missing_loader(program: str) -> str | None:
    """Return a line on a program that is there, and what loads its kind is not."""
    is_binary = (_beginning(program) or b"").startswith(b"\x7fELF")
    return f"{INTERPRETER_NOT_FOUND}: the loader of {program}" if is_binary else None


def _asked_of_env(words: list[str]) -> str:
    """Return which program a script asks env for: `env python3`, `env -S python3 -u`."""
    options = (words[1] if len(words) > 1 else "").split(" ")
    names = (word for word in options if word and word[0] != "-" and not _ASSIGNMENT.match(word))
    return next(names, "")


def _too_long(argv: list[str], environment: Environment) -> str:
    """Return what is too long: one string alone, or all of them together."""
    arguments = [os.fsencode(argument) for argument in argv]
    for number, argument in enumerate(arguments):
        if len(argument) > MAX_ARGUMENT_BYTES:
            what = f"argument {number} has {len(argument):,} bytes"
            return f"{TOO_LONG}: {what}; the system takes {MAX_ARGUMENT_BYTES:,} in one"
    pairs = {name: len(name) + 1 + len(value) for name, value in environment.items()}
    for name, size in pairs.items():
        if size > MAX_ARGUMENT_BYTES:
            what = f"the variable {os.fsdecode(name)} has {size:,} bytes"
            return f"{TOO_LONG}: {what}; the system takes {MAX_ARGUMENT_BYTES:,} in one"
    of_arguments = sum(len(argument) + 1 + _POINTER_BYTES for argument in arguments)
    of_environment = sum(size + 1 + _POINTER_BYTES for size in pairs.values())
    return (
        f"{TOO_LONG}: {of_arguments:,} bytes of arguments and {of_environment:,} of environment; "
        f"the system takes {os.sysconf('SC_ARG_MAX'):,} together"
    )
