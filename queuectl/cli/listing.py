"""A page of a listing of jobs: which, from where on, and how to get the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import reduce
from typing import Any, TypeVar

import click

from queuectl.cli.completions import JobId
from queuectl.cli.session import Session, on_terminal, print_hint
from queuectl.domain.job import Job
from queuectl.domain.query import Filter, Page
from queuectl.domain.views import as_dict
from queuectl.presentation import tables
from queuectl.queue import Queue

TEXT_LIMIT = 100
"""How many jobs text shows unless said."""

_F = TypeVar("_F", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N; 0 is all."),
    click.option("--after", type=JobId(), metavar="ID", help="Those after this one in the order."),
    click.option("--newest", is_flag=True, help="The latest that came first."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else."),
)


def page_options(function: _F) -> _F:
    """Give a command the options that say which page of a listing is wanted, and how."""
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), function)


def write_page(
    session: Session,
    chosen: Filter,
    columns: Callable[[tables.Clock], list[tables.Column[Job]]],
    options: dict[str, Any],
) -> bool:
    """Write the page that the options mean, as a table or as JSON; tell whether it is empty.

    Raises NotFound when the job after which it begins is gone.
    """
    queue, limit = session.reading(), options["limit"]
    after = queue.get(options["after"]).seq if options["after"] else 0
    if options["as_json"]:
        everything = Page(limit or None, after, options["newest"], True, True)
        _write_json(queue, chosen, everything)
        return False
    limit = TEXT_LIMIT if limit is None else limit
    page = _Page(queue, chosen, Page(limit or None, after, options["newest"]))
    clock = tables.Clock(queue.now(), on_terminal(), queue.wait_context())
    shown = tables.table(page, columns(clock), colors=session.colors)
    if page.last is not None:
        _tell_of_the_next(queue, chosen, shown, page.last)
    return not shown


class _Page:
    """The jobs of a page; afterwards `last` is the last of them if there are more."""

    def __init__(self, queue: Queue, chosen: Filter, page: Page) -> None:
        self._found = queue.find(chosen, replace(page, limit=page.limit and page.limit + 1))
        self._limit = page.limit
        self.last: Job | None = None

    def __iter__(self) -> Iterator[Job]:
        latest = None
        for number, job in enumerate(self._found):
            if number == self._limit:
                self.last = latest
                return
            yield job
            latest = job


def _write_json(queue: Queue, chosen: Filter, page: Page) -> None:
    """Write the jobs as one JSON array, with all of their fields."""
    array, wait_context = tables.JsonArray(), queue.wait_context()
    for job in queue.find(chosen, page):
        array.add(as_dict(job, queue.now(), wait_context))
    array.close()


def _tell_of_the_next(queue: Queue, chosen: Filter, shown: int, last: Job) -> None:
    total = queue.counts(deliveries=bool(chosen.deliveries)).matching(chosen)
    kind = "deliveries" if chosen.deliveries else "jobs"
    if total is None:
        what = f"{shown:,} {kind}, and there are more"
    else:
        what = f"{shown} of {total:,} {kind}"
    print_hint(f"{what}: --after {last.id} shows the next, --limit 0 all")
