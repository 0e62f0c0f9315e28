"""What completion at the prompt knows of the store: what the snapshot holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from queuectl.cli.session import Session
from queuectl.domain.job import State
from queuectl.domain.settings import Value
from queuectl.presentation.catalog import Catalog, Known
from queuectl.presentation.store_catalog import MOST_JOBS
from queuectl.shell.snapshot import Live


class SnapshotCatalog:
    """Knows what the snapshot knows.

    With `may_ask` it waits a little for the thread to find in the store what is not in there.
    """

    def __init__(self, live: Live, *, may_ask: bool = True) -> None:
        self._live = live
        self._may_ask = may_ask

    def jobs(self, word: str, states: frozenset[State]) -> Iterable[Known]:
        """Return jobs by their id; where none fits, by what is in their id or command."""
        snapshot = self._live.snapshot
        lines = [line for line in snapshot.jobs if not states or line.state in states]
        found = [line for line in lines if line.id.startswith(word)]
        if self._may_ask and snapshot.is_partial and word and len(found) < MOST_JOBS:
            known = {line.id for line in found}
            found += [
                line
                for line in self._live.lookup(word)
                if line.id not in known and (not states or line.state in states)
            ]
        if not found and len(word) > 1:
            found = [line for line in lines if word in line.id or word in line.help]
        return [(line.id, line.help) for line in found[:MOST_JOBS]]

    def queues(self) -> Iterable[Known]:
        """Return the queues that have jobs."""
        return self._live.snapshot.queues

    def schedules(self) -> Iterable[Known]:
        """Return the schedules."""
        return self._live.snapshot.schedules

    def hooks(self) -> Iterable[Known]:
        """Return the hooks."""
        return self._live.snapshot.hooks

    def workers(self) -> Iterable[Known]:
        """Return the workers that are alive."""
        return self._live.snapshot.workers

    def settings(self) -> Mapping[str, Value]:
        """Return the settings in force."""
        return self._live.snapshot.settings


class NoCatalog:
    """Knows nothing: for a line that names another store than the one that is followed."""

    def jobs(self, _word: str, _states: frozenset[State]) -> Iterable[Known]:
        """Return nothing."""
        return ()

    def queues(self) -> Iterable[Known]:
        """Return nothing."""
        return ()

    def schedules(self) -> Iterable[Known]:
        """Return nothing."""
        return ()

    def hooks(self) -> Iterable[Known]:
        """Return nothing."""
        return ()

    def workers(self) -> Iterable[Known]:
        """Return nothing."""
        return ()

    def settings(self) -> Mapping[str, Value]:
        """Return nothing."""
        return {}


def knowing(session: Session, live: Live, *, may_ask: bool = True) -> Session:
    """Return a copy of a session that knows the snapshot, for lines that mean the same store."""
    catalog, nothing = SnapshotCatalog(live, may_ask=may_ask), NoCatalog()

    def known(other: Session) -> Catalog:
        is_same = (other.home, other.store) == (session.home, session.store)
        return catalog if is_same else nothing

    copy = session.fork()
    copy.known = known
    return copy
