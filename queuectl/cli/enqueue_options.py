"""The options of `enqueue`, `run` and `schedule add`, and what those of one line ask for.

Options are made from the fields of a job.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from queuectl.cli.completions import (
    BATCH_NAME,
    PRIORITY,
    QUEUE_NAME,
    EnqueueWord,
    JobId,
    OneOf,
    PathName,
)
from queuectl.cli.enqueue_words import (
    BUILTINS,
    MANY,
    InputJob,
    Source,
    WrittenJob,
    is_bare,
    read_words,
    split_at_dashes,
)
from queuectl.cli.late_options import Late, LateCommand, LateOptions, late
from queuectl.cli.root import with_options
from queuectl.cli.session import warn_if_missing
from queuectl.domain.errors import InvalidInput, QueuectlError
from queuectl.domain.frozen import frozen
from queuectl.domain.job_fields import ASKED, Field, Kind, bounds_of, command_text
from queuectl.domain.request import ALIASES, CHECKS, HOLD, TIME_FIELDS, Request, with_gpus
from queuectl.presentation.console import print_hint
from queuectl.queue import Queue
from queuectl.stores.records import BATCH
from queuectl.system.home import working_directory

if TYPE_CHECKING:
    from queuectl.cli.plain_lines import Lots
    from queuectl.domain.request import RequestForm
    from queuectl.domain.settings import Settings

BEFORE_DASHES, AFTER_DASHES = "queuectl.before_dashes", "queuectl.after_dashes"
"""Where the context of a command line keeps what stands before and after its first `--`."""

SOURCES = "queuectl.sources"
"""Where it keeps what `add` has behind `:::`."""

SWEEP_OPTIONS = ("array", "params", "param_files")

PARENT_FIELDS = frozenset(("after", "after_any", "after_fail"))
_COMPLETED: Mapping[str, click.ParamType[Any]] = {
    "queue": QUEUE_NAME,
    "batch": BATCH_NAME,
    "priority": PRIORITY,
    "cwd": PathName("dir"),
    "input": PathName(),
    "after": JobId(),
    "after_any": JobId(),
    "after_fail": JobId(),
}
"""What may stand for the value of an option; those with choices have these."""


def _choices_of(field: Field) -> OneOf | None:
    """Return what completes the values of a field that has but a few."""
    known = [(choice, "") for choice in field.choices]
    return OneOf(lambda _ctx: known, lower=True) if known else None


def _option_of(field: Field) -> Late:
    """Return the option that sets a field."""
    word = f"--{field.option.replace('_', '-')}"
    if field.kind is Kind.FLAG:
        return late(word, field.name, is_flag=True, help=field.help)
    return late(
        word,
        *([f"-{field.short}"] if field.short else ()),
        field.name,
        metavar=field.metavar or "VALUE",
        multiple=field.kind in (Kind.WORDS, Kind.PAIRS),
        type=_COMPLETED.get(field.name) or _choices_of(field),
        help=field.help + _default_of(field) + _range_of(field),
        hidden=field.is_hidden,
    )


def _default_of(field: Field) -> str:
    """Return where the default comes from that a person may change, as help texts say it."""
    return f" Default: the setting {field.setting}." if field.setting else ""


def _range_of(field: Field) -> str:
    """Return the bounds of a number as help texts end with them."""
    bounds = bounds_of(field)
    return f" [{bounds[0]:,}..{bounds[1]:,}]" if bounds else ""


_MOST_NOTES = 10
"""So many different notes of the jobs of a file are told."""

_BEFORE = (
    click.option("--id", "job_id", metavar="ID",
                 help="The id of the job; one is made if none is named."),
    click.option("--command", metavar="COMMAND",
                 help="The command, a line for /bin/sh, as an option."),
    click.option("--file", "-f", type=PathName(), metavar="FILE",
                 help="Read jobs as JSON from this file, or from standard input (-)."),
    click.option("--replace", is_flag=True,
                 help="Replace the job that has this id, unless it runs."),
)  # fmt: skip
_OF_GPUS = ("gpus", "gpu_memory")
_GPUS = (
    late("--gpus", metavar="N",
         help="Give it N GPUs of its own, as --need gpu=N does."),
    late("--gpu-memory", metavar="SIZE",
         help="Give it so much of a GPU's memory (10G), which others may share."),
)  # fmt: skip
_BEHIND = {
    "priority": (
        late("--at", "--run-at", "at", metavar="TIME",
             help="Start it at this time: 2030-01-31T14:30, 'tomorrow 9:00'."),
        late("--in", "--delay", "delay", metavar="TIME",
             help="Start it after this time: 90 (seconds), 5m, 1h."),
    ),
    "cwd": (
        late("--snapshot", is_flag=True,
             help="Run it in a checkout of this git work tree as it is now."),
    ),
    "env": (
        late("--env-file", type=PathName(), metavar="FILE",
             help="Set the variables of a file like .env for it."),
        late("--capture-env/--no-capture-env", default=None,
             help="Run it in the environment that this command has, or not. "
                          "Default: the setting capture_env."),
    ),
    "needs": _GPUS,
}  # fmt: skip
"""The options that set no field of their own, by the field behind whose option they stand."""

_BEHIND_OF_SCHEDULE = {
    "env": (
        late("--env-file", type=PathName(), metavar="FILE",
             help="Set the variables of a file, as it is now, for it."),
    ),
    "needs": _GPUS,
}  # fmt: skip

hold_option = click.option("--hold", is_flag=True, help="Paused until `resume` lets it go.")
"""What `run` does not have, as it would follow a job that does not begin."""

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Store nothing; say what would be stored, and when it is due."
)
"""What `run` does not have either."""

lines_option = click.option(
    "--lines", type=PathName(), metavar="FILE",
    help="Read commands, one a line, from this file, or from standard input (-).",
)  # fmt: skip
"""What only `enqueue` has, as the others store one job, or have their command behind them."""

sweep_options = with_options(
    click.option("--array", metavar="RANGE",
                 help="Make a job of each number: 1-100, 0-9:3, 1,4,7-9; 1-100%8 runs 8 at once."),
    click.option("--param", "params", multiple=True, metavar="NAME=VALUE,...",
                 help="Make a job of each value, and of each combination (repeat for more names)."),
    click.option("--param-file", "param_files", multiple=True, type=PathName(), metavar="FILE",
                 help="Make a job of each row of a CSV file with a line of names, or of JSON."),
)  # fmt: skip
"""Gives a command the options that make many jobs of one command."""

_LATE = LateOptions(
    each for name, field in ASKED.items() for each in (_option_of(field), *_BEHIND.get(name, ()))
)
_words_argument = click.argument(
    "words", nargs=-1, metavar="[ID] [COMMAND | JSON | @FILE]", type=EnqueueWord()
)


def enqueue_options(function: Any) -> Any:
    """Give the function of a `LateCommand` the words and options that say what to enqueue."""
    function = _words_argument(function)
    function.__click_params__.append(_LATE)  # their place among the others
    return with_options(*_BEFORE)(function)


schedule_options = with_options(
    *(
        click.option(*each.names, **each.attributes)
        for name, field in ASKED.items()
        if field.of_schedule
        for each in (_option_of(field), *_BEHIND_OF_SCHEDULE.get(name, ()))
    )
)
"""Gives a command the options that say what the jobs of a schedule are like."""


def fields_of(options: Mapping[str, Any]) -> dict[str, object]:
    """Return the fields that parsed options set. Raises InvalidInput for a bad variable."""
    fields: dict[str, object] = {}
    for name, field in ASKED.items():
        value = options.get(name)
        if value is None or value is False or value == ():
            continue
        if field.kind is Kind.PAIRS:
            value = variables(value, field.option)
        elif field.splits:
            value = [word for each in value for word in each.split(",")]
        elif field.kind is Kind.WORDS:
            value = list(value)
        fields[name] = value
    gpus = {name: options[name] for name in _OF_GPUS if options.get(name) is not None}
    return {**with_gpus({**fields, **gpus})}


def variables(words: Sequence[str], option: str = "env") -> dict[str, str]:
    """Return pairs given as NAME=VALUE, environment variables most often. Raises InvalidInput."""
    pairs: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidInput(f"--{option} '{word}' must be NAME=VALUE")
        pairs[name] = value
    return pairs


class EnqueueCommand(LateCommand):
    """A command whose words after `--` are an argument list, kept as typed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set the words after the first `--` aside before click sees them."""
        own, ctx.meta[AFTER_DASHES] = split_at_dashes(args)
        ctx.meta[BEFORE_DASHES] = own
        return super().parse_args(ctx, own)

    def without_unknown(
        self, ctx: click.Context, args: list[str], fault: click.NoSuchOption
    ) -> list[str]:
        """Return arguments with our own option for one that is unknown.

        Raises InvalidInput, naming `--`, where it stands among the words of a command.
        """
        if line := self._with_dashes(ctx, args):
            hint = f"put -- before the command: {ctx.command_path} {line}"
            raise InvalidInput(f"no such option '{fault.option_name}'", hint) from None
        again, behind = super().without_unknown(ctx, args, fault), ctx.meta[AFTER_DASHES]
        return again if behind is None else [*again, "--", *behind]

    def _with_dashes(self, ctx: click.Context, own: list[str]) -> str:
        """Return arguments with `--` before the command whose words stand there without quotes.

        Empty where there is none, so that an unknown option is one of ours, mistyped.
        """
        parser = self.make_parser(ctx)
        parser.ignore_unknown_options = True
        words: Sequence[str] = parser.parse_args([*own])[0].get("words") or ()
        if not words or words[0].startswith("-") or any(" " in word for word in words):
            return ""
        if not _is_program(words[0]) and ("/" in words[1] or _is_program(words[1])):
            return ""  # an id and a command
        at = own.index(words[0])
        return command_text((*own[:at], "--", *own[at:]))

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show in the usage line that an argument list is possible."""
        return [*super().collect_usage_pieces(ctx), "[-- ARGUMENT...]"]


