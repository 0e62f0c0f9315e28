"""Claiming jobs for one worker: what it asks for, and until when it holds what it was given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import Job
from queuectl.domain.transitions import Transition
from queuectl.ids import new_token
from queuectl.stores.base import ClaimRequest, Store
from queuectl.worker.lease import Heartbeat
from queuectl.worker.patience import Patience
from queuectl.worker.processes import boot_clock


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is started for: any queue unless `queues`, one job with `only`.

    With `drain` it leaves when nothing is due, running or awaiting its retry.
    """

    queues: tuple[str, ...] = ()
    drain: bool = False
    only: str | None = None
    show_output: bool = False


class Claims:
    """Asks the store for one job after another, until it answers.

    `deadline` is when the lease of the job that was given last ends, by `boot_clock`.
    """

    def __init__(
        self,
        store: Store,
        worker: str,
        orders: Orders,
        heartbeat: Heartbeat,
        patience: Patience,
    ) -> None:
        self.deadline = 0.0
        self._store = store
        self._worker = worker
        self._orders = orders
        self._heartbeat = heartbeat
        self._patience = patience

    def take(self) -> Job | None:
        """Claim the next job there is. Raises StoreUnavailable when it shall leave."""
        return self._ask(lambda asked: (True, self._store.claim(asked)), may_leave=True)[1]

    def settle_and_take(self, change: Transition) -> tuple[bool, Job | None]:
        """Commit the end of a job and claim the next; say whether it was committed."""
        return self._ask(lambda asked: self._store.settle(change, asked), may_leave=False)

    def _ask(
        self, ask: Callable[[ClaimRequest], tuple[bool, Job | None]], *, may_leave: bool
    ) -> tuple[bool, Job | None]:
        """Ask for a job, noting when its lease ends: counted from before it was asked for."""
        request = self._request()
        asked_at = boot_clock()
        current = request

        def once() -> tuple[bool, Job | None]:
            nonlocal asked_at, current
            asked_at = boot_clock()
            try:
                return ask(current)
            except StoreUnavailable:
                current = replace(request, repeated=True)
                raise

        done, job = self._patience.insist(once, may_leave=may_leave)
        self.deadline = asked_at + request.lease_seconds
        if current is not request and job is not None and job.claim is not None:
            # it may have been claimed long before the answer came
            now = self._patience.insist(self._store.now, may_leave=True)
            lease_left = (job.claim.lease_until - now).total_seconds()
            self.deadline = min(self.deadline, boot_clock() + lease_left)
        return done, job

    def _request(self) -> ClaimRequest:
        lease = self._heartbeat.settings.lease_seconds
        return ClaimRequest(
            new_token(), self._worker, lease, self._orders.queues, self._orders.only
        )
