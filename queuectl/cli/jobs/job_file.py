"""Jobs as a TOML file that a person edits: one table a job, named by its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, time
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Item, Table

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.job import Job
from queuectl.domain.job_fields import ASKED, Kind, plain
from queuectl.domain.times import iso
from queuectl.domain.views import asked_as_dict

_HEAD = """\
Change what these jobs ask for, save and leave the editor.
Left as it is, or empty, nothing is changed. Without its table a job stays as it is; without its
line a field gets what a new job would have. A secret that is shown as ******** stays as it is.
"""
_OF_EACH = {
    "command": 'a line for /bin/sh, or without a shell ["program", "argument"]',
    "run_at": '"2030-01-31T14:30", "tomorrow 9:00", "in 5m"',
}
_EXPLAINED = {**_OF_EACH, **{name: field.comment for name, field in ASKED.items()}}
"""Every field that can be changed, in the order of the file, and what there is to say of it."""

Fields = Mapping[str, object]


def fields_of(job: Job) -> dict[str, Any]:
    """Return what a file shows of a job: every field that it uses, secrets masked."""
    values = asked_as_dict(job)
    used = {
        name: values[name]
        for name, field in ASKED.items()
        if values[name] != plain(field.default) or not (field.example or field.kind is Kind.PAIRS)
    }
    shown = {"command": job.spec.command, "run_at": iso(job.run_at), **used}
    return {name: _plain(value) for name, value in shown.items() if value != {}}


def text_of(jobs: Sequence[Job]) -> str:
    """Return the file for some jobs."""
    document = tomlkit.document()
    for line in _HEAD.splitlines():
        document.add(tomlkit.comment(line))
    for job in jobs:
        document.add(tomlkit.nl())
        document.add(tomlkit.key(job.id), _table_of(job))
    return tomlkit.dumps(document)


def _table_of(job: Job) -> Table:
    table = tomlkit.table()
    used = fields_of(job)
    for name, value in used.items():
        if name == "env":
            for variable, text in value.items():
                table.add(tomlkit.key(["env", variable]), _string(text))
        else:
            table.add(name, _explained(_item(value), _EXPLAINED[name]))
    for name, field in ASKED.items():
        if field.example and name not in used:
            key = f"{name}.NAME" if field.kind is Kind.PAIRS else name
            table.add(tomlkit.comment(f"{key} = {field.example}  # {field.comment}"))
    return table


def _item(value: object) -> Item:
    return _string(value) if isinstance(value, str) else tomlkit.item(value)


def _string(text: str) -> Item:
    """Return text in the form that is read best: as it is where it needs no escapes."""
    is_long = "\n" in text
    if is_long or '"' in text or "\\" in text:
        with suppress(ValueError):  # of characters that have no place in this form
            literal = tomlkit.string(text, literal=True, multiline=is_long)
            if tomlkit.parse(f"text = {literal.as_string()}")["text"] == text:
                return literal
    return tomlkit.string(text, multiline=is_long)


def _explained(item: Item, what: str) -> Item:
    return item.comment(what) if what else item


def read(text: str, shown_before: Mapping[str, Fields]) -> dict[str, dict[str, object]]:
    """Return what a person changed: for each job the fields that differ from what was shown.

    None stands for a field whose line was removed. Raises InvalidInput.
    """
    try:
        tables = tomlkit.parse(text).unwrap()
    except TOMLKitError as fault:
        raise InvalidInput(f"the file is not TOML: {fault}") from None
    changed: dict[str, dict[str, object]] = {}
    for job_id, table in tables.items():
        if job_id not in shown_before:
            raise InvalidInput(f"the file has {shown(job_id)}, which is none of these jobs")
        if not isinstance(table, dict):
            raise InvalidInput(f"the file has a value in place of the table of {shown(job_id)}")
        if wanted := _difference(shown_before[job_id], table):
            changed[job_id] = wanted
    return changed


def _difference(before: Fields, table: dict[str, object]) -> dict[str, object]:
    now = {name: _plain(value) for name, value in table.items()}
    gone = dict.fromkeys(name for name in before if name not in now)
    return {**gone, **{name: value for name, value in now.items() if before.get(name) != value}}


def _plain(value: object) -> object:
    """Return a value as a file has it: a time as text, a whole number without a fraction."""
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value
