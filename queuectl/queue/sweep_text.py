"""Sweeps and values as text: what is stored of a sweep, and what a command gets of a value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.job_fields import FIELDS, Spec, plain
from queuectl.domain.request import Request
from queuectl.domain.sweep import Axis, Sweep
from queuectl.domain.sweep_words import rows_axis
from queuectl.domain.times import from_millis, to_millis


def to_text(sweep: Sweep) -> str:
    """Return all of a sweep as one text, to be stored; see `from_text`."""
    model = sweep.model
    return json.dumps({
        "command": plain(model.spec.command),
        "fields": {
            name: plain(value)
            for name, field in FIELDS.items()
            if (value := getattr(model.spec, name)) != field.default
        },
        "run_at": None if model.run_at is None else to_millis(model.run_at),
        "delayed": model.delayed,
        "hold": model.hold,
        "axes": [
            [axis.names, axis.rows, [(r.start, r.stop, r.step) for r in axis.ranges]]
            for axis in sweep.axes
        ],
    })  # fmt: skip


def from_text(text: str) -> Sweep:
    """Return the sweep in a text that `to_text` made."""
    kept = json.loads(text)
    fields = {name: _tupled(value) for name, value in kept["fields"].items()}
    values = [fields.get(name, field.default) for name, field in FIELDS.items()]
    model = Request(
        Spec("", _tupled(kept["command"]), *values),
        None if kept["run_at"] is None else from_millis(kept["run_at"]),
        delayed=kept["delayed"],
        hold=kept["hold"],
    )
    axes = [
        Axis(tuple(names), _tupled(rows), tuple(range(*each) for each in ranges))
        for names, rows, ranges in kept["axes"]
    ]
    return Sweep(model, axes)


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


def mappings_axis(rows: Iterable[Mapping[str, object]], where: str = "row") -> Axis:
    """Return the axis of objects that all have the same names. Raises InvalidInput."""
    many = [*rows]
    if not many:
        raise InvalidInput(f"there is no {where}")
    names = [*many[0]]
    for number, row in enumerate(many, 1):
        if row.keys() != many[0].keys():
            odd = sorted(map(str, row.keys() ^ many[0].keys()))
            raise InvalidInput(f"{where} {number}: {shown(odd[0])} is not in every {where}")
    return rows_axis(names, ([as_text(row[name]) for name in names] for row in many))


def as_text(value: object) -> str:
    """Return a value as a command gets it: JSON where it is neither text nor a number."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, (bool, list, dict)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)
