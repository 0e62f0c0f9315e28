"""The hosts of the fleet: looking at them, and taking no more jobs on one."""

from __future__ import annotations

import click

from queuectl.cli.completions import HOST_NAME
from queuectl.cli.listing import clock_of
from queuectl.cli.root import Group, json_option, names_argument
from queuectl.cli.session import Session, each_by_itself, for_each, pass_session
from queuectl.presentation import tables
from queuectl.presentation.console import print_line
from queuectl.presentation.hosts import host_as_dict, host_columns
from queuectl.queue import Queue


@click.group(cls=Group, epilog="queuectl host list")
def host() -> None:
    """The hosts of the fleet: list them, and have one take no more jobs."""


@host.command("list", epilog="queuectl host list --json")
@json_option
@pass_session
def list_hosts(session: Session, as_json: bool) -> None:
    """List the hosts with their workers, load, resources and jobs; one that vanished for a week."""
    queue = session.reading()
    views = queue.hosts.views(queue.workers())
    if as_json:
        tables.write_json([host_as_dict(view) for view in views])
    elif not session.table(views, host_columns(clock_of(queue))):
        session.hint("no host has workers: queuectl worker start")


_names = names_argument(HOST_NAME, "HOST...")


@host.command("drain", epilog="queuectl host drain build7")
@_names
@pass_session
def drain_hosts(session: Session, names: tuple[str, ...]) -> int:
    """Take no more jobs on hosts, whose workers finish what they have; also after their restart."""
    opened = session.queue()

    def act(name: str) -> None:
        opened.hosts.drain(name)
        print_line(f"Draining host '{name}'")

    return for_each(names, act)


@host.command("resume", epilog="queuectl host resume build7")
@_names
@each_by_itself
def resume_hosts(opened: Queue, name: str) -> str:
    """Let the workers of hosts take jobs again."""
    opened.hosts.resume(name)
    return f"Resumed host '{name}'"
