"""A page whose dashboard goes away, and comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from playwright.sync_api import Browser

from queuectl.queue import Queue
from tests.web.browser import PATIENCE_MS, Visit, Visitor, chromium, serving, site, visit
from tests.web.kit import TOKEN, add

__all__ = ["chromium", "site", "visit"]

MOST_ASKED = 3


@contextmanager
def proxy_alone(port: int) -> Iterator[threading.Event]:
    """Answer as a proxy does whose dashboard is away; the event is set once it was asked often."""
    asked, often = [], threading.Event()

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if len(asked) >= MOST_ASKED:
                often.set()
            self.send_response(502)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html><h1>502 Bad Gateway</h1></html>")

        def log_message(self, *_said: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Proxy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield often
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_page_connects_again_whatever_has_answered_meanwhile_and_one_can_log_in(
    chromium: Browser, queue: Queue
) -> None:
    with serving() as url:
        visitor = Visitor(chromium, url)
        page = visitor.page
        visitor.go("/jobs")
        page.wait_for_selector("#live[data-state=on]")
    port = urlsplit(url).port or 0
    with proxy_alone(port) as often:
        page.wait_for_selector("#live[data-state=trouble]")
        deadline = PATIENCE_MS / 100
        while not often.is_set() and deadline:
            page.wait_for_timeout(100)  # which lets the browser go on
            deadline -= 1
    assert often.is_set()
    add(queue, "meanwhile")
    with serving(port):
        page.wait_for_selector("#live[data-state=on]")
        page.wait_for_selector("tr[data-key=meanwhile]")
        page.click("text=Log in to make changes")
        page.fill("input[name=token]", TOKEN)
        page.press("input[name=token]", "Enter")
        page.wait_for_selector("button:text-is('Log out')")
        page.context.close()


def test_a_job_that_is_deleted_elsewhere_is_not_shown_as_if_it_were_there(
    visit: Visit, queue: Queue
) -> None:
    add(queue, "a")
    visitor = visit()
    visitor.go("/jobs/a")
    visitor.page.wait_for_selector("#live[data-state=on]")
    queue.delete("a")
    visitor.page.wait_for_selector("main:has-text(\"no job 'a'\")")
    add(queue, "a")
    visitor.page.wait_for_selector("h1:has-text('Job a')")


def test_a_page_says_that_its_store_is_gone_and_goes_on_when_it_is_back(
    visit: Visit, queue: Queue
) -> None:
    add(queue, "a")
    visitor = visit(locale="en-US", timezone_id="Asia/Tokyo")
    page = visitor.page
    visitor.go("/jobs/a")
    page.wait_for_selector("dd time:has-text('GMT+9')")
    page.wait_for_selector("#live[data-state=on]")
    file = queue.home.store_file
    moved = file.rename(file.with_name("moved.db"))
    page.wait_for_selector("#live[data-state=trouble]:has-text('gone')")
    assert page.locator("h1:has-text('Job a')").count() == 1
    moved.rename(file)
    page.wait_for_selector("#live[data-state=on]")
