"""The dashboard in a real browser: what it runs, what it shows live, what the keyboard reaches."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Page

from queuectl.domain.job import Outcome, State
from queuectl.queue import Queue, open_queue
from queuectl.system.job_logs import JobLogs
from tests.cli.harness import claim_next, run_next
from tests.web.browser import Visit, chromium, site, visit
from tests.web.kit import ANSI, HOSTILE, add, fill

__all__ = ["chromium", "site", "visit"]

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
PAGES = (
    "/",
    "/jobs",
    "/dlq",
    "/queues",
    "/batches",
    "/workers",
    "/schedules",
    "/hooks",
    "/settings",
)
LOOKED_AT = {
    "light": ("/", "/jobs/dead1"),
    "dark, on a phone": ("/dlq",),
}
"""On which pages everything is looked at for those who read otherwise; it takes a while."""

_ASK_AXE = """
axe.run(document, {resultTypes: ["violations"]}).then((found) => found.violations.flatMap(
  (each) => each.nodes.map((node) => `${each.id}: ${node.html}`)))
"""
_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_OPEN = "document.querySelectorAll('details').forEach((each) => { each.open = true; });"


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
        (dark, "dark, on a phone", ("/", "/dlq", "/jobs?label=video", "/hooks", "/jobs/running1")),
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
    page.click("button:text-is('Yes, stop 1 job')")
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
    page.click("button:text-is('Purge all')")
    page.click("button:text-is('Yes, delete 1 job')")
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
    for _ in range(23):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) != "none", reached
    assert reached == [
        "Skip to content", "queuectl", "Overview", "Jobs", "Dead letters", "Queues", "Batches",
        "Figures", "Workers", "Schedules", "Hooks", "Settings", "Who did what", "Auto", "Light",
        "Dark", "Log out",
        "Pause", "Cancel", "Edit", "Clone", "Delete", "default",
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
