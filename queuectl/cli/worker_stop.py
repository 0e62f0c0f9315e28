"""`worker stop`: asking workers to leave, and waiting for them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from queuectl.cli.completions import HOST_NAME, WORKER_ID
from queuectl.cli.progress import Progress, progress_line
from queuectl.cli.root import Command, examples
from queuectl.cli.session import Session, pass_session, refuse_native_windows
from queuectl.cli.stop_words import jobs_in_hand, names_of
from queuectl.domain.errors import ExitCode, InvalidInput, QueuectlError, WaitTimedOut
from queuectl.domain.text import counted
from queuectl.domain.times import parse_duration
from queuectl.presentation import tables
from queuectl.presentation.console import print_error, print_hint, print_line

if TYPE_CHECKING:
    from queuectl.worker.supervision.stopper import StopReport

_POLL_SECONDS = 0.1

_LOOK_SECONDS = 1.0


@examples("""
    queuectl worker stop
    queuectl worker stop 12345 --timeout 30
    queuectl worker stop --now
    queuectl worker stop --host build7 --timeout 60
""")
@click.command(cls=Command)
@click.argument("ids", nargs=-1, metavar="[ID | PID]...", type=WORKER_ID)
@click.option("--timeout", metavar="SECONDS", help="Wait no longer; the exit code is then 124.")
@click.option("--now", is_flag=True, help="Stop the jobs too; they are run again later.")
@click.option("--all", "-a", "every", is_flag=True, help="This home's workers, as without ids.")
@click.option("--all-hosts", is_flag=True, help="Every worker of the store, on every host.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", type=HOST_NAME,
              help="The workers of this host, of every home (repeat).")  # fmt: skip
@pass_session
def stop(
    session: Session,
    ids: tuple[str, ...],
    timeout: str | None,
    now: bool,
    every: bool,
    all_hosts: bool,
    hosts: tuple[str, ...],
) -> int:
    """Stop this home's workers once their jobs are done; wait for them."""
    seconds = None if timeout is None else parse_duration(timeout, "--timeout")
    if all_hosts or hosts:
        if hosts and (all_hosts or every):
            raise InvalidInput("name the hosts, or --all-hosts", hint="queuectl host list")
        from queuectl.cli.fleet_stop import stop_fleet

        return stop_fleet(session.reading(), ids, hosts, now=now, seconds=seconds)
    if every and ids:
        raise InvalidInput("name the workers, or --all", hint="queuectl worker list shows them")
    refuse_native_windows()
    from queuectl.worker.supervision import stopper

    pids = stopper.find_pids(session.location(), ids) if ids else None
    report, faults = stop_here(session, pids, now=now, seconds=seconds)
    if not report.stopped:
        if faults:  # there may be some that nobody could tell of
            raise faults[0]
        print_line("No workers are running")
        if others := session.reading().workers():  # which nobody is to take for gone
            print_hint(
                f"this store has {counted(len(others), 'worker')} of other homes or hosts: "
                "queuectl worker stop --all-hosts"
            )
    for fault in faults:
        print_error(fault)
    return ExitCode.OK


def stop_here(
    session: Session, pids: Collection[int] | None, *, now: bool, seconds: float | None = None
) -> tuple[StopReport, list[QueuectlError]]:
    """Stop workers of this home (all, or those pids), wait for them, and tell of each.

    Returns who has stopped, and what kept the others from being looked for. Raises WaitTimedOut.
    """
    from queuectl.worker.supervision import stopper

    faults: list[QueuectlError] = []
    with _farewell(session) as farewell:
        report = stopper.stop(
            session.location(),
            pids=pids,
            now=now,
            timeout=seconds,
            on_stopped=farewell.stopped,
            on_waiting=farewell.waiting,
            on_fault=faults.append,
        )
    for each in report.stopped:
        session.reading().note("worker stop", str(each))
    if report.left:
        raise _still_running(report.left, now=now)
    return report, faults


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
                self._jobs = jobs_in_hand(self._session.reading().workers())
        clock = tables.elapsed(time.monotonic() - self._started)
        whom = names_of(pids, self._jobs) or "what hooks are being told"
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
