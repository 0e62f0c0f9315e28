"""What each word of a line is, by the click tree: for colours and for help while typing."""

from __future__ import annotations

import contextlib
import functools
import re
from enum import Enum

import click

from queuectl.cli.habits import ROWS, ours_of
from queuectl.cli.root import Group, root
from queuectl.cli.unknown_words import nearest_to
from queuectl.domain.errors import InvalidInput, nearest
from queuectl.domain.frozen import frozen
from queuectl.shell.tokenizer import PROGRAM, Kind, Token, scan

SHELL_WORDS = {
    "exit": "Leave the shell; workers go on.",
    "quit": "Leave the shell; workers go on.",
    "clear": "Clear the screen.",
}
"""The commands that exist at the prompt only, beside `!COMMAND`."""

SYSTEM_HELP = "Run a command with the system's shell."
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


class Role(Enum):
    """What a word is to the command line."""

    COMMAND = "command"
    UNKNOWN = "unknown"
    OPTION = "option"
    VALUE = "value"
    ARGUMENT = "argument"
    JSON = "json"
    COMMENT = "comment"
    SYSTEM = "system"


@frozen
class Marked:
    """A word of a line: what it is, of which command, and the option it is or belongs to."""

    token: Token
    role: Role
    command: click.Command
    option: click.Option | None = None


@frozen
class Reading:
    """A line as far as it can be understood, and what may come after its last word."""

    marked: tuple[Marked, ...]
    command: click.Command
    path: str
    awaited: click.Option | None = None

    def at(self, cursor: int) -> Marked | None:
        """Return the word that the cursor is in, or right behind."""
        return next((m for m in self.marked if m.token.start < cursor <= m.token.end), None)


def read(line: str) -> Reading:
    """Return what each word of a line is."""
    if line.lstrip().startswith("!"):
        start = len(line) - len(line.lstrip())
        whole = Token(line[start:], start, len(line))
        return Reading((Marked(whole, Role.SYSTEM, root),), root, "")
    reader, marked = _Reader(), list[Marked]()
    for token in scan(line):
        role, option = reader.next(token, is_first=not marked)
        marked.append(Marked(token, role, reader.command, option))
    return Reading(tuple(marked), reader.command, reader.path, reader.awaited)


class _Reader:
    """Walks along the words of a line and down the tree."""

    def __init__(self) -> None:
        self.command: click.Command = root
        self.path = ""
        self.awaited: click.Option | None = None
        self.has_dashes = False

    def next(self, token: Token, *, is_first: bool) -> tuple[Role, click.Option | None]:
        if token.kind is Kind.JSON and self.command is root:
            self._command(root, "enqueue")  # which a value alone is for
        if token.kind is not Kind.WORD:
            return (Role.JSON if token.kind is Kind.JSON else Role.COMMENT), None
        if is_first and token.text == PROGRAM:
            return Role.COMMAND, None
        if self.awaited is not None:
            option, self.awaited = self.awaited, None
            return Role.VALUE, option
        if self.has_dashes:
            return Role.ARGUMENT, None
        if token.text == "--":
            self.has_dashes = True
            return Role.OPTION, None
        if token.text.startswith("-") and len(token.text) > 1 and not token.is_quoted:
            return self._option(token.text)
        if isinstance(self.command, click.Group):
            return self._command(self.command, token.text), None
        return Role.ARGUMENT, None

    def _option(self, word: str) -> tuple[Role, click.Option | None]:
        if _NUMBER.fullmatch(word):
            return Role.ARGUMENT, None
        options = options_of(self.command)
        name, equals, _ = word.partition("=")
        option = options.get(name)
        if option is None and not word.startswith("--"):
            option = options.get(word[:2])
            equals = word[2:]
        if option is None:
            return Role.UNKNOWN, None
        if not (option.is_flag or option.count or equals):
            self.awaited = option
        return Role.OPTION, option

    def _command(self, group: click.Group, word: str) -> Role:
        if group is root and word in SHELL_WORDS:
            return Role.COMMAND
        try:
            found = group.find(_context(group), [word]) if isinstance(group, Group) else None
        except InvalidInput:
            found = None
        if found is None:
            return Role.UNKNOWN
        path, self.command, _ = found
        self.path = f"{self.path} {path}".strip()
        return Role.COMMAND


