"""Changing what becomes of single jobs: pausing and reordering them."""

from __future__ import annotations

import click

from queuectl.cli.jobs import ids_argument
from queuectl.cli.session import Session, for_each, pass_session, say
from queuectl.cli.tree import Command
from queuectl.domain.job import WAITING, State


@click.command(cls=Command, epilog="queuectl jobs pause job1 job2")
@ids_argument(*WAITING, State.PROCESSING)
@pass_session
def pause(session: Session, ids: tuple[str, ...]) -> int:
    """Pause jobs: one that waits is held back, one that runs stands still."""
    queue = session.queue()

    def act(word: str) -> None:
        job = queue.pause(queue.resolve(word))
        say(f"{'Pausing' if job.state is State.PROCESSING else 'Paused'} job '{job.id}'")

    return for_each(ids, act)


@click.command(cls=Command, epilog="queuectl jobs resume job1 job2")
@ids_argument(*WAITING, State.PROCESSING)
@pass_session
def resume(session: Session, ids: tuple[str, ...]) -> int:
    """Let paused jobs go on."""
    queue = session.queue()

    def act(word: str) -> None:
        job = queue.resume(queue.resolve(word))
        say(f"{'Resuming' if job.state is State.PROCESSING else 'Resumed'} job '{job.id}'")

    return for_each(ids, act)
