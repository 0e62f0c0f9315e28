"""The endpoint that tells who has changed what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from queuectl.domain.audit import AuditEntry, as_dict
from queuectl.queue import Queue
from queuectl.web.api.endpoint import QUERY, Arguments, Endpoint, Param
from queuectl.web.api.schemas import TEXT, named

_ROWS = 50
_PARAMS = (
    Param("since", QUERY, {**TEXT, "maxLength": 100}, "only since: 2h (ago), or a time"),
    Param("who", QUERY, {**TEXT, "maxLength": 200}, "only of those whose name has this in it"),
    Param("limit", QUERY, {"type": "integer", "minimum": 1, "maximum": 500},
          f"how many at most; {_ROWS} unless said"),
    Param("after", QUERY, {"type": "integer", "minimum": 0, "maximum": 10**6},
          "how many of the latest to leave out: `next` of the page before"),
)  # fmt: skip


def acts_of(queue: Queue, arguments: Arguments) -> tuple[list[AuditEntry], int | None]:
    """Return a page of acts, and how many to leave out for the next one: None at the end.

    Raises InvalidInput for a time that is none.
    """
    skip, limit = arguments.get("after", 0), arguments.get("limit", _ROWS)
    since = _since(queue, arguments.get("since", ""))
    found = queue.audit(since, arguments.get("who", ""), limit + 1, skip)
    return found[:limit], skip + limit if len(found) > limit else None


def _since(queue: Queue, text: str) -> datetime | None:
    from queuectl.system.time_parser import parse_past

    return parse_past(text, queue.now()) if text else None


def _list(queue: Queue, arguments: Arguments) -> dict[str, Any]:
    acts, following = acts_of(queue, arguments)
    return {"acts": [as_dict(each) for each in acts], "next": following}


TRAIL = (
    Endpoint("listAudit", "GET", "/audit", "Tell who has changed what, the latest first.",
             _list, named("AuditPage"), _PARAMS),
)  # fmt: skip
