"""Times as people say them: `tomorrow 9:00`, `fri 10pm`, `1 dec`, `now + 2 weeks`, `teatime`.

Every word and number of a phrase is used, or the phrase is refused: a job that runs at a time that
nobody meant is worse than one that is refused. This reads what is said; `phrase_meaning` reckons
which instant that is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import cast

from queuectl.system.time_refusals import INSTEAD, Unreadable, no_time, not_understood
from queuectl.system.time_words import (
    CLOCKS,
    COUNTS,
    DAYS,
    FILLERS,
    FIRST_YEAR,
    MONTHS,
    NOTHING,
    PARTS,
    TOKEN,
    UNIT_OF,
    WEEKDAYS,
    Clock,
    Date,
    Phrase,
    Token,
    Weekday,
)  # fmt: skip

_CALLED = {"clock": "time of day", "meridiem": "half of the day", "shift": "length of time"}


def read_phrase(text: str, *, month_first: bool | None = None) -> Phrase:
    """Return what a phrase says. Raises Unreadable unless each piece of it is understood.

    `month_first` says how a date with slashes is read that can be read in two ways; None refuses.
    """
    found = TOKEN.finditer(text.strip())
    return _Reader((Token(each.lastgroup or "", each[0]) for each in found), month_first).read()


class _Reader:
    """Reads the pieces of a phrase from left to right."""

    def __init__(self, tokens: Iterable[Token], month_first: bool | None) -> None:
        self._tokens = list(tokens)
        self._month_first = month_first
        self._said = Phrase()
        self._hour_follows = False
        self._readers: dict[str, Callable[[Token], None]] = {
            "ymd": self._on_ymd, "dmy": self._on_dmy, "slashed": self._on_slashed,
            "partial": self._on_partial, "dotted": self._on_dotted, "clock": self._on_clock,
            "offset": self._on_zone, "meridiem": self._on_meridiem,
            "hour": self._on_hour, "shift": self._on_shift, "ordinal": self._on_number,
            "number": self._on_number, "zone": self._on_zone, "word": self._on_word,
            "comma": lambda _: None,
        }  # fmt: skip

    def read(self) -> Phrase:
        """Return what all pieces say together."""
        while self._tokens:
            token = self._tokens.pop(0)
            read = self._readers.get(token.kind)
            if read is None:
                raise not_understood(token)
            read(token)
        if self._hour_follows:
            raise Unreadable("no time of day follows 'at'")
        return self._said

    @property
    def _next(self) -> Token:
        return self._tokens[0] if self._tokens else NOTHING

    def _pass(self, *words: str) -> bool:
        """Pass over these words if they come next; return whether they did."""
        if [token.word for token in self._tokens[: len(words)]] != list(words):
            return False
        del self._tokens[: len(words)]
        return True

    def _set(self, part: str, value: object) -> None:
        if getattr(self._said, part) is not None:
            raise Unreadable(f"it says the {_CALLED.get(part, part)} twice")
        setattr(self._said, part, value)

    def _set_day(self, day: int | Date | Weekday) -> None:
        """Note the day; one of the calendar may be said with its weekday."""
        known = self._said.day
        if known is None and self._said.is_now:
            raise Unreadable("'now' is a time by itself")
        pair = (known, day) if isinstance(day, Date) else (day, known)
        if isinstance(pair[0], Weekday) and isinstance(pair[1], Date) and not pair[0].which:
            self._said.day = None
            self._set("weekday", pair[0].number)
            day = pair[1]
        self._set("day", day)

    def _set_clock(self, clock: Clock) -> None:
        is_past_24 = clock[:3] > (24, 0, 0)
        if self._said.is_now or is_past_24 or clock.minute > 59 or clock.second > 59:
            raise Unreadable(f"there is no time {clock.hour}:{clock.minute:02}")
        self._set("clock", clock)
        self._hour_follows = False

    # numbers

    def _on_ymd(self, token: Token) -> None:
        year, month, day = map(int, re.split(r"[-/.]", token.text))
        self._set_day(Date(day, month, year))

    def _on_dmy(self, token: Token) -> None:
        day, month, year = token.text.split(".")
        century = 2000 if len(year) == 2 else 0
        self._set_day(Date(int(day), int(month), int(year) + century if year else None))

    def _on_slashed(self, token: Token) -> None:
        first, second, year = map(int, token.text.split("/"))
        is_month_first = self._month_first
        if first > 12 or second > 12 or first == second:
            is_month_first = second > 12
        if is_month_first is None:
            one, other = f"{year}-{second:02}-{first:02}", f"{year}-{first:02}-{second:02}"
            raise Unreadable(f"{token.text} can be {one} or {other}")
        day, month = (second, first) if is_month_first else (first, second)
        self._set_day(Date(day, month, year))

    def _on_partial(self, token: Token) -> None:
        why = f"'{token.text}' does not say which number is what"
        raise Unreadable(why, "the date as 2030-01-31 or 31.1.2030")

    def _on_clock(self, token: Token) -> None:
        hour, minute, *second = map(int, token.text.split(":"))
        is_exact = token.text.startswith("0") or hour > 12
        self._set_clock(Clock(hour, minute, second[0] if second else 0, is_exact))

    def _on_dotted(self, token: Token) -> None:
        """Read `9.30`, which is a time of day, or `1.12`, which can be a day too."""
        one, two = map(int, token.text.split("."))
        following = self._next
        has_day = self._said.day is not None or self._names_day(following)
        if one > 24 and 1 <= two <= 12:
            self._set_day(Date(one, two))
        elif has_day or self._hour_follows or following.kind == "meridiem" or not 1 <= two <= 12:
            self._set_clock(Clock(one, two, is_exact=one > 12))
        elif self._said.clock or following.kind == "clock":
            self._set_day(Date(one, two))
        else:
            raise Unreadable(f"{token.text} can be {one}:{two:02} or {one} {MONTHS[two - 1]}")

    def _on_hour(self, token: Token) -> None:
        hour, _, minute = token.text.lower().partition("h")
        is_clock = self._hour_follows or self._said.day is not None or self._names_day(self._next)
        if not is_clock:
            length = f"{hour}h{minute}m" if minute else f"{hour}h"
            raise Unreadable(f"'{token.text}' can be {hour}:{minute or '00'} or {length} from now")
        self._set_clock(Clock(int(hour), int(minute or 0), is_exact=True))

    def _on_meridiem(self, token: Token) -> None:
        if self._said.clock is None:
            raise Unreadable(f"no time of day comes before '{token.text}'")
        self._set("meridiem", token.word[0])

    def _on_shift(self, token: Token) -> None:
        sign, count, word = re.findall(r"[-+]|\d+|[a-z]+", token.text, re.IGNORECASE)
        self._set_shift(int(sign + count), word, "+")

    def _set_shift(self, count: int, word: str, how: str) -> None:
        unit = UNIT_OF.get(word.lower())
        if unit is None:
            raise Unreadable(f"'{word}' is no unit of time", INSTEAD.get(word.lower(), ""))
        if word == "M":
            raise Unreadable("'M' can be minutes or months", "'5m' or '5 months'")
        self._set("shift", (count, unit))
        self._said.shift_by = how

    def _on_number(self, token: Token) -> None:
        digits, following = re.sub(r"\D", "", token.text), self._next
        number = int(digits)
        if following.word in MONTHS or (token.kind == "ordinal" and self._pass("of")):
            self._on_month(self._tokens.pop(0) if self._tokens else NOTHING, number)
        elif token.kind == "ordinal":
            raise not_understood(following if "." in token.text else token)
        elif following.word in UNIT_OF:
            self._on_length(number, self._tokens.pop(0).text)
        elif len(digits) == 4 and self._is_year(number):
            self._said.day = cast(Date, self._said.day)._replace(year=number)
        elif len(digits) == 4:
            self._set_clock(Clock(number // 100, number % 100, is_exact=True))
        elif len(digits) < 3 and number < 24 and self._is_hour(following):
            self._set_clock(Clock(number, is_exact=digits.startswith("0") or number > 12))
        else:
            raise not_understood(following) if following.word in INSTEAD else no_time(digits)

    def _is_year(self, number: int) -> bool:
        """Whether a number is the year of the day: behind the time, as `date` writes it."""
        day, clock = self._said.day, self._said.clock
        return isinstance(day, Date) and not day.year and clock is not None and number >= FIRST_YEAR

    def _is_hour(self, following: Token) -> bool:
        """Whether a bare number is an hour: after `at` or a day, or before what says so."""
        says_so = following.kind == "meridiem" or following.word == "o'clock"
        is_of_day = self._said.day is not None or self._names_day(following)
        return self._hour_follows or says_so or is_of_day or self._is_in_the(following)

    def _is_in_the(self, following: Token) -> bool:
        return following.word == "in" and [each.word for each in self._tokens[1:2]] == ["the"]

    def _names_day(self, token: Token) -> bool:
        return token.word in WEEKDAYS or token.word in DAYS or token.word in ("on", "this", "next")

    def _on_month(self, token: Token, day: int) -> None:
        if token.word not in MONTHS:
            raise Unreadable(f"no month follows {day}")
        self._set_day(Date(day, MONTHS.index(token.word) + 1, self._year()))

    def _year(self) -> int | None:
        """Return the year that comes next and pass over it, or None."""
        rest = self._tokens[1:] if self._next.kind == "comma" else self._tokens
        year = rest[0] if rest else NOTHING
        if year.kind != "number" or len(year.text) != 4 or int(year.text) < FIRST_YEAR:
            return None
        self._tokens = rest[1:]
        return int(year.text)

    def _on_length(self, count: int, word: str) -> None:
        if self._pass("ago"):
            count = -count
        elif not self._pass("from", "now"):
            self._pass("later")
        self._set_shift(count, word.rstrip("."), "in")

    # words

    def _on_zone(self, token: Token) -> None:
        text = token.text.strip()
        if token.kind == "offset" and text[0] == "-" and not self._is_dated(token.text):
            why = f"'{text}' can be an offset from UTC, or the end of a range"
            raise Unreadable(why, "an ISO time: 2030-01-31T14:30-05:00")
        self._set("zone", text)

    def _is_dated(self, offset: str) -> bool:
        """Whether an offset follows a date as in mails: `31 Jan 2030 14:30 -0500`."""
        day = self._said.day
        return (
            isinstance(day, Date)
            and day.year is not None
            and re.match(r"\s+-\d{4}", offset) is not None
        )

    def _on_word(self, token: Token) -> None:
        word, following = token.word, self._next.word
        if word in FILLERS:
            return
        if word == "at":
            self._hour_follows = True
        elif word == "now":
            self._on_now()
        elif word in CLOCKS:
            self._set_clock(Clock(CLOCKS[word], is_exact=True))
        elif word in PARTS:
            self._set("part", word)
        elif word in DAYS:
            self._set_day(DAYS[word])
            if word == "tonight":
                self._set("part", "night")
        elif word == "day" and self._pass("after", "tomorrow"):
            self._set_day(2)
        elif word in WEEKDAYS:
            self._set_day(Weekday(WEEKDAYS.index(word)))
        elif word in MONTHS:
            self._on_day_of(token)
        elif word in COUNTS and following in UNIT_OF:
            self._on_length(COUNTS[word], self._tokens.pop(0).text)
        elif word in ("next", "this", "last", "in"):
            self._on_word_before(token)
        else:
            self._on_name_of_zone(token)

    def _on_now(self) -> None:
        if self._said.clock or self._said.day is not None or self._said.is_now:
            raise Unreadable("'now' is a time by itself")
        self._said.is_now, self._hour_follows = True, False

    def _on_day_of(self, month: Token) -> None:
        day = self._next
        digits = re.sub(r"\D", "", day.text)
        if day.kind not in ("number", "ordinal") or len(digits) > 2:
            raise Unreadable(f"no day follows '{month.text}'")
        self._tokens.pop(0)
        self._on_month(month, int(digits))

    def _on_word_before(self, token: Token) -> None:
        """Read a word that says something of the next one: `next week`, `in two hours`."""
        which, following = token.word, self._next
        is_count = following.kind == "number" or following.word in COUNTS
        if which == "in" and (is_count or following.word == "the"):
            return
        if which != "in" and following.word in WEEKDAYS:
            self._tokens.pop(0)
            self._set_day(Weekday(WEEKDAYS.index(following.word), which))
        elif which in ("next", "last") and following.word in UNIT_OF:
            self._set_shift(1 if which == "next" else -1, self._tokens.pop(0).word, "next")
        elif which == "this" and following.word in PARTS:
            self._set_day(0)
        else:
            raise not_understood(following if following.word in INSTEAD else token)

    def _on_name_of_zone(self, token: Token) -> None:
        """Read what may be the name of a zone, behind a time of day."""
        is_utc = token.word in ("utc", "z")
        if not (is_utc or (token.text.isupper() and self._said.clock)):
            raise not_understood(token)
        self._on_zone(token)
