"""Hooks as people read them: the columns of a listing, and all about one of them."""

from __future__ import annotations

from collections.abc import Iterator

from queuectl.domain.hook_messages import sentence
from queuectl.domain.hooks import Hook, as_dict, shown_address
from queuectl.domain.job import Job
from queuectl.presentation import tables
from queuectl.presentation.columns import attempts_text, state_style, state_text
from queuectl.queue.hook_deliveries import facts_of


def hook_columns(clock: tables.Clock) -> list[tables.Column[Hook]]:
    """Return the columns of a listing of hooks."""
    return [
        tables.Column("NAME", lambda each: each.name),
        tables.Column("TELLS", lambda each: each.when or ", ".join(each.events)),
        tables.Column("QUEUE", lambda each: each.queue or "", optional=True),
        tables.Column("LABELS", lambda each: ", ".join(each.labels), optional=True, yields=2),
        tables.Column("STATE", _state, optional=True, style=_style),
        tables.Column("SINCE", lambda each: clock.around(each.changed_at), optional=True,
                      yields=3),
        tables.Column("BY", lambda each: each.target.value, yields=1),
        tables.Column("TO", shown_address),
    ]  # fmt: skip


def _state(hook: Hook) -> str:
    if hook.paused:
        return "paused"
    return "crossed" if hook.is_crossed else ""


def _style(hook: Hook) -> str:
    return "yellow" if hook.paused else "red"


def hook_details(hook: Hook, clock: tables.Clock) -> Iterator[tuple[str, str]]:
    """Yield names and values; an empty value is not shown."""
    told = as_dict(hook)
    yield "name", hook.name
    yield "state", _state(hook) or "on"
    yield "on", ", ".join(hook.events)
    for key in ("when", "queue"):
        yield key, told[key] or ""
    yield "labels", ", ".join(hook.labels)
    yield hook.target.value, told["address"]
    for key in ("format", "cwd", "smtp", "from"):
        yield key, told[key] or ""
    yield "secret", "is kept, and not shown" if hook.secret is not None else ""
    yield "changed_at", clock.at(hook.changed_at) if hook.changed_at else ""
    yield "value", f"{hook.value:g}" if hook.value is not None else ""
    yield "created_at", clock.at(hook.created_at)


def delivery_columns(clock: tables.Clock) -> list[tables.Column[Job]]:
    """Return the columns of a listing of a hook's deliveries."""
    return [
        tables.Column("CREATED", lambda job: clock.at(job.created_at)),
        tables.Column("STATE", state_text, style=state_style),
        tables.Column("ATTEMPTS", attempts_text, yields=1),
        tables.Column("EVENT", delivered_text),
        tables.Column("ERROR", lambda job: job.last_error or "", optional=True, yields=2),
        tables.Column("ID", lambda job: job.id, yields=3),
    ]  # fmt: skip


def delivered_text(job: Job) -> str:
    """Return what a delivery tells, in a sentence."""
    try:
        return sentence(facts_of(job))
    except (ValueError, KeyError):
        return "cannot be read"
