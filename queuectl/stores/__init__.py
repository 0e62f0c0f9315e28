"""Where jobs are kept. `open_store` is the one place that knows which stores there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.domain.errors import StoreUnavailable
from queuectl.system.store_url import is_mongo, sqlite_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.stores.base import Store


def open_store(url: str) -> Store:
    """Open the store that `url` names, making it on first use.

    Raises InvalidInput for an address of no known kind, StoreUnavailable when it does not
    answer, StoreRefused when it is damaged, newer than this program, or not queuectl's.
    """
    if is_mongo(url):
        from queuectl.stores.mongo.store import MongoStore

        return MongoStore.open(url)
    from queuectl.stores.sqlite.store import SqliteStore

    return SqliteStore(sqlite_path(url), _watch)


def _watch(store_file: str) -> Callable[[], float | None]:
    """Return what looks after the holder of the lock that a writer waits for."""
    from pathlib import Path

    from queuectl.system.lock_watch import LockWatch  # few ever wait

    return LockWatch(Path(store_file)).look


def open_existing(url: str) -> Store | None:
    """Open the store that `url` names if there is one; nothing is made.

    Raises as `open_store` does.
    """
    if is_mongo(url):
        from queuectl.stores.mongo.store import MongoStore

        return MongoStore.open_existing(url)
    from queuectl.stores.sqlite.database import is_there
    from queuectl.stores.sqlite.files import is_missed

    path = sqlite_path(url)
    return open_store(url) if is_there(path) or is_missed(path) else None


def reopen_store(url: str) -> Store:
    """Open a store that was there before. Nothing is made in the place of one that is gone.

    Raises as `open_store` does, and StoreUnavailable when there is none.
    """
    store = open_existing(url)
    if store is None:
        from queuectl.domain.text import without_passwords

        raise StoreUnavailable(f"{without_passwords(url)} is gone", hint="put it back")
    return store


def empty_store(url: str) -> Store:
    """Open what stands for a store that is not there: an empty one that is gone when it is closed.

    Whoever only reads gets the answers of a store in which nothing has happened yet, and nothing
    is made at the place that was named. Raises StoreUnavailable.
    """
    import tempfile

    from queuectl.stores.sqlite.store import SqliteStore

    address = _mongo_address(url) if is_mongo(url) else sqlite_path(url)
    try:
        scratch = tempfile.TemporaryDirectory(prefix="queuectl-", ignore_cleanup_errors=True)
    except OSError as fault:
        raise StoreUnavailable(
            f"there is no store at {address}, and no temporary directory to stand for it "
            f"({fault.strerror})",
            hint="queuectl init makes the store",
        ) from None
    try:
        return SqliteStore(f"{scratch.name}/queue.db", address=address, on_close=scratch.cleanup)
    except BaseException:
        scratch.cleanup()
        raise


def _mongo_address(url: str) -> str:
    """Return an address without any password."""
    from queuectl.stores.mongo.connection import Link

    link = Link(url)
    link.close()
    return link.address


def give_up_spare(url: str) -> int:
    """Free what was kept back for it, if the disk of a store is full; return how much that was."""
    if is_mongo(url):
        return 0
    from pathlib import Path

    from queuectl.stores.sqlite import spare_room

    return spare_room.give_up(Path(sqlite_path(url)))


def keep_spare(url: str, size: int) -> None:
    """Keep back again, as far as there is room, what `give_up_spare` has freed."""
    from pathlib import Path

    from queuectl.stores.sqlite import spare_room

    spare_room.keep(Path(sqlite_path(url)), size)
