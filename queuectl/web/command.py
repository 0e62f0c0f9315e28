"""`queuectl dashboard`: the queue as a web page."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import click

from queuectl.cli.completions import PathName
from queuectl.cli.root import Group
from queuectl.cli.session import Session
from queuectl.domain.errors import ExitCode, InvalidInput

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8273
NEEDED = ("jinja2", "starlette", "uvicorn")
"""The packages of the extra `web`."""


@click.group(
    cls=Group,
    invoke_without_command=True,
    lazy={
        "token": (
            "web.token_command",
            "Named tokens, each for one program or person: make, list, revoke.",
        )
    },
    epilog="""
    queuectl dashboard
    queuectl dashboard --port 8080 --read-only
    queuectl dashboard --url https://queue.example.org
    queuectl dashboard --url https://example.org --root-path /queue
    queuectl dashboard token new ci --read-only
    """,
)
@click.option(
    "--host",
    default=DEFAULT_HOST,
    metavar="HOST",
    help=f"The address to listen at; {DEFAULT_HOST}, which only this machine can reach.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    metavar="PORT",
    help=f"The port; {DEFAULT_PORT}. 0 takes a free one.",
)
@click.option("--read-only", is_flag=True, help="Refuse every change.")
@click.option("--require-token", is_flag=True, help="Ask for the token for looking too.")
@click.option(
    "--token-file",
    type=PathName(),
    metavar="FILE",
    help="The file with the token; made in the home unless said.",
)
@click.option(
    "--url", metavar="URL", help="The address by which a proxy makes it reachable, if one does."
)
@click.option(
    "--root-path",
    default="",
    metavar="PATH",
    help="The path below which the proxy serves it, such as /queue.",
)
@click.option(
    "--trust-header",
    metavar="HEADER",
    help="The header in which a proxy says who has signed in, such as X-Forwarded-User.",
)
@click.option(
    "--trust-from",
    metavar="ADDRESS,...",
    help="The addresses of the proxies that may say so; nobody else is believed.",
)
@click.pass_context
def dashboard(ctx: click.Context, /, **options: Any) -> int:
    """Serve the queue as a web page, with a JSON API and live figures."""
    if ctx.invoked_subcommand is not None:
        return ExitCode.OK
    return _serve(ctx.ensure_object(Session), options)


def _serve(session: Session, options: dict[str, Any]) -> int:
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InvalidInput(
            f"the dashboard needs {', '.join(missing)}", hint="pip install 'queuectl-shell[web]'"
        )
    from queuectl.web.server import Options, serve

    session.queue()  # a store that cannot be used is refused before anything is served
    session.close()
    serve(session.location(), Options(**options))
    return ExitCode.OK
