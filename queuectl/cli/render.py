"""Values to text: aligned columns, tables on a terminal, JSON. Knows no store."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Generic, TypeVar

from queuectl.cli.session import printable
from queuectl.domain.job import Job, Run, State, command_text
from queuectl.domain.times import iso, short_seconds
from queuectl.domain.view import reason

Row = TypeVar("Row")

_BLOCK = 500
_WIDEST = 60
_GAP = "  "
_LEAST_ROOM = 12
_STYLES = {
    State.PENDING: "cyan",
    State.PROCESSING: "blue",
    State.COMPLETED: "green",
    State.FAILED: "yellow",
    State.DEAD: "red",
    State.CANCELLED: "magenta",
}


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column of a table. With `optional` it appears only when a row has something in it."""

    title: str
    text: Callable[[Row], str]
    optional: bool = False
    style: Callable[[Row], str] | None = None


@dataclass(frozen=True)
class Clock:
    """How times are written: for a person at a terminal, or as in JSON.

    `now` is the store's time, so that "in 5s" is true whatever this machine's clock says.
    """

    now: datetime
    for_person: bool

    def at(self, instant: datetime) -> str:
        """Return a point in time: `14:30:05`, or `2030-01-31 14:30` when it is not today."""
        if not self.for_person:
            return iso(instant)
        try:
            local, today = instant.astimezone(), self.now.astimezone()
        except (OverflowError, OSError, ValueError):  # the edge of the calendar
            return iso(instant)
        return local.strftime("%H:%M:%S" if local.date() == today.date() else "%Y-%m-%d %H:%M")

    def around(self, instant: datetime | None) -> str:
        """Return a time seen from now: `in 5s`, `2m ago`; nothing for none."""
        if instant is None:
            return ""
        if not self.for_person:
            return iso(instant)
        seconds = (instant - self.now).total_seconds()
        if abs(seconds) < 1:
            return "now"
        return f"in {rough(seconds)}" if seconds > 0 else f"{rough(-seconds)} ago"


def rough(seconds: float) -> str:
    """Return a length of time in its largest unit that counts: `5s`, `3m`, `2h`, `9d`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds > 1.95 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def duration(seconds: float) -> str:
    """Return how long something took: `5.0 s`."""
    return f"{seconds:.1f} s"


def state_text(job: Job) -> str:
    """Return a job's state, with the exit code or signal of a run that went wrong."""
    outcome = job.outcome
    if job.state not in (State.FAILED, State.DEAD) or outcome is None:
        return job.state.value
    if outcome.timed_out:
        return f"{job.state} (timeout)"
    if outcome.signal:
        return f"{job.state} (signal {outcome.signal})"
    return f"{job.state} ({outcome.exit_code})" if outcome.exit_code else job.state.value


def state_style(job: Job) -> str:
    """Return the colour of a job's state."""
    return _STYLES[job.state]


def attempts_text(job: Job) -> str:
    """Return `1/3`: attempts made, of those allowed."""
    return f"{job.attempts}/{job.spec.max_retries}"


def job_columns(clock: Clock) -> list[Column[Job]]:
    """Return the columns of a listing of jobs."""
    waits = (State.PENDING, State.FAILED)
    return [
        Column("ID", lambda job: job.id),
        Column("STATE", state_text, style=state_style),
        Column("ATTEMPTS", attempts_text),
        Column("QUEUE", lambda job: "" if job.spec.queue == "default" else job.spec.queue, True),
        Column("PRIORITY", lambda job: str(job.spec.priority or ""), True),
        Column(
            "NEXT RUN", lambda job: clock.around(job.run_at) if job.state in waits else "", True
        ),
        Column(
            "REASON", lambda job: reason(job, clock.now, clock.at) or job.last_error or "", True
        ),
        Column("COMMAND", lambda job: command_text(job.spec.command)),
    ]


def dead_columns(clock: Clock) -> list[Column[Job]]:
    """Return the columns of a listing of the dead letter queue."""
    return [
        Column("ID", lambda job: job.id),
        Column("ATTEMPTS", attempts_text),
        Column("FAILED AT", lambda job: clock.around(job.failed_at)),
        Column("LAST ERROR", lambda job: job.last_error or "", style=state_style),
        Column("COMMAND", lambda job: command_text(job.spec.command)),
    ]


def run_columns(clock: Clock) -> list[Column[Run]]:
    """Return the columns of a job's history."""
    return [
        Column("RUN", lambda run: str(run.n)),
        Column("STARTED", lambda run: clock.at(run.started_at)),
        Column("TOOK", lambda run: duration((run.finished_at - run.started_at).total_seconds())),
        Column("WORKER", lambda run: run.worker),
        Column("RESULT", lambda run: run.error or "completed"),
    ]


