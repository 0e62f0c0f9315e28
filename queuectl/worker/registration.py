"""How a worker is registered: its id, and what others find out about it."""

from __future__ import annotations

import os
import socket
from datetime import datetime

from queuectl.domain.worker_record import WorkerRecord
from queuectl.system.home import Home
from queuectl.system.ids import new_token
from queuectl.system.processes import this_process


def new_worker_id() -> str:
    """Return an id for a worker that is this process: HOST-PID-TOKEN."""
    return f"{socket.gethostname()}-{os.getpid()}-{new_token()[:6]}"


def new_record(worker_id: str, home: Home, queues: tuple[str, ...], now: datetime) -> WorkerRecord:
    """Return what is registered of this process, a worker for some queues (none named: all)."""
    return WorkerRecord(
        id=worker_id,
        process=this_process(),
        host=socket.gethostname(),
        home=str(home.root),
        queues=queues,
        started_at=now,
        heartbeat_at=now,
    )
