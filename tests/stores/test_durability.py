"""When the embedded store syncs: with every write, unless somebody has said otherwise."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from queuectl.stores.sqlite import SqliteStore

NORMAL, FULL = 1, 2


@pytest.fixture
def sync_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Open the store of the test and return how its connection syncs."""
    made: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noted(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        made.append(connect(*args, **kwargs))
        return made[-1]

    def level() -> int:
        with closing(SqliteStore.open(tmp_path / "queue.db")):
            found: int = made[-1].execute("PRAGMA synchronous").fetchone()[0]
        return found

    monkeypatch.setattr(sqlite3, "connect", noted)
    return level


def test_every_write_is_synced_by_default(sync_level: Callable[[], int]) -> None:
    assert sync_level() == FULL


@pytest.mark.parametrize(
    ("value", "level"),
    [(False, NORMAL), (True, FULL), ("false", FULL), (0, FULL), (None, FULL)],
)
def test_only_a_plain_no_relaxes_it(
    tmp_path: Path, sync_level: Callable[[], int], value: object, level: int
) -> None:
    with closing(SqliteStore.open(tmp_path / "queue.db")) as store:
        store.set_setting("full_durability", value)
    assert sync_level() == level
