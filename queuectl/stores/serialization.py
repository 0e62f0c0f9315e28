"""Job <-> document: the one place where field names meet storage.

A document is flat: each key is a column in SQLite and a field in MongoDB. Its values are str,
int, float, bool, None, aware datetimes, lists of str and lists of pairs. What only a store needs
(`ready`, tokens) is added by that store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any

from queuectl.domain.field_checks import Command
from queuectl.domain.job import Claim, Holding, Job, Outcome, Run, State
from queuectl.domain.job_fields import FIELDS, Kind, Spec, command_text, plain

Document = dict[str, Any]

UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What decoding a record raises that was written by hand, or by a fault."""

OUTPUT_FIELDS = ("stdout", "stderr", "result")
"""What a run has left, which is read where it is asked for."""

OUTCOME_FIELDS = (
    "exit_code", "signal", "timed_out", "last_error", "duration", "stdout_cut", "stderr_cut",
    "cpu_seconds", "peak_memory", "note", *OUTPUT_FIELDS,
)  # fmt: skip
_COURSE_FIELDS = (
    "rev", "run_at", "attempts", "runs", "interruptions", "cancel_requested", "worker",
    "created_at", "updated_at", "started_at", "finished_at", "failed_at", "paused",
    "has_dependents", "children_pending", "suspect", "put_back",
)  # fmt: skip
"""The fields of a job that are stored as they are: how it has fared so far."""

TIME_FIELDS = frozenset(
    "run_at created_at updated_at started_at finished_at failed_at lease_until".split()
)
RUN_FIELDS = (
    "n", "claim_id", "worker", "started_at", "finished_at", "exit_code", "signal", "timed_out",
    "error", "duration", "cpu_seconds", "peak_memory",
)  # fmt: skip


@lru_cache(maxsize=1000)
def note_unreadable(place: str, key: object) -> None:
    """Log, once a process, that a record cannot be read and is passed over."""
    import logging

    log = logging.getLogger("queuectl.stores")
    log.error("%s: the record %r cannot be read and is passed over", place, key)


@lru_cache(maxsize=100)
def known_state(word: object) -> State | None:
    """Return the state of that name; None, logged once a process, for a name nobody knows."""
    try:
        return State(word)
    except ValueError:
        import logging

        log = logging.getLogger("queuectl.stores")
        log.error("jobs: what is in the unknown state %r is left out (see queuectl doctor)", word)
        return None


def parent_state(word: object) -> State:
    """Return how a job stands that others wait for: in an unknown state it has not ended."""
    return known_state(word) or State.PENDING


def job_to_document(job: Job) -> Document:
    """Return every field of a job but its history."""
    return {
        "seq": job.seq,
        **_spec_to_document(job.spec),
        **{name: getattr(job, name) for name in _COURSE_FIELDS},
        "put_backs": job.put_backs or None,
        "not_on": list(job.not_on),
        "blocked_by": list(job.blocked_by),
        "state": job.state.value,
        **_claim_to_document(job.claim),
        **outcome_to_document(job.outcome),
    }


_outcome_values = attrgetter(*(name.removeprefix("last_") for name in OUTCOME_FIELDS))
_spec_values = attrgetter(*FIELDS)
_SPEC_FIELDS = [field.column for field in FIELDS.values()]
_SPEC_DEFAULTS = [field.default for field in FIELDS.values()]
_TUPLES = [field.column for field in FIELDS.values() if field.kind in (Kind.WORDS, Kind.PAIRS)]


def _spec_to_document(spec: Spec) -> Document:
    is_line = isinstance(spec.command, str)
    document = dict(zip(_SPEC_FIELDS, _spec_values(spec), strict=True))
    for name in _TUPLES:
        document[name] = plain(document[name])
    return {
        "id": spec.id,
        "command": command_text(spec.command),
        "argv": None if is_line else list(spec.command),
        **document,
    }


