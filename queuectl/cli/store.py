"""Making a home, and finding out what is wrong with one."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from queuectl.cli.root import Command, examples, json_option
from queuectl.cli.session import Session, pass_session
from queuectl.domain import settings as tunables
from queuectl.domain.errors import ExitCode, QueuectlError, StoreError, StoreRefused
from queuectl.domain.frozen import frozen
from queuectl.domain.job import SETTLED
from queuectl.domain.text import counted
from queuectl.domain.times import UTC
from queuectl.presentation import tables
from queuectl.presentation.console import print_line
from queuectl.queue import Queue
from queuectl.stores import open_existing
from queuectl.stores.rules import require_in_use
from queuectl.system.file_access import access_to, own_name
from queuectl.system.home import cannot, find_location
from queuectl.system.store_url import is_mongo, sqlite_path

_CLOCK_SECONDS = 5.0
_MOST_NAMED = 5


@examples("""
    queuectl init
    queuectl --home ~/jobs init
""")
@click.command(cls=Command)
@pass_session
def init(session: Session) -> None:
    """Make `.queuectl` here (or the home that is named) and its store."""
    place = find_location(session.home, session.store, search=False)
    is_new = not _is_there(place.store_url)
    with Queue.open(place) as queue:
        queue.store.check(quick=True)
        address = queue.address
    print_line(f"Initialized {address}" if is_new else f"{address} already initialized")


def _is_there(url: str) -> bool:
    """Whether there is a store at an address, sound or not. Raises as `open_store` does."""
    if not is_mongo(url):
        return Path(url).exists()
    store = open_existing(url)
    if store is not None:
        store.close()
    return store is not None


@frozen
class Finding:
    """One thing that doctor looked at; `advice` is what to do when it is not as it should be."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


def _finding(name: str, faults: Sequence[str], sound: str, advice: str) -> Finding:
    """Return what was found: faults, with what corrects them, or the words for a `sound` thing."""
    return Finding(name, not faults, "; ".join(faults) or sound, advice if faults else "")


@examples("""
    queuectl doctor
    queuectl doctor --json
    queuectl doctor --quick
""")
@click.command(cls=Command)
@click.option(
    "--quick", is_flag=True, help="Only what a health check asks: home, store and workers."
)
@json_option
@pass_session
def doctor(session: Session, quick: bool, as_json: bool) -> int:
    """Look over home, permissions, store, clock, PID file and workers."""
    session.location()  # raises, for what is wrong with that is no finding
    findings: list[Finding] = []
    code = ExitCode.OK
    for name, check in (_QUICK_CHECKS if quick else _CHECKS).items():
        try:
            findings.append(check(session))
        except QueuectlError as fault:
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
    return code or (ExitCode.OK if all(each.ok for each in findings) else ExitCode.FAILED)


def _check_home(session: Session) -> Finding:
    root = session.location().home.root
    if root.is_dir():
        return Finding("home", True, str(root))
    if os.path.lexists(root):
        raise StoreRefused(f"{root} is not a directory", "move it away, or name another")
    _refuse_unmakeable(root)
    return Finding("home", True, "made on first use")


def _check_permissions(session: Session) -> Finding:
    """Look whether all that is in the home, and the store, is the user's own and nobody else's.

    What belongs to another user, root perhaps, keeps workers from starting.
    """
    place = session.location()
    home, paths = place.home.root, place.home.entries()
    if not (place.is_store_inside or is_mongo(place.store_url)):
        paths += [Path(f"{place.store_url}{end}") for end in ("", "-wal", "-shm", "-lock", "-wake")]
    access = access_to(home.resolve(), paths)
    kinds = (
        ("not yours:", access.strange, f"sudo chown -R {own_name()}"),
        ("you cannot write", access.closed, "chmod -R u+rwX"),
        ("others can read", access.open, "chmod -R go="),
    )
    faults, advice = [], []
    for words, those, mend in kinds:
        if those:
            faults.append(f"{words} {_named(those)}")
            where = _named(those) if len(those) <= _MOST_NAMED else shlex.quote(str(home))
            advice.append(f"{mend} {where}")
    sound = "all of it is yours, and only you can read it"
    return _finding("permissions", faults, sound, "; ".join(advice))


def _check_store_quickly(session: Session) -> Finding:
    """Look whether the store can be used."""
    queue = session.reading()
    _refuse_stopped_holder(session.location().store_url)
    require_in_use(queue.store)
    return Finding(
        "store", True, f"none yet at {queue.address}" if queue.missing else queue.address
    )


def _check_store(session: Session) -> Finding:
    usable = _check_store_quickly(session)
    queue = session.reading()
    how = "mongorestore" if is_mongo(queue.address) else "queuectl restore FILE"
    advice = f"restore a backup ({how}), or name another store"
    return _finding("store", queue.store.check(), usable.detail, advice)


def _check_settings(session: Session) -> Finding:
    faults = tunables.faults(session.reading().store.settings.all())
    advice = "queuectl config set, or config unset, corrects them"
    return _finding("settings", faults, "as they should be", advice)


def _check_schedules(session: Session) -> Finding:
    schedules = session.reading().schedules
    advice = "queuectl schedule add --replace corrects them"
    return _finding("schedules", schedules.faults(), f"{len(schedules.all())} in order", advice)


