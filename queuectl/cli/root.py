"""The click tree: every command, loaded on first use, and the options that all of them take."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from queuectl.cli.completions import PathName
from queuectl.cli.session import Session
from queuectl.domain.errors import InvalidInput, nearest

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {
    "init": "queuectl.cli.store.command:init",
    "enqueue": "queuectl.cli.enqueue:enqueue",
    "run": "queuectl.cli.run:run",
    "status": "queuectl.cli.status:status",
    "list": "queuectl.cli.jobs.show:list_jobs",
    "show": "queuectl.cli.jobs.show:show",
    "logs": "queuectl.cli.jobs.logs:logs",
    "wait": "queuectl.cli.jobs.wait:wait",
    "watch": "queuectl.watch.command:watch",
    "dashboard": "queuectl.web.command:dashboard",
    "stats": "queuectl.cli.stats:stats",
    "metrics": "queuectl.cli.metrics:metrics",
    "cancel": "queuectl.cli.jobs.bulk:cancel",
    "retry": "queuectl.cli.jobs.bulk:retry",
    "delete": "queuectl.cli.jobs.bulk:delete",
    "edit": "queuectl.cli.jobs.edit:edit",
    "set": "queuectl.cli.jobs.change:set_fields",
    "purge": "queuectl.cli.jobs.purge:purge",
    "export": "queuectl.cli.store.transfer:export",
    "import": "queuectl.cli.store.transfer:import_jobs",
    "migrate": "queuectl.cli.store.transfer:migrate",
    "backup": "queuectl.cli.store.backup:backup",
    "restore": "queuectl.cli.store.backup:restore",
    "jobs": "queuectl.cli.root:jobs",
    "queue": "queuectl.cli.queues:queue",
    "dlq": "queuectl.cli.jobs.dlq:dlq",
    "schedule": "queuectl.cli.schedules:schedule",
    "hook": "queuectl.cli.hooks:hook",
    "worker": "queuectl.cli.workers.command:worker",
    "config": "queuectl.cli.config:config",
    "doctor": "queuectl.cli.store.command:doctor",
    "shell": "queuectl.shell.command:shell",
    "completion": "queuectl.cli.completion:completion",
    "help": "queuectl.cli.root:help_command",
}
"""Every top-level command, in the order of `--help`, and the module and name that hold it."""

JOB_COMMANDS = "enqueue run list show logs wait cancel retry delete edit set".split()
"""The top-level commands that `jobs` holds too."""

ONE_JOB_COMMANDS = {
    "pause": "queuectl.cli.jobs.change:pause",
    "resume": "queuectl.cli.jobs.change:resume",
    "move": "queuectl.cli.jobs.change:move",
}
"""The commands that `jobs` alone holds, because a queue or a schedule has others of the name."""

COMPLETION_VARIABLE = "_QUEUECTL_COMPLETE"
"""The environment variable by which the script of a shell asks for completions."""

ALIASES = {"ls": "list", "rm": "delete", "ps": "status", "job": "jobs"}


def _keep_global(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Put a global option, wherever on the line it stood, into the session."""
    if value:
        setattr(ctx.ensure_object(Session), str(param.name), value)


def _global(*names: str, **attributes: Any) -> click.Option:
    """Return an option that every command takes and that only the root's help shows."""
    return click.Option(names, expose_value=False, callback=_keep_global, **attributes)


GLOBAL_OPTIONS = (
    _global(
        "--home",
        type=PathName("dir"),
        metavar="DIR",
        help="The directory with the store, logs and PID file.",
    ),
    _global(
        "--store", type=PathName(), metavar="URL", help="A SQLite file, or mongodb://HOST/DATABASE."
    ),
    _global("--no-color", is_flag=True, help="No colours, as NO_COLOR does."),
    _global("-v", "--verbose", is_flag=True, help="Show where an unexpected error comes from."),
)


