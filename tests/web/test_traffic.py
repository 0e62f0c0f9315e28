"""How much is sent to a page that follows the store."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from queuectl.queue import Queue
from queuectl.system.job_logs import JobLogs
from queuectl.web.pages.changed import SentPages, changes
from tests.cli.harness import claim_next
from tests.web.browser import Visit, chromium, site, visit
from tests.web.kit import add

__all__ = ["chromium", "site", "visit"]

_LINES = st.lists(st.sampled_from(["", "a", "b", "<p>", "</p>", "\r", "é"])).map("\n".join)


@given(_LINES, _LINES)
def test_a_page_is_put_together_from_its_changes(base: str, text: str) -> None:
    lines, made = base.split("\n"), list[str]()
    for part in changes(base, text):
        made += [part] if isinstance(part, str) else lines[part[0] : part[0] + part[1]]
    assert "\n".join(made) == text


def test_only_the_latest_copies_are_remembered() -> None:
    sent = SentPages(most_bytes=10)
    first, second = sent.keep(b"123456"), sent.keep(b"1234")
    assert (sent.get(first), sent.get(second)) == (b"123456", b"1234")
    sent.keep(b"7")
    assert (sent.get(first), sent.get(second)) == (None, b"1234")


def test_what_another_site_asks_for_is_not_compressed(browser: TestClient, full: Queue) -> None:
    assert full.counts().total
    for site_of, encoding in (("same-origin", "gzip"), ("none", "gzip"), ("cross-site", None)):
        answer = browser.get("/jobs", headers={"sec-fetch-site": site_of})
        assert answer.headers.get("content-encoding") == encoding, site_of


def test_a_growing_log_costs_a_tenth_of_its_page_each_time(visit: Visit, queue: Queue) -> None:
    add(queue, "a")
    claim_next(queue)
    logs = JobLogs(queue.home)
    logs.directory("a").mkdir(parents=True)
    log = logs.stdout("a", 1)
    log.write_text("".join(f"line {number} of some length, with a word\n" for number in range(900)))
    visitor = visit()
    page = visitor.page
    visitor.go("/jobs/a")
    page.wait_for_selector("#live[data-state=on]")
    sent: list[int] = []

    def note(request: Any) -> None:
        if request.resource_type == "fetch":
            sent.append(request.sizes()["responseBodySize"])

    page.on("requestfinished", note)
    for number in range(6):
        with log.open("a") as file:
            file.write(f"news {number}\nand more\n")
        page.wait_for_selector(f".log .line:has-text('news {number}')")
    page.wait_for_function("document.querySelectorAll('.log .line').length === 912")
    whole = len(page.content())
    assert len(sent) >= 6
    assert sum(sent) < len(sent) * whole / 10
    assert sorted(sent)[len(sent) // 2] < whole / 50
    assert visitor.faults == []
