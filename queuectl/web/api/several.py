"""Endpoints that change several jobs at once: those that are named, or all that fit a filter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from queuectl.domain.errors import Conflict, InvalidInput, QueuectlError, StoreError
from queuectl.domain.job import State
from queuectl.domain.query import Filter
from queuectl.queue import Queue
from queuectl.queue.bulk import ChangeResult
from queuectl.web.api import questions
from queuectl.web.api.endpoint import BODY, Arguments, Endpoint, Param
from queuectl.web.api.read import DEAD, FILTER, STATES, known_filter_of
from queuectl.web.api.schemas import FLAG, NAME, array, named

MOST_NAMED = 1000
_MOST_REFUSALS = 20
_NOT_OVER = frozenset({State.PENDING, State.FAILED, State.PROCESSING})
_GONE_WRONG = frozenset({State.FAILED, State.DEAD, State.CANCELLED})
_AT_REST = frozenset(State) - {State.PROCESSING}

_SELECTION = (
    Param("ids", BODY, {**array(NAME), "maxItems": MOST_NAMED}, "the jobs that are meant"),
    Param("all", BODY, FLAG, "all that fit, in place of ids"),
    *(Param(each.name, BODY, each.schema, f"of all: {each.about}") for each in FILTER),
)


_STATE = Param("state", BODY, STATES.schema, f"of all: {STATES.about}")


def _act(
    queue: Queue,
    arguments: Arguments,
    one: Callable[[Queue, str], object],
    every: Callable[[Queue, Filter], Iterator[ChangeResult]],
    states: frozenset[State],
) -> dict[str, Any]:
    """Do something to each of some jobs, or to all that fit, of some states unless others are said.

    Returns how many were changed.
    """
    if ("ids" in arguments) == bool(arguments.get("all")):
        raise InvalidInput("name the jobs by ids, or say all")
    if "ids" in arguments:
        errors = [_error_of(queue, one, word) for word in arguments["ids"]]
        done = errors.count(None)
    else:
        errors, done = [], 0
        for result in every(queue, known_filter_of(queue, arguments, states)):
            errors.append(result.error)
            done += 0 if result.error else result.number
    refused = [str(error) for error in errors if error]
    return {
        "done": done,
        "kept": len(refused),
        "refused": refused[:_MOST_REFUSALS],
    }


def _of_several(
    name: str,
    path: str,
    about: str,
    one: Callable[[Queue, str], object],
    every: Callable[[Queue, Filter], Iterator[ChangeResult]],
    done: str,
    question: tuple[str, str],
    states: frozenset[State] = DEAD,
) -> Endpoint:
    """Return the endpoint that does something to several jobs; `question` is its verb and text."""

    def message(_arguments: Arguments, answer: dict[str, Any]) -> str:
        kept = f"; {answer['kept']:,} not: {answer['refused'][0]}" if answer["kept"] else ""
        return f"{done} {questions.jobs(answer['done'])}{kept}"

    return Endpoint(
        name, "POST", path, about,
        lambda queue, arguments: _act(queue, arguments, one, every, states),
        named("Done"), _SELECTION if states == DEAD else (*_SELECTION, _STATE), message=message,
        asks=questions.of_several(*question, states, only_all=name == "retryDead"),
    )  # fmt: skip


def _error_of(queue: Queue, one: Callable[[Queue, str], object], word: str) -> QueuectlError | None:
    """Do something to one job; return why it was refused, if it was."""
    try:
        one(queue, queue.resolve(word))
    except StoreError:
        raise
    except QueuectlError as refusal:
        return refusal
    return None


def _purge(queue: Queue, job_id: str) -> None:
    job = queue.get(job_id)
    if job.state is not State.DEAD:
        raise Conflict(f"job '{job.id}' is {job.state}, not dead")
    queue.delete(job.id, only=Filter(DEAD))


SEVERAL = (
    _of_several("retryDead", "/dlq/retry", "Put dead jobs back to pending.", Queue.retry_dead,
                Queue.retry_all, "Retried", ("retry", "Put {} back to pending?")),
    _of_several("purgeDead", "/dlq/purge", "Delete dead jobs, with their logs.", _purge,
                Queue.delete_all, "Deleted", ("delete", "Delete {}, with their logs?")),
    _of_several("retryJobs", "/bulk/retry",
                "Start jobs afresh: of all, those that failed, died or were cancelled.",
                Queue.retry, Queue.retry_all, "Retried", ("retry", "Start {} afresh?"),
                _GONE_WRONG),
    _of_several("cancelJobs", "/bulk/cancel", "Cancel jobs: of all, those that wait or run.",
                Queue.cancel, Queue.cancel_all, "Cancelled",
                ("cancel", "Cancel {}, and stop those that run?"), _NOT_OVER),
    _of_several("deleteJobs", "/bulk/delete", "Delete jobs, with their logs, but for running ones.",
                Queue.delete, Queue.delete_all, "Deleted",
                ("delete", "Delete {}, with their logs?"), _AT_REST),
)  # fmt: skip
