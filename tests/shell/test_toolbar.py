"""The row that tells how the store stands."""

from __future__ import annotations

import pytest

from queuectl.domain.job import State
from queuectl.domain.query import Counts
from queuectl.shell.snapshot import Snapshot
from queuectl.shell.toolbar import status_row

COUNTS = Counts({"default": {State.PENDING: 1200}})


@pytest.mark.parametrize(
    ("paused", "told"),
    [
        ((), "1,200 pending "),
        (("gpu",), "1,200 pending | paused: gpu "),
        (("a", "b"), "1,200 pending | paused: a, b "),
        (("a", "b", "c", "d"), "1,200 pending | paused: a, b and 2 more "),
    ],
)
def test_the_row_names_paused_queues(paused: tuple[str, ...], told: str) -> None:
    snapshot = Snapshot("~/queue.db", is_known=True, counts=COUNTS, paused=paused)
    assert status_row(snapshot, 120).endswith(told)
