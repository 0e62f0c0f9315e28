"""Retrying and purging dead jobs: those that are named, or all that fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from queuectl.domain.errors import Conflict, InvalidInput, QueuectlError, StoreError
from queuectl.domain.job import State
from queuectl.domain.query import Filter
from queuectl.queue import Queue
from queuectl.queue.bulk import ChangeResult
from queuectl.web.api.endpoint import Arguments, Endpoint
from queuectl.web.api.params import BODY, Param
from queuectl.web.api.read import DEAD, FILTER, filter_of
from queuectl.web.api.schemas import FLAG, NAME, array, named

MOST_NAMED = 1000
_MOST_TOLD = 20

_CHOICE = (
    Param("ids", BODY, {**array(NAME), "maxItems": MOST_NAMED}, "the jobs that are meant"),
    Param("all", BODY, FLAG, "all dead jobs that fit, in place of ids"),
    *(Param(each.name, BODY, each.schema, f"of all: {each.about}") for each in FILTER),
)

One = Callable[[Queue, str], object]
All = Callable[[Queue, Filter], Iterator[ChangeResult]]


def _purge(queue: Queue, job_id: str) -> None:
    job = queue.get(job_id)
    if job.state is not State.DEAD:
        raise Conflict(f"job '{job.id}' is {job.state}, not dead")
    queue.delete(job.id, only=Filter(DEAD))


def _many(one: One, every: All) -> Callable[[Queue, Arguments], Any]:
    """Return what does something to dead jobs: by one of them, or by all at once."""

    def done(queue: Queue, asked: Arguments) -> Any:
        if ("ids" in asked) == bool(asked.get("all")):
            raise InvalidInput("name the jobs by ids, or say all")
        if "ids" in asked:
            return _sum([_each(queue, one, word) for word in asked["ids"]])
        return _sum([told.error for told in every(queue, filter_of(asked, DEAD))])

    return done


def _each(queue: Queue, one: One, word: str) -> QueuectlError | None:
    """Do something to one job; return why it was refused, if it was."""
    try:
        one(queue, queue.resolve(word))
    except StoreError:
        raise
    except QueuectlError as refusal:
        return refusal
    return None


def _sum(ended: Sequence[QueuectlError | None]) -> dict[str, Any]:
    refused = [str(refusal) for refusal in ended if refusal]
    return {
        "done": len(ended) - len(refused),
        "kept": len(refused),
        "refused": refused[:_MOST_TOLD],
    }


def _told(verb: str) -> Callable[[Arguments, Any], str]:
    def told(_asked: Arguments, answer: Any) -> str:
        jobs = "1 job" if answer["done"] == 1 else f"{answer['done']:,} jobs"
        kept = f"; {answer['kept']:,} not: {answer['refused'][0]}" if answer["kept"] else ""
        return f"{verb} {jobs}{kept}"

    return told


BULK = (
    Endpoint(
        "retryDead", "POST", "/dlq/retry", "Put dead jobs back to pending.",
        _many(lambda queue, job_id: queue.retry_dead(job_id),
              lambda queue, chosen: queue.retry_all(chosen)),
        named("Done"), _CHOICE, told=_told("Retried"),
    ),
    Endpoint(
        "purgeDead", "POST", "/dlq/purge", "Delete dead jobs, with their logs.",
        _many(_purge, lambda queue, chosen: queue.delete_all(chosen)),
        named("Done"), _CHOICE, told=_told("Deleted"),
    ),
)  # fmt: skip
"""Everything that changes many jobs."""
