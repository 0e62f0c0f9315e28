"""`export --to`: schedules and jobs as other programs read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from queuectl.cli.moving import context_of
from queuectl.domain.errors import InvalidInput, nearest, shown
from queuectl.domain.frozen import replace
from queuectl.domain.job import WAITING
from queuectl.domain.query import Filter, Page
from queuectl.domain.text import counted
from queuectl.presentation.console import print_hint
from queuectl.queue import Queue
from queuectl.system.local_zone import local_zone
from queuectl.transfer.foreign import to_commands, to_crontab
from queuectl.transfer.foreign.shell_lines import Written

CRONTAB, COMMANDS = "crontab", "commands"
TARGETS = {CRONTAB: "schedules as lines of cron", COMMANDS: "jobs that wait, one a line"}


def check_target(name: str) -> str:
    """Return the name of a format to write. Raises InvalidInput, with the nearest."""
    if name not in TARGETS:
        close = nearest(name, [*TARGETS])
        hint = f"--to takes {', '.join(TARGETS)}"
        raise InvalidInput(f"unknown format {shown(name)}{close}", hint)
    return name


def write_foreign(
    queue: Queue, target: str, chosen: Filter, stream: IO[str], *, masked: bool
) -> str:
    """Write what can be said in a format, tell what cannot; return how much there was."""
    kind = "schedule" if target == CRONTAB else "job"
    count = left = 0
    for each in _schedules(queue, masked) if target == CRONTAB else _jobs(queue, chosen, masked):
        if each.why:
            left += 1
            print_hint(f"{kind} '{each.name}' is left out: {each.why}")
            continue
        for note in each.notes:
            print_hint(f"{kind} '{each.name}': {note}")
        if kind == "schedule":
            stream.write(f"# {each.name}\n")
        stream.write(f"{each.line}\n")
        count += 1
    return counted(count, kind) + (f", {left:,} left out" if left else "")


def _schedules(queue: Queue, masked: bool) -> Iterator[Written]:
    zone, context = local_zone().name, context_of()
    for schedule in queue.schedules.all():
        if schedule.paused:
            yield Written(schedule.name, why="it is paused")
        else:
            yield to_crontab.written(schedule, zone, context, masked=masked)


def _jobs(queue: Queue, chosen: Filter, masked: bool) -> Iterator[Written]:
    waiting = chosen if chosen.states else replace(chosen, states=frozenset(WAITING))
    now = queue.now()
    for job in queue.store.find(waiting.of_jobs(), Page()):
        yield to_commands.written(job, now, masked=masked)
