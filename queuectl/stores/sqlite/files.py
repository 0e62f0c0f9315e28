"""Which three files are the embedded store: `queue.db`, its `-wal` and its `-shm`.

SQLite finds them by their names when it opens them, and from then on by descriptors. When one of
them is moved, removed or exchanged meanwhile, whoever opens the store next gets files that do not
belong together, and what it writes is lost or does damage
(https://www.sqlite.org/howtocorrupt.html). So the first one to open a store notes in its lock file
which files it got, and whoever comes while it is open must get the same. Each write looks at the
names again, before it begins and before it is answered.

A file is known by device and inode, which nobody else can have while it is open; where nobody has
it open, by its generation too, as a file system gives the numbers of removed files to new ones.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from queuectl.domain.errors import StoreRefused, StoreUnavailable
from queuectl.stores.sqlite.file_locks import (
    descriptors_of,
    generation,
    generation_at,
    is_locked,
    is_open_elsewhere,
    lock_of,
)
from queuectl.system.home import open_private

if os.name != "nt":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator

_CAN_KNOW_OTHERS = sys.platform == "linux" and sys.maxsize > 2**32
"""Whether there are the locks, and the list of descriptors, that are used here."""

_PRESENCE, _GATE = 0, 1
"""Bytes of the lock file: held by all that have the store open; and by who opens or closes it."""

_GATE_SECONDS = 10.0
_GATE_PAUSE_SECONDS = 0.001

_HEADER = "queuectl-files"
_RECORD_BYTES = 256
_SUFFIXES = ("", "-wal", "-shm")


_open_in_here: Counter[tuple[int, int]] = Counter()
"""How often this process has a store open, by the device and inode of its file."""


def known_by(path: str) -> tuple[int, int] | None:
    """Return what tells a file from another of its name; None where none is to be seen."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_missed(path: str) -> bool:
    """Whether a store that is not there was moved or removed, rather than never made.

    Others have it open, or the log of its last writes was left behind.
    """
    with contextlib.suppress(OSError):
        if os.stat(f"{path}-wal").st_size:
            return True
    if not _CAN_KNOW_OTHERS:
        return False
    try:
        descriptor = os.open(f"{path}-lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return is_locked(descriptor, _PRESENCE)
    finally:
        os.close(descriptor)


class FilesExchanged(StoreUnavailable):
    """A file of the store was moved, removed or exchanged while processes have the store open."""


_Files = tuple[tuple[int, int, int], ...]
"""Three files that belong together: device, inode and generation of each."""


def _as_text(files: _Files) -> str:
    return " ".join([_HEADER, *(":".join(map(str, file)) for file in files)])


def _from_text(text: str) -> _Files | None:
    """Return what was written; None where there is nothing that could be understood."""
    header, *words = text.split() or [""]
    try:
        files = [tuple(map(int, word.split(":"))) for word in words]
    except ValueError:
        return None
    if header != _HEADER or [len(file) for file in files] != [3, 3, 3]:
        return None
    return tuple((file[0], file[1], file[2]) for file in files)


def _places(files: _Files | None) -> list[tuple[int, int]]:
    """Return device and inode of each file; nothing where they are not known."""
    return [(device, inode) for device, inode, _ in files or ()]


class StoreFiles:
    """The files of one open store, from before it is opened until after it is closed.

    `opening` is held while SQLite opens them, `settle` says that it has, `closing` is held while
    it closes them.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._names = [f"{path}{suffix}" for suffix in _SUFFIXES]
        self._mine: list[tuple[str, int, int]] = []
        self._is_alone = True
        self._lock = open_private(f"{path}-lock", os.O_RDWR)
        self._can_lock = _CAN_KNOW_OTHERS

    def __del__(self) -> None:
        # Who forgets to close a store shall not be taken for one that has it open.
        self.let_go()

    def let_go(self) -> None:
        """Let go of the lock file, and with it of all locks."""
        descriptor, self._lock = getattr(self, "_lock", -1), -1
        if descriptor >= 0:
            os.close(descriptor)
            _open_in_here.subtract((device, inode) for _, device, inode in self._mine[:1])

    # opening

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Keep others from opening and closing, while this one does.

        Raises StoreRefused or StoreUnavailable for files that do not belong together.
        """
        self._enter_gate()
        try:
            self._is_alone = self._set_lock(_PRESENCE, fcntl.F_WRLCK) if self._can_lock else True
            if not self._is_alone:
                self._set_lock(_PRESENCE, fcntl.F_RDLCK)
            if self._can_lock:
                self._require_set()
            yield
        except BaseException:
            self._leave(_PRESENCE)
            raise
        finally:
            self._leave(_GATE)

    def _require_set(self) -> None:
        """Look at the names before SQLite opens what is there."""
        recorded = self._recorded()
        found = [known_by(name) for name in self._names]
        if self._is_alone:
            self._require_own_log(recorded, found)
            self._require_nobody_unseen(found)
        elif found[0] is None or (recorded is not None and found != _places(recorded)):
            raise self._exchanged(_places(recorded), found)

    def _require_own_log(
        self, recorded: _Files | None, found: list[tuple[int, int] | None]
    ) -> None:
        """Refuse a log of writes that was left beside another file than that which is there."""
        file, log = found[0], found[1]
        if log is None or not os.stat(self._names[1]).st_size:
            return
        if file is None:
            raise StoreRefused(
                f"{self._path} is gone, and the log of its last writes, {self._names[1]}, is not",
                hint="put it back, or remove that log too, with what is in it, to start afresh",
            )
        if recorded is None or log != _places(recorded)[1]:
            return
        is_same = (*file, generation_at(self._names[0])) == recorded[0]
        is_same_log = (*log, generation_at(self._names[1])) == recorded[1]
        if is_same_log and not is_same:
            raise StoreRefused(
                f"{self._path} is another file than the one whose last writes "
                f"{self._names[1]} holds",
                hint="put that one back, or remove the log, with what is in it, to use this one",
            )

    def _require_nobody_unseen(self, found: list[tuple[int, int] | None]) -> None:
        """Refuse a store that somebody has open who is not seen, as the lock file was removed.

        Nobody has one open beside which SQLite's files are not there.
        """
        if found[0] is None or None not in found:
            return
        if _open_in_here[found[0]] or is_open_elsewhere(self._path):
            raise self._exchanged([], found)

    def settle(self) -> bool:
        """Take what SQLite has opened for the store; whether that is what the names lead to.

        Called within `opening`, when SQLite has read the file and so opened all three.
        """
        found = [known_by(name) for name in self._names]
        places = [place for place in found if place is not None]
        if len(places) < len(found):
            return False
        if self._can_lock:
            descriptors = descriptors_of(set(places))
            if len(descriptors) < len(set(places)):
                return False
            recorded = self._recorded()
            if not self._is_alone and recorded and places != _places(recorded):
                return False
            if self._is_alone:
                made = tuple((*place, generation(descriptors[place])) for place in places)
                self._record(made)
            self._set_lock(_PRESENCE, fcntl.F_RDLCK)
        self._mine = [(name, *place) for name, place in zip(self._names, places, strict=True)]
        _open_in_here[places[0]] += 1
        return True

    def require_settled(self) -> None:
        """Do as `settle` does. Raises FilesExchanged for what it does not take."""
        if not self.settle():
            recorded = None if self._is_alone or not self._can_lock else self._recorded()
            found = [known_by(name) for name in self._names]
            raise self._exchanged(_places(recorded), found)

    # while it is open

    def is_whole(self) -> bool:
        """Whether all three names still lead to the files that were opened."""
        try:
            for name, device, inode in self._mine:
                found = os.lstat(name)
                if found.st_ino != inode or found.st_dev != device:
                    return False
        except OSError:
            return False
        return True

    def require_whole(self) -> None:
        """Raise FilesExchanged when one of the files has been moved, removed or exchanged."""
        if not (self.is_open and self.is_whole()):
            mine = [(device, inode) for _, device, inode in self._mine]
            raise self._exchanged(mine, [known_by(name) for name in self._names])

    @property
    def is_open(self) -> bool:
        """Whether the files have not been let go."""
        return self._lock >= 0

    @property
    def place(self) -> tuple[int, int] | None:
        """The device and inode of the store itself; None when it was not opened."""
        return self._mine[0][1:] if self._mine else None

    def is_own_file(self) -> bool:
        """Whether the store itself is where it was."""
        return self.place is not None and known_by(self._path) == self.place

    def is_replaced(self) -> bool:
        """Whether another file is where the store itself was."""
        found = known_by(self._path)
        return found is not None and self.place is not None and found != self.place

    def _exchanged(
        self, wanted: list[tuple[int, int]], found: list[tuple[int, int] | None]
    ) -> FilesExchanged:
        """Say which file is not what was wanted; what was wanted may not be known."""
        is_wrong = [place is None for place in found]
        if wanted:
            is_wrong = [place != other for place, other in zip(found, wanted, strict=True)]
        number = is_wrong.index(True) if True in is_wrong else 0
        name, is_gone = self._names[number], found[number] is None
        what = "was moved or removed" if is_gone else "was exchanged"
        hint = "put it back" if is_gone else "put the one that was there back"
        if number:
            hint = "try again when they have noticed"
        return FilesExchanged(
            f"{name} {what} while processes have the store open",
            hint=f"{hint}, or end them first: queuectl worker stop",
        )

    # closing

    @contextlib.contextmanager
    def closing(self) -> Iterator[None]:
        """Keep others from opening while SQLite closes the files, as the last one removes two."""
        try:
            with contextlib.suppress(StoreUnavailable):
                self._enter_gate()
            yield
        finally:
            self.let_go()

    # the lock file

    def _enter_gate(self) -> None:
        ends_at = time.monotonic() + _GATE_SECONDS
        while self._can_lock and self.is_open and not self._set_lock(_GATE, fcntl.F_WRLCK):
            if time.monotonic() > ends_at:
                raise StoreUnavailable(
                    f"{self._path} is being opened or closed by another process",
                    hint="try again when that is done",
                )
            time.sleep(_GATE_PAUSE_SECONDS)

    def _leave(self, byte: int) -> None:
        if self._can_lock and self.is_open:
            self._set_lock(byte, fcntl.F_UNLCK)

    def _set_lock(self, byte: int, kind: int) -> bool:
        """Lock a byte for this open file, not for the process; whether it could be had."""
        asked = lock_of(byte, kind)
        try:
            fcntl.fcntl(self._lock, fcntl.F_OFD_SETLK, asked)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:  # a file system without such locks: nobody can be known there
            self._can_lock = False
        return True

    def _recorded(self) -> _Files | None:
        return _from_text(os.pread(self._lock, _RECORD_BYTES, 0).decode("ascii", "replace"))

    def _record(self, files: _Files) -> None:
        try:
            os.pwrite(self._lock, _as_text(files).ljust(_RECORD_BYTES - 1).encode() + b"\n", 0)
        except OSError:  # a full disk: no record is better than an old one
            os.ftruncate(self._lock, 0)
