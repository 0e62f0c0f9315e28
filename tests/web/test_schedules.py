"""Schedules on the dashboard: made, edited, run at once, and what became of their jobs."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from queuectl.domain.job import Outcome, State
from queuectl.domain.job_fields import ASKED
from queuectl.domain.schedule import OWN_FIELDS
from queuectl.domain.views import MASK
from queuectl.queue import Queue
from tests.cli.harness import run_next
from tests.web.browser import Visit, chromium, site, visit
from tests.web.kit import press
from tests.web.test_api import call

__all__ = ["chromium", "site", "visit"]

MADE: dict[str, Any] = {
    "name": "nightly", "cron": "0 3 * * *", "tz": "Europe/Berlin", "command": "./backup.sh",
    "priority": 3, "env": {"TOKEN": "a-secret"}, "catch_up": True,
}  # fmt: skip


def test_a_schedule_is_made_and_changed_field_by_field(api: TestClient, queue: Queue) -> None:
    made = call(api, "addSchedule", MADE)
    assert made.status_code == 201
    assert made.json()["job"]["env"] == {"TOKEN": MASK}
    first = queue.schedules.get("nightly")
    assert (first.cron, first.tz, first.catch_up, first.fields["priority"]) == (
        "0 3 * * *", "Europe/Berlin", True, 3,
    )  # fmt: skip
    call(api, "editSchedule", {"priority": "7", "timeout": 30, "catch_up": False}, name="nightly")
    second = queue.schedules.get("nightly")
    assert second.next_due == first.next_due
    assert (second.fields["priority"], second.fields["timeout"]) == (7, 30)
    assert second.fields["env"] == {"TOKEN": "a-secret"}
    assert (second.catch_up, second.created_at) == (False, first.created_at)
    call(api, "editSchedule", {"timeout": None, "cron": "30 * * * *"}, name="nightly")
    third = queue.schedules.get("nightly")
    assert "timeout" not in third.fields
    assert (third.cron, third.tz) == ("30 * * * *", "Europe/Berlin")
    assert third.next_due
    assert third.next_due != second.next_due
    call(api, "editSchedule", {"every": "90m"}, name="nightly")
    assert (queue.schedules.get("nightly").cron, queue.schedules.get("nightly").every) == (
        None, 5400,
    )  # fmt: skip
    acts = [entry.act for entry in queue.audit()]
    assert acts == ["schedule edit"] * 3 + ["schedule add"]


def test_a_schedule_that_is_paused_stays_so_when_it_is_edited(
    api: TestClient, queue: Queue
) -> None:
    call(api, "addSchedule", MADE)
    call(api, "pauseSchedule", name="nightly")
    call(api, "editSchedule", {"cron": "@hourly"}, name="nightly")
    assert queue.schedules.get("nightly").paused


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"cron": "never"}, 400), ({"cron": "@hourly", "every": "5m"}, 400), ({"every": "x"}, 400),
     ({"tz": "Nowhere/City"}, 400), ({"env_file": "/etc/passwd"}, 400), ({"id": "x"}, 400),
     ({"nonsense": 1}, 400), ({"priority": "high and low"}, 400), ({"command": ""}, 400),
     ({"every": "5m", "tz": "Asia/Tokyo"}, 400), ({"catch_up": "yes"}, 400), ({"cron": ""}, 400),
     ({"every": ""}, 400), ({"tz": ""}, 400)],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_and_changes_nothing(
    api: TestClient, queue: Queue, changes: dict[str, Any], status: int
) -> None:
    call(api, "addSchedule", MADE)
    before = queue.schedules.get("nightly")
    assert call(api, "editSchedule", changes, name="nightly").status_code == status
    new = {**MADE, "name": "other", **changes}
    assert call(api, "addSchedule", new).status_code == status
    assert queue.schedules.all() == [before]
    assert call(api, "addSchedule", MADE).status_code == 409
    assert call(api, "editSchedule", {"priority": 1}, name="nobody").status_code == 404


def test_a_run_now_is_a_run_like_any_other_and_overlaps_none(api: TestClient, queue: Queue) -> None:
    call(api, "addSchedule", MADE)
    due = queue.schedules.get("nightly").next_due
    job = call(api, "runSchedule", name="nightly").json()
    assert job["id"].startswith("nightly@")
    assert (job["priority"], job["state"]) == (3, "pending")
    refused = call(api, "runSchedule", name="nightly")
    assert refused.status_code == 409
    assert job["id"] in refused.json()["detail"]
    run_next(queue, Outcome(exit_code=0, duration=0.1))
    assert queue.get(job["id"]).state is State.COMPLETED
    assert queue.schedules.get("nightly").next_due == due
    shown = call(api, "getSchedule", name="nightly").json()
    assert [each["id"] for each in shown["jobs"]] == [job["id"]]
    page = api.get("/schedules/nightly").text
    assert f'href="/jobs/{job["id"].replace("@", "%40")}"' in page
    assert "a-secret" not in page
    assert "a-secret" not in api.get("/schedules").text


def test_without_a_script_one_is_made_run_edited_and_removed(
    browser: TestClient, queue: Queue
) -> None:
    new = {"name": "sync", "every": "90m", "command": "./sync.sh", "catch_up": "false", "tz": ""}
    press(browser, "/schedules", "addSchedule", **new)
    assert queue.schedules.get("sync").every == 5400
    assert press(browser, "/schedules/sync", "runSchedule", name="sync").status_code == 303
    assert "sync@" in browser.get("/schedules/sync").text
    changed = {"cron": "0 4 * * *", "tz": "UTC", "queue": "night", "overlap": "true"}
    press(browser, "/schedules/sync", "editSchedule", name="sync", **changed)
    after = queue.schedules.get("sync")
    assert (after.cron, after.fields["queue"], after.fields["command"], after.overlap) == (
        "0 4 * * *", "night", "./sync.sh", True,
    )  # fmt: skip
    press(browser, "/schedules/sync", "removeSchedule", name="sync")
    assert queue.schedules.all() == []


def test_the_forms_work_with_the_script(visit: Visit, queue: Queue) -> None:
    visitor = visit()
    page = visitor.page
    visitor.go("/schedules")
    page.click("summary:text-is('New schedule')")
    for name, text in (("name", "sync"), ("command", "./sync.sh"), ("cron", "0 3 * * *"),
                       ("tz", "UTC")):  # fmt: skip
        page.fill(f"input[name={name}]", text)
    page.select_option("select[name=catch_up]", "true")
    page.click("button:text-is('Add')")
    page.wait_for_selector(".toast.ok:has-text(\"Added schedule 'sync'\")")
    page.click("h2 >> text=sync")
    page.wait_for_selector("h1:has-text('Schedule sync')")
    page.click("button:text-is('Run now')")
    page.wait_for_selector("tr[data-key^='sync@']")
    page.click("summary:text-is('Edit')")
    page.fill("input[name=cron]", "0 4 * * *")
    page.select_option("select[name=catch_up]", "false")
    page.click("button:text-is('Save')")
    page.wait_for_selector("code:text-is('0 4 * * *')")
    assert not queue.schedules.get("sync").catch_up
    visitor.require_peace("schedules")
    page.click("summary:text-is('Remove')")  # then the page may ask once more for what is gone
    page.click("button:text-is('Yes, remove')")
    page.wait_for_url("**/schedules")
    assert queue.schedules.all() == []


def test_its_form_has_every_field_that_its_jobs_may_have(visit: Visit, queue: Queue) -> None:
    queue.schedules.add(
        "nightly", "0 3 * * *", {
            "command": ["./backup.sh", "a b"], "priority": 3, "labels": ["nightly", "disk"],
            "env": {"TOKEN": "a-secret", "MODE": "full"}, "timeout": 30,
        }, tz="UTC",
    )  # fmt: skip
    visitor = visit()
    page = visitor.page
    visitor.go("/schedules/nightly")
    page.click("summary:text-is('Edit')")
    page.click("summary:text-is('All fields')")
    names = page.locator("form.ask [name]").evaluate_all("all => all.map(each => each.name)")
    assert {name for name in ASKED if name not in OWN_FIELDS} - {"imported_from"} <= set(names)
    page.fill("input[name=memory]", "1G")
    page.fill("input[name=timeout]", "")
    page.fill("input[name=labels]", "nightly, tape")
    page.fill("textarea[name=env]", f"TOKEN={MASK}\nMODE=part")
    page.select_option("select[name=merge_output]", "true")
    page.click("button:text-is('Save')")
    page.wait_for_selector(".toast.ok:has-text(\"Changed schedule 'nightly'\")")
    assert queue.schedules.get("nightly").fields == {
        "command": ["./backup.sh", "a b"], "priority": 3, "labels": ["nightly", "tape"],
        "env": {"TOKEN": "a-secret", "MODE": "part"}, "memory": 1024**3, "merge_output": True,
    }  # fmt: skip
    visitor.go("/schedules")
    page.click("summary:text-is('New schedule')")
    for name, text in (("name", "sync"), ("command", "./sync.sh"), ("every", "90m")):
        page.fill(f"input[name={name}]", text)
    page.click("summary:text-is('All fields')")
    page.fill("textarea[name=env]", "MODE=full")
    page.fill("input[name=retry_on]", "75, timeout")
    page.click("button:text-is('Add')")
    page.wait_for_selector(".toast.ok:has-text(\"Added schedule 'sync'\")")
    fields = queue.schedules.get("sync").fields
    assert fields == {
        "command": "./sync.sh",
        "env": {"MODE": "full"},
        "retry_on": ["75", "timeout"],
    }
    visitor.require_peace("schedules")
