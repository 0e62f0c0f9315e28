"""Processes that do not wait long for a store, so that tests of its absence are short.

`python -m tests.worker.impatient` is a supervisor like any other, but for these times.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import pytest

from queuectl.worker import __main__ as supervisor
from queuectl.worker.supervision import manager

TIMES = {
    "queuectl.stores.sqlite.database": {"BUSY_SECONDS": 1.0},
    "queuectl.stores.mongo.connection": {"SELECTION_SECONDS": 1.0, "OPERATION_SECONDS": 2.0},
    "queuectl.stores.mongo.schema": {"SELECTION_SECONDS": 1.0},
    "queuectl.worker.worker": {"LONGEST_PAUSE": float(os.environ.get("PAUSE_OF_THE_TEST", "0.5"))},
    "queuectl.worker.store_retry": {"LONGEST_PAUSE": 0.5},
    "pymongo.common": {"MIN_HEARTBEAT_INTERVAL": 0.02},
}


def _times() -> list[tuple[Any, str, float]]:
    return [
        (import_module(module), name, seconds)
        for module, times in TIMES.items()
        for name, seconds in times.items()
    ]


def become_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process, and the workers that it starts, wait for a store as `TIMES` says."""
    for module, name, seconds in _times():
        monkeypatch.setattr(module, name, seconds)
    monkeypatch.setattr(manager, "PROGRAM", __name__)


if __name__ == "__main__":
    for module, name, seconds in _times():
        setattr(module, name, seconds)
    sys.exit(supervisor.main())