def table(rows: Iterable[Row], columns: Sequence[Column[Row]], *, colors: bool) -> int:
    """Write rows as a table; return how many there were. Reads a limited number at a time."""
    source, count = iter(rows), 0
    chosen: list[Column[Row]] = []
    while block := list(islice(source, _BLOCK)):
        texts = [[printable(column.text(row)) for column in columns] for row in block]
        if not chosen:
            chosen = [
                column
                for at, column in enumerate(columns)
                if not column.optional or any(line[at] for line in texts)
            ]
        kept = [at for at, column in enumerate(columns) if column in chosen]
        texts = [[line[at] for at in kept] for line in texts]
        titles = [column.title for column in chosen] if not count else []
        if sys.stdout.isatty():
            styles = [[_style(column, row) for column in chosen] for row in block]
            _write_rich(titles, texts, styles, colors=colors)
        else:
            _write_plain(titles, texts)
        count += len(block)
    return count


def _style(column: Column[Row], row: Row) -> str:
    return column.style(row) if column.style else ""


def _write_plain(titles: list[str], texts: list[list[str]]) -> None:
    lines = [titles, *texts] if titles else texts
    widths = [min(max(map(width, cells)), _WIDEST) for cells in zip(*lines, strict=True)]
    widths[-1] = 0
    for line in lines:
        cells = (text + " " * (wide - width(text)) for text, wide in zip(line, widths, strict=True))
        sys.stdout.write(_GAP.join(cells).rstrip() + "\n")


def _write_rich(
    titles: list[str], texts: list[list[str]], styles: list[list[str]], *, colors: bool
) -> None:
    """Write a table whose last column is cut to what room the terminal leaves it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(no_color=not colors, highlight=False)
    lines = [titles, *texts] if titles else texts
    widths = [max(map(width, cells)) for cells in zip(*lines, strict=True)]
    taken = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
    room = max(console.width - taken, _LEAST_ROOM)
    made = Table(*titles, box=None, show_header=bool(titles), padding=(0, len(_GAP), 0, 0),
                 pad_edge=False, header_style="bold")  # fmt: skip
    for line, row_styles in zip(texts, styles, strict=True):
        cells = [Text(text, style) for text, style in zip(line, row_styles, strict=True)]
        cells[-1].truncate(room, overflow="ellipsis")
        made.add_row(*cells)
    console.width = max(console.width, taken + room)  # a narrow terminal wraps; nothing is lost
    console.print(made)


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def pairs(lines: Iterable[tuple[str, str]]) -> None:
    """Write names and values, the values aligned."""
    shown = list(lines)
    widest = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        sys.stdout.write(f"{name:<{widest}}{_GAP}{printable(value)}".rstrip() + "\n")


def job_details(job: Job, clock: Clock) -> Iterator[tuple[str, str]]:
    """Yield everything about a job that is set, as names and values for a person."""
    spec = job.spec
    yield "id", spec.id
    yield "command", command_text(spec.command)
    yield "state", state_text(job)
    if why := reason(job, clock.now, clock.at):
        yield "reason", why
    if job.last_error:
        yield "last_error", job.last_error
    yield "queue", spec.queue
    yield "priority", str(spec.priority)
    yield "attempts", f"{job.attempts} of {spec.max_retries}"
    yield "runs", str(job.runs)
    if job.interruptions:
        yield "interruptions", str(job.interruptions)
    yield "backoff", f"{spec.backoff_base:g} ** attempts, at most {short_seconds(spec.backoff_cap)}"
    yield "timeout", short_seconds(spec.timeout) if spec.timeout else "none"
    yield from ((name, value) for name, value in _optional_details(job, clock) if value)


def _optional_details(job: Job, clock: Clock) -> Iterator[tuple[str, str]]:
    from queuectl.domain.view import masked_env

    spec, outcome = job.spec, job.outcome
    yield "cwd", spec.cwd or ""
    yield "env", " ".join(f"{name}={value}" for name, value in masked_env(job).items())
    yield "labels", ", ".join(spec.labels)
    yield "worker", job.worker or ""
    for name in ("created_at", "updated_at", "run_at", "started_at", "finished_at", "failed_at"):
        instant = getattr(job, name)
        yield name, clock.at(instant) if instant else ""
    if outcome:
        yield "exit_code", "" if outcome.exit_code is None else str(outcome.exit_code)
        yield "signal", str(outcome.signal or "")
        yield "duration", duration(outcome.duration)


def write_json(value: Any) -> None:
    """Write one JSON value in UTF-8 and nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=_must_escape()) + "\n")


def _must_escape() -> bool:
    """Whether the terminal cannot show all of Unicode; `\\u` escapes are JSON everywhere."""
    return (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"


class JsonArray:
    """Writes one JSON array, element by element, so that it may be longer than memory."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, value: Any) -> None:
        """Write one element."""
        sys.stdout.write("[\n" if self._count == 0 else ",\n")
        sys.stdout.write(json.dumps(value, ensure_ascii=_must_escape()))
        self._count += 1

    def close(self) -> None:
        """Write the end of the array."""
        sys.stdout.write("\n]\n" if self._count else "[]\n")
