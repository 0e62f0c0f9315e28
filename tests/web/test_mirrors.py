"""The output of a run that goes on at another host, on the page of its job while somebody looks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from queuectl.system.home import Home
from queuectl.web import mirrors
from tests.stores.conftest import mongo_url
from tests.web.browser import Visitor, chromium, serving
from tests.web.kit import Served, policy
from tests.web.test_pages import text_of
from tests.worker.fleet import Fleet, eventually, fleet_in
from tests.worker.test_kept_logs import open_wishes

__all__ = ["chromium", "mongo_url"]

GATE = "while [ ! -e {} ]; do sleep 0.05; done"


@pytest.fixture
def there(tmp_path: Path, mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A host with workers; the dashboard is of another one, which shares its store."""
    here = Home(tmp_path / "here")
    here.make()
    monkeypatch.setenv("QUEUECTL_HOME", str(here.root))
    monkeypatch.setenv("QUEUECTL_STORE", mongo_url)
    with fleet_in(tmp_path, mongo_url) as fleet:
        fleet.start()
        yield fleet


def test_the_page_follows_a_run_of_another_host(
    chromium: Browser, there: Fleet, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    job_id = there.enqueue(
        f"echo one; {GATE.format(first)}; echo two; echo oops >&2; {GATE.format(second)}"
    )
    with serving() as url:
        visitor = Visitor(chromium, url)
        visitor.go(f"/jobs/{job_id}")
        page = visitor.page
        page.wait_for_selector(".log >> text=one")
        first.touch()
        page.wait_for_selector(".log >> text=two")
        page.wait_for_selector(".log >> text=oops")
        page.click("text=Whole output")
        page.wait_for_selector(".log >> text=oops")
        with page.expect_download() as download:
            page.click("text=Download")
        assert download.value.path().read_text() == "one\ntwo\noops\n"
        visitor.go(f"/jobs/{job_id}")
        second.touch()
        page.wait_for_selector("h1 + .badge:text-is('completed')")
        visitor.require_peace("the page of a run of another host")
        page.context.close()


def test_nothing_is_brought_when_nobody_looks_any_more(
    there: Fleet, tmp_path: Path, mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    job_id = there.enqueue(f"echo one; {GATE.format(gate)}", max_retries=1)
    eventually(lambda: there.job(job_id).state == "processing")
    with Served(policy()) as served:
        browser = served.logged_in()
        assert "nothing of its output is here yet" in text_of(browser.get(f"/jobs/{job_id}"))
        eventually(lambda: "one" in text_of(browser.get(f"/jobs/{job_id}")).partition("Output")[2])
        assert len(open_wishes(mongo_url)) == 1
        monkeypatch.setattr(mirrors, "KEPT_SECONDS", 0.0)
        eventually(lambda: not open_wishes(mongo_url))
    gate.touch()
