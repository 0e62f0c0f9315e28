"""What a job that waits asks for can be changed: its fields, and its place in its queue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from queuectl.domain import state_machine
from queuectl.domain.errors import Conflict, InvalidInput, shown
from queuectl.domain.frozen import replace
from queuectl.domain.job import WAITING, Job
from queuectl.domain.job_fields import ASKED, defaults_of
from queuectl.domain.request import (
    CHECKS,
    HOLD,
    RESULT_FIELDS,
    TIME_FIELDS,
    ParseTime,
    require_allowed,
    resolve_field,
)
from queuectl.domain.settings import Settings
from queuectl.domain.state_machine import Transition
from queuectl.domain.views import MASK

ONE_OF_PAIRS = {"env": "env", "needs": "needs", "need": "needs"}
"""The fields of which a word such as `env.NAME` names one pair, as they are spelled."""
_TICK = timedelta(milliseconds=1)


def require_waiting(job: Job) -> None:
    """Raise Conflict for a job that does not wait."""
    if job.state not in WAITING:
        raise Conflict(f"job '{job.id}' is {job.state}; only a job that waits can be changed")


def edit(
    job: Job,
    wanted: Mapping[str, object],
    settings: Settings,
    parse_time: ParseTime,
    now: datetime,
) -> Transition:
    """A job that waits gets other values for some fields; None is what a new job would have.

    `env.NAME` is one variable, `needs.NAME` one need; None removes it. One whose value is the mask
    of a secret keeps the value it has. Raises InvalidInput for the first field that is wrong, and
    Conflict for a job that does not wait.
    """
    require_waiting(job)
    given: dict[str, Any] = {}
    run_at: datetime | None = None
    delayed = False
    for word, value in wanted.items():
        spelled, dot, name = word.partition(".")
        if dot and spelled in ONE_OF_PAIRS:
            field = ONE_OF_PAIRS[spelled]
            pairs = dict(given.get(field, getattr(job.spec, field)))
            given[field] = CHECKS[field](_with_pair(pairs, name, value))
            continue
        key = resolve_field(word)
        if key in RESULT_FIELDS:
            raise InvalidInput(f"field {shown(word)} is a result and cannot be set")
        if key == HOLD:
            raise InvalidInput(
                f"field {shown(word)} is for new jobs",
                hint=f"queuectl stash {job.id}, queuectl resume {job.id}",
            )
        if key in given or (key in TIME_FIELDS and run_at is not None):
            raise InvalidInput(f"field {shown(word)} is given twice")
        if key in TIME_FIELDS:
            delayed = TIME_FIELDS[key] == "in"
            run_at = now if value is None else parse_time(TIME_FIELDS[key], value)
        elif value is None:
            given[key] = _default(key, settings)
        else:
            given[key] = CHECKS[key](_unmasked(key, value, job))
    if given.get("id", job.id) != job.id:
        raise InvalidInput(f"the id of job '{job.id}' cannot be changed")
    spec = replace(job.spec, **given)
    if spec.command != job.spec.command:
        require_allowed(spec.command, settings)
    if spec.preflight is not None and spec.preflight != job.spec.preflight:
        require_allowed(spec.preflight, settings)
    return state_machine.edit(job, spec, run_at or job.run_at, now, delayed=delayed)


def changes_nothing(change: Transition) -> bool:
    """Whether an edit leaves everything as it is."""
    after = change.after
    if after is None:
        return False
    return (after.spec, after.run_at) == (change.before.spec, change.before.run_at)


def move_first(job: Job, head: Job | None, now: datetime) -> Transition:
    """A job that waits goes before the one that was to be next in its queue, and is due."""
    if head is None or head.id == job.id:
        return state_machine.edit(job, job.spec, min(job.run_at, now), now)
    spec = replace(job.spec, priority=max(job.spec.priority, head.spec.priority))
    return state_machine.edit(job, spec, min(now, head.run_at - _TICK), now)


def move_last(job: Job, tail: Job | None, now: datetime) -> Transition:
    """A job that waits goes behind the last one of its queue that is due."""
    if tail is None or tail.id == job.id:
        return state_machine.edit(job, job.spec, job.run_at, now)
    spec = replace(job.spec, priority=min(job.spec.priority, tail.spec.priority))
    return state_machine.edit(job, spec, max(now, job.run_at, tail.run_at + _TICK), now)


def switch(job: Job, other: Job, now: datetime) -> Transition:
    """A job that waits takes the place that another one has in their queue.

    Of two that are equal in priority and time, the later one goes before the other's instant.
    """
    spec = replace(job.spec, priority=other.spec.priority)
    is_tie = (job.spec.priority, job.run_at) == (other.spec.priority, other.run_at)
    run_at = other.run_at - _TICK if is_tie and job.seq > other.seq else other.run_at
    return state_machine.edit(job, spec, run_at, now)


def _default(key: str, settings: Settings) -> Any:
    """Return what a new job would have in a field that nobody named."""
    if key in ("id", "command"):
        raise InvalidInput(f"field '{key}' cannot be empty")
    return defaults_of(settings)[key]


def _with_pair(pairs: dict[str, str], name: str, value: object) -> dict[str, Any]:
    if value is None:
        return {other: text for other, text in pairs.items() if other != name}
    return {**pairs, name: pairs.get(name, value) if value == MASK else value}


def _unmasked(key: str, value: object, job: Job) -> object:
    """Return what was typed, with the secrets that a job has where their masks were left."""
    if key in ASKED and ASKED[key].is_secret:
        return getattr(job.spec, key) or value if value == MASK else value
    if key != "env" or not isinstance(value, Mapping):
        return value
    had = dict(job.spec.env)
    return {name: had.get(name, text) if text == MASK else text for name, text in value.items()}
