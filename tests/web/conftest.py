"""What the tests of the dashboard share: it, served in this process, and jobs of every kind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from queuectl.queue import Queue, open_queue
from queuectl.system.home import Home, Location
from tests.cli.harness import home
from tests.web.kit import TOKEN, Served, fill, policy

__all__ = ["home"]


@pytest.fixture
def queue() -> Iterator[Queue]:
    """The queue that is served, for the test itself."""
    with open_queue() as opened:
        yield opened


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with ten jobs, in every state; it is made once and copied."""
    home = Home(tmp_path_factory.mktemp("filled"))
    with Queue.open(Location(home, str(home.store_file))) as opened:
        fill(opened)
    return home.root


@pytest.fixture
def full(home: Path, filled: Path) -> Iterator[Queue]:
    """A queue with ten jobs, in every state."""
    shutil.copytree(filled, home)
    with open_queue() as opened:
        assert opened.counts().total == 10
        yield opened


@pytest.fixture
def served() -> Iterator[Served]:
    """The dashboard as it is served to this machine."""
    with Served(policy()) as dashboard:
        yield dashboard


@pytest.fixture
def browser(served: Served) -> TestClient:
    """A browser that has logged in."""
    return served.logged_in()


@pytest.fixture
def api(served: Served) -> TestClient:
    """A program that shows the token."""
    client = served.client()
    client.headers["authorization"] = f"Bearer {TOKEN}"
    return client
