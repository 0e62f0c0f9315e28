"""Queues as a whole: what is in them, pausing them, and how much of each may run at once."""

from __future__ import annotations

import click

from queuectl.cli.completions import QUEUE_NAME
from queuectl.cli.root import Group, examples, json_option, names_argument
from queuectl.cli.session import (
    Session,
    each_by_itself,
    for_each,
    hint_at_unused,
    pass_session,
)
from queuectl.domain.errors import NotFound, NothingDone
from queuectl.domain.field_checks import MAX_SLOTS, check_name
from queuectl.domain.queue_limits import OPEN
from queuectl.presentation import tables
from queuectl.presentation.console import print_line
from queuectl.presentation.status import queue_columns, queue_views, view_as_dict
from queuectl.queue import Queue


@click.group(cls=Group, epilog="queuectl queue list")
def queue() -> None:
    """Queues: list, pause, resume and limit them."""


@queue.command("list", epilog="queuectl queue list --json")
@json_option
@pass_session
def list_queues(session: Session, as_json: bool) -> None:
    """List the queues with their jobs, and what was decided about them."""
    queue = session.reading()
    views = queue_views(queue.counts(), queue.queue_limits())
    if as_json:
        tables.write_json([view_as_dict(view) for view in views])
    elif not session.table(views, queue_columns()):
        session.hint(
            'no queues yet: queuectl enqueue --queue gpu --id hello --command "echo Hello"'
        )


_names = names_argument(QUEUE_NAME, "QUEUE...")


@queue.command("pause", epilog="queuectl queue pause gpu")
@_names
@pass_session
def pause_queues(session: Session, names: tuple[str, ...]) -> int:
    """Start nothing more from queues; what runs there goes on."""
    opened = session.queue()

    def act(name: str) -> None:
        print_line(pause_queue(opened, name))
        hint_at_unused(opened, [name])

    return for_each(names, act)


def pause_queue(opened: Queue, name: str) -> str:
    """Pause a queue; return the line that says so. Raises NothingDone where it is paused."""
    check_name("queue", name)
    if opened.queue_limits().get(name, OPEN).paused:
        raise NothingDone(f"queue '{name}' is paused already")
    opened.pause_queue(name)
    return f"Paused queue '{name}'"


@queue.command("resume", epilog="queuectl queue resume gpu")
@_names
@each_by_itself
def resume_queues(opened: Queue, name: str) -> str:
    """Let workers take jobs from queues again."""
    return resume_queue(opened, name)


def resume_queue(opened: Queue, name: str) -> str:
    """Resume a queue; return the line that says so. Raises NothingDone or NotFound."""
    check_name("queue", name)
    if not opened.queue_limits().get(name, OPEN).paused:
        if name not in opened.queue_limits() and name not in opened.counts().by_queue:
            hint = opened.missing_hint or "queuectl queue list shows the queues there are"
            raise NotFound(f"no queue '{name}'", hint)
        raise NothingDone(f"queue '{name}' is not paused")
    opened.resume_queue(name)
    return f"Resumed queue '{name}'"


@examples("""
    queuectl queue limit gpu 1
    queuectl queue limit gpu 0
""")
@queue.command("limit")
@click.argument("name", metavar="QUEUE", type=QUEUE_NAME)
@click.argument("slots", metavar="N", type=click.IntRange(0, MAX_SLOTS))
@pass_session
def limit_queue(session: Session, name: str, slots: int) -> None:
    """Let at most N slots of a queue run at once, over all workers; 0 is any number."""
    print_line(limit_line(session.queue(), name, slots))


def limit_line(opened: Queue, name: str, slots: int) -> str:
    """Limit a queue; return the line that says so. Raises InvalidInput."""
    opened.limit_queue(name, slots)
    return (
        f"Limited queue '{name}' to {slots} at once"
        if slots
        else f"Removed the limit of queue '{name}'"
    )
