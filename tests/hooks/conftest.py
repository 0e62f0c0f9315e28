"""The fixtures of these tests: every store, workers, and somebody who is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.harness import VARIABLES, cli
from tests.hooks.receiver import MailReceiver, Receiver, receiving
from tests.stores.conftest import mongo_url, opened, store, store_url
from tests.worker.fleet import Fleet, fleet_in

__all__ = ["cli", "mongo_url", "opened", "store", "store_url"]


@pytest.fixture(autouse=True)
def nothing_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the environment says of stores and proxies."""
    for name in (*VARIABLES, "HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who takes webhooks."""
    with receiving(Receiver()) as server:
        yield server


@pytest.fixture
def mailbox() -> Iterator[MailReceiver]:
    """Somebody who takes mail."""
    with receiving(MailReceiver()) as server:
        yield server


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A home without workers yet."""
    with fleet_in(tmp_path) as fleet:
        yield fleet


@pytest.fixture
def either(tmp_path: Path, store_url: str) -> Iterator[Fleet]:
    """A home on each kind of store in turn, without workers yet."""
    with fleet_in(tmp_path, store_url) as fleet:
        yield fleet
