"""How things stand: counts, and the workers that are alive."""

from __future__ import annotations

import sys

import click

from queuectl.cli.jobs.show import clock_of, json_option
from queuectl.cli.root import Command
from queuectl.cli.session import Session, on_terminal, pass_session
from queuectl.domain.query import Counts
from queuectl.domain.queue_limits import OPEN
from queuectl.presentation import tables
from queuectl.presentation.columns import STATE_STYLES, worker_columns
from queuectl.presentation.status import (
    QueueView,
    queue_columns,
    queue_views,
    status_as_dict,
    totals,
)


@click.command(
    cls=Command,
    epilog="""
    queuectl status
    queuectl status --json
    queuectl status --deliveries
    """,
)
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
        told = totals(queue.counts(deliveries=True))
        tables.pairs((f"deliveries {name}", str(count)) for name, count in told.items())
        sys.stdout.write("\n")
    tables.pairs([("workers", str(len(workers)))])
    if workers:
        tables.table(workers, worker_columns(clock_of(queue)), colors=session.colors)
    else:
        session.hint("no worker is running: queuectl worker start")


def _write_counts(counts: Counts, views: list[QueueView], *, colors: bool) -> None:
    """Write how many jobs there are; a person sees at a glance where there are some."""
    if not on_terminal():
        tables.pairs((name, str(count)) for name, count in totals(counts).items())
        _write_decided(views)
        return
    styles = {state.value: f"bold {style}" for state, style in STATE_STYLES.items()}
    tables.styled(
        (
            (name, f"{count:,}", styles.get(name, "bold") if count else "dim")
            for name, count in totals(counts).items()
        ),
        colors=colors,
    )
    if len(views) > 1 or any(view.lane != OPEN for view in views):
        sys.stdout.write("\n")
        tables.table(views, queue_columns(), colors=colors)


def _write_decided(views: list[QueueView]) -> None:
    """Write the queues about which something was decided, a line each."""
    decided = [view for view in views if view.lane != OPEN]
    if decided:
        sys.stdout.write("\n")
        tables.table(decided, queue_columns(), colors=False)
