"""What other programs keep, read as jobs and schedules of ours: one module a format.

A reader turns the bytes of a file into entries; `intake` takes these into a store. Readers know no
store, and ask nothing of this machine but what is in `Context`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import cast

from queuectl.domain.errors import InvalidInput, nearest, shown
from queuectl.transfer.foreign.entry import Context, Entry

Reader = Callable[[bytes, Context], Iterator[Entry]]
"""Yields what a file holds, in its order; raises InvalidInput for one that is of another format."""

FORMATS = {
    "crontab": "the lines of cron, of a user or of the system",
    "pueue": "its state file, and pueue status --json",
    "sbatch": "a batch script of Slurm, with its array",
    "parallel": "the job log of GNU parallel: what has failed",
    "tsp": "what tsp -l lists, task-spooler's",
    "nq": "the files of nq, or their directory",
    "systemd": "timers with their services, or their directory",
    "at": "the job files of at, or their directory",
    "commands": "one command a line",
}
"""The formats, each with a module of its name, and what it reads."""

OF_DIRECTORIES = ("nq", "systemd", "at")
"""The formats that are files in a directory, which may be named instead."""


def reader_of(name: str) -> Reader:
    """Return the reader of a format. Raises InvalidInput, with the nearest."""
    if name not in FORMATS:
        close = nearest(name, [*FORMATS])
        raise InvalidInput(
            f"unknown format {shown(name)}{close}", hint=f"--from takes {', '.join(FORMATS)}"
        )
    return cast("Reader", import_module(f"queuectl.transfer.foreign.{name}").read)
