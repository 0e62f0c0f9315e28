"""Every tunable of the fleet. To add one, add a field to `Settings`: nothing else lists them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from queuectl.domain.errors import InvalidInput, nearest, shown
from queuectl.domain.frozen import Line, frozen, line, lines_of

WAIT, CANCEL = "wait", "cancel"
"""What becomes of a job that wants the success of one that has failed for good."""

Value = int | float | bool | str
YEAR = 366 * 86_400
_LONG = 100 * YEAR

MOST_CONCURRENCY = 256
"""How many jobs one worker may run at once."""


def _setting(
    default: Value,
    minimum: Value,
    maximum: Value,
    unit: str,
    text: str,
    *aliases: str,
    choices: tuple[str, ...] = (),
    pattern: str = "",
) -> Any:
    """Return the line of a field that carries all that is known about one setting."""
    return line(
        default,
        minimum=minimum,
        maximum=maximum,
        unit=unit,
        help=text,
        aliases=aliases,
        choices=choices,
        pattern=pattern,
    )


MONTH_FIRST = "month-first"


@frozen
class Settings:
    """The settings in force: what the store holds, over the defaults."""

    max_retries: int = _setting(
        3, 0, 1_000_000, "attempts", "attempts in all before a job is buried in the DLQ"
    )
    backoff_base: float = _setting(2.0, 0, 1_000_000, "", "a retry waits base ** attempts seconds")
    backoff_cap: float = _setting(3600.0, 0, YEAR, "seconds", "the longest wait before a retry")
    backoff_jitter: float = _setting(
        0.0, 0, 1, "", "the share of that wait which is left to chance, so that jobs do not come "
        "back all at once; 0 is none",
    )  # fmt: skip
    timeout_seconds: float = _setting(
        0.0,
        0,
        YEAR,
        "seconds",
        "how long one run may take; 0 is no limit",
        "job_timeout",
        "timeout",
    )
    poll_interval_sec: float = _setting(
        1.0, 0.01, 3600, "seconds", "the longest an idle worker sleeps when nothing wakes it",
        "poll_interval", "poll_interval_seconds",
    )  # fmt: skip
    concurrency: int = _setting(
        1, 1, MOST_CONCURRENCY, "jobs",
        "how many jobs one worker runs at once, unless its start said otherwise",
    )  # fmt: skip
    lease_seconds: float = _setting(
        30.0, 1, 86_400, "seconds", "how long a claim lives without renewal"
    )
    preflight_seconds: float = _setting(
        30.0, 0.1, 3600, "seconds", "how long what is run before a job (--preflight) may take"
    )
    stop_grace_seconds: float = _setting(
        0.0, 0, YEAR, "seconds", "how long a stopping worker lets its job go on; 0 is for ever"
    )
    kill_grace_seconds: float = _setting(
        5.0, 0, 3600, "seconds", "from SIGTERM to SIGKILL for a job that is stopped"
    )
    max_interruptions: int = _setting(
        5, 1, 1_000_000, "runs", "runs that may be cut short by a lost worker before the DLQ"
    )
    on_parent_failure: str = _setting(
        WAIT, 0, 10, "", "what becomes of jobs that wait for the success of one that is dead, "
        "cancelled or deleted: wait for its retry, or cancel",
        choices=(WAIT, CANCEL),
    )  # fmt: skip
    kill_leftovers: bool = _setting(
        False, False, True, "", "kill what a command leaves in the background when it ends"
    )
    full_durability: bool = _setting(
        True, False, True, "",
        "sync each write to the disk before it counts (SQLite); false risks the last ones "
        "when the machine crashes, and holds for what is started afterwards",
        "durability",
    )  # fmt: skip
    clean_env: bool = _setting(
        False, False, True, "", "give jobs only PATH, HOME, LANG and what they name themselves"
    )
    capture_env: bool = _setting(
        False, False, True, "", "run jobs in the environment of whoever enqueues them, as "
        "--capture-env does for one",
    )  # fmt: skip
    capture_env_names: str = _setting(
        "", 0, 10_000, "", "patterns, with commas, of the only variables that are captured, such "
        "as CUDA_*,PATH; the others come from the worker; none is all",
    )  # fmt: skip
    capture_env_secrets: bool = _setting(
        True, False, True, "", "capture variables too whose names say that they are secrets"
    )
    retention_completed: float = _setting(
        0.0, 0, _LONG, "seconds", "how long completed jobs are kept; 0 is for ever"
    )
    retention_cancelled: float = _setting(
        0.0, 0, _LONG, "seconds", "how long cancelled jobs are kept; 0 is for ever"
    )
    retention_dead: float = _setting(
        0.0, 0, _LONG, "seconds", "how long dead jobs stay in the DLQ; 0 is for ever"
    )
    retention_history: float = _setting(
        0.0, 0, _LONG, "seconds", "how long earlier runs of a job are kept; 0 is as long as the job"
    )
    retention_stats: float = _setting(
        8 * 86_400.0, 0, _LONG, "seconds", "how long figures by the minute are kept; 0 is for ever"
    )
    retention_audit: float = _setting(
        90 * 86_400.0,
        0,
        _LONG,
        "seconds",
        "how long it is kept who has changed what; 0 is for ever",
    )
    retention_worker_logs: float = _setting(
        30 * 86_400.0, 0, _LONG, "seconds", "how long the log store keeps logs of workers; 0 is "
        "for ever",
    )  # fmt: skip
    max_log_bytes: int = _setting(
        0,
        0,
        2**50,
        "bytes",
        "how large a home's job logs may grow: the oldest go, of a job that runs the middle; "
        "0 is any size",
    )
    log_store: str = _setting(
        "", 0, 10_000, "", "where the whole output of runs is kept for every host: store "
        "(MongoDB), s3://BUCKET/PREFIX, file:///shared/DIR or another address of fsspec; none is "
        "on the host of each run alone",
        pattern="|store|file:///.+|(?!file:)[a-z][a-z0-9+.:-]*://.+",
    )  # fmt: skip
    log_store_bytes: int = _setting(
        2**24, 2**10, 2**31, "bytes", "how much of each stream of a run is kept there: of what is "
        "longer the beginning and the end",
    )  # fmt: skip
    resources: str = _setting(
        "", 0, 10_000, "", "what the host of each worker has of named resources, unless its start "
        "says otherwise: gpu=0-3 memory=60G; none is nothing",
    )  # fmt: skip
    need_usual_memory: bool = _setting(
        False, False, True, "", "jobs that do not say how much memory they need (--need memory=2G) "
        "need the most that the last runs of the same command used",
    )  # fmt: skip
    needs_patience_seconds: float = _setting(
        60.0, 0, YEAR, "seconds", "how long a job that does not fit lets others pass that need "
        "less; then what it needs is kept free for it", "needs_patience",
    )  # fmt: skip
    date_order: str = _setting(
        "refuse", 0, 20, "", "how a date with slashes is meant that can be read in two ways: "
        "refuse, day-first or month-first",
        choices=("refuse", "day-first", MONTH_FIRST),
    )  # fmt: skip
    allowed_commands: str = _setting(
        "", 0, 100_000, "", "patterns, with commas, of the only commands that may run; none is any"
    )
    denied_commands: str = _setting(
        "", 0, 100_000, "", "patterns, with commas, of commands that must not run"
    )
    log_format: str = _setting(
        "text", 0, 10, "", "how workers write their log files: text, or json (a line an event)",
        choices=("text", "json"),
    )  # fmt: skip


_FIELDS: dict[str, Line] = lines_of(Settings)
KEYS: tuple[str, ...] = tuple(_FIELDS)
_ALIASES = {alias: key for key, item in _FIELDS.items() for alias in item.known["aliases"]}


def resolve_key(word: str) -> str:
    """Return the key that `word` means; `-` equals `_`, case is ignored.

    Raises InvalidInput for an unknown key, naming the nearest.
    """
    key = word.strip().lower().replace("-", "_")
    key = _ALIASES.get(key, key)
    if key in _FIELDS:
        return key
    raise InvalidInput(
        f"unknown setting {shown(word)}{nearest(key, [*KEYS, *_ALIASES])}",
        hint="queuectl config get lists every key",
    )


def help_of(key: str) -> str:
    """Return one line on a setting: what it does, its unit and its default."""
    meta = _FIELDS[key].known
    unit = f" [{meta['unit']}]" if meta["unit"] else ""
    return f"{meta['help']}{unit}; default {show(default_of(key)) or 'none'}"


def default_of(key: str) -> Value:
    """Return the default of a setting, in its own type."""
    default: Value = _FIELDS[key].default
    return default


def bounds_of_setting(key: str) -> tuple[float, float]:
    """Return the least and the greatest value of a setting that is a number."""
    meta = _FIELDS[key].known
    return meta["minimum"], meta["maximum"]


def month_first(settings: Settings) -> bool | None:
    """Return whether the month comes first in a date with slashes; None: nobody has said."""
    if settings.date_order == default_of("date_order"):
        return None
    return settings.date_order == MONTH_FIRST


def choices_of(key: str) -> tuple[str, ...]:
    """Return the only values that a setting takes, as they are typed; none if it takes others."""
    if isinstance(default_of(key), bool):
        return ("true", "false")
    found: tuple[str, ...] = _FIELDS[key].known["choices"]
    return found


def show(value: Value) -> str:
    """Return a value as `config get` prints it: `3`, `1.5`, `true`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def parse_value(key: str, raw: object) -> Value:
    """Return `raw` (text, or a JSON value) as the value of a setting.

    Raises InvalidInput when it is of the wrong kind or out of bounds.
    """
    default = default_of(key)
    meta = _FIELDS[key].known
    if isinstance(default, bool):
        return as_flag(key, raw)
    if isinstance(default, str):
        text = _as_text(key, raw, meta["maximum"])
        if meta["pattern"] and not re.fullmatch(meta["pattern"], text):
            raise InvalidInput(f"{key} cannot be {shown(text)}", f"it says {meta['help']}")
        return as_choice(key, text, meta["choices"]) if meta["choices"] else text
    bounds = f"between {show(meta['minimum'])} and {show(meta['maximum'])}"
    number = as_number(key, _in_its_unit(raw, meta["unit"]), bounds)
    if isinstance(default, int):
        if number != int(number):
            raise InvalidInput(f"{key} must be a whole number {bounds}, not {shown(raw)}")
        number = int(number)
    if not meta["minimum"] <= number <= meta["maximum"]:
        raise InvalidInput(f"{key} must be {bounds}, not {shown(raw)}")
    return number


