"""What a worker of another host sends while somebody looks: the output of a run, or its own log."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from queuectl.domain.errors import StoreError
from queuectl.domain.frozen import replace
from queuectl.domain.job import Job, State
from queuectl.stores.exchange import LogAnswer, LogWish
from queuectl.system.home import Home
from queuectl.system.ids import new_token
from queuectl.system.job_logs import JobLogs
from queuectl.system.polling import Pace
from queuectl.system.processes import is_here, is_live

if TYPE_CHECKING:
    from queuectl.stores.base import Store

_FRESH_SECONDS = 15.0
_RENEWAL_SECONDS = 5.0
_LOOK_SECONDS = 0.3
_PATIENCE_SECONDS = 30.0
"""How long a worker is waited for that does not answer, though it lives."""


class _Remote:
    """Asks a worker again and again, each time for what follows its latest answer."""

    def __init__(self, store: Store, wish: LogWish) -> None:
        self._store = store
        self._wish = wish
        self._asked_at = float("-inf")
        self._pace = Pace(_LOOK_SECONDS)

    def poll(self) -> bool:
        """Take what the worker has sent since; return whether that was anything."""
        if self._store.log_wishes is None or not self._pace.is_due:
            return False
        with self._pace.look():
            answer = self._store.log_wishes.answered(self._wish.id)
            has_news = False
            if answer is not None and answer.asked == self._wish.asked:
                has_news = self._take(answer)
            # an answer is taken once: the next one goes on from there
            if has_news or time.monotonic() - self._asked_at > _RENEWAL_SECONDS:
                self._ask()
        return has_news

    def _take(self, answer: LogAnswer) -> bool:
        """Take an answer; return whether it has anything."""
        raise NotImplementedError

    def _ask(self) -> None:
        assert self._store.log_wishes is not None
        self._wish = replace(self._wish, asked=self._wish.asked + 1)
        self._store.log_wishes.ask(self._wish, _FRESH_SECONDS)
        self._asked_at = time.monotonic()

    def close(self) -> None:
        """Look no more."""
        if self._store.log_wishes is not None:
            with suppress(StoreError):
                self._store.log_wishes.forget(self._wish.id)


class RemoteLog(_Remote):
    """The log of one worker of another host, in whole lines, from its last 256 KiB on."""

    def __init__(self, store: Store, worker_id: str) -> None:
        super().__init__(store, LogWish(new_token(), worker_id, "", 0, (0, 0)))
        self._lines = b""
        self.has_answered = False

    def lines(self) -> bytes:
        """Return what has come since the last time."""
        self.poll()
        lines, self._lines = self._lines, b""
        return lines

    def _take(self, answer: LogAnswer) -> bool:
        self.has_answered = True
        self._lines += answer.parts[0]
        self._wish = replace(self._wish, at=answer.sizes)
        return bool(answer.parts[0])


class RemoteRun(_Remote):
    """Mirrors the files of a run of another host into a directory that goes with `close`."""

    def __init__(self, store: Store, job: Job, run: int) -> None:
        super().__init__(store, LogWish(new_token(), job.worker or "", job.id, run, (0, 0, 0)))
        self._folder = tempfile.TemporaryDirectory(prefix="queuectl-")
        self.logs = JobLogs(Home(self._folder.name))
        paths = (self.logs.stdout, self.logs.stderr, self.logs.order)
        self._paths = [path(job.id, run) for path in paths]
        self.logs.directory(job.id).mkdir(parents=True)
        self.is_complete = False
        """Whether all is here that there was when the worker answered last."""

    def finish(self) -> bool:
        """Take the rest of what is there now; return whether all of it came."""
        self.is_complete = False
        self._ask()  # what is answered from now on tells of a run that has ended
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        while not self.is_complete and time.monotonic() < ends_at:
            if self.poll():
                ends_at = time.monotonic() + _PATIENCE_SECONDS
            else:
                time.sleep(_LOOK_SECONDS / 3)
        return self.is_complete

    def close(self) -> None:
        """Look no more, and remove what came."""
        super().close()
        self._folder.cleanup()

    def _take(self, answer: LogAnswer) -> bool:
        """Add what an answer has to the files; return whether it has anything."""
        for path, part in zip(self._paths, answer.parts, strict=True):
            if part or path.suffix != ".order":  # there is none of a run that wrote one stream
                with path.open("ab") as file:
                    file.write(part)
        pairs = zip(self._wish.at, answer.parts, strict=True)
        self._wish = replace(self._wish, at=tuple(at + len(part) for at, part in pairs))
        self.is_complete = self._wish.at[:2] == answer.sizes[:2]
        return any(answer.parts)


def goes_on_elsewhere(store: Store, home: Home, job: Job, run: int) -> bool:
    """Return whether a run goes on at another host, or in another home, whose worker sends it."""
    if store.log_wishes is None or job.state is not State.PROCESSING or run != job.runs:
        return False
    worker = next((each for each in store.workers.all() if each.id == job.worker), None)
    if worker is None or (is_here(worker.process) and worker.home == str(home.root)):
        return False
    # an older version answers nobody
    return worker.report is not None and is_live(worker, store.now())


def remote_run(store: Store, home: Home, job: Job, run: int) -> RemoteRun | None:
    """Return what mirrors a run, if that goes on at another host, or in another home."""
    return RemoteRun(store, job, run) if goes_on_elsewhere(store, home, job, run) else None
