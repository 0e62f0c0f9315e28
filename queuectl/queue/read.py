"""The use cases that only read, the figures among them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING

from queuectl.domain import settings as tunables
from queuectl.domain.errors import (
    Ambiguous,
    CannotStart,
    NotFound,
    QueuectlError,
    StoreRefused,
    WaitTimedOut,
)
from queuectl.domain.field_checks import is_name
from queuectl.domain.job import SETTLED, WAITING, Job, State
from queuectl.domain.queue_limits import is_of_deliveries
from queuectl.domain.settings import Settings
from queuectl.stores.records import BATCH
from queuectl.system.home import Home
from queuectl.system.ids import PREFIX_LENGTH

if TYPE_CHECKING:
    from queuectl.domain.audit import AuditEntry
    from queuectl.domain.query import Counts, Filter, Page
    from queuectl.domain.queue_limits import QueueLimits
    from queuectl.domain.stats import Figures, Report
    from queuectl.domain.views import WaitContext
    from queuectl.domain.worker_record import LiveWorker
    from queuectl.queue.batches import BatchStatus
    from queuectl.queue.live_logs import RemoteRun
    from queuectl.queue.worker_logs import WorkerLogs
    from queuectl.stores.base import Store
    from queuectl.system.job_logs import JobLogs


_POLL_SECONDS = (0.01, 0.25)
_STATS_PERIOD = timedelta(hours=1)
_MOST_BATCHES = 20
_MOST_CHOICES = 200
ALL = "all"
"""What people type who mean every job."""


def resolve(store: Store, word: str, hint: str = "") -> str:
    """Return the id that a word means: itself, or a prefix of one made for the user.

    Raises NotFound, or Ambiguous when a prefix fits several.
    """
    if is_name(word):
        if store.get(word) is not None:
            return word
        fitting = store.generated_ids(word, 2) if len(word) >= PREFIX_LENGTH else []
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise Ambiguous(f"'{word}' fits several jobs: {', '.join(fitting)} …")
        if unmade_job(store, word) is not None:
            return word
    if word == ALL:
        hint = "every job is --all, where a command takes that"
    raise NotFound(f"no job '{word}'", hint or "queuectl list shows the jobs there are")


def unmade_job(store: Store, job_id: str) -> Job | None:
    """Return the job of a batch that has this id, and is made only while that runs."""
    if not job_id.rpartition("-")[2].isdecimal() or not store.has_unmade():
        return None
    from queuectl.queue.lazy import LazyJobs

    return LazyJobs(store).get(job_id)


def find_parent(store: Store, parent: str) -> Job | None:
    """Return what others wait for by an id: a job, or a batch in the form of one, or None."""
    from queuectl.domain.dependencies import batch_of_parent

    name = batch_of_parent(parent)
    if name is None:
        return store.get(parent)
    from queuectl.domain.batch import as_parent

    record = store.batches.get(name)
    return as_parent(record) if record else None


class Reader:
    """The part of `Queue` that reads."""

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self.home = home
        self.missing = ""
        """The path or address where there is nothing, if this stands for a store; else empty."""
        self.log_trouble: QueuectlError | None = None
        """What kept the log store from giving what `logs_of` asked for last; None: nothing did."""
        self.mirror: Callable[[Job, int], JobLogs | None] | None = None
        """What returns where the output of a run is brought to that goes on elsewhere, if it is."""
        self.at_terminal = False
        """Whether `@last`, `@-2` and so on stand for the jobs of this process's terminal."""
        self.choose: Callable[[str, list[str]], str] | None = None
        """Who chooses, of several jobs whose ids begin with a word, the one that is meant."""

    @property
    def store(self) -> Store:
        """The store itself, for what runs jobs."""
        return self._store

    @property
    def address(self) -> str:
        """Where the store is, without any password."""
        return self._store.address

    @property
    def missing_hint(self) -> str:
        """What to say of anything that is not found where nothing is; else empty."""
        return f"{self.missing} does not exist" if self.missing else ""

    def now(self) -> datetime:
        """Return the store's time."""
        return self._store.now()

    def usual_memory(self, command: str | Sequence[str]) -> int | None:
        """Return the most bytes that the last runs of a command used; None where none is known.

        A command is a line for the shell, or a sequence of arguments.
        """
        from queuectl.queue.usage import Usage

        return Usage(self._store).memory(command if isinstance(command, str) else tuple(command))

    def audit(
        self, since: datetime | None = None, who: str = "", limit: int = 100, skip: int = 0
    ) -> list[AuditEntry]:
        """Return at most `limit` acts of people, the latest first, without the first `skip`.

        Those at `since` or later, of whoever has `who` in the name.
        """
        return self._store.audit.find(since, who, limit, skip)

    def settings(self) -> Settings:
        """Return the settings in force."""
        return tunables.from_stored(self._store.settings.all())

    def resolve(self, word: str) -> str:
        """Return the id that a word means: itself, or a prefix of one made for the user.

        Raises NotFound, or Ambiguous when a prefix fits several and nobody can choose.
        """
        if self.at_terminal and word.startswith("@"):
            word = self._of_terminal(word)
        try:
            return resolve(self._store, word, self.missing_hint)
        except Ambiguous:
            if self.choose is None:
                raise
        return self.choose(word, self._store.generated_ids(word, _MOST_CHOICES))

    def jobs_of_terminal(self) -> list[str]:
        """Return the ids of what was enqueued or retried at this terminal, the latest last.

        Some may have been deleted.
        """
        from queuectl.system.terminal_jobs import recall

        return recall(self.home, self.address)

    def _of_terminal(self, word: str) -> str:
        """Return the id that `@last` or `@-2` means. Raises NotFound."""
        back = "1" if word == "@last" else word.removeprefix("@-")
        if not back.isdecimal() or int(back) < 1:
            raise NotFound(
                f"'{word}' is no job: @last is the latest of this terminal, @-2 the one before it"
            )
        ids = self.jobs_of_terminal()
        if int(back) > len(ids):
            what = f"only {len(ids):,} jobs were" if ids else "no job was"
            raise NotFound(
                f"no job '{word}': {what} enqueued or retried at this terminal",
                "queuectl list shows the jobs there are",
            )
        return ids[-int(back)]

    def get(self, word: str) -> Job:
        """Return one job with its output and history; `word` is an id or a prefix."""
        job_id = self.resolve(word)
        job = self._store.get(job_id) or unmade_job(self._store, job_id)
        if job is None:
            raise NotFound(f"no job '{word}'")
        return job

    def find(self, chosen: Filter | None = None, page: Page | None = None) -> Iterator[Job]:
        """Yield jobs in order of arrival (or as the page says), dead ones included.

        Without deliveries of hooks, unless the filter asks for them.
        """
        from queuectl.domain.query import Filter, Page

        chosen, page = (chosen or Filter()).of_jobs(), page or Page()
        found = self._store.find(chosen, page)
        if chosen.deliveries or not self._store.has_unmade():
            return found
        from queuectl.queue.lazy import page_of  # of batches that are made while they run

        return page_of(self._store, found, chosen, page)

    def counts(self, *, deliveries: bool = False) -> Counts:
        """Return how many jobs there are in each state of each queue, or how many `deliveries`."""
        return self._store.counts().only(deliveries=deliveries)

    def count(self, chosen: Filter) -> int:
        """Return how many jobs a filter selects; costly where it is more than states and queue."""
        by_state = self._counts_of_batch(chosen)
        if by_state is not None:
            return sum(by_state.values())
        counted = self._store.counts().matching(chosen.of_jobs())
        return sum(1 for _ in self.find(chosen)) if counted is None else counted

    def _counts_of_batch(self, chosen: Filter) -> dict[State, int] | None:
        """Return how many jobs a filter of a batch and states alone selects, else None."""
        from queuectl.domain.frozen import replace
        from queuectl.domain.query import Filter

        if chosen.batch is None or replace(chosen, states=frozenset(), batch=None) != Filter():
            return None
        from queuectl.domain.batch import with_rest

        batches = self._store.batches
        counts = with_rest(batches.get(chosen.batch), batches.counts(chosen.batch))
        return {
            state: number
            for state, number in counts.items()
            if not chosen.states or state in chosen.states
        }

    def count_by_state(self, chosen: Filter) -> dict[State, int]:
        """Return how many jobs a filter selects in each state; costly where `count` is."""
        from collections import Counter

        from queuectl.domain.frozen import replace

        by_state = self._counts_of_batch(chosen)
        if by_state is not None:
            return by_state
        chosen = chosen.of_jobs()
        counted = self._store.counts()
        if counted.matching(chosen) is None:
            return Counter(job.state for job in self.find(chosen))
        states = chosen.states or State
        return {
            state: counted.matching(replace(chosen, states=frozenset((state,)))) or 0
            for state in states
        }

    def has_had_jobs(self, queue: str) -> bool:
        """Return whether a queue has jobs or ever had one, which may be deleted since."""
        if queue in self.counts().by_queue:
            return True
        return queue in self.totals()

    def batch(self, name: str) -> BatchStatus:
        """Return how a batch stands. Raises NotFound."""
        from queuectl.queue.batches import status

        return status(self._store, name, self.missing_hint)

    def require_batch(self, name: str) -> None:
        """Raise NotFound where there is no batch of a name, with the one that may be meant."""
        from queuectl.queue.batches import require

        require(self._store, name, self.missing_hint)

    def batches(self, *, newest_first: bool = False) -> Iterator[BatchStatus]:
        """Yield how each batch stands, the oldest first unless said."""
        from queuectl.queue.batches import all_of

        return all_of(self._store, newest_first=newest_first)

    def workers(self) -> list[LiveWorker]:
        """Return the workers that are alive, the earliest first, each with its jobs."""
        from queuectl.domain.query import Filter
        from queuectl.domain.worker_record import LiveWorker
        from queuectl.system.processes import is_live

        now, running = self._store.now(), Filter(frozenset({State.PROCESSING}))
        held: dict[str | None, list[Job]] = {}
        for job in self.find(running):
            held.setdefault(job.worker, []).append(job)
        for jobs in held.values():
            jobs.sort(key=lambda job: job.started_at or now)
        return [
            LiveWorker(record, tuple(job.id for job in held.get(record.id, ())))
            for record in self._store.workers.all()
            if is_live(record, now)
        ]

    def wait(self, ids: Iterable[str], timeout: float | None = None) -> Iterator[Job]:
        """Yield each job once it is completed, dead or cancelled, in the order given.

        Raises NotFound when one is deleted, CannotStart when one waits for a job that has ended
        otherwise, WaitTimedOut after `timeout` seconds.
        """
        from queuectl.system.polling import ROOTS_SECONDS, Pace

        roots = Pace(ROOTS_SECONDS)
        deadline = None if timeout is None else time.monotonic() + timeout
        shortest, longest = _POLL_SECONDS
        for job_id in ids:
            pause = shortest
            while (job := self.get(job_id)).state not in SETTLED:
                if roots.is_due and job.blocked_by:
                    with roots.look():
                        stuck = self.cannot_start()(job)
                    if stuck:
                        raise stuck
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise WaitTimedOut(f"job '{job_id}' is still {job.state}")
                time.sleep(pause if left is None else min(pause, left))
                pause = min(pause * 1.5, longest)
            yield job

    def unsettled(self, queue: str | None = None) -> tuple[list[str], list[str]]:
        """Return what is not completed, dead or cancelled yet: the ids of jobs, and batches.

        The batches are those with jobs that are not made yet; their jobs are not among the ids.
        """
        from queuectl.domain.query import Filter, Page

        batches = [
            record.name
            for record in (self._store.batches.unmade() if self._store.has_unmade() else ())
            if record.waits and queue in (None, record.queue)
        ]
        jobs = self._store.find(Filter(frozenset(State) - SETTLED, queue).of_jobs(), Page())
        return [job.id for job in jobs if job.spec.batch not in batches], batches

    def queue_limits(self) -> QueueLimits:
        """Return the queues about which something was decided, with the slots in use."""
        found = self._store.queue_limits().items()
        return {name: each for name, each in found if not is_of_deliveries(name)}

    def logs_of(self, job: Job, run: int) -> JobLogs:
        """Return where the files of a run are: on this host, or brought here from the log store.

        Of a run that goes on elsewhere, `mirror` may know. Where neither has any it is this host;
        `log_trouble` then says why the log store gave none.
        """
        from queuectl.queue.run_logs import logs_of
        from queuectl.system.job_logs import JobLogs

        self.log_trouble = None
        if self.mirror is not None and (logs := self.mirror(job, run)) is not None:
            return logs
        try:
            return logs_of(self._store, self.home, self.settings(), job, run)
        except QueuectlError as fault:
            self.log_trouble = fault
            return JobLogs(self.home)

    def remote_run(self, job: Job, run: int) -> RemoteRun | None:
        """Return what brings the output of a run here that goes on elsewhere; None: it is here."""
        if self._store.log_wishes is None:
            return None
        from queuectl.queue.live_logs import remote_run

        return remote_run(self._store, self.home, job, run)

    def worker_logs(self, worker_id: str | None = None, host: str | None = None) -> WorkerLogs:
        """Return the logs of a worker (its id or pid), or of those of a host, in other homes."""
        from queuectl.queue.worker_logs import WorkerLogs

        return WorkerLogs(self._store, self.settings(), worker_id, host)

    def end_of_worker_log(self, worker_id: str) -> bytes:
        """Return the last lines of the log of a worker of any host; nothing where there is none.

        It may take seconds, where that is asked. Raises StoreError, and what the log store raises.
        """
        from queuectl.queue.worker_logs import end_of_log

        return end_of_log(self._store, self.home, self.settings(), worker_id)

    def remove_kept_logs(self, job_ids: Collection[str]) -> None:
        """Remove what the log store has of jobs that are gone; `log_trouble` tells of a failure."""
        if job_ids and (log_store := self.settings().log_store):
            from queuectl.queue.run_logs import remove_kept

            self.log_trouble = remove_kept(self._store, log_store, job_ids)

    def wait_context(self) -> WaitContext:
        """Return what, beside a job itself, decides why it waits; it asks the store when needed."""
        from queuectl.domain.dependencies import Obstacles
        from queuectl.domain.views import WaitContext, unserved_by
        from queuectl.system.processes import is_live

        find = cache(partial(find_parent, self._store))
        obstacles = Obstacles(find)

        def state_of(job_id: str) -> State | None:
            try:
                job = find(job_id)
            except StoreRefused:
                return State.PENDING  # as far as anybody can tell from a damaged record
            return job.state if job else None

        def root_of(job_id: str) -> str | None:
            try:
                job = find(job_id)
            except StoreRefused:
                return None
            root = obstacles.before(job) if job else None
            return root.reason if root else None

        @cache
        def unserved() -> Callable[[str], str | None]:
            now = self._store.now()
            return unserved_by(
                record for record in self._store.workers.all() if is_live(record, now)
            )

        @cache
        def short_of() -> Callable[[Job], str | None]:
            from queuectl.queue.resources import waiting_reason  # of few jobs only

            return waiting_reason(self._store)

        return WaitContext(
            self._store.queue_limits(),
            state_of,
            lambda queue: unserved()(queue),
            cache(self._store.first_ready),
            root_of,
            lambda job: short_of()(job),
        )

    def cannot_start(self) -> Callable[[Job], CannotStart | None]:
        """Return what tells why a waiting job cannot start by itself, as things stand now.

        It waits, by way of others perhaps, for one that has ended otherwise or was deleted. A
        retry of that one may still revive it.
        """
        from queuectl.domain.dependencies import Obstacles

        obstacles = Obstacles(cache(partial(find_parent, self._store)))

        def why(job: Job) -> CannotStart | None:
            if not job.blocked_by or job.state not in WAITING:
                return None
            root = obstacles.before(job)
            if root is None:
                return None
            again = self._store.get(job.id)  # it may have been released since it was read
            if again is None or again.rev != job.rev:
                return None
            return CannotStart(
                f"job '{job.id}' cannot start: {root}", hint=f"queuectl {root.remedy}"
            )

        return why

    def stats(
        self,
        queue: str | None = None,
        since: datetime | None = None,
        *,
        deliveries: bool = False,
    ) -> Report:
        """Return what has happened since an instant (an hour ago), in all queues or in one.

        With `deliveries` it is about those of hooks, and without about all other jobs.
        It begins with the minute of that instant, and not before the time for which the figures
        of minutes are kept (the setting `retention_stats`).
        """
        from queuectl.domain.stats import earliest, report
        from queuectl.queue.events import process_all_events

        process_all_events(self._store)
        now = self._store.now()
        begun = since or now - _STATS_PERIOD
        minutes = self._store.stats.figures(min(begun - timedelta(minutes=1), earliest(now)))
        kept = {
            place: figures
            for place, figures in minutes.items()
            if is_of_deliveries(place[0]) is deliveries
        }
        return report(now, begun, kept, self._totals(deliveries=deliveries), queue)

    def figures(self, since: datetime, queue: str | None = None) -> dict[datetime, Figures]:
        """Return what has happened in each minute since an instant, in all queues or in one.

        Without deliveries of hooks; minutes in which nothing did are left out.
        """
        from queuectl.domain.stats import Figures
        from queuectl.queue.events import process_all_events

        process_all_events(self._store)
        found: dict[datetime, Figures] = {}
        for (name, minute), figures in self._store.stats.figures(since).items():
            if name == queue or (queue is None and not is_of_deliveries(name)):
                found[minute] = found.get(minute, Figures()) + figures
        return found

    def totals(self) -> dict[str, Figures]:
        """Return the figures of each queue since the store was made. They never fall."""
        from queuectl.queue.events import process_all_events

        process_all_events(self._store)
        return self._totals(deliveries=False)

    def _totals(self, *, deliveries: bool) -> dict[str, Figures]:
        found = self._store.stats.totals().items()
        return {name: each for name, each in found if is_of_deliveries(name) is deliveries}

    def oldest_due(self) -> dict[str, datetime]:
        """Return, for each queue with jobs that are ready, since when one of them has been due."""
        for _ in range(_MOST_BATCHES):
            if self._store.make_due_claimable() < BATCH:
                break
        found = self._store.oldest_due().items()
        return {name: since for name, since in found if not is_of_deliveries(name)}
