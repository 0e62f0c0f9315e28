"""Whether a record that was read holds a job that can be run.

Nobody but queuectl is meant to write into a store, but people do, and a worker must not end of it.
"""

from __future__ import annotations

from datetime import datetime
from itertools import chain
from operator import attrgetter

from queuectl.domain.job import Job
from queuectl.domain.job_fields import FIELDS, Kind

_WHOLE, _NUMBER, _TEXT = (int,), (int, float), (str,)
_TYPES = {
    Kind.TEXT: _TEXT, Kind.MAYBE_TEXT: (str, type(None)), Kind.WHOLE: _WHOLE, Kind.NUMBER: _NUMBER,
    Kind.FLAG: (bool,), Kind.WORDS: (tuple,), Kind.PAIRS: (tuple,),
}  # fmt: skip
_SPEC = {
    "id": _TEXT, "command": (str, tuple),
    **{name: _TYPES[field.kind] for name, field in FIELDS.items()},
}  # fmt: skip
_COURSE = {
    "seq": _WHOLE, "rev": _WHOLE, "attempts": _WHOLE, "runs": _WHOLE, "interruptions": _WHOLE,
    "run_at": (datetime,), "created_at": (datetime,), "updated_at": (datetime,),
}  # fmt: skip
_WANTED = {**{f"spec.{name}": types for name, types in _SPEC.items()}, **_COURSE}
_values_of = attrgetter(*_WANTED)
_known: set[tuple[type, ...]] = set()
"""Types of whole jobs that have been looked at: nearly all jobs are alike."""


def unreadable(job_id: object) -> str:
    """Return what is told of a job whose record cannot be read."""
    return f"the record of job '{job_id}' cannot be read"


def sound(job: Job) -> Job:
    """Return a job that was read. Raises TypeError or ValueError when it could not be run."""
    types = tuple(map(type, _values_of(job)))
    if types not in _known:
        for (name, wanted), found in zip(_WANTED.items(), types, strict=True):
            if not issubclass(found, wanted):
                raise TypeError(f"{name.rpartition('.')[2]} is of type {found.__name__}")
        _known.add(types)
    spec = job.spec
    words = spec.command if isinstance(spec.command, tuple) else (spec.command,)
    for word in (*words, *spec.labels, spec.cwd or "", *chain.from_iterable(spec.env)):
        if "\0" in word:
            raise ValueError("it holds a NUL character")
    for name, _ in spec.env:
        if not name or "=" in name:
            raise ValueError(f"{name!r} is no name of a variable")
    return job
