"""From what a person wrote (options, or a JSON object) to a validated `Request`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import cache, partial
from typing import Any, TypeGuard, cast

from queuectl.domain.errors import InvalidInput, nearest, shown
from queuectl.domain.job import Command, Spec
from queuectl.domain.lanes import MAX_LIMIT
from queuectl.domain.settings import Settings, as_flag, as_number, parse_value
from queuectl.domain.values import frozen

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
PRIORITIES = {"low": -10, "normal": 0, "high": 10}

MAX_NAME = 128
"""The longest id of a job and name of a queue."""

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:@-]{{0,{MAX_NAME - 1}}}")
_ABSOLUTE = r"/|[A-Za-z]:[\\/]|\\\\"  # POSIX; a drive or a share on Windows
_ENV_NAME = r"[^\s=\0]+"

RESULT_FIELDS = frozenset(
    "state attempts created_at updated_at started_at finished_at failed_at stdout stderr "
    "stdout_cut stderr_cut exit_code signal duration timed_out last_error worker reason runs "
    "interruptions history waits_for paused".split()
)
"""Fields that describe what became of a job; on input they are ignored with a note."""

TIME_FIELDS = {"run_at": "at", "at": "at", "in": "in", "delay": "in"}
"""Fields that say when a job is due, and which of the two ways of saying it each one is."""

ALIASES = {"label": "labels"}

ParseTime = Callable[[str, object], datetime]
"""Turns ("at" or "in", what was written) into an instant. Raises InvalidInput."""


@frozen
class Request:
    """A job to be enqueued: its specification and when it is due (None: at once).

    `delayed` says that the time was given as a length of time from now. `notes` are lines for the
    person who asked; `replace` allows a job of this id to be replaced.
    """

    spec: Spec
    run_at: datetime | None = None
    notes: tuple[str, ...] = ()
    replace: bool = False
    delayed: bool = False


def is_name(word: str) -> bool:
    """Whether a word can be the id of a job or the name of a queue."""
    return _NAME.fullmatch(word) is not None


@cache
def _unset() -> dict[str, Any]:
    """Return every field of a specification in its order, with what it is when nobody says."""
    return {field.name: field.default for field in fields(Spec)}


def defaults_of(settings: Settings) -> dict[str, Any]:
    """Return every field of a specification as a job has it that does not name it."""
    return {
        **_unset(),
        "max_retries": settings.max_retries,
        "backoff_base": settings.backoff_base,
        "backoff_cap": settings.backoff_cap,
        "timeout": settings.timeout_seconds,
        "clean_env": settings.clean_env,
        "on_parent_failure": settings.on_parent_failure,
    }


def resolve_field(word: str) -> str:
    """Return the field that a word means. Raises InvalidInput with the nearest."""
    if not isinstance(word, str):
        raise TypeError(f"the name of a field is a string, not {word!r}")
    key = word.strip().lower().replace("-", "_")
    key = ALIASES.get(key, key)
    if key in CHECKS or key in TIME_FIELDS or key in RESULT_FIELDS:
        return key
    close = nearest(key, [*sorted(CHECKS), *TIME_FIELDS])
    raise InvalidInput(
        f"unknown field {shown(word)}{close}",
        hint="" if close else "each long option of queuectl enqueue --help is a field",
    )


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


def check_command(value: object) -> Command:
    """Return a command: a line for the shell, or a tuple of arguments."""
    if isinstance(value, (list, tuple)):
        return _check_arguments(value)
    command = check_text("command", value)
    if not command or command.isspace():
        raise _no_command()
    size = _size("command", command)
    if size > MAX_ARGUMENT_BYTES:
        raise InvalidInput(
            f"command has {size:,} bytes; the system takes at most {MAX_ARGUMENT_BYTES:,}",
            hint="put it into a script and enqueue the script",
        )
    return command


def _check_arguments(value: Sequence[object]) -> tuple[str, ...]:
    """Return the arguments of a program, of which each has a limit of its own."""
    arguments = tuple(check_text("command", part) for part in value)
    if not arguments or not arguments[0]:
        raise _no_command()
    sizes = [_size("command", argument) for argument in arguments]
    if max(sizes) > MAX_ARGUMENT_BYTES:
        raise InvalidInput(
            f"argument {sizes.index(max(sizes))} of command has {max(sizes):,} bytes; "
            f"the system takes at most {MAX_ARGUMENT_BYTES:,} in one",
            hint="put it into a file and name the file",
        )
    if sum(sizes) > MAX_COMMAND_BYTES:
        raise InvalidInput(
            f"command has {sum(sizes):,} bytes in all its arguments; "
            f"the system takes at most {MAX_COMMAND_BYTES:,}",
            hint="put them into a file and name the file",
        )
    return arguments


def _no_command() -> InvalidInput:
    return InvalidInput("command is empty", hint='for example "echo Hello"')


def _size(field: str, text: str) -> int:
    return len(text) if text.isascii() else len(_encoded(field, text))


def are_plain_commands(values: Sequence[object]) -> TypeGuard[Sequence[str]]:
    """Whether all are lines for the shell in ASCII that `check_command` takes as they are."""
    if set(map(type, values)) != {str}:
        return False
    lines = cast("Sequence[str]", values)
    text = "".join(lines)
    if not text.isascii() or "\0" in text:
        return False
    return all(map(str.strip, lines)) and max(map(len, lines)) <= MAX_ARGUMENT_BYTES


def are_plain_ids(values: Sequence[object]) -> TypeGuard[Sequence[str]]:
    """Whether all are ids that `check_name` takes as they are, and of no form that is reserved."""
    if set(map(type, values)) != {str}:
        return False
    ids = cast("Sequence[str]", values)
    text = "".join(ids)
    return "@" not in text and ":" not in text and all(map(_NAME.fullmatch, ids))


def check_priority(value: object) -> int:
    """Return a priority: a whole number, or `low`, `normal`, `high` (-10, 0, 10)."""
    if isinstance(value, str) and value.strip().lower() in PRIORITIES:
        return PRIORITIES[value.strip().lower()]
    number = as_number("priority", value)
    if number != int(number) or abs(number) > MAX_PRIORITY:
        raise InvalidInput(
            f"priority must be low, normal, high or a whole number "
            f"within {MAX_PRIORITY:,} of 0, not {shown(value)}"
        )
    return int(number)


def check_timeout(value: object) -> float:
    """Return a time limit for one run in seconds; 0 is none."""
    try:
        return float(parse_value("timeout_seconds", value))
    except InvalidInput as fault:
        raise InvalidInput(str(fault).replace("timeout_seconds", "timeout", 1)) from None


def check_cwd(value: object) -> str:
    """Return a working directory, which need not exist yet where this is checked."""
    text = check_text("cwd", value)
    if not re.match(_ABSOLUTE, text):
        raise InvalidInput(f"cwd must be an absolute path, not {shown(value)}")
    if len(_encoded("cwd", text)) > MAX_PATH_BYTES:
        raise InvalidInput(f"cwd is longer than {MAX_PATH_BYTES:,} bytes: {shown(value)}")
    return text


def check_env(value: object) -> tuple[tuple[str, str], ...]:
    """Return extra environment variables as pairs, in the order given."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"env must be an object of names and values, not {shown(value)}")
    pairs = []
    for name, text in value.items():
        if not isinstance(name, str) or not re.fullmatch(_ENV_NAME, name):
            raise InvalidInput(f"env: {shown(name)} cannot be the name of a variable")
        if isinstance(text, (int, float)) and not isinstance(text, bool):
            text = str(text)
        pairs.append((check_text("env", name), check_text(f"env {shown(name)}", text)))
        size = len(f"{name}={text}".encode())
        if size > MAX_ARGUMENT_BYTES:
            raise InvalidInput(
                f"env {shown(name)} has {size:,} bytes; "
                f"the system takes at most {MAX_ARGUMENT_BYTES:,}"
            )
    if sum(len(name) + len(text) for name, text in pairs) > MAX_ENV_BYTES:
        raise InvalidInput(f"env is larger than {MAX_ENV_BYTES:,} characters")
    return tuple(pairs)


