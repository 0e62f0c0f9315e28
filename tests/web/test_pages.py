"""Every page, empty and full, as a browser without scripts is served it."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from queuectl.domain.job import Outcome, State
from queuectl.queue import Queue
from queuectl.system.job_logs import JobLogs
from queuectl.web import pages
from tests.cli.harness import run_next
from tests.web.kit import ANSI, HOSTILE, KEY, Served, add, policy, press

PAGES = [
    "/", "/jobs", "/dlq", "/queues", "/workers", "/schedules", "/hooks", "/deliveries", "/settings"
]  # fmt: skip
TO_TYPE = {
    "/": "queuectl enqueue hello",
    "/jobs": "queuectl enqueue hello",
    "/queues": "queuectl enqueue --queue gpu",
    "/workers": "queuectl worker start",
    "/schedules": "queuectl schedule add nightly",
    "/hooks": "queuectl hook add oncall",
}


def text_of(page: str) -> str:
    """Return what can be read on a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def test_a_page_without_jobs_says_what_to_type(browser: TestClient) -> None:
    for path in PAGES:
        answer = browser.get(path)
        assert answer.status_code == 200, path
        assert TO_TYPE.get(path, "") in answer.text, path


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("known", [True, False])
def test_a_page_with_jobs_is_whole_whoever_looks(served: Served, known: bool) -> None:
    client = served.logged_in() if known else served.client()
    for path in (*PAGES, "/jobs/dead1", "/jobs/running1", "/jobs/child1"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.text.rstrip().endswith("</html>"), path
        assert answer.text.count("<main") == answer.text.count("<h1") == 1, path
        assert ('action="/do"' in answer.text) == (
            known and path not in ("/", "/workers", "/deliveries")
        ), path


@pytest.mark.usefixtures("full")
def test_the_page_of_a_job_names_the_root_of_its_chain(browser: TestClient, queue: Queue) -> None:
    add(queue, "grandchild1", after=["child1"])
    shown = text_of(browser.get("/jobs/grandchild1").text)
    assert "Why it waits: waits for child1 (dead1 is dead)" in shown
    assert "child1 pending: dead1 is dead" in shown
    assert "If one fails it waits" in shown


@pytest.mark.usefixtures("full")
def test_the_overview_says_what_is_stuck_and_why(browser: TestClient) -> None:
    shown = text_of(browser.get("/").text)
    assert "queue mail is paused first mail1" in shown
    assert "waits for dead1 (dead) first child1" in shown
    assert "paused first held1" in shown
    assert "Exit code 2" in shown


def test_a_job_that_is_due_waits_for_a_worker_where_there_is_none(
    browser: TestClient, queue: Queue
) -> None:
    add(queue, "a")
    assert "no worker is running first a" in text_of(browser.get("/").text)


def test_the_overview_says_that_more_may_be_stuck_than_it_has_looked_at(
    browser: TestClient, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        add(queue, f"a{number}")
    assert "3 no worker is running" in text_of(browser.get("/").text)
    monkeypatch.setattr(pages, "LOOKED_AT", 2)
    assert "2+ no worker is running" in text_of(browser.get("/").text)


@pytest.mark.usefixtures("full")
def test_a_list_tells_of_each_job_why_it_waits(browser: TestClient) -> None:
    shown = text_of(browser.get("/jobs").text)
    for why in ("queue mail is paused", "waits for dead1 (dead)", "scheduled for", "retry 2/3 at"):
        assert why in shown


def test_a_list_shows_the_beginning_of_a_long_command_alone(
    browser: TestClient, queue: Queue
) -> None:
    add(queue, "long", f"echo {'a' * 100_000}")
    for path in ("/", "/jobs"):
        assert len(browser.get(path).text) < 50_000, path
    assert f"echo {'a' * 295}…" in browser.get("/jobs").text
    assert "a" * 100_000 in browser.get("/jobs/long").text


@pytest.mark.usefixtures("full")
def test_a_list_shows_what_fits_the_filter(browser: TestClient) -> None:
    for query, ids in {
        "state=dead": ["dead2", "dead1"],
        "state=dead&state=completed": ["dead2", "done2", "dead1", "done1"],
        "queue=mail": ["mail1"],
        "label=video": ["done2", "done1"],
        "text=EXIT+2": ["dead2"],
        "text=nothing-like-it": [],
        "state=&queue=&text=&label=video": ["done2", "done1"],
    }.items():
        page = browser.get(f"/jobs?{query}").text
        assert re.findall(r'<tr data-key="([^"]+)"', page) == ids, query


def test_pages_of_a_list_follow_each_other_without_gaps(browser: TestClient, queue: Queue) -> None:
    for number in range(7):
        add(queue, f"job{number}")
    found, path = [], "/jobs?limit=3"
    while path:
        page = browser.get(path).text
        found += re.findall(r'<tr data-key="([^"]+)"', page)
        older = re.search(r'href="(\?[^"]+)" rel="next"', page)
        path = "/jobs" + older[1].replace("&amp;", "&") if older else ""
    assert found == [f"job{number}" for number in reversed(range(7))]


def test_a_hostile_job_is_shown_as_text_everywhere(browser: TestClient, queue: Queue) -> None:
    add(queue, "evil", f"echo {HOSTILE}", labels=[HOSTILE[:100]], max_retries=1)
    run_next(queue, Outcome(exit_code=1, error=HOSTILE, stdout=f"{HOSTILE}{ANSI}", stderr=HOSTILE))
    for path in ("/", "/jobs", "/dlq", "/jobs/evil", "/jobs/evil?stream=stderr"):
        page = browser.get(path).text
        assert "document.title" in page, path
        assert "<script>" not in page, path
        assert "<img" not in page, path
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", page), path


def test_colours_of_an_output_become_classes(browser: TestClient, queue: Queue) -> None:
    add(queue, "a")
    run_next(queue, Outcome(exit_code=0, stdout="\x1b[1;31mred\x1b[0m plain"))
    assert '<span class="i1 bold">red</span> plain' in browser.get("/jobs/a").text


def test_a_job_has_a_row_for_each_attempt_with_its_own_output(
    browser: TestClient, queue: Queue
) -> None:
    add(queue, "a", "exit 1", max_retries=3, backoff_base=0)
    logs = JobLogs(queue.home)
    for number in (1, 2):
        queue.store.make_due_claimable()
        logs.directory("a").mkdir(parents=True, exist_ok=True)
        logs.stdout("a", number).write_text(f"output {number}\n")
        run_next(queue, Outcome(exit_code=number, error=f"Exit code {number}"))
    page = browser.get("/jobs/a?run=1").text
    assert re.findall(r'data-key="(run-\d)"', page) == ["run-1", "run-2"]
    assert "output 1" in page
    assert "output 2" not in page
    assert "output 2" in browser.get("/jobs/a").text


def test_secrets_in_the_environment_of_a_job_are_masked(browser: TestClient, queue: Queue) -> None:
    add(queue, "a", env={"API_TOKEN": "hunter2", "PLAIN": "seen"})
    page = browser.get("/jobs/a").text
    assert "hunter2" not in page
    assert "********" in page
    assert "seen" in page
    assert "hunter2" not in browser.get("/api/jobs/a").text


def test_a_hook_is_shown_with_what_it_told_and_without_its_secrets(
    browser: TestClient, full: Queue
) -> None:
    assert "clear" in text_of(browser.get("/hooks").text)
    full.hooks.check()
    page = browser.get("/hooks").text
    for told in ("crossed", "crossed: dlq-size &gt; 1 (now 2)", "https://chat.example.com/****"):
        assert told in page
    (delivery,) = full.hooks.deliveries("team", 9)
    for path in ("/hooks", f"/jobs/{delivery.id}", "/api/hooks", "/api/hooks/team"):
        assert KEY not in browser.get(path).text, path
    more = re.search(r'href="(/deliveries[?][^"]+)">All of them', page)
    assert more
    for path in (more[1], "/deliveries", "/deliveries?state=pending&text=hook:team"):
        assert f'data-key="{delivery.id}"' in browser.get(path).text, path
    for path in ("/jobs", "/jobs?state=pending", "/", "/deliveries?hook=other"):
        assert delivery.id not in browser.get(path).text, path
    assert 'href="/deliveries?hook=team"' in browser.get(f"/jobs/{delivery.id}").text


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/jobs/nobody", 404, "no job &#39;nobody&#39;"),
        ("/nothing", 404, "Not Found"),
        ("/jobs?state=happy", 400, "state must be one of"),
        ("/jobs?what=1", 400, "unknown parameter"),
    ],
)
def test_an_error_is_a_page_with_one_line(
    browser: TestClient, path: str, status: int, told: str
) -> None:
    answer = browser.get(path)
    assert answer.status_code == status
    assert told in answer.text


