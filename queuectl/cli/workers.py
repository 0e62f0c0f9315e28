"""Starting, stopping and looking at workers."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from queuectl.cli.completions import QUEUE_NAME, WORKER_ID
from queuectl.cli.jobs import clock_of
from queuectl.cli.progress import Progress, progress_line
from queuectl.cli.root import Group, examples, json_option, with_options
from queuectl.cli.session import Session, pass_session, refuse_native_windows
from queuectl.domain.errors import ExitCode, NotFound, QueuectlError, WaitTimedOut
from queuectl.domain.field_checks import check_name
from queuectl.domain.settings import MOST_CONCURRENCY
from queuectl.domain.times import parse_duration
from queuectl.domain.worker_record import LiveWorker, StopRequest
from queuectl.presentation import tables
from queuectl.presentation.columns import in_hand_text, worker_columns
from queuectl.presentation.console import print_error, print_hint, print_line
from queuectl.presentation.status import worker_as_dict
from queuectl.queue import Queue
from queuectl.stores.rules import require_in_use

_MOST_WORKERS = 1000
_POLL_SECONDS = 0.1

_LOOK_SECONDS = 1.0

_orders = with_options(
    click.option("--count", "-c", type=click.IntRange(1, _MOST_WORKERS), default=1, metavar="N",
                 help="How many workers; 1 unless said."),
    click.option("--concurrency", "-j", type=click.IntRange(1, MOST_CONCURRENCY), metavar="N",
                 help="How many jobs each runs at once; else the setting, as it is changed."),
    click.option("--queue", "queues", type=QUEUE_NAME, multiple=True, metavar="NAME",
                 help="Only this queue (repeat)."),
    click.option("--drain", is_flag=True,
                 help="End when nothing is due, running or awaiting its retry."),
)  # fmt: skip
"""What workers are started with, named as `manager` takes it."""


@click.group(cls=Group, epilog="queuectl worker start --count 3")
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
    queue = session.queue()
    require_in_use(queue.store)
    if foreground:
        return _run_here(session, orders)
    queue.store.check(quick=True)
    refuse_native_windows()
    from queuectl.worker.supervision import manager

    pids = manager.start(
        session.location(), log_format=queue.settings().log_format, **_checked(orders)
    )
    print_line(f"Started {len(pids)} worker(s): {pids}")
    return ExitCode.OK


@worker.command("run", epilog="queuectl worker run --count 2")
@_orders
@pass_session
def run_workers(session: Session, /, **orders: Any) -> int:
    """Work on this terminal until Ctrl-C, as `worker start --foreground` does."""
    return _run_here(session, orders)


def _run_here(session: Session, orders: dict[str, Any]) -> int:
    refuse_native_windows()
    from queuectl.worker.supervision import manager

    session.queue().store.check(quick=True)
    log_format = session.queue().settings().log_format
    session.close()  # the workers open the store; who only looks after them has no part in it
    return manager.run_in_foreground(session.location(), log_format=log_format, **_checked(orders))


def _checked(orders: dict[str, Any]) -> dict[str, Any]:
    """Return orders with each queue once. Raises InvalidInput for what is no name of one."""
    names = dict.fromkeys(check_name("queue", name) for name in orders["queues"])
    return {**orders, "queues": tuple(names)}


@worker.command("list", epilog="queuectl worker list --json")
@json_option
@pass_session
def list_workers(session: Session, as_json: bool) -> None:
    """List the workers that are alive, with the job each has in hand."""
    queue = session.reading()
    workers = queue.workers()
    if as_json:
        tables.write_json([worker_as_dict(each) for each in workers])
    elif not tables.table(workers, worker_columns(clock_of(queue), workers), colors=session.colors):
        session.hint("no worker is running: queuectl worker start")


@examples("""
    queuectl worker stop
    queuectl worker stop 12345 --timeout 30
    queuectl worker stop --now
""")
@worker.command()
@click.argument("ids", nargs=-1, metavar="[ID | PID]...", type=WORKER_ID)
@click.option("--timeout", metavar="SECONDS", help="Wait no longer; the exit code is then 124.")
@click.option("--now", is_flag=True, help="Stop the jobs too; they are run again later.")
@click.option("--all-hosts", is_flag=True, help="Every worker of the store, on every host.")
@pass_session
def stop(
    session: Session, ids: tuple[str, ...], timeout: str | None, now: bool, all_hosts: bool
) -> int:
    """Stop this home's workers once their jobs are done; wait for them."""
    seconds = None if timeout is None else parse_duration(timeout, "--timeout")
    if all_hosts:
        return _stop_fleet(session.reading(), ids, now, seconds)
    refuse_native_windows()
    from queuectl.worker.supervision import stopper

    place = session.location()
    pids = stopper.find_pids(place, ids) if ids else None
    faults: list[QueuectlError] = []
    with _farewell(session) as farewell:
        report = stopper.stop(
            place,
            pids=pids,
            now=now,
            timeout=seconds,
            on_stopped=farewell.stopped,
            on_waiting=farewell.waiting,
            on_fault=faults.append,
        )
    if report.left:
        raise _still_running(report.left, now=now)
    if not report.stopped:
        if faults:  # there may be some that nobody could tell of
            raise faults[0]
        print_line("No workers are running")
        if others := session.reading().workers():  # which nobody is to take for gone
            print_hint(
                f"{len(others)} worker(s) of other homes or hosts use this store: "
                "queuectl worker stop --all-hosts"
            )
    for fault in faults:
        print_error(fault)
    return ExitCode.OK


