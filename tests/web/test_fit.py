"""What is on a page can be seen: nothing is cut off, or out of the window, where there is much."""

from __future__ import annotations

import pytest

from queuectl.presentation.status import totals
from queuectl.queue import Queue
from queuectl.web import pages
from queuectl.web.pages import wall
from tests.cli.harness import play_worker
from tests.web.browser import Visit, chromium, site, visit
from tests.web.kit import add

__all__ = ["chromium", "site", "visit"]

DESK = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
_OUTSIDE = """
all => all.filter((each) => {
  const { left, right } = each.getBoundingClientRect();
  return left < 0 || right > document.documentElement.clientWidth;
}).length
"""
_WRAPPED = """
all => all.filter((each) => {
  const text = document.createRange();
  text.selectNodeContents(each.firstChild);
  return text.getBoundingClientRect().right > each.closest("li").getBoundingClientRect().right
    || new Set([...text.getClientRects()].map(({ bottom }) => Math.round(bottom))).size > 1;
}).map((each) => each.textContent)
"""


@pytest.mark.parametrize("viewport", [DESK, PHONE])
def test_a_worker_can_be_stopped_whatever_its_job_is_called(
    visit: Visit, queue: Queue, viewport: dict[str, int]
) -> None:
    add(queue, "job", "/opt/company/department/bin/convert --option=value " + "--long=name " * 9)
    play_worker(queue, jobs=1)
    visitor = visit(viewport=viewport)
    visitor.go("/workers")
    assert visitor.page.locator("button:text-is('Stop')").evaluate_all(_OUTSIDE) == 0


@pytest.mark.parametrize("viewport", [DESK, PHONE])
def test_questions_are_asked_within_the_window(
    visit: Visit, queue: Queue, viewport: dict[str, int]
) -> None:
    for name in ("first", "second", "third"):
        queue.schedules.add(name, "0 3 * * *", {"command": "./backup.sh"}, tz="UTC")
    visitor = visit(viewport=viewport)
    visitor.go("/schedules")
    for number in range(3):
        visitor.page.locator("summary:text-is('Remove')").nth(number).click()
        asked = visitor.page.locator("details[open] .ask")
        asked.wait_for()
        assert asked.evaluate_all(_OUTSIDE) == 0
    visitor.require_peace("schedules")


@pytest.mark.parametrize("number", [7, 4321, 100_061, 1_234_567])
def test_large_numbers_stay_in_their_tiles(
    visit: Visit, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for module in (pages, wall):
        monkeypatch.setattr(module, "totals", lambda counts: dict.fromkeys(totals(counts), number))
    visitor = visit(viewport=DESK)
    for path, numbers in (("/", ".tiles .number"), ("/wall", ".big .number")):
        visitor.go(path)
        assert visitor.page.locator(numbers).evaluate_all(_WRAPPED) == [], path


def test_the_colours_can_be_chosen_on_a_phone(visit: Visit) -> None:
    visitor = visit(viewport=PHONE, color_scheme="light")
    visitor.page.click(".theme >> text=Dark")
    visitor.page.wait_for_selector("html[data-theme=dark]")
    assert visitor.page.locator("header a, header button").evaluate_all(_OUTSIDE.replace(
        "all.filter", "all.filter((each) => !each.closest('nav')).filter"
    )) == 0  # fmt: skip
