"""Changing single jobs: pausing and reordering them, and setting their fields."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from queuectl.cli.completions import JobId
from queuectl.cli.root import Command, examples, ids_argument
from queuectl.cli.session import Session, each_by_itself, for_each, pass_session, warn_if_missing
from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import WAITING, State
from queuectl.domain.request import resolve_field
from queuectl.presentation.console import print_hint, print_line
from queuectl.queue import Queue

_STRUCTURED = frozenset("command env labels after after_any after_fail".split())


@click.command(cls=Command, epilog="queuectl jobs pause job1 job2")
@ids_argument(*WAITING, State.PROCESSING)
@each_by_itself
def pause(queue: Queue, word: str) -> str:
    """Pause jobs: one that waits is held back, one that runs stands still."""
    job = queue.pause(queue.resolve(word))
    return f"{'Pausing' if job.state is State.PROCESSING else 'Paused'} job '{job.id}'"


@click.command(cls=Command, epilog="queuectl jobs resume job1 job2")
@ids_argument(*WAITING, State.PROCESSING)
@each_by_itself
def resume(queue: Queue, word: str) -> str:
    """Let paused jobs go on."""
    job = queue.resume(queue.resolve(word))
    return f"{'Resuming' if job.state is State.PROCESSING else 'Resumed'} job '{job.id}'"


@examples("""
    queuectl jobs move job9 --first
    queuectl jobs move job9 --last
""")
@click.command(cls=Command)
@ids_argument(*WAITING)
@click.option("--first", is_flag=True, help="Before all that are due in its queue.")
@click.option("--last", is_flag=True, help="Behind all that are due in its queue.")
@pass_session
def move(session: Session, ids: tuple[str, ...], first: bool, last: bool) -> int:
    """Move jobs to the head of their queue, or to its end."""
    if first == last:
        raise InvalidInput("say where: --first or --last")
    queue = session.reading()

    def act(word: str) -> None:
        job = queue.move(queue.resolve(word), last=last)
        print_line(f"Job '{job.id}' is {'first' if first else 'last'} in queue {job.spec.queue}")

    # of several that go first, the first one named shall be the very first
    return for_each(reversed(ids) if first else ids, act)


@examples("""
    queuectl set job1 priority=high timeout=600
    queuectl set job1 at="tomorrow 9:00" env.REGION=eu-1
    queuectl set job1 'command=["make", "-j4", "all tests"]' labels=
""")
@click.command("set", cls=Command)
@click.argument("job_id", metavar="ID", type=JobId(*WAITING))
@click.argument("changes", nargs=-1, required=True, metavar="KEY=VALUE...")
@pass_session
def set_fields(session: Session, job_id: str, changes: tuple[str, ...]) -> None:
    """Change fields of a job that waits: all that are named, or none on an error."""
    fields = read_changes(changes)
    queue = session.reading()
    job = queue.get(job_id)
    if not queue.check_edit(job, fields):
        print_hint(f"job '{job.id}' is like that already")
        return
    changed = queue.edit(job.id, fields)
    print_line(f"Changed job '{changed.id}'")
    if "cwd" in fields:
        warn_if_missing(changed.spec.cwd, {})


def read_changes(words: Sequence[str]) -> dict[str, object]:
    """Return the fields that words such as `priority=high` name. Raises InvalidInput.

    Nothing behind the sign means what a new job would have; arrays and objects are JSON.
    """
    fields: dict[str, object] = {}
    for word in words:
        key, sign, text = word.partition("=")
        if not sign or not key:
            raise InvalidInput(f"'{word}' must be KEY=VALUE", hint="for example priority=high")
        key = key if key.startswith("env.") else resolve_field(key)
        if key in fields:
            raise InvalidInput(f"field '{key}' is given twice")
        fields[key] = _value(key, text)
    return fields


def _value(key: str, text: str) -> object:
    if not text and not key.startswith("env."):
        return None
    if key in _STRUCTURED and text[:1] in "[{":
        try:
            return json.loads(text)
        except ValueError:
            pass  # a command may well begin with a bracket
    return text
