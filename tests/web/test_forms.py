"""Forms in a real browser, which says where each request comes from: with and without scripts."""

from __future__ import annotations

import pytest

from queuectl.domain.job import State
from queuectl.domain.job_fields import ASKED
from queuectl.queue import Queue
from tests.cli.harness import play_worker
from tests.web.browser import Visit, Visitor, chromium, site, visit
from tests.web.kit import add

__all__ = ["chromium", "site", "visit"]

with_and_without_scripts = pytest.mark.parametrize("scripts", [True, False])


@with_and_without_scripts
def test_a_form_does_what_it_says_and_one_can_log_out(
    visit: Visit, queue: Queue, scripts: bool
) -> None:
    add(queue, "a")
    visitor = visit(java_script_enabled=scripts)
    page = visitor.page
    visitor.go("/jobs/a")
    page.click("button:text-is('Pause')")
    page.wait_for_selector(".toast.ok:has-text(\"Paused job 'a'\")")
    assert queue.get("a").paused

    visitor.go("/jobs")
    page.click("summary:text-is('New job')")
    page.fill("input[name=command]", "echo new")
    page.fill("input[name=id]", "new")
    page.click("button:text-is('Enqueue')")
    page.wait_for_selector("tr[data-key=new]")
    assert queue.get("new").state is State.PENDING

    page.click("button:text-is('Log out')")
    page.wait_for_selector("text=Log in to make changes")
    assert visitor.faults == []


def test_what_is_typed_stays_while_the_page_follows_the_store(visit: Visit, queue: Queue) -> None:
    visitor = visit()
    page = visitor.page
    visitor.go("/jobs")
    page.wait_for_selector("#live[data-state=on]")
    page.click("summary:text-is('New job')")
    page.fill("input[name=id]", "half-typed")
    page.fill("input[name=command]", "echo ha")
    add(queue, "other")
    page.wait_for_selector("tr[data-key=other]")
    assert page.input_value("input[name=id]") == "half-typed"
    assert page.evaluate("document.activeElement.name") == "command"
    page.keyboard.type("lf")
    assert page.input_value("input[name=command]") == "echo half"


def test_what_is_selected_stays_so_when_jobs_come_and_go(visit: Visit, queue: Queue) -> None:
    for name in ("first", "chosen", "last"):
        add(queue, name)
    visitor = visit()
    page = visitor.page
    visitor.go("/jobs")
    page.wait_for_selector("#live[data-state=on]")
    page.check("input[value=chosen]")
    row = page.query_selector("tr[data-key=chosen]")
    assert row
    add(queue, "other")
    page.wait_for_selector("tr[data-key=other]")
    queue.delete("last")
    page.wait_for_selector("tr[data-key=last]", state="detached")
    assert row.evaluate("row => row.isConnected")
    assert page.is_checked("input[value=chosen]")
    assert page.evaluate("document.activeElement.value") == "chosen"
    page.click("button:text-is('Delete selected')")
    page.click("button:text-is('Yes, delete 1 job')")
    page.wait_for_selector("tr[data-key=chosen]", state="detached")
    assert sorted(job.id for job in queue.find()) == ["first", "other"]


def _say(visitor: Visitor, word: str, scripts: bool) -> None:
    """Answer the question: in a dialog of the page, or on a page of its own."""
    around = "dialog" if scripts else "main"
    visitor.page.click(f"{around} :is(a, button):text-is('{word}')")


@with_and_without_scripts
def test_what_takes_something_away_asks_with_the_number_that_it_changes(
    full: Queue, visit: Visit, scripts: bool
) -> None:
    worker = play_worker(full).record.id
    visitor = visit(java_script_enabled=scripts)
    page = visitor.page
    for path, button, question, yes in (
        ("/dlq", "Purge selected", "Delete 1 dead job, with", "Yes, delete 1 job"),
        ("/dlq", "Retry all", "Put 2 dead jobs back", "Yes, retry 2 jobs"),
        ("/dlq", "Purge all", "Delete 2 dead jobs, with", "Yes, delete 2 jobs"),
        ("/dlq?text=dead2", "Purge all that fit", "Delete 1 dead job, ", "Yes, delete 1 job"),
        ("/jobs/running1", "Cancel", "'running1' is running", "Yes, stop 1 job"),
        ("/jobs/done1", "Retry", "'done1' has completed", "Yes, run 1 job again"),
        ("/workers", "Stop", f"Stop worker '{worker}'?", "Yes, stop 1 worker"),
    ):
        visitor.go(path)
        before = [(job.id, job.state, job.rev) for job in full.find()]
        if "selected" in button:
            page.check("input[value=dead1]")
        page.click(f"button:text-is('{button}')")
        page.wait_for_selector(f"text={question}")
        assert page.locator(f"button:text-is('{yes}')").count() == 1, (button, yes)
        _say(visitor, "No", scripts)
        page.wait_for_selector(f"button:text-is('{button}')")
        assert [(job.id, job.state, job.rev) for job in full.find()] == before, button

    visitor.go("/dlq")
    page.check("input[value=dead1]")
    page.click("button:text-is('Purge selected')")
    _say(visitor, "Yes, delete 1 job", scripts)
    page.wait_for_selector("tr[data-key=dead1]", state="detached")
    visitor.go("/jobs/dead2")
    page.click("button:text-is('Retry')")  # which is what it is there for
    page.wait_for_selector(".toast.ok:has-text(\"Retried job 'dead2'\")")
    assert visitor.faults == []


