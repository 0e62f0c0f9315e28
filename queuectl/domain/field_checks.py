"""From what a person wrote in one field of a job to its value: each function checks one kind.

Each takes the name of the field, for its message, and the value as it was written (text, or JSON);
each raises InvalidInput for what cannot be meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard, cast

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.settings import as_choice, as_number, parse_value
from queuectl.domain.text import MASK

Command = str | tuple[str, ...]
"""A line for /bin/sh, or a tuple of arguments that is run without a shell."""

Check = Callable[[str, object], Any]
"""Takes the name of a field and what was written; returns its value. Raises InvalidInput."""

MAX_ARGUMENT_BYTES = 131_071
"""Linux takes at most 128 KiB, its final NUL included, in one argument (MAX_ARG_STRLEN)."""

MAX_COMMAND_BYTES = 6 * 1024 * 1024
"""Linux takes at most 6 MiB in all arguments and the environment, whatever the limits say.

Mostly it takes 2 MiB; which it is on the host of a worker shows when the command is started.
"""

MAX_PATH_BYTES = 4_095
"""Linux takes at most 4 KiB, the final NUL included, in one path (PATH_MAX)."""

MAX_ENV_BYTES = 262_144
MAX_LABELS = 64
MAX_PRIORITY = 1_000_000
MAX_PARENTS = 10_000
MAX_SLOTS = 1_000_000
MAX_CPUS = 100_000
MAX_LOAD = 100_000
MAX_AT_ONCE = 1_000_000
PRIORITIES = {"low": -10, "normal": 0, "high": 10}

MAX_NAME = 128
"""The longest id of a job and name of a queue."""

MAX_BATCH_NAME = 100

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:@-]{{0,{MAX_NAME - 1}}}")
_PLAIN_ID_BYTES = b"\n._-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NO_BEGINNINGS = ("\n.", "\n_", "\n-", "\n\n")
"""What no id begins with, where each stands on a line of its own."""

_ABSOLUTE = r"[A-Za-z]:[\\/]|\\\\"  # a drive or a share on Windows
_ENV_NAME = r"[^\s=\0]+"


def is_name(word: str) -> bool:
    """Whether a word can be the id of a job or the name of a queue."""
    return _NAME.fullmatch(word) is not None


def check_name(field: str, value: object) -> str:
    """Return an id or a queue's name. Raises InvalidInput otherwise."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise InvalidInput(
        f"{field} {shown(value)} is not valid: 1 to 128 letters, digits and . _ : @ -, "
        "beginning with a letter or a digit"
    )


def check_batch(field: str, value: object) -> str:
    """Return the name of a batch, which leaves room for the numbers of its jobs in their ids."""
    name = check_name(field, value)
    if len(name) > MAX_BATCH_NAME or "@" in name or name.startswith("hook:"):
        raise InvalidInput(
            f"{field} {shown(value)} is not valid: at most {MAX_BATCH_NAME} characters, "
            "and neither '@' nor 'hook:', which ids of other jobs have"
        )
    return name


def check_text(field: str, value: object) -> str:
    """Return a string that a process can be given. Raises InvalidInput otherwise."""
    if not isinstance(value, str):
        raise InvalidInput(f"{field} must be a string, not {shown(value)}")
    if "\0" in value:
        raise InvalidInput(f"{field} must not contain a NUL byte")
    if not value.isascii():
        _encoded(field, value)
    return value