def _in_its_unit(raw: object, unit: str) -> object:
    """Return what was written with a unit of its own (`7d`, `2GiB`) as a number of the setting's.

    What has none, or none that is known, is returned as it is.
    """
    if not isinstance(raw, str) or not raw.strip()[-1:].isalpha():
        return raw
    if unit == "seconds":
        from queuectl.domain.times import parse_duration

        try:
            return parse_duration(raw)
        except InvalidInput:
            return raw
    if unit == "bytes":
        from queuectl.domain.sizes import parse_size

        try:
            return parse_size("", raw)
        except InvalidInput:
            return raw
    return raw


def _as_text(name: str, raw: object, longest: int) -> str:
    """Return `raw` as text with only plain lines. Raises InvalidInput otherwise."""
    if not isinstance(raw, str):
        raise InvalidInput(f"{name} must be text, not {shown(raw)}")
    if len(raw) > longest:
        raise InvalidInput(f"{name} must have at most {longest:,} characters")
    if not raw.replace("\n", "").replace("\t", "").isprintable():
        raise InvalidInput(f"{name} must not contain control characters")
    return raw.strip()


def as_choice(name: str, text: str, choices: tuple[str, ...]) -> str:
    """Return one of a few words, in whatever case. Raises InvalidInput for any other."""
    if text.lower() not in choices:
        raise InvalidInput(f"{name} must be {' or '.join(choices)}, not {shown(text)}")
    return text.lower()


