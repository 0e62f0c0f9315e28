"""What `export` writes, typed lines of JSON with jobs in order of arrival, and taking that in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from queuectl.domain import settings as tunables
from queuectl.domain.errors import Conflict, InvalidInput, QueuectlError, shown
from queuectl.domain.field_checks import MAX_SLOTS, check_env, check_name
from queuectl.domain.frozen import frozen, replace
from queuectl.domain.hooks import hook_of
from queuectl.domain.job import Job
from queuectl.domain.query import Filter, Page
from queuectl.domain.queue_limits import delivery_queue, is_of_deliveries
from queuectl.domain.resources import check_name as check_resource
from queuectl.domain.resources import parse_amount
from queuectl.domain.times import iso
from queuectl.queue.environments import name_of
from queuectl.queue.lazy import unmade_that_fit
from queuectl.stores.base import Store
from queuectl.transfer.batch_lines import batch_from_line, batch_to_line, unmade_in
from queuectl.transfer.format import (
    job_from_line,
    job_to_line,
    masked_pairs,
    schedule_from_line,
    schedule_to_line,
)

FORMAT = 1
_AT_ONCE = 200

Line = dict[str, Any]


def export_lines(store: Store, chosen: Filter | None, *, masked: bool) -> Iterator[Line]:
    """Yield a heading, then everything, or the jobs that a filter selects.

    Of batches whose jobs are still to be made those go along whose jobs all fit. A captured
    environment comes before the first job that names it. With `masked` the values of
    secrets are hidden, and the whole cannot be imported.
    """
    heading: Line = {"type": "queuectl", "format": FORMAT, "exported_at": iso(store.now())}
    yield {**heading, "masked": True} if masked else heading
    schedules = store.schedules.all() if chosen is None else []
    batches = store.batches.all() if chosen is None else unmade_that_fit(store, chosen)
    if chosen is None:
        for key, value in sorted(store.settings.all().items()):
            yield {"type": "setting", "key": key, "value": value}
        for name, queue_limit in store.queue_limits().items():
            if is_of_deliveries(name):
                continue  # left out as hooks are, with what they tell
            yield {
                "type": "queue",
                "name": name,
                "paused": queue_limit.paused,
                "limit": queue_limit.limit,
            }
        for name, capacity in store.resources.fleet().items():
            yield {"type": "resource", "name": name, "capacity": capacity}
    written: set[str] = set()
    page = Page(with_output=True, with_history=True)
    for job in store.find((chosen or Filter()).of_jobs(), page):
        environment = job.spec.environment
        if environment and environment not in written:
            written.add(environment)
            yield from _environment(store, environment, masked=masked)
        yield {"type": "job", **job_to_line(job, masked=masked)}
    # read before the jobs and written behind them: no run is left out, and none enqueued again
    for batch in batches:
        yield {"type": "batch", **batch_to_line(batch, masked=masked)}
    for schedule in schedules:
        yield {"type": "schedule", **schedule_to_line(schedule, masked=masked)}


def _environment(store: Store, name: str, *, masked: bool) -> Iterator[Line]:
    variables = store.environments.get(name)
    if variables is not None:
        pairs = masked_pairs(variables) if masked else [list(pair) for pair in variables]
        yield {"type": "environment", "id": name, "variables": pairs}


@frozen
class Taken:
    """One line that was taken in, or why it was not; `kind` is the type of what was stored.

    A batch has `unmade` jobs with it that are still to be made.
    """

    where: str
    error: QueuectlError | None = None
    kind: str = ""
    unmade: int = 0

    @property
    def existing(self) -> bool:
        """Whether the store had something of that name already."""
        return isinstance(self.error, Conflict)


class Intake:
    """Takes lines into a store; jobs some hundred at a time, in their order."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._settings = store.settings.all()
        self._queue_limits = store.queue_limits()
        self._environments = set(store.environments.names())
        self._waiting: list[tuple[str, Job]] = []
        self._kinds: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "setting": self._setting,
            "queue": self._queue,
            "resource": self._resource,
            "environment": self._environment,
            "batch": self._batch,
            "schedule": self._schedule,
        }

    def take(self, where: str, fields: Mapping[str, Any]) -> list[Taken]:
        """Take one line in; return what has become of it, and of jobs that waited for company.

        A line that cannot be read is refused by itself. A heading of another format, or of an
        export without its secrets, raises InvalidInput.
        """
        kind = fields.get("type", "job")
        given = {name: value for name, value in fields.items() if name != "type"}
        if kind == "queuectl":
            self._heading(given)
            return []
        stored: list[Taken] = []
        try:
            if kind == "job":
                self._waiting.append((where, self._job(given)))
                return self.finish() if len(self._waiting) >= _AT_ONCE else []
            if not isinstance(kind, str) or kind not in self._kinds:
                raise InvalidInput(f"unknown type {shown(kind)}")
            if kind in ("batch", "schedule"):
                stored = self.finish()
            self._kinds[kind](given)
        except (InvalidInput, Conflict) as fault:
            return [*stored, Taken(where, fault)]
        unmade = unmade_in(given) if kind == "batch" else 0
        return [*stored, Taken(where, kind=kind, unmade=unmade)]

    def finish(self) -> list[Taken]:
        """Store the jobs that were taken in and not stored yet."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return []
        refused = set(self._store.restore([job for _, job in waiting]))
        taken, seen = [], set[str]()
        for where, job in waiting:
            is_refused = job.id in refused or job.id in seen
            seen.add(job.id)
            fault = Conflict(f"job '{job.id}' or its unique key exists already")
            taken.append(Taken(where, fault if is_refused else None, kind="job"))
        return taken

    def _heading(self, given: Mapping[str, Any]) -> None:
        if given.get("format") != FORMAT:
            raise InvalidInput(
                f"this is of format {shown(given.get('format'))}; this queuectl reads {FORMAT}",
                hint="upgrade queuectl",
            )
        if given.get("masked"):
            raise InvalidInput(
                "its secrets are masked, so it cannot be imported",
                hint="export it to a file, without --mask",
            )

    def _job(self, given: Mapping[str, Any]) -> Job:
        job = job_from_line(given)
        if (hook := hook_of(job.id)) is not None:  # of a version that did not leave them out
            job = replace(job, spec=replace(job.spec, queue=delivery_queue(hook)))
        environment = job.spec.environment
        if environment and environment not in self._environments:
            raise InvalidInput(f"job '{job.id}': its captured environment is missing")
        return job

    def _setting(self, given: Mapping[str, Any]) -> None:
        key = tunables.resolve_key(str(given.get("key")))
        value = tunables.parse_value(key, given.get("value"))
        if key not in self._settings:
            self._store.settings.set(key, value)
        elif self._settings[key] != value:
            raise Conflict(f"setting '{key}' is {shown(self._settings[key])} here")

    def _queue(self, given: Mapping[str, Any]) -> None:
        name = check_name("queue", given.get("name"))
        paused, limit = given.get("paused", False), given.get("limit", 0)
        if not isinstance(paused, bool):
            raise InvalidInput(f"paused must be true or false, not {shown(paused)}")
        if not isinstance(limit, int) or not 0 <= limit <= MAX_SLOTS:
            raise InvalidInput(f"limit must be a whole number, not {shown(limit)}")
        queue_limit = self._queue_limits.get(name)
        if queue_limit is None:
            self._store.set_queue_limit(name, paused=paused, limit=limit)
        elif (queue_limit.paused, queue_limit.limit) != (paused, limit):
            raise Conflict(f"queue '{name}' has another pause or limit here")

    def _resource(self, given: Mapping[str, Any]) -> None:
        name = check_resource(given.get("name"))
        parse_amount(name, given.get("capacity"))
        capacity, here = str(given["capacity"]), self._store.resources.fleet()
        if name not in here:
            self._store.resources.set(name, capacity)
        elif here[name] != capacity:
            raise Conflict(f"the fleet has {name} {here[name]} here")

    def _schedule(self, given: Mapping[str, Any]) -> None:
        """Store a schedule; the jobs of its runs must be there, or they would come again."""
        schedule = schedule_from_line(given)
        if not self._store.schedules.save(schedule):
            raise Conflict(f"schedule '{schedule.name}' exists already")

    def _batch(self, given: Mapping[str, Any]) -> None:
        """Store the record of a batch; the jobs that are made must be there."""
        batch = batch_from_line(given)
        if not self._store.batches.save(batch):
            raise Conflict(f"batch '{batch.name}' exists already")

    def _environment(self, given: Mapping[str, Any]) -> None:
        try:
            variables = tuple((name, value) for name, value in given["variables"])
            for name, value in variables:
                check_env("env", {name: value})
            is_whole = name_of(variables) == given.get("id")
        except (KeyError, TypeError, ValueError):
            is_whole = False
        if not is_whole:
            raise InvalidInput("the environment is not what its id says")
        self._store.environments.save(given["id"], variables)
        self._environments.add(given["id"])
