"""How the tests are run, and the server that all tests of one process share."""

from __future__ import annotations

import os
import signal
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pymongo import MongoClient

from tests.stores.server import mongod_in

# What a pipe gets is to be flushed by the program, not by whoever runs its tests.
os.environ.pop("PYTHONUNBUFFERED", None)
# The tests start the program a thousand times; it is compiled once.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# What a shell starts in the background ignores Ctrl-C, and so would every program of the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hypothesis without deadlines, as a busy machine is no fault of the code, with the same examples
# each time; `--hypothesis-profile thorough` looks at many more, and at others each time.
settings.register_profile(
    "thorough", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "quick", settings.get_profile("thorough"), max_examples=50, derandomize=True
)
if settings.get_current_profile_name() in ("default", "ci"):
    settings.load_profile("quick")

QUICK = ("domain", "system", "stores", "presentation", "cli", "web")
QUICK_FILES = (
    "test_docs.py", "test_examples.py", "test_field_effects.py", "test_job_fields.py",
    "test_python.py", "test_walls.py",
)  # fmt: skip
NOT_QUICK = frozenset({"mongo_server", "chromium"})
"""The quick suite: these directories and files, without MongoDB and without a browser."""

FEWEST = 4
FOR_EACH_CORE = 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return what `-n auto` means here: more than the cores, since most tests wait."""
    return max(FEWEST, FOR_EACH_CORE * (os.cpu_count() or 1))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mix the files, the same way each time: some wait where others calculate. Mark the quick."""
    for item in items:
        if _is_quick(item):
            item.add_marker(pytest.mark.quick)
    items.sort(key=lambda item: zlib.crc32(item.path.name.encode()))


def _is_quick(item: pytest.Item) -> bool:
    """Whether a test belongs to the quick suite."""
    first = item.path.relative_to(Path(__file__).parent).parts[0]
    if first not in (*QUICK, *QUICK_FILES) or item.path.name.startswith("test_mongo"):
        return False
    if item.get_closest_marker("slow"):
        return False
    needed = set(getattr(item, "fixturenames", ()))
    call = getattr(item, "callspec", None)  # the parameter names the kind of store
    kind = str(call.params.get("store_url", "")) if call else ""
    return not (needed & NOT_QUICK or kind.startswith("mongo"))


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of this test process's own."""
    with mongod_in(tmp_path_factory.mktemp("mongo")) as mongod:
        yield f"mongodb://{mongod.address}"


@pytest.fixture(scope="session")
def mongo_client(mongo_server: str) -> Iterator[MongoClient[dict[str, Any]]]:
    """What the fixtures themselves ask the server with."""
    with MongoClient[dict[str, Any]](mongo_server) as client:
        yield client
