"""Taking fields out of a line of an export, each of the kind that it must have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from queuectl.domain.dependencies import END, FAILURE, SUCCESS
from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.field_checks import check_text, is_name
from queuectl.domain.job import Outcome, Run, State
from queuectl.domain.times import UTC, whole_millis


def parse_instant(name: str, raw: object) -> datetime:
    """Return the instant that `iso` wrote. Raises InvalidInput for anything else."""
    try:
        if isinstance(raw, str) and raw.endswith("Z"):
            return whole_millis(datetime.fromisoformat(raw[:-1]).replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        pass
    raise InvalidInput(f"{name} must be a time such as 2030-01-31T12:00:00.000Z, not {shown(raw)}")


def refuse_unknown(fields: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise InvalidInput for a line with a field that it cannot have."""
    unknown = sorted(fields.keys() - set(known))
    if unknown:
        raise InvalidInput(f"unknown field {shown(unknown[0])}")


class Taker:
    """Takes fields out of a line, each of the kind that it must have."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def number(self, name: str, default: int = 0, *, least: int = 0) -> int:
        """Return a whole number."""
        value = self._fields.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**62:
            raise InvalidInput(f"{name} must be a whole number from {least}, not {shown(value)}")
        return value

    def maybe(self, name: str, kind: type | tuple[type, ...], what: str) -> Any:
        """Return a value of a kind, or None."""
        value = self._fields.get(name)
        if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
            return value
        raise InvalidInput(f"{name} must be {what}, not {shown(value)}")

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self._fields.get(name, False)
        if isinstance(value, bool):
            return value
        raise InvalidInput(f"{name} must be true or false, not {shown(value)}")

    def text(self, name: str) -> str | None:
        """Return text, or None."""
        value = self.maybe(name, str, "text")
        return None if value is None else check_text(name, value)

    def maybe_time(self, name: str) -> datetime | None:
        """Return an instant, or None."""
        raw = self._fields.get(name)
        return None if raw is None else parse_instant(name, raw)

    def time(self, name: str, default: datetime | None = None) -> datetime:
        """Return an instant. Raises InvalidInput where it is missing."""
        found = self.maybe_time(name) or default
        if found is None:
            raise InvalidInput(f"field '{name}' is missing")
        return found

    def state(self) -> State:
        """Return the job's state."""
        raw = self._fields.get("state")
        try:
            return State(raw)
        except ValueError:
            raise InvalidInput(f"state must be one of the states, not {shown(raw)}") from None

    def blockers(self) -> tuple[str, ...]:
        """Return what the job waits for."""
        raw = self._fields.get("waits_for") or []
        words = (SUCCESS, FAILURE, END)
        for each in raw if isinstance(raw, list) else [raw]:
            word, _, job_id = each.partition(":") if isinstance(each, str) else ("", "", "")
            if word not in words or not is_name(job_id):
                raise InvalidInput(f"waits_for {shown(each)} must be like 'success:ID'")
        return tuple(dict.fromkeys(raw))

    def fraction(self, name: str) -> float | None:
        """Return a number that may have a fraction, if it is there."""
        found = self.maybe(name, (int, float), "a number")
        return None if found is None else float(found)

    def outcome(self) -> Outcome | None:
        """Return how the latest run ended, if one has."""
        duration = self.fraction("duration")
        if duration is None:
            return None
        return Outcome(
            exit_code=self.maybe("exit_code", int, "a whole number"),
            signal=self.maybe("signal", int, "a whole number"),
            timed_out=self.flag("timed_out"),
            error=self.maybe("last_error", str, "text"),
            duration=duration,
            stdout=self.maybe("stdout", str, "text") or "",
            stderr=self.maybe("stderr", str, "text") or "",
            stdout_cut=self.number("stdout_cut"),
            stderr_cut=self.number("stderr_cut"),
        )

    def history(self) -> tuple[Run, ...]:
        """Return the runs that there were, each once."""
        raw = self._fields.get("history") or []
        if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
            raise InvalidInput("history must be an array of objects")
        runs = {run.n: run for run in map(_run, raw)}
        return tuple(runs[n] for n in sorted(runs))


def _run(entry: Mapping[str, Any]) -> Run:
    take = Taker(entry)
    return Run(
        n=take.number("n", least=1),
        claim_id=take.text("claim_id") or "",
        worker=take.text("worker") or "",
        started_at=take.time("started_at"),
        finished_at=take.time("finished_at"),
        exit_code=take.maybe("exit_code", int, "a whole number"),
        signal=take.maybe("signal", int, "a whole number"),
        timed_out=take.flag("timed_out"),
        error=take.maybe("error", str, "text"),
        duration=take.fraction("duration"),
    )
