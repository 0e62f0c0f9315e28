"""A listing of jobs: which of them, in which order, and how they are written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import click

from queuectl.cli.completions import COLUMN_NAMES, ORDERS, JobId
from queuectl.cli.root import Command, json_option, with_options
from queuectl.cli.session import Session
from queuectl.domain.errors import InvalidInput, nearest
from queuectl.domain.frozen import frozen, replace
from queuectl.domain.job import SETTLED, WAITING, Job, State
from queuectl.domain.query import Filter, Order, Page
from queuectl.domain.views import as_dict
from queuectl.presentation import tables
from queuectl.presentation.console import on_terminal, print_hint
from queuectl.queue import Queue

TEXT_LIMIT = 100
"""How many jobs text shows unless said."""

_WAITING_SHARE, _ENDED_SHARE = 5, 10
"""Of a listing of all, such a part at least is kept for those that wait, and that have ended."""

_DOWNWARDS = frozenset({
    Order.PRIORITY, Order.ATTEMPTS, Order.STARTED, Order.ENDED, Order.CHANGED, Order.DURATION,
})  # fmt: skip
"""The orders that begin with the greatest or latest unless they are reversed."""

Columns = Callable[[tables.Clock], list[tables.Column[Job]]]


class ListCommand(Command):
    """A command that lists: `--wide` alone means `--wide=yes`, whatever follows it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        return super().parse_args(ctx, ["--wide=yes" if arg == "--wide" else arg for arg in args])


page_options = with_options(
    click.option("--limit", "-n", type=click.IntRange(min=0), metavar="N",
                 help="At most N jobs, 100 unless said; 0 is all. JSON and CSV have all."),
    click.option("--all", "-a", "every", is_flag=True, help="All jobs, as --limit 0."),
    click.option("--after", type=JobId(), metavar="ID",
                 help="Those that came after this one; with --newest, before it."),
    click.option("--newest", is_flag=True, help="In order of arrival, the latest first."),
    click.option("--sort", type=ORDERS, metavar="KEY",
                 help=f"By one of {', '.join(Order)}; the greatest and latest first."),
    click.option("--reverse", is_flag=True, help="The other way round."),
    click.option("--columns", type=COLUMN_NAMES, metavar="NAME,...",
                 help="Only these columns: of the table, or fields of the JSON."),
    click.option("--format", "-o", "form", metavar="FORMAT",
                 help="Write a table, json, csv, ids, or by a template such as '{id} {state}'."),
    click.option("--ids", is_flag=True, help="The ids alone, one a line."),
    click.option("--wide", type=click.Choice(["yes", "no"]),
                 help="All columns, uncut, as off a terminal; --wide=no: as on one."),
    json_option,
)  # fmt: skip
"""Gives a command the options that say which page of a listing is wanted, and how."""


def clock_of(queue: Queue, *, for_person: bool | None = None) -> tables.Clock:
    """Return how times are written on this standard output, unless that is said."""
    is_for_person = on_terminal() if for_person is None else for_person
    return tables.Clock(queue.now(), is_for_person, queue.wait_context())


def jobs_as_dicts(queue: Queue, jobs: Iterable[Job]) -> Iterator[dict[str, Any]]:
    """Yield jobs with all of their fields, as JSON has them."""
    wait_context = queue.wait_context()
    return (as_dict(job, queue.now(), wait_context) for job in jobs)


@frozen
class _Wanted:
    """What the options of a listing mean.

    `form` is a name or a template. `order` None is what a person is told of first: what runs,
    what will run next, what has ended last.
    """

    form: str
    limit: int | None
    order: Order | None
    is_reversed: bool
    after: str | None
    for_person: bool


def _wanted(options: dict[str, Any]) -> _Wanted:
    """Return what the options mean. Raises InvalidInput where they contradict each other."""
    form = _form(options)
    for_person = on_terminal() if options["wide"] is None else options["wide"] == "no"
    by_arrival = options["newest"] or options["after"] is not None
    if by_arrival and options["sort"] is not None:
        raise InvalidInput("--after and --newest are of the order of arrival: leave out --sort")
    is_glance = form == "table" and (for_person or on_terminal()) and not by_arrival
    order = _order(options["sort"]) if options["sort"] else None if is_glance else Order.ARRIVAL
    limit = options["limit"]
    if limit is None and form == "table" and not options["every"]:
        limit = TEXT_LIMIT
    is_reversed = options["reverse"] != (options["newest"] or order in _DOWNWARDS)
    return _Wanted(form, limit or None, order, is_reversed, options["after"], for_person)


