"""Retrying and purging dead jobs: those that are named, or all that fit, a stretch a call.

A call ends after a few seconds, however many jobs there are, and says where to go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from queuectl.domain.errors import Conflict, InvalidInput, QueuectlError, StoreError
from queuectl.domain.filters import Filter, Page
from queuectl.domain.job import State
from queuectl.queue import Queue
from queuectl.web.endpoint import Asked, Endpoint
from queuectl.web.params import BODY, Param
from queuectl.web.reading import DEAD, filter_of
from queuectl.web.schemas import FLAG, NAME, SEQ, TEXT, array, named

MOST_NAMED = 1000
MOST_SECONDS = 4.0
_MOST_TOLD = 20

_WORDS = {**TEXT, "maxLength": 200}
_CHOICE = (
    Param("ids", BODY, {**array(NAME), "maxItems": MOST_NAMED}, "the jobs that are meant"),
    Param("all", BODY, FLAG, "all dead jobs that fit, in place of ids"),
    Param("queue", BODY, NAME, "of all: only of this queue"),
    Param("label", BODY, {**array(_WORDS), "maxItems": 16}, "of all: only with these labels"),
    Param("text", BODY, _WORDS, "of all: only with these words in the id or the command"),
    Param("after", BODY, SEQ, "of all: go on after this number, `next` of the call before"),
)


def _retry(queue: Queue, job_id: str, only: Filter) -> None:
    if only.states:
        queue.retry(job_id, only=only)
    else:
        queue.retry_dead(job_id)


def _purge(queue: Queue, job_id: str, only: Filter) -> None:
    job = queue.get(job_id)
    if job.state is not State.DEAD:
        raise Conflict(f"job '{job_id}' is {job.state}, not dead")
    queue.delete(job_id, only=only if only.states else None)


def _many(act: Callable[[Queue, str, Filter], None]) -> Callable[[Queue, Asked], Any]:
    """Return what does something to many dead jobs, each by itself."""

    def done(queue: Queue, asked: Asked) -> Any:
        if ("ids" in asked) == bool(asked.get("all")):
            raise InvalidInput("name the jobs by ids, or say all")
        if "ids" in asked:
            return _each(queue, act, ((word, 0) for word in asked["ids"]), Filter())
        chosen = filter_of(asked, DEAD)
        found = queue.find(chosen, Page(after_seq=asked.get("after", 0)))
        return _each(queue, act, ((job.id, job.seq) for job in found), chosen)

    return done


def _each(
    queue: Queue,
    act: Callable[[Queue, str, Filter], None],
    meant: Iterator[tuple[str, int]],
    only: Filter,
) -> dict[str, Any]:
    ends_at = time.monotonic() + MOST_SECONDS
    done, kept, last = 0, 0, 0
    refused: list[str] = []
    while True:
        if last and time.monotonic() > ends_at:
            return {"done": done, "kept": kept, "next": last, "refused": refused}
        try:
            found = next(meant, None)
            if found is None:
                return {"done": done, "kept": kept, "next": None, "refused": refused}
            act(queue, queue.resolve(found[0]), only)
            done, last = done + 1, found[1]
        except StoreError:
            raise
        except QueuectlError as fault:
            kept += 1
            refused += [str(fault)] if len(refused) < _MOST_TOLD else []


def _told(verb: str) -> Callable[[Asked, Any], str]:
    def told(_asked: Asked, answer: Any) -> str:
        jobs = "1 job" if answer["done"] == 1 else f"{answer['done']:,} jobs"
        kept = f"; {answer['kept']:,} not: {answer['refused'][0]}" if answer["kept"] else ""
        more = "; there are more, go on" if answer["next"] is not None else ""
        return f"{verb} {jobs}{kept}{more}"

    return told


BULK = (
    Endpoint("retryDead", "POST", "/dlq/retry", "Put dead jobs back to pending.",
             _many(_retry), named("Done"), _CHOICE, told=_told("Retried")),
    Endpoint("purgeDead", "POST", "/dlq/purge", "Delete dead jobs, with their logs.",
             _many(_purge), named("Done"), _CHOICE, told=_told("Deleted")),
)  # fmt: skip
"""Everything that changes many jobs."""
