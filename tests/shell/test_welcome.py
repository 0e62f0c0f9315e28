"""The start-up screen."""

from __future__ import annotations

import pytest

from queuectl.domain.job import State
from queuectl.domain.query import Counts
from queuectl.shell.snapshot import Snapshot
from queuectl.shell.welcome import welcome

ADDRESS = "~/projects/a-rather-long-name/and-another/.queuectl/queue.db"
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


def test_a_store_with_jobs_is_told_of() -> None:
    first, second = welcome(Snapshot(ADDRESS, is_known=True, counts=BUSY), 200)
    assert first.text.endswith(f"store {ADDRESS}")
    assert second.text.startswith("12,345 pending, ")
    assert second.text.endswith("no worker is running: worker start")