def _encoded(field: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{field} must be valid UTF-8") from None


def check_input(field: str, value: object) -> str:
    """Return what a command is to read: a text of at most so many bytes as a variable may have."""
    text = check_text(field, value)
    if text == MASK:
        raise InvalidInput(
            f"{field} is hidden there: {MASK} stands for a text that is not shown",
            hint="name the text itself, or move jobs with queuectl export and import",
        )
    size = _size(field, text)
    if size > MAX_ENV_BYTES:
        raise InvalidInput(
            f"{field} has {size:,} bytes; at most {MAX_ENV_BYTES:,} are kept",
            hint="put it into a file, and read that in the command: COMMAND < FILE",
        )
    return text


def check_command(field: str, value: object) -> Command:
    """Return a command: a line for the shell, or a tuple of arguments."""
    if isinstance(value, (list, tuple)):
        return _check_arguments(field, value)
    command = check_text(field, value)
    if not command or command.isspace():
        raise _no_command()
    size = _size(field, command)
    if size > MAX_ARGUMENT_BYTES:
        raise InvalidInput(
            f"{field} has {size:,} bytes; the system takes at most {MAX_ARGUMENT_BYTES:,}",
            hint="put it into a script and enqueue the script",
        )
    return command


def _check_arguments(field: str, value: Sequence[object]) -> tuple[str, ...]:
    """Return the arguments of a program, of which each has a limit of its own."""
    arguments = tuple(check_text(field, part) for part in value)
    if not arguments or not arguments[0]:
        raise _no_command()
    sizes = [_size(field, argument) for argument in arguments]
    if max(sizes) > MAX_ARGUMENT_BYTES:
        raise InvalidInput(
            f"argument {sizes.index(max(sizes))} of {field} has {max(sizes):,} bytes; "
            f"the system takes at most {MAX_ARGUMENT_BYTES:,} in one",
            hint="put it into a file and name the file",
        )
    if sum(sizes) > MAX_COMMAND_BYTES:
        raise InvalidInput(
            f"{field} has {sum(sizes):,} bytes in all its arguments; "
            f"the system takes at most {MAX_COMMAND_BYTES:,}",
            hint="put them into a file and name the file",
        )
    return arguments


def _no_command() -> InvalidInput:
    return InvalidInput("command is empty", hint='for example "echo Hello"')


def _size(field: str, text: str) -> int:
    return len(text) if text.isascii() else len(_encoded(field, text))


def are_plain_commands(values: Sequence[object]) -> TypeGuard[Sequence[str]]:
    """Whether all are lines for the shell that `check_command` takes as they are."""
    if set(map(type, values)) != {str}:
        return False
    lines = cast("Sequence[str]", values)
    text = "".join(lines)
    if "\0" in text or not all(map(str.strip, lines)):
        return False
    try:
        sizes = map(len, lines if text.isascii() else map(str.encode, lines))
        return max(sizes) <= MAX_ARGUMENT_BYTES
    except UnicodeEncodeError:
        return False


def are_plain_ids(values: Sequence[object]) -> TypeGuard[Sequence[str]]:
    """Whether all are ids that `check_name` takes as they are, and of no form that is reserved."""
    if set(map(type, values)) != {str}:
        return False
    ids = cast("Sequence[str]", values)
    text = "\n".join(["", *ids, ""])
    if text.count("\n") != len(ids) + 1 or not text.isascii():
        return False
    if text.encode().translate(None, _PLAIN_ID_BYTES) or max(map(len, ids)) > MAX_NAME:
        return False
    return not any(beginning in text for beginning in _NO_BEGINNINGS)


def check_priority(field: str, value: object) -> int:
    """Return a priority: a whole number, or `low`, `normal`, `high` (-10, 0, 10)."""
    if isinstance(value, str) and value.strip().lower() in PRIORITIES:
        return PRIORITIES[value.strip().lower()]
    bounds = f"within {MAX_PRIORITY:,} of 0"
    number = as_number(field, value, f"{bounds}, or low, normal or high")
    if number != int(number) or abs(number) > MAX_PRIORITY:
        raise InvalidInput(
            f"{field} must be low, normal, high or a whole number {bounds}, not {shown(value)}"
        )
    return int(number)


def check_timeout(field: str, value: object) -> float:
    """Return a time limit for one run in seconds; 0 is none."""
    try:
        return float(parse_value("timeout_seconds", value))
    except InvalidInput as fault:
        raise InvalidInput(str(fault).replace("timeout_seconds", field, 1)) from None


def check_cwd(field: str, value: object) -> str:
    """Return a working directory, which need not exist yet where this is checked."""
    text = check_text(field, value)
    if text[:1] != "/" and not re.match(_ABSOLUTE, text):
        raise InvalidInput(f"{field} must be an absolute path, not {shown(value)}")
    if len(_encoded(field, text)) > MAX_PATH_BYTES:
        raise InvalidInput(f"{field} is longer than {MAX_PATH_BYTES:,} bytes: {shown(value)}")
    return text


def check_env(field: str, value: object) -> tuple[tuple[str, str], ...]:
    """Return extra environment variables as pairs, in the order given."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{field} must be an object of names and values, not {shown(value)}")
    pairs = []
    for name, text in value.items():
        if not isinstance(name, str) or not re.fullmatch(_ENV_NAME, name):
            raise InvalidInput(f"{field}: {shown(name)} cannot be the name of a variable")
        if isinstance(text, (int, float)) and not isinstance(text, bool):
            text = str(text)
        pairs.append((check_text(field, name), check_text(f"{field} {shown(name)}", text)))
        size = len(f"{name}={text}".encode())
        if size > MAX_ARGUMENT_BYTES:
            raise InvalidInput(
                f"{field} {shown(name)} has {size:,} bytes; "
                f"the system takes at most {MAX_ARGUMENT_BYTES:,}"
            )
    if sum(len(name) + len(text) for name, text in pairs) > MAX_ENV_BYTES:
        raise InvalidInput(f"{field} is larger than {MAX_ENV_BYTES:,} characters")
    return tuple(pairs)


def check_needs(field: str, value: object) -> tuple[tuple[str, str], ...]:
    """Return what a job needs of named resources, as pairs of a name and an amount, by name."""
    from queuectl.domain import resources  # of few jobs only

    return resources.check_needs(field, value)


def check_labels(field: str, value: object) -> tuple[str, ...]:
    """Return labels: words of at most 128 printable characters, without doubles."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise InvalidInput(f"{field} must be an array of strings, not {shown(value)}")
    for label in value:
        text = check_text("label", label)
        if not text.strip() or len(text) > 128 or not text.isprintable():
            raise InvalidInput(f"label {shown(label)} must be 1 to 128 printable characters")
    if len(value) > MAX_LABELS:
        raise InvalidInput(f"at most {MAX_LABELS} labels are allowed, not {len(value)}")
    return tuple(dict.fromkeys(value))


def check_ids(field: str, value: object) -> tuple[str, ...]:
    """Return ids of jobs, each once: an array, or text with commas."""
    if isinstance(value, str):
        value = [word.strip() for word in value.split(",")]
    if not isinstance(value, (list, tuple)):
        raise InvalidInput(f"{field} must be an array of job ids, not {shown(value)}")
    if len(value) > MAX_PARENTS:
        raise InvalidInput(f"{field} names {len(value):,} jobs; {MAX_PARENTS:,} are allowed")
    return tuple(dict.fromkeys(check_name(f"{field}: id", each) for each in value))


def check_ends(field: str, value: object) -> tuple[str, ...]:
    """Return ends of a run, as `run_ends` has them."""
    from queuectl.domain.run_ends import parse_ends  # few jobs name any

    return parse_ends(field, value)


def check_between(field: str, value: object) -> str:
    """Return hours of the day in their one form, as `opening_hours` has them."""
    from queuectl.domain import opening_hours  # few jobs name any

    return opening_hours.check_between(field, value)


def check_preflight(field: str, value: object) -> str:
    """Return a line for the shell that is run before a job starts."""
    line = check_command(field, check_text(field, value))
    assert isinstance(line, str), "it was text"
    return line


def check_key(field: str, value: object) -> str:
    """Return a unique key: 1 to 256 printable characters."""
    text = check_text(field, value)
    if not text.strip() or len(text) > 256 or not text.isprintable():
        raise InvalidInput(f"{field} {shown(value)} must be 1 to 256 printable characters")
    return text


def check_memory(field: str, value: object) -> int:
    """Return an amount of memory in bytes: 0 for none, else a mebibyte at least."""
    from queuectl.domain.sizes import MIB, parse_size

    size = parse_size(field, value)
    if 0 < size < MIB:
        raise InvalidInput(
            f"{field} {shown(value)} is less than any command needs",
            hint="sizes have a unit, for example 512M, 2G or 1.5G",
        )
    return size


def check_setting(field: str, value: object) -> Any:
    """Return a value of the setting that has the field's name."""
    return parse_value(field, value)


def whole(least: int, most: int) -> Check:
    """Return the check for a whole number within bounds."""

    def check(field: str, value: object) -> int:
        bounds = f"from {least:,} to {most:,}"
        number = as_number(field, value, bounds)
        if number != int(number) or not least <= number <= most:
            raise InvalidInput(f"{field} must be a whole number {bounds}, not {shown(value)}")
        return int(number)

    return check


def fraction(least: float, most: float) -> Check:
    """Return the check for a number within bounds, which may have a fraction."""

    def check(field: str, value: object) -> float:
        bounds = f"between {least:g} and {most:g}"
        number = as_number(field, value, bounds)
        if not least <= number <= most:
            raise InvalidInput(f"{field} must be {bounds}, not {shown(value)}")
        return float(number)

    return check


def one_of(choices: tuple[str, ...]) -> Check:
    """Return the check for one of a few words, in whatever case."""

    def check(field: str, value: object) -> str:
        return as_choice(field, check_text(field, value), choices)

    return check
