"""The click tree: every command, loaded on first use, and the options that all of them take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar

import click

from queuectl.cli.completions import JobId, OneOf, PathName
from queuectl.cli.session import Session
from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import State
from queuectl.presentation import console

COMMANDS = {
    "init": ("cli.store", "Make `.queuectl` here (or the home that is named) and its store."),
    "enqueue": ("cli.enqueue", "Store jobs: a command, JSON, or a file of jobs."),
    "add": (
        "cli.add",
        "Store a job whose command is the rest of the line; options stand before it.",
    ),
    "run": ("cli.run", "Enqueue one job, follow its output, and end with its exit code."),
    "status": ("cli.status", "Count the jobs in each state, and show the workers that are alive."),
    "list": ("cli.jobs:list_jobs", "List jobs: what runs, what runs next, what has ended."),
    "show": ("cli.jobs", "Show everything about one job, with every attempt."),
    "logs": (
        "cli.logs",
        "Show the output of jobs; of several, each line begins with its job's id.",
    ),
    "send": ("cli.talk", "Type a line into a job that runs, enqueued with `--stdin` or `--pty`."),
    "signal": (
        "cli.talk:send_signal",
        "Send a signal to every process of a job that runs: INT, HUP, USR1 or another.",
    ),
    "attach": ("cli.attach", "Be at the terminal of a job that runs, enqueued with `--pty`."),
    "wait": ("cli.wait", "Wait until jobs are completed, dead or cancelled."),
    "watch": (
        "watch",
        "Watch counts, workers and jobs live; read logs, cancel, retry and delete.",
    ),
    "dashboard": (
        "web.command",
        "Serve the queue as a web page, with a JSON API and live figures.",
    ),
    "stats": (
        "cli.stats",
        "Tell how much succeeded, how long runs took and waited, and how many there were.",
    ),
    "metrics": (
        "cli.metrics",
        "Print metrics in the text format of Prometheus, or serve them over HTTP.",
    ),
    "batch": (
        "cli.batches",
        "Batches: what one enqueue made under a name; list, wait, cancel, retry, results.",
    ),
    "results": (
        "cli.batches",
        "Show what became of each job of a batch: parameters, state, exit code, duration, result.",
    ),
    "audit": (
        "cli.audit",
        "Show who has changed what, the latest first: jobs, queues, settings, schedules, hooks.",
    ),
    "cancel": ("cli.bulk", "Cancel jobs: at once when they wait, else their worker stops them."),
    "retry": ("cli.bulk", "Start settled or failed jobs afresh, dead or not."),
    "delete": ("cli.bulk", "Delete jobs that do not run, with their logs."),
    "pause": (
        "cli.change",
        "Pause jobs or queues: what waits is held back, a job that runs stands still.",
    ),
    "resume": ("cli.change", "Let paused jobs and queues go on."),
    "stash": (
        "cli.change",
        "Hold jobs back that wait, until `resume` lets them go; `enqueue --hold` makes such jobs.",
    ),
    "switch": ("cli.change", "Let two jobs of a queue that wait take each other's place."),
    "edit": (
        "cli.edit",
        "Change jobs that wait in $VISUAL or $EDITOR: all of them, or none on an error.",
    ),
    "set": (
        "cli.change:set_fields",
        "Change fields of a job that waits: all that are named, or none on an error.",
    ),
    "purge": ("cli.bulk", "Delete settled jobs that nobody needs any more, with their logs."),
    "export": ("cli.transfer", "Write jobs, settings, queues and schedules as JSON lines."),
    "import": (
        "cli.transfer:import_jobs",
        "Read what `export` wrote into this store, or what another program keeps.",
    ),
    "migrate": ("cli.transfer", "Move a whole store to another, and compare the two at the end."),
    "backup": ("cli.backup", "Copy the whole embedded store into a new file, while workers work."),
    "restore": (
        "cli.backup",
        "Put a backup in the place of the embedded store, which is kept beside it.",
    ),
    "jobs": ("cli.root", "The commands on jobs, also under this name."),
    "queue": ("cli.queues", "Queues: list, pause, resume and limit them."),
    "resource": (
        "cli.resources",
        "Named resources that jobs hold while they run: list them, and say what the fleet has.",
    ),
    "dlq": ("cli.dlq", "The dead letter queue: look at its jobs, retry or purge them."),
    "schedule": (
        "cli.schedules",
        "Jobs that are enqueued again and again, as cron would start them.",
    ),
    "hook": (
        "cli.hooks",
        "Who is told when jobs end, a queue is empty, or a threshold is crossed.",
    ),
    "worker": ("cli.workers", "The processes that run jobs."),
    "host": ("cli.hosts", "The hosts of the fleet: list them, and have one take no more jobs."),
    "parallel": (
        "cli.scaling",
        "Run N jobs at once in this home, or show how many do; with -q limit a queue.",
    ),
    "key": ("cli.keys", "Keys that sign jobs, and those that the workers of this home trust."),
    "config": ("cli.config", "Settings, shared by every worker, in force without a restart."),
    "doctor": ("cli.store", "Look over home, permissions, store, clock, PID file and workers."),
    "shell": ("shell", "Open the prompt, or run a file of commands, one a line."),
    "completion": (
        "cli.completion",
        "Print a script that lets bash, zsh or fish complete commands, options and live job ids.",
    ),
    "help": (
        "cli.manual:help_command",
        "Show the help of a command, or with `words` the words of other tools that are known.",
    ),
}
"""Every top-level command: where it is, and the first line of its help.

