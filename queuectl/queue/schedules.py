"""What people do with schedules, one short method each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from queuectl.domain import schedule as rules
from queuectl.domain import settings as tunables
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
    from queuectl.domain.settings import Settings
    from queuectl.stores.base import Store


WORDS = ("cron", "every", "tz", "catch_up", "overlap")
"""What is said of a schedule itself, beside its name and the fields of its job."""


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
        saved = self._saved(after, before)
        self._note("replace" if before else "add", name)
        return saved

    def _checked(self, fields: Mapping[str, object]) -> Mapping[str, object]:
        """Return fields as a store keeps them, once a job of them could be enqueued."""
        from json import dumps, loads

        rules.refuse_own_fields(fields)
        request = Requests(self._store).of({**fields, "capture_env": False})
        if request.spec.between is not None:
            fields = {**fields, "between": request.spec.between}
        checked: Mapping[str, object] = loads(dumps(rules.typed(fields)))
        return checked

    @retry_on_conflict
    def edit(self, name: str, changes: Mapping[str, object]) -> Schedule:
        """Give a schedule other values: its `WORDS`, and fields of its job; None takes one away.

        The next run is reckoned anew where its time is changed. Raises InvalidInput, NotFound.
        """
        from queuectl.system.timetable import dated, timetable_of

        require_in_use(self._store)
        before, now = self.get(name), self._store.now()
        own = {word: changes[word] for word in WORDS if word in changes}
        others = {word: value for word, value in changes.items() if word not in WORDS}
        fields = {**before.fields, **others}
        kept = {word: value for word, value in fields.items() if value is not None}
        after = replace(
            _timed(before, own, now),
            fields=self._checked(kept),
            catch_up=bool(own.get("catch_up", before.catch_up)),
            overlap=bool(own.get("overlap", before.overlap)),
            rev=before.rev + 1,
        )
        if after.when != before.when or after.tz != before.tz:
            following = timetable_of(after).following
            after = replace(dated(after), next_due=rules.not_before(after, now, following))
        saved = self._saved(after, before)
        self._note("edit", name)
        return saved

    def run_now(self, name: str) -> Job:
        """Enqueue a run of a schedule at once, whatever it is due; return its job.

        Raises Conflict where a run waits or runs already that it may not overlap, or one of this
        minute is there, and NotFound.
        """
        require_in_use(self._store)
        store, schedule = self._store, self.get(name)
        now, settings = store.now(), tunables.from_stored(store.settings.all())
        job = run_of(store, schedule, now, settings, now)
        other = job.spec.unique and store.unique_key_owner(job.spec.unique)
        if other or store.insert([job]):
            hint = f"queuectl show {other or job.id}"
            raise Conflict(f"run '{other or job.id}' of schedule '{name}' is there", hint=hint)
        self._note("run", name)
        return job

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
        self._note("remove", name)

    def pause(self, name: str) -> Schedule:
        """Enqueue no more runs. Raises NothingDone when it is paused already."""
        require_in_use(self._store)
        paused = self._change(name, rules.pause)
        self._note("pause", name)
        return paused

    def resume(self, name: str) -> Schedule:
        """Go on with the next run that is due. Raises NothingDone when it is not paused."""
        from queuectl.system.timetable import dated, timetable_of

        require_in_use(self._store)
        resumed = self._change(
            name,
            lambda each: rules.resume(dated(each), self._store.now(), timetable_of(each).following),
        )
        self._note("resume", name)
        return resumed

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


def _timed(before: Schedule, own: Mapping[str, object], now: datetime) -> Schedule:
    """Return a schedule that is due at other times, if some are said. Raises InvalidInput."""
    cron, every, tz = own.get("cron"), own.get("every"), own.get("tz")
    is_zone_idle = bool(every) or not (cron or before.cron)
    if (cron and every) or (tz and tz != before.tz and is_zone_idle):
        raise InvalidInput("a schedule has either a cron line, in a zone, or an interval")
    if every:
        seconds = parse_interval(every)
        anchor = now.replace(second=0, microsecond=0)
        anchor = before.anchor if seconds == before.every and before.anchor else anchor
        return replace(before, cron=None, tz="UTC", every=seconds, anchor=anchor)
    if cron:
        zone = _zone(str(cron), str(tz or "") or (before.tz if before.cron else None))
        return replace(before, cron=str(cron), tz=zone, every=None, anchor=None)
    return replace(before, tz=str(tz)) if tz else before


def run_of(
    store: Store, schedule: Schedule, due: datetime, settings: Settings, now: datetime
) -> Job:
    """Return the job that is a schedule's run, as if somebody enqueued it now."""
    from queuectl.domain import state_machine
    from queuectl.domain.request import build_request
    from queuectl.queue.usage import Usage
    from queuectl.system.ids import new_job_id
    from queuectl.system.time_parser import parse_time

    fields = {**schedule.fields, "id": rules.run_id(schedule.name, due), "unique": schedule.unique}
    request = build_request(
        fields, settings, lambda kind, raw: parse_time(kind, raw, now), new_job_id
    )
    spec = request.spec
    if settings.need_usual_memory:
        spec = Usage(store).with_usual_memory(spec)
    return state_machine.enqueue(spec, None, now)


def _zone(cron: str | None, tz: str | None) -> str:
    """Return the zone of a cron line, the local one unless said; an interval needs none."""
    if cron is None or tz is not None:
        return tz or "UTC"
    from queuectl.system.local_zone import local_zone

    return local_zone().name
