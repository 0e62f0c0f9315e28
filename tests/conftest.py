"""How many test processes run at once."""

from __future__ import annotations

import os
import zlib

import pytest

# What a pipe gets is to be flushed by the program, not by whoever runs its tests.
os.environ.pop("PYTHONUNBUFFERED", None)

FEWEST = 4
FOR_EACH_CORE = 3


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return what `-n auto` means here: more than the cores, since most tests wait."""
    return max(FEWEST, FOR_EACH_CORE * (os.cpu_count() or 1))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mix the files, the same way each time: some wait where others calculate."""
    items.sort(key=lambda item: zlib.crc32(item.path.name.encode()))
