"""One event of a hook on its way out: to a webhook, by mail, by a service, or into a command.

It runs in a process of its own, which the postroom of a courier forks for each delivery, so a
receiver that is slow or hangs holds up nothing but that one.
"""

from __future__ import annotations

import hmac
import json
import math
import os
import subprocess
import time
from email.utils import parsedate_to_datetime
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.hook_messages import Facts, sentence
from queuectl.domain.hooks import Format, Hook, Target
from queuectl.domain.times import UTC, short_seconds
from queuectl.hooks import LONGEST_WAIT, DeliveryError, is_final_status
from queuectl.system.home import STORE_VARIABLES
from queuectl.version import __version__

if TYPE_CHECKING:
    from ssl import SSLContext

HTTP_SECONDS = 10.0
SIGNATURE = "X-Queuectl-Signature"
DELIVERY = "X-Queuectl-Delivery"

_ASKS_FOR_TIME = frozenset({429, 503})
"""The answers whose Retry-After is obeyed."""


def prepare(hook: Hook) -> None:
    """Have in memory what deliveries of such a hook need, for the processes that are forked."""
    if hook.target is Target.WEBHOOK:
        _trust()
    elif hook.target is Target.MAIL:
        import queuectl.hooks.email  # noqa: F401
    elif hook.target is Target.SERVICE:
        from queuectl.hooks import service

        service.prepare(hook.address)


@cache
def _trust() -> SSLContext:
    """Return whose certificates are believed; to read them takes longer than to post."""
    import httpx

    return httpx.create_ssl_context()


def deliver(hook: Hook, facts: Facts, delivery: str) -> str:
    """Deliver an event; return what is to be said of it. Raises DeliveryError.

    `delivery` names the event: a receiver that gets it twice sees the same name.
    """
    if hook.target is Target.COMMAND:
        return _run(hook, facts, delivery)
    if hook.target is Target.MAIL:
        from queuectl.hooks.email import send_mail

        return send_mail(hook, facts, delivery)
    if hook.target is Target.SERVICE:
        from queuectl.hooks.service import send

        return send(hook.address, facts)
    return _post(hook, facts, delivery)


def body_of(hook: Hook, facts: Facts, delivery: str) -> bytes:
    """Return what a webhook is sent."""
    text = sentence(facts)
    if hook.format is Format.SLACK:
        for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(char, entity)
        return json.dumps({"text": f"queuectl: {text}"}).encode()
    return json.dumps({"id": delivery, "hook": hook.name, "text": text, **facts}).encode()


def signature(secret: str, body: bytes, at: int) -> str:
    """Return the value of the header that proves who sent a body, and when (seconds)."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, sha256)
    return f"t={at},v1={signed.hexdigest()}"


def _post(hook: Hook, facts: Facts, delivery: str) -> str:
    import httpx

    body = body_of(hook, facts, delivery)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"queuectl/{__version__}",
        "Idempotency-Key": delivery,
        DELIVERY: delivery,
    }
    if hook.secret:
        headers[SIGNATURE] = signature(hook.secret, body, int(time.time()))
    host = urlsplit(hook.address).hostname
    try:
        with (
            httpx.Client(verify=_trust(), timeout=HTTP_SECONDS, follow_redirects=False) as client,
            client.stream("POST", hook.address, content=body, headers=headers) as answer,
        ):
            status, wanted = answer.status_code, answer.headers.get("Retry-After", "")
    except httpx.TimeoutException:
        raise DeliveryError(f"{host} did not answer within {HTTP_SECONDS:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as fault:
        why = str(fault).replace(hook.address, "the URL") or type(fault).__name__
        raise DeliveryError(f"{host} cannot be reached: {why}") from None
    if 200 <= status < 300:
        return f"{host} answered HTTP {status}"
    more = "; a hook follows no redirect" if status < 400 else ""
    wait = retry_after(wanted, time.time()) if status in _ASKS_FOR_TIME else 0.0
    if wait:
        more = f"; it asks for {short_seconds(wait)}"
    raise DeliveryError(
        f"{host} answered HTTP {status}{more}",
        is_final=is_final_status(status),
        retry_after=wait,
    )


def retry_after(value: str, now: float) -> float:
    """Return how many seconds a header Retry-After asks for, at the time `now` (since 1970).

    It holds seconds or an HTTP date (RFC 9110, section 10.2.3); 0 for anything else. A day at most.
    """
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    if until.tzinfo is None:  # the form of asctime(3), which is in UTC too
        until = until.replace(tzinfo=UTC)
    return min(max(0.0, math.ceil(until.timestamp() - now)), LONGEST_WAIT)


def _run(hook: Hook, facts: Facts, delivery: str) -> str:
    """Run the hook's command, which finds the facts in its environment. Raises DeliveryError."""
    environment = {k: v for k, v in os.environ.items() if k not in STORE_VARIABLES}
    environment |= facts_as_variables(hook, facts, delivery)
    try:
        ended = subprocess.run(
            ["/bin/sh", "-c", hook.address],
            cwd=hook.cwd or "/",
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except OSError as fault:
        why = f"{fault.strerror}: {fault.filename}" if fault.filename else str(fault)
        raise DeliveryError(f"the command could not be started: {why}") from None
    if ended.returncode:
        how = f"signal {-ended.returncode}" if ended.returncode < 0 else str(ended.returncode)
        raise DeliveryError(f"the command ended with {how}")
    return "the command ended with 0"


def facts_as_variables(hook: Hook, facts: Facts, delivery: str) -> dict[str, str]:
    """Return the facts of an event as environment variables; what is unknown is empty."""
    job = facts.get("job") or {}
    values = {
        "EVENT": facts["event"],
        "EVENT_TEXT": sentence(facts),
        "EVENT_JSON": body_of(hook, facts, delivery).decode(),
        "HOOK": hook.name,
        "DELIVERY_ID": delivery,
        "JOB_ID": job.get("id"),
        "QUEUE": facts.get("queue"),
        "STATE": job.get("state"),
        "RUN": job.get("run"),
        "ATTEMPT": job.get("attempts"),
        "EXIT_CODE": job.get("exit_code"),
        "ERROR": job.get("error"),
    }
    return {
        f"QUEUECTL_{name}": "" if value is None else str(value).replace("\0", "")
        for name, value in values.items()
    }


def check_url(url: str) -> str:
    """Return the address of a webhook. Raises InvalidInput, which quotes none of its secrets."""
    hint = "for example https://example.com/hooks/queuectl"
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInput("the URL of a hook has characters that must be percent-encoded", hint)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise InvalidInput("the URL of a hook is malformed", hint) from None
    if parts.scheme not in ("http", "https"):
        found = f", not {shown(parts.scheme)}" if parts.scheme else ""
        raise InvalidInput(f"the URL of a hook begins with https:// or http://{found}", hint)
    if not parts.hostname:
        raise InvalidInput("the URL of a hook names no host", hint)
    return url
