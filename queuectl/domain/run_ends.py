"""Ends of a run as a person names them for `retry_on` and `no_retry_on`.

An end is an exit code (`75`), a range of these (`64-78`), a signal (`signal:9`, or `signal:KILL`),
`timeout`, or `oom` for a run that was ended because it needed too much memory.
"""

from __future__ import annotations

import re

from queuectl.domain.errors import InvalidInput, shown

TIMEOUT, OUT_OF_MEMORY, SIGNAL = "timeout", "oom", "signal:"

_MOST_ENDS = 64
_LARGEST = 255

_SIGNALS = {
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9,
    "USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "XCPU": 24, "XFSZ": 25,
    "SYS": 31,
}  # fmt: skip
"""The signals by which runs end, with their numbers on Linux."""

_LARGEST_SIGNAL = 64
_FORMS = "exit codes (75, 64-78), signal:9 or signal:KILL, timeout, oom"


def parse_ends(field: str, value: object) -> tuple[str, ...]:
    """Return the ends that a person named, each once and in its one form.

    Takes an array of words and numbers, one number, or text with commas. Raises InvalidInput.
    """
    if isinstance(value, str):
        value = value.split(",")
    elif isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise InvalidInput(f"{field} must be a list of {_FORMS}, not {shown(value)}")
    if len(value) > _MOST_ENDS:
        raise InvalidInput(f"{field} names {len(value)} ends; {_MOST_ENDS} are allowed")
    return tuple(dict.fromkeys(_end(field, each) for each in value))


def _end(field: str, raw: object) -> str:
    word = str(raw).strip().lower() if isinstance(raw, (str, int)) else ""
    if word in (TIMEOUT, OUT_OF_MEMORY):
        return word
    if re.fullmatch(r"\d{1,9}", word):
        return str(_code(field, word))
    if found := re.fullmatch(r"(\d{1,9})-(\d{1,9})", word):
        first, last = (_code(field, each) for each in found.groups())
        if first < last:
            return f"{first}-{last}"
        raise InvalidInput(f"{field}: the range {word} must begin with the lower exit code")
    if word.startswith(SIGNAL) and (number := _signal(word.removeprefix(SIGNAL))):
        return f"{SIGNAL}{number}"
    hint = f"signal:{word.removeprefix('sig').upper()}" if _signal(word) else ""
    raise InvalidInput(
        f"{field}: {shown(raw)} is no end of a run; name {_FORMS}",
        hint=f"--{field.replace('_', '-')} {hint}" if hint else "",
    )


def _code(field: str, word: str) -> int:
    code = int(word)
    if code == 0:
        raise InvalidInput(f"{field}: exit code 0 is success, which is never tried again")
    if code > _LARGEST:
        raise InvalidInput(f"{field}: exit code {code} must be from 1 to {_LARGEST}")
    return code


def _signal(word: str) -> int | None:
    """Return the number of a signal by its name or number; None for a word that is neither."""
    if word.isdecimal():
        return int(word) if 1 <= int(word[:9]) <= _LARGEST_SIGNAL else None
    return _SIGNALS.get(word.upper().removeprefix("SIG"))
