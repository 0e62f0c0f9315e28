"""The snapshot of a work tree that a job runs in: a commit, and where its repository is."""

from __future__ import annotations

from typing import NamedTuple

_SHORT = 12


class Snapshot(NamedTuple):
    """The commit of a snapshot, the host and the work tree that it was taken of."""

    commit: str
    host: str
    root: str

    @classmethod
    def of(cls, text: str) -> Snapshot:
        """Return the snapshot that a text names. Raises ValueError for any other."""
        commit, host, root = text.split(" ", 2)
        return cls(commit, host, root)

    @property
    def text(self) -> str:
        """The form in which a job has it."""
        return " ".join(self)

    @property
    def short(self) -> str:
        """The commit as people write it."""
        return self.commit[:_SHORT]
