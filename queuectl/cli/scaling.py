"""How many workers, and jobs at once, a home has: `worker scale`, `worker restart`, `parallel`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from queuectl.cli.completions import QUEUE_NAME
from queuectl.cli.queues import limit_line
from queuectl.cli.root import Command, examples
from queuectl.cli.session import Session, pass_session, refuse_native_windows
from queuectl.cli.worker_stop import stop_here
from queuectl.cli.workers import MOST_WORKERS, orders_to_start, start_here
from queuectl.domain.errors import InvalidInput
from queuectl.domain.settings import MOST_CONCURRENCY
from queuectl.domain.worker_record import LiveWorker
from queuectl.presentation.console import print_hint, print_line
from queuectl.queue import Queue
from queuectl.stores.rules import require_in_use


@examples("""
    queuectl worker scale 3
    queuectl worker scale 0
""")
@click.command(cls=Command)
@click.argument("count", metavar="N", type=click.IntRange(0, MOST_WORKERS))
@pass_session
def scale(session: Session, count: int) -> None:
    """Have N workers in this home: start those that are missing, stop those that are too many.

    The number is kept: a `worker start` that finds no worker starts as many, unless it is told how
    many. Workers that are stopped finish their jobs first; those without a job are chosen first.
    """
    from queuectl.worker.supervision.scale import Scale, declare, spare

    living = _staying(session)
    declare(session.location().home, Scale(count))
    _stop(session, spare(living, None, count))
    if len(living) < count:
        resources = _resources_of(living) or orders_to_start(session, {"count": 1})["resources"]
        start_here(session, {"count": count - len(living), "resources": resources})
    print_line(f"This home has {_workers(count)}")


@examples("""
    queuectl worker restart
    queuectl worker restart --now
""")
@click.command(cls=Command)
@click.option("--now", is_flag=True, help="Stop the jobs too; they are run again later.")
@pass_session
def restart(session: Session, now: bool) -> None:
    """Stop this home's workers once their jobs are done, and start as many for the same queues.

    Without workers it is `worker start`.
    """
    living = _staying(session)
    usual = session.queue().settings().concurrency
    groups = Counter(
        (
            each.record.queues,
            None if each.record.slots == usual else each.record.slots,
            each.record.resources,
        )
        for each in living
    )
    try:
        _stop(session, living, now=now)
    except KeyboardInterrupt:
        print_hint(f"none were started anew: queuectl worker start -c {len(living)}")
        raise
    if not groups:
        start_here(session, orders_to_start(session, {}))
    for (queues, concurrency, resources), count in groups.items():
        orders = {"count": count, "queues": queues, "concurrency": concurrency}
        start_here(session, {**orders, "resources": resources})


@examples("""
    queuectl parallel 3
    queuectl parallel 1 -q gpu
""")
@click.command(cls=Command)
@click.argument("number", metavar="[N]", required=False, type=click.IntRange(0))
@click.option(
    "--queue", "-q", "queue_name", type=QUEUE_NAME, metavar="NAME",
    help="Of this queue, over all workers: as `queue limit`; 0 is any number.",
)  # fmt: skip
@pass_session
def parallel(session: Session, number: int | None, queue_name: str | None) -> None:
    """Run N jobs at once in this home, or show how many do; with -q limit a queue.

    Workers are started and stopped for it where there are any; the number is kept for the next
    `worker start`. Those that are stopped finish their jobs first.
    """
    if queue_name is not None:
        if number is None:
            raise InvalidInput("say how many", hint=f"queuectl parallel 1 -q {queue_name}")
        print_line(limit_line(session.queue(), queue_name, number))
        return
    from queuectl.worker.supervision import scale as scales

    living = _staying(session)
    if number is None:
        print_line(_at_once(scales.total_slots(living)))
        return
    if not 1 <= number <= MOST_CONCURRENCY:
        raise InvalidInput(
            f"so many jobs at once cannot be: from 1 to {MOST_CONCURRENCY}",
            hint="queuectl pause -a lets none begin",
        )
    scales.declare(session.location().home, scales.Scale(1, number))
    gone = scales.spare(living, number, len(living))
    _stop(session, gone)
    missing = number - scales.total_slots([each for each in living if each not in gone])
    if living and missing:
        orders = {"count": 1, "concurrency": missing, "resources": _resources_of(living)}
        start_here(session, orders)
    print_line(_at_once(number))
    if not living:
        print_hint("no worker is running: queuectl worker start")


def _staying(session: Session) -> list[LiveWorker]:
    """Return this home's workers but for those that are about to leave."""
    refuse_native_windows()
    from queuectl.worker.supervision.scale import staying

    queue: Queue = session.queue()
    require_in_use(queue.store)
    return staying(session.location().home, queue.workers())


def _resources_of(workers: Sequence[LiveWorker]) -> tuple[tuple[str, str], ...]:
    """Return what this home's workers declared their host to have, the latest of them."""
    found = [each.record.resources for each in workers if each.record.resources]
    return found[-1] if found else ()


def _stop(session: Session, workers: Sequence[LiveWorker], *, now: bool = False) -> None:
    """Stop workers once their jobs are done, and wait for them."""
    if workers:
        stop_here(session, [each.record.process.pid for each in workers], now=now)


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _at_once(number: int) -> str:
    jobs = "1 job" if number == 1 else f"{number} jobs"
    return f"This home runs {jobs} at once"
