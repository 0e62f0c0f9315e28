"""What the words and options of `enqueue` and `run` ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from queuectl.cli.enqueue_words import Source, WrittenJob, read_words, split_at_dashes
from queuectl.cli.job_options import fields_of
from queuectl.cli.root import Command
from queuectl.cli.session import print_hint
from queuectl.domain.errors import InvalidInput, QueuectlError
from queuectl.domain.frozen import frozen
from queuectl.domain.request import ALIASES, CHECKS, TIME_FIELDS, Request
from queuectl.queue import Queue
from queuectl.stores.base import BATCH
from queuectl.system.home import working_directory

if TYPE_CHECKING:
    from queuectl.domain.request import RequestForm

_AFTER_DASHES = "queuectl.after_dashes"


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


class InputJob(NamedTuple):
    """One job of a batch: where it stands, and its request or why there is none."""

    where: str
    result: Request | QueuectlError


@frozen
class EnqueueOptions:
    """What the words and options of one command line ask for."""

    source: Source
    fields: dict[str, object]
    replace: bool
    cwd: str

    def items(self) -> Iterator[WrittenJob]:
        """Return every job as it was written; the first is read at once. Raises InvalidInput."""
        if self.source.command is not None:
            return iter([WrittenJob({"command": self.source.command})])
        from queuectl.cli import job_input

        if self.source.file is not None:
            return job_input.from_file(self.source.file)
        return job_input.from_text(self.source.json or "")

    @property
    def is_batch(self) -> bool:
        """Whether the jobs come from a file."""
        return self.source.file is not None

    @property
    def is_single(self) -> bool:
        """Whether at most one job can be meant."""
        is_object = (self.source.json or "").lstrip().startswith("{")
        return self.source.command is not None or is_object

    def entries(self, items: Iterator[WrittenJob], queue: Queue) -> Iterator[InputJob]:
        """Yield every job of `items` as it is asked for, in order, or why it cannot be."""
        form = queue.form(cwd=self.cwd, replace=self.replace)
        directories: dict[str | None, bool] = {} if "cwd" in self.fields else {self.cwd: True}
        while some := list(islice(items, BATCH)):
            plain = None if self.fields else form.fill_plain([item.fields or {} for item in some])
            if plain is None:
                yield from self._entries_of(some, queue, form, directories)
            else:
                yield from map(InputJob, [item.where for item in some], plain)

    def _entries_of(
        self,
        items: Sequence[WrittenJob],
        queue: Queue,
        form: RequestForm,
        directories: dict[str | None, bool],
    ) -> Iterator[InputJob]:
        for item in items:
            try:
                if item.fields is None:
                    raise item.error or InvalidInput("nothing to enqueue")
                request = queue.request(self._completed(item.fields), form=form)
            except QueuectlError as fault:
                yield InputJob(item.where, fault)
                continue
            if request.notes:
                _pass_on(request.notes, item.where)
            if request.spec.cwd not in directories:
                from queuectl.cli.working_directory import warn_if_missing

                warn_if_missing(request.spec.cwd, directories, item.where)
            yield InputJob(item.where, request)

    def _completed(self, fields: dict[str, object]) -> dict[str, object]:
        """Return the fields of one job with what the options say of all."""
        if self.fields:
            fields = _overridden(fields, self.fields)
        if "cwd" not in fields and CHECKS.keys() >= fields.keys():
            return fields  # the form knows where it runs then
        from queuectl.queue.python_jobs import absolute_cwd

        return absolute_cwd(fields, self.cwd)


def _pass_on(notes: Sequence[str], where: str) -> None:
    for line in notes:
        print_hint(f"{where}: {line}" if where else line)


def options_from(ctx: click.Context, options: dict[str, Any]) -> EnqueueOptions:
    """Return what the parsed options of `enqueue_options` ask for. Raises InvalidInput."""
    source = read_words(
        options["words"],
        ctx.meta.get(_AFTER_DASHES),
        command=options["command"],
        file=options["file"],
        job_id=options["job_id"],
        verb=ctx.command.name or "enqueue",
    )
    if len(options["words"]) == 2 and _is_program(options["words"][0]):
        print_hint(
            f"note: '{options['words'][0]}' is taken as the id; "
            f"quotes around all of it make it the command"
        )
    fields = fields_of(options)
    if options["env_file"] is not None:
        fields["env_file"] = options["env_file"]
    if options["capture_env"]:
        fields["capture_env"] = True
    if source.id is not None:
        fields["id"] = source.id
    if options["at"] is not None and options["delay"] is not None:
        raise InvalidInput("--at and --in cannot both be given")
    for name, word in (("at", options["at"]), ("in", options["delay"])):
        if word is not None:
            fields[name] = word
    cwd = str(working_directory(options["cwd"]))
    return EnqueueOptions(source, fields, options["replace"], cwd)


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


def requests_of(entries: Sequence[InputJob]) -> list[Request]:
    """Return the requests among the entries."""
    return [entry.result for entry in entries if isinstance(entry.result, Request)]
