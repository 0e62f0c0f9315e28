"""How a queue has been doing: how much succeeds, how long it takes, how fast it goes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import click

from queuectl.cli.completions import QUEUE_NAME
from queuectl.cli.root import Command, examples, json_option
from queuectl.cli.session import Session, pass_session
from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import check_name
from queuectl.domain.queue_limits import queue_title
from queuectl.domain.sizes import size_text
from queuectl.domain.stats import (
    SERIES_MINUTES,
    Figures,
    Histogram,
    QueueReport,
    Report,
    Sizes,
    as_dict,
    counts_of,
)
from queuectl.presentation import tables
from queuectl.presentation.console import on_terminal
from queuectl.presentation.layout import length, sparkline
from queuectl.queue import Queue

Row = tuple[str, QueueReport]
"""A queue and what happened in it."""

_ALL = "all"
_STYLES = {"completed": "green", "failed": "yellow", "dead": "red", "cancelled": "dim"}


@examples("""
    queuectl stats
    queuectl stats --queue gpu --since 24h
    queuectl stats --json
    queuectl stats --deliveries
""")
@click.command(cls=Command)
@click.option("--queue", "-q", "name", metavar="Q", type=QUEUE_NAME, help="Only this queue.")
@click.option("--since", metavar="TIME", help="From when on: 10m, 24h or a time; 1h unless said.")
@click.option("--deliveries", is_flag=True, help="Of what hooks tell, instead of jobs.")
@json_option
@pass_session
def stats(
    session: Session, name: str | None, since: str | None, deliveries: bool, as_json: bool
) -> None:
    """Tell how much succeeded, how long runs took and waited, and how many there were."""
    queue = session.reading()
    if name is not None:
        check_name("queue", name)
    begun = _instant(since, queue) if since else None
    report = queue.stats(name, begun, deliveries=deliveries)
    if as_json:
        tables.write_json(as_dict(report))
        return
    if not any(counts_of(report.total.ever).values()):
        if name is not None:
            session.hint(
                f"nothing has happened in queue '{name}' yet: queuectl queue list shows the queues"
            )
        elif deliveries:
            session.hint("hooks have told nothing yet: queuectl hook list shows them")
        else:
            session.hint('nothing has happened yet: queuectl enqueue hello "echo Hello"')
        return
    if on_terminal():
        _write_charts(report, colors=session.colors)
    rows: list[Row] = list(report.queues.items())
    if len(rows) > 1:
        rows.append((_ALL, report.total))
    if not on_terminal() or len(rows) > 1:
        tables.table(rows, _columns(rows), colors=session.colors)


def _instant(words: str, queue: Queue) -> datetime:
    """Return the time that is meant; a duration is one before now. Raises InvalidInput."""
    from queuectl.system.time_parser import parse_duration, parse_past

    now = queue.now()
    try:
        return now - timedelta(seconds=parse_duration(words))
    except (InvalidInput, OverflowError):
        instant = parse_past(words, now)
    if instant > now:
        raise InvalidInput("--since must not lie in the future", hint="for example --since 24h")
    return instant


def _write_charts(report: Report, *, colors: bool) -> None:
    """Write the figures of all that was asked for, with the last hour minute by minute."""
    total, period = report.total, report.total.period
    since = tables.Clock(report.now, for_person=True).at(report.since)
    fast = ", ".join(f"{rate:.1f} over {span}" for span, rate in total.throughput.items())
    lines = [
        ("since", since, ""),
        ("success", f"{_percent(total)}  of {period.finished:,} finished attempts", "bold"),
        ("run time", _percentiles(period.run), ""),
        ("wait", _percentiles(period.wait), ""),
        *_used_lines(period),
        ("per minute", fast, ""),
    ]
    lines += [
        (name, f"{number:,}", _STYLES.get(name, ""))
        for name, number in counts_of(period).items()
        if number
    ]
    tables.styled(lines, colors=colors)
    sys.stdout.write("\n")
    charts = {
        "enqueued": [each.enqueued for each in total.series],
        "completed": [each.completed for each in total.series],
        "failed": [each.failed + each.dead for each in total.series],
    }
    rows = [(name, sparkline(values), _STYLES.get(name, "")) for name, values in charts.items()]
    axis = ("", "1 h ago".ljust(SERIES_MINUTES - len("now")) + "now", "dim")
    tables.styled([*rows, axis], colors=colors)
    if len(report.queues) > 1:
        sys.stdout.write("\n")


def _percentiles(durations: Histogram) -> str:
    if not durations.total:
        return "-"
    return f"p50 {length(durations.quantile(0.5))}, p95 {length(durations.quantile(0.95))}"


def _used_lines(period: Figures) -> list[tuple[str, str, str]]:
    """Return what runs used, in lines; none where that is not known of any."""
    cpu, memory = period.cpu, period.memory
    lines = []
    if cpu.total:
        lines.append(("cpu time", f"{_percentiles(cpu)}, most {length(cpu.longest)}", ""))
    if memory.total:
        p50, p95 = map(_size, (memory.quantile(0.5), memory.quantile(0.95)))
        lines.append(("memory", f"p50 {p50}, p95 {p95}, most {_size(memory.largest)}", ""))
    return lines


def _size(size: float | None) -> str:
    return "-" if size is None else size_text(size)


def _percent(report: QueueReport) -> str:
    rate = report.period.success_rate
    return "-" if rate is None else f"{rate * 100:.1f} %"


def _columns(rows: Sequence[Row]) -> list[tables.Column[Row]]:
    """Return the columns of a table of queues; those of memory where it is known of any run."""

    def counted(name: str, yields: int = 0) -> tables.Column[Row]:
        def text(row: Row) -> str:
            number = counts_of(row[1].period)[name]
            return f"{number}" if number or not on_terminal() else ""

        return tables.Column(
            name.upper(),
            text,
            optional=True,
            style=lambda _row: _STYLES.get(name, ""),
            yields=yields,
        )

    def percentile(title: str, kind: str, share: float, yields: int) -> tables.Column[Row]:
        return tables.Column(
            title,
            lambda row: length(getattr(row[1].period, kind).quantile(share)),
            yields=yields,
        )

    def speed(span: str, yields: int) -> tables.Column[Row]:
        return tables.Column(
            f"/MIN {span.upper()}", lambda row: f"{row[1].throughput[span]:.1f}", yields=yields
        )

    def memory(title: str, of: Callable[[Sizes], float | None], yields: int) -> tables.Column[Row]:
        return tables.Column(title, lambda row: _size(of(row[1].period.memory)), yields=yields)

    of_memory = [
        memory("MEMORY P50", lambda sizes: sizes.quantile(0.5), 7),
        memory("MEMORY P95", lambda sizes: sizes.quantile(0.95), 6),
        memory("MEMORY MOST", lambda sizes: sizes.largest, 5),
    ]
    is_known = any(row[1].period.memory.total for row in rows)
    return [
        tables.Column("QUEUE", lambda row: queue_title(row[0])),
        tables.Column("SUCCESS", lambda row: _percent(row[1])),
        counted("enqueued", 3),
        counted("completed"),
        counted("failed"),
        counted("dead"),
        counted("cancelled", 8),
        counted("interrupted", 9),
        percentile("RUN P50", "run", 0.5, 4),
        percentile("RUN P95", "run", 0.95, 2),
        percentile("WAIT P50", "wait", 0.5, 5),
        percentile("WAIT P95", "wait", 0.95, 1),
        *(of_memory if is_known else []),
        speed("1m", 6),
        speed("5m", 7),
        speed("1h", 0),
    ]