def test_a_form_does_without_a_script_what_it_says(browser: TestClient, full: Queue) -> None:
    answer = press(browser, "/jobs/dead1", "retryJob", id="dead1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/dead1")
    assert full.get("dead1").state is State.PENDING
    assert "Job &#39;dead1&#39; is pending again" in browser.get("/jobs/dead1").text
    assert "is pending again" not in browser.get("/jobs/dead1").text


def test_a_form_that_is_refused_says_why(browser: TestClient, full: Queue) -> None:
    press(browser, "/jobs/dead1", "cancelJob", id="done1")
    assert full.get("done1").state is State.COMPLETED
    assert 'class="toast error"' in browser.get("/jobs").text


@pytest.mark.parametrize(
    ("what", "fields", "left"),
    [
        ("retryDead", {"ids": ["dead1", "dead2"]}, []),
        ("retryDead", {"all": "true", "queue": "", "label": "", "text": "exit 2"}, ["dead1"]),
        ("purgeDead", {"ids": ["dead2"]}, ["dead1"]),
        ("purgeDead", {"all": "true"}, []),
    ],
)
def test_dead_jobs_are_retried_and_purged_by_forms(
    browser: TestClient, full: Queue, what: str, fields: dict[str, object], left: list[str]
) -> None:
    press(browser, "/dlq", what, **fields)
    found = [job.id for job in full.find() if job.state is State.DEAD]
    assert found == left


