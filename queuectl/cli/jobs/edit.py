"""`edit`: jobs that wait, in the editor of the person who asks."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from queuectl.cli.jobs import job_file
from queuectl.cli.jobs.show import ids_argument
from queuectl.cli.root import Command
from queuectl.cli.session import Session, pass_session, print_error, print_hint, print_line
from queuectl.cli.working_directory import warn_if_missing
from queuectl.domain.errors import Conflict, InvalidInput, NotFound
from queuectl.domain.job import WAITING, Job
from queuectl.domain.job_edit import require_waiting
from queuectl.queue import Queue
from queuectl.system.home import cannot, open_private
from queuectl.system.ids import new_token

_EDITOR = "vi"


@click.command(
    cls=Command,
    epilog="""
    queuectl edit job1
    EDITOR="code --wait" queuectl edit job1 job2
    """,
)
@ids_argument(*WAITING)
@pass_session
def edit(session: Session, ids: tuple[str, ...]) -> None:
    """Change jobs that wait in $VISUAL or $EDITOR: all of them, or none on an error."""
    queue = session.reading()
    jobs = {job.id: job for job in map(queue.get, ids)}
    for job in jobs.values():
        require_waiting(job)
    path = queue.home.root / f"edit-{new_token()[:8]}.toml"
    text = job_file.text_of(list(jobs.values()))
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
        self._shown = {job.id: job_file.fields_of(job) for job in jobs.values()}
        self._path = path

    def go_on(self) -> None:
        """Let the person type, and change the jobs; again, where they want that after an error."""
        while True:
            _run_editor(self._path)
            try:
                self._apply(job_file.read(_read(self._path), self._shown))
            except (InvalidInput, Conflict, NotFound) as fault:
                if not _may_ask():
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
        wanted = {
            job_id: fields
            for job_id, fields in changed.items()
            if queue.check_edit(self._jobs[job_id], fields)
        }
        if not wanted:
            print_hint("nothing was changed")
        directories: dict[str | None, bool] = {}
        for job_id, fields in wanted.items():
            job = queue.edit(job_id, fields, rev=self._jobs[job_id].rev)
            print_line(f"Changed job '{job_id}'")
            if "cwd" in fields:
                warn_if_missing(job.spec.cwd, directories)

    def _look_again(self) -> None:
        """Take the jobs as they are now; what was shown first still says what was typed."""
        for job_id in self._jobs:
            self._jobs[job_id] = self._queue.get(job_id)


def _may_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _run_editor(path: Path) -> None:
    """Open a file in the editor and wait for its end. Raises InvalidInput when it fails."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or _EDITOR
    hint = "set EDITOR to the one that you use"
    sys.stdout.flush()
    try:
        running = subprocess.Popen([*shlex.split(editor), str(path)])
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or fault
        raise InvalidInput(f"the editor '{editor}' cannot be started: {why}", hint) from None
    while True:
        try:
            code = running.wait()
        except KeyboardInterrupt:
            continue  # the key was meant for the editor
        if code:
            raise InvalidInput(f"the editor '{editor}' ended with {code}: nothing was changed")
        return


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