It is an attribute of a module below `queuectl`, of the command's own name where none follows the
colon. The help has the line from here, so that it need not load the commands.
"""

HELP_GROUPS = {
    "Start here": "enqueue run status list logs",
    "Jobs": "add show wait cancel retry delete purge edit set pause resume stash switch "
    "send signal attach jobs dlq (list retry purge)",
    "Batches": "batch (list show wait cancel retry results) results",
    "Workers": "worker (start stop list run logs) host parallel",
    "Queues": "queue (list pause resume limit) resource (list set remove)",
    "Schedules": "schedule (add list next edit run remove) hook (add list test)",
    "Looking": "watch dashboard stats metrics audit",
    "Moving": "export import migrate backup restore",
    "Setting up": "init config key doctor shell completion help",
}
"""The groups in which the help shows the commands, each of which is in one.

In brackets are the commands of a group that one needs most.
"""

JOB_COMMANDS = (
    "enqueue add run list show logs send signal attach wait cancel retry delete pause resume "
    "stash switch edit set"
).split()
"""The top-level commands that `jobs` holds too."""

ONE_JOB_COMMANDS = {
    "move": ("cli.change", "Move jobs to the head of their queue, or to its end."),
}
"""The commands that `jobs` alone holds."""

COMPLETION_VARIABLE = "_QUEUECTL_COMPLETE"
"""The environment variable by which the script of a shell asks for completions."""

AnyCommand = TypeVar("AnyCommand", bound=click.Command)

Option = Callable[[Any], Any]
"""What `click.option` returns: a decorator of the function of a command."""


def with_options(*each: Option) -> Option:
    """Return a decorator that gives a command some options, shown in their order."""

    def give(function: Any) -> Any:
        for option in reversed(each):
            function = option(function)
        return function

    return give


def examples(lines: str) -> Callable[[AnyCommand], AnyCommand]:
    """Return a decorator that gives a command its examples, one a line, for the end of its help."""

    def give(command: AnyCommand) -> AnyCommand:
        command.epilog = lines
        return command

    return give


class HabitOption(click.Option):
    """An option with further names that people type by habit, which no help and no menu shows."""

    def __init__(self, *args: Any, habits: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._habits = list(habits)

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Let a parser know all of the names."""
        shown = self.opts
        self.opts = [*shown, *self._habits]
        try:
            super().add_to_parser(parser, ctx)
        finally:
            self.opts = shown


MOST_REFUSALS = 10
"""So many refusals of a batch are shown one by one."""

refused_option = click.option(
    "--refused", "refused_file", type=PathName(), metavar="FILE",
    help=f"Write every refusal to this file; only the first {MOST_REFUSALS} are shown.",
)  # fmt: skip
"""Gives a command the file that is to have all refusals."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")


def ids_argument(*states: State, required: bool = True) -> Option:
    """Give a command the ids of jobs, for which those in `states` (any, if none) are offered."""
    metavar = "ID..." if required else "[ID]..."
    return click.argument("ids", nargs=-1, required=required, metavar=metavar, type=JobId(*states))


def names_argument(word: OneOf, metavar: str = "NAME...") -> Option:
    """Give a command one or more names, of which `word` knows those there are."""
    return click.argument("names", nargs=-1, required=True, metavar=metavar, type=word)


def _keep_global(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Put a global option, wherever on the line it stood, into the session."""
    if value:
        setattr(ctx.ensure_object(Session), str(param.name), value)


