"""When a new job is due, for the person who has said so."""

from __future__ import annotations

from datetime import datetime

from queuectl.domain.text import counted
from queuectl.domain.times import UTC

_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def due_text(run_at: datetime, now: datetime | None = None) -> str:
    """Return `, due Tue 1 Dec 14:30 CET (in 2 days)`, by the local clock; nothing if it is due.

    The year is named where it is another, seconds where there are any.
    """
    now = now or datetime.now(UTC)
    seconds = (run_at - now).total_seconds()
    if seconds <= 0:
        return ""
    local, today = run_at.astimezone(), now.astimezone()
    clock = "%H:%M:%S" if local.second else "%H:%M"
    year = "" if local.year == today.year else f" {local.year}"
    day = f"{local:%a} {local.day} {local:%b}{year}"
    return f", due {day} {local.strftime(clock)} {local:%Z} (in {_rough(seconds)})"


def _rough(seconds: float) -> str:
    """Return a length of time in its largest unit that counts: `2 days`, `45 minutes`."""
    for size, noun in _UNITS:
        if seconds > 1.95 * size:
            return counted(round(seconds / size), noun)
    return counted(1, "second")
