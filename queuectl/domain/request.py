"""From what a person wrote (options, or a JSON object) to a validated `Request`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from queuectl.domain.errors import InvalidInput, nearest, shown
from queuectl.domain.field_checks import check_command, check_name
from queuectl.domain.frozen import frozen
from queuectl.domain.job_fields import ASKED, Spec

RESULT_FIELDS = frozenset(
    "state attempts created_at updated_at started_at finished_at failed_at stdout stderr "
    "stdout_cut stderr_cut exit_code signal duration timed_out last_error worker reason runs "
    "interruptions history waits_for paused".split()
)
"""Fields that describe what became of a job; on input they are ignored with a note."""

TIME_FIELDS = {"run_at": "at", "at": "at", "in": "in", "delay": "in"}
"""Fields that say when a job is due, and which of the two ways of saying it each one is."""

ALIASES = {field.option: name for name, field in ASKED.items() if field.option != name}

ParseTime = Callable[[str, object], datetime]
"""Turns ("at" or "in", what was written) into an instant. Raises InvalidInput."""


@frozen
class Request:
    """A job to be enqueued: its specification and when it is due (None: at once).

    `delayed` says that the time was given as a length of time from now. `notes` are lines for the
    person who asked; `replace` allows a job of this id to be replaced.
    """

    spec: Spec
    run_at: datetime | None = None
    notes: tuple[str, ...] = ()
    replace: bool = False
    delayed: bool = False


def resolve_field(word: str) -> str:
    """Return the field that a word means. Raises InvalidInput with the nearest."""
    if not isinstance(word, str):
        raise TypeError(f"the name of a field is a string, not {word!r}")
    key = word.strip().lower().replace("-", "_")
    key = ALIASES.get(key, key)
    if key in CHECKS or key in TIME_FIELDS or key in RESULT_FIELDS:
        return key
    close = nearest(key, [*sorted(CHECKS), *TIME_FIELDS])
    raise InvalidInput(
        f"unknown field {shown(word)}{close}",
        hint="" if close else "each long option of queuectl enqueue --help is a field",
    )


CHECKS: dict[str, Callable[[object], Any]] = {
    "id": partial(check_name, "id"),
    "command": partial(check_command, "command"),
    **{name: partial(field.check, name) for name, field in ASKED.items() if field.check},
}
"""Every field that a person may set, and what turns what was written into its value."""
