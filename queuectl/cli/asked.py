"""What the words and options of `enqueue` and `run` ask for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from queuectl.cli.params import EnqueueWord, JobId, ParentRule, PathName, Priority, QueueName
from queuectl.cli.session import note
from queuectl.cli.tree import Command
from queuectl.cli.words import Item, Source, read_words, split_at_dashes
from queuectl.domain.errors import InvalidInput, QueuectlError
from queuectl.domain.request import ALIASES, FIELDS, TIME_FIELDS, Request
from queuectl.domain.values import frozen
from queuectl.home import working_directory
from queuectl.queue import Queue
from queuectl.stores.base import BATCH

if TYPE_CHECKING:
    from queuectl.domain.form import Form

_AFTER_DASHES = "queuectl.after_dashes"

QUEUE_OPTIONS = (
    click.option(
        "--queue", type=QueueName(), metavar="NAME", help="The queue; `default` unless said."
    ),
    click.option(
        "--priority", type=Priority(), metavar="N", help="Higher first; or low, normal, high."
    ),
)
POLICY_OPTIONS = (
    click.option("--timeout", metavar="SECONDS", help="How long one run may take; 0: no limit."),
    click.option("--max-retries", metavar="N", help="Attempts in all before the DLQ."),
    click.option("--backoff-base", metavar="N", help="A retry waits base ** attempts seconds."),
    click.option("--backoff-cap", metavar="SECONDS", help="The longest wait before a retry."),
)
PLACE_OPTIONS = (
    click.option(
        "--cwd", type=PathName("dir"), metavar="DIR", help="Where it runs; here unless said."
    ),
    click.option("--env", metavar="K=V", multiple=True, help="An environment variable (repeat)."),
)
PARENTS_OPTION = click.option(
    "--on-parent-failure",
    type=ParentRule(),
    metavar="RULE",
    help="When one in --after is dead or cancelled: `wait` for its retry, or `cancel`.",
)
"""Options that mean the same for a job and for the runs of a schedule."""

_SPEC_OPTIONS = (
    click.option("--id", "job_id", metavar="ID", help="The job's id; made if missing."),
    click.option("--command", metavar="COMMAND", help="The command, a line for /bin/sh."),
    click.option(
        "--file", "-f", type=PathName(), metavar="FILE", help="Jobs as JSON; - is standard input."
    ),
    click.option("--replace", is_flag=True, help="Replace a job of this id unless it runs."),
    *QUEUE_OPTIONS,
    click.option(
        "--at", "--run-at", "at", metavar="TIME", help="When: 2030-01-31T14:30, 'tomorrow 9:00'."
    ),
    click.option("--in", "--delay", "delay", metavar="TIME", help="How long from now: 90, 5m, 1h."),
    *POLICY_OPTIONS,
    *PLACE_OPTIONS,
    click.option(
        "--env-file", type=PathName(), metavar="FILE", help="Variables from a file like .env."
    ),
    click.option("--capture-env", is_flag=True, help="Run it in the environment of this command."),
    click.option("--clean-env", is_flag=True, help="Give it PATH, HOME, LANG and --env alone."),
    click.option(
        "--after",
        type=JobId(),
        metavar="ID",
        multiple=True,
        help="Start when this job has succeeded (repeat).",
    ),
    click.option(
        "--after-any",
        type=JobId(),
        metavar="ID",
        multiple=True,
        help="Start when this job has ended, however it did (repeat).",
    ),
    click.option(
        "--after-fail",
        type=JobId(),
        metavar="ID",
        multiple=True,
        help="Start when this job has failed for good (repeat).",
    ),
    PARENTS_OPTION,
    click.option("--slots", metavar="N", help="How much of its queue's limit it takes; 1."),
    click.option(
        "--unique", metavar="KEY", help="Only one job with this key waits or runs at a time."
    ),
    click.option("--label", metavar="LABEL", multiple=True, help="A label to find it by (repeat)."),
)
_FIELD_OPTIONS = (
    "queue priority timeout max_retries backoff_base backoff_cap cwd slots unique env_file "
    "on_parent_failure"
)
_FLAG_OPTIONS = "capture_env clean_env"
_LIST_OPTIONS = {
    "label": "labels", "after": "after", "after_any": "after_any", "after_fail": "after_fail",
}  # fmt: skip
"""Options that may be repeated, and the field that each fills."""


def spec_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the words and options that say what to enqueue."""
    words = click.argument(
        "words", nargs=-1, metavar="[ID] [COMMAND | JSON | @FILE]", type=EnqueueWord()
    )
    return reduce(lambda made, option: option(made), reversed(_SPEC_OPTIONS), words(function))


