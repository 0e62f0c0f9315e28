"""Workers to whom every command is a quick one, so that tests need no luck on a slow machine.

They hold a handful of jobs however long each takes, and name no files of silent ones meanwhile.

`python -m tests.worker.leisurely` is a supervisor like any other, but for these times.
"""

from __future__ import annotations

import sys

import pytest

from queuectl.worker import __main__ as supervisor
from queuectl.worker import batch
from queuectl.worker.runs import executor
from queuectl.worker.supervision import manager

_LONG_SECONDS = 60.0


def become_leisurely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the workers that this process starts hold a handful of jobs."""
    monkeypatch.setattr(manager, "PROGRAM", __name__)


if __name__ == "__main__":
    batch.TOGETHER_SECONDS = batch._STALE_SECONDS = executor._QUICK_SECONDS = _LONG_SECONDS
    sys.exit(supervisor.main())