def _still_running(pids: Sequence[int], *, now: bool) -> WaitTimedOut:
    """Return the error for workers that were not waited for any longer."""
    names = " ".join(map(str, pids))
    if now:
        hint = f"give them longer, or end them: kill -9 {names} (their jobs are run again)"
    else:
        hint = "they stop after their jobs; queuectl worker stop --now stops the jobs too"
    return WaitTimedOut(f"still running: {names.replace(' ', ', ')}", hint=hint)


class _Farewell:
    """Tells who has stopped, and on a terminal who is waited for."""

    def __init__(self, session: Session, progress: Progress) -> None:
        self._session = session
        self._progress = progress
        self._started = time.monotonic()
        self._looked = self._started - _LOOK_SECONDS
        self._jobs: dict[int, str] = {}

    def stopped(self, pid: int) -> None:
        """Tell that a worker has gone."""
        self._progress.clear()
        print_line(f"Worker {pid} stopped")

    def waiting(self, pids: Sequence[int]) -> None:
        """Show which workers are waited for, and for which jobs."""
        if not self._progress.is_due():
            return
        if time.monotonic() >= self._looked + _LOOK_SECONDS:
            self._looked = time.monotonic()
            with contextlib.suppress(QueuectlError):  # a store that is away is no hindrance
                self._jobs = _in_hand(self._session.reading().workers())
        clock = tables.elapsed(time.monotonic() - self._started)
        whom = _named(pids, self._jobs) or "what hooks are being told"
        self._progress.show(f"{clock}  waiting for {whom}")


@contextlib.contextmanager
def _farewell(session: Session) -> Iterator[_Farewell]:
    """Return what tells of the stop; a person who does not wait learns that it goes on."""
    try:
        with progress_line() as progress:
            yield _Farewell(session, progress)
    except KeyboardInterrupt:
        print_hint("not waited for any longer; what was asked of the workers holds")
        raise


def _in_hand(workers: Sequence[LiveWorker]) -> dict[int, str]:
    """Return what each worker of these has in hand, by its pid."""
    return {each.record.process.pid: in_hand_text(each) for each in workers if each.job_ids}


def _named(pids: Sequence[int], jobs: Mapping[int, str]) -> str:
    """Return `worker 4711 (job1), 4712`, those with a job first."""
    ordered = sorted(pids, key=lambda pid: pid not in jobs)
    return ", ".join(
        f"worker {pid}" + (f" ({jobs[pid]})" if pid in jobs else "") for pid in ordered
    )


def _stop_fleet(queue: Queue, ids: Sequence[str], now: bool, seconds: float | None) -> int:
    """Ask through the store, which every host reads, and wait until they have left it."""
    records = [worker.record for worker in queue.workers()]
    waiting = {
        each.id for each in records if not ids or each.id in ids or str(each.process.pid) in ids
    }
    if ids and not waiting:
        raise NotFound(f"no worker '{ids[0]}'", hint="queuectl worker list shows them")
    if not waiting:
        print_line("No workers are running")
        return ExitCode.OK
    queue.ask_workers_to_stop(waiting, StopRequest.NOW if now else StopRequest.GRACEFUL)
    deadline = None if seconds is None else time.monotonic() + seconds
    with progress_line() as progress:
        while waiting:
            living = [worker for worker in queue.workers() if worker.record.id in waiting]
            left = {worker.record.id for worker in living}
            for gone in sorted(waiting - left):
                progress.clear()
                print_line(f"Worker {gone} stopped")
            sys.stdout.flush()
            waiting = left
            if waiting and deadline is not None and time.monotonic() >= deadline:
                raise WaitTimedOut(
                    f"still running: {', '.join(sorted(waiting))}",
                    hint="" if now else "--now stops their jobs too",
                )
            if waiting:
                pids = [worker.record.process.pid for worker in living]
                progress.show(f"waiting for {_named(pids, _in_hand(living))}")
                time.sleep(_POLL_SECONDS)
    return ExitCode.OK


@examples("""
    queuectl worker logs -f
    queuectl worker logs 12345 -n 20
    queuectl worker logs --json
""")
@worker.command("logs")
@click.argument("worker_id", metavar="[ID | PID]", required=False, type=WORKER_ID)
@click.option("-f", "--follow", "live", is_flag=True, help="Go on until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=100, metavar="LINES",
              help="The last lines; 100 unless said.")  # fmt: skip
@json_option
@pass_session
def worker_logs(
    session: Session, worker_id: str | None, live: bool, lines: int, as_json: bool
) -> None:
    """Show the logs of this home's workers; with --json one object a line."""
    from queuectl.cli.worker_logs import show_logs

    home = session.location().home
    if not show_logs(home.worker_logs, worker_id, lines, live=live, as_json=as_json):
        print_hint(f"no worker has run in the background of {home.root}: queuectl worker start")
