"""Named resources: what the fleet has, and who has what."""

from __future__ import annotations

import click

from queuectl.cli.completions import OneOf
from queuectl.cli.root import Group, examples, json_option, names_argument
from queuectl.cli.session import Session, each_by_itself, pass_session
from queuectl.presentation import tables
from queuectl.presentation.console import print_line
from queuectl.presentation.resources import resource_columns, resource_lines, view_as_dict
from queuectl.queue import Queue


@click.group(cls=Group, epilog="queuectl resource list")
def resource() -> None:
    """Named resources that jobs hold while they run: list them, and say what the fleet has."""


@resource.command("list", epilog="queuectl resource list --json")
@json_option
@pass_session
def list_resources(session: Session, as_json: bool) -> None:
    """List what the fleet and its hosts have, and which job holds what."""
    views = session.reading().resources.views()
    if as_json:
        tables.write_json([view_as_dict(view) for view in views])
    elif not session.table(resource_lines(views), resource_columns()):
        session.hint("no resources yet: queuectl worker start --resource gpu=0,1 says what is here")


@examples("""
    queuectl resource set licence 4
    queuectl resource set tokens 0.5
""")
@resource.command("set")
@click.argument("name", metavar="NAME")
@click.argument("capacity", metavar="AMOUNT")
@pass_session
def set_resource(session: Session, name: str, capacity: str) -> None:
    """Say how much the whole fleet has of a resource; jobs that run keep what they hold."""
    text = session.queue().resources.set(name, capacity)
    print_line(f"The fleet has {name} {text}")


_NAMES = OneOf(lambda _ctx: [])  # there are too few to be worth a look at the store


@resource.command("remove", epilog="queuectl resource remove licence")
@names_argument(_NAMES)
@each_by_itself
def remove_resources(opened: Queue, name: str) -> str:
    """Forget resources of the fleet; jobs that run keep what they hold."""
    opened.resources.remove(name)
    return f"Removed resource '{name}'"
