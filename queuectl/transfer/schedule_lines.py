"""A schedule as one line of JSON with all that a store knows of it, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queuectl.cron import Cron
from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.form import build_request
from queuectl.domain.schedule import (
    MISSED,
    OVERLAPPED,
    Schedule,
    as_dict,
    check_schedule_name,
    refuse_own_fields,
)
from queuectl.domain.settings import Settings
from queuectl.stores import codec
from queuectl.transfer.lines import checksum, json_times
from queuectl.transfer.taking import Taker, parse_instant, refuse_unknown


def schedule_to_line(schedule: Schedule, *, masked: bool = False) -> dict[str, Any]:
    """Return a schedule as JSON has it, with everything; what is empty is left out."""
    document = {name: getattr(schedule, name) for name in codec.SCHEDULE_FIELDS}
    line = json_times(document, codec.SCHEDULE_TIMES)
    line["fields"] = as_dict(schedule)["job"] if masked else dict(schedule.fields)
    return {name: value for name, value in line.items() if value is not None}


def schedule_from_line(fields: Mapping[str, Any]) -> Schedule:
    """Return the schedule in a line, each field checked. Raises InvalidInput for what is wrong."""
    refuse_unknown(fields, codec.SCHEDULE_FIELDS)
    take = Taker(fields)
    job = fields.get("fields")
    if not isinstance(job, Mapping):
        raise InvalidInput(f"fields must be those of a job, not {shown(job)}")
    _check_job(job)
    skipped_why = take.text("skipped_why")
    if skipped_why not in (None, MISSED, OVERLAPPED):
        raise InvalidInput(f"skipped_why must be {MISSED} or {OVERLAPPED}")
    schedule = Schedule(
        name=check_schedule_name(take.text("name") or ""),
        cron=take.text("cron") or "",
        tz=take.text("tz") or "UTC",
        fields=job,
        next_due=take.maybe_time("next_due"),
        created_at=take.time("created_at"),
        catch_up=take.flag("catch_up"),
        overlap=take.flag("overlap"),
        paused=take.flag("paused"),
        last_due=take.maybe_time("last_due"),
        skipped_at=take.maybe_time("skipped_at"),
        skipped_why=skipped_why,
        rev=take.number("rev", 1, least=1),
    )
    Cron(schedule.cron, schedule.tz)  # looks at both
    return schedule


def _check_job(fields: Mapping[str, Any]) -> None:
    """Raise InvalidInput unless a run can be made of these fields."""
    refuse_own_fields(fields)
    build_request(fields, Settings(), parse_instant, str)


def schedule_digest(schedule: Schedule) -> str:
    """Return a checksum over all of a schedule that two stores must agree on, as of a job."""
    return checksum(schedule_to_line(schedule))
