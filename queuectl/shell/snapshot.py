"""What the store holds, followed in the background: a snapshot that is swapped in whole.

Whoever draws the screen or completes a word reads the snapshot and never waits for the store.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path

from queuectl.domain.errors import QueuectlError, StoreUnavailable
from queuectl.domain.frozen import frozen
from queuectl.domain.job import SETTLED, Job, State
from queuectl.domain.query import Counts, Filter, Page
from queuectl.domain.settings import Value, as_dict
from queuectl.presentation.catalog import Known
from queuectl.presentation.store_catalog import (
    MOST_JOBS,
    job_help,
    live_workers,
    named_hooks,
    named_queues,
    named_schedules,
    open_existing,
)
from queuectl.queue import Queue
from queuectl.shell.followed_jobs import Followed
from queuectl.system.home import Location
from queuectl.system.store_url import is_mongo, sqlite_path

REFRESH_SECONDS = 1.0
LOOKUP_SECONDS = 0.3
"""How long a completion that is made beside the keyboard waits for an answer of the store."""

_JOBS_SECONDS = 2.0
"""The jobs are read no more often than this, but after a command of this shell."""

_JOBS_AFTER_SECONDS = 0.3
"""The first look is for the start-up screen; the jobs are read when that stands."""

_KEPT = ((State.PROCESSING, 200), (None, 1000), (State.DEAD, 300))
"""Which jobs are kept, by state and at most how many, in the order in which they are offered."""


@frozen
class JobLine:
    """What completion needs of a job."""

    id: str
    state: State
    help: str


@frozen
class Snapshot:
    """What was in the store a moment ago; `trouble` says why it cannot be read now."""

    address: str = ""
    is_known: bool = False
    trouble: str = ""
    counts: Counts = field(default_factory=Counts)
    jobs: tuple[JobLine, ...] = ()
    queues: tuple[Known, ...] = ()
    paused: tuple[str, ...] = ()
    schedules: tuple[Known, ...] = ()
    hooks: tuple[Known, ...] = ()
    workers: tuple[Known, ...] = ()
    settings: Mapping[str, Value] = field(default_factory=dict)

    @property
    def is_partial(self) -> bool:
        """Whether the store has jobs that are not in here."""
        return self.counts.total > len(self.jobs)


class Live:
    """Keeps a snapshot of a store up to date with a thread and a connection of its own.

    `on_change` is called in that thread when there is a new one; `followed` is told of jobs
    that have ended.
    """

    def __init__(self, place: Location, followed: Followed) -> None:
        self.snapshot = Snapshot(address=_address(place))
        self._location = place
        self._followed = followed
        self.on_change: Callable[[], None] = lambda: None
        self._queue: Queue | None = None
        self._file: tuple[int, int] | None = None
        self._jobs_read = 0.0
        self._jobs_counts: Counts | None = None
        self._is_stale = False
        self._next_look = 0.0
        self._wake = threading.Event()
        self._first = threading.Event()
        self._is_over = False
        self._asked = ""
        self._answer: tuple[str, tuple[JobLine, ...]] = ("", ())
        self._answered = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)

    def start(self) -> None:
        """Begin to follow the store."""
        self._thread.start()

    def stop(self) -> None:
        """End it; a store that does not answer is not waited for."""
        self._is_over = True
        self._wake.set()
        self._thread.join(REFRESH_SECONDS)

    def wait_for_first(self, seconds: float) -> Snapshot:
        """Return the first snapshot, or what there is after some seconds."""
        self._first.wait(seconds)
        return self.snapshot

    def refresh(self) -> None:
        """Look at once: something was changed from here."""
        self._is_stale = True
        self._next_look = 0.0
        self._wake.set()

    def lookup(self, prefix: str) -> tuple[JobLine, ...]:
        """Return jobs whose id begins with `prefix`, asking the store; not for the key path."""
        with self._answered:
            self._asked = prefix
            self._wake.set()
            self._answered.wait_for(lambda: self._answer[0] == prefix, LOOKUP_SECONDS)
            found, lines = self._answer
        return lines if found == prefix else ()

    # in the thread

    def _run(self) -> None:
        while not self._is_over:
            if self._asked:
                self._safely(self._look_up)
            if time.monotonic() >= self._next_look:
                self._look_and_plan()
            self._wake.wait(max(0.0, self._next_look - time.monotonic()))
            self._wake.clear()
        self._close()

    def _look_and_plan(self) -> None:
        """Look, and decide when to look again."""
        began = time.monotonic()
        self._next_look = began + REFRESH_SECONDS  # `refresh` may bring it forward meanwhile
        self._safely(self._look)
        took = time.monotonic() - began
        if not self._first.is_set():
            self._next_look = began + _JOBS_AFTER_SECONDS
            self._first.set()
        elif self._next_look and self.snapshot.trouble:
            # To wait for an answer in vain is no work for a store, which may be back at any moment.
            self._next_look = began + took + REFRESH_SECONDS
        elif self._next_look and 10 * took > REFRESH_SECONDS:
            self._next_look = began + 10 * took  # one that is slow to answer is asked less often

    def _safely(self, act: Callable[[Queue | None], Snapshot]) -> None:
        """Do something with the store, and swap in the snapshot that comes of it."""
        try:
            new = act(self._open())
        except QueuectlError as fault:
            new = self._without_store(str(fault))
        except Exception as fault:  # the shell must outlive whatever a store comes up with
            new = self._without_store(f"unexpected {type(fault).__name__}: {fault}")
        if new != self.snapshot:
            self.snapshot = new
            self.on_change()

    def _without_store(self, why: str) -> Snapshot:
        self._close()
        return replace(self.snapshot, is_known=True, trouble=why, workers=())

    def _close(self) -> None:
        if self._queue is not None:
            self._queue.close()
            self._queue = None

    def _look(self, queue: Queue | None) -> Snapshot:
        if queue is None:
            return Snapshot(address=_address(self._location), is_known=True)
        # Taken before anything is read, so that a change that comes meanwhile is seen next time.
        is_stale, self._is_stale = self._is_stale, False
        counts, queue_limits, jobs = queue.counts(), queue.queue_limits(), self.snapshot.jobs
        self._report(queue)
        is_moving = counts != self._jobs_counts or counts.of(State.PROCESSING) > 0
        is_due = time.monotonic() - self._jobs_read > _JOBS_SECONDS
        if (is_stale or (is_moving and is_due)) and self._first.is_set():
            jobs = _relevant(queue)
            self._jobs_read, self._jobs_counts = time.monotonic(), counts
        return Snapshot(
            address=_from_home(queue.address),
            is_known=True,
            counts=counts,
            jobs=jobs,
            queues=tuple(named_queues(counts, queue_limits)),
            paused=tuple(name for name, limit in queue_limits.items() if limit.paused),
            schedules=tuple(named_schedules(queue)),
            hooks=tuple(named_hooks(queue)),
            workers=tuple(live_workers(queue)),
            settings=as_dict(queue.settings()),
        )

    def _open(self) -> Queue | None:
        """Return the open queue; None while there is no store. A replaced file is opened anew."""
        file = None if is_mongo(self._location.store_url) else self._identity()
        if self._queue is not None and file != self._file:
            self._close()
        if self._queue is None:
            self._queue, self._jobs_counts = open_existing(self._location), None
            if self._queue is None and self._file is not None:
                raise StoreUnavailable(f"{self.snapshot.address} is gone")
            self._file = file
        return self._queue

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = sqlite_path(self._location.store_url).stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _look_up(self, queue: Queue | None) -> Snapshot:
        prefix, self._asked = self._asked, ""
        chosen, page = Filter(id_prefix=prefix), Page(limit=MOST_JOBS, newest_first=True)
        lines = tuple(_line(job) for job in queue.find(chosen, page)) if queue else ()
        with self._answered:
            self._answer = (prefix, lines)
            self._answered.notify_all()
        return self.snapshot

    def _report(self, queue: Queue) -> None:
        """Find out which of the followed jobs have ended, and tell of them."""
        ended = []
        for job_id in self._followed.some():
            job = queue.store.get(job_id)
            if job is None:
                self._followed.forget(job_id)
            elif job.state in SETTLED and self._followed.forget(job_id):
                ended.append(job)
        if ended:
            self._followed.tell(ended)


def _address(place: Location) -> str:
    """Return where a store is that has not been opened, without any password."""
    url = place.store_url
    return "MongoDB" if is_mongo(url) else _from_home(str(sqlite_path(url)))


def _from_home(path: str) -> str:
    """Return a path as people write it, from `~` where it is below it."""
    try:
        home = str(Path("~").expanduser())
    except RuntimeError:  # neither HOME nor an entry in passwd says where it is
        return path
    return "~" + path[len(home) :] if path.startswith(f"{home}/") else path


def _relevant(queue: Queue) -> tuple[JobLine, ...]:
    found: dict[str, JobLine] = {}
    for state, limit in _KEPT:
        chosen = Filter(states=frozenset({state}) if state else frozenset())
        for job in queue.find(chosen, Page(limit=limit, newest_first=True)):
            found.setdefault(job.id, _line(job))
    return tuple(found.values())


def _line(job: Job) -> JobLine:
    return JobLine(job.id, job.state, job_help(job))
