"""What a worker has logged, as a line for people or an event for programs, whichever it wrote."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from queuectl.domain.text import printable
from queuectl.domain.times import iso

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
    found = _TEXT.fullmatch(head)
    event: dict[str, Any] = dict.fromkeys(
        "time level logger process pid worker job run attempt message".split()
    )
    if found is None:
        moment = moment_of(lines)
        event["time"] = iso(datetime.fromtimestamp(moment).astimezone()) if moment else None
        event["message"] = head
    else:
        event |= found.groupdict()
        event["time"] = iso(datetime.fromisoformat(found["time"]).astimezone())
        event["level"] = found["level"] or "info"
        event["pid"] = int(found["pid"])
        event["attempt"] = int(found["attempt"]) if found["attempt"] else None
        event["worker"] = log if found["process"] == "worker" else None
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