def test_queues_schedules_hooks_and_settings_are_changed_by_forms(
    browser: TestClient, full: Queue
) -> None:
    press(browser, "/queues", "resumeQueue", name="mail")
    press(browser, "/queues", "limitQueue", name="mail", limit="3")
    press(browser, "/schedules", "pauseSchedule", name="nightly")
    press(browser, "/hooks", "pauseHook", name="team")
    press(browser, "/settings", "setSetting", key="max_retries", value="7")
    lane = full.queue_limits()["mail"]
    assert (lane.paused, lane.limit) == (False, 3)
    assert full.schedules.get("nightly").paused
    assert full.hooks.get("team").paused
    press(browser, "/hooks", "removeHook", name="team")
    assert full.hooks.all() == []
    assert full.settings().max_retries == 7
    press(browser, "/settings", "unsetSetting", key="max_retries")
    assert full.settings().max_retries == 3


def test_a_new_job_is_enqueued_by_a_form(browser: TestClient, queue: Queue) -> None:
    press(browser, "/jobs", "enqueue", id="new", command="echo new", queue="")
    assert queue.get("new").spec.command == "echo new"


@pytest.mark.usefixtures("full")
def test_a_read_only_page_offers_no_change() -> None:
    with Served(policy(read_only=True)) as served:
        client = served.client()
        for path in (*PAGES, "/jobs/dead1"):
            page = client.get(path).text
            assert 'method="post"' not in page
            assert "Read-only" in page