def _claim_to_document(claim: Claim | None) -> Document:
    return {
        "claim_id": claim.id if claim else None,
        "lease_until": claim.lease_until if claim else None,
        "claim_alone": None if claim is None or claim.alone else False,
        **({"holding": holding_to_document(claim.holding)} if claim and claim.holding else {}),
    }


def holding_to_document(holding: Holding) -> list[object]:
    """Return what a claim holds of resources: the host, and pairs."""
    return [holding.host, plain(holding.units)]


def holding_from_document(found: Sequence[Any]) -> Holding:
    """Return what a claim holds of resources."""
    host, units = found
    return Holding(host, tuple((name, text) for name, text in units))


def outcome_to_document(outcome: Outcome | None) -> Document:
    """Return the fields of a run's outcome; `duration` is None when there is none."""
    if outcome is None:
        return dict.fromkeys(OUTCOME_FIELDS)
    return dict(zip(OUTCOME_FIELDS, _outcome_values(outcome), strict=True))


def changed_fields(before: Job, after: Job) -> Document:
    """Return the fields that a transition changes, and always `rev`.

    The outcome is written whole when it is another one, since `before` may have been read
    without its output.
    """
    changed: Document = {"rev": after.rev}
    for name in _COURSE_FIELDS:
        value = getattr(after, name)
        if value != getattr(before, name):
            changed[name] = value
    if after.state is not before.state:
        changed["state"] = after.state.value
    if after.put_backs != before.put_backs:
        changed["put_backs"] = after.put_backs or None
    if after.not_on != before.not_on:
        changed["not_on"] = list(after.not_on)
    if after.blocked_by != before.blocked_by:
        changed["blocked_by"] = list(after.blocked_by)
    if after.claim != before.claim:
        changed.update(_claim_to_document(after.claim))
    if after.spec is not before.spec:
        changed.update(_spec_to_document(after.spec))
    if after.outcome is not before.outcome:
        changed.update(outcome_to_document(after.outcome))
    return changed


def job_from_document(document: Mapping[str, Any], history: Iterable[Run] = ()) -> Job:
    """Return the job that a document holds; output that was not read is empty.

    Raises one of `UNREADABLE` for a document that holds none.
    """
    get = document.get
    claim_id, alone = get("claim_id"), get("claim_alone") is not False
    held = get("holding")
    job = Job(
        spec=_spec_from_document(document),
        state=State(document["state"]),
        run_at=document["run_at"],
        created_at=document["created_at"],
        updated_at=document["updated_at"],
        seq=document["seq"],
        rev=document["rev"],
        attempts=document["attempts"],
        runs=document["runs"],
        interruptions=document["interruptions"],
        cancel_requested=bool(document["cancel_requested"]),
        blocked_by=tuple(get("blocked_by") or ()),
        paused=bool(get("paused")),
        has_dependents=bool(get("has_dependents")),
        children_pending=bool(get("children_pending")),
        suspect=bool(get("suspect")),
        put_back=get("put_back"),
        put_backs=get("put_backs") or 0,
        not_on=tuple(get("not_on") or ()),
        claim=Claim(
            claim_id,
            document["worker"],
            document["lease_until"],
            alone,
            holding_from_document(held) if held else None,
        )
        if claim_id
        else None,
        worker=get("worker"),
        started_at=get("started_at"),
        finished_at=get("finished_at"),
        failed_at=get("failed_at"),
        outcome=_outcome_from_document(document),
        history=tuple(history),
    )
    return sound(job)


def _spec_from_document(document: Mapping[str, Any]) -> Spec:
    argv = document.get("argv")
    command: Command = document["command"] if argv is None else tuple(argv)
    found = zip(map(document.get, _SPEC_FIELDS), _SPEC_DEFAULTS, strict=True)
    values = [default if value is None else value for value, default in found]
    for place, read in _READ:
        values[place] = read(values[place])
    return Spec(document["id"], command, *values)


_READERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.WORDS: tuple,
    Kind.PAIRS: lambda pairs: tuple((name, value) for name, value in pairs),
    Kind.FLAG: bool,
}
"""What turns a value as a document has it into the one of a job, where they differ."""

