"""The fixtures of these tests: real workers, on a SQLite store of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.worker.options import Timings
from tests.stores.conftest import mongo_url, opened, store_url
from tests.worker.fleet import Fleet, fleet_in

__all__ = ["fleet", "impatient", "mongo_url", "opened", "store_url", "workers"]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A home without workers yet."""
    with fleet_in(tmp_path) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A home with two workers, shared by the tests of one file."""
    with fleet_in(tmp_path_factory.mktemp("fleet")) as fleet:
        fleet.set(kill_grace_seconds=0.3)
        fleet.start(2)
        yield fleet


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers wait no more than a second for a store that is locked."""
    monkeypatch.setattr(Fleet, "timings", Timings(lock=1.0, longest_pause=0.5))


@pytest.fixture
def leisurely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers take every command for a quick one, so that they hold a handful of jobs."""
    monkeypatch.setattr(Fleet, "timings", Timings(together=60.0, stale=60.0, quick=60.0))