class EnqueueCommand(Command):
    """A command whose words after `--` are an argument list, kept as typed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set the words after the first `--` aside before click sees them."""
        own, ctx.meta[_AFTER_DASHES] = split_at_dashes(args)
        return super().parse_args(ctx, own)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show in the usage line that an argument list is possible."""
        return [*super().collect_usage_pieces(ctx), "[-- ARGUMENT...]"]


def after_dashes(ctx: click.Context) -> tuple[str, ...] | None:
    """Return the words after `--` on the line of an `EnqueueCommand`, or None without it."""
    words = ctx.meta.get(_AFTER_DASHES)
    return None if words is None else tuple(words)


def variables(words: Sequence[str]) -> dict[str, str]:
    """Return environment variables given as NAME=VALUE. Raises InvalidInput."""
    return dict(_pair(word) for word in words)


class Entry(NamedTuple):
    """One job of a batch: where it stands, and its request or why there is none."""

    where: str
    result: Request | QueuectlError


@frozen
class Asked:
    """What the words and options of one command line ask for."""

    source: Source
    fields: dict[str, object]
    replace: bool
    cwd: str

    def items(self) -> Iterator[Item]:
        """Return every job as it was written; the first is read at once. Raises InvalidInput."""
        if self.source.command is not None:
            return iter([Item({"command": self.source.command})])
        from queuectl.cli import reader

        if self.source.file is not None:
            return reader.from_file(self.source.file)
        return reader.from_text(self.source.json or "")

    @property
    def is_batch(self) -> bool:
        """Whether the jobs come from a file."""
        return self.source.file is not None

    @property
    def is_single(self) -> bool:
        """Whether at most one job can be meant."""
        is_object = (self.source.json or "").lstrip().startswith("{")
        return self.source.command is not None or is_object

    def entries(self, items: Iterator[Item], queue: Queue) -> Iterator[Entry]:
        """Yield every job of `items` as it is asked for, in order, or why it cannot be."""
        form = queue.form(cwd=self.cwd, replace=self.replace)
        directories: dict[str | None, bool] = {} if "cwd" in self.fields else {self.cwd: True}
        while some := list(islice(items, BATCH)):
            plain = None if self.fields else form.fill_plain([item.fields or {} for item in some])
            if plain is None:
                yield from self._entries_of(some, queue, form, directories)
            else:
                yield from map(Entry, [item.where for item in some], plain)

    def _entries_of(
        self,
        items: Sequence[Item],
        queue: Queue,
        form: Form,
        directories: dict[str | None, bool],
    ) -> Iterator[Entry]:
        for item in items:
            try:
                if item.fields is None:
                    raise item.error or InvalidInput("nothing to enqueue")
                request = queue.request(self._completed(item.fields), form=form)
            except QueuectlError as fault:
                yield Entry(item.where, fault)
                continue
            if request.notes:
                _pass_on(request.notes, item.where)
            if request.spec.cwd not in directories:
                from queuectl.cli.directories import warn_if_missing

                warn_if_missing(request.spec.cwd, directories, item.where)
            yield Entry(item.where, request)

    def _completed(self, fields: dict[str, object]) -> dict[str, object]:
        """Return the fields of one job with what the options say of all."""
        if self.fields:
            fields = _overridden(fields, self.fields)
        if "cwd" not in fields and FIELDS.issuperset(fields):
            return fields  # the form knows where it runs then
        from queuectl.written import absolute_cwd

        return absolute_cwd(fields, self.cwd)


def _pass_on(notes: Sequence[str], where: str) -> None:
    for line in notes:
        note(f"{where}: {line}" if where else line)


def asked_from(ctx: click.Context, options: dict[str, Any]) -> Asked:
    """Return what the parsed options of `spec_options` ask for. Raises InvalidInput."""
    source = read_words(
        options["words"],
        ctx.meta.get(_AFTER_DASHES),
        command=options["command"],
        file=options["file"],
        job_id=options["job_id"],
        verb=ctx.command.name or "enqueue",
    )
    if len(options["words"]) == 2 and _is_program(options["words"][0]):
        note(
            f"note: '{options['words'][0]}' is taken as the id; "
            f"quotes around all of it make it the command"
        )
    fields: dict[str, object] = {
        name: options[name] for name in _FIELD_OPTIONS.split() if options[name] is not None
    }
    fields |= {name: True for name in _FLAG_OPTIONS.split() if options[name]}
    if source.id is not None:
        fields["id"] = source.id
    if options["at"] is not None and options["delay"] is not None:
        raise InvalidInput("--at and --in cannot both be given")
    for name, word in (("at", options["at"]), ("in", options["delay"])):
        if word is not None:
            fields[name] = word
    if options["env"]:
        fields["env"] = variables(options["env"])
    for option, name in _LIST_OPTIONS.items():
        if options[option]:
            fields[name] = [word for given in options[option] for word in _listed(option, given)]
    cwd = str(working_directory(options["cwd"]))
    return Asked(source, fields, options["replace"], cwd)


def _listed(option: str, given: str) -> list[str]:
    """Return the ids in one use of an option; labels may hold commas."""
    return [given] if option == "label" else given.split(",")


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise InvalidInput(f"--env '{word}' must be NAME=VALUE")
    return name, value


def _is_program(word: str) -> bool:
    """Whether a word is the name of a program on PATH."""
    directories = os.environ.get("PATH", "").split(os.pathsep)
    return any(os.access(f"{directory}/{word}", os.X_OK) for directory in directories if directory)


def _overridden(fields: dict[str, object], options: dict[str, object]) -> dict[str, object]:
    """Return a job's fields with the options over them; variables and labels are added up."""
    merged = dict(options)
    kept: dict[str, object] = {}
    for name, value in fields.items():
        over = next((option for option in options if _slot(option) == _slot(name)), None)
        if over is None:
            kept[name] = value
            continue
        asked = options[over]
        if isinstance(asked, dict) and isinstance(value, dict):
            merged[over] = {**value, **asked}
        elif isinstance(asked, list) and isinstance(value, list):
            merged[over] = [*value, *asked]
    return {**kept, **merged}


def _slot(name: str) -> str:
    """Return what a field's name stands for, so that an option finds the field it overrides."""
    key = name.strip().lower().replace("-", "_")
    return "run_at" if key in TIME_FIELDS else ALIASES.get(key, key)


def requests_of(entries: Sequence[Entry]) -> list[Request]:
    """Return the requests among the entries."""
    return [entry.result for entry in entries if isinstance(entry.result, Request)]
