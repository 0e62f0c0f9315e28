"""`queuectl audit`: who has changed what."""

from __future__ import annotations

import click

from queuectl.cli.listing import clock_of
from queuectl.cli.root import Command, examples, json_option
from queuectl.cli.session import Session, pass_session
from queuectl.domain.audit import MOST_ENTRIES, AuditEntry, as_dict, targets_text
from queuectl.presentation import tables
from queuectl.presentation.tables import Clock, Column

_SHOWN = 100


@examples("""
    queuectl audit
    queuectl audit --since 24h --who alice
    queuectl audit --who token:ci --json
""")
@click.command(cls=Command)
@click.option("--since", metavar="TIME", help="Only since: 2h (ago), 9:00, yesterday, 2030-01-31.")
@click.option("--who", metavar="NAME", default="", help="Only of those whose name has this in it.")
@click.option("--limit", "-n", type=click.IntRange(min=0), metavar="N",
              help=f"At most N acts, {_SHOWN} unless said; 0 is all. JSON has all.")  # fmt: skip
@json_option
@pass_session
def audit(session: Session, since: str | None, who: str, limit: int | None, as_json: bool) -> None:
    """Show who has changed what, the latest first: jobs, queues, settings, schedules, hooks.

    Who is `me@host` at the command line, `token:NAME` or `dashboard` by a token of the dashboard,
    and `user:NAME` where its proxy says so. That jobs were enqueued is in the jobs themselves.
    """
    from queuectl.system.time_parser import parse_past

    queue = session.reading()
    begun = None if since is None else parse_past(since, queue.now())
    if limit is None:
        limit = MOST_ENTRIES if as_json else _SHOWN
    rows = queue.audit(begun, who, limit or MOST_ENTRIES)
    if as_json:
        tables.write_json([as_dict(each) for each in rows])
    elif not session.table(rows, _columns(clock_of(queue))):
        session.hint("nobody has changed anything" + (" that fits" if since or who else " yet"))


def _columns(clock: Clock) -> list[Column[AuditEntry]]:
    return [
        Column("WHEN", lambda each: clock.at(each.at)),
        Column("WHO", lambda each: each.who),
        Column("DID", lambda each: each.act),
        Column("TO", targets_text, optional=True),
        Column("ABOUT", lambda each: each.about, optional=True, yields=1),
    ]
