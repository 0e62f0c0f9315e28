"""Making a home, and finding out what is wrong with one."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from queuectl.cli import render
from queuectl.cli.jobs import json_option
from queuectl.cli.session import Session, pass_session, say
from queuectl.cli.tree import Command
from queuectl.domain import settings as tunables
from queuectl.domain.errors import ExitCode, QueuectlError, StoreError, StoreRefused
from queuectl.domain.job import SETTLED
from queuectl.domain.times import UTC
from queuectl.domain.values import frozen
from queuectl.home import Home, find_place
from queuectl.queue import Queue
from queuectl.stores import is_mongo

_CLOCK_SECONDS = 5.0


@click.command(
    cls=Command,
    epilog="""
    queuectl init
    queuectl --home ~/jobs init
    """,
)
@pass_session
def init(session: Session) -> None:
    """Make `.queuectl` here (or the home that is named) and its store."""
    place = find_place(session.home, session.store, search=False)
    is_new = not (
        place.home.root.is_dir() if is_mongo(place.store_url) else Path(place.store_url).exists()
    )
    with Queue.open(place) as queue:
        queue.store.check(quick=True)
        address = queue.address
    say(f"Initialized {address}" if is_new else f"{address} already initialized")


@frozen
class Finding:
    """One thing that doctor looked at; `advice` is what to do when it is not as it should be."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


@click.command(
    cls=Command,
    epilog="""
    queuectl doctor
    queuectl doctor --json
    queuectl doctor --quick
    """,
)
@click.option(
    "--quick", is_flag=True, help="Only what a health check asks: home, store and workers."
)
@json_option
@pass_session
def doctor(session: Session, quick: bool, as_json: bool) -> int:
    """Look over home, permissions, store, clock, PID file and workers."""
    findings: list[Finding] = []
    code = ExitCode.OK
    for check in _checks(session, quick=quick):
        try:
            findings.append(check())
        except QueuectlError as fault:
            name = check.__name__.removeprefix("_check_")
            findings.append(Finding(name, False, str(fault), fault.hint))
            if isinstance(fault, StoreError):
                code = ExitCode.STORE
                break
    if as_json:
        render.write_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            advice = f"; {finding.advice}" if finding.advice else ""
            say(f"{'OK  ' if finding.ok else 'FAIL'}  {finding.name}: {finding.detail}{advice}")
    return code or (ExitCode.OK if all(found.ok for found in findings) else ExitCode.FAILED)


def _checks(session: Session, *, quick: bool) -> Iterator[Callable[[], Finding]]:
    """Yield the checks, from the ground up."""
    home = session.place().home

    def _check_home() -> Finding:
        if home.root.exists() and not home.root.is_dir():
            raise StoreRefused(f"{home.root} is not a directory", "move it away, or name another")
        return Finding("home", True, str(home.root) if home.root.is_dir() else "made on first use")

    def _check_permissions() -> Finding:
        return _permissions(home)

    def _check_store() -> Finding:
        queue = session.queue()
        faults = [] if quick else queue.store.check()
        advice = "restore a backup, or name another store" if faults else ""
        return Finding("store", not faults, "; ".join(faults) or queue.address, advice)

    def _check_settings() -> Finding:
        faults = tunables.faults(session.queue().store.settings())
        advice = "queuectl config set, or config unset, corrects them" if faults else ""
        return Finding("settings", not faults, "; ".join(faults) or "as they should be", advice)

    def _check_schedules() -> Finding:
        schedules = session.queue().schedules
        faults = schedules.faults()
        advice = "queuectl schedule add --replace corrects them" if faults else ""
        detail = "; ".join(faults) or f"{len(schedules.all())} in order"
        return Finding("schedules", not faults, detail, advice)

    def _check_hooks() -> Finding:
        faults = session.queue().hooks.faults()
        advice = "queuectl hook add --replace corrects them, hook show tells more" if faults else ""
        detail = "; ".join(faults) or f"{len(session.queue().hooks.all())} in order"
        return Finding("hooks", not faults, detail, advice)

    def _check_clock() -> Finding:
        ahead = (session.queue().now() - datetime.now(UTC)).total_seconds()
        is_close = abs(ahead) < _CLOCK_SECONDS
        detail = f"{abs(ahead):.1f} s {'behind' if ahead > 0 else 'ahead of'} the store's"
        return Finding("clock", is_close, detail, "" if is_close else "set this host's clock")

    def _check_pid_file() -> Finding:
        from queuectl.worker import manager

        faults = manager.check_pid_file(home)
        advice = "remove it, or start a worker, which sets it aside" if faults else ""
        return Finding("pid file", not faults, "; ".join(faults) or str(home.pid_file), advice)

    def _check_workers() -> Finding:
        queue = session.queue()
        counts = queue.counts()
        count = len(queue.workers())
        waiting = counts.total - sum(counts.of(state) for state in SETTLED)
        ok = bool(count) or not waiting
        return Finding(
            "workers", ok, f"{count} alive, {waiting} job(s) not settled",
            "" if ok else "queuectl worker start",
        )  # fmt: skip

    if quick:  # what a restart may mend, and no more than a few reads
        yield from (_check_home, _check_store, _check_pid_file, _check_workers)
        return
    yield from (_check_home, _check_permissions, _check_store, _check_settings)
    yield from (_check_schedules, _check_hooks, _check_clock)
    yield from (_check_pid_file, _check_workers)


def _permissions(home: Home) -> Finding:
    """Whether nobody else can read or change what is in the home."""
    open_to_others = [
        path
        for path in (home.root, home.store_file, home.pid_file, home.history_file, home.logs)
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    if not open_to_others:
        return Finding("permissions", True, "only you can read it")
    names = " ".join(str(path) for path in open_to_others)
    return Finding("permissions", False, f"others can read {names}", f"chmod go= {names}")
