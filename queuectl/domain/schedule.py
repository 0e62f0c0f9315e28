"""A schedule: a job that is enqueued again and again, and the names of its runs.

When the next run is due is for `queuectl.system.cron` to say; what follows from it is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from queuectl.domain.errors import InvalidInput, NothingDone, shown
from queuectl.domain.field_checks import MAX_NAME, is_name
from queuectl.domain.frozen import replace
from queuectl.domain.interval import interval_text
from queuectl.domain.job_fields import ASKED, Kind
from queuectl.domain.request import TIME_FIELDS, resolve_field
from queuectl.domain.times import UTC, iso, iso_or_none
from queuectl.domain.views import MASK, looks_secret, shown_value

ON_TIME_SECONDS = 10.0
"""How late a run may be enqueued by a worker that began after it was due."""

SPARED = timedelta(hours=1)
"""How long a run that was due is kept whatever becomes of it: a late worker may ask for it."""

_DAY, _INSTANTLY = timedelta(days=1), timedelta(milliseconds=1)

MISSED = "missed"
OVERLAPPED = "overlapped"

_INSTANT = "%Y%m%dT%H%MZ"
_RUN_ID = re.compile(r"(?P<name>.+)@(?P<due>\d{8}T\d{4}Z)")
_LONGEST_NAME = MAX_NAME - len("@20260131T1200Z")

_FROM_ITS_COMMAND = 'its command can be one that enqueues: "queuectl enqueue {} …"'
_NO_CALLER = "nobody enqueues its runs, so there is no environment to capture"
_NEXT = "CRON or --every says when its runs are due"
_OTHERS = "it would hold for every run, and a job with these parents is one alone"

OWN_FIELDS: Mapping[str, tuple[str, str]] = {
    "id": ("its runs are NAME@TIME", ""),
    "unique": ("no run is enqueued while an earlier one waits or runs", "--overlap changes that"),
    "batch": ("a batch is of one enqueue", _FROM_ITS_COMMAND.format("--batch NAME")),
    "at_once": ("it is of a batch", "queuectl queue limit QUEUE N, and --queue QUEUE"),
    "max_fails": ("it is of a batch", _FROM_ITS_COMMAND.format("--batch NAME --max-fails N")),
    **{
        name: (_OTHERS, _FROM_ITS_COMMAND.format(f"--{name.replace('_', '-')} ID"))
        for name in ("after", "after_any", "after_fail")
    },
    "env_file": ("it is read once, when the schedule is made", "put what it says into env"),
    "capture_env": (
        _NO_CALLER,
        "name what they need: --env NAME=VALUE, or --env-file FILE, which `env > FILE` writes",
    ),
    "snapshot": (
        "a snapshot is of one moment, and its runs are of many",
        _FROM_ITS_COMMAND.format("--snapshot") + " takes one at each run",
    ),
    "hold": ("a schedule can wait as a whole", "queuectl schedule pause NAME"),
    **dict.fromkeys(TIME_FIELDS, (_NEXT, "")),
}
"""Fields of a job that a schedule decides for each run, or that mean one job only.

