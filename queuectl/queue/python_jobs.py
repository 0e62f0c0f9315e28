"""Jobs as people's Python programs write them: a command, a mapping of fields, or many of these."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from queuectl.domain.request import CHECKS, Request
from queuectl.system.home import working_directory

Written = str | Mapping[str, object] | Request
"""One job: a line for the shell, its fields, or a request that was made of them."""

_FORMS = '"echo hi" or {"command": "echo hi", "queue": "gpu"}'
_ARGUMENTS = 'an argument list goes as {"command": ["make", "-j4"]}'


def as_list(
    jobs: Written | Iterable[Written] | None, fields: Mapping[str, object]
) -> list[Written]:
    """Return the jobs of one call, of which there may be one. Raises TypeError for other things.

    A call that names fields alone, a command among them, names one job.
    """
    if jobs is None and "command" in fields:
        return [{}]
    if isinstance(jobs, (str, Mapping, Request)):
        return [jobs]
    if isinstance(jobs, (bytes, bytearray, memoryview)) or not isinstance(jobs, Iterable):
        raise TypeError(f"enqueue takes {_FORMS}, or a list of these, not {_kind(jobs)}")
    found = list(jobs)
    for number, job in enumerate(found, 1):
        if not isinstance(job, (str, Mapping, Request)):
            raise TypeError(
                f"enqueue takes {_FORMS}, or a list of these; number {number} of the list is "
                f"{_kind(job)}; {_ARGUMENTS}"
            )
    return found


def as_one(job: Written | None, fields: Mapping[str, object]) -> Written:
    """Return the one job of a call. Raises TypeError for several, and for other things."""
    if job is None and "command" in fields:
        return {}
    if isinstance(job, (str, Mapping, Request)):
        return job
    raise TypeError(f"enqueue_one takes {_FORMS}, not {_kind(job)}; {_ARGUMENTS}")


def fields_of(job: str | Mapping[str, object], more: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of one job with those that the call names for all, which go before.

    It runs in the directory that this program is in, unless it names another.
    """
    fields = {**({"command": job} if isinstance(job, str) else job), **more}
    cwd = fields.get(_cwd_field(fields))
    if isinstance(cwd, str) and Path(cwd).is_absolute():
        return fields
    return absolute_cwd(fields, str(working_directory()))


def absolute_cwd(fields: dict[str, object], cwd: str) -> dict[str, object]:
    """Return the fields with a working directory that means the same on every host and day.

    `cwd` is the enqueuer's own, used where none is named.
    """
    name = _cwd_field(fields)
    asked = fields.get(name)
    if asked is not None and not isinstance(asked, str):
        return fields  # refused with the field's name where fields are checked
    return {**fields, name: os.path.join(cwd, asked) if asked else cwd}  # noqa: PTH118  # a str with its dots


def _cwd_field(fields: Mapping[str, object]) -> str:
    """Return how the working directory is spelled among some fields, `cwd` where it is not."""
    if fields.keys() <= CHECKS.keys():
        return "cwd"
    spelled = (word for word in fields if isinstance(word, str) and word.strip().lower() == "cwd")
    return next(spelled, "cwd")


def _kind(value: object) -> str:
    """Return what a value is, as one says it: `an int`, `a list`."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"
