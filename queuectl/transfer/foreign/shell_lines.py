"""A job as one line for a shell, for programs that know nothing but lines."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from queuectl.domain.field_checks import Command
from queuectl.domain.frozen import frozen
from queuectl.domain.job_fields import command_text
from queuectl.domain.views import MASK, looks_secret


class NotALine(ValueError):
    """It cannot be said in one line; the text says why."""


@frozen
class Written:
    """What became of job or schedule: its line, or why there is none; `notes` name what is lost."""

    name: str
    line: str = ""
    notes: tuple[str, ...] = ()
    why: str = ""


def line_of(
    command: Command,
    *,
    cwd: str | None,
    env: Mapping[str, str],
    timeout: float,
    masked: bool,
) -> str:
    """Return a line that goes to a directory, sets variables and runs a command.

    With `masked` the values of secrets are hidden. Raises NotALine.
    """
    text = command_text(command)
    if "\n" in text or any("\n" in value for value in env.values()):
        raise NotALine("it has several lines")
    if timeout:
        text = f"timeout {timeout:g} {text if not isinstance(command, str) else _in_shell(text)}"
    parts = [f"cd {shlex.quote(cwd)} &&"] if cwd else []
    if env:
        shown = {
            name: MASK if masked and looks_secret(name) else value for name, value in env.items()
        }
        pairs = (f"{name}={shlex.quote(value)}" for name, value in shown.items())
        parts.append(f"export {' '.join(pairs)} &&")
    if parts and isinstance(command, str) and not timeout:
        text = _grouped(text)
    return " ".join([*parts, text])


def _in_shell(text: str) -> str:
    return f"sh -c {shlex.quote(text)}"


def _grouped(text: str) -> str:
    """Return a command that stands behind `&&` as a whole."""
    if not any(mark in text for mark in "&|;#"):
        return text
    line = text.rstrip().rstrip(";")
    if "#" in line or line.endswith(("&", "\\", ";")):  # what would not end at the bracket
        return _in_shell(text)
    return f"{{ {line}; }}"
