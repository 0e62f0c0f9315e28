"""Events for browsers: they come when something has changed, and end when they must."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from queuectl.queue import Queue
from queuectl.system.home import find_location
from queuectl.web.live import Live
from tests.hooks.kit import hook
from tests.web.kit import add

_PATIENCE = 30.0


async def next_event(events: AsyncGenerator[bytes, None], kind: str) -> dict[str, Any]:
    """Return the data of the next event of a kind."""
    while True:
        text = (await asyncio.wait_for(anext(events), _PATIENCE)).decode()
        for event in text.split("\n\n"):
            if event.startswith(f"event: {kind}\n"):
                found: dict[str, Any] = json.loads(event.partition("data: ")[2])
                return found


def stream(
    live: Live, log: tuple[Path, ...], may_go_on: Callable[[], bool]
) -> AsyncGenerator[bytes, None]:
    """Return what one more browser is sent."""
    return live.stream(live.enter(), log, may_go_on)


def test_each_change_of_the_store_is_told_to_every_browser_by_one_thread(queue: Queue) -> None:
    async def play() -> None:
        queue.hooks.add(hook("team", when="dlq-size > 1"))
        live = Live(find_location())
        one, other = (
            stream(live, (), lambda: True),
            stream(live, (), lambda: True),
        )
        first = [await next_event(events, "look") for events in (one, other)]
        assert [each["counts"]["total"] for each in first] == [0, 0]
        follower = live._follower
        add(queue, "a")
        second = [await next_event(events, "look") for events in (one, other)]
        assert [each["counts"]["pending"] for each in second] == [1, 1]
        assert all(
            now["version"] > then["version"] for now, then in zip(second, first, strict=True)
        )
        queue.pause("a")  # which changes no count
        third = await next_event(one, "look")
        assert third["version"] > second[0]["version"]
        queue.hooks.pause("team")  # which changes no job
        fourth = await next_event(one, "look")
        assert fourth["version"] > third["version"]
        assert live._follower is follower
        await one.aclose()
        await other.aclose()
        assert live._follower is None

    asyncio.run(play())


def test_a_log_that_grows_is_told(queue: Queue, tmp_path: Path) -> None:
    log = tmp_path / "1.out"

    async def play() -> None:
        live = Live(find_location())
        events = stream(live, (log,), lambda: True)
        await next_event(events, "look")
        log.write_text("more\n")
        assert await next_event(events, "log") == {}
        await events.aclose()

    add(queue, "a")
    asyncio.run(play())


def test_streams_end_when_the_dashboard_does_and_when_the_session_has() -> None:
    async def play() -> None:
        live, allowed = Live(find_location()), [True]
        one, other = (
            stream(live, (), lambda: allowed[0]),
            stream(live, (), lambda: True),
        )
        for events in (one, other):
            await next_event(events, "look")
        allowed[0] = False
        waiting = [asyncio.ensure_future(anext(events, b"over")) for events in (one, other)]
        await asyncio.sleep(0)
        live.close()
        assert await asyncio.wait_for(asyncio.gather(*waiting), _PATIENCE) == [b"over", b"over"]

    asyncio.run(play())