Each with the reason why a schedule does not take it, and with what does it instead.
"""

_TYPED = (Kind.WHOLE, Kind.NUMBER, Kind.FLAG)

Following = Callable[[datetime], datetime | None]
"""Returns the first instant after another at which a schedule is due, or None for never."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A job and when it is enqueued: `fields` are those of `enqueue`, `cron` is in zone `tz`.

    Instead of `cron` there may be `every`: so many seconds pass between two runs, reckoned from
    `anchor`. `tz_version` is that of the tz data with which `next_due` was reckoned from `cron`.
    `next_due` is None when no run is due ever again; it never goes back, and `last_due` is the
    latest run that has been dealt with: enqueued, or skipped. With `catch_up` no run is skipped;
    with `overlap` one is enqueued though another still waits or runs. `skipped_at` is when a
    run was due that was not enqueued, the latest such, and `skipped_why` is `MISSED` or
    `OVERLAPPED`.
    """

    name: str
    cron: str | None
    tz: str
    fields: Mapping[str, Any] = field(hash=False)
    next_due: datetime | None
    created_at: datetime
    catch_up: bool = False
    overlap: bool = False
    paused: bool = False
    last_due: datetime | None = None
    skipped_at: datetime | None = None
    skipped_why: str | None = None
    every: int | None = None
    anchor: datetime | None = None
    tz_version: str | None = None
    rev: int = 1

    @property
    def when(self) -> str:
        """What says when it is due, on one line: the cron expression, or `every 1h30m`."""
        return self.cron or f"every {interval_text(self.every or 0)}"

    @property
    def unique(self) -> str | None:
        """The key that keeps a run from being enqueued while another waits or runs."""
        return None if self.overlap else f"schedule:{self.name}"


def check_schedule_name(word: str) -> str:
    """Return the name of a schedule, short enough for the ids of its runs."""
    if is_name(word) and len(word) <= _LONGEST_NAME:
        return word
    raise InvalidInput(
        f"the name {shown(word)} is not valid: 1 to {_LONGEST_NAME} letters, digits "
        "and . _ : @ -, beginning with a letter or a digit"
    )


def run_id(name: str, due: datetime) -> str:
    """Return the id of the run that is due at an instant: `nightly@20260131T0200Z`."""
    return f"{name}@{due.astimezone(UTC).strftime(_INSTANT)}"


def parse_run_id(job_id: str) -> tuple[str, datetime] | None:
    """Return the schedule and the instant in the id of a run; None for any other id."""
    found = _RUN_ID.fullmatch(job_id) if "@" in job_id else None
    if found is None:
        return None
    try:
        return found["name"], datetime.strptime(found["due"], _INSTANT).replace(tzinfo=UTC)
    except ValueError:
        return None


def refuse_run_id(job_id: str) -> None:
    """Raise InvalidInput for an id of the form that only schedules give."""
    if parse_run_id(job_id):
        raise InvalidInput(
            f"the id {shown(job_id)} has the form NAME@TIME, which belongs to schedules"
        )


def refuse_own_fields(fields: Mapping[str, object]) -> None:
    """Raise InvalidInput for a field of a job that does not go with a schedule."""
    for word in fields:
        refuse_own_field(word, f"field {shown(word)}")


def refuse_own_field(word: str, called: str) -> None:
    """Raise InvalidInput where a field does not go with a schedule, called as it was written."""
    refusal = OWN_FIELDS.get(word.strip().lower().replace("-", "_"))
    if refusal is not None:
        why, hint = refusal
        raise InvalidInput(f"{called} does not go with a schedule: {why}", hint)


def typed(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a job with its numbers and flags as such, which options give as text.

    Raises InvalidInput.
    """
    return {word: _typed(word, value) for word, value in fields.items()}


def _typed(word: str, value: object) -> object:
    field = ASKED.get(resolve_field(word))
    if value is None or field is None or field.check is None or field.kind not in _TYPED:
        return value
    return field.check(field.name, value)


def is_spared(job_id: str, schedules: Mapping[str, Schedule], now: datetime) -> bool:
    """Whether a job is a run that must not be forgotten yet, or it might be enqueued again.

    True until its schedule has advanced past it, and for a while after it was due.
    """
    parts = parse_run_id(job_id)
    schedule = schedules.get(parts[0]) if parts else None
    if parts is None or schedule is None:
        return False
    is_past = schedule.last_due is not None and parts[1] <= schedule.last_due
    return not is_past or parts[1] > now - SPARED


@dataclass(frozen=True, slots=True)
class Step:
    """What to do about a schedule that is due: enqueue the run of `due`, then store `after`.

    Without `due` nothing is enqueued. `skipped` is what to store instead of `after` when an
    earlier run still waits or runs; None: try again later.
    """

    before: Schedule
    after: Schedule
    due: datetime | None
    skipped: Schedule | None = None


def step(
    schedule: Schedule,
    now: datetime,
    following: Following,
    latest: Following,
    watched_since: datetime,
) -> Step | None:
    """Return what to do about a schedule now, or None when it is not due.

    `following` and `latest` give the first due instant after, and the last one until, another.
    `watched_since` is when this worker began: what was due well before that, was missed.
    """
    first = schedule.next_due
    if schedule.paused or first is None or first > now:
        return None
    if schedule.catch_up:
        return Step(schedule, _advanced(schedule, first, following(first)), first)
    due = max(first, latest(now) or first)
    after = _advanced(schedule, due, following(now))
    if due < watched_since and (now - due).total_seconds() > ON_TIME_SECONDS:
        return Step(schedule, _skip(after, due, MISSED), None)
    if due > first:
        after = _skip(after, first, MISSED)
    return Step(schedule, after, due, _skip(after, due, OVERLAPPED))


