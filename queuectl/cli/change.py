"""Changing single jobs: pausing and reordering them, and setting their fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import click

from queuectl.cli.completions import QUEUE_NAME, JobId
from queuectl.cli.enqueue_options import PARENT_FIELDS, parents_named
from queuectl.cli.queues import pause_queue, resume_queue
from queuectl.cli.root import Command, examples, ids_argument
from queuectl.cli.session import (
    Session,
    each_by_itself,
    for_each,
    hint_at_unused,
    pass_session,
    warn_if_missing,
)
from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import WAITING, Job, State
from queuectl.domain.job_fields import ASKED, DEFAULT_QUEUE
from queuectl.domain.query import Filter
from queuectl.domain.queue_limits import OPEN
from queuectl.domain.request import resolve_field
from queuectl.presentation.console import print_hint, print_line
from queuectl.queue import Queue

_STRUCTURED = frozenset(
    "command env needs labels after after_any after_fail retry_on no_retry_on".split()
)


_queue_option = click.option(
    "--queue", "-q", "queues", type=QUEUE_NAME, multiple=True, metavar="NAME",
    help="A whole queue (repeat for more).",
)  # fmt: skip


class SetCommand(Command):
    """A command whose help names the fields of a job."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write which fields there are, and the options."""
        fields = ["command", "at", "in", "env.NAME", "needs.NAME", *ASKED]
        with formatter.section("Fields"):
            formatter.write_text(f"{', '.join(fields)}; without a value a field gets its default.")
        super().format_options(ctx, formatter)


@examples("""
    queuectl pause job1 job2
    queuectl pause -q gpu
    queuectl pause --all
""")
@click.command(cls=Command)
@ids_argument(*WAITING, State.PROCESSING, required=False)
@_queue_option
@click.option("--all", "-a", "every", is_flag=True, help="Every queue, and every running job.")
@pass_session
def pause(session: Session, ids: tuple[str, ...], queues: tuple[str, ...], every: bool) -> int:
    """Pause jobs or queues: what waits is held back, a job that runs stands still.

    What runs in a queue that is paused goes on.
    """
    _require_choice("pause", ids, queues, every)
    queue = session.reading() if ids else session.queue()
    hint_at_unused(queue, queues)
    if every:
        limits = queue.queue_limits()
        queues = tuple(name for name in _known_queues(queue) if not limits.get(name, OPEN).paused)
        running = Filter(frozenset({State.PROCESSING}))
        ids = tuple(job.id for job in queue.find(running) if not job.paused)
        _hint_where_nothing(session, queues, ids)
    code = for_each(queues, lambda name: print_line(pause_queue(queue, name)))
    return for_each(ids, _telling(queue, queue.pause, "Pausing", "Paused")) or code


@examples("""
    queuectl resume job1 job2
    queuectl resume -q gpu
    queuectl resume --all
""")
@click.command(cls=Command)
@ids_argument(*WAITING, State.PROCESSING, required=False)
@_queue_option
@click.option("--all", "-a", "every", is_flag=True, help="Every queue and job that is paused.")
@pass_session
def resume(session: Session, ids: tuple[str, ...], queues: tuple[str, ...], every: bool) -> int:
    """Let paused jobs and queues go on."""
    _require_choice("resume", ids, queues, every)
    queue = session.reading()
    if every:
        queues = tuple(name for name, limit in queue.queue_limits().items() if limit.paused)
        unsettled = Filter(WAITING | {State.PROCESSING})
        ids = tuple(job.id for job in queue.find(unsettled) if job.paused)
        _hint_where_nothing(session, queues, ids)
    code = for_each(queues, lambda name: print_line(resume_queue(queue, name)))
    return for_each(ids, _telling(queue, queue.resume, "Resuming", "Resumed")) or code


def _telling(
    queue: Queue, change: Callable[[str], Job], doing: str, done: str
) -> Callable[[str], None]:
    """Return what changes the job of a word, and tells of it; of one that runs, that it begins."""

    def act(word: str) -> None:
        job = change(queue.resolve(word))
        print_line(f"{doing if job.state is State.PROCESSING else done} job '{job.id}'")

    return act


def _require_choice(verb: str, *choices: object) -> None:
    """Raise InvalidInput for a command line that names none of what can be chosen, or several."""
    if sum(map(bool, choices)) != 1:
        raise InvalidInput(
            f"say what to {verb}: a job, a queue with -q, or -a for everything",
            hint=f"queuectl {verb} ID, queuectl {verb} -q QUEUE, or queuectl {verb} -a",
        )


def _hint_where_nothing(session: Session, *chosen: tuple[str, ...]) -> None:
    if not any(chosen):
        session.hint("nothing to do: it is so already")


def _known_queues(queue: Queue) -> list[str]:
    """Return every queue that has jobs or about which something was decided, and the usual one."""
    return sorted({DEFAULT_QUEUE, *queue.counts().by_queue, *queue.queue_limits()})


@click.command(cls=Command, epilog="queuectl stash job1 job2")
@ids_argument(*WAITING)
@each_by_itself
def stash(queue: Queue, word: str) -> str:
    """Hold jobs back that wait, until `resume` lets them go; `enqueue --hold` makes such jobs."""
    return f"Held job '{queue.stash(queue.resolve(word)).id}'"


@click.command(cls=Command, epilog="queuectl switch job1 job9")
@click.argument("first", metavar="ID", type=JobId(*WAITING))
@click.argument("second", metavar="ID", type=JobId(*WAITING))
@pass_session
def switch(session: Session, first: str, second: str) -> None:
    """Let two jobs of a queue that wait take each other's place."""
    queue = session.reading()
    first, second = queue.resolve(first), queue.resolve(second)
    if first == second:
        raise InvalidInput("these are one job: name two")
    queue.switch(first, second)
    print_line(f"Switched jobs '{first}' and '{second}'")


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
        print_line(
            f"Moved job '{job.id}' to the {'head' if first else 'end'} of queue '{job.spec.queue}'"
        )

    # of several that go first, the first one named shall be the very first
    return for_each(reversed(ids) if first else ids, act)


@examples("""
    queuectl set job1 priority=high timeout=600
    queuectl set job1 at="tomorrow 9:00" env.REGION=eu-1
    queuectl set job1 'command=["make", "-j4", "all tests"]' labels=
""")
@click.command("set", cls=SetCommand)
@click.argument("job_id", metavar="ID", type=JobId(*WAITING))
@click.argument("changes", nargs=-1, required=True, metavar="KEY=VALUE...")
@pass_session
def set_fields(session: Session, job_id: str, changes: tuple[str, ...]) -> None:
    """Change fields of a job that waits: all that are named, or none on an error."""
    fields = read_changes(changes)
    queue = session.reading()
    for name in PARENT_FIELDS & fields.keys():
        if isinstance(words := fields[name], str):
            fields[name] = parents_named(words.split(","), queue)
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
    from queuectl.domain.job_edit import ONE_OF_PAIRS  # of `set` alone

    fields: dict[str, object] = {}
    for word in words:
        key, sign, text = word.partition("=")
        if not sign or not key:
            raise InvalidInput(f"'{word}' must be KEY=VALUE", hint="for example priority=high")
        is_one_of_pairs = key.partition(".")[0] in ONE_OF_PAIRS and "." in key
        key = key if is_one_of_pairs else resolve_field(key)
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
