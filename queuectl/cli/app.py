"""How one command line runs: every way out is an exit code, and every error one line."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import sys
from typing import TYPE_CHECKING

import click

from queuectl.cli.root import COMPLETION_VARIABLE, root
from queuectl.cli.session import Session
from queuectl.domain.errors import (
    ExitCode,
    InvalidInput,
    QueuectlError,
    StoreError,
    StoreUnavailable,
)
from queuectl.presentation.console import end_line, print_error, print_hint, silence_output

if TYPE_CHECKING:
    from collections.abc import Sequence


def execute(args: Sequence[str], session: Session) -> int:
    """Run one command line in this process; return its exit code. Never raises."""
    try:
        return _invoke(list(args), session)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (KeyboardInterrupt, click.Abort, EOFError):
        end_line()
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        silence_output()
        return ExitCode.FAILED
    except Exception as fault:
        if session.verbose and not _is_an_answer(fault):
            import traceback

            traceback.print_exc()
        refusal = _as_refusal(fault)
        print_error(refusal)
        return refusal.exit_code


def _invoke(args: list[str], session: Session) -> int:
    try:
        if any("\0" in word for word in args):
            raise InvalidInput("an argument must not contain a NUL byte")
        with root.make_context("queuectl", args, obj=session) as ctx:
            code = int(root.invoke(ctx) or ExitCode.OK)
        sys.stdout.flush()
        if code == ExitCode.OK:
            session.tell_of_missing()
        return code
    finally:
        session.close()


_OUR_WORDS = ("a valid integer range", "a whole number")
"""How click calls a number with bounds, and what it is."""


def _is_an_answer(fault: Exception) -> bool:
    """Whether a fault is in what was asked for, so that its one line says all there is to it."""
    return isinstance(fault, (QueuectlError, click.ClickException)) and not isinstance(
        fault, StoreError
    )


def _as_refusal(fault: Exception) -> QueuectlError:
    """Return anything that was raised as an error that fits on one line."""
    if isinstance(fault, QueuectlError):
        return fault
    if isinstance(fault, click.UsageError):
        path = fault.ctx.command_path if fault.ctx else "queuectl"
        text = _one_line(fault.format_message()).replace(*_OUR_WORDS)
        text = re.sub(r"'\[([A-Z]+)\]'", r"'\1'", text)  # whether it may be left out is no matter
        return InvalidInput(text, hint=f"{path} --help")
    if isinstance(fault, click.ClickException):
        return InvalidInput(_one_line(fault.format_message()))
    if isinstance(fault, MemoryError):
        return QueuectlError("out of memory")
    if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return StoreUnavailable(_os_error(fault), hint="make room and try again")
    if isinstance(fault, OSError):
        return QueuectlError(_os_error(fault))
    return QueuectlError(
        f"unexpected {type(fault).__name__}: {fault}", hint="-v shows where it comes from"
    )


def _os_error(fault: OSError) -> str:
    what = fault.strerror or str(fault)
    return f"{fault.filename}: {what}" if fault.filename else what


def _one_line(message: str) -> str:
    text = " ".join(message.split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _stand_in_for_closed_streams() -> None:
    """Let a standard stream that the caller has closed lead nowhere.

    Python has None in its place, and the next file that is opened would take its descriptor, so
    that a message might end up in the store.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(nowhere, mode, encoding="utf-8"))


def _run(args: Sequence[str]) -> int:
    if request := os.environ.get(COMPLETION_VARIABLE):
        from queuectl.cli.completion import answer

        return answer(request)
    return execute(args, Session())


def run_process(args: Sequence[str]) -> int:
    """Run the command line of this process; return its exit code."""
    hide_passwords(args)
    _stand_in_for_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # Redirected, JSON and text are UTF-8 in every locale; nothing may fail to be shown.
        encoding = None if stream.isatty() else "utf-8"
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    code = _run(args)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence_output()
    except OSError as fault:
        print_hint(f"queuectl: cannot write the output: {_os_error(fault)}")
        return code or ExitCode.FAILED
    return code


_PASSWORD = rb"(?<=://)[^/\0]*:[^\0]*(?=@)"
_HOOK_URL = rb"(?<=--url[=\0])([a-z]+://[^/?#\0]*)([^\0]*)"
_ARGUMENTS_BEGIN, _ARGUMENTS_END = 45, 46
"""Where /proc/PID/stat says this, counted from its third field; see proc_pid_stat(5)."""


def hide_passwords(args: Sequence[str]) -> None:
    """Overwrite secrets of addresses in what the system shows of this process's arguments.

    They are passwords, and what follows the host in the address of a hook.

    Only Linux lets a process do so. What it forks inherits it; Python's own copy stays whole.
    """
    is_hook = any(word.partition("=")[0] == "--url" for word in args)
    if any("://" in word and (is_hook or "@" in word) for word in args):
        with contextlib.suppress(OSError, ValueError, IndexError):
            _overwrite()


def _overwrite() -> None:
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123  # few commands load pathlib
        text = file.read()
    fields = text[text.rindex(b")") + 2 :].split()
    begin, end = int(fields[_ARGUMENTS_BEGIN]), int(fields[_ARGUMENTS_END])
    memory = os.open("/proc/self/mem", os.O_RDWR)
    try:
        shown = os.pread(memory, end - begin, begin)
        hidden = re.sub(_PASSWORD, lambda found: b"*" * len(found[0]), shown)
        hidden = re.sub(_HOOK_URL, lambda found: found[1] + b"*" * len(found[2]), hidden)
        os.pwrite(memory, hidden, begin)
    finally:
        os.close(memory)
