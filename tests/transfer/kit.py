"""What tests of backup and restore share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from queuectl.stores.sqlite.store import SqliteStore
from queuectl.system.home import Home, Location
from queuectl.transfer.backup import back_up
from queuectl.transfer.restore import Restoration, Restored
from queuectl.transfer.restored_state import Wishes


def not_told(_done: int, _total: int) -> None:
    """Do nothing with the progress."""


def place_in(root: Path) -> Location:
    """Return a home below a directory, with the embedded store."""
    home = Home(root / "home")
    return Location(home, str(home.store_file))


def backup_of(place: Location, fill: Callable[[SqliteStore], object], name: str = "b.db") -> Path:
    """Fill the store of a place, and return a backup of it that lies outside."""
    with closing(SqliteStore(place.home.store_file)) as store:
        fill(store)
    file = place.home.root.parent / name
    back_up(place.home.store_file, file, not_told)
    return file


def restored(place: Location, file: Path, **wishes: bool) -> Restored:
    """Restore a backup."""
    with Restoration.of(place, file, not_told) as ready:
        return ready.finish(Wishes(**wishes))
