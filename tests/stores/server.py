"""A MongoDB server for tests: a small one that speaks the wire protocol."""

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

_PROGRAM = "secantusd-py"
_START_SECONDS = 60.0


def program() -> str | None:
    """Return the server's program, or None where it is not installed."""
    beside = Path(sys.executable).with_name(_PROGRAM)
    return str(beside) if beside.exists() else shutil.which(_PROGRAM)


@contextmanager
def running(
    executable: str, directory: Path, options: tuple[str, ...] = (), port: int = 0
) -> Iterator[str]:
    """Run a server, on a free port unless one is named; the value is its `mongodb://host:port`."""
    process, port = start(executable, directory, options, port)
    try:
        yield f"mongodb://127.0.0.1:{port}"
    finally:
        process.kill()  # its data is thrown away: nothing to save
        process.wait()


def start(
    executable: str, directory: Path, options: tuple[str, ...] = (), port: int = 0
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server on the data of a directory; return its process and port once it listens."""
    log = directory / "server.log"
    where = ["--host", "127.0.0.1", "--port", str(port), "--storage-path", str(directory / "data")]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [executable, *where, "--enable-test-commands", *options],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=directory,
        )
    try:
        return process, _port(process, log)
    except BaseException:
        process.kill()
        process.wait()
        raise


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    ends_at = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends_at:
        found = re.search(r"listening on 127\.0\.0\.1:(\d+)", log.read_text(errors="replace"))
        if found:
            return int(found[1])
        if process.poll() is not None:
            break
        time.sleep(0.05)  # the log is all there is to wait on
    raise RuntimeError(f"the test server did not start: {log.read_text(errors='replace')[-500:]}")


def is_required() -> bool:
    """Whether the suite must fail rather than skip where there is no server."""
    return bool(os.environ.get("CI")) and sys.version_info >= (3, 11)
