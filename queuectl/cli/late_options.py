"""Options that are made when a line names them: a command may have fifty, each takes a while."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import click

from queuectl.cli.root import HELP_NAMES, HELP_OPTION, Command

_LINE = "queuectl.line"
"""Where the context of a command line keeps what is to be parsed."""


class Late(NamedTuple):
    """An option: its names and the name of its value, and what else `click.option` takes."""

    names: tuple[str, ...]
    attributes: dict[str, Any]

    @property
    def typed(self) -> list[str]:
        """The names as they are typed, those that turn a flag off among them."""
        names = (each for name in self.names for each in name.split("/"))
        return [name for name in names if name.startswith("-")]


def late(*names: str, **attributes: Any) -> Late:
    """Return an option as `click.option` takes it, which is not made yet."""
    return Late(names, attributes)


class LateOptions:
    """Options of a command, in the order in which its help shows them."""

    def __init__(self, options: Iterable[Late]) -> None:
        self._options = tuple(options)
        self._by_name = {name: option for option in self._options for name in option.typed}
        self._made: dict[int, click.Option] = {}

    def all(self) -> list[click.Option]:
        """Return every one of them."""
        return [self._option(option) for option in self._options]

    def named_in(self, words: Sequence[str], others: Iterable[str]) -> list[click.Option]:
        """Return those that a line names; all, where it names one that is not among `others` too.

        So whoever proposes an option for an unknown one knows every name.
        """
        known = {*others}
        wanted: dict[int, click.Option] = {}
        for word in words:
            for name in _names_in(word):
                option = self._by_name.get(name)
                if option is not None:
                    wanted[id(option)] = self._option(option)
                elif name not in known:
                    return self.all()
        return [*wanted.values()]

    def _option(self, late: Late) -> click.Option:
        """Return an option; it is the same one each time."""
        made = self._made.get(id(late))
        if made is None:
            made = self._made[id(late)] = click.Option(late.names, **late.attributes)
        return made


def _names_in(word: str) -> list[str]:
    """Return the options that a word may name: a long one, or one for each of its letters."""
    if word.startswith("--"):
        return [word.partition("=")[0]] if len(word) > 2 else []
    if not word.startswith("-") or len(word) == 1:
        return []
    return [f"-{letter}" for letter in word[1:]]


_NONE = LateOptions(())


class LateCommand(Command):
    """A command that may have late options among its others, where one has put a `LateOptions`."""

    @property
    def params(self) -> list[click.Parameter]:
        """All options and arguments."""
        return self._with(self._late.all())

    @params.setter
    def params(self, params: list[click.Parameter]) -> None:
        self._at, self._late = 0, _NONE
        self._own: list[click.Parameter] = []
        for each in cast("list[Any]", params):
            if isinstance(each, LateOptions):
                self._at, self._late = len(self._own), each
            else:
                self._own.append(each)

    def _with(self, options: Sequence[click.Parameter]) -> list[click.Parameter]:
        return [*self._own[: self._at], *options, *self._own[self._at :]]

    def get_help_option(self, _ctx: click.Context) -> click.Option | None:
        """Return `--help`; click would look for its names among all options."""
        return HELP_OPTION

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the line, of whose options those are made that it names."""
        ctx.meta[_LINE] = args
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options and arguments that matter for a line; all, where it asks for help."""
        words: list[str] | None = ctx.meta.get(_LINE)
        if words is None or ctx.resilient_parsing or not set(words).isdisjoint(HELP_NAMES):
            return super().get_params(ctx)
        general = self.general_options(ctx)
        known = [
            name for each in (*self._own, *general) for name in (*each.opts, *each.secondary_opts)
        ]
        return [*self._with(self._late.named_in(words, known)), *general]
