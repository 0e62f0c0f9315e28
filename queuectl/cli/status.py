"""How things stand: counts, and the workers that are alive."""

from __future__ import annotations

import sys
from typing import Any

import click

from queuectl.cli import render
from queuectl.cli.jobs import clock_of, json_option
from queuectl.cli.session import Session, note, pass_session
from queuectl.cli.tree import Command
from queuectl.domain.filters import Counts
from queuectl.domain.job import State
from queuectl.domain.times import iso
from queuectl.domain.worker import LiveWorker


@click.command(
    cls=Command,
    epilog="""
    queuectl status
    queuectl status --json
    """,
)
@json_option
@pass_session
def status(session: Session, as_json: bool) -> None:
    """Count the jobs in each state, and show the workers that are alive."""
    queue = session.queue()
    counts, workers = queue.counts(), queue.workers()
    if as_json:
        render.write_json(
            {
                "store": queue.address,
                "home": str(queue.home.root),
                "counts": _totals(counts),
                "workers": [worker_as_dict(worker) for worker in workers],
                "queues": [
                    {"name": name, "counts": _totals(Counts({name: states}))}
                    for name, states in counts.by_queue.items()
                ],
            }
        )
        return
    render.pairs([("store", queue.address)])
    sys.stdout.write("\n")
    render.pairs((name, str(count)) for name, count in _totals(counts).items())
    sys.stdout.write("\n")
    render.pairs([("workers", str(len(workers)))])
    if workers:
        render.table(workers, worker_columns(clock_of(queue)), colors=session.colors)
    else:
        note("no worker is running: queuectl worker start")


def _totals(counts: Counts) -> dict[str, int]:
    return {**{state.value: counts.of(state) for state in State}, "total": counts.total}


def worker_columns(clock: render.Clock) -> list[render.Column[LiveWorker]]:
    """Return the columns of a listing of workers."""
    return [
        render.Column("PID", lambda worker: str(worker.record.process.pid)),
        render.Column("STATE", lambda worker: worker.state),
        render.Column("JOB", lambda worker: worker.job_id or "-"),
        render.Column("HOST", lambda worker: worker.record.host),
        render.Column("STARTED", lambda worker: clock.around(worker.record.started_at)),
        render.Column("QUEUES", lambda worker: ", ".join(worker.record.queues), True),
        render.Column("ID", lambda worker: worker.record.id),
    ]


def worker_as_dict(worker: LiveWorker) -> dict[str, Any]:
    """Return a worker as `--json` prints it."""
    record = worker.record
    return {
        "id": record.id,
        "pid": record.process.pid,
        "host": record.host,
        "home": record.home,
        "state": worker.state,
        "job": worker.job_id,
        "queues": list(record.queues),
        "started_at": iso(record.started_at),
        "heartbeat_at": iso(record.heartbeat_at),
    }
