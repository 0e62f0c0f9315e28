"""What stands for a store that is not there: an empty one that is gone when it is closed.

Whoever only reads gets the answers of a store in which nothing has happened yet, and nothing is
made at the place that was named.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from queuectl.domain.errors import StoreUnavailable
from queuectl.stores.sqlite.store import SqliteStore
from queuectl.system.store_url import is_mongo, sqlite_path


class NoStore(SqliteStore):
    """An empty store of this process's own; `address` is where there is none."""

    def __init__(self, url: str) -> None:
        self._address = _mongo_address(url) if is_mongo(url) else str(sqlite_path(url))
        try:
            self._scratch = Path(tempfile.mkdtemp(prefix="queuectl-"))
        except OSError as fault:
            raise StoreUnavailable(
                f"there is no store at {self._address}, and no temporary directory to stand for it "
                f"({fault.strerror})",
                hint="queuectl init makes the store",
            ) from None
        try:
            super().__init__(self._scratch / "queue.db")
        except BaseException:
            self._clear()
            raise

    @property
    def address(self) -> str:
        """Where there is no store, without any password."""
        return self._address

    def close(self) -> None:
        """Forget it. Closing twice is harmless."""
        super().close()
        self._clear()

    def _clear(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)


def _mongo_address(url: str) -> str:
    from queuectl.stores.mongo.connection import Link

    link = Link(url)
    link.close()
    return link.address
