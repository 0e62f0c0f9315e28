"""Jobs with a value of its own in every field, and what each place is excused from giving back.

The fields come from the records themselves, and their values from the types that are written
there. So one that is added to a record is asked for everywhere, until it is kept or excused here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from json import loads
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints
from zlib import crc32

from queuectl.domain.dependencies import TURN, blockers
from queuectl.domain.job import Claim, Job, Outcome, Run, State
from queuectl.domain.job_fields import FIELDS, Field, Spec, bounds_of
from queuectl.domain.text import MASK
from queuectl.domain.times import UTC, iso

Flat = dict[str, object]
R = TypeVar("R")

RECORDS = (Job, Spec, Claim, Outcome, Run)
START = datetime(2026, 1, 31, 12, tzinfo=UTC)
LOST = "nothing"
"""What stands for a field that a place does not have."""

CHOSEN: dict[str, tuple[object, ...]] = {
    "Spec.cwd": ("/", "/usr"),
    "Spec.memory": (2**21, 2**31, 3 * 2**30),
    "Outcome.result": ('{"loss": 0.5}', '["a", 1]', '"done"'),
    "Spec.between": ("22:00-06:00 UTC", "mon-fri 08:00-17:00 UTC"),
    "Spec.retry_on": (("75", "64-78"), ("signal:9",)),
    "Spec.no_retry_on": (("2", "timeout"), ("oom",)),
    "Spec.needs": ((("licence", "0.5"), ("tokens", "12")), (("licence", "1.5"),)),
}
"""Values of fields that take no others of their type; each other one is refused (tested)."""

_VERDICT = "a word of the worker's to the state machine, which has heard it"
_BY_STORE = "a number that the store gives"
_OF_A_RUN = "says who runs the job, and nobody does there"
_OF_CAPTURE = "names what is stored apart; `capture_env` and `--snapshot` ask for it"
_OF_ID = "says who made the id, which is known by whether one is given"
_OF_RUNS = "each run of a schedule has its own"
_OF_BEFORE = "of runs before, which this one does not need"
_OF_LIST = "what `resource list` shows of all jobs"
_INSIDE = "kept between the store and the workers"

_OF_BATCH = "is one of new jobs that were enqueued together, or a limit for all of them"
_OF_SWEEP = "set by the sweep that makes the job"

_NOT_GIVEN = {
    "spec.generated_id": _OF_ID,
    "spec.environment": _OF_CAPTURE,
    "spec.snapshot": _OF_CAPTURE, "spec.batch_index": _OF_SWEEP,
    "spec.params": _OF_SWEEP, "spec.slot_places": _OF_SWEEP,
    "spec.signature": "made by the key of a home, where there is one",
}  # fmt: skip
_NOT_STORED = {
    "outcome.interrupted": _VERDICT, "outcome.is_final": _VERDICT, "outcome.postponed": _VERDICT,
    "outcome.unfit_host": _VERDICT, "outcome.retry_after": _VERDICT,
}  # fmt: skip
_NO_CLOCK = {"delayed": "says that a wait was reckoned by a clock which is another one there"}

EXCUSED: dict[str, dict[str, str]] = {
    "sqlite": _NOT_STORED,
    "mongo": {**_NOT_STORED, **_NO_CLOCK},
    "claim": {
        "outcome.stdout": _OF_BEFORE, "outcome.stderr": _OF_BEFORE, "outcome.result": _OF_BEFORE,
        **{f"history.{field.name}": _OF_BEFORE for field in fields(Run)},
    },
    "export": {
        **_NOT_STORED, **_NO_CLOCK, "seq": _BY_STORE, "cancel_requested": _OF_A_RUN,
        "claim.id": _OF_A_RUN, "claim.worker": _OF_A_RUN, "claim.lease_until": _OF_A_RUN,
        "claim.alone": _OF_A_RUN,
        "claim.holding.host": _OF_A_RUN, "claim.holding.units": _OF_A_RUN,
    },
    "show": {
        **_NOT_STORED, "seq": _BY_STORE, "rev": _BY_STORE, "spec.generated_id": _OF_ID,
        "spec.slot_places": _INSIDE,
        "claim.id": _INSIDE, "claim.lease_until": _INSIDE, "claim.alone": _INSIDE,
        "claim.holding.host": _OF_LIST, "claim.holding.units": _OF_LIST,
        "cancel_requested": _INSIDE,
        "has_dependents": _INSIDE, "children_pending": _INSIDE, "delayed": _INSIDE,
    },
    "input": _NOT_GIVEN,
    "edit": _NOT_GIVEN,
    "editor": {**_NOT_GIVEN, "spec.id": "the name of the table; it cannot be changed"},
    "schedule": {
        **_NOT_GIVEN, "spec.id": _OF_RUNS, "spec.unique": _OF_RUNS, "spec.after": _OF_RUNS,
        "spec.batch": _OF_BATCH, "spec.at_once": _OF_BATCH, "spec.max_fails": _OF_BATCH,
        "spec.after_any": _OF_RUNS, "spec.after_fail": _OF_RUNS,
    },
}  # fmt: skip
"""The fields that a place does not give back, and why. One that it does give back must go."""

SPELLED: dict[str, tuple[str, Callable[[Any], object]]] = {
    "outcome.error": ("last_error", lambda error: error),
    "outcome.result": ("result", loads),
    "paused": ("paused", lambda is_paused: is_paused),
    "spec.input_text": ("input_text", lambda _text: MASK),
    "spec.environment": ("capture_env", lambda name: name is not None),
    "blocked_by": (
        "waits_for",
        lambda left: [word.partition(":")[2] for word in left if word != TURN],
    ),
}
"""Fields that `--json` has by other names, or says otherwise."""

_DEFAULTS = {
    owner: {field.name: field.default for field in fields(record)}
    for owner, record in zip(("", "spec", "claim", "outcome", "history"), RECORDS, strict=True)
}


def kinds_of(record: type) -> dict[str, Any]:
    """Return the type of each field of a record."""
    hints = get_type_hints(record)
    return {field.name: hints[field.name] for field in fields(record)}


def filled(record: type[R], turn: int = 0, **given: object) -> R:
    """Return a record whose fields all differ from their defaults, but for those given.

    Another `turn` gives other values; every second one those flags and choices that are default.
    """
    if record is Spec:  # a job has one input
        given = {**({"pty": False, "stdin": False} if turn // 2 % 2 else {"input": None}), **given}
    made = {name: _value(record, name, turn) for name in kinds_of(record) if name not in given}
    return record(**made, **given)


def free_value(record: type, name: str, turn: int = 0) -> Any:
    """Return a value of a field's type, and other than its default where it can be."""
    (default,) = (field.default for field in fields(record) if field.name == name)
    return _of_kind(kinds_of(record)[name], name, turn, default)


