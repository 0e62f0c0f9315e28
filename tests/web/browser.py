"""A real browser that looks at a dashboard, and somebody who uses it."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from queuectl.system.home import find_location
from queuectl.web.app import build
from queuectl.web.server import config_of
from tests.web.kit import TOKEN, policy

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 60_000
_FLAGS = [
    "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the tests of the dashboard need chromium: apt-get install chromium")
        pytest.skip("no chromium on PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser
        browser.close()


@contextmanager
def serving(port: int = 0, **changes: Any) -> Iterator[str]:
    """Serve the home of the test, at a free port unless one is named; the value is its address.

    `changes` are those of what it allows.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        port = listener.getsockname()[1]
        app, state = build(find_location(), policy(port=port, **changes))
        server = uvicorn.Server(config_of(app, state))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            state.live.close()
            server.should_exit = True
            thread.join(30)


@pytest.fixture
def site() -> Iterator[str]:
    """The home of the test, served; the value is its address."""
    with serving() as url:
        yield url


class Visitor:
    """Somebody with a browser, who has logged in; notes what goes wrong in it."""

    def __init__(self, browser: Browser, url: str, **look: Any) -> None:
        context = browser.new_context(**look)
        context.add_init_script(_WATCH)
        self._url = url
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.faults: list[str] = []
        self.page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        self.page.on(
            "console",
            lambda said: self.faults.append(said.text) if said.type == "error" else None,
        )
        self.go("/login")
        self.page.fill("input[name=token]", TOKEN)
        self.page.press("input[name=token]", "Enter")
        self.page.wait_for_selector("nav")

    def go(self, path: str) -> None:
        """Open a page."""
        self.page.goto(self._url + path)

    def require_peace(self, where: str) -> None:
        """Assert that no script failed, and nothing was done that the policy forbids."""
        assert self.page.evaluate("window.violations") == [], where
        assert self.faults == [], where


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(chromium: Browser, site: str) -> Iterator[Visit]:
    """What lets somebody in; arguments say what their browser is like."""
    yield partial(Visitor, chromium, site)
    for context in chromium.contexts:
        context.close()
