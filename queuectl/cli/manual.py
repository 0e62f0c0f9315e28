"""`help`, and the manual page queuectl(1), made from the click tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from queuectl.cli.habits import ROWS
from queuectl.cli.overview import FIRST_LINES
from queuectl.cli.root import HELP_GROUPS, Command, Group, Root, examples, root
from queuectl.domain import settings as tunables
from queuectl.domain.errors import ExitCode, InvalidInput
from queuectl.presentation import console
from queuectl.version import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_EXIT_CODES = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "the job failed, or nothing was affected",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.NOT_FOUND: "no such job, worker or queue",
    ExitCode.CONFLICT: "conflict: the id exists, or the state forbids it",
    ExitCode.STORE: "the store cannot be reached or is damaged",
    ExitCode.TIMED_OUT: "time ran out",
    ExitCode.INTERRUPTED: "interrupted",
}
_VARIABLES = {
    "QUEUECTL_HOME": "the home, as --home",
    "QUEUECTL_STORE": "the store, as --store",
    "MONGO_URI": "the store, where QUEUECTL_STORE is not set",
    "QUEUECTL_FOREGROUND": "1: worker start stays in the foreground",
    "QUEUECTL_PAGER": "the pager for long listings, before PAGER; empty: none",
    "NO_COLOR": "no colours, as --no-color",
}
_DESCRIPTION = """\
queuectl runs shell commands later, elsewhere, and until they succeed. Jobs wait in a store: a
SQLite file, or a MongoDB database that many machines share. Workers claim them, run them, retry
what failed with exponential backoff, and keep what never succeeds in a dead letter queue.

Without a command, queuectl opens a prompt, where every command works without the word queuectl.
"""


def _at(ctx: click.Context, words: Sequence[str]) -> click.Context:
    """Return a context of the command that words name. Raises InvalidInput."""
    at = ctx.find_root()
    for word in words:
        if not isinstance(at.command, click.Group):
            raise InvalidInput(f"'{at.command_path}' has no command '{word}'")
        name, command, _ = at.command.resolve_command(at, [word])
        assert command is not None
        at = click.Context(command, info_name=name, parent=at)
    return at


def _commands_below(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the commands that `help` may go on with."""
    at = _at(ctx, ctx.params.get("words") or ())
    return at.command.shell_complete(at, incomplete) if isinstance(at.command, Group) else []


@examples("""
    queuectl help worker start
    queuectl help --all
    queuectl help --man | man -l -
""")
@click.command("help", cls=Command)
@click.argument("words", nargs=-1, metavar="[COMMAND]...", shell_complete=_commands_below)
@click.option("--all", "-a", "every", is_flag=True, help="Show a line on every command.")
@click.option("--man", is_flag=True, help="Print the whole manual page, in roff.")
@click.pass_context
def help_command(ctx: click.Context, words: tuple[str, ...], every: bool, man: bool) -> None:
    """Show the help of a command, or with `words` the words of other tools that are known."""
    if man:
        click.echo(manual(), nl=False)
        return
    if words == ("words",):
        formatter = ctx.make_formatter()
        formatter.write_dl(list(_words_of_others()))
        click.echo(formatter.getvalue(), nl=False)
        return
    if every and not words:
        assert isinstance(root, Root)
        click.echo(console.reword(root.get_whole_help(ctx.find_root())))
        return
    at = _at(ctx, words)
    click.echo(console.reword(at.command.get_help(at)))


def manual() -> str:
    """Return the manual page as roff, for `man -l` or `groff -man`."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    ctx = click.Context(root, info_name="queuectl", **root.context_settings)
    yield f'.TH QUEUECTL 1 "" "queuectl {__version__}" "User Commands"'
    yield ".SH NAME"
    yield r"queuectl \- " + _text((root.help or "").partition(".")[0])
    yield ".SH SYNOPSIS"
    yield r"\fBqueuectl\fR [\fIOPTIONS\fR] [\fICOMMAND\fR [\fIARGUMENTS\fR]]"
    yield ".SH DESCRIPTION"
    yield from _paragraphs(_DESCRIPTION)
    yield ".SH OPTIONS"
    yield from _options(root, ctx)
    yield ".SH FIRST STEPS"
    for line, text in FIRST_LINES:
        yield from _item(_bold(line), text)
    yield ".SH COMMANDS"
    for title, names in HELP_GROUPS.items():
        yield from _item(title, _text(names))
    for command_ctx in _commands(root, ctx):
        yield from _command(command_ctx)
    yield ".SH WORDS OF OTHER TOOLS"
    for typed, text in _words_of_others():
        yield from _item(_bold(typed), text)
    yield ".SH SETTINGS"
    for key in tunables.KEYS:
        yield from _item(_bold(key), tunables.help_of(key))
    yield ".SH ENVIRONMENT"
    for name, meaning in _VARIABLES.items():
        yield from _item(_bold(name), meaning)
    yield ".SH EXIT STATUS"
    for code, meaning in _EXIT_CODES.items():
        yield from _item(_bold(str(int(code))), meaning)
    yield ".SH EXAMPLES"
    yield from _examples(root)


def _words_of_others() -> Iterator[tuple[str, str]]:
    """Yield what people type who know other tools, and what it is here or what is said of it."""
    for typed, row in ROWS.items():
        text = f"queuectl {row.ours}" if row.ours else row.hint
        if row.ours.startswith("-") and row.typed.partition(" ")[2].startswith("-"):
            text = row.ours  # an option of that command
        yield typed, text.replace("{", "").replace("}", "")


def _commands(group: click.Group, ctx: click.Context) -> Iterator[click.Context]:
    """Yield a context for every command below a group, each once, depth first."""
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is None or command.hidden:
            continue
        below = click.Context(command, info_name=name, parent=ctx)
        yield below
        # `jobs` holds commands of the top again; they are not told twice.
        if isinstance(command, click.Group) and name != "jobs":
            yield from _commands(command, below)


def _command(ctx: click.Context) -> Iterator[str]:
    command = ctx.command
    path = ctx.command_path.removeprefix("queuectl ")
    yield f".SS {_bold(path)} {_text(' '.join(command.collect_usage_pieces(ctx)))}"
    yield from _paragraphs(command.help or "")
    if isinstance(command, click.Group):
        names = ", ".join(_bold(name) for name in command.list_commands(ctx))
        yield ".PP"
        yield f"Commands: {names}."
        return
    yield from _options(command, ctx)
    yield from _examples(command)


def _options(command: click.Command, ctx: click.Context) -> Iterator[str]:
    """Yield the options of a command; the global ones are told with the root's alone."""
    shared = () if ctx.parent is None else ctx.find_root().command.get_params(ctx.find_root())
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None and param not in shared and "--help" not in param.opts:
            yield from _item(_bold(record[0]), record[1])


def _examples(command: click.Command) -> Iterator[str]:
    lines = [line.strip() for line in (command.epilog or "").strip().splitlines()]
    if not lines:
        return
    yield ".PP"
    yield ".nf"
    yield ".RS"
    yield from (_text(line) for line in lines)
    yield ".RE"
    yield ".fi"


def _item(term: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield term
    yield _text(text)


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        if number:
            yield ".PP"
        yield _text(" ".join(paragraph.split()))


def _bold(text: str) -> str:
    return rf"\fB{_text(text)}\fR"


def _text(text: str) -> str:
    """Return text that roff takes as it is."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    escaped = escaped.replace("^", r"\(ha").replace("~", r"\(ti").replace("`", r"\(ga")
    return rf"\&{escaped}" if escaped.startswith(".") else escaped
