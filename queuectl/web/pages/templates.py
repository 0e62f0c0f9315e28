"""Templates: values to HTML, in which everything that is not marked as HTML is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape
from rich.ansi import AnsiDecoder
from rich.color import Color, ColorType
from rich.style import Style

from queuectl.domain.audit import targets_text
from queuectl.domain.hooks import Hook, parse_threshold, shown_address
from queuectl.domain.job_fields import command_text
from queuectl.domain.queue_limits import hook_of_queue, is_of_deliveries, queue_title
from queuectl.domain.settings import show
from queuectl.domain.sizes import size_text
from queuectl.domain.text import printable
from queuectl.domain.times import UTC, iso
from queuectl.domain.views import suspicion
from queuectl.domain.worker_record import LiveWorker
from queuectl.presentation.columns import attempts_text, slots_text, state_text
from queuectl.presentation.layout import length
from queuectl.presentation.named_columns import delivered_text, wall_time
from queuectl.presentation.run_log import clean
from queuectl.presentation.tables import Clock
from queuectl.system.log_lines import Line
from queuectl.web.api import BY_NAME
from queuectl.web.pages import MOMENT

HERE = Path(__file__).parents[1]
STATIC = HERE / "static"
MOST_LINES = 2000
"""How many lines of an output are shown."""

_LINK = re.compile(r'(?<=\s)(?:href|src|action|formaction|data-path|data-next)="/')
"""Where a link to a page or a call of our own begins."""

_LONGEST_LINE = 300
_CODE = re.compile(
    r"\x1b(?:\[(?P<sgr>[\d;:]{0,99})m|\[[0-?]*[ -/]*[@-~]"
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
)
_COLORS = (
    (0, 0, 0), (205, 49, 49), (13, 188, 121), (229, 229, 16),
    (36, 114, 200), (188, 63, 188), (17, 168, 205), (229, 229, 229),
    (102, 102, 102), (241, 76, 76), (35, 209, 139), (245, 245, 67),
    (59, 142, 234), (214, 112, 214), (41, 184, 219), (255, 255, 255),
)  # fmt: skip
"""The sixteen colours that the style sheet has; the others are shown by the nearest of them."""


@cache
def static(name: str) -> str:
    """Return the address of a file of ours, which changes with the file."""
    mark = sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={mark}"


def rooted(html: str, root: str) -> str:
    """Return a page whose links begin with the path below which a proxy serves the dashboard.

    Templates write them as seen from its root. What is shown holds no quote that is not escaped.
    """
    return _LINK.sub(rf"\g<0>{root[1:]}/", html) if root else html


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


def clock_time(instant: datetime) -> Markup:
    """Return the time of day in UTC; the script shows it in the reader's zone."""
    html = Markup('<time class="n" datetime="{}" title="{}" data-clock>{:%H:%M:%S}.{:03}Z</time>')
    return html.format(iso(instant), _utc(instant), instant, instant.microsecond // 1000)


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


def output_lines(text: str) -> list[Markup]:
    """Return the last lines of an output, each as HTML that can only show it.

    Colours become classes. A carriage return writes over its line, moves of the cursor are left
    out, and control characters are written as escapes.
    """
    decoder = AnsiDecoder()  # which keeps the style from one line to the next
    lines = text.removesuffix("\n").split("\n") if text else []
    return [_output_line(line.rstrip("\r"), decoder) for line in lines][-MOST_LINES:]


def line_text(lines: Sequence[Line]) -> list[tuple[Line, Markup]]:
    """Return lines of a run's output with each as HTML; of each stream colours go on."""
    decoders = (AnsiDecoder(), AnsiDecoder())
    return [
        (
            line,
            _output_line(line.data.decode(errors="replace").rstrip("\r\n"), decoders[line.stream]),
        )
        for line in lines
    ]


def marked(line: Line, wanted: str) -> Markup:
    """Return a line that was found, without colours, with what was looked for marked in it."""
    text = "".join(clean(line.data.decode(errors="replace"))[:1])
    begin = text.lower().find(wanted.lower())
    if begin < 0:
        return escape(text)
    end = begin + len(wanted)
    return Markup("{}<mark>{}</mark>{}").format(text[:begin], text[begin:end], text[end:])


def _output_line(line: str, decoder: AnsiDecoder) -> Markup:
    parts: list[Markup] = []
    at = 0
    for code in (*_CODE.finditer(line), None):
        _, overwritten, piece = line[at : code.start() if code else None].rpartition("\r")
        if overwritten:
            parts.clear()
        safe, classes = escape(printable(piece.expandtabs(8))), _classes(decoder.style)
        html = Markup('<span class="{}">{}</span>') if piece and classes else Markup("{1}")
        parts.append(html.format(classes, safe))
        if code is not None:
            at = code.end()
            if code["sgr"] is not None:
                decoder.decode_line(f"\x1b[{code['sgr'].replace(':', ';')}m")
    return Markup("").join(parts)


def _classes(style: Style) -> str:
    """Return the classes of the style sheet that show a style."""
    colors = (("i", style.color), ("p", style.bgcolor))
    names = [f"{at}{_nearest(color)}" for at, color in colors if color and not color.is_default]
    looks = {
        "bold": style.bold, "dim": style.dim, "italic": style.italic,
        "underlined": style.underline, "inverse": style.reverse,
    }  # fmt: skip
    return " ".join([*names, *(name for name, is_so in looks.items() if is_so)])


def _nearest(color: Color) -> int:
    """Return the number of the nearest of the sixteen colours."""
    if color.type is ColorType.STANDARD and color.number is not None:
        return color.number
    wanted = color.get_truecolor()

    def distance(number: int) -> int:
        return sum((a - b) ** 2 for a, b in zip(wanted, _COLORS[number], strict=True))

    return min(range(16), key=distance)


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
        "at": at, "clock_time": clock_time, "moments": moments, "span": length, "line": _line,
        "size": size, "memory": size_text,
        "state_text": state_text, "attempts": attempts_text, "printable": printable,
        "targets": targets_text,
        "value": show, "worker_name": _worker_name, "printable_lines": _printable_lines,
        "line_of_fields": _of_fields, "delivered": delivered_text, "hook_address": _hook_address,
        "hook_value": _hook_value, "queue_title": queue_title, "hook_of_queue": hook_of_queue,
        "is_of_deliveries": is_of_deliveries, "output_lines": output_lines,
        "slots": slots_text, "wall_time": wall_time, "line_text": line_text, "marked": marked,
    }  # fmt: skip
    environment.globals |= {
        "ago": ago, "static": static, "endpoint": BY_NAME.__getitem__,
        "command_text": command_text, "iso": iso, "suspicion": suspicion,
    }  # fmt: skip
    return environment
