"""Stopping this home's workers, from any terminal.

Which ones there are is known by `workers.pid` and by the store's registry of workers. Both are
asked, as either may be gone or out of reach.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from itertools import chain

from queuectl.domain.errors import NotFound, QueuectlError, StoreUnavailable
from queuectl.domain.frozen import frozen
from queuectl.stores import open_existing
from queuectl.system import pidfile
from queuectl.system.home import Location
from queuectl.system.pidfile import ProcessEntry
from queuectl.system.processes import is_alive, is_stopped, send_signal
from queuectl.worker.signals import LEAVE, LEAVE_NOW

_LOOK_SECONDS = 0.02

OnFault = Callable[[QueuectlError], None]


@frozen
class StopReport:
    """The pids of the workers that have stopped, and of those that were still there."""

    stopped: list[int]
    left: list[int]


def stop(
    place: Location,
    *,
    pids: Collection[int] | None = None,
    now: bool = False,
    timeout: float | None = None,
    on_stopped: Callable[[int], None] = lambda _pid: None,
    on_waiting: Callable[[list[int]], None] = lambda _pids: None,
    on_fault: OnFault = lambda _fault: None,
) -> StopReport:
    """Stop this home's workers (all, or those pids) and wait for them, at most `timeout` s.

    Gracefully: jobs in hand finish, unless `now`: then they are stopped and given back. To ask
    again changes nothing, but for `now`. `on_stopped` is called for each pid that has gone,
    `on_waiting` every few milliseconds with the pids that have not, `on_fault` when only one of
    the file and the registry could be asked. Raises what hindered both, and QueuectlError when a
    worker is another user's.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    targets: list[ProcessEntry] = []
    for entries in _sources(place, on_fault):  # those of the file need not wait for the store
        known = {entry.process for entry in targets}
        fresh = [
            entry
            for entry in entries
            if entry.process not in known
            and (pids is None or (entry.role == pidfile.WORKER and entry.process.pid in pids))
        ]
        _ask_to_leave(fresh, now=now)
        targets += fresh
    workers = {entry.process.pid for entry in targets if entry.role == pidfile.WORKER}
    waiting, stopped = targets, list[int]()
    while waiting and (deadline is None or time.monotonic() < deadline):
        for entry in [entry for entry in waiting if not is_alive(entry.process)]:
            waiting.remove(entry)
            if entry.role == pidfile.WORKER:
                stopped.append(entry.process.pid)
                on_stopped(entry.process.pid)
        if waiting:
            _let_go_on([entry for entry in waiting if is_stopped(entry.process.pid)])
            on_waiting([entry.process.pid for entry in waiting if entry.process.pid in workers])
            time.sleep(_LOOK_SECONDS)
    left = [entry.process.pid for entry in waiting if entry.process.pid in workers]
    if stopped and not left:
        with contextlib.suppress(StoreUnavailable):
            pidfile.remove(place.home, stopped)
    return StopReport(stopped, left)


def find_pids(place: Location, words: Collection[str]) -> list[int]:
    """Return the pids of those of this home's workers that pids or ids name.

    Raises NotFound for a word that names none.
    """
    pids: dict[str, int] = {}
    for entry in chain.from_iterable(_sources(place, lambda _fault: None)):
        if entry.role == pidfile.WORKER:
            pids |= {str(entry.process.pid): entry.process.pid, entry.worker_id: entry.process.pid}
    for word in words:
        if word not in pids:
            raise NotFound(
                f"no worker '{word}' in this home", hint="queuectl worker list shows them"
            )
    return [pids[word] for word in words]


def _sources(place: Location, on_fault: OnFault) -> Iterator[list[ProcessEntry]]:
    """Yield this home's living processes: those of the file, then those of the registry."""
    faults: list[QueuectlError] = []
    looks: tuple[Callable[[], list[ProcessEntry]], ...] = (
        lambda: pidfile.living(place.home),
        lambda: _registered(place),
    )
    for look in looks:
        try:
            found = look()
        except QueuectlError as fault:
            faults.append(fault)
        else:
            yield found
    if len(faults) > 1:
        raise faults[0]
    for each in faults:
        on_fault(each)


def _registered(place: Location) -> list[ProcessEntry]:
    """Return this home's living workers as the store knows them. Raises as `open_store` does."""
    store = open_existing(place.store_url)
    if store is None:
        return []
    with contextlib.closing(store):
        return [
            ProcessEntry(pidfile.WORKER, record.process, record.id)
            for record in store.workers.all()
            if is_alive(record.process)
            and os.path.realpath(record.home) == os.path.realpath(place.home.root)
        ]


def _ask_to_leave(entries: list[ProcessEntry], *, now: bool) -> None:
    """Signal workers and supervisors; a worker is told by its supervisor if that is among them.

    Raises QueuectlError when some belong to another user; the others have been told.
    """
    supervisors = {entry.process.pid for entry in entries if entry.role == pidfile.SUPERVISOR}
    out_of_reach = []
    for entry in entries:
        if entry.supervisor not in supervisors:
            try:
                send_signal(entry.process, LEAVE_NOW if now else LEAVE)
            except PermissionError:
                out_of_reach.append(str(entry.process.pid))
    if out_of_reach:
        raise QueuectlError(
            f"process {', '.join(out_of_reach)} is another user's and cannot be stopped from here",
            hint="run queuectl worker stop as that user",
        )
    _let_go_on(entries)


def _let_go_on(entries: list[ProcessEntry]) -> None:
    """Wake processes that stand still (SIGSTOP), so that they can act on what they were told."""
    for entry in entries:
        with contextlib.suppress(PermissionError):
            send_signal(entry.process, signal.SIGCONT)
