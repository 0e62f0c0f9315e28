"""`import --from`: what another program keeps, taken line by line, and told so."""

from __future__ import annotations

import getpass
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from queuectl.cli.completions import QUEUE_NAME, OneOf
from queuectl.cli.root import Option, json_option, with_options
from queuectl.cli.session import Session, hint_at_missing_workers
from queuectl.domain.errors import ExitCode, InvalidInput
from queuectl.domain.frozen import replace
from queuectl.domain.text import counted
from queuectl.presentation import tables
from queuectl.presentation.console import on_terminal, print_hint, print_line
from queuectl.presentation.tables import Column
from queuectl.system.home import working_directory
from queuectl.transfer import foreign
from queuectl.transfer.foreign.crontab import DIALECTS
from queuectl.transfer.foreign.entry import QUEUE, SCHEDULE, Context, with_digests
from queuectl.transfer.foreign.intake import KNOWN, LEFT, REFUSED, TAKEN, Intake, Taken

STANDARD_INPUT = "-"
_STYLES = {TAKEN: "green", KNOWN: "dim", LEFT: "yellow", REFUSED: "red"}


def import_foreign(session: Session, source: str, file: str | None, options: dict[str, Any]) -> int:
    """Take in what a file of another program says; return the code of the first refusal."""
    read = foreign.reader_of(source)
    data, context = _input(source, file, options)
    entries = list(with_digests(source, read(data, context)))  # before a store is made
    if not entries:
        raise InvalidInput("there is nothing in it to import")
    dry_run = options["dry_run"]
    queue = session.trying_out() if dry_run else session.queue()
    intake = Intake(queue, _over(options), dry_run=dry_run, overlaps=options["overlap"])
    taken = list(intake.take(entries))
    if options["as_json"]:
        tables.write_json([each.as_dict() for each in taken])
    else:
        _write(session, taken, dry_run=dry_run)
    number = sum(each.result == TAKEN for each in taken)
    if number and not dry_run:
        queue.note("import", number=number, about=f"from {source}")
        hint_at_missing_workers(queue)
    is_refused = any(each.result == REFUSED for each in taken)
    return ExitCode.USAGE if is_refused else ExitCode.OK


def _over(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that go before those of each line."""
    given = {"queue": options["queue"], "max_retries": options["max_retries"]}
    return {name: value for name, value in given.items() if value is not None}


def _input(source: str, file: str | None, options: dict[str, Any]) -> tuple[bytes, Context]:
    """Return the bytes to read, none of a directory, and what is known beside them."""
    is_stdin = file is None or file == STANDARD_INPUT
    path = None if file is None or is_stdin else Path(file)
    context = replace(
        context_of(file if path else None),
        path=path,
        dialect=options["dialect"],
        is_system=options["system"],
        with_env=options["with_env"],
        strict=options["strict"],
    )
    if path is None:
        if sys.stdin.isatty():
            raise InvalidInput(
                "name a file, or - for standard input", hint=f"queuectl import --from {source} FILE"
            )
        return sys.stdin.buffer.read(), context
    if path.is_dir():
        if source not in foreign.OF_DIRECTORIES:
            raise InvalidInput(f"{file} is a directory", hint="name a file in it")
        return b"", context
    try:
        return path.read_bytes(), context
    except OSError as fault:
        raise InvalidInput(f"cannot read {file}: {fault.strerror}") from fault


def context_of(file: str | None = None) -> Context:
    """Return what is known of whoever asks; a `file` that is named must be reachable from here."""
    return Context(
        user=_user(),
        uid=os.geteuid(),
        home=str(Path("~").expanduser()),
        cwd=str(working_directory(file)),
    )


def _user() -> str:
    """Return the name of the user whose jobs these are to be."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return getpass.getuser()


def _write(session: Session, taken: list[Taken], *, dry_run: bool) -> None:
    session.table(taken, _columns())
    if on_terminal():  # where a long remark is cut
        for each in taken:
            remarks = [each.why] if each.result == REFUSED else each.entry.changes
            if remarks and each.result in (TAKEN, REFUSED):
                print_hint(f"{each.entry.where or f'line {each.entry.line}'}: {'; '.join(remarks)}")
    kinds = Counter(each.entry.kind for each in taken if each.result == TAKEN)
    parts = [
        counted(kinds[kind], kind)
        for kind in ("job", SCHEDULE, QUEUE)
        if kinds[kind] or (kind == "job" and not kinds)
    ]
    print_line(f"{'Would import' if dry_run else 'Imported'} {' and '.join(parts)}")
    results = Counter(each.result for each in taken)
    others = [
        f"{results[result]:,} {words}"
        for result, words in ((REFUSED, "refused"), (LEFT, "left"), (KNOWN, "imported before"))
        if results[result]
    ]
    if others:
        print_hint(", ".join(others))


def _columns() -> list[Column[Taken]]:
    """Return the columns of the table; why a line is refused never gives way."""
    return [
        Column("LINE", _place),
        Column("AS", _taken_as, style=lambda each: _STYLES[each.result]),
        Column("NAME", lambda each: each.name, yields=2),
        Column("COMMAND", lambda each: _first_line(each.entry.text), yields=1),
        Column("REMARKS", lambda each: "; ".join(_remarks(each))),
    ]


def _place(each: Taken) -> str:
    return each.entry.where or str(each.entry.line)


def _taken_as(each: Taken) -> str:
    return each.entry.kind if each.result == TAKEN else each.result


def _first_line(text: str) -> str:
    first, newline, _ = text.strip().partition("\n")
    return f"{first} …" if newline else first


def _remarks(each: Taken) -> Iterator[str]:
    if each.why:
        yield each.why
    elif each.result == TAKEN:
        yield from each.notes
        yield from each.entry.changes


def _formats(_ctx: click.Context) -> list[tuple[str, str]]:
    return [*foreign.FORMATS.items()]


foreign_options: Option = with_options(
    click.option("--from", "source", type=OneOf(_formats, lower=True), metavar="FORMAT",
                 help=f"What FILE is of: {', '.join(foreign.FORMATS)}."),
    click.option("--dry-run", is_flag=True, help="Show what each line becomes, and take nothing."),
    click.option("--queue", "-q", type=QUEUE_NAME, metavar="NAME",
                 help="The queue of all jobs that are taken."),
    click.option("--max-retries", metavar="N",
                 help="Attempts in all; as the other program did it."),
    click.option("--no-overlap", "overlap", flag_value=False, type=bool, default=None,
                 help="No run of a schedule while an earlier one waits or runs."),
    click.option("--dialect", type=click.Choice(DIALECTS), help="Whose crontab it is."),
    click.option("--system/--no-system", default=None,
                 help="Whether lines of a crontab name users, and units are the system's."),
    click.option("--with-env", is_flag=True, help="Take the environments of pueue's tasks too."),
    click.option("--strict", is_flag=True, help="Refuse lines whose quotes are lost."),
    json_option,
)  # fmt: skip
"""The options of `import` that are for files of other programs."""
