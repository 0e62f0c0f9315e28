"""The logs of this home's workers: the latest lines in the order of their times, and what comes.

A log that becomes full while it is followed goes on in another file, and nothing of it is lost.
"""

from __future__ import annotations

import json
import os
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
from queuectl.worker.log_files import logs_of, pid_of

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
    folder: Path, worker_id: str | None, lines: int, *, live: bool, as_json: bool = False
) -> bool:
    """Write the last lines, and with `live` all that come, until interrupted.

    With `as_json` each is a JSON object on a line of its own. Returns whether any worker has
    logged here. Raises NotFound for one that has not.
    """
    trails: dict[str, _Trail] = {}
    entries = list(_news(folder, worker_id, trails, lines))
    if worker_id and not trails:
        raise NotFound(
            f"worker '{worker_id}' has no log in this home",
            hint="queuectl worker list shows those alive, queuectl worker logs all logs",
        )
    _write(entries[max(0, len(entries) - lines) :], as_json=as_json)
    while live:
        time.sleep(_FOLLOW_SECONDS)
        _write(_news(folder, worker_id, trails, None), as_json=as_json)
    return bool(trails)


def _news(
    folder: Path, worker_id: str | None, trails: dict[str, _Trail], lines: int | None
) -> list[Entry]:
    """Return what has been logged since the last time, in the order of time."""
    entries: list[Entry] = []
    for name, paths in logs_of(folder).items():
        if worker_id is None or _is_of(name, worker_id):
            trail = trails.setdefault(name, _Trail())
            entries += _entries(trail.read(paths, lines), name)
    return sorted(entries, key=lambda entry: entry[0])


def _is_of(name: str, worker_id: str) -> bool:
    """Whether a log is of a worker that is named by its id or its pid."""
    is_worker = not name.startswith("supervisor-")
    return name == worker_id or (is_worker and pid_of(name) == worker_id)


class _Trail:
    """How far the log of one process has been read: which file, and up to where in it."""

    def __init__(self) -> None:
        self._file = 0
        self._offset = 0

    def read(self, paths: list[Path], lines: int | None) -> bytes:
        """Return the whole lines that are new; with `lines` at least so many of the last."""
        read: list[tuple[int, bytes]] = []
        missing = lines
        # The newest is opened first: a file that moves on meanwhile is met again, not missed.
        for path in reversed(paths):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                continue
            with file:
                number = os.fstat(file.fileno()).st_ino
                if any(number == known for known, _ in read):
                    continue
                is_last = number == self._file
                file.seek(self._offset if is_last else 0)
                read.append((number, file.read()))
            if missing is not None:
                missing -= read[-1][1].count(b"\n")
            if is_last or (missing is not None and missing <= 0):
                break
        if not read:
            return b""
        newest, data = read[0]
        whole = data[: data.rfind(b"\n") + 1]
        self._offset = len(whole) + (self._offset if newest == self._file else 0)
        self._file = newest
        return b"".join([*(older for _, older in read[:0:-1]), whole])


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