def check_labels(value: object) -> tuple[str, ...]:
    """Return labels: words of at most 128 printable characters, without doubles."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise InvalidInput(f"labels must be an array of strings, not {shown(value)}")
    for label in value:
        text = check_text("label", label)
        if not text.strip() or len(text) > 128 or not text.isprintable():
            raise InvalidInput(f"label {shown(label)} must be 1 to 128 printable characters")
    if len(value) > MAX_LABELS:
        raise InvalidInput(f"at most {MAX_LABELS} labels are allowed, not {len(value)}")
    return tuple(dict.fromkeys(value))


def check_slots(value: object) -> int:
    """Return how many slots of its queue's limit a job takes."""
    number = as_number("slots", value)
    if number != int(number) or not 1 <= number <= MAX_LIMIT:
        raise InvalidInput(
            f"slots must be a whole number from 1 to {MAX_LIMIT:,}, not {shown(value)}"
        )
    return int(number)


def check_ids(field: str, value: object) -> tuple[str, ...]:
    """Return ids of jobs, each once: an array, or text with commas."""
    if isinstance(value, str):
        value = [word.strip() for word in value.split(",")]
    if not isinstance(value, (list, tuple)):
        raise InvalidInput(f"{field} must be an array of job ids, not {shown(value)}")
    if len(value) > MAX_PARENTS:
        raise InvalidInput(f"{field} names {len(value):,} jobs; {MAX_PARENTS:,} are allowed")
    return tuple(dict.fromkeys(check_name(f"{field}: id", each) for each in value))


def check_key(value: object) -> str:
    """Return a unique key: 1 to 256 printable characters."""
    text = check_text("unique", value)
    if not text.strip() or len(text) > 256 or not text.isprintable():
        raise InvalidInput(f"unique {shown(value)} must be 1 to 256 printable characters")
    return text


CHECKS: dict[str, Callable[[object], object]] = {
    "id": partial(check_name, "id"),
    "command": check_command,
    "queue": partial(check_name, "queue"),
    "priority": check_priority,
    "max_retries": partial(parse_value, "max_retries"),
    "backoff_base": partial(parse_value, "backoff_base"),
    "backoff_cap": partial(parse_value, "backoff_cap"),
    "timeout": check_timeout,
    "cwd": check_cwd,
    "env": check_env,
    "labels": check_labels,
    "slots": check_slots,
    "after": partial(check_ids, "after"),
    "after_any": partial(check_ids, "after_any"),
    "after_fail": partial(check_ids, "after_fail"),
    "unique": check_key,
    "clean_env": partial(as_flag, "clean_env"),
    "on_parent_failure": partial(parse_value, "on_parent_failure"),
}
"""Every field of a specification, and what turns a person's value into it."""

FIELDS = frozenset(CHECKS)
"""The names of these fields as they are stored; people may spell them otherwise."""
