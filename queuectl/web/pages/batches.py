"""The pages of batches: all of them, and one with how far it has come and what it has brought."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from queuectl.domain.job import State
from queuectl.presentation.batches import Estimate, result_columns
from queuectl.presentation.tables import rough
from queuectl.queue import Queue
from queuectl.queue.batches import BatchStatus
from queuectl.web.api import BY_NAME
from queuectl.web.api.endpoint import QUERY, Arguments, Param
from queuectl.web.api.read import STATES, page_of
from queuectl.web.api.schemas import SEQ
from queuectl.web.pages import charts

MOST_LISTED = 100
_MOST_ESTIMATES = 200
ROWS = 50
PARAMS = (*BY_NAME["getBatch"].params, STATES, Param("after", QUERY, SEQ, "go on after this"))

Values = dict[str, Any]


class _Estimates:
    """When batches will have ended, by how far each had come when its page was looked at."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: OrderedDict[tuple[str, str], Estimate] = OrderedDict()

    def seconds(self, queue: Queue, batch: BatchStatus) -> float | None:
        """Return how long the rest of a batch will take; None while that cannot be said.

        At first by all that has ended since it was made, then by the last two minutes.
        """
        if batch.created_at is None or batch.is_over:
            return None
        key = (queue.address, batch.name)
        with self._lock:
            estimate = self._of.pop(key, None)
            if estimate is None:
                estimate = Estimate()
                estimate.note(batch.created_at.timestamp(), 0)
            self._of[key] = estimate
            while len(self._of) > _MOST_ESTIMATES:
                self._of.popitem(last=False)
            estimate.note(queue.now().timestamp(), batch.done)
            return estimate.seconds(batch.total - batch.done)


_ESTIMATES = _Estimates()


def standing(queue: Queue, batch: BatchStatus) -> Values:
    """Return how far a batch has come: its counts, a bar of them, its share and the rest of it."""
    counts = {state.value: batch.counts.get(state, 0) for state in State}
    left = _ESTIMATES.seconds(queue, batch)
    if batch.is_over:
        word, look = ("done", "completed") if batch.is_success else ("done, not all", "dead")
    else:
        word, look = ("stopped", "warn") if batch.is_stopped else ("running", "processing")
        if not counts["processing"] and not batch.done:
            word, look = "waiting", "pending"
    return {
        "batch": batch,
        "counts": counts,
        "share": 100 * batch.done // max(batch.total, 1),
        "bar": charts.states_bar({**counts, "total": max(batch.total, 1)}),
        "left": "" if left is None else f"about {rough(left)} left",
        "word": word,
        "look": look,
    }


def listed(queue: Queue, _arguments: Arguments) -> Values:
    """Return the values of the page with all batches, the newest first."""
    found = list(islice(queue.batches(newest_first=True), MOST_LISTED + 1))
    return {
        "batches": [standing(queue, each) for each in found[:MOST_LISTED]],
        "is_cut": len(found) > MOST_LISTED,
    }


def shown(queue: Queue, arguments: Arguments) -> Values:
    """Return the values of the page of one batch: how it stands, and a page of its results."""
    batch, states = queue.batch(arguments["name"]), arguments.get("state")
    wanted = {"batch": batch.name, "oldest_first": True, "full": True, "limit": ROWS}
    jobs, following = page_of(queue, {**wanted, **arguments})

    def link(**changes: object) -> str:
        kept = {"state": states, **changes}
        return "?" + urlencode({key: value for key, value in kept.items() if value}, doseq=True)

    return {
        **standing(queue, batch),
        "state": states,
        "jobs": jobs,
        "columns": result_columns(jobs)[1:],  # its id is a link
        "first": link() if arguments.get("after") else None,
        "further": link(after=following) if following is not None else None,
        "link": link,
        "of_batch": {"all": "true", "batch": batch.name},
    }
