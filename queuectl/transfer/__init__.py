"""Whole stores and parts of them on the move: export, import, and from one store to another."""

from __future__ import annotations

from queuectl.domain.errors import Conflict
from queuectl.domain.text import counted
from queuectl.stores.base import Store
from queuectl.system.processes import is_here, is_live

_NAMED = 5


def refuse_workers(store: Store, *, hint: str, certain: bool = False) -> None:
    """Raise Conflict, naming them, while workers live on a store; `hint` is what to do then.

    With `certain` only those of this machine count: of others there is no more than a heartbeat
    of late.
    """
    now = store.now()
    workers = [
        worker
        for worker in store.workers.all()
        if is_live(worker, now) and (is_here(worker.process) or not certain)
    ]
    if workers:
        names = ", ".join(f"{each.id} (pid {each.process.pid})" for each in workers[:_NAMED])
        more = ", …" if len(workers) > _NAMED else ""
        raise Conflict(
            f"{store.address} still has {counted(len(workers), 'worker')}: {names}{more}", hint
        )
