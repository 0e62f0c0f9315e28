"""Taking into a store what was read of another program, so that nothing comes twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queuectl.domain.errors import Conflict, InvalidInput, QueuectlError
from queuectl.domain.frozen import frozen, replace
from queuectl.domain.times import iso
from queuectl.queue import environments
from queuectl.stores.records import BATCH
from queuectl.transfer.foreign.entry import QUEUE, SCHEDULE, Entry

if TYPE_CHECKING:
    from queuectl.domain.request import Request
    from queuectl.queue import Queue

TAKEN, KNOWN, LEFT, REFUSED = "taken", "known", "left", "refused"
"""What becomes of an entry; `KNOWN` was taken before, `LEFT` is not for us to take."""


@frozen
class Taken:
    """What became of an entry: the `name` of the job, schedule or queue, or `why` there is none.

    `notes` are what was found out when it was taken.
    """

    entry: Entry
    result: str
    name: str = ""
    why: str = ""
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        entry = self.entry
        return {
            "line": entry.line or None,
            "where": entry.where or f"line {entry.line}",
            "result": self.result,
            "kind": entry.kind,
            "name": self.name or None,
            "text": entry.text,
            "cron": entry.cron or None,
            "tz": entry.tz,
            "changes": [*entry.changes, *self.notes],
            "reason": self.why or None,
            "imported_from": entry.digest or None,
        }


_Decided = tuple[Taken, "Request | None"]
"""What becomes of an entry, and the request that is still to be stored for that."""


def _refused(entry: Entry, fault: QueuectlError) -> Taken:
    hint = f"; {fault.hint}" if fault.hint else ""
    return Taken(entry, REFUSED, entry.name, f"{fault}{hint}")


class Intake:
    """Takes entries into a store, or with `dry_run` says what would become of each.

    `over` are fields that go before those of every job; `overlaps` says for all schedules whether
    runs may overlap, None that each has its own way.
    """

    def __init__(
        self, queue: Queue, over: Mapping[str, Any], *, dry_run: bool, overlaps: bool | None = None
    ) -> None:
        self._queue = queue
        self._over = over
        self._dry_run = dry_run
        self._overlaps = overlaps
        self._new: set[str] = set()
        self._directories: dict[str | None, bool] = {}

    def take(self, entries: Iterable[Entry]) -> Iterator[Taken]:
        """Yield what becomes of each entry, in their order; jobs are stored some at a time."""
        waiting: list[_Decided] = []
        for entry in entries:
            is_job = entry.kind not in (SCHEDULE, QUEUE)
            if not is_job or len(waiting) >= BATCH:
                yield from self._stored(waiting)
                waiting = []
            waiting.append(self._decided(entry))
        yield from self._stored(waiting)

    def _decided(self, entry: Entry) -> _Decided:
        """Return what becomes of an entry, or the request for its job, which is to be stored."""
        if entry.refused:
            return Taken(entry, REFUSED, why=entry.refused), None
        if entry.left:
            return Taken(entry, LEFT, why=entry.left), None
        try:
            if entry.kind == SCHEDULE:
                return self._schedule(entry), None
            if entry.kind == QUEUE:
                return self._limit(entry), None
            return self._job(entry)
        except QueuectlError as fault:
            return _refused(entry, fault), None

    def _stored(self, waiting: Sequence[_Decided]) -> Iterator[Taken]:
        """Store the jobs among what is decided, and yield it all in its order."""
        requests = [request for _, request in waiting if request is not None]
        results = iter(self._queue.enqueue_requests(requests) if requests else ())
        for taken, request in waiting:
            fault = next(results).error if request is not None else None
            yield taken if fault is None else _refused(taken.entry, fault)

    def _fields(self, entry: Entry) -> dict[str, Any]:
        return {**(entry.fields or {}), **self._over, "imported_from": entry.digest}

    # jobs

    def _job(self, entry: Entry) -> _Decided:
        job = self._queue.store.get(entry.name)
        if job is not None:
            if job.spec.imported_from != entry.digest:
                raise Conflict(f"another job has the id '{entry.name}'")
            return Taken(entry, KNOWN, entry.name, f"it is here, {job.state}"), None
        request = self._request(entry)
        taken = Taken(entry, TAKEN, entry.name, notes=self._notes(request))
        if self._dry_run:
            self._require_parents(request)
        self._new.add(entry.name)
        return taken, None if self._dry_run else request

    def _request(self, entry: Entry) -> Request:
        fields = {**self._fields(entry), "id": entry.name, "capture_env": False}
        request = self._queue.request(fields)
        if not entry.environment:
            return request
        variables = environments.capture(dict(entry.environment))
        name = environments.name_of(variables)
        if not self._dry_run:
            self._queue.store.environments.save(name, variables)
        return replace(request, spec=replace(request.spec, environment=name, clean_env=False))

    def _require_parents(self, request: Request) -> None:
        spec = request.spec
        for parent in (*spec.after, *spec.after_any, *spec.after_fail):
            if parent not in self._new and self._queue.store.get(parent) is None:
                raise InvalidInput(f"there is no job '{parent}' that it could wait for")

    def _notes(self, request: Request) -> tuple[str, ...]:
        due = () if request.run_at is None else (f"due {iso(request.run_at)}",)
        return (*request.notes, *due, *self._misses(request.spec.cwd))

    def _misses(self, cwd: str | None) -> tuple[str, ...]:
        """Return a note on a directory that is not there."""
        if cwd not in self._directories:
            self._directories[cwd] = cwd is None or Path(cwd).is_dir()
        return () if self._directories[cwd] else (f"there is no directory {cwd} here",)

    # schedules

    def _schedule(self, entry: Entry) -> Taken:
        from queuectl.domain.schedule import refuse_own_fields
        from queuectl.system.cron import Cron
        from queuectl.system.local_zone import local_zone

        before = self._queue.store.schedules.get(entry.name)
        if before is not None:
            if before.fields.get("imported_from") != entry.digest:
                raise Conflict(f"another schedule has the name '{entry.name}'")
            return Taken(entry, KNOWN, entry.name, "it is here")
        fields = self._fields(entry)
        notes = (entry.cron, *self._misses(fields.get("cwd")))
        if self._dry_run:
            refuse_own_fields(fields)
            self._queue.request({**fields, "capture_env": False})
            Cron(entry.cron, entry.tz if entry.tz is not None else local_zone().name)
        else:
            overlap = entry.overlap if self._overlaps is None else self._overlaps
            self._queue.schedules.add(
                entry.name, entry.cron, fields,
                tz=entry.tz, catch_up=entry.catch_up, overlap=overlap,
            )  # fmt: skip
        return Taken(entry, TAKEN, entry.name, notes=notes)

    # queues

    def _limit(self, entry: Entry) -> Taken:
        if queue := self._over.get("queue"):
            why = f"all jobs go to queue '{queue}'"
            if entry.limit:
                why += f", without its limit: queuectl queue limit {queue} {entry.limit}"
            return Taken(entry, LEFT, entry.name, why)
        before = self._queue.queue_limits().get(entry.name)
        if before is not None and before.limit:
            if before.limit == entry.limit:
                return Taken(entry, KNOWN, entry.name, f"its limit is {before.limit}")
            return Taken(entry, LEFT, entry.name, f"it has a limit of {before.limit} here")
        if not self._dry_run:
            self._queue.limit_queue(entry.name, entry.limit)
        return Taken(entry, TAKEN, entry.name, notes=(f"limit {entry.limit}",))