def as_number(name: str, raw: object, bounds: str) -> int | float:
    """Return `raw` as a finite number, which may be out of bounds.

    Raises InvalidInput otherwise, and names these.
    """
    is_written = isinstance(raw, (int, float, str)) and not isinstance(raw, bool)
    try:
        number = float(raw) if is_written else math.nan  # type: ignore[arg-type]  # is one of them
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(f"{name} must be a number {bounds}, not {shown(raw)}")
    return number


def as_flag(name: str, raw: object) -> bool:
    """Return `raw` as true or false. Raises InvalidInput otherwise."""
    word = str(raw).strip().lower()
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise InvalidInput(f"{name} must be true or false, not {shown(raw)}")


def from_stored(stored: Mapping[str, object]) -> Settings:
    """Return the settings in force. A stored value that is unusable counts as unset.

    Unknown keys (of a newer version, or written by hand) are left alone; see `faults`.
    """
    usable: dict[str, Any] = {}
    for key, raw in stored.items():
        if key not in _FIELDS:
            continue
        try:
            usable[key] = parse_value(key, raw)
        except InvalidInput:
            continue
    return Settings(**usable)


def faults(stored: Mapping[str, object]) -> list[str]:
    """Return one line for each stored setting that is not used, and why."""
    lines = []
    for key, raw in stored.items():
        if key not in _FIELDS:
            lines.append(f"unknown setting {shown(key)} is ignored")
            continue
        try:
            parse_value(key, raw)
        except InvalidInput as fault:
            lines.append(f"{fault}; the default {show(default_of(key))} is used")
    return lines


def as_dict(settings: Settings) -> dict[str, Value]:
    """Return every key with its value, in the order they are declared."""
    return {key: getattr(settings, key) for key in KEYS}
