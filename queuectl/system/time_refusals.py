"""What is no time, and the nearest that is one."""

from __future__ import annotations

from queuectl.system.time_words import CLOCKS, DAYS, MONTHS, WEEKDAYS, Token

INSTEAD = {
    "half": "'9:30' or '30m'", "quarter": "'9:15' or '15m'", "past": "'9:30'",
    "eod": "'17:00' or '23:59'", "cob": "'17:00'", "end": "'31 dec 23:59'",
    "fortnight": "'2 weeks'", "fortnights": "'4 weeks'", "plus": "'now + 5 minutes'",
    "weekend": "'saturday'", "weekday": "'monday'", "christmas": "'25 dec'",
    "asap": "'now'", "immediately": "'now'", "morgen": "'tomorrow'", "heute": "'today'",
    "uhr": "'17:00'", "um": "'at 9'", "every": "queuectl schedule add NAME CRON COMMAND",
    "hourly": "queuectl schedule add NAME @hourly COMMAND",
    "daily": "queuectl schedule add NAME @daily COMMAND",
}  # fmt: skip
"""What to say for words that people use, and that are not read here."""


class Unreadable(ValueError):
    """What cannot be read as a time, or in more than one way; the text says what is wrong.

    `instead` is the nearest that can be read, if there is one.
    """

    def __init__(self, why: str, instead: str = "") -> None:
        super().__init__(why)
        self.instead = instead


def no_time(digits: str) -> Unreadable:
    """Return the error for a number that alone is no time, with what it may have been meant as."""
    if len(digits) == 3:
        return Unreadable(f"'{digits}' is no time of day", f"'0{digits}'")
    if len(digits) > 2:
        return Unreadable(f"'{digits}' is no time")
    number = int(digits)
    hour = f"'{number}:00' or " if number <= 24 else ""
    return Unreadable(f"'{digits}' says neither hour nor unit", f"{hour}'{number}m'")


def not_understood(token: Token) -> Unreadable:
    """Return the error for a piece that is none of a time, with the nearest one that is."""
    from difflib import get_close_matches

    word = token.word
    known = [*WEEKDAYS, *MONTHS, *CLOCKS, *DAYS, "minutes", "hours"]
    instead = INSTEAD.get(word, "")
    if not instead and word not in known and len(word) > 2:
        instead = "".join(f"'{near}'" for near in get_close_matches(word, known, n=1, cutoff=0.8))
    return Unreadable(f"'{token.text}' is not understood", instead)
