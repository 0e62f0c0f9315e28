"""The text of a cron expression: its five fields, and what to write for what is none here.

Other programs know more than the crontab of Debian does. Where it is plain what was meant, the
refusal has the line that says so; nothing is guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from zlib import crc32

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.interval import interval_text, parse_interval

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIELDS = 5
LONGEST = 200
HINT = 'MINUTE HOUR DAY MONTH WEEKDAY, for example "0 3 * * 1-5"; or @hourly, @daily, @weekly'

_NAMES = ("minute", "hour", "day of the month", "month", "weekday")
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_DAY, _WEEKDAY = 2, 4
_IN_EACH_MONTH = 28
_WORDS: dict[int, dict[str, int]] = {
    3: {word: n for n, word in enumerate(
        "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(), 1)},
    4: {word: n for n, word in enumerate("SUN MON TUE WED THU FRI SAT".split())},
}  # fmt: skip
_PACE = ("hourly", "daily", "monthly", "yearly", "weekly")
"""What a step that is longer than its field comes to elsewhere."""

_RANGE = re.compile(r"(?P<first>\w+)-(?P<last>\w+)(?:/(?P<step>\d+))?")
_STEP = re.compile(r"(?:\*|\d+)/(?P<step>\d+)")
_HASH = re.compile(r"(?<![A-Z])H(?:\((?P<first>\d+)-(?P<last>\d+)\))?(?:/(?P<step>\d+))?(?![A-Z])")
_RANDOM = re.compile(r"(?P<first>\d*)~(?P<last>\d*)(?:/(?P<step>\d+))?")
_YEAR, _USER = re.compile(r"\d{4}(?:-\d{4})?"), re.compile(r"[a-z_][\w-]*")
_ZONED = re.compile(r"(?:CRON_)?TZ=(?P<zone>\S+)\s+(?P<rest>.+)", re.DOTALL)


def refusal(text: str, why: str, hint: str = "") -> InvalidInput:
    """Return the error for an expression that cannot be; without a hint, what one looks like."""
    return InvalidInput(f"cron {shown(text)} {why}", hint=hint or HINT)


def five_fields(text: str) -> str:
    """Return the five fields of an expression, with one blank between two.

    Raises InvalidInput for another number of them, and for what has a meaning elsewhere only.
    """
    if len(text) > LONGEST:
        raise refusal(text, f"is longer than {LONGEST} characters")
    words = text.split()
    if macro := MACROS.get(text.strip().lower()):
        return macro
    if words and words[0].startswith("@"):
        raise _no_macro(text, words)
    if zoned := _ZONED.fullmatch(text.strip()):
        hint = f'"{zoned["rest"]}" --tz {zoned["zone"]}'
        raise refusal(text, "has a time zone, which is an option here", hint)
    if len(words) != FIELDS:
        raise _no_five(text, words)
    for place, word in enumerate(words):
        _refuse_foreign(text, words, place, word.upper())
    return " ".join(words)


def looks_like_cron(text: str) -> bool:
    """Whether a text is a cron expression, rather than a command."""
    return text.strip().lower() in MACROS or (
        len(text.split()) == FIELDS and text.strip()[0] in "*0123456789"
    )


def unequal_steps(text: str) -> str:
    """Return what to say of steps that do not come out even: not all waits are as long then."""
    for place, word in enumerate(five_fields(text).split()[:_DAY]):
        step = int(word[2:]) if re.fullmatch(r"\*/\d+", word) else 1
        size = _BOUNDS[place][1] + 1
        if size % step:
            unit = "mh"[place]
            last = size - (size - 1) // step * step
            return f"the last step to the full {('hour', 'day')[place]} is {last}{unit} long; " + (
                f"--every {step}{unit} in place of the expression has equal ones"
            )
    return ""


def _no_macro(text: str, words: Sequence[str]) -> InvalidInput:
    word = words[0].lower()
    if word == "@every" and len(words) == 2:
        hint = f"queuectl schedule add NAME --every {words[1]} COMMAND"
        return refusal(text, "is an interval", hint)
    if word in ("@every_minute", "@minutely"):
        return refusal(text, "is not known here", 'write "* * * * *"')
    if word == "@reboot":
        hint = "in crontab -e: @reboot queuectl enqueue COMMAND; or a unit of systemd that does so"
        return refusal(text, "is no time: a queue outlives its machine's starts", hint)
    return refusal(text, "is not known here")


def _no_five(text: str, words: Sequence[str]) -> InvalidInput:
    """Return the refusal of more or fewer fields, with the five that were meant if it is plain."""
    why = f"has {len(words)} fields, not {FIELDS}"
    if interval := _interval_in(words):
        hint = f"queuectl schedule add NAME --every {interval} COMMAND"
        return refusal(text, "is an interval", hint)
    if len(words) not in (6, 7):
        return refusal(text, why)
    front, back = (" ".join(_without_question_marks(words[at : at + 5])) for at in (0, 1))
    sixth = words[5].upper()
    if len(words) == 6 and _YEAR.fullmatch(sixth):
        return refusal(text, f"{why}; the last would be a year", f'write "{front}"')
    if _USER.fullmatch(words[5]) and sixth[:3] not in _WORDS[_WEEKDAY]:
        hint = f'write "{front}"; runs are those of the user who starts the workers'
        return refusal(text, f"{why}; the sixth would be a user or a command", hint)
    if len(words) == 6 and sixth == "*" and front != back:
        hint = f'"{back}" if seconds come first, "{front}" if the year is last'
        return refusal(text, f"{why}, and may be meant in two ways", hint)
    return refusal(text, f"{why}; the first would be seconds", f'to the minute: "{back}"')


def _interval_in(words: Sequence[str]) -> str:
    """Return the interval that words are (`90m`, `every 5 minutes`), empty for anything else."""
    said = words[1:] if words and words[0].lower() == "every" else words
    try:
        return "" if " ".join(said).isdigit() else interval_text(parse_interval(" ".join(said)))
    except InvalidInput:
        return ""


def _without_question_marks(words: Sequence[str]) -> list[str]:
    return ["*" if word == "?" else word for word in words]


def _refuse_foreign(text: str, words: Sequence[str], place: int, word: str) -> None:
    """Raise InvalidInput for a field with a sign or range that only others know."""

    def instead(other: str) -> str:
        changed = [*words[:place], other, *words[place + 1 :]]
        return f'write "{" ".join(_without_question_marks(changed))}"'

    low, high = _BOUNDS[place]
    if word == "?":
        raise refusal(text, "has '?', which is '*' here", instead("*"))
    if found := _HASH.search(word) or _RANDOM.search(word):
        why = f"leaves the {_NAMES[place]} to chance ('{found.group()}')"
        other = word.replace(found.group(), _picked(found, place, text))
        raise refusal(text, f"{why}; it is for you to say here", instead(other))
    if place == _DAY and re.fullmatch(r"\d+W", word):
        hint = "a day (15), or LW: the last weekday of the month"
        raise refusal(text, f"has '{word}', the weekday that is nearest; that is unknown", hint)
    if place == _DAY and re.fullmatch(r"L-\d+", word):
        raise refusal(text, f"has '{word}'; only L, the last day of the month, is known")
    terms = word.split(",")
    for number, term in enumerate(terms):
        step = _STEP.fullmatch(term)
        if step and int(step["step"]) > high - low + 1:
            once = instead(term.partition("/")[0].replace("*", str(low)))
            hint = f"elsewhere that is {_PACE[place]}: {once}"
            if place < _DAY:
                hint += f"; or --every {step['step']}{'mh'[place]} in place of the expression"
            why = f"has the step {step['step']}, longer than the {_NAMES[place]} goes"
            raise refusal(text, why, hint)
        if values := _falling(place, term):
            other = ",".join([*terms[:number], values, *terms[number + 1 :]])
            why = f"has the range '{term}', which falls: elsewhere it never runs"
            raise refusal(text, why, instead(other))


def _picked(found: re.Match[str], place: int, text: str) -> str:
    """Return what may stand for a value that others pick at random: the same for the same text."""
    if found["step"]:
        return f"*/{found['step']}"
    low, high = _BOUNDS[place]
    first, last = int(found["first"] or low), int(found["last"] or min(high, _IN_EACH_MONTH))
    return str(first + crc32(text.encode()) % max(1, last - first + 1))


def _falling(place: int, term: str) -> str:
    """Return what says a range that goes round past the end of its field; empty for any other."""
    parts = _RANGE.fullmatch(term)
    if parts is None:
        return ""
    low, high = _BOUNDS[place]
    first, last = (_number(place, parts[end]) for end in ("first", "last"))
    if first is None or last is None or first <= last or last < low or first > high + 1:
        return ""
    if place == _WEEKDAY:
        first %= 7
        if first <= last:
            return f"{first}-{last}"
    values = [*range(first, high + 1), *range(low, last + 1)][:: int(parts["step"] or 1)]
    if len(values) == high - low + 1:
        return "*"
    if place in _WORDS and not parts["first"].isdigit():
        called = {number: name for name, number in _WORDS[place].items()}
        return ",".join(called[value] for value in values)
    return ",".join(_runs(values))


def _number(place: int, word: str) -> int | None:
    return int(word) if word.isdigit() else _WORDS.get(place, {}).get(word)


def _runs(values: Sequence[int]) -> Iterator[str]:
    """Yield numbers, those that follow one upon the other as ranges."""
    start = 0
    for end in range(1, len(values) + 1):
        if end < len(values) and values[end] == values[end - 1] + 1:
            continue
        yield str(values[start]) if end - start == 1 else f"{values[start]}-{values[end - 1]}"
        start = end
