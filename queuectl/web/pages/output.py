"""The page with the whole of what a run wrote: a piece of it at a time, by line, or by a word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from queuectl.domain.job import Job
from queuectl.presentation.run_log import BOTH, LogWanted, read_log
from queuectl.queue import Queue
from queuectl.system.log_lines import Line, LogLines, Piece
from queuectl.system.run_order import Sizes
from queuectl.system.run_reader import STREAMS
from queuectl.web.api import BY_NAME
from queuectl.web.api.endpoint import QUERY, Arguments, Param
from queuectl.web.api.schemas import FLAG, TEXT, one_of

_PLACE = {"type": "string", "maxLength": 40, "pattern": r"^\d{1,18}-\d{1,18}$"}
_ABOVE = 10
"""So many lines before one that was found are shown with it."""

OF_LOG = BY_NAME["getLog"].params_in(QUERY)
WRAP = Param("wrap", QUERY, one_of("on", "off"), "whether long lines are broken; on unless said")
PARAMS = (
    *OF_LOG,
    WRAP,
    Param("times", QUERY, one_of("on", "off"), "whether each line has its time; off unless said"),
    Param("line", QUERY, {"type": "integer", "minimum": 1, "maximum": 2**53}, "from this line on"),
    Param("after", QUERY, _PLACE, "what comes after so much of each stream"),
    Param("before", QUERY, _PLACE, "what comes before so much of each stream"),
    Param("end", QUERY, FLAG, "the end of it"),
    Param("find", QUERY, {**TEXT, "maxLength": 200}, "the lines that have this, after a place"),
)  # fmt: skip

Values = dict[str, Any]


def values(queue: Queue, arguments: Arguments) -> Values:
    """Return the values of the page: `lines` of the piece that is asked for, and links."""
    job = queue.get(arguments["id"])
    run = min(arguments.get("run", job.runs), job.runs)
    kept = read_log(queue, LogWanted(job.id, run or None, arguments.get("stream")))
    stream, wrap, times = kept.stream, arguments.get("wrap", "on"), arguments.get("times", "off")
    chosen = {"wrap": wrap} if wrap == "off" else {}
    if times == "on":
        chosen["times"] = times
    base = {"run": run, "stream": stream, **chosen}

    def link(**changes: object) -> str:
        return "?" + urlencode({**base, **changes})

    lines = LogLines(queue.logs_of(job, run), job.id, run, STREAMS if stream == BOTH else (stream,))
    try:
        if run and any(lines.sizes):
            shown = _shown(lines, arguments, link)
            if times == "on":
                shown["written"] = {each.number: lines.written_at(each) for each in shown["lines"]}
        else:
            shown = _of_record(kept.text)
    finally:
        lines.close()
    is_end = bool(arguments.get("end")) and not shown["later"]
    return {
        "job": job, "log": kept, "run": run, "wrap": wrap, "times": times, "chosen": chosen,
        "link": link, "find": arguments.get("find", ""), "took": _took(job, run), "is_end": is_end,
        "written": {}, **shown,
    }  # fmt: skip


def _shown(lines: LogLines, arguments: Arguments, link: Callable[..., str]) -> Values:
    piece, more = _piece(lines, arguments), dict[str, object]()
    if find := arguments.get("find"):
        more = {"find": find}
    earlier = link(before=_place(piece.begin)) if piece.has_before and not more else None
    return {
        "lines": piece.lines,
        "total": lines.total,
        "earlier": earlier,
        "later": link(after=_place(piece.end), **more) if piece.has_after else None,
        "around": lambda line: f"{link(line=max(1, line.number - _ABOVE))}#L{line.number}",
    }


def _piece(lines: LogLines, arguments: Arguments) -> Piece:
    if find := arguments.get("find"):
        return lines.search(find, _sizes(arguments.get("after", "0-0")))
    if "line" in arguments:
        return lines.from_line(arguments["line"])
    if "before" in arguments:
        return lines.before(_sizes(arguments["before"]))
    return (
        lines.last() if arguments.get("end") else lines.after(_sizes(arguments.get("after", "0-0")))
    )


def _of_record(text: str) -> Values:
    """Return the same of a run that left no files here, from its job's record."""
    data = text.encode(errors="surrogateescape").splitlines(keepends=True)
    lines = [Line(0, 0, line, number) for number, line in enumerate(data, 1)]
    return {
        "lines": lines, "total": len(lines), "earlier": None, "later": None,
        "around": lambda _line: "",
    }  # fmt: skip


def _took(job: Job, run: int) -> Any:
    """Return the record of a run that is over; None of one that goes on."""
    return next((each for each in job.history if each.n == run), None)


def _sizes(text: str) -> Sizes:
    out, _, err = text.partition("-")
    return int(out), int(err)


def _place(sizes: Sizes) -> str:
    return f"{sizes[0]}-{sizes[1]}"
