"""What the commands of one command line share: the place, the open queue, the two streams."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from queuectl.domain.errors import ExitCode, NothingDone, QueuectlError
from queuectl.presentation.console import on_terminal, print_error, print_hint, print_line
from queuectl.system.home import Location, find_location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from queuectl.presentation.catalog import Catalog
    from queuectl.presentation.tables import Column, Row
    from queuectl.queue import Queue


_NOTHING_YET = 'no jobs yet: queuectl enqueue hello "echo Hello"'


class Session:
    """The global options, and the queue they mean, opened on first use.

    The shell keeps one session and gives every line a copy (`fork`), so that an option typed on
    one line holds for that line only. It has its own way to open a queue (`opener`) and to know
    what the store holds (`known`).
    """

    def __init__(self) -> None:
        self.home: str | None = None
        self.store: str | None = None
        self.no_color = False
        self.verbose = False
        self.in_shell = False
        self.opener: Callable[[Location, bool], Queue] | None = None
        self.known: Callable[[Session], Catalog] | None = None
        self._let_go()

    def _let_go(self) -> None:
        self._queue: Queue | None = None
        self._hint = ""
        self._is_told = False
        self._spare = 0

    def fork(self) -> Session:
        """Return a session with the same options and nothing open."""
        copy = Session()
        vars(copy).update(vars(self))
        copy._let_go()
        return copy

    def location(self) -> Location:
        """Return the home and the store that the options and the environment mean."""
        return find_location(self.home, self.store)

    def queue(self) -> Queue:
        """Return the open queue, made if it was missing; `close` lets it go."""
        if self._queue is not None and self._queue.missing:
            self.close()
        if self._queue is None:
            self._queue = self._open(make=True)
        return self._queue

    def reading(self, *, frees_room: bool = False) -> Queue:
        """Return the open queue to read, or to change what is there: nothing is made.

        What is missing reads as empty, and is named in the end (`tell_of_missing`). With
        `frees_room` even a full disk does not keep it from being opened and changed.
        """
        if self._queue is None:
            if frees_room:
                from queuectl.stores import give_up_spare

                self._spare = give_up_spare(self.location().store_url)
            self._queue = self._open(make=False)
        return self._queue

    def trying_out(self) -> Queue:
        """Return the open queue for what only says what it would do.

        It is as `reading` does, but that nothing is there yet needs no word.
        """
        self._is_told = True
        return self.reading()

    def _open(self, *, make: bool) -> Queue:
        from queuectl.queue import Queue

        place = self.location()
        if self.opener is not None:
            queue = self.opener(place, make)
        else:
            queue = Queue.open(place) if make else Queue.look(place)
        queue.at_terminal = True
        queue.actor = _person
        if sys.stdin.isatty() and sys.stderr.isatty():
            queue.choose = self._choose
        return queue

    def _choose(self, word: str, ids: list[str]) -> str:
        """Return the job that a person picks of those whose ids begin with a word."""
        from queuectl.cli.picker import pick  # which loads an editor of lines

        found = map(self.reading().store.get, ids)
        jobs = [job for job in found if job is not None]
        job_id = pick(self.reading(), f"Which '{word}…'?", jobs, colors=self.colors)
        if job_id is None:
            raise NothingDone("nothing was picked")
        return job_id

    def hint(self, line: str) -> None:
        """Write a hint to standard error, together with what is missing if anything is."""
        if self._queue is not None and self._queue.missing and not self._is_told:
            self._hint = line
        else:
            print_hint(line)

    def tell_of_missing(self) -> None:
        """Name on standard error what was read as empty because it is not there."""
        if self._queue is not None and self._queue.missing and not self._is_told:
            print_hint(f"{self._hint or _NOTHING_YET} ({self._queue.missing} does not exist)")

    def catalog(self) -> Catalog:
        """Return what is known, for completion, of what the store holds."""
        if self.known is not None:
            return self.known(self)
        from queuectl.presentation.catalog import StoreCatalog

        return StoreCatalog(self.location)

    def paged(self) -> AbstractContextManager[None]:
        """Return what lets the text written within go through the pager if it is a long one."""
        from queuectl.presentation.pager import paged

        return paged()

    def table(self, rows: Sequence[Row], columns: Sequence[Column[Row]]) -> bool:
        """Write rows as a table, through the pager if it is a long one; tell if there are any."""
        from queuectl.presentation.tables import table

        with self.paged():
            table(rows, columns, colors=self.colors)
        return bool(rows)

    def note_beside(self, act: str, target: str, about: str = "") -> None:
        """Note an act that is none on the store, for the audit trail, where a store is there.

        The act stands whether the store can be had or not.
        """
        try:
            queue = self.reading()
        except QueuectlError as fault:
            _warn_of_audit(fault)
            return
        if not queue.missing:
            queue.note(act, target, about=about)

    def close(self) -> None:
        """Close the queue if it was opened."""
        if self._queue is not None:
            _end_abandoned_runs(self._queue)
            _note_changes(self._queue)
            self._queue.close()
            self._queue = None
        if self._spare:
            from queuectl.stores import keep_spare

            keep_spare(self.location().store_url, self._spare)
            self._spare = 0

    @property
    def colors(self) -> bool:
        """Whether standard output may be coloured."""
        return on_terminal() and not self.no_color and not os.environ.get("NO_COLOR")


def _person() -> str:
    """Return who types, for the audit trail."""
    from queuectl.queue.audit import person  # of commands that change something only

    return person()


def _note_changes(queue: Queue) -> None:
    """Write what was changed into the audit trail; what was done is done where that fails."""
    try:
        queue.flush_notes()
    except QueuectlError as fault:
        _warn_of_audit(fault)


def _warn_of_audit(fault: QueuectlError) -> None:
    print_hint(f"warning: the audit trail could not be written: {fault}")


def _end_abandoned_runs(queue: Queue) -> None:
    """See to what was running when workers were killed and nobody was left who noticed.

    What fails here is left to the next command, and to the next worker.
    """
    home = queue.home
    is_local = not queue.address.startswith("mongodb")  # to ask a server takes longer
    may_be_lost = is_local and home.has_lost_pid_file() and bool(queue.store.workers.all())
    if not (may_be_lost or home.misses_processes()):
        return
    import contextlib

    from queuectl.domain.errors import StoreError
    from queuectl.maintenance.rescuer import end_abandoned_runs

    with contextlib.suppress(StoreError, OSError):
        end_abandoned_runs(home, queue.store)


pass_session = click.make_pass_decorator(Session)


def for_each(words: Iterable[str], act: Callable[[str], None]) -> int:
    """Do something for each word by itself; return the exit code of the first refusal.

    A store that is out of reach ends the whole, because every further word would say the same.
    """
    code: int = ExitCode.OK
    for word in dict.fromkeys(words):
        try:
            act(word)
        except QueuectlError as refusal:
            if refusal.exit_code is ExitCode.STORE:
                raise
            print_error(refusal)
            code = code or refusal.exit_code
    return code


def each_by_itself(act: Callable[[Queue, str], str]) -> Callable[..., int]:
    """Make of `act` the function of a command that takes the session and one or more words.

    It does something for one of them and returns the line that says so.
    """

    @pass_session
    def command(session: Session, /, **arguments: tuple[str, ...]) -> int:
        queue, (words,) = session.reading(), arguments.values()
        return for_each(words, lambda word: print_line(act(queue, word)))

    command.__name__, command.__doc__ = act.__name__, act.__doc__
    return command


def remember_jobs(queue: Queue, ids: Sequence[str]) -> None:
    """Keep in mind what a person has just enqueued or retried, for `@last`; scripts pay nothing."""
    if ids and any(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        from queuectl.system.terminal_jobs import remember

        remember(queue.home, queue.address, ids)


def hint_at_missing_workers(queue: Queue) -> None:
    """Tell a person at a terminal when nothing will run the job; scripts do not pay for it."""
    if queue.missing or not (sys.stderr.isatty() and sys.stdout.isatty()):
        return
    if not queue.workers():
        print_hint("no worker is running: queuectl worker start")
    shut = [name for name, limit in queue.queue_limits().items() if limit.paused]
    if shut:
        print_hint(f"queue '{shut[0]}' is paused: queuectl queue resume {' '.join(shut)}")


def hint_at_unused(queue: Queue, names: Iterable[str]) -> None:
    """Tell which of some queues no job is in or ever was: their names may be mistyped."""
    from queuectl.domain.queue_limits import DELIVERY_QUEUE

    for name in names:
        if name != DELIVERY_QUEUE and not queue.has_had_jobs(name):
            print_hint(f"no job is in queue '{name}' yet")


def refuse_native_windows() -> None:
    """Raise where no worker can run: job control there is another world."""
    if os.name == "nt":
        raise QueuectlError("workers need Linux or macOS", hint="on Windows run queuectl in WSL")


_MOST_DIRECTORIES = 10


def warn_if_missing(cwd: str | None, known: dict[str | None, bool], where: str = "") -> None:
    """Warn of a working directory that is none on this host: another may have it.

    Each is looked at once: `known` says of those that were whether they are there. `where` names
    the place of the job in a file.
    """
    if cwd in known:
        return
    known[cwd] = cwd is None or os.path.isdir(cwd)  # noqa: PTH112  # a str as the system takes it
    missing = sum(not is_there for is_there in known.values())
    if known[cwd] or cwd is None or missing > _MOST_DIRECTORIES:
        return
    place = f"{where}: " if where else ""
    what = "is no directory" if os.path.lexists(cwd) else "does not exist"
    print_hint(
        f"warning: {place}the working directory {cwd} {what} on this host; "
        "a worker that does not have it fails the job"
    )
    if missing == _MOST_DIRECTORIES:
        print_hint("warning: nothing is said of further working directories that are missing")
