"""Whom a job follows and who follows it, on its page."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from queuectl.domain.job import Outcome
from queuectl.queue import Queue
from queuectl.web.pages import family
from tests.cli.harness import run_next
from tests.web.kit import add
from tests.web.test_pages import text_of


def test_the_page_of_a_job_has_its_parents_and_its_children_with_their_states(
    browser: TestClient, queue: Queue
) -> None:
    add(queue, "root")
    add(queue, "in-batch", batch="sweep")
    add(queue, "left", after=["root"])
    add(queue, "right", after_any=["root"])
    add(queue, "end", after=["left", "right"], after_any=["batch:sweep"])
    run_next(queue, Outcome(exit_code=0))
    text = text_of(browser.get("/jobs/root"))
    assert "It is followed by pending left pending end pending right after any pending end" in text
    assert "pending end (see above)" in text
    assert "It follows pending" not in text
    page = browser.get("/jobs/end")
    text = text_of(page)
    assert "It follows pending left completed root pending right completed root" in text
    assert 'href="/batches/sweep"' in page.text
    assert "What it follows" not in text_of(browser.get("/jobs/in-batch"))
    queue.delete("root")
    assert "deleted root" in text_of(browser.get("/jobs/end"))


@pytest.mark.parametrize(("most", "seconds"), [(5, 60.0), (60, 60.0), (60, 0.0)])
def test_of_a_large_family_a_part_is_shown(
    browser: TestClient, queue: Queue, monkeypatch: pytest.MonkeyPatch, most: int, seconds: float
) -> None:
    monkeypatch.setattr(family, "MOST_SHOWN", most)
    monkeypatch.setattr(family, "SECONDS", seconds)
    add(queue, "job0")
    for number in range(1, 9):
        add(queue, f"job{number}", after=[f"job{number - 1}"])
    page = browser.get("/jobs/job0").text
    assert "There are more than are shown" in page
    shown = re.findall(r'class="id" href="/jobs/(job\d)"', page)
    number = {0.0: 1}.get(seconds, min(most, family.DEEPEST))
    assert shown == [f"job{n}" for n in range(1, number + 1)]
