"""Every page, empty and full, as a browser without scripts is served it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from queuectl.domain.job import Outcome, State
from queuectl.maintenance.thresholds import check
from queuectl.queue import Queue
from queuectl.system.job_logs import JobLogs
from queuectl.web import pages
from tests.cli.harness import lose_next, play_worker, run_next
from tests.web.kit import ANSI, HOSTILE, KEY, Served, add, policy, press

PAGES = {
    "/": "queuectl enqueue hello",
    "/jobs": "queuectl enqueue hello",
    "/dlq": "The dead letter queue is empty",
    "/queues": "queuectl enqueue --queue gpu",
    "/batches": "queuectl enqueue --batch",
    "/figures": "In this time",
    "/wall": "Nothing runs.",
    "/workers": "queuectl worker start",
    "/schedules": "queuectl schedule add nightly",
    "/hooks": "queuectl hook add oncall",
    "/deliveries": "No deliveries",
    "/settings": "max_retries",
}
"""Each page with what it says where there is nothing yet: mostly what to type."""


WITHOUT_FORMS = ("/", "/batches", "/figures", "/wall", "/workers", "/deliveries")
"""Where there is nothing to change."""


def text_of(answer: Response) -> str:
    """Return what can be read on a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text))


def rows_of(answer: Response) -> list[str]:
    """Return the ids of the jobs in a list."""
    return re.findall(r'<tr data-key="([^"]+)"', answer.text)


def test_a_page_without_jobs_says_what_to_type(browser: TestClient) -> None:
    for path, words in PAGES.items():
        answer = browser.get(path)
        assert answer.status_code == 200, path
        assert words in answer.text, path


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
            known and path not in ("/", "/batches", "/figures", "/wall", "/workers", "/deliveries")
        ), path


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/jobs/grandchild1", "Why it waits: waits for child1 (dead1 is dead)"),
        ("/jobs/grandchild1", "pending child1 (dead1 is dead) dead (1) dead1"),
        ("/jobs/grandchild1", "If one fails it waits"),
        ("/", "queue mail is paused first mail1"),
        ("/", "waits for dead1 (dead) first child1"),
        ("/", "paused first held1"),
        ("/", "Exit code 2"),
        *(("/jobs", text) for text in (
            "queue mail is paused", "waits for dead1 (dead)", "scheduled for", "retry 2/3 at"
        )),
    ],
)  # fmt: skip
def test_a_page_says_why_jobs_wait(
    browser: TestClient, queue: Queue, path: str, words: str
) -> None:
    add(queue, "grandchild1", after=["child1"])
    assert words in text_of(browser.get(path))


def test_the_page_of_schedules_names_their_zones(browser: TestClient, queue: Queue) -> None:
    queue.schedules.add("tokyo", "0 3 * * *", {"command": "true"}, tz="Asia/Tokyo")
    queue.schedules.add("sync", None, {"command": "true"}, every="90m")
    text = text_of(browser.get("/schedules"))
    assert "0 3 * * * Asia/Tokyo" in text
    assert "03:00 JST" in text
    assert "every 1h30m" in text


def test_the_pages_show_the_slots_of_a_worker_that_has_several(
    browser: TestClient, queue: Queue
) -> None:
    for number in range(64):
        add(queue, f"job{number:02}")
    play_worker(queue, slots=64, jobs=64)
    page = browser.get("/workers").text
    first = r"64/64 slots job00 started (now|\d+s ago) true job01"
    assert re.search(first, text_of(browser.get("/workers")))
    assert (">job07<" in page, page.count("job08"), ">+56<" in page) == (True, 0, True)
    assert "1 of 1 busy · 64/64 slots" in text_of(browser.get("/"))


def test_the_pages_are_as_before_where_workers_have_one_slot(
    browser: TestClient, queue: Queue
) -> None:
    add(queue, "job")
    play_worker(queue, jobs=1)
    assert "1/1" not in text_of(browser.get("/workers"))
    assert "1 of 1 busy" in text_of(browser.get("/"))
    assert "slots" not in text_of(browser.get("/"))


def test_the_page_of_a_suspect_says_so(browser: TestClient, queue: Queue) -> None:
    add(queue, "a")
    lose_next(queue, alone=False)
    assert "a suspect: its worker died while it ran beside others" in text_of(
        browser.get("/jobs/a")
    )


