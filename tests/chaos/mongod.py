"""A MongoDB server that is killed and comes back at the same address, with the same data."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.stores import server


class Mongod:
    """One server with data of its own."""

    def __init__(self, executable: str, directory: Path, options: tuple[str, ...] = ()) -> None:
        self._executable = executable
        self._directory = directory
        self.options = options
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`host:port`, the same after each start."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process, self.port = server.start(
            self._executable, self._directory, self.options, self.port
        )

    def kill(self) -> None:
        """End it as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def shut_down(self) -> None:
        """Ask it to end, and wait until it has."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None


@contextmanager
def mongod_in(directory: Path, *options: str) -> Iterator[Mongod]:
    """Run a server; in the end nothing of it runs. Skips the test where there is none."""
    executable = server.program()
    if executable is None:
        if server.is_required():
            pytest.fail("the MongoDB test server is not installed")
        pytest.skip("the MongoDB test server is not installed (it needs Python 3.11)")
    directory.mkdir()
    mongod = Mongod(executable, directory, options)
    mongod.start()
    try:
        yield mongod
    finally:
        mongod.kill()
