"""From what a person wrote (options, or a JSON object) to a validated `Request`.

Two settings with patterns say which commands may run here; they are asked again at each run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from queuectl.domain.errors import InvalidInput, nearest, shown
from queuectl.domain.field_checks import (
    Command,
    check_command,
    check_cwd,
    check_name,
)
from queuectl.domain.frozen import frozen
from queuectl.domain.job_fields import ASKED, Spec, command_text, defaults_of
from queuectl.domain.settings import Settings, as_flag

RESULT_FIELDS = frozenset(
    "state attempts created_at updated_at started_at finished_at failed_at stdout stderr "
    "stdout_cut stderr_cut exit_code signal duration timed_out last_error worker reason runs "
    "interruptions suspect history waits_for paused cpu_seconds peak_memory result note "
    "put_back put_backs not_on batch_index params signature".split()
)
"""Fields that describe what became of a job; on input they are ignored with a note."""

TIME_FIELDS = {"run_at": "at", "at": "at", "in": "in", "delay": "in"}
"""Fields that say when a job is due, and which of the two ways of saying it each one is."""

HOLD = "hold"
"""The field that says that a new job is paused until somebody resumes it."""

ALIASES = {field.option: name for name, field in ASKED.items() if field.option != name}

ParseTime = Callable[[str, object], datetime]
"""Turns ("at" or "in", what was written) into an instant. Raises InvalidInput."""


@frozen
class Request:
    """A job to be enqueued: its specification and when it is due (None: at once).

    `delayed` says that the time was given as a length of time from now. `notes` are lines for the
    person who asked; `replace` allows a job of this id to be replaced, and with `hold` the job is
    paused from the start.
    """

    spec: Spec
    run_at: datetime | None = None
    notes: tuple[str, ...] = ()
    replace: bool = False
    delayed: bool = False
    hold: bool = False


_GPU_FIELDS = {"gpus": "gpu", "gpu_memory": "gpu-memory", "gpu-memory": "gpu-memory"}
"""Fields that are another way of saying what a job needs, by the resource that each one means."""

_OF_THE_MOMENT = ("snapshot", "capture_env", "env_file")
"""What is taken from where a job is enqueued, and is no field of the job itself."""


def resolve_field(word: str) -> str:
    """Return the field that a word means. Raises InvalidInput with the nearest."""
    if not isinstance(word, str):
        raise TypeError(f"the name of a field is a string, not {word!r}")
    key = word.strip().lower().replace("-", "_")
    key = ALIASES.get(key, key)
    if key in CHECKS or key in TIME_FIELDS or key in RESULT_FIELDS or key == HOLD:
        return key
    if key in _OF_THE_MOMENT:
        raise InvalidInput(
            f"field {shown(word)} cannot be changed: it is of the moment in which a job is enqueued"
        )
    close = nearest(key, [*sorted(CHECKS), *TIME_FIELDS, HOLD])
    raise InvalidInput(
        f"unknown field {shown(word)}{close}",
        hint="" if close else "each long option of queuectl enqueue --help is a field",
    )


CHECKS: dict[str, Callable[[object], Any]] = {
    "id": partial(check_name, "id"),
    "command": partial(check_command, "command"),
    **{name: partial(field.check, name) for name, field in ASKED.items() if field.check},
}
"""Every field that a person may set, and what turns what was written into its value."""


class RequestForm:
    """Turns one mapping of fields after another into requests.

    Fields that are absent or null take their default from `settings`, and the working directory
    is `cwd` then; ids are made by `new_id` where there is none. It `is_restricted` where a setting
    says which commands may run, and `asks_by_command` where each command is to be looked at.
    What `is_trial` is only tried: nothing is to be kept for it.
    """

    def __init__(
        self,
        settings: Settings,
        parse_time: ParseTime,
        new_id: Callable[[], str],
        *,
        cwd: str | None = None,
        replace: bool = False,
        is_trial: bool = False,
    ) -> None:
        self.settings = settings
        self.is_trial = is_trial
        self.is_restricted = bool(settings.allowed_commands or settings.denied_commands)
        self.asks_by_command = self.is_restricted or settings.need_usual_memory
        self._defaults = defaults_of(settings)
        if cwd is not None:
            self._defaults["cwd"] = check_cwd("cwd", cwd)
        self._named: tuple[Any, ...] = tuple(self._defaults.values())
        self._unnamed: tuple[Any, ...] = tuple({**self._defaults, "generated_id": True}.values())
        self._parse_time = parse_time
        self.new_id = new_id
        self._replace = replace

    def fill(self, wanted: Mapping[str, object]) -> Request:
        """Return the request that a mapping asks for.

        Raises InvalidInput, with the field's name, for the first thing that is wrong.
        """
        wanted = with_gpus(wanted)
        given: dict[str, Any] = {}
        notes: list[str] = []
        run_at: datetime | None = None
        delayed = hold = False
        for word, value in wanted.items():
            if value is not None and word in CHECKS and word not in given:
                given[word] = CHECKS[word](value)
                continue
            key = resolve_field(word)
            if key in RESULT_FIELDS:
                notes.append(f"field {shown(word)} is a result and was ignored")
            elif value is None:
                continue
            elif key in TIME_FIELDS:
                if run_at is not None:
                    raise InvalidInput(f"field {shown(word)}: the time is given twice")
                delayed = TIME_FIELDS[key] == "in"
                run_at = self._parse_time(TIME_FIELDS[key], value)
            elif key in given:
                raise InvalidInput(f"field {shown(word)} is given twice")
            elif key == HOLD:
                hold = as_flag(HOLD, value)
            else:
                given[key] = CHECKS[key](value)
        if "command" not in given:
            raise InvalidInput("field 'command' is missing")
        spec = self._spec(given)
        if self.is_restricted:
            require_allowed(spec.command, self.settings)
            if spec.preflight is not None:
                require_allowed(spec.preflight, self.settings)
        return Request(spec, run_at, tuple(notes), self._replace, delayed, hold)

    def model(self) -> Request:
        """Return a request that names a command and an id alone, which are empty here."""
        return Request(Spec("", "", *self._named), None, (), self._replace)

    def _spec(self, given: dict[str, Any]) -> Spec:
        if len(given) == 1:  # a command and at most an id, as in most files of many jobs
            return Spec(self.new_id(), given["command"], *self._unnamed)
        if len(given) == 2 and "id" in given:
            return Spec(given["id"], given["command"], *self._named)
        if "id" not in given:
            given |= {"id": self.new_id(), "generated_id": True}
        job_id, command = given.pop("id"), given.pop("command")
        return Spec(job_id, command, *{**self._defaults, **given}.values())


def with_gpus(fields: Mapping[str, object]) -> Mapping[str, object]:
    """Return fields with `gpus` and `gpu_memory` among what the job needs. Raises InvalidInput."""
    if _GPU_FIELDS.keys().isdisjoint(fields):
        return fields
    more = {
        resource: fields[name]
        for name, resource in _GPU_FIELDS.items()
        if fields.get(name) is not None
    }
    rest = {name: value for name, value in fields.items() if name not in _GPU_FIELDS}
    if not more:
        return rest
    needs = dict(CHECKS["needs"](rest["needs"])) if rest.get("needs") is not None else {}
    return {**rest, "needs": {**needs, **more}}


def build_request(
    wanted: Mapping[str, object],
    settings: Settings,
    parse_time: ParseTime,
    new_id: Callable[[], str],
) -> Request:
    """Return the request that one mapping of fields asks for; see `RequestForm`."""
    return RequestForm(settings, parse_time, new_id).fill(wanted)


@lru_cache(maxsize=8)
def command_patterns(text: str) -> tuple[str, ...]:
    """Return the patterns in a setting: one a line, or with commas between them on one line."""
    parts = text.splitlines() if "\n" in text else text.split(",")
    return tuple(part.strip() for part in parts if part.strip())


def command_refusal(command: Command, settings: Settings) -> str | None:
    """Return why a command may not run, or None. A pattern must fit the whole command.

    `*` stands for anything, blanks and further commands included; `?` for one character.
    """
    if not settings.denied_commands and not settings.allowed_commands:
        return None
    from fnmatch import fnmatchcase

    text = command_text(command).strip()
    for pattern in command_patterns(settings.denied_commands):
        if fnmatchcase(text, pattern):
            return f"denied_commands has '{pattern}'"
    allowed = command_patterns(settings.allowed_commands)
    if allowed and not any(fnmatchcase(text, pattern) for pattern in allowed):
        return f"it fits none of allowed_commands: {', '.join(allowed)}"
    return None


def require_allowed(command: Command, settings: Settings) -> None:
    """Raise InvalidInput for a command that the settings do not let run."""
    why = command_refusal(command, settings)
    if why:
        raise InvalidInput(
            f"this command is not allowed here: {why}",
            hint="queuectl config get shows what is",
        )
