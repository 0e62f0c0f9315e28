"""The options of sbatch, as a script's `#SBATCH` lines have them: both forms, times and arrays."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from queuectl.domain.frozen import frozen
from queuectl.domain.times import iso

_SHORT = {
    "A": "account", "a": "array", "B": "extra-node-info", "b": "begin", "C": "constraint",
    "c": "cpus-per-task", "D": "chdir", "d": "dependency", "e": "error", "F": "nodefile",
    "G": "gpus", "H": "hold", "h": "help", "i": "input", "J": "job-name", "k": "no-kill",
    "L": "licenses", "M": "clusters", "m": "distribution", "N": "nodes", "n": "ntasks",
    "O": "overcommit", "o": "output", "p": "partition", "Q": "quiet", "q": "qos",
    "S": "core-spec", "s": "oversubscribe", "t": "time", "v": "verbose", "W": "wait",
    "w": "nodelist", "x": "exclude",
}  # fmt: skip
_FLAGS = frozenset(
    "hold help no-kill overcommit quiet oversubscribe verbose wait requeue no-requeue exclusive "
    "contiguous parsable spread-job use-min-nodes reboot get-user-env ignore-pbs".split()
)
"""Options that take no value, or take one only behind `=`."""

_MAY_BE_EMPTY = frozenset({"comment", "nice", "propagate"})

_OLD_NAMES = {"workdir": "chdir", "tasks-per-node": "ntasks-per-node"}
_OTHERS = (
    "comment cpus-per-gpu deadline export gpus-per-node gpus-per-task gres hint mail-type "
    "mail-user mem mem-per-cpu mem-per-gpu nice ntasks-per-core ntasks-per-node ntasks-per-socket "
    "open-mode priority propagate reservation signal sockets-per-node threads-per-core time-min "
    "tmp tres-per-task wait-all-nodes"
)
_LONG = frozenset([*_SHORT.values(), *_FLAGS, *_OTHERS.split()])
"""The options of sbatch that a beginning may stand for."""

MOST_OF_ARRAY = 10_000
_NO_LIMIT = ("0", "UNLIMITED", "INFINITE", "-1")
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")
_ISO = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?)?")
_RANGE = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")
_SIZE = re.compile(r"(\d{1,9})([KMGT]?)", re.IGNORECASE)
_GPUS = {
    "gpus": re.compile(r"([1-9]\d{0,3})"),
    "gpus-per-node": re.compile(r"([1-9]\d{0,3})"),
    "gres": re.compile(r"(?:gres/|gres:)?gpu(?:[:=]([1-9]\d{0,3}))?"),
}
"""Options that say how many GPUs a job on one host has."""

_PATTERN = re.compile(r"%(\d*)(.)")


class NotSlurm(ValueError):
    """An option is not as sbatch has it, or has no counterpart; the text says which."""


@frozen
class Array:
    """The indices of an array, and how many may run at once; 0 is any number."""

    indices: tuple[int, ...]
    limit: int


def options_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield the options of one directive, by their long names, each with its value.

    Raises NotSlurm for what is no option.
    """
    for name, value in _pairs(text):
        if not value and name in _LONG and name not in _FLAGS | _MAY_BE_EMPTY:
            raise NotSlurm(f"--{name} has no value")
        yield name, value


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    words = _words(text)
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if not equals and name not in _FLAGS and words and not words[0].startswith("-"):
                value = words.pop(0)
            yield _full_name(name), value
        elif word.startswith("-") and len(word) > 1:
            name = _SHORT.get(word[1], "")
            if not name:
                raise NotSlurm(f"-{word[1]} is no option of sbatch")
            value = word[2:].removeprefix("=")
            if not value and name not in _FLAGS and words:
                value = words.pop(0)
            yield name, value
        else:
            raise NotSlurm(f"'{word}' is no option")


def _full_name(name: str) -> str:
    """Return the whole name of an option: its beginning is enough for sbatch where it is clear.

    One that is not known stays as it is. Raises NotSlurm for what may be several.
    """
    name = _OLD_NAMES.get(name, name)
    if name in _LONG:
        return name
    meant = sorted(each for each in _LONG if each.startswith(name))
    if len(meant) > 1:
        raise NotSlurm(f"--{name} may be {' or '.join(meant)}")
    return meant[0] if meant else name


def _words(text: str) -> list[str]:
    """Return the words of a directive, quotes taken off, without a comment behind them."""
    words: list[str] = []
    rest = text.strip()
    while rest and not rest.startswith("#"):
        word, rest = _first_word(rest)
        words.append(word)
        rest = rest.lstrip()
    return words


