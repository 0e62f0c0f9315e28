"""Starting, stopping and looking at workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from queuectl.cli.completions import HOST_NAME, QUEUE_NAME, WORKER_ID
from queuectl.cli.listing import clock_of
from queuectl.cli.root import Group, examples, json_option, with_options
from queuectl.cli.session import Session, hint_at_unused, pass_session, refuse_native_windows
from queuectl.domain.errors import ExitCode, InvalidInput
from queuectl.domain.field_checks import check_name
from queuectl.domain.settings import MOST_CONCURRENCY
from queuectl.presentation import tables
from queuectl.presentation.columns import worker_columns
from queuectl.presentation.console import print_hint, print_line
from queuectl.presentation.status import worker_as_dict
from queuectl.queue import Queue
from queuectl.stores.rules import require_in_use

if TYPE_CHECKING:
    pass

MOST_WORKERS = 1000
_orders = with_options(
    click.argument("number", required=False, type=click.IntRange(1, MOST_WORKERS), metavar="[N]"),
    click.option("--count", "-c", type=click.IntRange(1, MOST_WORKERS), metavar="N",
                 help="How many workers; 1 unless said here or by `scale`."),
    click.option("--concurrency", "-j", type=click.IntRange(1, MOST_CONCURRENCY), metavar="N",
                 help="How many jobs each runs at once; else the setting, as it is changed."),
    click.option("--queue", "-q", "queues", type=QUEUE_NAME, multiple=True, metavar="NAME",
                 help="Only this queue (repeat)."),
    click.option("--resource", "resources", multiple=True, metavar="NAME=VALUE",
                 help="What this host has: gpu=0,1,2,3 or memory=60G (repeat); else the setting "
                 "`resources`."),
    click.option("--drain", is_flag=True,
                 help="End when nothing is due, running or awaiting its retry."),
)  # fmt: skip
"""What workers are started with, named as `manager` takes it."""


@click.group(
    cls=Group,
    lazy={
        "stop": (
            "cli.worker_stop",
            "Stop this home's workers once their jobs are done; wait for them.",
        ),
        "scale": (
            "cli.scaling",
            "Have N workers in this home: start those that are missing, stop those that are too "
            "many.",
        ),
        "restart": (
            "cli.scaling",
            "Stop this home's workers once their jobs are done, and start as many for the same "
            "queues.",
        ),
    },
    epilog="queuectl worker start --count 3",
)
def worker() -> None:
    """The processes that run jobs."""


@examples("""
    queuectl worker start --count 3
    queuectl worker start --concurrency 16
    queuectl worker start --foreground --queue imports
    queuectl worker start --drain
""")
@worker.command()
@_orders
@click.option(
    "--foreground", "-f", is_flag=True, envvar="QUEUECTL_FOREGROUND",
    help="Stay, with the log on this terminal; also QUEUECTL_FOREGROUND=1.",
)  # fmt: skip
@pass_session
def start(session: Session, /, foreground: bool, **orders: Any) -> int:
    """Start workers in the background; return when they can claim."""
    orders = orders_to_start(session, orders)
    if foreground:
        return _run_here(session, orders)
    start_here(session, orders)
    return ExitCode.OK


def start_here(session: Session, orders: dict[str, Any]) -> None:
    """Start workers in the background of this home, as `orders` say, and tell of them."""
    refuse_native_windows()
    from queuectl.worker.supervision import manager

    queue = session.queue()
    queue.store.check(quick=True)
    pids = manager.start(session.location(), log_format=queue.settings().log_format, **orders)
    for pid in pids:
        queue.note("worker start", str(pid))
    print_line(f"Started {len(pids)} worker(s): {pids}")
    _hint_at_drained_host(queue)


def _hint_at_drained_host(queue: Queue) -> None:
    import socket

    host = socket.gethostname()
    kept = queue.store.hosts.get(host)
    if kept is not None and kept.drained_at is not None:
        print_hint(f"host {host} is drained, and takes no jobs: queuectl host resume {host}")


@worker.command("run", epilog="queuectl worker run --count 2")
@_orders
@pass_session
def run_workers(session: Session, /, **orders: Any) -> int:
    """Work on this terminal until Ctrl-C, as `worker start --foreground` does."""
    return _run_here(session, orders_to_start(session, orders))


def _run_here(session: Session, orders: dict[str, Any]) -> int:
    refuse_native_windows()
    from queuectl.worker.supervision import manager

    session.queue().store.check(quick=True)
    log_format = session.queue().settings().log_format
    session.close()  # the workers open the store; who only looks after them has no part in it
    return manager.run_in_foreground(session.location(), log_format=log_format, **orders)


def orders_to_start(session: Session, options: dict[str, Any]) -> dict[str, Any]:
    """Return what `manager` is told, of options that may say how many workers, and of which queues.

    Where they say neither, it is what `scale` or `parallel` declared, if no worker is there yet.
    Raises InvalidInput.
    """
    orders = {**options, "queues": _checked_queues(options.get("queues", ()))}
    number, count = orders.pop("number", None), orders.pop("count", None)
    if number is not None and count is not None:
        raise InvalidInput("how many workers is said twice", hint="queuectl worker start -c 3")
    queue = session.queue()
    orders["resources"] = _resources(queue, options.get("resources", ()))
    require_in_use(queue.store)
    hint_at_unused(queue, orders["queues"])
    orders["count"] = number or count
    if orders["count"] is None:
        is_told = any(value for name, value in orders.items() if name != "resources")
        orders |= {"count": 1} if is_told else _declared(session, queue)
    return orders


def _resources(queue: Queue, words: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return what this host has: what the options say, else the setting. Raises InvalidInput.

    All workers of a host go by what the latest of them says; that is told where it is another.
    """
    given = [*words] or queue.settings().resources.split()
    if not given:
        return ()
    import socket

    from queuectl.domain.resources import needs_text, parse_capacities
    from queuectl.queue.resources import declared

    resources, host = parse_capacities(given), socket.gethostname()
    before = declared(queue.store).get(host, resources)
    if before != resources:
        print_hint(
            f"note: {host} had {needs_text(before)}; from now on its workers go by "
            f"{needs_text(resources)}"
        )
    return resources


