"""Snapshots of work trees that jobs run in, and which of them are still needed.

A home notes each snapshot in a file that has the name of its commit, in a folder for each store.
When no job of that store names it any more, the ref goes too that holds its objects.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from queuectl.domain.errors import StoreError
from queuectl.domain.snapshot import Snapshot
from queuectl.stores.base import Store
from queuectl.system import git_snapshot
from queuectl.system.home import Home, open_private, private_directory

_BESIDE_STORE = ("", "-wal", "-shm", "-lock", "-spare", "-wake")
"""How the names of the files of a store end that is a file."""

_NEW_SECONDS = 600.0
"""How long a note is left alone: its job may not be stored yet."""


class SnapshotTaker:
    """Takes the snapshots of the jobs of one command: one of each directory, at one moment."""

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self._home = home
        self._taken: dict[str, Snapshot] = {}

    def of(self, directory: str) -> tuple[str, str]:
        """Return the snapshot of a directory as text, and what is to be said of it, if anything.

        Raises InvalidInput where there is no work tree.
        """
        if directory in self._taken:
            return self._taken[directory].text, ""
        taken = git_snapshot.take(directory, self._own_files())
        repository = git_snapshot.repository_of_linked(taken.root)
        snapshot = Snapshot(taken.commit, socket.gethostname(), taken.root, repository)
        self._note(snapshot)
        self._taken[directory] = snapshot
        note = "submodules are not part of a snapshot: their directories are empty there"
        return snapshot.text, note if taken.has_submodules else ""

    def _own_files(self) -> list[str]:
        """Return where queuectl itself keeps what it has, and is no part of anybody's work."""
        address = self._store.address
        files = [] if "://" in address else map(address.__add__, _BESIDE_STORE)
        return [str(self._home.root), *files]

    def _note(self, snapshot: Snapshot) -> None:
        folder = _folder(self._store, self._home)
        for directory in (self._home.root, self._home.snapshots, folder):
            private_directory(directory, parents=directory == self._home.root)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptor = open_private(folder / snapshot.commit, flags)
        try:
            os.write(descriptor, f"{snapshot.text}\n".encode())
        finally:
            os.close(descriptor)


def _folder(store: Store, home: Home) -> Path:
    """Return where a home notes the snapshots of a store's jobs."""
    from hashlib import sha256

    return home.snapshots / sha256(store.address.encode()).hexdigest()[:16]


def require_work_tree(directory: str) -> None:
    """Raise InvalidInput where no snapshot can be taken, as there is no work tree."""
    git_snapshot.work_tree_of(directory)


def sweep(store: Store, home: Home, *, older_than: float = _NEW_SECONDS) -> None:
    """Let go of the snapshots that no job needs any more. A store that is away is no error."""
    try:
        notes = sorted(_folder(store, home).iterdir())
    except OSError:
        return
    for path in notes:
        try:
            if time.time() - path.stat().st_mtime < older_than:
                continue
            texts = {*path.read_text().splitlines()}
            if any(map(store.retention.needs_snapshot, texts)) or _is_to_be_named(store, path.name):
                continue
            for text in texts:
                git_snapshot.let_go(Snapshot.of(text).kept_in, path.name)
        except (OSError, ValueError, StoreError):
            continue
        path.unlink(missing_ok=True)


def _is_to_be_named(store: Store, commit: str) -> bool:
    """Whether jobs name a commit that a batch has yet to make."""
    return any(commit in batch.definition for batch in store.batches.unmade())
