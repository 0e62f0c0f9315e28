"""The kinds of words that commands take, and what may stand for each of them.

A click parameter names its kind once; the shell and the completion of bash, zsh and fish both
ask it. None of them checks a value: that is the business of who uses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from queuectl.domain.job import State

if TYPE_CHECKING:
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

        found = self.known(ctx, incomplete)
        return [CompletionItem(word, help=text or None) for word, text in found]


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
        """Return jobs that are not on the line yet."""
        typed = {word for value in ctx.params.values() for word in _words(value)}
        found = catalog_of(ctx).jobs(incomplete, self.states)
        return [(job_id, text) for job_id, text in found if job_id not in typed]


def _words(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


class QueueName(Word):
    """The name of a queue."""

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return the queues that have jobs."""
        return _beginning(catalog_of(ctx).queues(), incomplete)


class ScheduleName(Word):
    """The name of a schedule."""

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return the schedules there are."""
        return _beginning(catalog_of(ctx).schedules(), incomplete)


class HookName(Word):
    """The name of a hook."""

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return the hooks there are."""
        return _beginning(catalog_of(ctx).hooks(), incomplete)


class EventNames(Word):
    """Events that a hook may be told of, with commas between them."""

    def known(self, _ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return the events that are not named yet, after those that are."""
        from queuectl.domain.hooks import EVENTS

        return _listed(EVENTS, incomplete)


class ZoneName(Word):
    """The name of a time zone."""

    def known(self, _ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return the zones that this machine knows."""
        from zoneinfo import available_timezones

        return _beginning(((zone, "") for zone in sorted(available_timezones())), incomplete)


class WorkerId(Word):
    """The pid or the id of a worker."""

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return the workers that are alive."""
        return _beginning(catalog_of(ctx).workers(), incomplete)


class SettingKey(Word):
    """The key of a setting."""

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return every key with the value in force."""
        from queuectl.domain import settings as tunables

        values = catalog_of(ctx).settings()
        typed = incomplete.lower().replace("-", "_")
        for key in tunables.KEYS:
            if key.startswith(typed):
                shown = f"= {tunables.show(values[key])}  " if key in values else ""
                # The shells keep only what goes on as it was typed.
                word = key.replace("_", "-") if "-" in incomplete else key
                yield word, shown + tunables.help_of(key)


class SettingValue(Word):
    """The value of the setting whose key stands before it."""

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return the value in force and the default."""
        from queuectl.domain import settings as tunables
        from queuectl.domain.errors import InvalidInput

        try:
            key = tunables.resolve_key(ctx.params.get("key") or "")
        except InvalidInput:
            return []
        found = dict.fromkeys(tunables.choices_of(key), "")
        values = catalog_of(ctx).settings()
        if key in values:
            found[tunables.show(values[key])] = "in force now"
        found.setdefault(tunables.show(tunables.default_of(key)), "the default")
        return _beginning(found.items(), incomplete)


class States(Word):
    """States of jobs, with commas between them."""

    def known(self, _ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return the states that are not named yet, after those that are."""
        return _listed([state.value for state in State], incomplete)


def _listed(words: Iterable[str], incomplete: str) -> list[Known]:
    """Return what a list with commas may go on with: words that it does not have yet."""
    named, comma, last = incomplete.rpartition(",")
    taken = named.lower().split(",")
    left = [(word, "") for word in words if word not in taken]
    return [(named + comma + word, text) for word, text in _beginning(left, last.lower())]


class Priority(Word):
    """A number, or a word for one."""

    def known(self, _ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return the words."""
        from queuectl.domain.field_checks import PRIORITIES

        return _beginning(((word, str(number)) for word, number in PRIORITIES.items()), incomplete)


class ParentRule(Word):
    """What becomes of a job when one that it waits for has failed for good."""

    def known(self, _ctx: click.Context, incomplete: str) -> Iterable[Known]:
        """Return the two words."""
        from queuectl.domain import settings as tunables

        choices = tunables.choices_of("on_parent_failure")
        return _beginning(((word, "") for word in choices), incomplete.lower())


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
        from queuectl.cli.paths import beginning_with

        return [("@" + path, "") for path in beginning_with(incomplete[1:])]
