"""The one exception tree. Each class carries the exit code that a command ends with."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """Every exit code of the program, apart from a job's own."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    STORE = 5
    TIMED_OUT = 124
    INTERRUPTED = 130


class QueuectlError(Exception):
    """Anything that a person can be told in one line.

    `hint` says what to type next, where there is something to type.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class NothingDone(QueuectlError):
    """The request was understood and affected nothing."""


class CannotStart(QueuectlError):
    """A job that is waited for waits itself for one that has ended otherwise, or was deleted."""


class InvalidInput(QueuectlError):
    """A field, a setting, a file or a word that cannot be accepted."""

    exit_code = ExitCode.USAGE


class Circle(InvalidInput):
    """Jobs that would wait for each other: `path` leads from one of them back to it."""

    def __init__(self, path: Sequence[str]) -> None:
        super().__init__(f"jobs wait for each other in a circle: {' -> '.join(path)}")
        self.path = tuple(path)


class NotFound(QueuectlError):
    """No such job, worker, queue or attempt."""

    exit_code = ExitCode.NOT_FOUND


class Conflict(QueuectlError):
    """The thing exists already, or is in a state that refuses the change."""

    exit_code = ExitCode.CONFLICT


class JobExists(Conflict):
    """A new job was to have the id of one that is there."""


class Ambiguous(Conflict):
    """The beginning of an id that several jobs have."""


class NoLongerFits(Conflict):
    """The job is not, or not any more, one of those that a filter meant."""


class StoreError(QueuectlError):
    """The store cannot be used."""

    exit_code = ExitCode.STORE


class StoreUnavailable(StoreError):
    """The store does not answer now: locked, full, unreachable. Trying again may help."""


class StoreLocked(StoreUnavailable):
    """Another process has the lock that all writers of an embedded store need.

    `claims_standing` are the ids of those claims that were to be renewed which are still held as
    they were; none when anybody has written anything since the renewal was asked for.
    """

    claims_standing: frozenset[str] = frozenset()


class StoreFull(StoreUnavailable):
    """There is no room on the store's disk for what was to be written."""


class StoreRefused(StoreError):
    """The store is damaged, newer than this program, or somebody else's. It was left untouched."""


class StoreForeign(StoreRefused):
    """The file is a database of another program."""


class StoreReplaced(QueuectlError):
    """Another store was put where the one in use was; whoever opens it anew can go on."""


class NotDelivered(QueuectlError):
    """What a hook has to tell did not arrive."""


class WaitTimedOut(QueuectlError):
    """Time ran out before what was waited for had happened."""

    exit_code = ExitCode.TIMED_OUT


def nearest(word: str, known: list[str]) -> str:
    """Return " (did you mean 'X'?)" for the closest known word, or an empty string."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def shown(value: object) -> str:
    """Return a value as an error may quote it: on one line and not too long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