def _form(options: dict[str, Any]) -> str:
    from queuectl.presentation.job_formats import FORMATS

    asked = {"json"} if options["as_json"] else set()
    asked |= {"ids"} if options["ids"] else set()
    asked |= {options["form"]} if options["form"] is not None else set()
    if len(asked) > 1:
        raise InvalidInput("give one of --json, --ids and --format")
    form: str = asked.pop() if asked else "table"
    if form not in FORMATS and "{" not in form:
        raise InvalidInput(
            f"unknown format '{form}'{nearest(form, list(FORMATS))}",
            hint=f"formats: {', '.join(FORMATS)}, or a template such as '{{id}} {{state}}'",
        )
    return form


def _order(word: str) -> Order:
    try:
        return Order(word.lower())
    except ValueError:
        raise InvalidInput(
            f"there is no order '{word}'{nearest(word.lower(), list(Order))}",
            hint=f"--sort takes {', '.join(Order)}",
        ) from None


def write_page(
    session: Session,
    chosen: Filter,
    columns: Columns,
    options: dict[str, Any],
    named: Sequence[Job] | None = None,
) -> bool:
    """Write the page that the options mean; tell whether it is empty.

    With `named` it is of these jobs alone. Raises InvalidInput, and NotFound when the job after
    which it begins is gone.
    """
    queue, wanted = session.reading(), _wanted(options)
    if wanted.form != "table":
        _write_data(queue, chosen, columns, options["columns"], wanted, named)
        return False
    clock = clock_of(queue, for_person=wanted.for_person)
    picked, whole = columns(clock), False
    if options["columns"] is not None:
        from queuectl.presentation.job_formats import chosen_columns, needs_all

        whole = needs_all(options["columns"])
        picked = chosen_columns(options["columns"], picked, clock)
    rows = _Rows(_found(queue, chosen, wanted, named, whole=whole, spare=1), wanted)
    with session.paged():
        tables.table(rows, picked, colors=session.colors, for_person=wanted.for_person)
    _tell_of_rest(queue, chosen, wanted, rows)
    return not rows.count


def _write_data(
    queue: Queue,
    chosen: Filter,
    columns: Columns,
    names: str | None,
    wanted: _Wanted,
    named: Sequence[Job] | None,
) -> None:
    """Write jobs for another program."""
    from queuectl.presentation import job_formats

    if names is not None and wanted.form != "csv":
        raise InvalidInput("--columns is of tables and CSV: a template names its fields itself")
    clock = clock_of(queue, for_person=False)
    picked = columns(clock)
    if names is not None:
        picked = job_formats.chosen_columns(names, picked, clock)
    whole = wanted.form == "json" or job_formats.needs_all(names or wanted.form)
    jobs = _found(queue, chosen, wanted, named, whole=whole)
    if wanted.form == "json":
        array = tables.JsonArray()
        for fields in jobs_as_dicts(queue, jobs):
            array.add(fields)
        array.close()
    elif wanted.form == "ids":
        for job in jobs:
            sys.stdout.write(job.id + "\n")
    elif wanted.form == "csv":
        job_formats.write_csv(jobs, picked)
    else:
        job_formats.write_template(jobs, wanted.form, clock)


