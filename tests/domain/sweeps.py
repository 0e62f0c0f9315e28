"""Sweeps for tests."""

from __future__ import annotations

from typing import Any

from queuectl.domain.field_checks import Command
from queuectl.domain.request import build_request
from queuectl.domain.settings import Settings
from queuectl.domain.sweep import Axis, Sweep
from tests.domain.jobs import NOW


def axis(name: str, *values: str) -> Axis:
    """Return the axis of one parameter."""
    return Axis((name,), tuple((value,) for value in values))


def sweep(command: Command, *axes: Axis, **fields: Any) -> Sweep:
    """Return a sweep of a command."""
    wanted = {"id": "job", "cwd": "/", "command": command, **fields}
    return Sweep(build_request(wanted, Settings(), lambda *_: NOW, str), axes)


def commands(command: Command, *axes: Axis) -> list[Command]:
    """Return the commands of the jobs of a sweep."""
    return [member.command for member in sweep(command, *axes).members()]
