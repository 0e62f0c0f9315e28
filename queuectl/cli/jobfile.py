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
from queuectl.domain.job import WAIT, Job
from queuectl.domain.times import iso
from queuectl.domain.view import masked_env

_HEAD = """\
Change what these jobs ask for, save and leave the editor.
Left as it is, or empty, nothing is changed. Without its table a job stays as it is; without its
line a field gets what a new job would have. A secret that is shown as ******** stays as it is.
"""
_EXPLAINED = {
    "command": 'a line for /bin/sh, or without a shell ["program", "argument"]',
    "queue": "",
    "priority": "higher first; or low, normal, high",
    "run_at": '"2030-01-31T14:30", "tomorrow 9:00", "in 5m"',
    "max_retries": "attempts in all before the DLQ",
    "timeout": "seconds that one run may take; 0: no limit",
    "backoff_base": "a retry waits base ** attempts seconds",
    "backoff_cap": "seconds, the longest wait before a retry",
    "slots": "what it takes of its queue's limit",
    "labels": "",
    "cwd": "the directory it runs in",
    "unique": "of the jobs with this key only one waits or runs",
    "after": "jobs that must have succeeded before",
    "after_any": "jobs that must have ended before",
    "after_fail": "jobs that must have failed before",
    "on_parent_failure": "wait or cancel, when one of those in `after` is dead or cancelled",
    "clean_env": "whether it gets nothing of its worker's environment",
    "env": "a variable of its environment",
}
"""Every field that can be changed, in the order of the file, and what there is to say of it."""

_UNUSED = {
    "cwd": '"/srv/app"',
    "unique": '"nightly"',
    "after": '["job1"]',
    "after_any": '["job1"]',
    "after_fail": '["job1"]',
    "on_parent_failure": '"cancel"',
    "clean_env": "true",
    "env.NAME": '"value"',
}
"""What a field that a job does not use could look like."""

Fields = Mapping[str, object]


def fields_of(job: Job) -> dict[str, Any]:
    """Return what a file shows of a job: every field that it uses, secrets masked."""
    spec = job.spec
    values: dict[str, Any] = {
        name: getattr(spec, name) for name in _EXPLAINED if name not in ("run_at", "env")
    }
    if spec.on_parent_failure == WAIT:
        values["on_parent_failure"] = ""
    values |= {"run_at": iso(job.run_at), "env": masked_env(job)}
    return {
        name: _plain(values[name])
        for name in _EXPLAINED
        if values[name] or name not in ("env", *_UNUSED)
    }


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
    for name, example in _UNUSED.items():
        if name.partition(".")[0] not in used:
            what = _EXPLAINED[name.partition(".")[0]]
            table.add(tomlkit.comment(f"{name} = {example}  # {what}"))
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