def after_dashes(ctx: click.Context) -> list[str] | None:
    """Return the words after `--` on the line of an `EnqueueCommand`, or None without it."""
    words: list[str] | None = ctx.meta.get(AFTER_DASHES)
    return words


def requests_of(jobs: Sequence[InputJob]) -> Sequence[Request]:
    """Return the requests of the jobs that have one."""
    if not isinstance(jobs, list):
        from queuectl.cli.plain_lines import PlainJobs  # of files with many lines only

        if isinstance(jobs, PlainJobs):
            return jobs.requests
    return [job.result for job in jobs if isinstance(job.result, Request)]


@frozen
class EnqueueOptions:
    """What the words and options of one command line ask for."""

    source: Source
    fields: dict[str, object]
    replace: bool
    cwd: str
    is_trial: bool = False

    def items(self) -> Iterator[Sequence[WrittenJob]]:
        """Return jobs as they were written, some at a time; the first are read at once.

        Raises InvalidInput.
        """
        if self.source.command is not None:
            return iter([[WrittenJob({"command": self.source.command})]])
        from queuectl.cli import job_input

        if self.source.file is not None:
            read = job_input.from_lines if self.source.is_lines else job_input.from_file
            return read(self.source.file)
        return job_input.from_text(self.source.json or "")

    @property
    def is_single(self) -> bool:
        """Whether at most one job can be meant."""
        is_object = (self.source.json or "").lstrip().startswith("{")
        return self.source.command is not None or is_object

    def jobs(
        self,
        items: Iterator[Sequence[WrittenJob]],
        queue: Queue,
        settings: Settings | None = None,
    ) -> Iterator[Sequence[InputJob]]:
        """Yield what jobs ask for, in order, or why it cannot be: those that are stored at once.

        What they do not name they have from `settings`, else from those in force.

        Raises NotFound for a parent that is named by its place among the jobs of this terminal.
        """
        for name in PARENT_FIELDS & self.fields.keys():
            self.fields[name] = parents_named(self.fields[name], queue)
        form = queue.form(settings, cwd=self.cwd, replace=self.replace, is_trial=self.is_trial)
        directories: dict[str | None, bool] = {} if "cwd" in self.fields else {self.cwd: True}
        said: set[str] = set()
        lots: Lots | None = None
        for block in items:
            model = None if len(block) < MANY else self._model(queue, form, said)
            if model is None:
                for start in range(0, len(block), BATCH):
                    some = block[start : start + BATCH]
                    yield self._each(some, queue, form, directories, said)
                continue
            from queuectl.cli.plain_lines import Lots, PlainJobs

            lots = lots or Lots(form, model)
            for lot in lots.of(block):
                if isinstance(lot, PlainJobs):
                    yield lot
                else:
                    yield self._each(lot, queue, form, directories, said)

    def _model(self, queue: Queue, form: RequestForm, said: set[str]) -> Request | None:
        """Return what the options say of all jobs; None where each one is to be looked at."""
        if not (self.fields or form.settings.capture_env):
            return form.model()
        if not self.fields.keys().isdisjoint(("id", "command", "cwd")):
            return None
        try:
            model = self._request(WrittenJob({"command": "true"}), queue, form)
        except QueuectlError:
            return None  # is told of with the place of each
        _say_once(model.notes, said)
        return model

    def _each(
        self,
        some: Sequence[WrittenJob],
        queue: Queue,
        form: RequestForm,
        directories: dict[str | None, bool],
        said: set[str],
    ) -> list[InputJob]:
        """Return what jobs ask for that are looked at one by one."""
        jobs: list[InputJob] = []
        for item in some:
            try:
                request = self._request(item, queue, form)
            except QueuectlError as fault:
                jobs.append(InputJob(item.where, fault))
                continue
            _say_once(request.notes, said, item.where)
            warn_if_missing(request.spec.cwd, directories, item.where)
            jobs.append(InputJob(item.where, request))
        return jobs

    def _request(self, item: WrittenJob, queue: Queue, form: RequestForm) -> Request:
        """Return what one job asks for, with what the options say of all. Raises QueuectlError."""
        if item.fields is None:
            raise item.error or InvalidInput("nothing to enqueue")
        fields = _overridden(item.fields, self.fields) if self.fields else item.fields
        if "cwd" in fields or not CHECKS.keys() >= fields.keys():
            from queuectl.queue.requests import absolute_cwd

            fields = absolute_cwd(fields, self.cwd)  # else the form knows where it runs
        return queue.request(fields, form=form)