class Command(click.Command):
    """A command that takes the global options after its name too."""

    def get_short_help_str(self, limit: int = 100) -> str:
        """Return the first sentence; completion has more room for it than click thinks."""
        return super().get_short_help_str(limit)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own options and the global ones."""
        return [*super().get_params(ctx), *GLOBAL_OPTIONS]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options; the global ones are in `queuectl --help`.

        Its arguments are in the line on its usage, and not here, as click would have it.
        """
        options = (each for each in super().get_params(ctx) if isinstance(each, click.Option))
        own = [option.get_help_record(ctx) for option in options]
        with formatter.section("Options"):
            formatter.write_dl([record for record in own if record])

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they are to be typed."""
        write_examples(self, formatter)


class Group(click.Group):
    """A group whose commands may be loaded on first use, by the name of their module."""

    command_class = Command

    def __init__(self, *args: Any, lazy: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.lazy = lazy

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command; loading them all would take longer than the rest."""
        from queuectl.cli.summaries import SUMMARIES

        known = SUMMARIES if self.lazy else {}
        names = self.list_commands(ctx)
        rows = [(name, known.get(name) or self._summary(ctx, name)) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _summary(self, ctx: click.Context, name: str) -> str:
        """Return the whole first sentence; click would cut it to a line."""
        command = self.get_command(ctx, name)
        return command.get_short_help_str(200) if command else ""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names in the order in which they are declared."""
        return [*self.lazy, *(name for name in self.commands if name not in self.lazy)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the group's own options. Raises InvalidInput, naming the commands, without any.

        click would raise its whole help as an error, which is not to be read on one line.
        """
        if not (args or self.invoke_without_command or ctx.resilient_parsing):
            path, names = ctx.command_path, ", ".join(self.list_commands(ctx))
            raise InvalidInput(f"'{path}' needs a command: {names}", hint=f"{path} --help")
        return super().parse_args(ctx, args)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name or alias."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name in self.lazy and name not in self.commands:
            module, attribute = {**COMMANDS, **ONE_JOB_COMMANDS}[name].split(":")
            loaded = import_module(module)
            self.add_command(getattr(loaded, attribute), name)
        return self.commands.get(name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names. Raises InvalidInput with the nearest."""
        found = self.get_command(ctx, args[0])
        if found is None:
            close = nearest(args[0], [*self.list_commands(ctx), *ALIASES])
            path = ctx.command_path
            raise InvalidInput(
                f"no such command '{args[0]}'{close}", hint=f"{path} --help lists the commands"
            )
        return found.name, found, args[1:]

    def get_short_help_str(self, limit: int = 100) -> str:
        """Return the first sentence; completion has more room for it than click thinks."""
        return super().get_short_help_str(limit)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the group's own options and the global ones."""
        return [*super().get_params(ctx), *GLOBAL_OPTIONS]

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they are to be typed."""
        write_examples(self, formatter)


def write_examples(command: click.Command, formatter: click.HelpFormatter) -> None:
    """Write a command's epilog, one example a line, unwrapped."""
    with formatter.section("Examples"):
        for line in (command.epilog or "").strip().splitlines():
            formatter.write(f"  {line.strip()}\n")


def _print_version(ctx: click.Context, _param: click.Parameter, is_asked: bool) -> None:
    """Print the version and leave; no other command has a use for it."""
    if not is_asked or ctx.resilient_parsing:
        return
    from queuectl.version import __version__

    click.echo(f"queuectl {__version__}")
    ctx.exit()


@click.group(
    cls=Group,
    lazy=list(COMMANDS),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
    queuectl enqueue hello "echo Hello"
    queuectl worker start --count 3
    queuectl status
    """,
)
@click.option(
    "--keep-going", is_flag=True, help="Lines from standard input: go on after a failure."
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.pass_context
def root(ctx: click.Context, keep_going: bool) -> int | None:
    """The job queue for shell commands. Without a command it opens the prompt."""
    if ctx.invoked_subcommand is not None:
        return None
    shell = root.get_command(ctx, "shell")
    assert shell is not None
    code: int = ctx.invoke(shell, file=None, keep_going=keep_going)
    return code


@click.group(cls=Group, lazy=[*JOB_COMMANDS, *ONE_JOB_COMMANDS], epilog="queuectl jobs delete job1")
def jobs() -> None:
    """The commands on jobs, also under this name."""


def _at(ctx: click.Context, words: Sequence[str]) -> click.Context:
    """Return a context of the command that words name. Raises InvalidInput."""
    at = ctx.find_root()
    for word in words:
        if not isinstance(at.command, click.Group):
            raise InvalidInput(f"'{at.command_path}' has no command '{word}'")
        name, found, _ = at.command.resolve_command(at, [word])
        assert found is not None
        at = click.Context(found, info_name=name, parent=at)
    return at


def _commands_below(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the commands that `help` may go on with."""
    at = _at(ctx, ctx.params.get("words") or ())
    return at.command.shell_complete(at, incomplete) if isinstance(at.command, Group) else []


@click.command(
    "help",
    cls=Command,
    epilog="""
    queuectl help worker start
    queuectl help --man | man -l -
    """,
)
@click.argument("words", nargs=-1, metavar="[COMMAND]...", shell_complete=_commands_below)
@click.option("--man", is_flag=True, help="The whole manual page, in roff.")
@click.pass_context
def help_command(ctx: click.Context, words: tuple[str, ...], man: bool) -> None:
    """Show the help of a command."""
    if man:
        from queuectl.cli.manual import manual

        click.echo(manual(root), nl=False)
        return
    at = _at(ctx, words)
    click.echo(at.command.get_help(at))