def _context(command: click.Command) -> click.Context:
    """Return a context like the one in which a command is run; click keeps what it finds in it."""
    top = click.Context(root, info_name=PROGRAM, **root.context_settings)
    return top if command is root else click.Context(command, parent=top)


@functools.cache
def options_of(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command by each of their names."""
    params = command.get_params(_context(command))
    return {
        name: param
        for param in params
        if isinstance(param, click.Option)
        for name in (*param.opts, *param.secondary_opts)
    }


def is_begun(marked: Marked, line: str) -> bool:
    """Whether a word that is not known is still being typed, and may become one that is."""
    if marked.token.end < len(line):
        return False
    known = [*_known_instead(marked), *_other_words(marked)]
    return any(name.startswith(marked.token.text) for name in known)


def _known_instead(marked: Marked) -> list[str]:
    """Return the options, or the commands of a group, that might stand for an unknown word."""
    command = marked.command
    if marked.token.text.startswith("-"):
        return list(options_of(command))
    names = command.list_commands(_context(command)) if isinstance(command, click.Group) else []
    return [*names, *SHELL_WORDS] if command is root else names


def _other_words(marked: Marked) -> list[str]:
    """Return the words of other tools that might stand for an unknown one."""
    path = "" if marked.command is root else f"{marked.command.name} "
    words = (typed.removeprefix(path) for typed in ROWS if typed.startswith(path))
    return [word for word in words if " " not in word]


def help_at(line: str, cursor: int) -> tuple[str, str]:
    """Return the name of what stands at the cursor, or may follow there, and its help."""
    reading = read(line[:cursor])
    here = reading.at(cursor)
    if here is not None and here.role is Role.SYSTEM:
        return "!COMMAND", SYSTEM_HELP
    unknown = next((marked for marked in reading.marked if marked.role is Role.UNKNOWN), None)
    if unknown is not None:
        return _help_on_unknown(unknown, line[:cursor])
    if here is not None and here.token.text in SHELL_WORDS and here.command is root:
        return here.token.text, SHELL_WORDS[here.token.text]
    option = here.option if here is not None else reading.awaited
    if option is not None:
        record = option.get_help_record(_context(reading.command))
        return (record[0] if record else "", option.help or "")
    if reading.command is root:
        return "", ""
    pieces = reading.command.collect_usage_pieces(_context(reading.command))
    usage = " ".join([reading.path, *(piece for piece in pieces if piece != "[OPTIONS]")])
    return usage, reading.command.get_short_help_str()


def _help_on_unknown(here: Marked, line: str) -> tuple[str, str]:
    word, group = here.token.text, here.command
    if is_begun(here, line):
        known = [name for name in _known_instead(here) if name.startswith(word)]
        fitting = sorted(known or (name for name in _other_words(here) if name.startswith(word)))
        if len(fitting) > 1:
            return " ".join(fitting), ""
        return help_at(line[: here.token.start] + fitting[0], here.token.start + len(fitting[0]))
    if word.startswith("-") or not isinstance(group, Group):
        return f"no such option '{word}'", nearest(word, _known_instead(here)).strip()
    try:
        ours_of("" if group is root else str(group.name), [word])
    except InvalidInput as told:
        return str(told), told.hint
    close = nearest_to(group, _context(group), word, SHELL_WORDS)
    return f"no such command '{word}'", f"(did you mean '{close}'?)" if close else ""


def warm_up(command: click.Command = root) -> None:
    """Load every command, so that no key stroke has to wait for it."""
    with contextlib.suppress(Exception):  # what is broken says so when it is used
        options_of(command)
        if isinstance(command, click.Group):
            ctx = _context(command)
            for name in command.list_commands(ctx):
                if found := command.get_command(ctx, name):
                    warm_up(found)
