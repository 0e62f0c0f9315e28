"""Hosts: what is known of each, and taking no more jobs on one."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from queuectl.domain.errors import Conflict, NotFound, NothingDone, nearest
from queuectl.domain.frozen import frozen
from queuectl.domain.host import HostRecord, Loss
from queuectl.domain.worker_record import LiveWorker, WorkerRecord
from queuectl.queue.resources import Resources, ResourceView
from queuectl.stores.hosts import change_host

if TYPE_CHECKING:
    from queuectl.stores.base import Store


@frozen
class HostView:
    """One host: its live workers, and what is kept of it.

    `silent` are workers of the registry that have not been heard of for long.
    """

    name: str
    workers: tuple[LiveWorker, ...] = ()
    silent: tuple[WorkerRecord, ...] = ()
    record: HostRecord | None = None
    resources: tuple[ResourceView, ...] = ()

    @property
    def state(self) -> str:
        """`up`, `draining` (what it has goes on), `drained`, `vanished`, or `empty`: no workers."""
        if self.drained_at is not None:
            return "draining" if self.jobs else "drained"
        if self.workers:
            return "up"
        return "vanished" if self.silent or (self.record and self.record.seen_at) else "empty"

    @property
    def drained_at(self) -> datetime | None:
        """Since when its workers take no jobs."""
        return self.record.drained_at if self.record else None

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions of queuectl that its workers are of; one that tells none is older."""
        reports = (each.record.report for each in self.workers)
        return tuple(sorted({each.version if each else "older" for each in reports}))

    @property
    def latest(self) -> WorkerRecord | None:
        """The worker that was heard of last."""
        records = (*(each.record for each in self.workers), *self.silent)
        return max(records, key=lambda each: each.heartbeat_at, default=None)

    @property
    def last_seen(self) -> datetime | None:
        """The last sign of life of any of its workers."""
        if self.latest is not None:
            return self.latest.heartbeat_at
        return self.record.seen_at if self.record else None

    @property
    def slots(self) -> int:
        """How many jobs its workers run at once."""
        return sum(each.record.slots for each in self.workers)

    @property
    def jobs(self) -> tuple[str, ...]:
        """The ids of the jobs that its workers have in hand."""
        return tuple(job_id for each in self.workers for job_id in each.job_ids)

    @property
    def losses(self) -> tuple[Loss, ...]:
        """The jobs that were taken back from it lately."""
        return self.record.losses if self.record else ()


class Hosts:
    """The use cases of hosts; `note` is told of every change that somebody makes."""

    def __init__(
        self, store: Store, note: Callable[[str, str], None] = lambda _act, _name: None
    ) -> None:
        self._store = store
        self._note = note

    def views(self, workers: Sequence[LiveWorker]) -> list[HostView]:
        """Return every host that has workers or of which something is kept, by name.

        `workers` are those that are alive.
        """
        kept = {record.name: record for record in self._store.hosts.all()}
        living = {each.record.id for each in workers}
        silent = [each for each in self._store.workers.all() if each.id not in living]
        names = {*kept, *(each.record.host for each in workers), *(each.host for each in silent)}
        resources = Resources(self._store).views() if workers else []
        return [
            HostView(
                name,
                tuple(each for each in workers if each.record.host == name),
                tuple(each for each in silent if each.host == name),
                kept.get(name),
                tuple(view for view in resources if view.host == name),
            )
            for name in sorted(names)
        ]

    def names(self) -> list[str]:
        """Return the names of the hosts there are: those with workers, those kept, this one."""
        registered = (each.host for each in self._store.workers.all())
        kept = (each.name for each in self._store.hosts.all())
        return sorted({*registered, *kept, socket.gethostname()})

    def drain(self, name: str) -> None:
        """Let the workers of a host take no more jobs, these and those that start later.

        Raises NotFound, and NothingDone where that is so.
        """
        if self._require(name).drained_at is not None:
            raise NothingDone(f"host '{name}' is drained already")
        now = self._store.now()
        self._change(name, now)
        self._note("host drain", name)

    def resume(self, name: str) -> None:
        """Let the workers of a host take jobs again. Raises NotFound, and NothingDone."""
        if self._require(name).drained_at is None:
            raise NothingDone(f"host '{name}' is not drained")
        self._change(name, None)
        self._note("host resume", name)

    def require(self, name: str) -> None:
        """Raise NotFound, with the names there are, for a host that nobody knows."""
        names = self.names()
        if name not in names:
            raise NotFound(
                f"no host '{name}'{nearest(name, names)}", hint=f"there are: {', '.join(names)}"
            )

    def _require(self, name: str) -> HostRecord:
        self.require(name)
        return self._store.hosts.get(name) or HostRecord(name, 0, self._store.now())

    def _change(self, name: str, drained_at: datetime | None) -> None:
        if not change_host(self._store, name, lambda record: record.changed(drained_at=drained_at)):
            raise Conflict(f"host '{name}' is being changed by others", hint="try again")
