"""Schedules as lines of a crontab, as far as cron can say them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from queuectl.domain.schedule import Schedule
from queuectl.transfer.foreign.cron_fields import NotCron, split_time
from queuectl.transfer.foreign.entry import Context
from queuectl.transfer.foreign.shell_lines import NotALine, Written, line_of

_LONGEST = 998
"""Debian's cron takes 1,000 characters of a command."""

_OF_CRON = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
_SIGNS = re.compile(r"\\{2,}|\\(?=%|\Z)|%")
"""What cron reads as something else in a command: backslashes that pair, and the percent sign."""

_SAID = frozenset(
    "command cwd env clean_env timeout input_text imported_from max_retries labels backoff_base "
    "backoff_cap".split()
)


def written(schedule: Schedule, zone: str, context: Context, *, masked: bool) -> Written:
    """Return a schedule as a line, where `zone` is that of the machine whose cron is to read it."""
    try:
        line = _line(schedule, zone, context, masked=masked)
    except (NotALine, NotCron) as fault:
        return Written(schedule.name, why=str(fault))
    return Written(schedule.name, line, tuple(_notes(schedule)))


def _line(schedule: Schedule, zone: str, context: Context, *, masked: bool) -> str:
    if schedule.cron is None:
        raise NotALine("cron has no intervals")
    time, _ = split_time(f"{schedule.cron} x")
    if schedule.tz != zone:
        raise NotALine(f"its zone is {schedule.tz}, and cron goes by that of the machine, {zone}")
    fields = schedule.fields
    command = fields["command"]
    env = _variables(fields, context)
    cwd = fields.get("cwd")
    text = line_of(
        command if isinstance(command, str) else tuple(command),
        cwd=None if cwd == context.home else cwd,
        env=env,
        timeout=float(fields.get("timeout") or 0),
        masked=masked,
    )
    text = _SIGNS.sub(lambda found: "\\%" if found[0] == "%" else found[0] * 2, text)
    text += _behind_percent(fields.get("input_text"), masked=masked)
    if len(text) > _LONGEST:
        raise NotALine(f"its command has more than {_LONGEST} characters")
    return f"{time} {text}"


def _variables(fields: Mapping[str, Any], context: Context) -> dict[str, str]:
    """Return the variables that cron does not give by itself."""
    given = {**_OF_CRON, "LOGNAME": context.user, "USER": context.user, "HOME": context.home}
    env = fields.get("env") or {}
    return {name: str(value) for name, value in env.items() if given.get(name) != str(value)}


def _behind_percent(text: str | None, *, masked: bool) -> str:
    if text is None:
        return ""
    if masked:
        return "%********"
    lines = text.removesuffix("\n")
    if "\\\n" in f"{lines}\n":
        raise NotALine("cron cannot say a backslash at the end of a line that is read")
    return "%" + lines.replace("%", "\\%").replace("\n", "%")


def _notes(schedule: Schedule) -> Iterator[str]:
    """Yield what the line loses."""
    if schedule.catch_up:
        yield "runs that are missed are not made up for"
    if not schedule.overlap:
        yield "it starts though an earlier run goes on"
    if int(schedule.fields.get("max_retries") or 3) > 1:
        yield "it is not tried again"
    lost = sorted(name for name in schedule.fields if name not in _SAID)
    if lost:
        yield f"without {', '.join(lost)}"