def _first_word(text: str) -> tuple[str, str]:
    """Return the first word, and the rest: a `#` begins a comment in the middle of a word too, and
    a backslash takes away what the next character means, as sbatch has it.
    """
    word, at, quote = "", 0, ""
    while at < len(text) and (quote or not text[at].isspace()):
        sign, at = text[at], at + 1
        if sign == "\\":
            word, at = word + text[at : at + 1], at + 1
        elif sign == quote:
            quote = ""
        elif quote or sign not in "\"'#":
            word += sign
        elif sign == "#":
            return word, ""
        else:
            quote = sign
    if quote:
        raise NotSlurm("a quote is not closed")
    return word, text[at:]


def seconds_of(time: str) -> float:
    """Return a limit of time in seconds, 0 for none; raises NotSlurm.

    MM, MM:SS, HH:MM:SS, D-HH, D-HH:MM and D-HH:MM:SS are what sbatch takes. As Slurm counts whole
    minutes, seconds are rounded up to the next one.
    """
    if time.upper() in _NO_LIMIT:
        return 0.0
    found = _TIME.fullmatch(time)
    if not found:
        raise NotSlurm(f"--time {time} is not MM, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS")
    parts = [int(part) for part in found["parts"].split(":")]
    if found["days"] is not None or len(parts) == 3:
        hours, minutes, seconds = [*parts, 0, 0][:3]
    else:
        hours, minutes, seconds = [0, *parts, 0][:3]
    minutes += (int(found["days"] or 0) * 24 + hours) * 60 + math.ceil(seconds / 60)
    return float(minutes * 60)


def needs_of(options: Mapping[str, str]) -> tuple[dict[str, str], frozenset[str]]:
    """Return the memory and the GPUs that options ask for as needs of a job, and these options.

    What asks for more than that is not among them: a kind of GPU, another device, all memory of a
    node, or the same in two ways.
    """
    needs: dict[str, str] = {}
    taken: set[str] = set()
    size = _SIZE.fullmatch(options.get("mem", ""))
    if size and int(size[1]):
        needs["memory"] = f"{size[1]}{size[2].upper() or 'M'}"
        taken.add("mem")
    asked = {
        name: found
        for name, pattern in _GPUS.items()
        if name in options and (found := pattern.fullmatch(options[name]))
    }
    numbers = {found[1] or "1" for found in asked.values()}
    if len(numbers) == 1 and "gpus-per-task" not in options:
        (needs["gpu"],) = numbers
        taken |= asked.keys()
    return needs, frozenset(taken)


def instant_of(begin: str) -> str:
    """Return the instant of a local time at which a job may start. Raises NotSlurm."""
    try:
        if _ISO.fullmatch(begin):
            return iso(datetime.fromisoformat(begin).astimezone())
    except ValueError:
        pass
    raise NotSlurm(f"--begin {begin}: write it as 2030-01-31T14:30")


def array_of(text: str) -> Array:
    """Return an array such as `0-15`, `1,3,5-7` or `1-9:2%4`. Raises NotSlurm."""
    spec, _, limit = text.partition("%")
    if limit and not limit.isdigit():
        raise NotSlurm(f"--array {text}: '{limit}' is no number of jobs")
    indices: dict[int, None] = {}
    for part in spec.removeprefix("[").removesuffix("]").split(","):
        found = _RANGE.fullmatch(part)
        if not found:
            raise NotSlurm(f"--array {text} is not like 1-9:2 or 1,3,5-7")
        first = int(found[1])
        last, step = int(found[2] or first), int(found[3] or 1)
        if step < 1 or last < first:
            raise NotSlurm(f"--array {text}: '{part}' holds nothing")
        if (last - first) // step >= MOST_OF_ARRAY:
            raise NotSlurm(f"--array {text} has more than {MOST_OF_ARRAY:,} jobs")
        indices |= dict.fromkeys(range(first, last + 1, step))
    return Array(tuple(indices), int(limit or 0))


def filled(pattern: str, values: dict[str, str], option: str) -> str:
    """Return a name of a file with its patterns filled: `%j`, `%A`, `%a`, `%x` and the like.

    `%4a` pads a number with zeros, a backslash leaves all as it is. Raises NotSlurm.
    """
    if "\\" in pattern:
        return pattern.replace("\\", "")

    def value(found: re.Match[str]) -> str:
        wide, letter = found[1], found[2]
        if letter == "%":
            return "%"
        if letter not in values:
            raise NotSlurm(f"--{option} {pattern}: write something else for %{letter}")
        text = values[letter]
        return text.zfill(int(wide)) if wide and text.isdigit() else text

    return _PATTERN.sub(value, pattern)