_READ = [
    (place, _READERS[field.kind])
    for place, field in enumerate(FIELDS.values())
    if field.kind in _READERS
]


def _outcome_from_document(document: Mapping[str, Any]) -> Outcome | None:
    get = document.get
    if get("duration") is None:
        return None
    return Outcome(
        exit_code=get("exit_code"),
        signal=get("signal"),
        timed_out=bool(get("timed_out")),
        error=get("last_error"),
        duration=document["duration"],
        stdout=get("stdout") or "",
        stderr=get("stderr") or "",
        stdout_cut=get("stdout_cut") or 0,
        stderr_cut=get("stderr_cut") or 0,
        cpu_seconds=get("cpu_seconds"),
        peak_memory=get("peak_memory"),
        result=get("result"),
        note=get("note"),
    )


def run_to_document(run: Run) -> Document:
    """Return one entry of a job's history."""
    return {name: getattr(run, name) for name in RUN_FIELDS}


def run_from_document(document: Mapping[str, Any]) -> Run:
    """Return the entry that a document holds."""
    values: Document = {name: document.get(name) for name in RUN_FIELDS}
    values["timed_out"] = bool(values["timed_out"])
    return Run(**values)


_WHOLE, _NUMBER, _TEXT = (int,), (int, float), (str,)
_TYPES = {
    Kind.TEXT: _TEXT, Kind.MAYBE_TEXT: (str, type(None)), Kind.WHOLE: _WHOLE, Kind.NUMBER: _NUMBER,
    Kind.FLAG: (bool,), Kind.WORDS: (tuple,), Kind.PAIRS: (tuple,),
}  # fmt: skip
_SPEC = {name: _TYPES[field.kind] for name, field in FIELDS.items()}
_REST = {
    "spec.id": _TEXT, "spec.command": (str, tuple),
    "seq": _WHOLE, "rev": _WHOLE, "attempts": _WHOLE, "runs": _WHOLE, "interruptions": _WHOLE,
    "run_at": (datetime,), "created_at": (datetime,), "updated_at": (datetime,),
}  # fmt: skip
_values_of_spec, _values_of_rest = attrgetter(*_SPEC), attrgetter(*_REST)
_known: set[tuple[type, ...]] = set()
"""Types that have been looked at, of specifications and of the rest: nearly all are alike."""


def unreadable(job_id: object) -> str:
    """Return what is told of a job whose record cannot be read."""
    return f"the record of job '{job_id}' cannot be read"


def sound(job: Job) -> Job:
    """Return a job that was read. Raises TypeError or ValueError when it could not be run.

    Nobody but queuectl is meant to write into a store, but people do, and no worker must end of it.
    """
    sound_fields(job.spec)
    return sound_but_for_fields(job)


def sound_fields(spec: Spec) -> None:
    """Look at the fields of a job that was read. Raises TypeError or ValueError."""
    _look_at_types(_SPEC, _values_of_spec(spec))
    for word in (*spec.labels, spec.cwd or "", *chain.from_iterable(spec.env)):
        _look_at_word(word)
    for name, _ in spec.env:
        if not name or "=" in name:
            raise ValueError(f"{name!r} is no name of a variable")


def sound_but_for_fields(job: Job) -> Job:
    """Return a job whose fields are sound, but for its id and command, which are looked at here.

    Raises TypeError or ValueError when it could not be run.
    """
    _look_at_types(_REST, _values_of_rest(job))
    command = job.spec.command
    for word in command if isinstance(command, tuple) else (command,):
        _look_at_word(word)
    return job


def _look_at_types(wanted: Mapping[str, tuple[type, ...]], values: tuple[object, ...]) -> None:
    types = tuple(map(type, values))
    if types in _known:
        return
    for (name, right), found in zip(wanted.items(), types, strict=True):
        if not issubclass(found, right):
            raise TypeError(f"{name.rpartition('.')[2]} is of type {found.__name__}")
    _known.add(types)


def _look_at_word(word: str) -> None:
    if "\0" in word:
        raise ValueError("it holds a NUL character")
