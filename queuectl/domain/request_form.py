"""From mappings of fields, as people write them, to requests: one after another, and quickly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.field_checks import are_plain_commands, are_plain_ids, check_cwd
from queuectl.domain.job_fields import Spec, defaults_of
from queuectl.domain.request import (
    CHECKS,
    RESULT_FIELDS,
    TIME_FIELDS,
    ParseTime,
    Request,
    resolve_field,
)
from queuectl.domain.settings import Settings

_COMMAND_ALONE, _COMMAND_AND_ID = frozenset({"command"}), frozenset({"command", "id"})


class RequestForm:
    """Turns one mapping of fields after another into requests.

    Fields that are absent or null take their default from `settings`, and the working directory
    is `cwd` then; ids are made by `new_id` where there is none.
    """

    def __init__(
        self,
        settings: Settings,
        parse_time: ParseTime,
        new_id: Callable[[], str],
        *,
        cwd: str | None = None,
        replace: bool = False,
    ) -> None:
        self._settings = settings
        self._is_restricted = bool(settings.allowed_commands or settings.denied_commands)
        self._defaults = defaults_of(settings)
        if cwd is not None:
            self._defaults["cwd"] = check_cwd("cwd", cwd)
        self._named: tuple[Any, ...] = tuple(self._defaults.values())
        self._unnamed: tuple[Any, ...] = tuple({**self._defaults, "generated_id": True}.values())
        self._parse_time = parse_time
        self._new_id = new_id
        self._replace = replace

    def fill(self, wanted: Mapping[str, object]) -> Request:
        """Return the request that a mapping asks for.

        Raises InvalidInput, with the field's name, for the first thing that is wrong.
        """
        given: dict[str, Any] = {}
        notes: list[str] = []
        run_at: datetime | None = None
        delayed = False
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
            else:
                given[key] = CHECKS[key](value)
        if "command" not in given:
            raise InvalidInput("field 'command' is missing")
        spec = self._spec(given)
        if self._is_restricted:
            from queuectl.domain.command_policy import require_allowed

            require_allowed(spec.command, self._settings)
        return Request(spec, run_at, tuple(notes), self._replace, delayed)

    def fill_plain(self, many: Sequence[Mapping[str, object]]) -> list[Request] | None:
        """Return the requests of mappings that have no more than a command and an id.

        They are looked at together, in a fraction of the time. None stands for mappings that
        `fill` has to look at one by one; it may find nothing wrong with them either.
        """
        kinds = {frozenset(wanted) for wanted in many}
        if self._is_restricted or len(kinds) != 1:
            return None
        commands = [wanted.get("command") for wanted in many]
        if kinds == {_COMMAND_ALONE} and are_plain_commands(commands):
            specs = [Spec(self._new_id(), command, *self._unnamed) for command in commands]
        elif kinds == {_COMMAND_AND_ID} and are_plain_commands(commands):
            ids = [wanted["id"] for wanted in many]
            if not are_plain_ids(ids):
                return None
            pairs = zip(ids, commands, strict=True)
            specs = [Spec(job_id, command, *self._named) for job_id, command in pairs]
        else:
            return None
        return [Request(spec, None, (), self._replace) for spec in specs]

    def _spec(self, given: dict[str, Any]) -> Spec:
        if len(given) == 1:  # a command and at most an id, as in most files of many jobs
            return Spec(self._new_id(), given["command"], *self._unnamed)
        if len(given) == 2 and "id" in given:
            return Spec(given["id"], given["command"], *self._named)
        if "id" not in given:
            given |= {"id": self._new_id(), "generated_id": True}
        job_id, command = given.pop("id"), given.pop("command")
        return Spec(job_id, command, *{**self._defaults, **given}.values())


def build_request(
    wanted: Mapping[str, object],
    settings: Settings,
    parse_time: ParseTime,
    new_id: Callable[[], str],
) -> Request:
    """Return the request that one mapping of fields asks for; see `Form`."""
    return RequestForm(settings, parse_time, new_id).fill(wanted)
