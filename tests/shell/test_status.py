"""How the store stands, on the start-up screen and in the row at the bottom."""

from __future__ import annotations

import pytest

from queuectl.domain.job import State
from queuectl.domain.query import Counts
from queuectl.domain.queue_limits import QueueLimit
from queuectl.presentation.snapshot import Snapshot
from queuectl.shell.prompt import status_row
from queuectl.shell.startup import welcome

ADDRESS = "/srv/projects/a-rather-long-name/and-another/.queuectl/queue.db"
BUSY = Counts({"default": dict.fromkeys(State, 12345)})


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal_and_no_word_is_broken(columns: int) -> None:
    away = "MongoDB at host.example:27017 does not answer"
    for snapshot in (
        Snapshot(ADDRESS, is_known=True, counts=BUSY),
        Snapshot(ADDRESS, is_known=True, trouble=away),
        Snapshot(ADDRESS, is_known=True),
        Snapshot(ADDRESS),
    ):
        lines = [line.text for line in welcome(snapshot, columns)]
        assert all(len(line) <= columns for line in lines)
        assert lines[0].endswith("queue.db")
        whole = {word for line in welcome(snapshot, 1000) for word in line.text.split()}
        assert whole.issuperset(" ".join(lines[1:]).split())


def test_the_start_up_screen_counts_jobs_and_misses_workers() -> None:
    first, second = welcome(Snapshot(ADDRESS, is_known=True, counts=BUSY), 200)
    assert first.text.endswith(f"store {ADDRESS}")
    assert second.text.startswith("12,345 pending, ")
    assert second.text.endswith("no worker is running: worker start")


@pytest.mark.parametrize(
    ("paused", "end"),
    [
        ("", "12,345 cancelled "),
        ("a", "12,345 cancelled | paused: a "),
        ("ab", "12,345 cancelled | paused: a, b "),
        ("abcd", "12,345 cancelled | paused: a, b and 2 more "),
    ],
)
def test_the_row_names_paused_queues(paused: str, end: str) -> None:
    limits = {"open": QueueLimit(), **{name: QueueLimit(paused=True) for name in paused}}
    snapshot = Snapshot(ADDRESS, is_known=True, counts=BUSY, queue_limits=limits)
    assert status_row(snapshot, 220).endswith(end)