def _check_tz_data(session: Session) -> Finding:
    """Look which copy of the tz data is in use, and whether schedules were reckoned with newer."""
    from queuectl.system.zones import tz_data

    data = tz_data()
    versions = (each.tz_version or "" for each in session.reading().schedules.all())
    newest = max(versions, default="")
    of_system = f"the system's is {data.system or 'of no known version'}"
    of_package = f"that of the package tzdata is {data.package or 'not there'}"
    own, other = "the system's", of_package
    if data.is_package:
        own, other = "that of the package tzdata", of_system
    detail = f"{data.in_use or 'an unknown version'} is in use, {own}; {other}"
    if newest <= data.in_use:
        return _check_local_clock(session, Finding("tz data", True, detail))
    detail += f"; schedules were reckoned with {newest}"
    advice = "pip install --upgrade tzdata, then queuectl worker restart"
    return Finding("tz data", False, detail, advice)


def _check_local_clock(session: Session, finding: Finding) -> Finding:
    """Look whether `date`, and so `--at`, goes by other rules than schedules do."""
    from queuectl.system.local_zone import first_difference

    difference = first_difference(session.reading().now())
    if difference is None:
        return finding
    name, instant = difference
    detail = f"{finding.detail}; 'date' and --at show another time than schedules in {name}"
    advice = "update the system's tz data: apt-get install tzdata"
    return Finding(finding.name, False, f"{detail}, on {instant:%Y-%m-%d} for one", advice)


def _check_hooks(session: Session) -> Finding:
    hooks = session.reading().hooks
    advice = "queuectl hook add --replace corrects them, hook show tells more"
    return _finding("hooks", hooks.faults(), f"{len(hooks.all())} in order", advice)


def _check_clock(session: Session) -> Finding:
    ahead = (session.reading().now() - datetime.now(UTC)).total_seconds()
    is_close = abs(ahead) < _CLOCK_SECONDS
    detail = f"{abs(ahead):.1f} s {'behind' if ahead > 0 else 'ahead of'} the store's"
    return Finding("clock", is_close, detail, "" if is_close else "set this host's clock")


def _check_pid_file(session: Session) -> Finding:
    from queuectl.worker.supervision import manager

    home = session.location().home
    advice = "remove it, or start a worker, which sets it aside"
    return _finding("pid file", manager.check_pid_file(home), str(home.pid_file), advice)


def _check_supervisors(session: Session) -> Finding:
    from queuectl.worker.supervision import manager

    pids = ", ".join(map(str, manager.unsupervised(session.location().home)))
    faults = [f"that of worker {pids} was killed, so it leaves after its job"] if pids else []
    return _finding("supervisors", faults, "none is missing", "queuectl worker start begins anew")


def _check_workers(session: Session) -> Finding:
    queue = session.reading()
    counts, workers = queue.counts(), len(queue.workers())
    waiting = counts.total - sum(counts.of(state) for state in SETTLED)
    ok = bool(workers) or not waiting
    detail = f"{workers} alive, {counted(waiting, 'job')} not settled"
    return Finding("workers", ok, detail, "" if ok else "queuectl worker start")


_CHECKS: dict[str, Callable[[Session], Finding]] = {
    "home": _check_home,
    "permissions": _check_permissions,
    "store": _check_store,
    "settings": _check_settings,
    "schedules": _check_schedules,
    "tz_data": _check_tz_data,
    "hooks": _check_hooks,
    "clock": _check_clock,
    "pid_file": _check_pid_file,
    "supervisors": _check_supervisors,
    "workers": _check_workers,
}
"""The checks, from the ground up, by the name under which an error in one is told."""

_QUICK_CHECKS = {
    "home": _check_home,
    "store": _check_store_quickly,
    "pid_file": _check_pid_file,
    "workers": _check_workers,
}
"""What a restart may mend, and no more than a few reads."""


def _refuse_unmakeable(path: Path) -> None:
    """Raise StoreUnavailable, as whoever makes it would, for a home that cannot be made."""
    above = next(each for each in path.parents if os.path.lexists(each))
    if not above.is_dir():
        why = errno.ENOTDIR
    elif os.access(above, os.W_OK | os.X_OK):
        return
    else:
        is_read_only = hasattr(os, "statvfs") and os.statvfs(above).f_flag & os.ST_RDONLY
        why = errno.EROFS if is_read_only else errno.EACCES
    raise cannot("make", path, OSError(why, os.strerror(why)))


def _refuse_stopped_holder(store_url: str) -> None:
    """Raise StoreLocked when a process that is stopped keeps everybody from writing."""
    if is_mongo(store_url):
        return
    from queuectl.system.lock_holder import holder_of, locked

    path = Path(sqlite_path(store_url))
    holder = holder_of(path)
    if holder is not None and holder.is_stopped:
        raise locked(path)


def _named(paths: list[Path]) -> str:
    """Return paths, the first of them where there are many."""
    more = f" and {len(paths) - _MOST_NAMED:,} more" if len(paths) > _MOST_NAMED else ""
    return shlex.join(map(str, paths[:_MOST_NAMED])) + more
