"""The logs of workers: the latest lines in the order of their times, and what comes.

A log that becomes full while it is followed goes on in another file, and nothing of it is lost.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from queuectl.domain.errors import NotFound
from queuectl.domain.text import printable
from queuectl.domain.times import iso
from queuectl.presentation.console import on_terminal
from queuectl.queue.worker_logs import WorkerLogs
from queuectl.system.worker_logs import Trail, is_log_of, logs_of

_STAMP = len("2030-01-31T14:30:05.123")
_TEXT = re.compile(
    r"(?P<time>\S{23}) \[(?P<process>\w+) (?P<pid>\d+)"
    r"(?:, job (?P<job>\S+), attempt (?P<attempt>\d+))?\] "
    r"(?:(?P<level>warning|error|critical): )?(?P<message>.*)"
)


def moment_of(line: bytes) -> float | None:
    """Return when a line was logged, in seconds since 1970; None for one that goes on from above.

    It is the first word of the line, in local time, or `time` of a JSON object.
    """
    try:
        if line.startswith(b"{"):
            return _instant(json.loads(line)["time"]).timestamp()
        return datetime.fromisoformat(line[:_STAMP].decode()).timestamp()
    except (ValueError, KeyError, TypeError):
        return None


def for_programs(lines: bytes, log: str) -> str:
    """Return a line, with those below it, as a JSON object; `log` is whose log it is in.

    It has the fields that a worker writes by itself with `log_format` json. What a line for
    people does not tell is null.
    """
    text = lines.decode(errors="replace")
    if text.startswith("{"):
        return text
    head, _, below = text.rstrip("\n").partition("\n")
    parts = _TEXT.fullmatch(head)
    event: dict[str, Any] = dict.fromkeys(
        "time level logger process pid worker job run attempt message".split()
    )
    if parts is None:
        moment = moment_of(lines)
        event["time"] = iso(datetime.fromtimestamp(moment).astimezone()) if moment else None
        event["message"] = head
    else:
        event |= parts.groupdict()
        event["time"] = iso(datetime.fromisoformat(parts["time"]).astimezone())
        event["level"] = parts["level"] or "info"
        event["pid"] = int(parts["pid"])
        event["attempt"] = int(parts["attempt"]) if parts["attempt"] else None
        event["worker"] = log if parts["process"] == "worker" else None
    return json.dumps({**event, "exception": below} if below else event) + "\n"


def for_people(lines: bytes) -> str:
    """Return an event, or the line that it was written as, for people."""
    if not lines.startswith(b"{"):
        return lines.decode(errors="replace")
    try:
        event = json.loads(lines)
        moment = _instant(event["time"]).astimezone()
        about = f", job {event['job']}, attempt {event['attempt']}" if event["job"] else ""
        level = f"{event['level']}: " if event["level"] != "info" else ""
        who = f"[{event['process']} {event['pid']}{about}]"
        stamp = moment.isoformat(timespec="milliseconds")[:_STAMP]
        below = event.get("exception", "")
    except (ValueError, KeyError, TypeError):
        return lines.decode(errors="replace")
    return f"{stamp} {who} {level}{printable(event['message'])}\n{below}" + "\n" * bool(below)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


_FOLLOW_SECONDS = 0.2

Entry = tuple[float, bytes, str]
"""When something was logged (seconds since 1970), its line with those below it, in whose log."""


def show_logs(
    folder: Path,
    worker_id: str | None,
    lines: int,
    *,
    live: bool,
    as_json: bool = False,
    elsewhere: WorkerLogs | None = None,
) -> bool:
    """Write the last lines, and with `live` all that come, until interrupted.

    Without `elsewhere` they are those of a home's folder alone. With `as_json` each is a JSON
    object on a line of its own. Returns whether any worker has logged there. Raises NotFound for
    one that has not.
    """
    trails: dict[str, Trail] = {}

    def local(least: int | None) -> list[Entry]:
        entries: list[Entry] = []
        for name, paths in logs_of(folder).items():
            if elsewhere.is_wanted(name) if elsewhere else _is_wanted(name, worker_id):
                trail = trails.setdefault(name, Trail())
                entries += _entries(trail.read(paths, least), name)
        return entries

    entries = local(lines)
    if elsewhere is not None:
        if worker_id in trails:
            elsewhere = None  # all of it is here
        else:
            entries += _entries_of(elsewhere.first(frozenset(trails)))
    if worker_id and not (entries or trails):
        _refuse(worker_id, elsewhere)
    entries = _sorted(entries)
    _write(entries[max(0, len(entries) - lines) :], as_json=as_json)
    while live:
        time.sleep(_FOLLOW_SECONDS)
        news = local(None)
        if elsewhere is not None:
            news += _entries_of(elsewhere.news(frozenset(trails)))
        _write(_sorted(news), as_json=as_json)
    return bool(trails or entries)


def _is_wanted(name: str, worker_id: str | None) -> bool:
    return worker_id is None or is_log_of(name, worker_id)


def _refuse(worker_id: str, elsewhere: WorkerLogs | None) -> None:
    if elsewhere is not None and elsewhere.trouble is not None:
        raise elsewhere.trouble
    raise NotFound(
        f"worker '{worker_id}' has no log in this home, and none is kept of it",
        hint="queuectl worker list shows those alive, queuectl worker logs all logs of this home",
    )


def _entries_of(found: Iterable[tuple[str, bytes]]) -> list[Entry]:
    return [entry for name, data in found for entry in _entries(data, name)]


def _sorted(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry[0])


def _entries(data: bytes, log: str) -> Iterator[Entry]:
    """Yield lines with their times; one without, as of a traceback, goes with that before it."""
    moment, kept = 0.0, b""
    for line in data.splitlines(keepends=True):
        logged_at = moment_of(line)
        if logged_at is None:
            kept += line
            continue
        if kept:
            yield moment, kept, log
        moment, kept = logged_at, line
    if kept:
        yield moment, kept, log


def _write(entries: Iterable[Entry], *, as_json: bool) -> None:
    for_person = on_terminal()
    for _, lines, log in entries:
        if as_json:
            sys.stdout.write(for_programs(lines, log))
        else:
            sys.stdout.write(for_people(lines) if for_person else lines.decode(errors="replace"))
    sys.stdout.flush()