def _found(
    queue: Queue,
    chosen: Filter,
    wanted: _Wanted,
    named: Sequence[Job] | None,
    *,
    whole: bool = False,
    spare: int = 0,
) -> Iterator[Job]:
    """Return the jobs of a page, and so many `spare` ones that tell that there are more.

    While they are searched for, a person sees that.
    """
    if named is not None:
        return (job for job in named if chosen.fits(job))
    if wanted.order is None:
        jobs = _at_a_glance(queue, chosen, wanted.limit, spare, whole=whole)
    else:
        limit = None if wanted.limit is None else wanted.limit + spare
        after = _place_of(queue, wanted.after) if wanted.after else 0
        page = Page(limit, after, wanted.is_reversed, whole, whole, wanted.order)
        jobs = queue.find(chosen, page)
    if wanted.is_reversed and wanted.order in (None, Order.TURN):
        jobs = _turned_round(jobs, wanted.limit)
    if not (chosen.is_search and sys.stderr.isatty()):
        return jobs
    from queuectl.cli.progress import while_slow

    return while_slow(jobs, f"looking through {queue.counts().total:,} jobs")


def _place_of(queue: Queue, word: str) -> int:
    """Return the number after which a page begins that goes on after a job."""
    from queuectl.domain.batch import place_of  # of listings that go on

    return place_of(queue.get(word))


def _turned_round(jobs: Iterator[Job], limit: int | None) -> Iterator[Job]:
    """Yield the first jobs in the reverse order, and then any that are beyond the limit."""
    kept = list(jobs)
    first = len(kept) if limit is None else limit
    yield from reversed(kept[:first])
    yield from kept[first:]


def _at_a_glance(
    queue: Queue, chosen: Filter, limit: int | None, spare: int, *, whole: bool
) -> Iterator[Job]:
    """Yield the jobs that run, then those that wait, as they will run, then the latest that ended.

    With a limit there is room for some of each kind; then come `spare` of the rest.
    """
    most = None if limit is None else limit + spare
    kinds = (
        (frozenset({State.PROCESSING}), Page(most, order=Order.STARTED)),
        (WAITING, Page(most, order=Order.TURN)),
        (SETTLED, Page(most, newest_first=True, order=Order.ENDED)),
    )
    parts = [
        queue.find(
            replace(chosen, states=states), replace(page, with_output=whole, with_history=whole)
        )
        if (states := kind & (chosen.states or frozenset(State)))
        else iter(())
        for kind, page in kinds
    ]
    if limit is None:
        yield from chain(*parts)
        return
    found = [*map(list, parts)]
    running, waiting, ended = map(len, found)
    sizes = _shared_out(running, waiting, ended, limit)
    for jobs, size in zip(found, sizes, strict=True):
        yield from jobs[:size]
    yield from [job for jobs, size in zip(found, sizes, strict=True) for job in jobs[size:]][:spare]


def _shared_out(running: int, waiting: int, ended: int, limit: int) -> tuple[int, int, int]:
    """Return how many jobs of each kind there is room for: the first go first, none get nothing."""
    for_ended = min(ended, limit // _ENDED_SHARE)
    for_waiting = min(waiting, limit // _WAITING_SHARE)
    running = min(running, limit - for_ended - for_waiting)
    waiting = min(waiting, limit - running - for_ended)
    return running, waiting, min(ended, limit - running - waiting)


class _Rows:
    """The jobs of a page; afterwards `count` says how many, and `last` is the last of them if
    there are more.
    """

    def __init__(self, jobs: Iterable[Job], wanted: _Wanted) -> None:
        self._jobs = jobs
        self._wanted = wanted
        self.count = 0
        self.last: Job | None = None

    def __iter__(self) -> Iterator[Job]:
        latest = None
        for job in self._jobs:
            if self.count == self._wanted.limit:
                self.last = latest
                return
            self.count += 1
            yield job
            latest = job


def _tell_of_rest(queue: Queue, chosen: Filter, wanted: _Wanted, rows: _Rows) -> None:
    """Tell how many jobs there are beyond those that were shown, and how to see them."""
    if rows.last is None:
        return
    total = queue.counts(deliveries=bool(chosen.deliveries)).matching(chosen)
    kind = "deliveries" if chosen.deliveries else "jobs"
    if total is None:
        what = f"{rows.count:,} {kind}, and there are more"
    else:
        what = f"{rows.count} of {total:,} {kind}"
    if wanted.order is Order.ARRIVAL:
        print_hint(f"{what}: --after {rows.last.id} shows the next, --limit 0 all")
    else:
        print_hint(f"{what}: -a shows all")
