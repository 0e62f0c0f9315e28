"""How things stand: counts, and the workers that are alive."""

from __future__ import annotations

import sys

import click

from queuectl.cli.jobs import clock_of
from queuectl.cli.root import Command, examples, json_option
from queuectl.cli.session import Session, pass_session
from queuectl.domain.query import Counts
from queuectl.domain.queue_limits import OPEN
from queuectl.presentation import tables
from queuectl.presentation.columns import STATE_STYLES, worker_columns
from queuectl.presentation.console import on_terminal
from queuectl.presentation.status import (
    QueueView,
    queue_columns,
    queue_views,
    status_as_dict,
    totals,
)


@examples("""
    queuectl status
    queuectl status --json
    queuectl status --deliveries
""")
@click.command(cls=Command)
@click.option("--deliveries", is_flag=True, help="Count what hooks tell, too.")
@json_option
@pass_session
def status(session: Session, deliveries: bool, as_json: bool) -> None:
    """Count the jobs in each state, and show the workers that are alive."""
    queue = session.reading()
    if as_json:
        more = {"deliveries": totals(queue.counts(deliveries=True))} if deliveries else {}
        tables.write_json({**status_as_dict(queue), **more})
        return
    counts, workers = queue.counts(), queue.workers()
    views = queue_views(counts, queue.queue_limits())
    tables.pairs([("store", queue.address)])
    sys.stdout.write("\n")
    _write_counts(counts, views, colors=session.colors)
    sys.stdout.write("\n")
    if deliveries:
        deliveries_by_state = totals(queue.counts(deliveries=True))
        tables.pairs(
            (f"deliveries {name}", str(count)) for name, count in deliveries_by_state.items()
        )
        sys.stdout.write("\n")
    tables.pairs([("workers", str(len(workers)))])
    if workers:
        tables.table(workers, worker_columns(clock_of(queue), workers), colors=session.colors)
    else:
        session.hint("no worker is running: queuectl worker start")


def _write_counts(counts: Counts, views: list[QueueView], *, colors: bool) -> None:
    """Write how many jobs there are, and queues; a person sees at a glance where there are some.

    Off a terminal only those queues are there about which something was decided.
    """
    decided = [view for view in views if view.limit != OPEN]
    if on_terminal():
        styles = {state.value: f"bold {style}" for state, style in STATE_STYLES.items()}
        lines = (
            (name, f"{count:,}", styles.get(name, "bold") if count else "dim")
            for name, count in totals(counts).items()
        )
        tables.styled(lines, colors=colors)
        rows = views if len(views) > 1 or decided else []
    else:
        tables.pairs((name, str(count)) for name, count in totals(counts).items())
        rows = decided
    if rows:
        sys.stdout.write("\n")
        tables.table(rows, queue_columns(), colors=colors)
