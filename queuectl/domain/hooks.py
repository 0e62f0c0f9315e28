"""A hook: what it is notified of, when and to whom; thresholds; the ids of its deliveries.

How an event is put into words is in `hook_messages`. That a threshold was crossed is first noted
in the hook's record, by compare-and-set, and then delivered: so a fleet delivers it once, and what
a crash left undelivered is delivered by whoever looks next.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from queuectl.domain.errors import InvalidInput, NothingDone, nearest, shown
from queuectl.domain.field_checks import is_name
from queuectl.domain.frozen import frozen, replace
from queuectl.domain.queue_limits import DELIVERY_IDS
from queuectl.domain.times import iso, iso_or_none, parse_duration, short_seconds
from queuectl.domain.views import MASK

COMPLETED, FAILED, DEAD, CANCELLED = "completed", "failed", "dead", "cancelled"
QUEUE_EMPTY = "queue-empty"
BATCH_DONE = "batch-done"
THRESHOLD = "threshold"
TEST = "test"
DIGEST = "digest"

EVENTS = (COMPLETED, FAILED, DEAD, CANCELLED, QUEUE_EMPTY, BATCH_DONE)
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
_SHORTEST_DIGEST, _LONGEST_DIGEST = 1.0, 604_800.0
_DELIVERY_ID = re.compile(rf"{DELIVERY_IDS}(?P<name>.+):(?P<digest>[0-9a-f]{{32}})")
_HOST = re.compile(r"(?P<scheme>[a-z]+)://(?:[^/?#]*@)?(?P<host>[^/?#@]+)(?P<rest>.*)", re.DOTALL)


class Target(str, Enum):
    """How a hook's events are delivered."""

    WEBHOOK = "webhook"
    COMMAND = "command"
    MAIL = "mail"
    SERVICE = "service"

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

    `address` is a URL (of a webhook; of a service, as apprise has it), a command for the shell
    that runs in `cwd`, or the recipients of mail with commas between them; `secret` signs a
    webhook, and is the password for the mail server at `smtp`. Only jobs of `queue` and with all
    `labels` count, where these are given. What happens within `digest` seconds is told together,
    where that is not 0.

    The rest is what a watched threshold has come to: whether it `is_crossed`, how often that has
    changed (`changes`), the last time `changed_at` with the measure at `value`; how many of these
    changes were `told`; and since when (`alone_since`) no worker has been seen. `unknown` is what a
    newer version has written beside this, as JSON, and is kept as it is.
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
    digest: float = 0.0
    paused: bool = False
    is_crossed: bool = False
    changes: int = 0
    told: int = 0
    changed_at: datetime | None = None
    value: float | None = None
    alone_since: datetime | None = None
    rev: int = 1
    unknown: str = field(default="", repr=False)

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


def parse_digest(text: str) -> float:
    """Return the length of a digest's window in `5m` and the like, in seconds."""
    seconds = parse_duration(text, "digest")
    if not _SHORTEST_DIGEST <= seconds <= _LONGEST_DIGEST:
        raise InvalidInput("a digest is of 1 second to 1 week", "for example --digest 5m")
    return seconds


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
    """Return where a hook leads as people may see it: of a URL, scheme and host alone.

    The host of a service may be its secret.
    """
    if hook.target is Target.SERVICE:
        return f"{hook.address.partition('://')[0].lower()}://{MASK}"
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
        "digest": hook.digest or None,
        "has_secret": hook.secret is not None,
        "paused": hook.paused,
        "crossed": hook.is_crossed if hook.when else None,
        "changed_at": iso_or_none(hook.changed_at),
        "value": hook.value,
        "created_at": iso(hook.created_at),
    }


DLQ_SIZE, OLDEST_DUE_AGE, NO_WORKER = "dlq-size", "oldest-due-age", "no-worker"
MEASURES = (DLQ_SIZE, OLDEST_DUE_AGE, NO_WORKER)

_FORM = re.compile(r"\s*(?P<measure>[a-z-]+)\s*>\s*(?P<limit>.+?)\s*", re.IGNORECASE)
_HINT = 'for example "dlq-size > 100", "oldest-due-age > 10m", "no-worker > 1m"'


@frozen
class Threshold:
    """A measure and its limit: jobs for the size of the DLQ, else seconds."""

    measure: str
    limit: float

    def __str__(self) -> str:
        return f"{self.measure} > {self.shown(self.limit)}"

    def shown(self, value: float) -> str:
        """Return a value of the measure as people read it."""
        return f"{value:g}" if self.measure == DLQ_SIZE else short_seconds(value)


def parse_threshold(text: str) -> Threshold:
    """Return the threshold in `dlq-size > 100` and the like. Raises InvalidInput."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise InvalidInput(f"{shown(text)} is not a threshold", hint=_HINT)
    measure = found["measure"].lower()
    if measure not in MEASURES:
        close = nearest(measure, list(MEASURES))
        raise InvalidInput(f"unknown measure {shown(measure)}{close}", hint=_HINT)
    if measure != DLQ_SIZE:
        return Threshold(measure, parse_duration(found["limit"], "limit"))
    if not found["limit"].isdecimal():
        raise InvalidInput(f"limit {shown(found['limit'])} is not a whole number", hint=_HINT)
    return Threshold(measure, float(found["limit"]))


def seen(hook: Hook, has_worker: bool, now: datetime) -> Hook:
    """Return a hook that knows since when no worker lives; itself when nothing has changed."""
    if has_worker == (hook.alone_since is None):
        return hook
    return replace(hook, alone_since=None if has_worker else now, rev=hook.rev + 1)


def judged(hook: Hook, value: float, now: datetime) -> Hook:
    """Return a hook that knows on which side of its limit the measure is.

    It is returned as it is when that is the same side as before, and while its latest change
    has not been told: one after the other.
    """
    is_crossed = value > parse_threshold(hook.when).limit
    if is_crossed == hook.is_crossed or is_owed(hook):
        return hook
    return replace(
        hook,
        is_crossed=is_crossed,
        changes=hook.changes + 1,
        changed_at=now,
        value=value,
        rev=hook.rev + 1,
    )


def is_owed(hook: Hook) -> bool:
    """Whether a change has been noted that has not been told."""
    return hook.told < hook.changes


def told(hook: Hook) -> Hook:
    """Return the hook when its latest change has been handed over for delivery."""
    return replace(hook, told=hook.changes, rev=hook.rev + 1)