def _value(record: type, name: str, turn: int) -> Any:
    field = FIELDS.get(name) if record is Spec else None
    choices = CHOSEN.get(f"{record.__name__}.{name}") or (field and _others(field))
    if choices:
        return choices[turn % len(choices)]
    value = free_value(record, name, turn)
    bounds = bounds_of(field) if field else None
    return _within(bounds, value, field.default) if field and bounds else value


def _others(field: Field) -> tuple[object, ...]:
    """Return the choices of a field, its default last."""
    return tuple(sorted(field.choices, key=lambda choice: choice == field.default))


def _within(bounds: tuple[float, float], value: Any, default: object) -> Any:
    """Return a number that a field takes, and other than its default, near a value."""
    least, most = bounds
    near = value if least <= value <= most else type(value)(least + value % (most - least))
    return near if near != default else type(value)(most)


def _of_kind(kind: Any, name: str, turn: int, default: object = MISSING) -> Any:
    number = crc32(name.encode()) % 7 + 3 + turn
    if number == default:
        number += 10
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        some = [each for each in args if each is not NoneType]
        return _of_kind(some[turn % len(some)], name, turn)
    if origin is tuple:
        members = args if args[-1] is not Ellipsis else args[:1]
        return tuple(_of_kind(each, f"{name}{at}", turn) for at, each in enumerate(members))
    if _is_record(kind):
        return filled(kind, turn)
    if issubclass(kind, Enum):
        others = [each for each in kind if each != default]
        return others[turn % len(others)]
    values: dict[type, object] = {
        bool: (default is not True) == (turn % 2 == 0),
        int: number,
        float: number + 0.5,
        str: f"{name}-{turn}",
        datetime: START + timedelta(minutes=number, hours=turn),
    }
    return values[kind]


