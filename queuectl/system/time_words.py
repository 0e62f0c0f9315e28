"""The words and numbers of times as people say them, and what a phrase says with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_FORMS = {
    **{form: day for day in WEEKDAYS for form in (day[:3], day)},
    "tues": "tuesday", "wednes": "wednesday", "thur": "thursday", "thurs": "thursday",
    **{form: month for month in MONTHS for form in (month[:3], month)},
    "sept": "september",
}  # fmt: skip
"""What weekdays and months are called, long and short."""

_UNITS = {
    "second": ("s", "sec", "secs", "second", "seconds"),
    "minute": ("m", "min", "mins", "minute", "minutes"),
    "hour": ("h", "hr", "hrs", "hour", "hours"),
    "day": ("d", "day", "days"),
    "week": ("w", "wk", "wks", "week", "weeks"),
    "month": ("mo", "month", "months"),
    "year": ("y", "yr", "yrs", "year", "years"),
}
UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words}
COUNTS = {
    word: count
    for count, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()
    )
} | {"a": 1, "an": 1}
CLOCKS = {"noon": 12, "midday": 12, "midnight": 0, "teatime": 16}
DAYS = {"today": 0, "tonight": 0, "tomorrow": 1, "yesterday": -1}
PARTS = ("morning", "afternoon", "evening", "night")
FILLERS = frozenset({"on", "the", "of", "o'clock", "and"})
FIRST_YEAR = 1970

TOKEN = re.compile(
    r"""(?P<ymd>\d{4}([-/.])\d{1,2}\2\d{1,2})(?!\d)
    | (?P<dmy>\d{1,2}\.\d{1,2}\.(?:\d{4}|\d\d)?)(?!\d)
    | (?P<slashed>\d{1,2}/\d{1,2}/\d{4})(?!\d)
    | (?P<partial>\d{1,2}/\d{1,2}(?:/\d+)?|\d{1,2}-\d{1,2}-\d+)(?!\d)
    | (?P<clock>\d{1,2}:\d\d(?::\d\d)?)(?!\d)
    | (?P<dotted>\d{1,2}\.\d\d)(?![\d.]\d)
    | (?P<offset>(?<=[\d:]\d)\s*[-+]\d\d:?\d\d)(?!\S)
    | (?P<meridiem>[ap]\.?m\b\.?)
    | (?P<hour>\d{1,2}h(?:\d\d)?)(?!\w)
    | (?P<shift>[-+]\s*\d+\s*[a-z]+)
    | (?P<ordinal>\d{1,2}(?:(?:st|nd|rd|th)\b|\.(?=\s*[a-z]{3})))
    | (?P<number>\d+)
    | (?P<zone>[a-z_]+/[a-z_/+-]+\d*)
    | (?P<comma>,|(?<=\d)t(?=\d))
    | (?P<word>[a-z][a-z']*\.?)
    | (?P<other>\S)""",
    re.VERBOSE | re.IGNORECASE,
)


class Token(NamedTuple):
    """A piece of a phrase: of which kind it is, in the names of `TOKEN`, and how it is written."""

    kind: str
    text: str

    @property
    def word(self) -> str:
        """What it says, whatever its case; a weekday or month by its full name."""
        word = self.text.lower().rstrip(".")
        return _FORMS.get(word, word)


NOTHING = Token("", "")


class Clock(NamedTuple):
    """A time of day as it was said; `is_exact` where it can only be one of 24 hours."""

    hour: int
    minute: int = 0
    second: int = 0
    is_exact: bool = False


class Date(NamedTuple):
    """A day of the calendar; without a year, of whichever fits."""

    day: int
    month: int
    year: int | None = None


class Weekday(NamedTuple):
    """A day of the week (0 is Monday), and `next`, `this` or `last` where that was said."""

    number: int
    which: str = ""


@dataclass
class Phrase:
    """What was said of a time, each part at most once.

    `day` may be a number of days from today, and `weekday` (0 is Monday) what a date is said to
    be; `meridiem` is `a` or `p`, `part` one of the day (`evening`); `shift` a number of units to
    add, of which `weeks` and `hours` are two, and `shift_by` how that is said: `+`, `in` or `next`;
    `zone` a name or `+02:00`.
    """

    day: int | Date | Weekday | None = None
    weekday: int | None = None
    clock: Clock | None = None
    is_now: bool = False
    meridiem: str | None = None
    part: str | None = None
    shift: tuple[int, str] | None = None
    shift_by: str = "+"
    zone: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether the local clock says when that is, rather than a zone or time that passes."""
        is_passing = self.shift is not None and self.shift[1] in ("second", "minute", "hour")
        has_time = self.clock is not None or self.day is not None
        has_days = self.shift is not None and not is_passing
        return self.zone is None and (has_time or has_days)
