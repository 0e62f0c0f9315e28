"""What people do with schedules, one short method each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from queuectl.domain import schedule as rules
from queuectl.domain.errors import Conflict, InvalidInput, NotFound, StoreUnavailable, nearest
from queuectl.domain.field_checks import is_name
from queuectl.domain.query import Filter, Page
from queuectl.domain.schedule import Schedule, parse_run_id
from queuectl.stores.rules import require_in_use

if TYPE_CHECKING:
    from queuectl.domain.job import Job
    from queuectl.domain.request import Request
    from queuectl.stores.base import Store
    from queuectl.system.cron import Cron

_MAX_TRIES = 50

BuildRequest = Callable[[Mapping[str, object]], "Request"]


class Schedules:
    """The schedules of a store. `build` checks the fields of a job as enqueueing it would.

    `missing_hint` is what to say of one that is not found, where no store is.
    """

    def __init__(self, store: Store, build: BuildRequest, missing_hint: str = "") -> None:
        self._store = store
        self._build = build
        self._hint = missing_hint or "queuectl schedule list shows them"

    def add(
        self,
        name: str,
        cron: str,
        fields: Mapping[str, object],
        *,
        tz: str | None = None,
        catch_up: bool = False,
        overlap: bool = False,
        replacing: bool = False,
    ) -> Schedule:
        """Store a schedule whose runs are jobs of these fields; `tz` None is the local zone.

        Raises InvalidInput, or Conflict when there is one of the name that is not to be replaced.
        """
        from queuectl.system.cron import local_zone

        require_in_use(self._store)
        rules.check_schedule_name(name)
        made = Schedule(
            name=name,
            cron=cron,
            tz=tz if tz is not None else local_zone(),
            fields=self._checked(fields),
            next_due=None,
            created_at=self._store.now(),
            catch_up=catch_up,
            overlap=overlap,
        )
        following = cron_of(made).following
        for _ in range(_MAX_TRIES):
            before, now = self._store.schedule(name), self._store.now()
            if before is not None and not replacing:
                raise Conflict(f"schedule '{name}' exists already (--replace replaces it)")
            last_due = before.last_due if before else None
            after = replace(
                made, last_due=last_due, rev=before.rev + 1 if before else 1, created_at=now
            )
            after = replace(after, next_due=rules.not_before(after, now, following))
            if self._store.save_schedule(after, before):
                return after
        raise _too_fast(name)

    def _checked(self, fields: Mapping[str, object]) -> Mapping[str, object]:
        """Return fields as a store keeps them, once a job of them could be enqueued."""
        from json import dumps, loads

        rules.refuse_own_fields(fields)
        self._build(fields)
        checked: Mapping[str, object] = loads(dumps(fields))
        return checked

    def all(self) -> list[Schedule]:
        """Return every schedule, by name."""
        return self._store.schedules()

    def get(self, name: str) -> Schedule:
        """Return one schedule. Raises NotFound, with the nearest name."""
        found = self._store.schedule(name) if is_name(name) else None
        if found is None:
            close = nearest(name, [schedule.name for schedule in self.all()])
            raise NotFound(f"no schedule '{name}'{close}", hint=self._hint)
        return found

    def faults(self) -> list[str]:
        """Return one line for each schedule that cannot be served on this machine."""
        found = []
        for schedule in self.all():
            try:
                cron_of(schedule)
            except InvalidInput as fault:
                found.append(f"schedule '{schedule.name}': {fault}")
        return found

    def remove(self, name: str) -> None:
        """Forget a schedule; the jobs of its runs stay. Raises NotFound."""
        self.get(name)
        self._store.remove_schedule(name)

    def pause(self, name: str) -> Schedule:
        """Enqueue no more runs. Raises NothingDone when it is paused already."""
        return self._change(name, lambda schedule, _now: rules.pause(schedule))

    def resume(self, name: str) -> Schedule:
        """Go on with the next run that is due. Raises NothingDone when it is not paused."""

        def decide(schedule: Schedule, now: datetime) -> Schedule:
            return rules.resume(schedule, now, cron_of(schedule).following)

        return self._change(name, decide)

    def _change(self, name: str, decide: Callable[[Schedule, datetime], Schedule]) -> Schedule:
        require_in_use(self._store)
        for _ in range(_MAX_TRIES):
            before = self.get(name)
            after = decide(before, self._store.now())
            if self._store.save_schedule(after, before):
                return after
        raise _too_fast(name)

    def coming(self, schedule: Schedule, number: int) -> list[datetime]:
        """Return the next instants at which a schedule is due, as if it were not paused."""
        first = schedule.next_due
        if first is None:
            return []
        now = self._store.now()
        if schedule.paused and first <= now:
            return list(islice(cron_of(schedule).after(now), number))
        return [first, *islice(cron_of(schedule).after(first), number - 1)]

    def runs(self, name: str, number: int) -> Iterator[Job]:
        """Yield the jobs of a schedule's latest runs, the newest first."""
        found = self._store.find(Filter(id_prefix=f"{name}@"), Page(newest_first=True))
        is_run = partial(_is_run_of, name)
        return islice((job for job in found if is_run(job.id)), number)

    def latest_run(self, schedule: Schedule) -> Job | None:
        """Return the job of the latest run that was due, if it was enqueued and is still there."""
        if schedule.last_due is None:
            return None
        return self._store.get(rules.run_id(schedule.name, schedule.last_due))


def cron_of(schedule: Schedule) -> Cron:
    """Return when a schedule is due. Raises InvalidInput for what cannot be."""
    from queuectl.system.cron import Cron

    return Cron(schedule.cron, schedule.tz)


def _is_run_of(name: str, job_id: str) -> bool:
    parts = parse_run_id(job_id)
    return parts is not None and parts[0] == name


def _too_fast(name: str) -> StoreUnavailable:
    return StoreUnavailable(f"schedule '{name}' changes too fast; try again")
