"""The dashboard in a real browser: what it runs, what it shows live, what the keyboard reaches."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from queuectl.domain.job import Outcome, State
from queuectl.queue import Queue, open_queue
from queuectl.system.home import find_location
from queuectl.system.job_logs import JobLogs
from queuectl.web.app import build
from tests.cli.harness import claim_next, run_next
from tests.web.kit import ANSI, HOSTILE, TOKEN, add, fill, policy

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PAGES = ("/", "/jobs", "/dlq", "/queues", "/workers", "/schedules", "/hooks", "/settings")
LOOKED_AT = {
    "light": ("/", "/jobs/dead1"),
    "dark, on a phone": ("/dlq",),
}
"""On which pages everything is looked at for those who read otherwise; it takes a while."""

PATIENCE_MS = 60_000
_FLAGS = [
    "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_ASK_AXE = """
axe.run(document, {resultTypes: ["violations"]}).then((found) => found.violations.flatMap(
  (each) => each.nodes.map((node) => `${each.id}: ${node.html}`)))
"""
_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_OPEN = "document.querySelectorAll('details').forEach((each) => { each.open = true; });"
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


@pytest.fixture
def site() -> Iterator[str]:
    """The home of the test, served; the value is its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        app, state = build(find_location(), policy(port=port))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{port}"
        state.live.close()
        server.should_exit = True
        thread.join(30)


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


def faults_for_readers(page: Page) -> list[str]:
    """Return what axe finds: contrast, labels, landmarks, roles."""
    page.evaluate(AXE)
    found: list[str] = page.evaluate(_ASK_AXE)
    return found


def test_every_page_is_fit_for_all_readers_and_nothing_in_it_fails(
    visit: Visit, queue: Queue
) -> None:
    light = visit(color_scheme="light")
    for path in PAGES:
        light.go(path)
        light.require_peace(f"{path} without jobs")
    fill(queue)
    dark = visit(color_scheme="dark", viewport={"width": 390, "height": 844})
    for visitor, look, paths in (
        (light, "light", (*PAGES, "/jobs/dead1")),
        (dark, "dark, on a phone", ("/", "/dlq", "/hooks", "/jobs/running1")),
    ):
        for path in paths:
            where = f"{path}, {look}"
            visitor.go(path)
            if path in LOOKED_AT[look]:
                assert faults_for_readers(visitor.page) == [], where
            assert visitor.page.evaluate(_WIDE) == 0, where
            assert visitor.page.evaluate(_OPEN + _WIDE) == 0, f"{where}, with all questions"
            visitor.require_peace(where)


def test_a_page_follows_the_store_and_a_button_changes_it(visit: Visit, queue: Queue) -> None:
    visitor = visit()
    page = visitor.page
    visitor.go("/")
    page.wait_for_selector("#live[data-state=on]")
    add(queue, "a", "echo a", max_retries=1)
    page.wait_for_selector("[data-count=pending]:text-is('1')")

    claim_next(queue)
    visitor.go("/jobs/a")
    page.wait_for_selector("#live[data-state=on]")
    logs = JobLogs(queue.home)
    logs.directory("a").mkdir(parents=True)
    logs.stdout("a", 1).write_text("\x1b[32mfirst\x1b[0m\n")
    page.wait_for_selector(".log .i2:text-is('first')")
    with logs.stdout("a", 1).open("a") as log:
        log.write("second\n")
    page.wait_for_selector(".log .line:has-text('second')")
    page.click("button:text-is('Cancel')")
    page.wait_for_selector(".toast.ok:has-text(\"Stopping job 'a'\")")
    page.wait_for_selector(".badge:text-is('cancelling')")
    assert queue.get("a").cancel_requested

    for name in ("b", "c"):
        add(queue, name, "false", max_retries=1)
        run_next(queue, Outcome(exit_code=1, error="Exit code 1"))
    visitor.go("/dlq")
    page.check("input[value=b]")
    page.click("button:text-is('Retry selected')")
    page.wait_for_selector("tr[data-key=b]", state="detached")
    assert queue.get("b").state is State.PENDING
    page.click("summary:text-is('Purge all')")
    page.click("button:text-is('Yes, purge all')")
    page.wait_for_selector("text=The dead letter queue is empty")
    assert queue.counts().of(State.DEAD) == 0
    visitor.require_peace("at the end")


def test_the_keyboard_reaches_everything_in_the_order_in_which_it_is_read(
    visit: Visit, queue: Queue
) -> None:
    add(queue, "a", "true")
    visitor = visit()
    visitor.go("/jobs/a")
    page, reached = visitor.page, []
    for _ in range(15):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) != "none", reached
    assert reached == [
        "Skip to content", "queuectl", "Overview", "Jobs", "Dead letters", "Queues", "Workers",
        "Schedules", "Hooks", "Settings", "Log out", "Pause", "Cancel", "Delete", "default",
    ]  # fmt: skip
    page.focus("summary")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    focused = "document.activeElement.textContent"
    assert page.evaluate(focused) == "Yes, delete"
    page.keyboard.press("Escape")
    assert page.evaluate(focused) == "Delete"


def test_a_hostile_job_runs_nothing_in_the_browser(visit: Visit, queue: Queue) -> None:
    add(queue, "evil", f"echo {HOSTILE}", labels=[HOSTILE[:100]], max_retries=1)
    run_next(queue, Outcome(exit_code=1, error=HOSTILE, stdout=f"{HOSTILE}{ANSI}", stderr=HOSTILE))
    visitor = visit()
    page = visitor.page
    for path in ("/", "/dlq", "/jobs/evil"):
        visitor.go(path)
        page.wait_for_selector("#live[data-state=on]")
        with open_queue() as other:  # so that the script puts a fresh copy into the page
            add(other, f"more{path.count('e')}-{len(path)}")
        if path == "/":
            page.wait_for_selector("[data-count=pending]:text-is('1')")
        assert "queuectl" in page.title()
        assert page.locator("main img, main script").count() == 0
        assert "document.title='run'" in page.inner_text("main")
        visitor.require_peace(path)
