"""Queues as a whole: what is in them, pausing them, and how much of each may run at once."""

from __future__ import annotations

import click

from queuectl.cli.completions import QueueName
from queuectl.cli.jobs.show import json_option
from queuectl.cli.root import Group
from queuectl.cli.session import Session, for_each, pass_session, print_line
from queuectl.domain.errors import NotFound, NothingDone
from queuectl.domain.field_checks import MAX_SLOTS, check_name
from queuectl.domain.queue_limits import OPEN
from queuectl.presentation import tables
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
    elif not tables.table(views, queue_columns(), colors=session.colors):
        session.hint(
            'no queues yet: queuectl enqueue --queue gpu --id hello --command "echo Hello"'
        )


_names = click.argument("names", nargs=-1, required=True, metavar="QUEUE...", type=QueueName())


@queue.command("pause", epilog="queuectl queue pause gpu")
@_names
@pass_session
def pause_queues(session: Session, names: tuple[str, ...]) -> int:
    """Start nothing more from queues; what runs there goes on."""
    opened = session.queue()

    def act(name: str) -> None:
        check_name("queue", name)
        if opened.queue_limits().get(name, OPEN).paused:
            raise NothingDone(f"queue '{name}' is paused already")
        opened.pause_queue(name)
        print_line(f"Paused queue '{name}'")

    return for_each(names, act)


@queue.command("resume", epilog="queuectl queue resume gpu")
@_names
@pass_session
def resume_queues(session: Session, names: tuple[str, ...]) -> int:
    """Let workers take jobs from queues again."""
    opened = session.reading()

    def act(name: str) -> None:
        check_name("queue", name)
        if not opened.queue_limits().get(name, OPEN).paused:
            _require_known(opened, name)
            raise NothingDone(f"queue '{name}' is not paused")
        opened.resume_queue(name)
        print_line(f"Resumed queue '{name}'")

    return for_each(names, act)


def _require_known(opened: Queue, name: str) -> None:
    if name not in opened.queue_limits() and name not in opened.counts().by_queue:
        hint = opened.missing_hint or "queuectl queue list shows the queues there are"
        raise NotFound(f"no queue '{name}'", hint)


@queue.command(
    "limit",
    epilog="""
    queuectl queue limit gpu 1
    queuectl queue limit gpu 0
    """,
)
@click.argument("name", metavar="QUEUE", type=QueueName())
@click.argument("slots", metavar="N", type=click.IntRange(0, MAX_SLOTS))
@pass_session
def limit_queue(session: Session, name: str, slots: int) -> None:
    """Let at most N slots of a queue run at once, over all workers; 0 is any number."""
    opened = session.queue()
    opened.limit_queue(name, slots)
    print_line(
        f"Queue '{name}' runs at most {slots} at once" if slots else f"Queue '{name}' has no limit"
    )
