"""`edit`: jobs that wait, in the editor of the person who asks: a TOML file, one table a job."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, time
from pathlib import Path
from typing import Any

import click
import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Item, Table

from queuectl.cli.filters import is_asked
from queuectl.cli.root import Command, examples, ids_argument
from queuectl.cli.session import Session, pass_session, warn_if_missing
from queuectl.domain.errors import Conflict, InvalidInput, NotFound, shown
from queuectl.domain.job import WAITING, Job
from queuectl.domain.job_edit import require_waiting
from queuectl.domain.job_fields import ASKED, Field, Kind, plain
from queuectl.domain.times import iso
from queuectl.domain.views import asked_as_dict
from queuectl.presentation.console import print_error, print_hint, print_line
from queuectl.queue import Queue
from queuectl.system.home import cannot, open_private
from queuectl.system.ids import new_token

_EDITOR = "vi"
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


@examples("""
    queuectl edit job1
    EDITOR="code --wait" queuectl edit job1 job2
""")
@click.command(cls=Command)
@ids_argument(*WAITING)
@pass_session
def edit(session: Session, ids: tuple[str, ...]) -> None:
    """Change jobs that wait in $VISUAL or $EDITOR: all of them, or none on an error."""
    queue = session.reading()
    jobs = {job.id: job for job in map(queue.get, ids)}
    for job in jobs.values():
        require_waiting(job)
    path = queue.home.root / f"edit-{new_token()[:8]}.toml"
    text = text_of(list(jobs.values()))
    _write(path, text)
    is_kept = False
    try:
        _Editing(queue, jobs, path).go_on()
    except (InvalidInput, Conflict, NotFound) as fault:
        is_kept = path.exists() and path.read_bytes() != text.encode()
        if not is_kept:
            raise
        fault.args = (f"{fault}; what was typed is in {path}",)
        raise
    finally:
        if not is_kept:
            path.unlink(missing_ok=True)


class _Editing:
    """One file in the editor until it is accepted, or given up."""

    def __init__(self, queue: Queue, jobs: Mapping[str, Job], path: Path) -> None:
        self._queue = queue
        self._jobs = dict(jobs)
        self._shown = {job.id: fields_of(job) for job in jobs.values()}
        self._path = path

    def go_on(self) -> None:
        """Let the person type, and change the jobs; again, where they want that after an error."""
        while True:
            _run_editor(self._path)
            try:
                self._apply(read(_read(self._path), self._shown))
            except (InvalidInput, Conflict, NotFound) as fault:
                if not is_asked():
                    raise
                print_error(fault)
                if not click.confirm("Edit it again?", default=True, err=True):
                    raise
                self._look_again()
            else:
                return

    def _apply(self, changed: Mapping[str, Mapping[str, object]]) -> None:
        """Change the jobs if that is right for all of them, each only if it is as it was read."""
        queue = self._queue
        for job_id in changed:
            job = queue.get(job_id)
            require_waiting(job)
            if job.rev != self._jobs[job_id].rev:
                raise Conflict(f"job '{job_id}' has changed meanwhile")
        edits = {
            job_id: fields
            for job_id, fields in changed.items()
            if queue.check_edit(self._jobs[job_id], fields)
        }
        if not edits:
            print_hint("nothing was changed")
        directories: dict[str | None, bool] = {}
        for job_id, fields in edits.items():
            job = queue.edit(job_id, fields, rev=self._jobs[job_id].rev)
            print_line(f"Changed job '{job_id}'")
            if "cwd" in fields:
                warn_if_missing(job.spec.cwd, directories)

    def _look_again(self) -> None:
        """Take the jobs as they are now; what was shown first still says what was typed."""
        for job_id in self._jobs:
            self._jobs[job_id] = self._queue.get(job_id)


def _run_editor(path: Path) -> None:
    """Open a file in the editor and wait for its end. Raises InvalidInput when it fails."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or _EDITOR
    sys.stdout.flush()
    try:
        running = subprocess.Popen([*shlex.split(editor), str(path)])
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or fault
        raise InvalidInput(
            f"the editor '{editor}' cannot be started: {why}", "set EDITOR to the one that you use"
        ) from None
    while running.returncode is None:
        with suppress(KeyboardInterrupt):  # the key was meant for the editor
            running.wait()
    if code := running.returncode:
        raise InvalidInput(f"the editor '{editor}' ended with {code}: nothing was changed")


def _write(path: Path, text: str) -> None:
    descriptor = open_private(path, os.O_WRONLY | os.O_EXCL)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as fault:
        path.unlink(missing_ok=True)
        raise cannot("write", path, fault) from fault


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("the file is not UTF-8 text") from None
    except OSError as fault:
        raise cannot("read", path, fault) from fault


def fields_of(job: Job) -> dict[str, Any]:
    """Return what a file shows of a job: every field that it uses, secrets masked."""
    values = asked_as_dict(job)
    used = {
        name: values[name]
        for name, field in ASKED.items()
        if values[name] != plain(field.default) or not _is_left_out(field)
    }
    fields = {"command": job.spec.command, "run_at": iso(job.run_at), **used}
    return {name: _plain(value) for name, value in fields.items() if value != {}}


def _is_left_out(field: Field) -> bool:
    """Whether a file has no value for a field that a job does not use."""
    return bool(field.example) or field.is_hidden or field.kind is Kind.PAIRS


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
        if isinstance(value, dict):
            for variable, text in value.items():
                table.add(tomlkit.key([name, variable]), _string(text))
        else:
            item = _string(value) if isinstance(value, str) else tomlkit.item(value)
            comment = _EXPLAINED[name]
            table.add(name, item.comment(comment) if comment else item)
    for name, field in ASKED.items():
        if field.example and name not in used:
            key = f"{name}.NAME" if field.kind is Kind.PAIRS else name
            table.add(tomlkit.comment(f"{key} = {field.example}  # {field.comment}"))
    return table


def _string(text: str) -> Item:
    """Return text in the form that is read best: as it is where it needs no escapes."""
    is_long = "\n" in text
    if is_long or '"' in text or "\\" in text:
        with suppress(ValueError):  # of characters that have no place in this form
            literal = tomlkit.string(text, literal=True, multiline=is_long)
            if tomlkit.parse(f"text = {literal.as_string()}")["text"] == text:
                return literal
    return tomlkit.string(text, multiline=is_long)


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
        if fields := _difference(shown_before[job_id], table):
            changed[job_id] = fields
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
