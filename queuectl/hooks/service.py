"""What a hook tells by one of the services that people use: `apprise` knows how to reach them.

Its own retries are off, as the queue retries; and a URL names one receiver, so that none is told
again because another one was not reached. `apprise` says in its log alone what has failed: of that
only the HTTP status is shown, as the rest may quote a secret.
"""

from __future__ import annotations

import logging
import re
from functools import cache, lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from queuectl.domain.errors import InvalidInput, nearest, shown
from queuectl.domain.hook_messages import Facts, details, headline, severity
from queuectl.hooks import DeliveryError, is_final_status

if TYPE_CHECKING:
    from apprise import AppriseAsset, NotifyBase

_INSTALL = "pip install 'queuectl-shell[notify]'"
_HINT = "for example ntfy://ntfy.sh/TOPIC; https://appriseit.com/services/ lists them all"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_STATUS = re.compile(r"\berror=([45]\d\d)\b")
_UNREACHED = re.compile(r"connection error|timed? ?out|socket", re.IGNORECASE)
_LONGEST = 8192


def scheme_of(url: str) -> str:
    """Return what an address begins with before `://`, in small letters; empty without that."""
    found = _SCHEME.match(url)
    return found[1].lower() if found else ""


def check_service_url(url: str) -> str:
    """Return a URL by which one receiver can be told. Raises InvalidInput, which quotes no secret.

    That is also raised where `apprise` is not installed.
    """
    if not url.isprintable() or any(char.isspace() for char in url) or len(url) > _LONGEST:
        raise InvalidInput("the URL of a hook has characters that must be percent-encoded", _HINT)
    try:
        plugin = _plugin(url)
    except ImportError:
        raise InvalidInput(
            f"hooks to {scheme_of(url)}:// need apprise, which is not installed", _INSTALL
        ) from None
    if plugin is None:
        raise InvalidInput(_why_refused(scheme_of(url)), _HINT)
    receivers = len(plugin)
    if receivers != 1:
        raise InvalidInput(
            f"the URL of a hook names one receiver, not {receivers}",
            "add a hook for each, so that none is told twice when another is not reached",
        )
    _require_encryption(plugin)
    return url


def _why_refused(scheme: str) -> str:
    known = _known_schemes()
    if scheme in known:
        return f"something is missing or wrong in the {scheme}:// URL"
    near = nearest(scheme, sorted(known))
    return f"no service is known by {shown(scheme)}{near}, and webhooks are http:// or https://"


@cache
def _known_schemes() -> frozenset[str]:
    from apprise import Apprise

    listed = Apprise().details()["schemas"]
    return frozenset(
        scheme
        for each in listed
        for kind in ("protocols", "secure_protocols")
        for scheme in each[kind] or ()
    )


def _require_encryption(plugin: NotifyBase) -> None:
    """Raise InvalidInput for mail that would go over a wire for everybody to read."""
    host = getattr(plugin, "smtp_host", None)
    if host is None or getattr(plugin, "secure", True) or _is_here(host):
        return
    raise InvalidInput("mailto:// is not encrypted", "mailtos:// is; or --mail with --smtp")


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@cache
def _asset() -> AppriseAsset:
    """Return how messages look: who they are from; and that nothing is kept on the disk."""
    from apprise import AppriseAsset, PersistentStoreMode

    logging.getLogger("apprise").propagate = False  # what it quotes may be secret
    return AppriseAsset(
        app_id="queuectl",
        app_desc="queuectl",
        async_mode=False,
        pgp_autogen=False,
        storage_mode=PersistentStoreMode.MEMORY,
    )


@lru_cache(maxsize=16)
def _plugin(url: str) -> NotifyBase | None:
    """Return what reaches the receiver of a URL; None for a URL that leads nowhere."""
    from apprise import Apprise
    from apprise.common import OverflowMode

    plugin = Apprise.instantiate(url, asset=_asset())
    if plugin is not None:
        plugin.retry = 0
        plugin.overflow_mode = OverflowMode.TRUNCATE  # several pieces may arrive in part
    return plugin


def prepare(url: str) -> None:
    """Have in memory what a message to a URL needs, for the processes that are forked."""
    try:
        _plugin(url)
    except ImportError:
        return  # the delivery says so


def send(url: str, facts: Facts) -> str:
    """Tell the receiver of a URL; return what is to be said of it. Raises DeliveryError."""
    try:
        from apprise import Apprise, NotifyFormat, NotifyType

        plugin = _plugin(url)
    except ImportError:
        raise DeliveryError(f"apprise is not installed here: {_INSTALL}") from None
    if plugin is None:
        raise DeliveryError(_why_refused(scheme_of(url)), is_final=True)
    service = str(plugin.service_name)
    sender = Apprise(asset=_asset())
    sender.add(plugin)
    result = sender.notify(
        details(facts),
        title=f"queuectl: {headline(facts)}",
        notify_type=NotifyType(severity(facts)),
        body_format=NotifyFormat.TEXT,
    )
    if result:
        return f"{service} took the message"
    log = "\n".join(str(entry.message) for entry in result.logs())
    if found := _STATUS.search(log):
        status = int(found[1])
        raise DeliveryError(f"{service} answered HTTP {status}", is_final=is_final_status(status))
    why = "cannot be reached" if _UNREACHED.search(log) else "did not take the message"
    raise DeliveryError(f"{service} {why}")