def _say_once(notes: Iterable[str], said: set[str], where: str = "") -> None:
    """Tell what there is to note of a job at a place, unless it was said of one before it."""
    for line in notes:
        if line not in said and len(said) < _MOST_NOTES:
            said.add(line)
            print_hint(f"{where}: {line}" if where else line)


def options_from(ctx: click.Context, options: dict[str, Any]) -> EnqueueOptions:
    """Return what the parsed options of `enqueue_options` ask for. Raises InvalidInput."""
    words = options["words"]
    source = read_words(
        words,
        after_dashes(ctx),
        command=options["command"],
        file=options["file"],
        lines=options.get("lines"),
        job_id=options["job_id"],
        verb=ctx.command.name or "enqueue",
    )
    if len(words) == 2 and _is_program(words[0]):
        if is_bare(words[1]) and not _is_program(words[1]):
            raise _one_command(ctx, words)
        print_hint(
            f"note: '{words[0]}' is taken as the id; quotes around all of it make it the command"
        )
    if options.get("at") is not None and options.get("delay") is not None:
        raise InvalidInput("--at and --in cannot both be given")
    others = {
        "env_file": options.get("env_file"),
        "capture_env": options.get("capture_env"),
        "snapshot": options.get("snapshot") or None,
        HOLD: options.get("hold") or None,
        "id": source.id,
        "at": options.get("at"),
        "in": options.get("delay"),
    }
    fields = fields_of(options) | {
        name: value for name, value in others.items() if value is not None
    }
    return EnqueueOptions(
        source, fields, options["replace"], str(working_directory(options.get("cwd"))),
        options.get("dry_run", False),
    )  # fmt: skip


