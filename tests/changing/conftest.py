"""The fixtures of these tests: a home, its command lines and workers, on every store there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.harness import VARIABLES, Cli, cli
from tests.stores.conftest import mongo_url, opened, store, store_url
from tests.worker.fleet import Fleet, fleet_in

__all__ = ["Cli", "cli", "mongo_url", "opened", "store", "store_url"]


@pytest.fixture(autouse=True)
def nothing_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Command lines find a home of the test's own."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QUEUECTL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fleet(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A home without workers, which command lines find too."""
    monkeypatch.setenv("QUEUECTL_STORE", store_url)
    with fleet_in(tmp_path, store_url) as fleet:
        fleet.set(lease_seconds=3, kill_grace_seconds=5)
        yield fleet