def skip_missed(
    schedule: Schedule, now: datetime, following: Following, latest: Following
) -> Schedule:
    """Return the schedule as it goes on after now: of what was due until then nothing is enqueued.

    It is returned as it is when nothing was due, or while it is paused.
    """
    first = schedule.next_due
    if schedule.paused or first is None or first > now:
        return schedule
    due = max(first, latest(now) or first)
    return _skip(_advanced(schedule, due, following(now)), due, MISSED)


def _advanced(schedule: Schedule, due: datetime, following: datetime | None) -> Schedule:
    return replace(schedule, last_due=due, next_due=following, rev=schedule.rev + 1)


def _skip(schedule: Schedule, due: datetime, why: str) -> Schedule:
    return replace(schedule, skipped_at=due, skipped_why=why)


def pause(schedule: Schedule) -> Schedule:
    """Return the schedule as it is when it enqueues nothing until it is resumed."""
    if schedule.paused:
        raise NothingDone(f"schedule '{schedule.name}' is paused already")
    return replace(schedule, paused=True, rev=schedule.rev + 1)


def resume(schedule: Schedule, now: datetime, following: Following) -> Schedule:
    """Return the schedule as it goes on: what was due while it was paused is not enqueued."""
    if not schedule.paused:
        raise NothingDone(f"schedule '{schedule.name}' is not paused")
    return replace(
        schedule, paused=False, next_due=not_before(schedule, now, following), rev=schedule.rev + 1
    )


def not_before(schedule: Schedule, now: datetime, following: Following) -> datetime | None:
    """Return the first due instant after now and after all that has been dealt with."""
    return following(max(now, schedule.last_due or now))


def moved_up(schedule: Schedule, now: datetime, following: Following) -> Schedule | None:
    """Return a schedule with an earlier next run, where a clock that was ahead has set it too late.

    None: it is as it should be. No run comes before one that has been dealt with.
    """
    if schedule.paused or schedule.next_due is None or schedule.next_due <= now:
        return None
    due = not_before(schedule, now, following)
    if due is None or due >= schedule.next_due:
        return None
    return replace(schedule, next_due=due, rev=schedule.rev + 1)


def afresh(
    schedule: Schedule, now: datetime, following: Following, version: str
) -> Schedule | None:
    """Return a schedule whose next run is reckoned by newer tz data, those of `version`.

    None: it is reckoned with no older data, or none is to come. A run that is late already stays
    due if it is due by these data too, or nobody knows by which it was; else the nearest takes its
    place.
    """
    first = schedule.next_due
    if schedule.paused or first is None or (schedule.tz_version or "") >= version:
        return None
    if first > now:
        due = not_before(schedule, now, following)
    elif schedule.tz_version is None or following(first - _INSTANTLY) == first:
        due = first
    else:
        due = following(max(first - _DAY, schedule.last_due or schedule.created_at))
    return replace(schedule, next_due=due, tz_version=version, rev=schedule.rev + 1)


def as_dict(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule as programs see it: secrets masked, times as text."""
    job = {
        name: shown_value(ASKED[name], value) if name in ASKED else value
        for name, value in schedule.fields.items()
    }
    if isinstance(job.get("env"), Mapping):
        job["env"] = {
            name: MASK if looks_secret(name) else value for name, value in job["env"].items()
        }
    return {
        "name": schedule.name,
        "cron": schedule.cron,
        "tz": schedule.tz,
        "every": schedule.every,
        "anchor": iso_or_none(schedule.anchor),
        "tz_version": schedule.tz_version,
        "job": job,
        "catch_up": schedule.catch_up,
        "overlap": schedule.overlap,
        "paused": schedule.paused,
        "next_due": iso_or_none(schedule.next_due),
        "last_due": iso_or_none(schedule.last_due),
        "skipped_at": iso_or_none(schedule.skipped_at),
        "skipped_why": schedule.skipped_why,
        "created_at": iso(schedule.created_at),
    }
