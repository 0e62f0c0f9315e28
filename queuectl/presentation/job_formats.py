"""Jobs as other programs read them: chosen columns, CSV, ids alone, or a template of one's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from queuectl.domain.errors import InvalidInput, nearest
from queuectl.domain.frozen import replace
from queuectl.domain.job import Job
from queuectl.domain.text import printable
from queuectl.domain.views import as_dict
from queuectl.presentation.columns import usage_columns
from queuectl.presentation.tables import Clock, Column

if TYPE_CHECKING:
    from string import Formatter

FORMATS = ("table", "json", "csv", "ids")
"""The formats that have a name; any other is a template."""

_COSTLY = frozenset({"stdout", "stderr", "result", "history"})
"""The fields that are read for a listing only where a template or a column names them."""

_ESCAPES = {r"\t": "\t", r"\n": "\n"}


def name_of(column: Column[Job]) -> str:
    """Return how a column is named on the command line: `next_run`."""
    return column.title.lower().replace(" ", "_")


def chosen_columns(words: str, columns: Sequence[Column[Job]], clock: Clock) -> list[Column[Job]]:
    """Return the columns named in `id,state,worker`: of a table, or fields of a job's JSON.

    `memory` and `cpu` are what the latest run used. All are shown, whether or not there is
    something in them. Raises InvalidInput.
    """
    known = {name_of(column): column for column in (*columns, *usage_columns(clock))}
    chosen = []
    for word in words.split(","):
        name = word.strip().lower().replace("-", "_").replace(" ", "_")
        if name not in known and name not in field_names():
            every = [*known, *(field for field in field_names() if field not in known)]
            raise InvalidInput(
                f"unknown column '{word.strip()}'{nearest(name, every)}",
                hint=f"columns: {', '.join(every)}",
            )
        column = known.get(name) or Column(name.upper().replace("_", " "), _field(name, clock))
        chosen.append(replace(column, optional=False, usual=""))
    return chosen


def needs_all(words: str) -> bool:
    """Whether columns or a template name something that costs more to read."""
    return any(name in words for name in _COSTLY)


def field_names() -> list[str]:
    """Return the names of the fields that a job has as JSON."""
    from queuectl.domain.job import State
    from queuectl.domain.job_fields import Spec
    from queuectl.domain.times import EPOCH

    nobody = Job(Spec("?", ""), State.PENDING, EPOCH, EPOCH, EPOCH)
    return list(as_dict(nobody, EPOCH))


def _field(name: str, clock: Clock) -> Callable[[Job], str]:
    return lambda job: text_of(as_dict(job, clock.now, clock.wait_context)[name])


def text_of(value: Any) -> str:
    """Return a value of a job's JSON as text: nothing for none, lists and objects as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    from json import dumps

    return dumps(value, ensure_ascii=False)


def write_csv(jobs: Iterable[Job], columns: Sequence[Column[Job]]) -> None:
    """Write jobs as CSV (RFC 4180, but for the ends of lines), the names of columns first."""
    import csv

    safe = printable if sys.stdout.isatty() else str
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(name_of, columns))
    for job in jobs:
        writer.writerow(safe(column.text(job)) for column in columns)


def write_template(jobs: Iterable[Job], template: str, clock: Clock) -> None:
    """Write a line for each job, with `{name}` replaced by that field of its JSON.

    `\\t` and `\\n` mean what they do in a shell's `printf`; braces are doubled to stand for
    themselves. Raises InvalidInput for a template that cannot be read.
    """
    from string import Formatter

    parts = _parts(template, Formatter())
    for job in jobs:
        fields = as_dict(job, clock.now, clock.wait_context)
        line = "".join(
            literal + (format(printable(text_of(fields[name])), spec) if name else "")
            for literal, name, spec in parts
        )
        sys.stdout.write(line + "\n")


def _parts(template: str, formatter: Formatter) -> list[tuple[str, str, str]]:
    """Return the pieces of a template: a text, the field that follows it, and how that is set."""
    names, parts = field_names(), list[tuple[str, str, str]]()
    for escape, char in _ESCAPES.items():
        template = template.replace(escape, char)
    try:
        for literal, name, spec, conversion in formatter.parse(template):
            if name is not None and (name not in names or conversion):
                raise InvalidInput(
                    f"unknown field '{{{name}}}'{nearest(name, names)}",
                    hint=f"fields: {', '.join(names)}",
                )
            format("", spec or "")
            parts.append((literal, name or "", spec or ""))
    except ValueError as fault:
        raise InvalidInput(
            f"cannot read the template: {fault}", hint="for example --format '{id} {state}'"
        ) from None
    return parts
