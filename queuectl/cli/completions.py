"""The kinds of words that commands take, and what may stand for each of them.

A click parameter names its kind once; the shell and the completion of bash, zsh and fish both
ask it. None of them checks a value: that is the business of who uses it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import State
from queuectl.system.home import expanded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from click.shell_completion import CompletionItem

    from queuectl.presentation.catalog import Catalog, Known

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # before click 8.5 it is not generic


class Word(ParamType):
    """A word of which something is known; kept as it was typed."""

    name = "text"

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return what may stand here; what does not begin with `incomplete` is left out."""
        raise NotImplementedError

    def shell_complete(
        self, ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what may stand here, as click wants it."""
        from click.shell_completion import CompletionItem

        known = self.known(ctx, incomplete)
        return [CompletionItem(word, help=text or None) for word, text in known]


def catalog_of(ctx: click.Context) -> Catalog:
    """Return what is known of the store that a command line means."""
    from queuectl.cli.session import Session

    return ctx.ensure_object(Session).catalog()


def _beginning(known: Iterable[Known], incomplete: str) -> list[Known]:
    return [(word, text) for word, text in known if word.startswith(incomplete)]


class JobId(Word):
    """The id of a job that is in one of some states, of any when none is named."""

    def __init__(self, *states: State) -> None:
        self.states = frozenset(states)

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return jobs that are not on the line yet, and `@last` to whoever has begun it."""
        if incomplete.startswith("@"):
            return _beginning([("@last", "the latest job of this terminal")], incomplete)
        typed: set[Any] = set()
        for value in ctx.params.values():
            typed.update(value if isinstance(value, tuple) else (value,))
        known = catalog_of(ctx).jobs(incomplete, self.states)
        return [(job_id, text) for job_id, text in known if job_id not in typed]


class OneOf(Word):
    """A word that is one of those that `every` returns, each with what there is to say of it.

    With `lower` all are in small letters, whatever is typed.
    """

    def __init__(
        self, every: Callable[[click.Context], Iterable[Known]], *, lower: bool = False
    ) -> None:
        self._every = every
        self._lower = lower

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return those that begin so."""
        return _beginning(self._every(ctx), incomplete.lower() if self._lower else incomplete)


class SomeOf(OneOf):
    """Such words with commas between them."""

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return the words that are not named yet, after those that are."""
        named, comma, last = incomplete.rpartition(",")
        taken = named.lower().split(",")
        known = _beginning(self._every(ctx), last.lower())
        return [(named + comma + word, text) for word, text in known if word not in taken]


def _zones(_ctx: click.Context) -> Iterable[Known]:
    from queuectl.system.zones import zone_names

    return ((zone, "") for zone in sorted(zone_names()))


def _priorities(_ctx: click.Context) -> Iterable[Known]:
    from queuectl.domain.field_checks import PRIORITIES

    return ((word, str(number)) for word, number in PRIORITIES.items())


def _events(_ctx: click.Context) -> Iterable[Known]:
    from queuectl.domain.hooks import EVENTS

    return ((word, "") for word in EVENTS)


QUEUE_NAME = OneOf(lambda ctx: catalog_of(ctx).queues())
BATCH_NAME = OneOf(lambda ctx: catalog_of(ctx).batches())
SCHEDULE_NAME = OneOf(lambda ctx: catalog_of(ctx).schedules())
HOOK_NAME = OneOf(lambda ctx: catalog_of(ctx).hooks())
HOST_NAME = OneOf(lambda ctx: catalog_of(ctx).hosts())
WORKER_ID = OneOf(lambda ctx: catalog_of(ctx).workers())
ZONE_NAME = OneOf(_zones)
PRIORITY = OneOf(_priorities)
EVENT_NAMES = SomeOf(_events)
STATES = SomeOf(lambda _ctx: ((state.value, "") for state in State))


class ListedWord(Word):
    """A word behind `list`: states, with commas between them, or the id of a job."""

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return the states that begin so, then the jobs."""
        return [*STATES.known(ctx, incomplete), *JobId().known(ctx, incomplete)]


def _orders(_ctx: click.Context) -> Iterable[Known]:
    from queuectl.domain.query import Order

    return ((order.value, "") for order in Order)


def _column_names(_ctx: click.Context) -> Iterable[Known]:
    from queuectl.presentation.job_formats import field_names

    return ((name, "") for name in field_names())


ORDERS = OneOf(_orders, lower=True)
COLUMN_NAMES = SomeOf(_column_names)


class SettingKey(Word):
    """The key of a setting."""

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return every key with the value in force."""
        from queuectl.domain import settings as tunables

        values = catalog_of(ctx).settings()
        typed = incomplete.lower().replace("-", "_")
        for key in tunables.KEYS:
            if key.startswith(typed):
                value = f"= {tunables.show(values[key])}  " if key in values else ""
                # The shells keep only what goes on as it was typed.
                word = key.replace("_", "-") if "-" in incomplete else key
                yield word, value + tunables.help_of(key)


class SettingValue(Word):
    """The value of the setting whose key stands before it."""

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return the value in force and the default."""
        from queuectl.domain import settings as tunables

        try:
            key = tunables.resolve_key(ctx.params.get("key") or "")
        except InvalidInput:
            return []
        known = dict.fromkeys(tunables.choices_of(key), "")
        values = catalog_of(ctx).settings()
        if key in values:
            known[tunables.show(values[key])] = "in force now"
        known.setdefault(tunables.show(tunables.default_of(key)), "the default")
        return _beginning(known.items(), incomplete)


class PathName(ParamType):
    """The name of a file or, if so asked, of a directory."""

    name = "path"

    def __init__(self, kind: str = "file") -> None:
        self.kind = kind

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Leave it to whoever asks: every shell has its own way with names of files."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type=self.kind)]


class EnqueueWord(Word):
    """A word of `enqueue`, of which only `@FILE` can be known."""

    def known(self, _ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return the files that `@FILE` may go on with."""
        if not incomplete.startswith("@"):
            return []
        return [("@" + path, "") for path in paths_beginning(incomplete[1:])]


MOST_PATHS = 200
"""No more names of files are offered at once."""


def paths_beginning(typed: str, *, only_directories: bool = False) -> list[str]:
    """Return the paths that begin as typed, directories with a final slash; `~` is kept.

    Hidden files come only when the dot has been typed. What cannot be read is empty.
    """
    folder, name = typed[: typed.rfind("/") + 1], typed[typed.rfind("/") + 1 :]
    paths: list[str] = []
    try:
        with os.scandir(expanded(folder or ".")) as entries:
            for entry in entries:
                if not entry.name.startswith(name) or (entry.name[0] == "." and not name):
                    continue
                if entry.is_dir():
                    paths.append(f"{folder}{entry.name}/")
                elif not only_directories:
                    paths.append(f"{folder}{entry.name}")
    except (OSError, InvalidInput):  # InvalidInput: no home for ~
        return []
    return sorted(paths)[:MOST_PATHS]
