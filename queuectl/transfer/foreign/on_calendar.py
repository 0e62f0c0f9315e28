"""systemd's `OnCalendar`, where a cron expression can say the same."""

from __future__ import annotations

import re

_WORDS = {
    "minutely": "* * * * *", "hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 1",
    "monthly": "0 0 1 * *", "quarterly": "0 0 1 1,4,7,10 *", "semiannually": "0 0 1 1,7 *",
    "semi-annually": "0 0 1 1,7 *", "yearly": "0 0 1 1 *", "annually": "0 0 1 1 *",
}  # fmt: skip
_DAYS = {
    name: number
    for number, full in enumerate(
        "sunday monday tuesday wednesday thursday friday saturday".split()
    )
    for name in (full, full[:3])
}
_TIME = re.compile(r"(?P<hour>[\d*,./]+):(?P<minute>[\d*,./]+)(?::(?P<second>[\d*,./]+))?")
_DATE = re.compile(r"(?:(?P<year>[\d*,./]+)-)?(?P<month>[\d*,./]+)[-~](?P<day>[\d*,./]+)")
_ZONE = re.compile(r"UTC|[A-Za-z]+(?:/[A-Za-z0-9_+-]+)+")
_PART = re.compile(r"(?P<first>\*|\d+)(?:\.\.(?P<last>\d+))?(?:/(?P<step>\d+))?")


class NotForCron(ValueError):
    """Cron cannot say it; the text says why."""


def cron_of(text: str) -> tuple[str, str | None]:
    """Return the cron expression, and the zone if one is named. Raises NotForCron."""
    words = text.split()
    zone = words.pop() if len(words) > 1 and _ZONE.fullmatch(words[-1]) else None
    if len(words) == 1 and words[0].lower() in _WORDS:
        return _WORDS[words[0].lower()], zone
    weekday = _weekdays(words.pop(0)) if words and words[0][:1].isalpha() else "*"
    month, day = "*", "*"
    if words and _DATE.fullmatch(words[0]):
        month, day = _date(words.pop(0))
    hour, minute = "0", "0"
    if words and _TIME.fullmatch(words[0]):
        hour, minute = _time(words.pop(0))
    if words or not text.strip():
        raise NotForCron(f"OnCalendar={text}: cron cannot say '{' '.join(words) or text}'")
    if weekday != "*" and day != "*":
        raise NotForCron(
            f"OnCalendar={text}: cron takes a day of the month or a weekday, not both at once"
        )
    return f"{minute} {hour} {day} {month} {weekday}", zone


def _weekdays(text: str) -> str:
    """Return weekdays as numbers for cron, Sunday as 0: `Mon..Fri`, `Sat,Sun`, `Mon-Fri`."""
    numbers: dict[int, None] = {}
    for part in text.rstrip(",").split(","):
        first, dots, last = part.partition(".." if ".." in part else "-")
        ends = [first, last] if dots else [first]
        if any(end.lower() not in _DAYS for end in ends):
            raise NotForCron(f"'{part}' is no weekday")
        start, stop = (_DAYS[end.lower()] or 7 for end in (first, ends[-1]))
        if stop < start:  # the week of systemd ends on Sunday
            raise NotForCron(f"'{part}' is a range that falls, which systemd does not take")
        numbers |= dict.fromkeys(number % 7 for number in range(start, stop + 1))
    return ",".join(str(number) for number in sorted(numbers))


def _date(text: str) -> tuple[str, str]:
    """Return the month and the day of the month for cron."""
    if "~" in text:
        raise NotForCron(f"'{text}': cron cannot count from the end of a month")
    found = _DATE.fullmatch(text)
    assert found is not None
    if found["year"] not in (None, "*"):
        raise NotForCron(f"'{text}': cron has no years; queuectl enqueue --at is for one time")
    return _field(found["month"], 1, 12), _field(found["day"], 1, 31)


def _time(text: str) -> tuple[str, str]:
    """Return the hour and the minute for cron."""
    found = _TIME.fullmatch(text)
    assert found is not None
    if set(found["second"] or "0") - {"0"}:
        raise NotForCron(f"'{text}': cron has no seconds")
    return _field(found["hour"], 0, 23), _field(found["minute"], 0, 59)


def _field(text: str, least: int, most: int) -> str:
    """Return one field of numbers for cron: `a..b` is a range, `a/n` each n from a on."""
    return ",".join(_part(part, least, most) for part in text.split(","))


def _part(text: str, least: int, most: int) -> str:
    found = _PART.fullmatch(text)
    if found is None or (found["first"] == "*" and found["last"]):
        raise NotForCron(f"'{text}' is no number, range or repetition")
    if found["first"] == "*" and found["step"]:
        raise NotForCron(f"'{text}' is none of systemd's: write {least}/{found['step']}")
    step = int(found["step"] or 0)
    if found["step"] and not 1 <= step <= most:
        raise NotForCron(f"'{text}': each {step} is not for cron")
    if found["first"] == "*":
        return "*"
    first, last = int(found["first"]), int(found["last"] or found["first"])
    if not least <= first <= last <= most:
        raise NotForCron(f"'{text}' is not within {least} and {most}")
    if not step:
        return f"{first}-{last}" if found["last"] else str(first)
    end = last if found["last"] else most
    return f"*/{step}" if (first, end) == (least, most) else f"{first}-{end}/{step}"
