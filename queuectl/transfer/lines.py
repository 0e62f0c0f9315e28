"""A job as one line of JSON with all that a store knows of it, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from queuectl.domain.dependencies import END, FAILURE, SUCCESS
from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.form import build_request
from queuectl.domain.job import SETTLED, Job, Outcome, Run, Spec, State
from queuectl.domain.request import check_text, is_name
from queuectl.domain.settings import Settings
from queuectl.domain.times import UTC, iso, whole_millis
from queuectl.domain.view import MASK, looks_secret
from queuectl.stores import codec

_RUN_TIMES = ("started_at", "finished_at")
_SPEC = (
    "id queue priority max_retries backoff_base backoff_cap timeout cwd labels slots after "
    "after_any after_fail clean_env".split()
)
_FRACTIONS = ("backoff_base", "backoff_cap", "timeout", "duration")
_OTHERS = "seq command argv env generated_id unique_key environment".split()
_COURSE = (
    "rev state run_at attempts runs interruptions cancel_requested waits_for held has_children "
    "unswept claim_id lease_until worker created_at updated_at started_at finished_at failed_at "
    "history".split()
)
_FIELDS = frozenset([*_SPEC, *_OTHERS, *_COURSE, *codec.OUTCOME_FIELDS])


def job_to_line(job: Job, *, masked: bool = False) -> dict[str, Any]:
    """Return a job as JSON has it, with everything; what is empty is left out."""
    document = codec.job_to_document(job)
    for name in _FRACTIONS:
        if document[name] is not None:
            document[name] = float(document[name])
    if masked:
        document["env"] = masked_pairs(job.spec.env)
    document["history"] = [
        _json_times(codec.run_to_document(run), _RUN_TIMES) for run in job.history
    ]
    line = _json_times(document, codec.TIME_FIELDS)
    return {name: value for name, value in line.items() if value not in (None, [])}


def masked_pairs(pairs: tuple[tuple[str, str], ...]) -> list[list[str]]:
    """Return variables with the values of secrets hidden."""
    return [[name, MASK if looks_secret(name) else value] for name, value in pairs]


def _json_times(document: codec.Document, names: Any) -> codec.Document:
    return {
        name: iso(value) if name in names and value is not None else value
        for name, value in document.items()
    }


def digest(job: Job) -> str:
    """Return a checksum over all of a job that two stores must agree on.

    `rev` is left out: it counts the changes that one store has made.
    """
    line = job_to_line(job)
    line.pop("rev")
    text = json.dumps(line, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def job_from_line(fields: Mapping[str, Any]) -> Job:
    """Return the job in a line, each field checked. Raises InvalidInput for what is wrong.

    A job that was being run waits again, with its attempt given back.
    """
    unknown = sorted(fields.keys() - _FIELDS)
    if unknown:
        raise InvalidInput(f"unknown field {shown(unknown[0])}")
    take = _Taker(fields)
    created = take.time("created_at")
    updated = take.time("updated_at", created)
    job = Job(
        spec=_spec(fields),
        state=take.state(),
        run_at=take.time("run_at", created),
        created_at=created,
        updated_at=updated,
        rev=take.number("rev", 1, least=1),
        attempts=take.number("attempts"),
        runs=take.number("runs"),
        interruptions=take.number("interruptions"),
        cancel_requested=take.flag("cancel_requested"),
        waits_for=take.blockers(),
        held=take.flag("held"),
        has_children=take.flag("has_children"),
        unswept=take.flag("unswept"),
        worker=take.text("worker"),
        started_at=take.maybe_time("started_at"),
        finished_at=take.maybe_time("finished_at"),
        failed_at=take.maybe_time("failed_at"),
        outcome=take.outcome(),
        history=take.history(),
    )
    return _at_rest(job)


def _at_rest(job: Job) -> Job:
    """Return a job as it can be without its worker, with the marks that its state demands."""
    if job.state is State.PROCESSING:
        ended = State.CANCELLED if job.cancel_requested else State.PENDING
        job = replace(job, state=ended, attempts=max(0, job.attempts - 1))
    job = replace(job, cancel_requested=False, claim=None)
    if job.state not in SETTLED:
        return job
    finished = job.finished_at or job.updated_at
    failed = (job.failed_at or finished) if job.state is State.DEAD else job.failed_at
    return replace(job, finished_at=finished, failed_at=failed, waits_for=(), held=False)


def _spec(fields: Mapping[str, Any]) -> Spec:
    wanted: dict[str, object] = {name: fields[name] for name in _SPEC if name in fields}
    wanted["command"] = fields["argv"] if fields.get("argv") else fields.get("command")
    wanted["unique"] = fields.get("unique_key")
    pairs = fields.get("env") or []
    if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
        raise InvalidInput("env must be an array of pairs")
    wanted["env"] = dict(pairs)
    if fields.get("id") is None:
        raise InvalidInput("field 'id' is missing")
    spec = build_request(wanted, Settings(), _no_time, str).spec
    environment = fields.get("environment")
    if environment is not None:
        environment = check_text("environment", environment)
    return replace(spec, generated_id=fields.get("generated_id") is True, environment=environment)


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(x, str) for x in pair)


def _no_time(_kind: str, raw: object) -> datetime:
    return parse_instant("run_at", raw)


def parse_instant(name: str, raw: object) -> datetime:
    """Return the instant that `iso` wrote. Raises InvalidInput for anything else."""
    try:
        if isinstance(raw, str) and raw.endswith("Z"):
            return whole_millis(datetime.fromisoformat(raw[:-1]).replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        pass
    raise InvalidInput(f"{name} must be a time such as 2030-01-31T12:00:00.000Z, not {shown(raw)}")


class _Taker:
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

    def outcome(self) -> Outcome | None:
        """Return how the latest run ended, if one has."""
        duration = self.maybe("duration", (int, float), "a number")
        if duration is None:
            return None
        return Outcome(
            exit_code=self.maybe("exit_code", int, "a whole number"),
            signal=self.maybe("signal", int, "a whole number"),
            timed_out=self.flag("timed_out"),
            error=self.maybe("last_error", str, "text"),
            duration=float(duration),
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
    take = _Taker(entry)
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
    )
