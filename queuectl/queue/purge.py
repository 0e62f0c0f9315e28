"""The use cases that keep a store small and let go of what is in it; `Queue` has them all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import check_text
from queuectl.domain.frozen import frozen
from queuectl.domain.job import SETTLED, Job
from queuectl.domain.settings import as_flag
from queuectl.queue.read import Reading

if TYPE_CHECKING:
    from queuectl.domain.query import Filter

_ENVIRONMENT_FIELDS = frozenset({"env_file", "env-file", "capture_env", "capture-env"})
_ALIASES = {"env-file": "env_file", "capture-env": "capture_env", "clean-env": "clean_env"}
_PAGE = 200
_BREATH_SECONDS = 0.002
_TIDY_SECONDS = 2.0
"""For how long room is given back after many jobs were deleted; workers go on with it."""


@frozen
class Purged:
    """How far a purge has come: jobs deleted, and jobs that are still needed and kept."""

    deleted: int = 0
    kept: int = 0


class Keeping(Reading):
    """The part of `Queue` that forgets many jobs at once."""

    _captured: str | None = None

    def with_environment(
        self, fields: Mapping[str, object]
    ) -> tuple[Mapping[str, object], str | None]:
        """Return the fields of a job with what its `env_file` says in them, and no such field.

        The second value names the environment of this process, which is stored now, where
        `capture_env` asks for it. Raises InvalidInput.
        """
        if _ENVIRONMENT_FIELDS.isdisjoint(fields):
            return fields, None
        from queuectl.queue import environments

        given = {_ALIASES.get(name, name): value for name, value in fields.items()}
        file = given.pop("env_file", None)
        if file is not None:
            env = given.get("env") or {}
            if not isinstance(env, Mapping):
                raise InvalidInput("env must be an object of names and values")
            given["env"] = {**environments.read_file(check_text("env_file", file)), **env}
        if not as_flag("capture_env", given.pop("capture_env", None) or False):
            return given, None
        if as_flag("clean_env", given.get("clean_env") or False):
            raise InvalidInput("capture_env and clean_env exclude each other")
        if self._captured is None:
            variables = environments.capture(os.environ)
            self._captured = environments.name_of(variables)
            self._store.save_environment(self._captured, variables)
        return given, self._captured

    def count(self, chosen: Filter) -> int:
        """Return how many jobs a filter selects; costly where it is more than states and queue."""
        from queuectl.domain.query import Page

        chosen = chosen.of_jobs()
        counted = self._store.counts().matching(chosen)
        if counted is not None:
            return counted
        return sum(1 for _ in self._store.find(chosen, Page()))

    def purge(self, chosen: Filter) -> Iterator[Purged]:
        """Delete the settled jobs that a filter selects, with their logs on this machine.

        Yields how far it has come, a few hundred jobs at a time, and lets others write in
        between. Jobs for which others wait are kept, and the latest runs of schedules. Raises
        InvalidInput for a state that is not settled.
        """
        import time

        from queuectl.domain.query import Page
        from queuectl.queue.events import process_all_events
        from queuectl.stores.rules import remove_unspared
        from queuectl.system.job_logs import JobLogs

        if not chosen.states or not chosen.states <= SETTLED:
            raise InvalidInput("only completed, cancelled and dead jobs can be purged")
        self._store.counts()  # which logs what is in no state that can be chosen
        logs = JobLogs(self.home)
        done, page, after = Purged(), list[Job](), 0
        while True:
            page = list(self.find(chosen, Page(limit=_PAGE, after_seq=after)))
            if not page:
                self._store.tidy(_TIDY_SECONDS)
                return
            process_all_events(self._store)
            gone = remove_unspared(self._store, page)
            for job_id in gone:
                logs.remove(job_id)
            done = Purged(done.deleted + len(gone), done.kept + len(page) - len(gone))
            after = page[-1].seq
            yield done
            time.sleep(_BREATH_SECONDS)
