"""`results`: what became of each job of a batch, as a table, CSV or JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain, islice

from queuectl.cli.session import Session
from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import check_name
from queuectl.domain.job import Job
from queuectl.domain.query import Filter, Page
from queuectl.domain.text import printable
from queuectl.presentation import tables
from queuectl.presentation.batches import (
    COLUMNS_FROM,
    csv_lines,
    result_as_dict,
    result_columns,
)
from queuectl.queue import Queue


def named_once(name: str | None, option: str | None) -> str:
    """Return the batch that is named, as a word or as an option. Raises InvalidInput."""
    if (name is None) == (option is None):
        raise InvalidInput("name one batch", hint="queuectl results --batch NAME")
    return name or option or ""


def write_results(session: Session, name: str, form: str) -> None:
    """Write what became of the jobs of a batch. Raises NotFound."""
    queue = session.reading()
    queue.batch(check_name("batch", name))
    jobs = _jobs(queue, name)
    if form == "json":
        array = tables.JsonArray()
        for job in jobs:
            array.add(result_as_dict(job))
        array.close()
        return
    first = list(islice(jobs, COLUMNS_FROM))
    columns = result_columns(first, plain=form == "csv")
    rows = chain(first, jobs)
    if form == "csv":
        safe = printable if sys.stdout.isatty() else str
        for line in csv_lines(rows, columns, safe):
            sys.stdout.write(line)
        return
    with session.paged():
        tables.table(rows, columns, colors=session.colors)


def _jobs(queue: Queue, name: str) -> Iterator[Job]:
    return queue.find(Filter(batch=name), Page(with_output=True))
