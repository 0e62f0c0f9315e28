"""How things stand: counts, the workers that are alive, and what a person wants to know first."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from queuectl.cli.completions import BATCH_NAME, QUEUE_NAME, JobId
from queuectl.cli.jobs import show_job
from queuectl.cli.listing import clock_of
from queuectl.cli.root import Command, HabitOption, examples, json_option
from queuectl.cli.session import Session, pass_session
from queuectl.domain.errors import InvalidInput, NotFound
from queuectl.domain.field_checks import check_name
from queuectl.domain.query import STATE_WORDS, Counts
from queuectl.domain.queue_limits import OPEN
from queuectl.presentation import tables
from queuectl.presentation.columns import STATE_STYLES, worker_columns
from queuectl.presentation.console import on_terminal
from queuectl.presentation.status import (
    QueueView,
    counts_of,
    queue_columns,
    queue_views,
    status_as_dict,
    totals,
    workers_for,
)
from queuectl.queue import Queue

if TYPE_CHECKING:
    from queuectl.domain.worker_record import LiveWorker


@examples("""
    queuectl status
    queuectl status -q gpu
    queuectl status --json
    queuectl status --deliveries
""")
@click.command(cls=Command)
@click.argument("job_id", metavar="[ID]", required=False, type=JobId())
@click.option("--queue", "-q", "name", cls=HabitOption, habits=["--group"], type=QUEUE_NAME,
              metavar="NAME", help="This queue, and who takes from it.")  # fmt: skip
@click.option("--batch", type=BATCH_NAME, metavar="NAME", help="This batch.")
@click.option("--deliveries", is_flag=True, help="Count what hooks tell, too.")
@json_option
@pass_session
def status(
    session: Session,
    job_id: str | None,
    name: str | None,
    batch: str | None,
    deliveries: bool,
    as_json: bool,
) -> None:
    """Count the jobs in each state, and show the workers that are alive.

    On a terminal also what runs, with its latest line of output; what runs next, and why it still
    waits; and what failed in the last day. With an id it is `show ID`.
    """
    if batch is not None:
        from queuectl.cli.batches import write_status

        if job_id is not None or name is not None:
            raise InvalidInput("name a job, a queue or a batch, and not two of them")
        write_status(session, batch, as_json=as_json)
        return
    queue = session.reading()
    if job_id is not None:
        _show(session, queue, job_id, as_json=as_json)
        return
    if name is not None:
        check_name("queue", name)
    if as_json:
        more = {"deliveries": totals(queue.counts(deliveries=True))} if deliveries else {}
        tables.write_json({**status_as_dict(queue, name), **more})
        return
    workers = workers_for(queue, name)
    with session.paged():
        _write_status(session, queue, name, workers, deliveries=deliveries)
    if name is not None and name not in {**queue.counts().by_queue, **queue.queue_limits()}:
        session.hint(f"no job is in queue '{name}' yet: queuectl queue list shows the queues")
    elif not workers:
        what = "no worker is running" if name is None else f"no worker takes from queue '{name}'"
        session.hint(f"{what}: queuectl worker start")


def _write_status(
    session: Session,
    queue: Queue,
    name: str | None,
    workers: Sequence[LiveWorker],
    *,
    deliveries: bool,
) -> None:
    """Write counts and workers, and for a person what is going on."""
    counts = counts_of(queue, name)
    _write_counts(session, queue, counts, name)
    if deliveries:
        by_state = totals(queue.counts(deliveries=True))
        tables.pairs((f"deliveries {state}", str(count)) for state, count in by_state.items())
        sys.stdout.write("\n")
    tables.pairs([("workers", str(len(workers)))])
    if workers:
        tables.table(workers, worker_columns(clock_of(queue), workers), colors=session.colors)
    if on_terminal() and counts.total:
        from queuectl.presentation.going_on import write_going_on

        write_going_on(queue, name, clock_of(queue), colors=session.colors)


def _show(session: Session, queue: Queue, word: str, *, as_json: bool) -> None:
    """Show one job. Raises NotFound, with the line that may be meant."""
    try:
        show_job(session, word, as_json=as_json)
    except NotFound as fault:
        if word.lower() in STATE_WORDS:
            raise NotFound(str(fault), f"queuectl list {word} lists jobs by state") from None
        if word in queue.counts().by_queue:
            raise NotFound(str(fault), f"queuectl status -q {word} is of that queue") from None
        raise


def _write_counts(session: Session, queue: Queue, counts: Counts, name: str | None) -> None:
    """Write how many jobs there are, and queues; a person sees at a glance where there are some.

    Off a terminal only those queues are there about which something was decided.
    """
    views = queue_views(counts, queue.queue_limits(), name)
    decided = [view for view in views if view.limit != OPEN]
    tables.pairs([("store", queue.address)])
    sys.stdout.write("\n")
    if on_terminal():
        styles = {state.value: f"bold {style}" for state, style in STATE_STYLES.items()}
        lines = (
            (state, f"{count:,}", styles.get(state, "bold") if count else "dim")
            for state, count in totals(counts).items()
        )
        tables.styled(lines, colors=session.colors)
        rows: list[QueueView] = views if len(views) > 1 or decided else []
    else:
        tables.pairs((state, str(count)) for state, count in totals(counts).items())
        rows = decided
    if rows:
        sys.stdout.write("\n")
        tables.table(rows, queue_columns(), colors=session.colors)
    sys.stdout.write("\n")
