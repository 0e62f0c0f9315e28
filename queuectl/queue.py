"""Every use case of queuectl, one short method each.

The command line, the shell and other people's programs call this and nothing below it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING

from queuectl.domain import settings as tunables
from queuectl.domain import transitions
from queuectl.domain.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    QueuectlError,
    WaitTimedOut,
)
from queuectl.domain.form import Form
from queuectl.domain.job import SETTLED, Job, Spec, State
from queuectl.domain.lanes import MAX_LIMIT, OPEN
from queuectl.domain.request import Request, check_name, is_name
from queuectl.domain.settings import Settings, Value
from queuectl.domain.values import frozen
from queuectl.home import Home, Place, find_place
from queuectl.ids import PREFIX_LENGTH, new_job_ids
from queuectl.keeping import Keeping
from queuectl.many import ManyChanges
from queuectl.parents import checked, has_parents, refuse_circle
from queuectl.statistics import Statistics
from queuectl.stores import open_store
from queuectl.stores.base import Store
from queuectl.stores.moved import require_in_use

if TYPE_CHECKING:
    from queuectl.domain.filters import Counts, Filter, Page
    from queuectl.domain.lanes import Lanes
    from queuectl.domain.view import Surroundings
    from queuectl.domain.worker import LiveWorker, StopRequest
    from queuectl.hooks import Hooks
    from queuectl.schedules import Schedules

_POLL_SECONDS = (0.01, 0.25)


@frozen
class Enqueued:
    """What became of one request: `job_id` stands in the store unless `error` says otherwise.

    `held_by_key` says that it is another job, which has the request's unique key.
    """

    job_id: str
    replaced: bool = False
    held_by_key: bool = False
    error: QueuectlError | None = None


class Queue(ManyChanges, Keeping, Statistics):
    """An open store with its home. A context manager; use it from one thread.

    Every method may raise `StoreUnavailable` or `StoreRefused`. What changes a job that is in
    the store is in `Changes` and `ManyChanges`.
    """

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self.home = home

    @classmethod
    def open(cls, place: Place) -> Queue:
        """Open the store of a place, making home and store on first use."""
        place.home.make()
        return cls(open_store(place.store_url), place.home)

    def __enter__(self) -> Queue:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    @property
    def address(self) -> str:
        """Where the store is, without any password."""
        return self._store.address

    def now(self) -> datetime:
        """Return the store's time."""
        return self._store.now()

    # enqueueing

    def request(
        self,
        fields: Mapping[str, object],
        settings: Settings | None = None,
        *,
        replace: bool = False,
        form: Form | None = None,
    ) -> Request:
        """Return the request that a mapping of fields means. Raises InvalidInput.

        `replace` lets it replace a job of its id. When there are many, pass their `form`.
        """
        fields, environment = self.with_environment(fields)
        request = (form or self.form(settings, replace=replace)).fill(fields)
        if "@" in request.spec.id:
            from queuectl.domain.schedule import refuse_run_id

            refuse_run_id(request.spec.id)
        if request.spec.id.startswith("hook:"):
            from queuectl.domain.hook import refuse_delivery_id

            refuse_delivery_id(request.spec.id)
        if environment is not None:
            spec = dataclasses.replace(request.spec, environment=environment, clean_env=False)
            request = dataclasses.replace(request, spec=spec)
        return request

    def form(
        self, settings: Settings | None = None, *, cwd: str | None = None, replace: bool = False
    ) -> Form:
        """Return what makes a request of each of many mappings, with the settings of now.

        Where a mapping names no working directory its job runs in `cwd`.
        """
        new_ids = new_job_ids()
        return Form(
            settings or self.settings(),
            self._parse_time,
            lambda: next(new_ids),
            cwd=cwd,
            replace=replace,
        )

    def _parse_time(self, kind: str, raw: object) -> datetime:
        from queuectl.when import parse_time  # only few jobs name a time

        return parse_time(kind, raw, self.now())

    def enqueue(self, requests: Sequence[Request], *, atomic: bool = False) -> list[Enqueued]:
        """Store new jobs; return what became of each, in the order given.

        An id that exists is a `Conflict` in that request's result; with `atomic` it is raised
        and nothing is stored.
        """
        require_in_use(self._store)
        if atomic and any(request.replace for request in requests):
            raise InvalidInput("an atomic batch cannot replace jobs")
        requests, faults = self._checked(requests)
        if atomic and faults:
            raise next(iter(faults.values()))
        first = {request.spec.id: request for request in reversed(requests)}
        if atomic and len(first) < len(requests):
            twice = next(each.spec.id for each in requests if each is not first[each.spec.id])
            raise Conflict(f"nothing was enqueued: the id '{twice}' is there twice")
        now = self._store.now()
        jobs = [
            transitions.enqueue(request.spec, request.run_at, now)
            for request in requests
            if request is first[request.spec.id] and request.spec.id not in faults
        ]
        refused = self._store.add(jobs, atomic=atomic)
        if refused and atomic:
            taken = first[sorted(refused)[0]].spec
            raise Conflict(f"nothing was enqueued: {self._why_taken(taken)}")
        if not refused and len(jobs) == len(requests):
            return [Enqueued(job.spec.id) for job in jobs]
        results, seen = [], set[str]()
        for request in requests:
            job_id = request.spec.id
            is_taken = job_id in refused or job_id in seen
            seen.add(job_id)
            if job_id in faults:
                results.append(Enqueued(job_id, error=faults[job_id]))
            else:
                results.append(self._refused(request) if is_taken else Enqueued(job_id))
        return results

    def _checked(
        self, requests: Sequence[Request]
    ) -> tuple[Sequence[Request], Mapping[str, QueuectlError]]:
        """Look at what only some jobs ask for: parents, and more slots than one."""
        faults: dict[str, QueuectlError] = {}
        specs = [request.spec for request in requests]
        if any(map(has_parents, specs)):
            requests, faults = checked(requests, self.resolve, self._store.get)
        if any(spec.slots > 1 for spec in specs):
            lanes = self._store.lanes()
            for request in requests:
                try:
                    lanes.get(request.spec.queue, OPEN).require(request.spec)
                except InvalidInput as fault:
                    faults.setdefault(request.spec.id, fault)
        return requests, faults

    def _refused(self, request: Request) -> Enqueued:
        """Return what becomes of a request whose id, or whose unique key, a job has already."""
        spec = request.spec
        holder = self._store.holder(spec.unique) if spec.unique else None
        if holder is not None and not (request.replace and holder == spec.id):
            return Enqueued(holder, held_by_key=True)
        if request.replace:
            return self._replace(request)
        if spec.unique and self._store.get(spec.id) is None:  # the key has become free since
            return self.enqueue([request])[0]
        return Enqueued(spec.id, error=Conflict(self._why_taken(spec)))

    def _why_taken(self, spec: Spec) -> str:
        if spec.unique and self._store.get(spec.id) is None:
            return f"another job has the unique key '{spec.unique}'"
        return f"job '{spec.id}' exists already (--replace replaces it)"

    def _replace(self, request: Request) -> Enqueued:
        try:
            if has_parents(request.spec):
                refuse_circle(request.spec, self._store.get)
            self._change(
                request.spec.id,
                lambda job, now: transitions.replace_job(job, request.spec, request.run_at, now),
            )
        except QueuectlError as refusal:
            return Enqueued(request.spec.id, error=refusal)
        return Enqueued(request.spec.id, replaced=True)

    # reading

    def resolve(self, word: str) -> str:
        """Return the id that a word means: itself, or a prefix of one made for the user.

        Raises NotFound, or Conflict when a prefix fits several.
        """
        if is_name(word) and self._store.get(word) is not None:
            return word
        if is_name(word) and len(word) >= PREFIX_LENGTH:
            fitting = self._store.generated_ids(word, 2)
            if len(fitting) == 1:
                return fitting[0]
            if fitting:
                raise Conflict(f"'{word}' fits several jobs: {', '.join(fitting)} …")
        raise NotFound(f"no job '{word}'", hint="queuectl list shows the jobs there are")

    def get(self, word: str) -> Job:
        """Return one job with its output and history; `word` is an id or a prefix."""
        job = self._store.get(self.resolve(word))
        if job is None:
            raise NotFound(f"no job '{word}'")
        return job

    def find(self, chosen: Filter | None = None, page: Page | None = None) -> Iterator[Job]:
        """Yield jobs in order of arrival (or as the page says), dead ones included."""
        from queuectl.domain.filters import Filter, Page

        return self._store.find(chosen or Filter(), page or Page())

    def counts(self) -> Counts:
        """Return how many jobs there are in each state of each queue."""
        return self._store.counts()

    def workers(self) -> list[LiveWorker]:
        """Return the workers that are alive, the earliest first, each with its job."""
        from queuectl.domain.filters import Filter
        from queuectl.domain.worker import LiveWorker
        from queuectl.worker.processes import is_live

        now, running = self._store.now(), Filter(frozenset({State.PROCESSING}))
        held = {job.worker: job.id for job in self.find(running)}
        return [
            LiveWorker(record, held.get(record.id))
            for record in self._store.workers()
            if is_live(record, now)
        ]

    def wait(self, ids: Iterable[str], timeout: float | None = None) -> Iterator[Job]:
        """Yield each job once it is completed, dead or cancelled, in the order given.

        Raises NotFound when one is deleted, WaitTimedOut after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        shortest, longest = _POLL_SECONDS
        for job_id in ids:
            pause = shortest
            while (job := self.get(job_id)).state not in SETTLED:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise WaitTimedOut(f"job '{job_id}' is still {job.state}")
                time.sleep(pause if left is None else min(pause, left))
                pause = min(pause * 1.5, longest)
            yield job

    def unsettled(self, queue: str | None = None) -> list[str]:
        """Return the ids of the jobs that are not completed, dead or cancelled yet."""
        from queuectl.domain.filters import Filter

        return [job.id for job in self.find(Filter(frozenset(State) - SETTLED, queue))]

    # queues

    def lanes(self) -> Lanes:
        """Return the queues about which something was decided, with the slots in use."""
        return self._store.lanes()

    def pause_queue(self, name: str) -> None:
        """Claim nothing more from a queue; what runs there goes on."""
        self._store.set_lane(check_name("queue", name), paused=True)

    def resume_queue(self, name: str) -> None:
        """Claim from a queue again."""
        self._store.set_lane(check_name("queue", name), paused=False)

    def limit_queue(self, name: str, slots: int) -> None:
        """Let at most so many slots of a queue run at once, in the whole fleet; 0 is any number."""
        if not 0 <= slots <= MAX_LIMIT:
            raise InvalidInput(f"a limit is a whole number from 0 to {MAX_LIMIT:,}, not {slots}")
        self._store.set_lane(check_name("queue", name), limit=slots)

    def surroundings(self) -> Surroundings:
        """Return what, beside a job itself, decides why it waits; it asks the store when needed."""
        from queuectl.domain.view import Surroundings, served_by
        from queuectl.worker.processes import is_live

        @cache
        def state_of(job_id: str) -> State | None:
            job = self._store.get(job_id)
            return job.state if job else None

        @cache
        def served() -> Callable[[str], bool]:
            now = self._store.now()
            return served_by(
                record.queues for record in self._store.workers() if is_live(record, now)
            )

        return Surroundings(
            self._store.lanes(), state_of, lambda queue: served()(queue), cache(self._store.edge)
        )

    # the fleet

    def ask_workers_to_stop(self, ids: Collection[str], how: StopRequest) -> None:
        """Ask workers, wherever they are, to leave with their next heartbeat."""
        self._store.ask_to_stop(ids, how)

    # schedules

    @property
    def schedules(self) -> Schedules:
        """What is enqueued again and again."""
        from queuectl.schedules import Schedules

        return Schedules(self._store, self.request)

    # hooks

    @property
    def hooks(self) -> Hooks:
        """Who is told of what."""
        from queuectl.hooks import Hooks

        return Hooks(self._store)

    # settings

    def settings(self) -> Settings:
        """Return the settings in force."""
        return tunables.from_stored(self._store.settings())

    def set_setting(self, word: str, raw: object) -> tuple[str, Value]:
        """Store a setting; return its key and value. Raises InvalidInput."""
        key = tunables.resolve_key(word)
        value = tunables.parse_value(key, raw)
        self._store.set_setting(key, value)
        return key, value

    def unset_setting(self, word: str) -> tuple[str, Value]:
        """Remove a setting from the store; return its key and default. Raises InvalidInput."""
        key = tunables.resolve_key(word)
        self._store.set_setting(key, None)
        return key, tunables.default_of(key)

    # looking after the store

    def faults(self) -> list[str]:
        """Return one line for each fault of the store and of what it holds."""
        return [
            *self._store.check(),
            *tunables.faults(self._store.settings()),
            *self.schedules.faults(),
        ]

    @property
    def store(self) -> Store:
        """The store itself, for what runs jobs."""
        return self._store


def open_queue(home: str | None = None, store: str | None = None) -> Queue:
    """Open the queue that `home` and `store` (or the environment, as for the command) mean.

    Close it when done, or use it in a `with` statement.
    """
    return Queue.open(find_place(home, store))
