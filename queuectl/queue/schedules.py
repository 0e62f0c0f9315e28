"""What people do with schedules, one short method each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from queuectl.domain import schedule as rules
from queuectl.domain.errors import Conflict, InvalidInput
from queuectl.domain.field_checks import is_name
from queuectl.domain.frozen import replace
from queuectl.domain.interval import parse_interval
from queuectl.domain.query import Filter, Page
from queuectl.domain.schedule import Schedule, parse_run_id
from queuectl.queue.named import NamedRecords
from queuectl.queue.outpaced import retry_on_conflict
from queuectl.queue.requests import Requests
from queuectl.stores.rules import require_in_use

if TYPE_CHECKING:
    from queuectl.domain.job import Job


class Schedules(NamedRecords[Schedule]):
    """The schedules of a store."""

    KIND = "schedule"
    HINT = "queuectl schedule list shows them"

    @retry_on_conflict
    def add(
        self,
        name: str,
        cron: str | None,
        fields: Mapping[str, object],
        *,
        tz: str | None = None,
        every: object = None,
        catch_up: bool = False,
        overlap: bool = False,
        replacing: bool = False,
    ) -> Schedule:
        """Store a schedule whose runs are jobs of these fields; `tz` None is the local zone.

        Instead of `cron` (None then) and `tz` there may be `every`: seconds, or such as `90m`.
        The first run is due once that has passed, unless the schedule replaces one of the same
        interval, whose pace it keeps. Raises InvalidInput, or Conflict when there is one of the
        name that is not to be replaced.
        """
        from queuectl.system.timetable import dated, timetable_of

        if (cron is None) == (every is None) or (every is not None and tz is not None):
            raise InvalidInput("a schedule has either a cron line, in a zone, or an interval")
        require_in_use(self._store)
        rules.check_schedule_name(name)
        now = self._store.now()
        after = Schedule(
            name=name,
            cron=cron,
            tz=_zone(cron, tz),
            fields=self._checked(fields),
            next_due=None,
            created_at=now,
            catch_up=catch_up,
            overlap=overlap,
            every=None if every is None else parse_interval(every),
            anchor=None if every is None else now.replace(second=0, microsecond=0),
        )
        before = self._find(name)
        if before is not None:
            if not replacing:
                raise Conflict(f"schedule '{name}' exists already (--replace replaces it)")
            after = replace(after, last_due=before.last_due, rev=before.rev + 1)
            if after.every is not None and after.every == before.every:
                after = replace(after, anchor=before.anchor)
        following = timetable_of(after).following
        after = replace(dated(after), next_due=rules.not_before(after, now, following))
        return self._saved(after, before)

    def _checked(self, fields: Mapping[str, object]) -> Mapping[str, object]:
        """Return fields as a store keeps them, once a job of them could be enqueued."""
        from json import dumps, loads

        rules.refuse_own_fields(fields)
        request = Requests(self._store).of({**fields, "capture_env": False})
        if request.spec.between is not None:
            fields = {**fields, "between": request.spec.between}
        checked: Mapping[str, object] = loads(dumps(rules.typed(fields)))
        return checked

    def all(self) -> list[Schedule]:
        """Return every schedule, by name."""
        return self._store.schedules.all()

    def _find(self, name: str) -> Schedule | None:
        return self._store.schedules.get(name) if is_name(name) else None

    def _save(self, after: Schedule, before: Schedule | None) -> bool:
        return self._store.schedules.save(after, before)

    def faults(self) -> list[str]:
        """Return one line for each schedule that cannot be served on this machine."""
        faults = []
        from queuectl.system.timetable import timetable_of

        for schedule in self.all():
            try:
                timetable_of(schedule)
            except InvalidInput as fault:
                faults.append(f"schedule '{schedule.name}': {fault}")
        return faults

    def remove(self, name: str) -> None:
        """Forget a schedule; the jobs of its runs stay. Raises NotFound."""
        self.get(name)
        self._store.schedules.remove(name)

    def pause(self, name: str) -> Schedule:
        """Enqueue no more runs. Raises NothingDone when it is paused already."""
        require_in_use(self._store)
        return self._change(name, rules.pause)

    def resume(self, name: str) -> Schedule:
        """Go on with the next run that is due. Raises NothingDone when it is not paused."""
        from queuectl.system.timetable import dated, timetable_of

        require_in_use(self._store)
        return self._change(
            name,
            lambda each: rules.resume(dated(each), self._store.now(), timetable_of(each).following),
        )

    def coming(self, schedule: Schedule, number: int) -> list[datetime]:
        """Return the next instants at which a schedule is due, as if it were not paused."""
        from queuectl.system.timetable import timetable_of

        first = schedule.next_due
        if first is None:
            return []
        now, times = self._store.now(), timetable_of(schedule)
        if schedule.paused and first <= now:
            return list(islice(times.after(now), number))
        return [first, *islice(times.after(first), number - 1)]

    def runs(self, name: str, number: int) -> Iterator[Job]:
        """Yield the jobs of a schedule's latest runs, the newest first."""
        jobs = self._store.find(Filter(id_prefix=f"{name}@"), Page(newest_first=True))
        runs = ((job, parse_run_id(job.id)) for job in jobs)
        return islice((job for job, parts in runs if parts and parts[0] == name), number)

    def latest_run(self, schedule: Schedule) -> Job | None:
        """Return the job of the latest run that was due, if it was enqueued and is still there."""
        if schedule.last_due is None:
            return None
        return self._store.get(rules.run_id(schedule.name, schedule.last_due))


def _zone(cron: str | None, tz: str | None) -> str:
    """Return the zone of a cron line, the local one unless said; an interval needs none."""
    if cron is None or tz is not None:
        return tz or "UTC"
    from queuectl.system.local_zone import local_zone

    return local_zone().name
