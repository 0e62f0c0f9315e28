"""Run the suite of stores against mongoeco's server, another small one that speaks MongoDB's wire.

    python -m tests.stores.second_server [PYTEST-OPTION...]

mongoeco needs Python 3.13 (`pip install mongoeco`). It keeps its data in SQLite, and shares no code
with the server that the tests have otherwise.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SUITE = ("tests/stores", "-k", "mongo-external", "-m", "not slow")


async def run(options: Sequence[str]) -> int:
    """Start the server, run pytest against it, and return its exit code."""
    from mongoeco.engines.sqlite import SQLiteEngine
    from mongoeco.wire.proxy import AsyncMongoEcoProxyServer

    with tempfile.TemporaryDirectory() as directory:
        engine = SQLiteEngine(str(Path(directory) / "data.sqlite"), executor_workers=1)
        server = AsyncMongoEcoProxyServer(engine=engine, mongodb_dialect="7.0")
        await server.start()
        try:
            address = server.address.uri.partition("/?")[0]
            tests = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "pytest", "-q", *SUITE, *options),
                env={**os.environ, "QUEUECTL_TEST_MONGO_URI": address},
            )
            return await tests.wait()
        finally:
            await server.close()


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(run(sys.argv[1:])))
    except ModuleNotFoundError as fault:
        sys.exit(f"{fault}; with Python 3.13 or later: pip install mongoeco")
