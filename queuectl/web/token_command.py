"""`queuectl dashboard token`: named tokens, each of which can be withdrawn by itself."""

from __future__ import annotations

import click

from queuectl.cli.completions import OneOf
from queuectl.cli.root import Group, examples, json_option, names_argument
from queuectl.cli.session import Session, for_each, pass_session
from queuectl.presentation import tables
from queuectl.presentation.console import print_hint, print_line
from queuectl.presentation.tables import Column
from queuectl.web.tokens import Token, Tokens


@click.group(cls=Group, epilog="queuectl dashboard token new ci --read-only")
def token() -> None:
    """Named tokens, each for one program or person: make, list, revoke."""


@examples("""
    queuectl dashboard token new alice
    queuectl dashboard token new ci --read-only
""")
@token.command("new")
@click.argument("name", metavar="NAME")
@click.option("--read-only", is_flag=True, help="It lets look, and refuses every change.")
@pass_session
def new(session: Session, name: str, read_only: bool) -> None:
    """Make a token and print it, this once: only its digest is kept.

    A dashboard that runs takes it at once. With --read-only whoever shows it may only look.
    """
    home = session.location().home
    home.make()
    secret = Tokens(home).new(name, read_only=read_only)
    print_line(secret)
    session.note_beside("token new", name, about="read-only" if read_only else "")
    print_hint(f"it is not shown again; queuectl dashboard token revoke {name} withdraws it")


@token.command("list", epilog="queuectl dashboard token list --json")
@json_option
@pass_session
def list_tokens(session: Session, as_json: bool) -> None:
    """List the named tokens, without what is secret of them."""
    home = session.location().home
    rows = Tokens(home).all()
    missing = "" if home.root.exists() else f" ({home.root} does not exist)"
    if as_json:
        tables.write_json([each.as_dict() for each in rows])
    else:
        session.table(rows, _COLUMNS)
    if not rows and (missing or not as_json):
        print_hint(f"no named tokens: queuectl dashboard token new NAME{missing}")


_COLUMNS: list[Column[Token]] = [
    Column("NAME", lambda each: each.name),
    Column("MAY", lambda each: "look" if each.read_only else "look and change"),
    Column("CREATED", lambda each: each.created_at),
]


def _known(ctx: click.Context) -> list[tuple[str, str]]:
    """Return the names there are, for completion."""
    tokens = Tokens(ctx.ensure_object(Session).location().home)
    return [(each.name, "read-only" if each.read_only else "") for each in tokens.all()]


@token.command("revoke", epilog="queuectl dashboard token revoke ci")
@names_argument(OneOf(_known))
@pass_session
def revoke(session: Session, names: tuple[str, ...]) -> int:
    """Withdraw tokens: whoever shows one, or has logged in with it, is out at once."""
    tokens = Tokens(session.location().home)

    def act(name: str) -> None:
        tokens.revoke(name)
        session.note_beside("token revoke", name)
        print_line(f"Revoked token '{name}'")

    return for_each(names, act)
