"""A hook: what is to be told, when and to whom; and the ids of the jobs that deliver it.

How an event is put into words is in `notice`, when a threshold is crossed in `threshold`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any

from queuectl.domain.errors import InvalidInput, NothingDone, nearest, shown
from queuectl.domain.field_checks import is_name
from queuectl.domain.queue_limits import DELIVERY_IDS
from queuectl.domain.times import iso
from queuectl.domain.views import MASK

COMPLETED, FAILED, DEAD, CANCELLED = "completed", "failed", "dead", "cancelled"
QUEUE_EMPTY = "queue-empty"
THRESHOLD = "threshold"
TEST = "test"

EVENTS = (COMPLETED, FAILED, DEAD, CANCELLED, QUEUE_EMPTY)
"""What a hook may be told of, as people name it."""

DELIVERY_SLOTS = 2
"""How many deliveries of a hook run at once in the whole fleet, until somebody says otherwise."""

DELIVERY_ATTEMPTS = 7
DELIVERY_BACKOFF_BASE = 4.0
DELIVERY_BACKOFF_CAP = 900.0
DELIVERY_TIMEOUT = 30.0
"""A delivery is tried for about forty minutes, each time for half a minute at most."""

REFUSED_FOR_GOOD, NOT_NOW = 65, 75
"""The exit codes of a delivery that would fail again in the same way, and of one that may not."""

_LONGEST_NAME = 64
_DELIVERY_ID = re.compile(rf"{DELIVERY_IDS}(?P<name>.+):(?P<digest>[0-9a-f]{{32}})")
_HOST = re.compile(r"(?P<scheme>[a-z]+)://(?:[^/?#]*@)?(?P<host>[^/?#@]+)(?P<rest>.*)", re.DOTALL)


class Target(str, Enum):
    """How a hook's events are delivered."""

    WEBHOOK = "webhook"
    COMMAND = "command"
    MAIL = "mail"

    def __str__(self) -> str:
        return self.value


class Format(str, Enum):
    """The body that a webhook is sent."""

    JSON = "json"
    SLACK = "slack"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Hook:
    """What is to be told (`events`, or the crossing of a threshold `when`), and to whom.

    `address` is a URL, a command for the shell that runs in `cwd`, or the recipients of mail
    with commas between them; `secret` signs a webhook, and is the password for the mail server
    at `smtp`. Only jobs of `queue` and with all `labels` count, where these are given.

    The rest is what a watched threshold has come to: whether it `is_crossed`, how often that has
    changed (`changes`), the last time `changed_at` with the measure at `value`; how many of these
    changes were `told`; and since when (`alone_since`) no worker has been seen.
    """

    name: str
    target: Target
    address: str = field(repr=False)
    created_at: datetime
    events: tuple[str, ...] = ()
    when: str = ""
    queue: str | None = None
    labels: tuple[str, ...] = ()
    format: Format = Format.JSON
    secret: str | None = field(default=None, repr=False)
    smtp: str = ""
    sender: str = ""
    cwd: str = ""
    paused: bool = False
    is_crossed: bool = False
    changes: int = 0
    told: int = 0
    changed_at: datetime | None = None
    value: float | None = None
    alone_since: datetime | None = None
    rev: int = 1

    def wants(self, event: str, queue: str, labels: Collection[str] = ()) -> bool:
        """Whether an event of a job, or of a queue, is to be told."""
        return (
            event in self.events
            and not self.paused
            and self.queue in (None, queue)
            and set(self.labels) <= set(labels)
        )


def check_hook_name(word: str) -> str:
    """Return the name of a hook, short enough for the ids of its deliveries."""
    if is_name(word) and len(word) <= _LONGEST_NAME and ":" not in word:
        return word
    raise InvalidInput(
        f"the name {shown(word)} is not valid: 1 to {_LONGEST_NAME} letters, digits "
        "and . _ @ -, beginning with a letter or a digit"
    )


def parse_events(words: Sequence[str]) -> tuple[str, ...]:
    """Return the events named in `dead,failed` and the like, each once. Raises InvalidInput."""
    found: dict[str, None] = {}
    for word in (part.strip().lower() for given in words for part in given.split(",")):
        if word not in EVENTS:
            raise InvalidInput(
                f"unknown event {shown(word)}{nearest(word, list(EVENTS))}",
                hint=f"events: {', '.join(EVENTS)}",
            )
        found[word] = None
    return tuple(found)


def delivery_id(name: str, digest: str) -> str:
    """Return the id of the job that delivers one event of a hook; `digest` is 32 hex digits."""
    return f"{DELIVERY_IDS}{name}:{digest}"


def deliveries_of(name: str) -> str:
    """Return what the ids of a hook's deliveries begin with."""
    return f"{DELIVERY_IDS}{name}:"


def hook_of(job_id: str) -> str | None:
    """Return the hook whose delivery has this id; None for the id of any other job."""
    if not job_id.startswith(DELIVERY_IDS):
        return None
    found = _DELIVERY_ID.fullmatch(job_id)
    return found["name"] if found else None


def refuse_delivery_id(job_id: str) -> None:
    """Raise InvalidInput for an id of the form that only deliveries have."""
    if hook_of(job_id) is not None:
        raise InvalidInput(
            f"the id {shown(job_id)} has the form hook:NAME:DIGEST, which belongs to hooks"
        )


def pause(hook: Hook) -> Hook:
    """Return the hook as it is when it tells nothing until it is resumed."""
    if hook.paused:
        raise NothingDone(f"hook '{hook.name}' is paused already")
    return replace(hook, paused=True, rev=hook.rev + 1)


def resume(hook: Hook) -> Hook:
    """Return the hook as it goes on; what happened while it was paused is not told."""
    if not hook.paused:
        raise NothingDone(f"hook '{hook.name}' is not paused")
    return replace(hook, paused=False, alone_since=None, rev=hook.rev + 1)


def shown_address(hook: Hook) -> str:
    """Return where a hook leads as people may see it: of a URL, scheme and host alone."""
    if hook.target is not Target.WEBHOOK:
        return hook.address
    found = _HOST.fullmatch(hook.address)
    if found is None:
        return MASK
    rest = f"/{MASK}" if found["rest"] not in ("", "/") else found["rest"]
    return f"{found['scheme']}://{found['host']}{rest}"


def as_dict(hook: Hook) -> dict[str, Any]:
    """Return a hook as programs see it: no secret, times as text."""
    return {
        "name": hook.name,
        "on": list(hook.events),
        "when": hook.when or None,
        "queue": hook.queue,
        "labels": list(hook.labels),
        "target": hook.target.value,
        "address": shown_address(hook),
        "format": hook.format.value if hook.target is Target.WEBHOOK else None,
        "smtp": hook.smtp or None,
        "from": hook.sender or None,
        "cwd": hook.cwd or None,
        "has_secret": hook.secret is not None,
        "paused": hook.paused,
        "crossed": hook.is_crossed if hook.when else None,
        "changed_at": iso(hook.changed_at) if hook.changed_at else None,
        "value": hook.value,
        "created_at": iso(hook.created_at),
    }
