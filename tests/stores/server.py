"""A MongoDB server for tests, a small one that speaks the wire protocol.

It may be killed, and come back at the same address with the same data.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PROGRAM = "secantusd-py"
_START_SECONDS = 60.0


class Mongod:
    """One server with data of its own, on a free port."""

    def __init__(self, executable: str, directory: Path) -> None:
        self._executable = executable
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self.options: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """`host:port`, the same after each start."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        log = self._directory / "server.log"
        where = ["--host", "127.0.0.1", "--port", str(self._port)]
        data = ["--storage-path", str(self._directory / "data"), "--enable-test-commands"]
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [self._executable, *where, *data, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
            )
        ends_at = time.monotonic() + _START_SECONDS
        while time.monotonic() < ends_at and self._process.poll() is None:
            text = log.read_text(errors="replace")
            if found := re.search(r"listening on 127\.0\.0\.1:(\d+)", text):
                self._port = int(found[1])
                return
            time.sleep(0.05)  # the log is all there is to wait on
        raise RuntimeError(f"the test server did not start: {log.read_text()[-500:]}")

    def kill(self) -> None:
        """End it as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def shut_down(self) -> None:
        """Ask it to end, and wait until it has."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)


@contextmanager
def mongod_in(directory: Path) -> Iterator[Mongod]:
    """Run a server; in the end nothing of it runs. Skips the test where there is none."""
    beside = Path(sys.executable).with_name(_PROGRAM)
    executable = str(beside) if beside.exists() else shutil.which(_PROGRAM)
    if executable is None:
        if os.environ.get("CI") and sys.version_info >= (3, 11):
            pytest.fail("the MongoDB test server is not installed")
        pytest.skip("the MongoDB test server is not installed (it needs Python 3.11)")
    directory.mkdir(exist_ok=True)
    mongod = Mongod(executable, directory)
    try:
        mongod.start()
        yield mongod
    finally:
        mongod.kill()