def test_the_overview_says_how_many_wait_for_a_worker_as_far_as_it_has_looked(
    browser: TestClient, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        add(queue, f"a{number}")
    assert "3 no worker is running first a0" in text_of(browser.get("/"))
    monkeypatch.setattr(pages, "LOOKED_AT", 2)
    assert "2+ no worker is running" in text_of(browser.get("/"))


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
        assert rows_of(browser.get(f"/jobs?{query}")) == ids, query


def test_pages_of_a_list_follow_each_other_without_gaps(browser: TestClient, queue: Queue) -> None:
    for number in range(7):
        add(queue, f"job{number}")
    found, path = [], "/jobs?limit=3"
    while path:
        page = browser.get(path)
        found += rows_of(page)
        older = re.search(r'href="(\?[^"]+)" rel="next"', page.text)
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


def test_a_job_has_a_row_for_each_attempt_with_its_own_output_in_colour(
    browser: TestClient, queue: Queue
) -> None:
    add(queue, "a", "exit 1", max_retries=3, backoff_base=0)
    logs = JobLogs(queue.home)
    for number in (1, 2):
        queue.store.make_due_claimable()
        logs.directory("a").mkdir(parents=True, exist_ok=True)
        logs.stdout("a", number).write_text(f"\x1b[1;31moutput\x1b[0m {number}\n")
        run_next(queue, Outcome(exit_code=number, error=f"Exit code {number}"))
    first, latest = browser.get("/jobs/a?run=1").text, browser.get("/jobs/a").text
    assert re.findall(r'data-key="(run-\d)"', first) == ["run-1", "run-2"]
    assert '<span class="i1 bold">output</span> 1' in first
    assert "output</span> 2" not in first
    assert "output</span> 2" in latest


def test_secrets_in_the_environment_of_a_job_are_masked(browser: TestClient, queue: Queue) -> None:
    add(queue, "a", env={"API_TOKEN": "hunter2", "PLAIN": "seen"})
    page = browser.get("/jobs/a").text
    assert "hunter2" not in page
    assert "********" in page
    assert "seen" in page
    assert "hunter2" not in browser.get("/api/jobs/a").text


def test_what_a_job_reads_is_not_shown(browser: TestClient, queue: Queue) -> None:
    queue.enqueue_one("cat", id="a", input_text="hunter2", imported_from="crontab:0a")
    page = browser.get("/jobs/a").text
    assert "is kept, and not shown" in page
    assert "crontab:0a" in page
    assert "hunter2" not in page + browser.get("/api/jobs/a").text


def test_a_hook_is_shown_with_what_it_told_and_without_its_secrets(
    browser: TestClient, full: Queue
) -> None:
    assert "clear" in text_of(browser.get("/hooks"))
    check(full.store)
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


def test_a_form_does_without_a_script_what_it_says_and_says_so_once(
    browser: TestClient, full: Queue
) -> None:
    answer = press(browser, "/jobs/dead1", "retryJob", id="dead1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/dead1")
    assert full.get("dead1").state is State.PENDING
    for is_first in (True, False):
        page = browser.get("/jobs/dead1").text
        assert ("Retried job &#39;dead1&#39;" in page) is is_first
    press(browser, "/jobs/dead1", "cancelJob", id="done1")
    assert full.get("done1").state is State.COMPLETED
    assert 'class="toast error"' in browser.get("/jobs").text


def dead(queue: Queue) -> list[str]:
    """Return the ids of the dead jobs."""
    return [job.id for job in queue.find() if job.state is State.DEAD]


@pytest.mark.parametrize(
    ("page", "what", "fields", "read", "after"),
    [
        ("/dlq", "retryDead", {"ids": ["dead1", "dead2"]}, dead, []),
        ("/dlq", "retryDead", {"all": "true", "queue": "", "label": "", "text": "exit 2"}, dead,
         ["dead1"]),
        ("/dlq", "purgeDead", {"ids": ["dead2"]}, dead, ["dead1"]),
        ("/dlq", "purgeDead", {"all": "true"}, dead, []),
        ("/queues", "resumeQueue", {"name": "mail"}, lambda q: q.queue_limits().get("mail"), None),
        ("/queues", "limitQueue", {"name": "mail", "limit": "3"},
         lambda q: q.queue_limits()["mail"].limit, 3),
        ("/schedules", "pauseSchedule", {"name": "nightly"},
         lambda q: q.schedules.get("nightly").paused, True),
        ("/hooks", "pauseHook", {"name": "team"}, lambda q: q.hooks.get("team").paused, True),
        ("/hooks", "removeHook", {"name": "team"}, lambda q: q.hooks.all(), []),
        ("/settings", "setSetting", {"key": "max_retries", "value": "7"},
         lambda q: q.settings().max_retries, 7),
        ("/settings", "unsetSetting", {"key": "backoff_base"}, lambda q: q.settings().backoff_base,
         2),
        ("/jobs", "enqueue", {"id": "new", "command": "echo new", "queue": ""},
         lambda q: q.get("new").spec.command, "echo new"),
    ],
)  # fmt: skip
def test_a_form_changes_what_it_names(
    browser: TestClient,
    full: Queue,
    page: str,
    what: str,
    fields: dict[str, object],
    read: Callable[[Queue], object],
    after: object,
) -> None:
    full.set_setting("backoff_base", 5)
    press(browser, page, what, **fields)
    assert read(full) == after


@pytest.mark.usefixtures("full")
def test_a_read_only_page_offers_no_change() -> None:
    with Served(policy(read_only=True)) as served:
        client = served.client()
        for path in (*PAGES, "/jobs/dead1"):
            page = client.get(path).text
            assert 'method="post"' not in page
            assert path == "/wall" or "Read-only" in page


def test_the_page_of_a_job_shows_its_rules_and_which_of_them_has_buried_it(
    served: Served, queue: Queue
) -> None:
    add(
        queue, "ruled", command="exit 2", no_retry_on="2,126", retry_on="75", load_below=8,
        preflight="test -e ready", between="22-6 UTC", hold=True,
    )  # fmt: skip
    page = text_of(served.logged_in().get("/jobs/ruled"))
    for line in ("Not tried again after 2, 126", "Tried again after 75", "Load below 8",
                 "Between 22:00-06:00 UTC", "Preflight test -e ready"):  # fmt: skip
        assert line in page
    add(queue, "buried", command="exit 2", no_retry_on="2")
    run_next(queue, Outcome(exit_code=2, error="Exit code 2"))
    page = text_of(served.logged_in().get("/jobs/buried"))
    assert "Why it is not tried again: exit code 2 is not tried again (no_retry_on)" in page


@pytest.mark.usefixtures("full")
def test_a_wrong_filter_leaves_the_page_around_it_and_can_be_cleared(served: Served) -> None:
    known, far = served.logged_in(), served.client("192.0.2.7")
    for query in ("state=happy", "exit_code=many", "what=1"):
        page = known.get(f"/jobs?{query}").text
        assert '<nav aria-label="Pages">' in page
        assert '<a class="button" href="/jobs">Clear the filter</a>' in page
    assert '<nav aria-label="Pages">' not in far.get("/login?next=/").text
    for path in ("/jobs?state=dead", "/dlq?queue=mail", "/deliveries?hook=team"):
        assert f'href="{path.partition("?")[0]}">Clear</a>' in known.get(path).text, path


def tabs_of(answer: Response) -> list[str]:
    """Return the tabs of a list, each with its number."""
    nav = answer.text.partition('<nav class="tabs"')[2].partition("</nav>")[0]
    items = nav.partition("<ul>")[2].split("</li>")[:-1]
    return [" ".join(re.sub(r"<[^>]*>", " ", item).split()) for item in items]


@pytest.mark.usefixtures("full")
def test_the_tabs_count_what_fits_the_filter(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = ["processing 0", "completed 0", "failed 0", "dead 0", "cancelled 0"]
    assert tabs_of(browser.get("/jobs?queue=mail")) == ["All 1", "pending 1", *none]
    assert tabs_of(browser.get("/jobs?label=video&state=dead"))[:4] == [
        "All 2", "pending 0", "processing 0", "completed 2",
    ]  # fmt: skip
    monkeypatch.setattr(pages, "COUNTED", 1)
    assert tabs_of(browser.get("/jobs?label=video"))[:2] == ["All 1+", "pending 0+"]


def test_dead_jobs_are_listed_in_the_order_of_their_deaths(
    browser: TestClient, queue: Queue
) -> None:
    for name in ("first", "second", "third"):
        add(queue, name, "false", max_retries=1)
    for name in ("second", "first", "third"):
        if name == "second":
            queue.pause("first")
        run_next(queue, Outcome(exit_code=1, error="Exit code 1"))
        if name == "second":
            queue.resume("first")
    assert rows_of(browser.get("/dlq")) == ["third", "first", "second"]
    page = browser.get("/dlq?limit=2")
    assert rows_of(page) == ["third", "first"]
    older = re.search(r'href="(\?[^"]+)" rel="next"', page.text)
    assert older
    last = browser.get("/dlq" + older[1].replace("&amp;", "&"))
    assert rows_of(last) == ["second"]
    assert 'rel="next"' not in last.text


def test_the_page_of_a_failed_job_opens_with_its_errors(browser: TestClient, queue: Queue) -> None:
    for name, code in (("good", 0), ("bad", 1)):
        add(queue, name, "true", max_retries=1)
        error = "Exit code 1" if code else None
        run_next(queue, Outcome(exit_code=code, error=error, stdout="out\n", stderr="oh no\n"))
    assert "out" in browser.get("/jobs/good").text.partition('class="log"')[2]
    log = browser.get("/jobs/bad").text.partition('class="log"')[2]
    assert 'aria-label="Output, stderr"' in log
    assert '<span class="line">out' not in log
    assert '<span class="line">out' in browser.get("/jobs/bad?stream=both").text


def test_a_paused_schedule_has_no_next_runs(browser: TestClient, full: Queue) -> None:
    full.schedules.pause("nightly")
    assert "Next runs none while it is paused" in text_of(browser.get("/schedules"))


def test_a_store_that_is_gone_is_not_shown_as_an_empty_one(
    browser: TestClient, full: Queue
) -> None:
    assert browser.get("/healthz").text == "ok\n"
    file = full.home.store_file
    full.close()
    moved = file.rename(file.with_name("moved.db"))
    for path in ("/healthz", "/", "/api/status", "/metrics"):
        answer = browser.get(path)
        assert answer.status_code == 503, path
        assert "is gone" in answer.text, path
    assert not file.exists()
    moved.rename(file)
    assert browser.get("/healthz").text == "ok\n"
    assert len(rows_of(browser.get("/jobs"))) == 10


def test_the_whole_output_of_a_run_can_be_had_as_a_file(browser: TestClient, queue: Queue) -> None:
    add(queue, "a", "true", max_retries=1)
    logs = JobLogs(queue.home)
    logs.directory("a").mkdir(parents=True)
    whole = "".join(f"line {number}\n" for number in range(50_000))
    logs.stdout("a", 1).write_text(whole)
    logs.stderr("a", 1).write_text("oh no\n")
    run_next(queue, Outcome(exit_code=1, error="Exit code 1", stdout="kept", stderr="oh no\n"))
    link = re.search(r'href="(/jobs/a/log[?][^"]+)"', browser.get("/jobs/a").text)
    assert link
    assert browser.get(link[1].replace("&amp;", "&")).text == "oh no\n"
    answer = browser.get("/jobs/a/log?stream=stdout")
    assert answer.text == whole
    assert answer.headers["content-disposition"] == 'attachment; filename="a.1.stdout.txt"'
    assert len(browser.get("/jobs/a/log").text) == len(whole) + len("oh no\n")
    part = browser.get("/jobs/a/log?stream=stdout", headers={"range": "bytes=5-9"})
    assert (part.status_code, part.text) == (206, whole[5:10])
    logs.remove("a")
    assert browser.get("/jobs/a/log").text == "keptoh no\n"
    for path in ("/jobs/a/log?run=7", "/jobs/nobody/log"):
        assert browser.get(path).status_code == 404, path


def test_behind_many_jobs_that_are_not_due_one_is_seen_that_is_stuck(
    browser: TestClient, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LOOKED_AT", 3)
    for number in range(5):
        add(queue, f"later{number}", **{"in": "2h"})
    add(queue, "stuck")
    assert "no worker is running first stuck" in text_of(browser.get("/"))


@pytest.mark.usefixtures("full")
def test_the_number_beside_the_title_is_of_the_states_that_are_asked_for(
    browser: TestClient,
) -> None:
    assert "2 that fit" in text_of(browser.get("/jobs?state=dead"))
    assert "3 that fit" in text_of(browser.get("/jobs?state=dead&state=failed"))
    assert "1 that fit" in text_of(browser.get("/jobs?state=completed&text=done1"))
    assert "10 in all" in text_of(browser.get("/jobs"))


def test_the_overview_says_once_why_a_job_has_failed(browser: TestClient, queue: Queue) -> None:
    add(queue, "a", max_retries=1)
    error = "Command not found"
    run_next(queue, Outcome(error=error, note=error))
    assert text_of(browser.get("/")).count(error) == 1
    add(queue, "b", max_retries=2, backoff_base=3600)
    run_next(queue, Outcome(exit_code=1, error="Exit code 1"))
    assert "Exit code 1 · retry 2/2" in text_of(browser.get("/"))