def test_whoever_follows_a_link_on_another_site_is_still_logged_in(
    visit: Visit, queue: Queue, site: str
) -> None:
    add(queue, "a")
    visitor = visit()
    page = visitor.page
    other = site.replace("127.0.0.1", "localhost")  # which is another site to a browser
    page.goto(f"{other}/login")
    page.evaluate(f"location.href = {site!r} + '/jobs/a?run=1'")
    page.wait_for_selector("h1:has-text('Job a')")
    page.click("button:text-is('Pause')")
    page.wait_for_selector(".toast.ok:has-text(\"Paused job 'a'\")")


@with_and_without_scripts
def test_one_can_choose_the_colours(visit: Visit, queue: Queue, scripts: bool) -> None:
    add(queue, "a")
    visitor = visit(color_scheme="light", java_script_enabled=scripts)
    page = visitor.page
    background = "getComputedStyle(document.body).backgroundColor"
    visitor.go("/jobs?queue=default")
    light = page.evaluate(background)
    page.click("text=Dark")
    page.wait_for_selector("html[data-theme=dark]")
    assert page.evaluate(background) != light
    assert page.url.endswith("/jobs?queue=default")
    page.click("text=Auto")
    page.wait_for_selector("html:not([data-theme])")
    assert page.evaluate(background) == light


@with_and_without_scripts
def test_the_form_of_a_new_job_has_every_field(visit: Visit, queue: Queue, scripts: bool) -> None:
    visitor = visit(java_script_enabled=scripts)
    page = visitor.page
    visitor.go("/jobs")
    page.click("summary:text-is('New job')")
    page.click("summary:text-is('All fields')")
    for name, field in ASKED.items():
        assert page.locator(f".new [name={name}]").count() == (not field.is_hidden), name
    for name, text in (
        ("command", "echo a"), ("id", "a"), ("priority", "high"), ("timeout", "5m"), ("in", "1h"),
        ("labels", "one,two"), ("env", "A=1\nB=x=y\n"), ("max_retries", "7"), ("cwd", "/tmp"),
    ):  # fmt: skip
        page.fill(f".new [name={name}]", text)
    page.select_option(".new [name=on_parent_failure]", "cancel")
    page.check(".new [name=pty]")
    page.check(".new [name=hold]")
    page.click("button:text-is('Enqueue')")
    page.wait_for_selector("tr[data-key=a]")
    job = queue.get("a")
    spec = job.spec
    assert (spec.timeout, spec.labels, spec.max_retries) == (300, ("one", "two"), 7)
    assert dict(spec.env) == {"A": "1", "B": "x=y"}
    assert (spec.on_parent_failure, spec.pty, spec.cwd, job.paused) == (
        "cancel",
        True,
        "/tmp",
        True,
    )
    assert spec.priority > 0
    assert visitor.faults == []


@with_and_without_scripts
def test_several_jobs_are_changed_at_once(full: Queue, visit: Visit, scripts: bool) -> None:
    visitor = visit(java_script_enabled=scripts)
    page = visitor.page
    for path, chosen, button, question, yes, message in (
        ("/jobs", ("later1", "held1"), "Cancel selected", "Cancel 2 jobs, and stop",
         "Yes, cancel 2 jobs", "Cancelled 2 jobs"),
        ("/jobs?label=video", (), "Delete all that fit", "Delete 2 jobs, with",
         "Yes, delete 2 jobs", "Deleted 2 jobs"),
        ("/jobs?state=dead", (), "Retry all that fit", "Start 2 jobs afresh?",
         "Yes, retry 2 jobs", "Retried 2 jobs"),
    ):  # fmt: skip
        visitor.go(path)
        for name in chosen:
            page.check(f"input[value={name}]")
        page.click(f"button:text-is('{button}')")
        page.wait_for_selector(f"text={question}")
        _say(visitor, yes, scripts)
        page.wait_for_selector(f".toast.ok:has-text('{message}')")
    states = {job.id: job.state for job in full.find()}
    assert {states[name] for name in ("later1", "held1")} == {State.CANCELLED}
    assert {states[name] for name in ("dead1", "dead2")} == {State.PENDING}
    assert not {"done1", "done2"} & {*states}
