"""Pages that several tabs ask for at the same moment, made once for all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

SECONDS = 0.5
"""For so long a page is as good as new, where nothing that is known of has changed."""


class SharedPages:
    """What is being made, or was a moment ago, by what it depends on. For one event loop."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], tuple[float, asyncio.Future[bytes]]] = {}

    def forget(self) -> None:
        """Have all be made anew: something was changed here."""
        self._made.clear()

    async def get(self, key: tuple[object, ...], make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return what is there by a key, or else make it. Raises what making it does."""
        now = time.monotonic()
        self._made = {each: made for each, made in self._made.items() if now - made[0] < SECONDS}
        if key not in self._made:
            self._made[key] = (now, asyncio.ensure_future(make()))
        return await asyncio.shield(self._made[key][1])
