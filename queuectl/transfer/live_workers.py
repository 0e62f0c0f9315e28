"""Workers that live on a store, which nothing may be done to while they do."""

from __future__ import annotations

from queuectl.domain.errors import Conflict
from queuectl.domain.worker_record import WorkerRecord
from queuectl.stores.base import Store
from queuectl.system.processes import is_here, is_live

_NAMED = 5


def living(store: Store, *, certain: bool = False) -> list[WorkerRecord]:
    """Return the workers of a store that are alive.

    With `certain` only those of this machine: of others there is no more than a heartbeat of late.
    """
    now = store.now()
    return [
        worker
        for worker in store.workers()
        if is_live(worker, now) and (is_here(worker.process) or not certain)
    ]


def refuse_workers(store: Store, *, hint: str, certain: bool = False) -> None:
    """Raise Conflict, naming them, while workers live on a store; `hint` is what to do then.

    `certain` is that of `living`.
    """
    workers = living(store, certain=certain)
    if workers:
        names = ", ".join(f"{each.id} (pid {each.process.pid})" for each in workers[:_NAMED])
        more = ", …" if len(workers) > _NAMED else ""
        raise Conflict(f"{len(workers)} worker(s) live on {store.address}: {names}{more}", hint)