def _global(*names: str, help: str, **attributes: Any) -> click.Option:
    """Return an option that every command takes and that only the root's help shows."""
    return click.Option(names, expose_value=False, callback=_keep_global, help=help, **attributes)


def _show_help(ctx: click.Context, _param: click.Parameter, is_asked: bool) -> None:
    if is_asked and not ctx.resilient_parsing:
        click.echo(console.reword(ctx.get_help()), color=ctx.color)
        ctx.exit()


_WIDEST_HELP, _NARROWEST_HELP = 100, 24


def _help_width() -> int:
    from shutil import get_terminal_size  # of help texts only

    return max(min(get_terminal_size().columns, _WIDEST_HELP) - 2, _NARROWEST_HELP)


HELP_NAMES = ("-h", "--help")
HELP_OPTION = click.Option(HELP_NAMES, is_flag=True, is_eager=True, expose_value=False,
                           callback=_show_help, help="Show this message and exit.")  # fmt: skip
"""What every command has; see `_WithGlobals.get_help_option`."""

GLOBAL_OPTIONS = (
    _global("--home", type=PathName("dir"), metavar="DIR",
            help="The directory with the store, logs and PID file."),
    _global("--store", type=PathName(), metavar="URL",
            help="A SQLite file, or mongodb://HOST/DATABASE."),
    _global("--no-color", is_flag=True, help="No colours, as NO_COLOR does."),
    _global("-v", "--verbose", is_flag=True, help="Show where an unexpected error comes from."),
)  # fmt: skip


class _WithGlobals(click.Command):
    """What commands and groups of ours have in common."""

    def get_short_help_str(self, limit: int = 100) -> str:
        """Return the first sentence; completion has more room for it than click thinks."""
        return super().get_short_help_str(limit)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own options, `--help` and the global ones."""
        return [*self.params, *self.general_options(ctx)]

    def general_options(self, ctx: click.Context) -> list[click.Parameter]:
        """Return `--help` and the global options."""
        help_option = self.get_help_option(ctx)
        return [*([help_option] if help_option else ()), *GLOBAL_OPTIONS]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return `--help`; click would look for a translation of its text, which takes a while."""
        return HELP_OPTION if self.get_help_option_names(ctx) else None

    def without_unknown(
        self, ctx: click.Context, args: list[str], fault: click.NoSuchOption
    ) -> list[str]:
        """Return arguments with our own option for one that another tool has.

        Raises `fault`, without proposing what does more than was asked, for any other.
        """
        from queuectl.cli.unknown_words import without_unknown

        return without_unknown(ctx, args, fault)

    def get_help(self, ctx: click.Context) -> str:
        """Return the help text, no wider than the terminal: click would have 50 at least."""
        formatter = click.HelpFormatter(width=_help_width())
        self.format_help(ctx, formatter)
        return formatter.getvalue().rstrip("\n")

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they are to be typed, one a line."""
        with formatter.section("Examples"):
            for line in (self.epilog or "").strip().splitlines():
                formatter.write(f"  {line.strip()}\n")


class Command(_WithGlobals):
    """A command that takes the global options after its name too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the line, with our own options for those of other tools that are known."""
        try:
            return super().parse_args(ctx, [*args])
        except click.NoSuchOption as fault:
            again = self.without_unknown(ctx, args, fault)
        except click.BadOptionUsage as fault:
            fault.ctx = fault.ctx or ctx  # click's parser leaves it out
            raise
        return self.parse_args(ctx, again)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options; the global ones are in `queuectl --help`.

        Its arguments are in the line on its usage, and not here, as click would have it.
        """
        own = (each for each in self.get_params(ctx) if each not in GLOBAL_OPTIONS)
        records = [each.get_help_record(ctx) for each in own if isinstance(each, click.Option)]
        with formatter.section("Options"):
            formatter.write_dl([record for record in records if record])


