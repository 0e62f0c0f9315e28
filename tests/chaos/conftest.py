"""The fixtures of these tests: fleets whose processes are killed, on every store there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.harness import VARIABLES
from tests.stores.conftest import mongo_url, opened, store, store_url
from tests.worker.conftest import impatient
from tests.worker.fleet import Fleet, fleet_in

__all__ = [
    "chaos",
    "fleet",
    "impatient",
    "mongo_url",
    "opened",
    "store",
    "store_url",
]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A home on SQLite, without workers yet."""
    with fleet_in(tmp_path) as fleet:
        yield fleet


@pytest.fixture
def chaos(tmp_path: Path, store_url: str) -> Iterator[Fleet]:
    """A home on each kind of store in turn, without workers yet."""
    with fleet_in(tmp_path, store_url) as fleet:
        yield fleet


@pytest.fixture
def nothing_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the environment says of stores, and where the tests were started."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
