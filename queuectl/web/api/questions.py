"""What a person is asked before a change that takes something away: with what it will change.

Programs are not asked: they say what they mean.
"""

from __future__ import annotations

from queuectl.domain.job import State
from queuectl.queue import Queue
from queuectl.web.api.endpoint import Arguments, Asks, Question
from queuectl.web.api.read import DEAD, known_filter_of


def jobs(number: int) -> str:
    """Return a number of jobs in words."""
    return "1 job" if number == 1 else f"{number:,} jobs"


def of_several(
    verb: str, text: str, states: frozenset[State] = DEAD, *, only_all: bool = False
) -> Asks:
    """Return what asks before a change of several jobs; with `only_all` not of those named by id.

    `text` has the number of jobs in braces. Of all that fit those of some states are meant, where
    no others are asked for.
    """
    kind = " dead job" if states == DEAD else " job"

    def ask(queue: Queue, arguments: Arguments) -> Question | None:
        if "ids" in arguments:
            number = 0 if only_all else len(arguments["ids"])
        else:
            number = queue.count(known_filter_of(queue, arguments, states))
        many = jobs(number).replace(" job", kind)
        return Question(text.format(many), f"Yes, {verb} {jobs(number)}") if number else None

    return ask


def before_cancel(queue: Queue, arguments: Arguments) -> Question | None:
    """Ask before a job that runs is stopped."""
    job = queue.get(arguments["id"])
    if job.state is not State.PROCESSING:
        return None
    return Question(f"Job '{job.id}' is running. Stop it?", "Yes, stop 1 job")


def before_retry(queue: Queue, arguments: Arguments) -> Question | None:
    """Ask before a job is run again that has done its work."""
    job = queue.get(arguments["id"])
    if job.state is not State.COMPLETED:
        return None
    return Question(f"Job '{job.id}' has completed. Run it again?", "Yes, run 1 job again")


def before_stop(queue: Queue, arguments: Arguments) -> Question | None:
    """Ask before a worker is stopped."""
    number = next(
        (len(each.job_ids) for each in queue.workers() if each.record.id == arguments["id"]), 0
    )
    its = f"its {jobs(number)} {'is' if number == 1 else 'are'} done" if number else "it can"
    text = f"Stop worker '{arguments['id']}'? It starts no more jobs, and leaves as soon as {its}."
    return Question(text, "Yes, stop 1 worker")
