"""Hours of the day between which a job may start, as a person writes them: `22:00-06:00`.

Days of the week may stand before them (`mon-fri 22:00-06:00`, `sat,sun 8-20`), and a time zone
behind them (`22:00-06:00 Europe/Berlin`). Hours over midnight are of the day on which they begin.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from queuectl.domain.errors import InvalidInput, shown

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*"
_TIME = r"\d{1,2}(?::\d{2})?"
_FORM = re.compile(
    rf"(?:(?P<days>{_DAY}(?:[-,]{_DAY})*)\s+)?(?P<begin>{_TIME})\s*-\s*(?P<end>{_TIME})"
    r"(?:\s+(?P<zone>[a-z][\w+/-]*))?",
    re.IGNORECASE | re.ASCII,
)
_MINUTES = 24 * 60


class Hours(NamedTuple):
    """When jobs may start: on `days` (0 is Monday) from `begin` to `end`, in minutes of the day.

    Where `end` is not after `begin` it is on the next day. An empty `zone` is the local one.
    """

    days: tuple[int, ...]
    begin: int
    end: int
    zone: str

    @property
    def text(self) -> str:
        """The hours in their one form."""
        days = (
            f"{','.join(_DAYS[day] for day in self.days)} " if len(self.days) < len(_DAYS) else ""
        )
        found = re.sub(r"\b(mon,tue,wed,thu,fri)\b", "mon-fri", days)
        return (
            f"{found}{_clock(self.begin)}-{_clock(self.end)}{' ' if self.zone else ''}{self.zone}"
        )


def check_between(field: str, value: object) -> str:
    """Return hours in their one form. Raises InvalidInput for what is none."""
    if not isinstance(value, str):
        raise InvalidInput(f"{field} must be hours such as 22:00-06:00, not {shown(value)}")
    return parse_hours(field, value).text


def parse_hours(field: str, text: str) -> Hours:
    """Return the hours that a text means. Raises InvalidInput."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise InvalidInput(
            f"{field} {shown(text)} must be hours such as 22:00-06:00",
            hint="or 'mon-fri 22:00-06:00', or '22:00-06:00 Europe/Berlin'",
        )
    begin, end = _minutes(field, found["begin"]), _minutes(field, found["end"])
    if begin == _MINUTES:
        begin = 0
    if begin == end % _MINUTES:
        raise InvalidInput(f"{field} {shown(text)} is the whole day: leave it out")
    return Hours(_days(found["days"] or ""), begin, end, found["zone"] or "")


def _minutes(field: str, text: str) -> int:
    hour, _, minute = text.partition(":")
    total = int(hour) * 60 + int(minute or 0)
    if int(minute or 0) >= 60 or total > _MINUTES:
        raise InvalidInput(f"{field}: {shown(text)} is no time of the day")
    return total


def _days(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in filter(None, text.lower().split(",")):
        first, *others = (_DAYS.index(word[:3]) for word in part.split("-"))
        last = others[-1] if others else first
        found.update((first + n) % 7 for n in range((last - first) % 7 + 1))
    return tuple(sorted(found)) or tuple(range(7))


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
