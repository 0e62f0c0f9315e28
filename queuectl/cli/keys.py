"""Keys: what jobs are signed with, and whose jobs the workers of this home run."""

from __future__ import annotations

import click

from queuectl.cli.completions import OneOf
from queuectl.cli.root import Group, examples, json_option, names_argument
from queuectl.cli.session import Session, for_each, pass_session
from queuectl.presentation import tables
from queuectl.presentation.console import print_hint, print_line
from queuectl.presentation.tables import Column
from queuectl.queue import signing


@click.group(cls=Group, epilog="queuectl key new")
def key() -> None:
    """Keys that sign jobs, and those that the workers of this home trust."""


@key.command("new", epilog="queuectl key new")
@pass_session
def new(session: Session) -> None:
    """Make this home's key, which signs what is enqueued here; print what others trust it by."""
    home = session.location().home
    home.make()
    public = signing.new_key(home)
    print_line(public)
    session.note_beside("key new", public)
    print_hint(f"on each host that is to run its jobs: queuectl key trust NAME {public}")


@key.command("list", epilog="queuectl key list --json")
@json_option
@pass_session
def list_keys(session: Session, as_json: bool) -> None:
    """List the trusted keys, this home's own key, and whether workers require signatures."""
    home = session.location().home
    own, trusted = signing.own_key(home), signing.trusted_keys(home)
    is_required = home.requires_signed()
    if as_json:
        tables.write_json({"own": own, "requires_signed": is_required, "trusted": dict(trusted)})
    if not home.root.exists():
        print_hint(f"no keys: queuectl key new ({home.root} does not exist)")
        return
    if as_json:
        return
    session.table([*trusted.items()], _COLUMNS)
    if not trusted:
        print_hint("no trusted keys: queuectl key trust NAME PUBLIC")
    print_hint(f"own key: {own or 'none (queuectl key new)'}")
    jobs = "signed jobs alone" if is_required else "any job (queuectl key require)"
    print_hint(f"workers of this home run {jobs}")


_COLUMNS: list[Column[tuple[str, str]]] = [
    Column("NAME", lambda each: each[0]),
    Column("PUBLIC", lambda each: each[1]),
]


@key.command("trust", epilog="queuectl key trust alice ed25519:AAAA")
@click.argument("name", metavar="NAME")
@click.argument("public", metavar="PUBLIC")
@pass_session
def trust(session: Session, name: str, public: str) -> None:
    """Have the workers of this home run what a key has signed."""
    home = session.location().home
    home.make()
    signing.trust(home, name, public)
    session.note_beside("key trust", name)
    print_line(f"Trusted key '{name}'")


def _known(ctx: click.Context) -> list[tuple[str, str]]:
    """Return the names there are, for completion."""
    home = ctx.ensure_object(Session).location().home
    return [*signing.trusted_keys(home).items()]


@key.command("revoke", epilog="queuectl key revoke alice")
@names_argument(OneOf(_known))
@pass_session
def revoke(session: Session, names: tuple[str, ...]) -> int:
    """Trust keys no more: what they have signed and has not begun is refused."""
    home = session.location().home

    def act(name: str) -> None:
        signing.revoke(home, name)
        session.note_beside("key revoke", name)
        print_line(f"Revoked key '{name}'")

    return for_each(names, act)


@examples("""
    queuectl key require
    queuectl key require --off
""")
@key.command("require")
@click.option("--off", is_flag=True, help="Let them run any job again.")
@pass_session
def require(session: Session, off: bool) -> None:
    """Have workers of this home run no job that no trusted key has signed, from their next start.

    It holds for the store that is in use now, and for no other.
    """
    queue = session.queue()
    queue.require_signed(is_required=not off)
    queue.note("key require", about="off" if off else "")
    print_line("Signatures are not required" if off else "Signatures are required")
    print_hint("workers that run take it up when they are started again")
