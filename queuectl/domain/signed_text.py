"""What a signature of a job covers, as bytes: the same for the same job, whichever store has it."""

from __future__ import annotations

import json
from typing import Any

from queuectl.domain.job_fields import FIELDS, Kind, Spec, plain

VERSION = "1"
"""Begins every signature, and grows with any change of what `signed_text` returns."""

_AS_KEPT = {Kind.WHOLE: int, Kind.NUMBER: float, Kind.FLAG: bool}
"""Stores give 2 for 2.0, and 1 for true: a value is signed as what its field says it is."""

_SIGNED = sorted(name for name, field in FIELDS.items() if field.is_signed)


def signed_text(spec: Spec, identity: str, issued: str) -> bytes:
    """Return what is signed of a job of the store with that identity, at a time as ISO 8601 has it.

    It is a JSON array, in ASCII and without spaces: the version, the identity, the time, the id,
    the command (a string, or an array of arguments), and an object of the fields that are not what
    they are by default, in order of their names. A field that a later version adds is left out of
    it until a job has it, so that what was signed before still holds.
    """
    return json.dumps(
        [f"queuectl-job-{VERSION}", identity, issued, spec.id, plain(spec.command), _fields(spec)],
        separators=(",", ":"),
    ).encode()


def _fields(spec: Spec) -> dict[str, Any]:
    values = {}
    for name in _SIGNED:
        value, field = getattr(spec, name), FIELDS[name]
        if field.kind in _AS_KEPT:
            value = _AS_KEPT[field.kind](value)
        if value != field.default:
            values[name] = plain(value)
    return values
