"""Enqueueing the runs of schedules that are due. Any number of workers may do so at once."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from queuectl.domain.errors import InvalidInput, StoreError
from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job
from queuectl.domain.schedule import MISSED, Schedule, afresh, moved_up, step
from queuectl.domain.settings import Settings
from queuectl.queue.schedules import run_of
from queuectl.stores.base import Store
from queuectl.stores.exchange import Fired, Leaving
from queuectl.system.polling import Timer
from queuectl.system.timetable import Timetable, dated, timetable_of
from queuectl.system.zones import tz_data

log = logging.getLogger("queuectl.worker")

MOST_RUNS = 1000
BUSY_SECONDS = 0.5
"""The most runs of one round, and how long it may take: the heartbeat must go on."""

LOOK_SECONDS = 60.0
"""Between two looks for schedules that wait for what old tz data or a clock ahead had reckoned."""

OLD_DATA_WAITS = timedelta(seconds=60)
"""How long a run is left to workers with newer tz data, which know better when the next one is."""


@frozen
class Round:
    """What one look at the schedules did, and when one is due next within the time asked for."""

    enqueued: int = 0
    next_due: datetime | None = None


class Scheduler:
    """The schedules of a store, as one worker serves them; `since` is when it began."""

    def __init__(self, store: Store, since: datetime) -> None:
        self._store = store
        self._since = since
        self._timetables: dict[tuple[object, ...], Timetable] = {}
        self._logged: dict[str, str] = {}
        self._timer = Timer(LOOK_SECONDS)

    def enqueue_due(self, settings: Settings, ahead: float = 0.0) -> Round:
        """Enqueue the runs that are due; look for the next one at most `ahead` seconds ahead."""
        now, began_at = self._store.now(), time.monotonic()
        if self._timer.rings():
            self._correct(now)
        upcoming = self._store.schedules.due(now + timedelta(seconds=ahead))
        due = [each for each in upcoming if each.next_due and each.next_due <= now]
        later = [each.next_due for each in upcoming[len(due) :]]
        enqueued = 0
        while due:
            due, number = self._enqueue_one_each(due, now, settings)
            enqueued += number
            # judged after a step, so that a slow store makes progress too
            if enqueued >= MOST_RUNS or time.monotonic() - began_at >= BUSY_SECONDS:
                break
        return Round(enqueued, later[0] if later else None)

    def _correct(self, now: datetime) -> None:
        """Correct the schedules whose next run was reckoned by old tz data or a clock ahead."""
        for schedule in self._store.schedules.all():
            try:
                after = self._corrected(schedule, now)
            except Exception as fault:  # as one that is due, it does not stop the others
                self._log_once(schedule, fault)
                continue
            if after is None or not self._store.schedules.save(after, schedule):
                continue
            if after.next_due != schedule.next_due:
                log.warning(
                    "schedule '%s': its next run is moved from %s to %s, as clock and tz data say",
                    schedule.name,
                    schedule.next_due,
                    after.next_due,
                )

    def _corrected(self, schedule: Schedule, now: datetime) -> Schedule | None:
        """Return a schedule with the right next run; None: it is right, or not ours to judge."""
        times = self._times(schedule)
        if schedule.cron is None:
            return moved_up(schedule, now, times.following)
        if self._is_newer(schedule):
            return None
        after = afresh(schedule, now, times.following, tz_data().in_use)
        return after or moved_up(schedule, now, times.following)

    def _is_newer(self, schedule: Schedule) -> bool:
        """Whether a schedule was reckoned with newer tz data than there are here."""
        return (schedule.tz_version or "") > tz_data().in_use

    def _enqueue_one_each(
        self, due: list[Schedule], now: datetime, settings: Settings
    ) -> tuple[list[Schedule], int]:
        """Deal with one run of each schedule; return those that are still due, and how many ran.

        A schedule that cannot be served does not stop the others.
        """
        left, number = [], 0
        for schedule in due:
            try:
                fired, after = self._serve(schedule, now, settings)
            except (StoreError, Leaving):
                raise
            except Exception as fault:
                self._log_once(schedule, fault)
                continue
            number += fired
            if after is not None and after.next_due and after.next_due <= now:
                left.append(after)
            self._store.between()
        return left, number

    def _serve(
        self, schedule: Schedule, now: datetime, settings: Settings
    ) -> tuple[bool, Schedule | None]:
        """Deal with the run that is due; return whether it was enqueued, and what is stored then.

        None: nothing more can be done about the schedule at present.
        """
        times = self._times(schedule)
        late = now - (schedule.next_due or now)
        if late < OLD_DATA_WAITS and self._is_newer(schedule):
            return False, None
        what = step(dated(schedule), now, times.following, times.latest, self._since)
        if what is None:
            return False, None
        if what.due is None:
            return False, self._skipped(schedule, what.after)
        job = self._run(schedule, what.due, settings, now)
        fired = self._store.schedules.fire(schedule, job, what.after)
        if fired is Fired.ENQUEUED:
            log.info("schedule '%s': enqueued job '%s'", schedule.name, job.id)
            return True, what.after
        if fired is Fired.OVERLAPS and what.skipped is not None:
            return False, self._skipped(schedule, what.skipped)
        return False, None

    def _skipped(self, before: Schedule, after: Schedule) -> Schedule | None:
        if not self._store.schedules.save(after, before):
            return None
        why = "no worker was there" if after.skipped_why == MISSED else "an earlier one goes on"
        log.warning(
            "schedule '%s': the run of %s was skipped: %s", before.name, after.skipped_at, why
        )
        return after

    def _times(self, schedule: Schedule) -> Timetable:
        key = (schedule.cron, schedule.tz, schedule.every, schedule.anchor)
        if key not in self._timetables:
            self._timetables[key] = timetable_of(schedule)
        return self._timetables[key]

    def _log_once(self, schedule: Schedule, fault: Exception) -> None:
        """Log what is wrong with a schedule; it may be in order for a worker elsewhere."""
        if self._logged.get(schedule.name) != str(fault):
            self._logged[schedule.name] = str(fault)
            log.error(
                "schedule '%s' cannot be served here: %s",
                schedule.name,
                fault,
                exc_info=not isinstance(fault, InvalidInput),
            )

    def _run(self, schedule: Schedule, due: datetime, settings: Settings, now: datetime) -> Job:
        return run_of(self._store, schedule, due, settings, now)