class Group(_WithGlobals, click.Group):
    """A group whose commands may be loaded on first use: `lazy` is a table like `COMMANDS`.

    Without a command on the line it is the one that `alone` names.
    """

    command_class = Command

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, tuple[str, str]] | None = None,
        alone: str = "list",
        **attributes: Any,
    ) -> None:
        super().__init__(*args, **attributes)
        self.lazy = lazy or {}
        self.alone = alone

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command: the whole first sentence, which click would cut."""
        lines = {name: line for name, (_, line) in self.lazy.items()}
        for name in self.list_commands(ctx):
            lines[name] = lines.get(name) or self.commands[name].get_short_help_str(200)
        with formatter.section("Commands"):
            formatter.write_dl([*lines.items()])

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names in the order in which they are declared."""
        return [*(name for name in self.commands if name not in self.lazy), *self.lazy]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the group's own options, and put its command in where the line names none."""
        if not (self.invoke_without_command or ctx.resilient_parsing):
            args = self._with_command(ctx, args)
        try:
            return super().parse_args(ctx, [*args])
        except click.NoSuchOption as fault:
            again = self.without_unknown(ctx, args, fault)
        return self.parse_args(ctx, again)

    def _with_command(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return arguments that name a command; options that are not the group's are its own."""
        try:
            _, words, _ = self.make_parser(ctx).parse_args([*args])
        except click.NoSuchOption:
            return [self.alone, *args]
        return args if words else [*args, self.alone]

    def _own(self, name: str) -> click.Command | None:
        """Return the command of this very name."""
        if name in self.lazy and name not in self.commands:
            module, _, attribute = self.lazy[name][0].partition(":")
            self.add_command(getattr(import_module(f"queuectl.{module}"), attribute or name), name)
        return self.commands.get(name)

    def find(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str, click.Command, list[str]] | None:
        """Return the command that words begin with, its name or path, and the words that follow.

        Words of other tools count. None: nobody knows the first word. Raises InvalidInput, with
        what to type instead, for a word that is only told that.
        """
        own = self._own(args[0])
        if own is not None:
            return str(own.name), own, args[1:]
        from queuectl.cli.unknown_words import find_by_habit

        return find_by_habit(self, ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, or that another tool's word stands for."""
        try:
            found = self.find(ctx, [cmd_name])
        except InvalidInput:
            return None
        return found[1] if found else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return what `find` does. Raises InvalidInput with what to type instead."""
        found = self.find(ctx, args)
        if found is None:
            from queuectl.cli.unknown_words import no_such_command

            raise no_such_command(self, ctx, args[0], args[1:])
        return found


class Root(Group):
    """The root, whose help is one screen; `help --all` shows a line for each command."""

    def get_help(self, _ctx: click.Context) -> str:
        """Return the commands in groups, and what to type first."""
        from queuectl.cli.overview import page  # which few command lines need

        return page(HELP_GROUPS, _help_width())

    def get_whole_help(self, ctx: click.Context) -> str:
        """Return every option, and every command with the first sentence of its help."""
        return super().get_help(ctx)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command, group by group."""
        from queuectl.cli.overview import names_in

        for title, names in HELP_GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.lazy[name][1]) for name in names_in(names)])


def _print_version(ctx: click.Context, _param: click.Parameter, is_asked: bool) -> None:
    """Print the version and leave; no other command has a use for it."""
    if not is_asked or ctx.resilient_parsing:
        return
    from queuectl.version import __version__

    click.echo(f"queuectl {__version__}")
    ctx.exit()


@click.group(
    cls=Root,
    lazy=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": [*HELP_NAMES], "max_content_width": _WIDEST_HELP},
    epilog="""
    queuectl enqueue hello "echo Hello"
    queuectl worker start --count 3
    queuectl status
    """,
)
@click.option(
    "--keep-going", is_flag=True, help="Lines from standard input: go on after a failure."
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False,
              callback=_print_version, help="Show the version and exit.")  # fmt: skip
@click.pass_context
def root(ctx: click.Context, keep_going: bool) -> int | None:
    """The job queue for shell commands. Without a command it opens the prompt."""
    if ctx.invoked_subcommand is not None:
        return None
    shell = root.get_command(ctx, "shell")
    assert shell is not None
    code: int = ctx.invoke(shell, file=None, keep_going=keep_going)
    return code


@click.group(
    cls=Group,
    lazy={**{name: COMMANDS[name] for name in JOB_COMMANDS}, **ONE_JOB_COMMANDS},
    epilog="queuectl jobs delete job1",
)
def jobs() -> None:
    """The commands on jobs, also under this name."""
