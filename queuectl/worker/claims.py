"""Claiming jobs for one worker: what it asks for, and until when it holds what it was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job
from queuectl.domain.state_machine import Transition
from queuectl.stores.base import ClaimRequest, Store
from queuectl.system.ids import new_token
from queuectl.system.processes import boot_clock
from queuectl.worker.heartbeat import Heartbeat
from queuectl.worker.store_retry import StoreRetry


@frozen
class WorkerOptions:
    """What a worker is started for: any queue unless `queues`, one job with `only`.

    With `drain` it leaves when nothing is due, running or awaiting its retry.
    """

    queues: tuple[str, ...] = ()
    drain: bool = False
    only: str | None = None
    show_output: bool = False


_Ask = Callable[[Sequence[ClaimRequest]], tuple[list[bool], list[Job]]]


class Claims:
    """Asks the store for jobs until it answers.

    `deadline` is when the leases of the jobs that were given last end, by `boot_clock`.
    """

    def __init__(
        self,
        store: Store,
        worker: str,
        options: WorkerOptions,
        heartbeat: Heartbeat,
        retry: StoreRetry,
    ) -> None:
        self.deadline = 0.0
        self._store = store
        self._worker = worker
        self._options = options
        self._heartbeat = heartbeat
        self._retry = retry

    def take(self) -> Job | None:
        """Claim the next job there is. Raises StoreUnavailable when it shall leave."""

        def ask(requests: Sequence[ClaimRequest]) -> tuple[list[bool], list[Job]]:
            (request,) = requests
            job = self._store.claim(request)
            return [], [job] if job else []

        jobs = self._ask(ask, 1, may_leave=True)[1]
        return jobs[0] if jobs else None

    def commit_and_claim(
        self, changes: Sequence[Transition], wanted: int
    ) -> tuple[list[bool], list[Job]]:
        """Commit the ends of jobs and claim some; say which ends were committed."""
        return self._ask(partial(self._store.commit_and_claim, changes), wanted, may_leave=False)

    def _ask(self, ask: _Ask, wanted: int, *, may_leave: bool) -> tuple[list[bool], list[Job]]:
        """Ask for jobs, noting when their leases end: counted from before they were asked for."""
        requests = [self._request() for _ in range(wanted)]
        asked_at = boot_clock()
        current = requests

        def once() -> tuple[list[bool], list[Job]]:
            nonlocal asked_at, current
            asked_at = boot_clock()
            try:
                return ask(current)
            except StoreUnavailable:
                current = [replace(request, repeated=True) for request in requests]
                raise

        done, jobs = self._retry.call(once, may_leave=may_leave)
        if jobs:
            self.deadline = asked_at + requests[0].lease_seconds
        if current is not requests and jobs:
            # they may have been claimed long before the answer came
            now = self._retry.call(self._store.now, may_leave=True)
            ends = [job.claim.lease_until for job in jobs if job.claim]
            self.deadline = min(self.deadline, boot_clock() + (min(ends) - now).total_seconds())
        return done, jobs

    def _request(self) -> ClaimRequest:
        lease = self._heartbeat.settings.lease_seconds
        return ClaimRequest(
            new_token(), self._worker, lease, self._options.queues, self._options.only
        )
