"""Batches: what one enqueue made under a name, as a whole."""

from __future__ import annotations

from typing import Any

import click

from queuectl.cli.bulk import CANCEL, RETRY, act_on_batch
from queuectl.cli.completions import BATCH_NAME
from queuectl.cli.filters import yes_option
from queuectl.cli.listing import clock_of
from queuectl.cli.root import Command, Group, examples, json_option
from queuectl.cli.session import Session, hint_at_missing_workers, pass_session
from queuectl.domain.field_checks import check_name
from queuectl.presentation import tables
from queuectl.presentation.batches import batch_as_dict, batch_columns, batch_lines
from queuectl.presentation.console import print_hint

name_argument = click.argument("name", metavar="NAME", type=BATCH_NAME)


@click.group(cls=Group, epilog="queuectl batch list")
def batch() -> None:
    """Batches: what one enqueue made under a name; list, wait, cancel, retry, results."""


@batch.command("list", epilog="queuectl batch list --json")
@json_option
@pass_session
def list_batches(session: Session, as_json: bool) -> None:
    """List the batches, the oldest first, with how far each has come."""
    queue = session.reading()
    found = list(queue.batches())
    if as_json:
        tables.write_json([batch_as_dict(each) for each in found])
    elif not session.table(found, batch_columns(clock_of(queue))):
        session.hint("no batches yet: queuectl enqueue --batch NAME --file jobs.jsonl")


@batch.command("show", epilog="queuectl batch show sweep1")
@name_argument
@json_option
@pass_session
def show_batch(session: Session, name: str, as_json: bool) -> None:
    """Show how a batch stands: its jobs by state, and what holds for all of them."""
    write_status(session, name, as_json=as_json)


def write_status(session: Session, name: str, *, as_json: bool) -> None:
    """Write how a batch stands. Raises NotFound."""
    queue = session.reading()
    found = queue.batch(check_name("batch", name))
    if as_json:
        tables.write_json(batch_as_dict(found))
        return
    tables.pairs(batch_lines(found, clock_of(queue)))
    if not found.is_over:
        print_hint(f"queuectl wait --batch {name} waits for the rest")


@batch.command("wait", epilog="queuectl batch wait sweep1 --timeout 3600")
@name_argument
@click.option("--timeout", metavar="SECONDS", help="Wait no longer; the exit code is then 124.")
@json_option
@pass_session
def wait_for(session: Session, name: str, timeout: str | None, as_json: bool) -> int:
    """Wait until all jobs of a batch have ended; 0 only if all are completed."""
    from queuectl.cli.batch_wait import wait_for_batch

    return wait_for_batch(session, name, timeout, as_json=as_json)


@batch.command("cancel", epilog="queuectl batch cancel sweep1")
@name_argument
@yes_option
@pass_session
def cancel_batch(session: Session, name: str, yes: bool) -> int:
    """Cancel what has not ended of a batch."""
    return act_on_batch(session, CANCEL, name, yes=yes)


@batch.command("retry", epilog="queuectl batch retry sweep1")
@name_argument
@yes_option
@pass_session
def retry_batch(session: Session, name: str, yes: bool) -> int:
    """Start those of a batch afresh that failed, are dead, or were cancelled."""
    code = act_on_batch(session, RETRY, name, yes=yes)
    hint_at_missing_workers(session.reading())
    return code


def _results_options(command: Any) -> Any:
    form = click.option("--format", "-o", "form", type=click.Choice(["table", "csv", "json"]),
                        help="Write a table, CSV or JSON.")  # fmt: skip
    return form(json_option(command))


@batch.command("results", epilog="queuectl batch results sweep1 --format csv")
@name_argument
@_results_options
@pass_session
def batch_results(session: Session, name: str, form: str | None, as_json: bool) -> None:
    """Show what became of each job of a batch, with its parameters and result."""
    from queuectl.cli.results import write_results

    write_results(session, name, "json" if as_json else form or "table")


@examples("""
    queuectl results --batch sweep1
    queuectl results --batch sweep1 --format csv > results.csv
""")
@click.command(cls=Command)
@click.argument("name", metavar="[NAME]", required=False, type=BATCH_NAME)
@click.option("--batch", type=BATCH_NAME, metavar="NAME", help="The batch.")
@_results_options
@pass_session
def results(
    session: Session, name: str | None, batch: str | None, form: str | None, as_json: bool
) -> None:
    """Show what became of each job of a batch: parameters, state, exit code, duration, result."""
    from queuectl.cli.results import named_once, write_results

    write_results(session, named_once(name, batch), "json" if as_json else form or "table")