def _checked_queues(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of queues, each once. Raises InvalidInput for what is no name of one."""
    return tuple(dict.fromkeys(check_name("queue", name) for name in names))


def _declared(session: Session, queue: Queue) -> dict[str, Any]:
    """Return how many workers were declared for this home, where it has none; else one."""
    from queuectl.worker.supervision.scale import declared, staying

    home = session.location().home
    scale = declared(home)
    if scale is None or not scale.count or staying(home, queue.workers()):
        return {"count": 1}
    return {"count": scale.count, "concurrency": scale.concurrency}


@worker.command("list", epilog="queuectl worker list --json")
@json_option
@pass_session
def list_workers(session: Session, as_json: bool) -> None:
    """List the workers that are alive, with the job each has in hand."""
    queue = session.reading()
    workers = queue.workers()
    if as_json:
        tables.write_json([worker_as_dict(each) for each in workers])
    elif not session.table(workers, worker_columns(clock_of(queue), workers)):
        session.hint("no worker is running: queuectl worker start")


@examples("""
    queuectl worker logs -f
    queuectl worker logs 12345 -n 20
    queuectl worker logs --host build7 -f
    queuectl worker logs --json
""")
@worker.command("logs")
@click.argument("worker_id", metavar="[ID | PID]", required=False, type=WORKER_ID)
@click.option(
    "--host",
    metavar="NAME",
    type=HOST_NAME,
    help="Those of this host, of every home, wherever you are.",
)
@click.option("-f", "--follow", "live", is_flag=True, help="Go on until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=100, metavar="LINES",
              help="The last lines; 100 unless said.")  # fmt: skip
@json_option
@pass_session
def worker_logs(
    session: Session, worker_id: str | None, host: str | None, live: bool, lines: int, as_json: bool
) -> None:
    """Show the logs of this home's workers, or of any; with --json one object a line.

    Logs of other hosts come from their workers while these live, and from the log store (the
    setting `log_store`) as of a minute ago at most where they do not.
    """
    from queuectl.cli.worker_logs import show_logs

    home, elsewhere = session.location().home, None
    if worker_id is not None or host is not None:
        elsewhere = session.reading().worker_logs(worker_id, host)
    try:
        has_any = show_logs(
            home.worker_logs, worker_id, lines, live=live, as_json=as_json, elsewhere=elsewhere
        )
    finally:
        if elsewhere is not None:
            elsewhere.close()
    if elsewhere is not None and elsewhere.trouble is not None:
        print_hint(str(elsewhere.trouble))
    elif not has_any and host is not None:
        print_hint(f"no log of a worker of host '{host}' is here or kept: queuectl host list")
    elif not has_any:
        print_hint(f"no worker has run in the background of {home.root}: queuectl worker start")
