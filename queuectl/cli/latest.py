"""Commands without an id: the latest job of this terminal, or the one that a person picks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import click

from queuectl.cli.filters import is_asked
from queuectl.cli.session import Session
from queuectl.domain.errors import InvalidInput, NotFound, NothingDone
from queuectl.domain.job import Job, State
from queuectl.domain.job_fields import command_text
from queuectl.domain.query import Filter, Page
from queuectl.domain.text import printable
from queuectl.presentation.console import print_hint
from queuectl.presentation.layout import cut
from queuectl.queue import Queue

_MOST = 200
"""So many jobs are offered to pick from."""

_WIDEST_COMMAND = 40


def or_latest(session: Session, ids: tuple[str, ...], otherwise: str) -> tuple[str, ...]:
    """Return ids as they are; without any, the latest job of this terminal, which is named.

    Where this terminal has had none, the only job there is, or the one that a person picks.
    Raises InvalidInput, in the words of `otherwise`, where nobody is at a terminal, NotFound where
    there are no jobs.
    """
    if ids:
        return ids
    _require_person(otherwise)
    queue = session.reading()
    if own := _own(queue, frozenset()):
        print_hint(f"job '{own[0].id}', the latest of this terminal")
        return (own[0].id,)
    others = _newest(queue, frozenset())
    if not others:
        raise NotFound("there are no jobs", 'queuectl enqueue hello "echo Hello"')
    if len(others) == 1:
        print_hint(f"job '{others[0].id}', the only one")
        return (others[0].id,)
    return (_picked(session, "Which job?", others, frozenset(), "nothing was picked"),)


def one_to_change(session: Session, verb: str, states: frozenset[State], otherwise: str) -> str:
    """Return the job in one of some states that a person says yes to, or picks from several.

    Those of this terminal come first; without any, all there are. Raises InvalidInput as
    `or_latest` does, NotFound where there is none, NothingDone for a no.
    """
    _require_person(otherwise)
    queue = session.reading()
    jobs = _own(queue, states) or _newest(queue, states)
    if not jobs:
        words = " or ".join(state.value for state in State if state in states)
        raise NotFound(f"no job is {words}", "queuectl list shows the jobs there are")
    if len(jobs) > 1:
        question = f"{verb.capitalize()} which job?"
        return _picked(session, question, jobs, states, "nothing was changed")
    job = jobs[0]
    what = printable(cut(command_text(job.spec.command), _WIDEST_COMMAND))
    if not click.confirm(f"{verb.capitalize()} job '{job.id}' ({job.state}: {what})?", err=True):
        raise NothingDone("nothing was changed")
    return job.id


def one_that_runs(session: Session, otherwise: str, is_meant: Callable[[Job], bool]) -> str:
    """Return the job that runs and is meant, or of several the one that a person picks.

    Raises InvalidInput as `or_latest` does, and NotFound where there is none.
    """
    _require_person(otherwise)
    running = frozenset({State.PROCESSING})
    jobs = [job for job in _newest(session.reading(), running) if is_meant(job)]
    if not jobs:
        raise NotFound(otherwise, "queuectl list processing shows the jobs that run")
    if len(jobs) > 1:
        return _picked(session, "Which job?", jobs, running, "nothing was picked")
    print_hint(f"job '{jobs[0].id}', the only one")
    return jobs[0].id


def _require_person(otherwise: str) -> None:
    if not is_asked():
        raise InvalidInput(otherwise)


def _own(queue: Queue, states: frozenset[State]) -> list[Job]:
    """Return the jobs of this terminal that are there, in these states if any, the latest first."""
    found = (queue.store.get(job_id) for job_id in reversed(queue.jobs_of_terminal()))
    return [job for job in found if job and (not states or job.state in states)]


def _newest(queue: Queue, states: frozenset[State], words: tuple[str, ...] = ()) -> list[Job]:
    """Return the jobs in these states, any if none is named, the latest first.

    All of some words must be in a job's id, command or last error.
    """
    page = Page(_MOST, newest_first=True)
    return list(islice(queue.find(Filter(states, texts=words), page), _MOST))


def _picked(
    session: Session, question: str, jobs: list[Job], states: frozenset[State], otherwise: str
) -> str:
    from queuectl.cli.picker import pick  # which loads an editor of lines

    queue = session.reading()

    def search(typed: str) -> list[Job]:
        named = queue.store.get(typed)
        own = [named] if named and (not states or named.state in states) else []
        return own + _newest(queue, states, tuple(typed.split()))

    are_all = len(jobs) < _MOST
    job_id = pick(queue, question, jobs, colors=session.colors, search=None if are_all else search)
    if job_id is None:
        raise NothingDone(otherwise)
    return job_id