def full_job(state: State, job_id: str, turn: int = 0, **given: object) -> Job:
    """Return a job in a state with all fields filled, as if it waited and ran all at once."""
    spec = filled(Spec, turn, id=job_id)
    made = {
        "spec": spec,
        "blocked_by": blockers(spec),
        "worker": "worker-1",  # kept once, for the job and for its claim
        "claim": filled(Claim, turn, worker="worker-1"),
        **given,
    }
    return filled(Job, turn, state=state, **made)


def _is_record(value: object) -> bool:
    return is_dataclass(value)


def flat(record: object, prefix: str = "") -> Flat:
    """Return every field of a record and of those in it, as `spec.queue`; of runs all values."""
    found: Flat = {}
    for name in kinds_of(type(record)):
        value = getattr(record, name)
        path = f"{prefix}{name}"
        if _is_record(value):
            found |= flat(value, f"{path}.")
        elif isinstance(value, tuple) and value and _is_record(value[0]):
            each = [flat(member, f"{path}.") for member in value]
            found |= {inner: [member[inner] for member in each] for inner in each[0]}
        else:
            found[path] = value
    return found


def untried(jobs: Iterable[Job]) -> set[str]:
    """Return the fields that none of these jobs has otherwise than a job does that is new."""
    tried = {name for job in jobs for name, value in flat(job).items() if not is_usual(name, value)}
    return set(all_paths()) - tried


def is_usual(path: str, value: object) -> bool:
    """Whether the value of a field is what it is when nobody says."""
    owner, _, name = path.rpartition(".")
    default = _DEFAULTS.get(owner, {}).get(name, MISSING)
    return all(each == default for each in (value if isinstance(value, list) else [value]))


def as_json(path: str, value: object) -> object:
    """Return the value of a field as JSON has it."""
    if path in SPELLED:
        return SPELLED[path][1](value)
    if isinstance(value, list):
        return [as_json("", each) for each in value]
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return dict(value) if value and isinstance(value[0], tuple) else list(value)
    return value


def given_fields(spec: Spec, place: str = "input") -> dict[str, Any]:
    """Return a specification as one writes it in JSON where a place takes it."""
    return {
        path.removeprefix("spec."): as_json("", value)
        for path, value in flat(spec, "spec.").items()
        if path not in EXCUSED[place] and value is not None  # which is to leave it out
    }


def read_from(answer: Mapping[str, Any]) -> Flat:
    """Return what a job in JSON says of each field, under the field's own name."""
    found: Flat = {}
    for path in all_paths():
        owner, _, name = path.rpartition(".")
        if owner == "history":
            found[path] = [run.get(name, LOST) for run in answer["history"]]
        else:
            found[path] = answer.get(SPELLED[path][0] if path in SPELLED else name, LOST)
    return found


def all_paths() -> list[str]:
    """Return the paths of all fields of a job."""
    return list(flat(filled(Job)))


def survives(place: str, before: Flat, after: Flat, *more: str) -> None:
    """Assert that each field is as it was, but for those from which the place is excused.

    An excuse that is not needed is a fault too. `more` are places whose excuses hold here too.
    """
    excused = {name for each in (place, *more) for name in EXCUSED[each]}
    lost = {
        name: (value, after.get(name, LOST))
        for name, value in before.items()
        if name not in excused and after.get(name, LOST) != value
    }
    assert not lost, f"{place} does not give back (was, is): {lost}"
    idle = {
        name for name in excused & before.keys()
        if after.get(name, LOST) == before[name] and not is_usual(name, before[name])
    }  # fmt: skip
    assert not idle, f"{place} gives {idle} back: take the excuse away"
