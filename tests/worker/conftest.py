"""The fixtures of these tests: real workers, on a SQLite store of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores.conftest import mongo_url, opened, store_url
from tests.worker.fleet import Fleet, fleet_in
from tests.worker.impatient import become_impatient
from tests.worker.leisurely import become_leisurely

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
    """Let this process and its workers wait no more than a second or two for a store."""
    become_impatient(monkeypatch)


@pytest.fixture
def leisurely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers hold a handful of jobs however long each takes."""
    become_leisurely(monkeypatch)
