"""The dashboard below a path of a site with TLS: a real browser, and a real nginx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from queuectl.queue import Queue
from tests.web.browser import Visitor, chromium, serving
from tests.web.kit import add
from tests.web.nginx import free_port, program, proxy

__all__ = ["chromium"]

ROOT = "/queue"
PAGES = ("/", "/jobs", "/jobs/a", "/dlq", "/queues", "/workers", "/schedules", "/hooks",
         "/deliveries", "/settings")  # fmt: skip


@pytest.fixture(params=["", "/"], ids=["path left", "path taken away"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The home of the test, served by nginx below a path."""
    program()
    with free_port() as listener:
        origin = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with (
            serving(origin=origin, open_reading=False, root=ROOT) as url,
            proxy(listener, url + request.param, tmp_path, f"{ROOT}/"),
        ):
            yield origin + ROOT


def test_pages_buttons_and_events_work_behind_a_proxy_with_a_path(
    chromium: Browser, queue: Queue, site: str
) -> None:
    add(queue, "a")
    visitor = Visitor(chromium, site, ignore_https_errors=True)
    page = visitor.page
    for path in PAGES:
        visitor.go(path)
        visitor.require_peace(path)
    visitor.go("/")
    page.wait_for_selector("#live[data-state=on]")
    add(queue, "b")
    page.wait_for_selector("[data-count=pending]:text-is('2')")
    page.click("nav >> text=Jobs")
    page.wait_for_url(f"{site}/jobs")
    page.check("input[value=b]")
    page.click("button:text-is('Delete selected')")
    page.click("button:text-is('Yes, delete 1 job')")
    page.wait_for_selector("tr[data-key=b]", state="detached")
    page.click("text=Dark")
    page.wait_for_selector("html[data-theme=dark]")
    page.wait_for_url(f"{site}/jobs")
    visitor.require_peace("jobs")
    page.click("button:text-is('Log out')")
    page.wait_for_selector("input[name=token]")
    assert page.url.startswith(f"{site}/login")
    page.context.close()


def test_forms_without_a_script_work_there_too(chromium: Browser, queue: Queue, site: str) -> None:
    add(queue, "a")
    visitor = Visitor(chromium, site, ignore_https_errors=True, java_script_enabled=False)
    page = visitor.page
    visitor.go("/jobs/a")
    page.click("button:text-is('Pause')")
    page.wait_for_selector(".toast.ok")
    assert page.url == f"{site}/jobs/a"
    assert queue.get("a").paused
    page.context.close()
