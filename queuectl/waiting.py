"""Sleeping until something happens."""

from __future__ import annotations

import select


def wait_readable(descriptors: list[int], seconds: float | None) -> bool:
    """Sleep until a descriptor is readable (True) or time is up (False; None waits for ever)."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(None if seconds is None else max(0.0, seconds) * 1000))
