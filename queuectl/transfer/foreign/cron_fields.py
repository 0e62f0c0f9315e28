"""The time of a crontab's line: what cron makes of it, and what no two crons agree on."""

from __future__ import annotations

import re

from queuectl.system.cron_text import MACROS

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_DAYS = "sun mon tue wed thu fri sat".split()
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("weekday", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)
"""Each field with its least and greatest number, and the names that stand for numbers."""

_OTHERS = {
    "L": "is of other schedulers",
    "W": "is of other schedulers",
    "?": "is of Quartz: write *",
    "H": "is of Jenkins: write the number",
    "~": "is a random time in some crons: write the number",
    "#": "ran in each week, or never, in Debian's cron",
}
_NAMES = "|".join([*_DAYS, *_MONTHS])
_SIXTH = re.compile(rf"(?:[\d*,/?-]+|(?i:{_NAMES})(?:[-,](?i:{_NAMES}))*)[ \t]+\S")
"""A word that is a further field of time, and no command."""

_DELAY = re.compile(r"\d+[ \t]+\S")
"""The minutes of an anacrontab's line, which stand between its time and its name."""

_WORD = re.compile(r"[A-Za-z]{2,}")
_ITEM = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\w+))?")


class NotCron(ValueError):
    """The time of a line is not one that can be taken; the text says why and what to write."""


def split_time(line: str) -> tuple[str, str]:
    """Return the time of a line, and what stands behind it. Raises NotCron."""
    if line.startswith("@"):
        word = line.replace("\t", " ").partition(" ")[0]
        time, rest = _macro(word.lower()), line[len(word) :].strip(" \t")
        if _DELAY.match(rest):
            raise NotCron("a number stands behind it: is it an anacrontab's line, with a delay?")
        return time, rest
    found = re.match(r"((?:[^ \t]+[ \t]+){4}[^ \t]+)(?:[ \t]+(.*))?$", line, re.DOTALL)
    if not found:
        raise NotCron("is neither NAME=VALUE nor five fields of time with a command")
    time = " ".join(found[1].split())
    check_time(time)
    rest = found[2] or ""
    if _SIXTH.match(rest):
        raise NotCron("it has more than five fields of time: cron has no seconds, and no years")
    return time, rest


def _macro(word: str) -> str:
    if word in MACROS:
        return word
    if word == "@reboot":
        raise NotCron(
            "@reboot: queuectl does not see the machine start; add the command to what starts "
            "your workers, or enqueue it from a systemd unit (docs/deploy.md)"
        )
    if word == "@every":
        raise NotCron("@every is not of cron: queuectl schedule add NAME --every 90m COMMAND")
    raise NotCron(f"{word} is not of cron")


def check_time(time: str) -> None:
    """Raise NotCron for five fields that cron would not take, or not take for what they say."""
    for text, (name, least, most, names) in zip(time.split(), _FIELDS, strict=True):
        for item in text.split(","):
            try:
                _check_item(item, least, most, names)
            except NotCron as fault:
                raise NotCron(f"{name} '{text}': {fault}") from None


def _check_item(item: str, least: int, most: int, names: dict[str, int]) -> None:
    for mark, what in _OTHERS.items():
        if mark in _WORD.sub("", item).upper():
            raise NotCron(f"'{mark}' {what}")
    found = _ITEM.fullmatch(item)
    if not found or (found["first"] == "*" and found["last"]):
        raise NotCron("is not a number, a range or *")
    step = _number(found["step"], 1, None, {}) if found["step"] else 1
    if found["first"] == "*":
        _check_step(item, step, most - least + (0 if names and most == 7 else 1))
        return
    first = _number(found["first"], least, most, names)
    if found["last"] is None:
        if found["step"]:
            raise NotCron(
                f"cron reads '{item}' as {first} alone, or not at all: write {first}-{most}/{step}"
            )
        return
    last = _number(found["last"], least, most, names)
    if first > last:
        whole = (
            f"{found['first']}-7" if last == 0 and most == 7 else f"{first}-{most},{least}-{last}"
        )
        raise NotCron(f"a range that falls never ran in Debian's cron: write {whole}")


def _check_step(item: str, step: int, number: int) -> None:
    if step > number:
        raise NotCron(
            f"'{item}' is once in the whole range, not each {step}: write the number, or "
            "queuectl schedule add NAME --every"
        )


def _number(word: str, least: int, most: int | None, names: dict[str, int]) -> int:
    if word.lower() in names:
        return names[word.lower()]
    if not word.isascii() or not word.isdigit():
        names_too = f" or one of {', '.join(names)}" if names else ""
        raise NotCron(f"'{word}' is not a number{names_too}")
    number = int(word)
    if most is None and number < least:
        raise NotCron("a step of 0")
    if most is not None and not least <= number <= most:
        raise NotCron(f"{number} is not from {least} to {most}")
    return number
