"""The snapshot of a work tree that a job runs in: a commit, and where its repository is."""

from __future__ import annotations

from typing import NamedTuple

_SHORT = 12

_LINKED_TO = "//"
"""Between a linked work tree and its repository; a path that git names has no such thing in it."""


class Snapshot(NamedTuple):
    """The commit of a snapshot, the host and the work tree that it was taken of.

    The `repository` is named of a linked work tree alone, which may be removed before that.
    """

    commit: str
    host: str
    root: str
    repository: str = ""

    @classmethod
    def of(cls, text: str) -> Snapshot:
        """Return the snapshot that a text names. Raises ValueError for any other."""
        commit, host, place = text.split(" ", 2)
        root, _, repository = place.partition(_LINKED_TO)
        return cls(commit, host, root, repository)

    @property
    def text(self) -> str:
        """The form in which a job has it."""
        linked = f"{_LINKED_TO}{self.repository}" if self.repository else ""
        return f"{self.commit} {self.host} {self.root}{linked}"

    @property
    def kept_in(self) -> str:
        """The directory in which git finds the commit."""
        return self.repository or self.root

    @property
    def short(self) -> str:
        """The commit as people write it."""
        return self.commit[:_SHORT]
