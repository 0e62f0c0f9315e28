"""What is stored before a job that was claimed to run alone gets neighbours."""

from __future__ import annotations

from queuectl.domain import state_machine
from queuectl.domain.job import Job
from queuectl.stores.base import Store


def admit_neighbours(store: Store, job: Job) -> Job | None:
    """Say in the store that a job in hand is not alone from now on, and return it as it is then.

    None: the claim was lost, or somebody else has changed the job just now.
    """
    fresh = store.get(job.id)
    if fresh is None or not fresh.is_claimed_by(job.claim_id):
        return None
    change = state_machine.share(fresh, store.now())
    return change.after if store.commit(change) else None
