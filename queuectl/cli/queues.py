"""Queues as a whole: what is in them, pausing them, and how much of each may run at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from queuectl.cli import render
from queuectl.cli.columns import STATE_STYLES
from queuectl.cli.jobs import json_option
from queuectl.cli.params import QueueName
from queuectl.cli.session import Session, for_each, pass_session, say
from queuectl.cli.tree import Group
from queuectl.domain.checks import MAX_SLOTS, check_name
from queuectl.domain.errors import NotFound, NothingDone
from queuectl.domain.filters import Counts
from queuectl.domain.job import State
from queuectl.domain.job_fields import DEFAULT_QUEUE
from queuectl.domain.lanes import DELIVERY_QUEUE, OPEN, Lane, Lanes
from queuectl.domain.values import frozen
from queuectl.queue import Queue


@frozen
class QueueView:
    """One queue as it is told: what was decided about it, and its jobs by state."""

    name: str
    lane: Lane
    states: Mapping[State, int]


def queue_views(counts: Counts, lanes: Lanes) -> list[QueueView]:
    """Return every queue that has jobs or about which something was decided, by name.

    That of deliveries, which has no jobs as a rule, is told of while it is paused.
    """
    states, decided = counts.by_queue, set(lanes)
    if not lanes.get(DELIVERY_QUEUE, OPEN).paused:
        decided.discard(DELIVERY_QUEUE)
    names = sorted({*decided, *states}, key=lambda name: (name != DEFAULT_QUEUE, name))
    return [QueueView(name, lanes.get(name, OPEN), states.get(name, {})) for name in names]


def totals(counts: Counts) -> dict[str, int]:
    """Return how many jobs there are in each state, and in all."""
    return {**{state.value: counts.of(state) for state in State}, "total": counts.total}


def view_as_dict(view: QueueView) -> dict[str, Any]:
    """Return a queue as `--json` prints it; `limit` is null when there is none."""
    return {
        "name": view.name,
        "paused": view.lane.paused,
        "limit": view.lane.limit or None,
        "used": view.lane.used if view.lane.limit else None,
        "counts": totals(Counts({view.name: view.states})),
    }


def queue_columns() -> list[render.Column[QueueView]]:
    """Return the columns of a listing of queues."""

    def counted(state: State) -> render.Column[QueueView]:
        return render.Column(
            state.value.upper(),
            lambda view: f"{view.states[state]:,}" if view.states.get(state) else "",
            optional=True,
            style=lambda _view: STATE_STYLES[state],
        )

    return [
        render.Column("QUEUE", lambda view: view.name),
        render.Column(
            "PAUSED", lambda view: "paused" if view.lane.paused else "", optional=True,
            style=lambda _view: "yellow",
        ),
        render.Column("SLOTS", _slots, optional=True),
        *map(counted, State),
    ]  # fmt: skip


def _slots(view: QueueView) -> str:
    return f"{view.lane.used} of {view.lane.limit}" if view.lane.limit else ""


@click.group(cls=Group, epilog="queuectl queue list")
def queue() -> None:
    """Queues: list, pause, resume and limit them."""


@queue.command("list", epilog="queuectl queue list --json")
@json_option
@pass_session
def list_queues(session: Session, as_json: bool) -> None:
    """List the queues with their jobs, and what was decided about them."""
    queue = session.reading()
    views = queue_views(queue.counts(), queue.lanes())
    if as_json:
        render.write_json([view_as_dict(view) for view in views])
    elif not render.table(views, queue_columns(), colors=session.colors):
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
        if opened.lanes().get(name, OPEN).paused:
            raise NothingDone(f"queue '{name}' is paused already")
        opened.pause_queue(name)
        say(f"Paused queue '{name}'")

    return for_each(names, act)


@queue.command("resume", epilog="queuectl queue resume gpu")
@_names
@pass_session
def resume_queues(session: Session, names: tuple[str, ...]) -> int:
    """Let workers take jobs from queues again."""
    opened = session.reading()

    def act(name: str) -> None:
        check_name("queue", name)
        if not opened.lanes().get(name, OPEN).paused:
            _require_known(opened, name)
            raise NothingDone(f"queue '{name}' is not paused")
        opened.resume_queue(name)
        say(f"Resumed queue '{name}'")

    return for_each(names, act)


def _require_known(opened: Queue, name: str) -> None:
    if name not in opened.lanes() and name not in opened.counts().by_queue:
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
    say(f"Queue '{name}' runs at most {slots} at once" if slots else f"Queue '{name}' has no limit")
