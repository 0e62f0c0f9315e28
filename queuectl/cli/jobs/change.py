"""Changing single jobs: pausing and reordering them, and setting their fields."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from queuectl.cli.completions import JobId
from queuectl.cli.jobs.show import ids_argument
from queuectl.cli.root import Command
from queuectl.cli.session import Session, for_each, pass_session, print_hint, print_line
from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import WAITING, State
from queuectl.domain.request import resolve_field

_STRUCTURED = frozenset("command env labels after after_any after_fail".split())


@click.command(cls=Command, epilog="queuectl jobs pause job1 job2")
@ids_argument(*WAITING, State.PROCESSING)
@pass_session
def pause(session: Session, ids: tuple[str, ...]) -> int:
    """Pause jobs: one that waits is held back, one that runs stands still."""
    queue = session.reading()

    def act(word: str) -> None:
        job = queue.pause(queue.resolve(word))
        print_line(f"{'Pausing' if job.state is State.PROCESSING else 'Paused'} job '{job.id}'")

    return for_each(ids, act)


@click.command(cls=Command, epilog="queuectl jobs resume job1 job2")
@ids_argument(*WAITING, State.PROCESSING)
@pass_session
def resume(session: Session, ids: tuple[str, ...]) -> int:
    """Let paused jobs go on."""
    queue = session.reading()

    def act(word: str) -> None:
        job = queue.resume(queue.resolve(word))
        print_line(f"{'Resuming' if job.state is State.PROCESSING else 'Resumed'} job '{job.id}'")

    return for_each(ids, act)


@click.command(
    cls=Command,
    epilog="""
    queuectl jobs move job9 --first
    queuectl jobs move job9 --last
    """,
)
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


@click.command(
    "set",
    cls=Command,
    epilog="""
    queuectl set job1 priority=high timeout=600
    queuectl set job1 at="tomorrow 9:00" env.REGION=eu-1
    queuectl set job1 'command=["make", "-j4", "all tests"]' labels=
    """,
)
@click.argument("job_id", metavar="ID", type=JobId(*WAITING))
@click.argument("changes", nargs=-1, required=True, metavar="KEY=VALUE...")
@pass_session
def set_fields(session: Session, job_id: str, changes: tuple[str, ...]) -> None:
    """Change fields of a job that waits: all that are named, or none on an error."""
    wanted = read_changes(changes)
    queue = session.reading()
    found = queue.get(job_id)
    if not queue.check_edit(found, wanted):
        print_hint(f"job '{found.id}' is like that already")
        return
    changed = queue.edit(found.id, wanted)
    print_line(f"Changed job '{changed.id}'")
    if "cwd" in wanted:
        from queuectl.cli.working_directory import warn_if_missing

        warn_if_missing(changed.spec.cwd, {})


def read_changes(words: Sequence[str]) -> dict[str, object]:
    """Return the fields that words such as `priority=high` name. Raises InvalidInput.

    Nothing behind the sign means what a new job would have; arrays and objects are JSON.
    """
    wanted: dict[str, object] = {}
    for word in words:
        key, sign, text = word.partition("=")
        if not sign or not key:
            raise InvalidInput(f"'{word}' must be KEY=VALUE", hint="for example priority=high")
        key = key if key.startswith("env.") else resolve_field(key)
        if key in wanted:
            raise InvalidInput(f"field '{key}' is given twice")
        wanted[key] = _value(key, text)
    return wanted


def _value(key: str, text: str) -> object:
    if not text and not key.startswith("env."):
        return None
    if key in _STRUCTURED and text[:1] in "[{":
        try:
            value: object = json.loads(text)
        except ValueError:
            return text  # a command may well begin with a bracket
        return value
    return text
