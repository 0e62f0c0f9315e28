"""Where a job can be run: hosts that could not start its command do not try it again."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TypeVar

from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.frozen import replace
from queuectl.domain.job import COULD_NOT_START, Job, Outcome
from queuectl.stores.base import Store
from queuectl.system.processes import is_live

_SHORTEST_WAIT, _LONGEST_WAIT = 1.0, 15.0
"""Seconds for which a job is left to others after it was claimed where it cannot be started."""

T = TypeVar("T")
Ask = Callable[[Callable[[], T]], T]


class Hosts:
    """The hosts of a fleet as the worker of one of them sees them."""

    def __init__(self, store: Store, ask: Ask[bool]) -> None:
        self._store = store
        self._ask = ask
        self._own = socket.gethostname()

    def passed_over(self, job: Job) -> Outcome | None:
        """Return how a job ends at once that this host could not start before; else None.

        It is left to the others for a while, and is dead where none of these lives any more.
        """
        if self._own not in job.not_on:
            return None
        wait = min(_SHORTEST_WAIT * 2**job.put_backs, _LONGEST_WAIT)
        error = job.last_error or COULD_NOT_START
        end = self.judged(job, Outcome(error=error, unfit_host=self._own))
        if end.is_final:
            return end
        hosts = ", ".join(job.not_on)
        return Outcome(error=f"for another host, as {hosts} cannot start it", postponed=wait)

    def judged(self, job: Job, outcome: Outcome) -> Outcome:
        """Return an outcome with whether any other host may still start the job.

        Where the store does not answer, that is asked again at the next claim.
        """
        if outcome.unfit_host is None:
            return outcome
        try:
            return replace(outcome, is_final=not self._ask(lambda: self._others_live(job)))
        except StoreUnavailable:
            return outcome

    def _others_live(self, job: Job) -> bool:
        """Whether a worker lives that takes from the job's queue on a host it was not tried on."""
        tried, now = {*job.not_on, self._own}, self._store.now()
        return any(
            record.host not in tried
            and record.stop is None
            and record.takes_from(job.spec.queue)
            and is_live(record, now)
            for record in self._store.workers.all()
        )
