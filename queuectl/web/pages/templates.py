"""Templates: values to HTML, in which everything that is not marked as HTML is escaped."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from queuectl.domain.hooks import Hook, shown_address
from queuectl.domain.job_fields import command_text
from queuectl.domain.queue_limits import hook_of_queue, is_of_deliveries, queue_title
from queuectl.domain.settings import show
from queuectl.domain.text import printable
from queuectl.domain.thresholds import parse_threshold
from queuectl.domain.times import UTC, iso
from queuectl.domain.worker_record import LiveWorker
from queuectl.presentation.charts import length
from queuectl.presentation.columns import attempts_text, state_text
from queuectl.presentation.hook_columns import delivered_text
from queuectl.presentation.tables import Clock
from queuectl.web.api import BY_NAME
from queuectl.web.pages import MOMENT

HERE = Path(__file__).parents[1]
STATIC = HERE / "static"

_LONGEST_LINE = 300


@cache
def static(name: str) -> str:
    """Return the address of a file of ours, which changes with the file."""
    mark = sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={mark}"


def _utc(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


@pass_context
def ago(context: Context, instant: datetime | None) -> Markup:
    """Return a time seen from the page's `now`, such as `2m ago`; the script keeps it true."""
    if instant is None:
        return Markup("–")
    words = Clock(context["now"], True).around(instant)
    html = Markup('<time datetime="{}" title="{}" data-rel>{}</time>')
    return html.format(iso(instant), _utc(instant), words)


def at(instant: datetime | None) -> Markup:
    """Return a point in time in UTC; the script shows it in the reader's zone."""
    if instant is None:
        return Markup("–")
    html = Markup('<time datetime="{}" data-at>{}</time>')
    return html.format(iso(instant), _utc(instant))


def moments(text: str) -> Markup:
    """Return a reason with the times in it marked as such."""
    parts = text.split(MOMENT)
    return Markup("").join(
        at(datetime.fromisoformat(part.replace("Z", "+00:00"))) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )


def size(number: int) -> str:
    """Return a number of bytes as people read it."""
    for limit, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= limit:
            return f"{number / limit:.1f} {unit}"
    return f"{number} B"


def _line(command: str | tuple[str, ...]) -> str:
    """Return the beginning of a command on one line, as much of it as any list shows."""
    text = command_text(command)
    return printable(text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}…")


def _printable_lines(text: str) -> str:
    """Return text with its lines kept and its other control characters written as escapes."""
    return "\n".join(printable(line) for line in text.expandtabs(8).split("\n"))


def _of_fields(command: str | list[str]) -> str:
    """Return the command in the fields of a schedule."""
    return _printable_lines(command_text(command if isinstance(command, str) else tuple(command)))


def _hook_address(hook: Hook) -> str:
    """Return where a hook leads, without what is secret of it."""
    return _printable_lines(shown_address(hook))


def _hook_value(hook: Hook) -> str:
    """Return the measure of a threshold when it last changed sides."""
    return parse_threshold(hook.when).shown(hook.value or 0)


def _worker_name(worker: LiveWorker) -> str:
    """Return a worker as people know it."""
    return f"{worker.record.host} · {worker.record.process.pid}"


def environment() -> Environment:
    """Return the templates with what they may use."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "at": at, "moments": moments, "span": length, "line": _line, "size": size,
        "state_text": state_text, "attempts": attempts_text, "printable": printable,
        "value": show, "worker_name": _worker_name, "printable_lines": _printable_lines,
        "line_of_fields": _of_fields, "delivered": delivered_text, "hook_address": _hook_address,
        "hook_value": _hook_value, "queue_title": queue_title, "hook_of_queue": hook_of_queue,
        "is_of_deliveries": is_of_deliveries,
    }  # fmt: skip
    environment.globals |= {
        "ago": ago, "static": static, "endpoint": BY_NAME.__getitem__,
        "command_text": command_text, "iso": iso,
    }  # fmt: skip
    return environment