def _one_command(ctx: click.Context, words: Sequence[str]) -> InvalidInput:
    """Return the refusal of two words that are a program and its argument, not id and command."""
    own: list[str] = ctx.meta[BEFORE_DASHES]
    typed = own[own.index(words[0]) : len(own) - own[::-1].index(words[1])]
    path = ctx.command_path
    return InvalidInput(
        f"'{words[0]}' is a program, and '{words[1]}' is none, so this is no id with a command",
        hint=f'{path} -- {command_text(tuple(typed))}, or {path} ID "{" ".join(typed)}"',
    )


def parents_named(ids: object, queue: Queue) -> object:
    """Return the ids of parents with the id in the place of `@last` and the like."""
    words = ids if isinstance(ids, list) else []
    return [queue.resolve(word) if word.startswith("@") else word for word in words]


def _is_program(word: str) -> bool:
    """Whether a word is the name of a program on PATH, or of a command that the shell has."""
    if word in BUILTINS:
        return True
    directories = os.environ.get("PATH", "").split(os.pathsep)
    paths = [f"{directory}/{word}" for directory in directories if directory]
    return any(os.access(path, os.X_OK) and not os.path.isdir(path) for path in paths)  # noqa: PTH112  # the start does without pathlib


def _overridden(fields: dict[str, object], options: dict[str, object]) -> dict[str, object]:
    """Return a job's fields with the options over them; variables and labels are added up."""
    by_slot = {_slot(option): option for option in options}
    merged = dict(options)
    kept: dict[str, object] = {}
    for name, value in fields.items():
        option = by_slot.get(_slot(name))
        if option is None:
            kept[name] = value
            continue
        over = options[option]
        if isinstance(over, dict) and isinstance(value, dict):
            merged[option] = {**value, **over}
        elif isinstance(over, list) and isinstance(value, list):
            merged[option] = [*value, *over]
    return {**kept, **merged}


def _slot(name: str) -> str:
    """Return what a field's name stands for, so that an option finds the field it overrides."""
    key = name.strip().lower().replace("-", "_")
    return "run_at" if key in TIME_FIELDS else ALIASES.get(key, key)
