"""Making a home, and finding out what is wrong with one."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from queuectl.cli.jobs.show import json_option
from queuectl.cli.root import Command
from queuectl.cli.session import Session, pass_session, print_line
from queuectl.domain import settings as tunables
from queuectl.domain.errors import ExitCode, QueuectlError, StoreError, StoreRefused
from queuectl.domain.frozen import frozen
from queuectl.domain.job import SETTLED
from queuectl.domain.times import UTC
from queuectl.presentation import tables
from queuectl.queue import Queue
from queuectl.stores.rules import require_in_use
from queuectl.system.file_access import access_to, own_name
from queuectl.system.home import Location, cannot, find_location
from queuectl.system.store_url import is_mongo, sqlite_path

_CLOCK_SECONDS = 5.0
_MOST_NAMED = 5


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
    place = find_location(session.home, session.store, search=False)
    is_new = not (
        place.home.root.is_dir() if is_mongo(place.store_url) else Path(place.store_url).exists()
    )
    with Queue.open(place) as queue:
        queue.store.check(quick=True)
        address = queue.address
    print_line(f"Initialized {address}" if is_new else f"{address} already initialized")


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
        tables.write_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            advice = f"; {finding.advice}" if finding.advice else ""
            print_line(
                f"{'OK  ' if finding.ok else 'FAIL'}  {finding.name}: {finding.detail}{advice}"
            )
    return code or (ExitCode.OK if all(found.ok for found in findings) else ExitCode.FAILED)


def _checks(session: Session, *, quick: bool) -> Iterator[Callable[[], Finding]]:
    """Yield the checks, from the ground up."""
    place = session.location()
    home = place.home

    def _check_home() -> Finding:
        if home.root.is_dir():
            return Finding("home", True, str(home.root))
        if os.path.lexists(home.root):
            raise StoreRefused(f"{home.root} is not a directory", "move it away, or name another")
        _refuse_unmakeable(home.root)
        return Finding("home", True, "made on first use")

    def _check_permissions() -> Finding:
        return _permissions(place)

    def _check_store() -> Finding:
        queue = session.reading()
        _refuse_stopped_holder(session.location().store_url)
        require_in_use(queue.store)
        faults = [] if quick else queue.store.check()
        advice = _cure_of(queue.address) if faults else ""
        where = f"none yet at {queue.address}" if queue.missing else queue.address
        return Finding("store", not faults, "; ".join(faults) or where, advice)

    def _check_settings() -> Finding:
        faults = tunables.faults(session.reading().store.settings())
        advice = "queuectl config set, or config unset, corrects them" if faults else ""
        return Finding("settings", not faults, "; ".join(faults) or "as they should be", advice)

    def _check_schedules() -> Finding:
        schedules = session.reading().schedules
        faults = schedules.faults()
        advice = "queuectl schedule add --replace corrects them" if faults else ""
        detail = "; ".join(faults) or f"{len(schedules.all())} in order"
        return Finding("schedules", not faults, detail, advice)

    def _check_hooks() -> Finding:
        faults = session.reading().hooks.faults()
        advice = "queuectl hook add --replace corrects them, hook show tells more" if faults else ""
        detail = "; ".join(faults) or f"{len(session.reading().hooks.all())} in order"
        return Finding("hooks", not faults, detail, advice)

    def _check_clock() -> Finding:
        ahead = (session.reading().now() - datetime.now(UTC)).total_seconds()
        is_close = abs(ahead) < _CLOCK_SECONDS
        detail = f"{abs(ahead):.1f} s {'behind' if ahead > 0 else 'ahead of'} the store's"
        return Finding("clock", is_close, detail, "" if is_close else "set this host's clock")

    def _check_pid_file() -> Finding:
        from queuectl.worker.supervision import manager

        faults = manager.check_pid_file(home)
        advice = "remove it, or start a worker, which sets it aside" if faults else ""
        return Finding("pid file", not faults, "; ".join(faults) or str(home.pid_file), advice)

    def _check_supervisors() -> Finding:
        from queuectl.worker.supervision import manager

        pids = ", ".join(map(str, manager.unsupervised(home)))
        if not pids:
            return Finding("supervisors", True, "none is missing")
        detail = f"that of worker {pids} was killed, so it leaves after its job"
        return Finding("supervisors", False, detail, "queuectl worker start begins anew")

    def _check_workers() -> Finding:
        queue = session.reading()
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
    yield from (_check_pid_file, _check_supervisors, _check_workers)


def _refuse_unmakeable(path: Path) -> None:
    """Raise StoreUnavailable, as whoever makes it would, for a home that cannot be made."""
    above = next(each for each in path.parents if os.path.lexists(each))
    if not above.is_dir():
        why = errno.ENOTDIR
    elif os.access(above, os.W_OK | os.X_OK):
        return
    else:
        why = errno.EROFS if _is_read_only(above) else errno.EACCES
    raise cannot("make", path, OSError(why, os.strerror(why)))


def _is_read_only(path: Path) -> bool:
    """Whether nothing can be written to the file system of a path."""
    return hasattr(os, "statvfs") and bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _refuse_stopped_holder(store_url: str) -> None:
    """Raise StoreLocked when a process that is stopped keeps everybody from writing."""
    if is_mongo(store_url):
        return
    from queuectl.system.lock_holder import holder_of, locked

    path = sqlite_path(store_url)
    holder = holder_of(path)
    if holder is not None and holder.is_stopped:
        raise locked(path)


def _cure_of(address: str) -> str:
    """Return what to do about a store that is damaged."""
    how = "mongorestore" if is_mongo(address) else "queuectl restore FILE"
    return f"restore a backup ({how}), or name another store"


def _permissions(place: Location) -> Finding:
    """Whether all that is in the home, and the store, is the user's own and nobody else's to read.

    What belongs to another user, root perhaps, keeps workers from starting.
    """
    home, paths = place.home.root, place.home.entries()
    if not (place.is_store_inside or is_mongo(place.store_url)):
        paths += [Path(f"{place.store_url}{end}") for end in ("", "-wal", "-shm", "-lock", "-wake")]
    found = access_to(home.resolve(), paths)
    kinds = (
        ("not yours:", found.strange, f"sudo chown -R {own_name()}"),
        ("you cannot write", found.closed, "chmod -R u+rwX"),
        ("others can read", found.open, "chmod -R go="),
    )
    told = [(f"{words} {_named(those)}", mend, those) for words, those, mend in kinds if those]
    if not told:
        return Finding("permissions", True, "all of it is yours, and only you can read it")
    advice = (
        f"{mend} {_named(those) if len(those) <= _MOST_NAMED else shlex.quote(str(home))}"
        for _, mend, those in told
    )
    return Finding("permissions", False, "; ".join(line for line, *_ in told), "; ".join(advice))


def _named(paths: list[Path]) -> str:
    """Return paths, the first of them where there are many."""
    more = f" and {len(paths) - _MOST_NAMED:,} more" if len(paths) > _MOST_NAMED else ""
    return shlex.join(map(str, paths[:_MOST_NAMED])) + more
