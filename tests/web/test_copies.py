"""Changing what a waiting job asks for, and new jobs like others: in the API and in the browser."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from queuectl.domain.frozen import replace
from queuectl.domain.job import State
from queuectl.domain.job_fields import ASKED, DEFAULT_QUEUE, Spec
from queuectl.domain.views import MASK
from queuectl.queue import Queue
from queuectl.web.api.copies import texts_of
from tests.cli.harness import claim_next
from tests.job_fields import filled
from tests.web.browser import Visit, chromium, site, visit
from tests.web.kit import add, press
from tests.web.test_api import call

__all__ = ["chromium", "site", "visit"]


def rich(queue: Queue, job_id: str = "rich") -> None:
    """Enqueue a job that uses many of its fields, a secret one among them."""
    add(
        queue, job_id, "./train.sh", priority=3, timeout=90.5, labels=["a", "b"], cwd="/tmp",
        env={"TOKEN": "secret", "MODE": "fast=1"}, needs={"gpu": "1"}, pty=True,
        retry_on=["75", "signal:9"], max_retries=7, memory="2G", input=None,
    )  # fmt: skip


def test_a_form_that_is_sent_as_it_is_changes_nothing(browser: TestClient, queue: Queue) -> None:
    rich(queue)
    before = queue.get("rich")
    texts = texts_of(before)
    assert MASK in texts["env"]
    press(browser, "/jobs/rich/edit", "editJob", id="rich", **texts)
    assert queue.get("rich").spec == before.spec
    assert 'class="toast ok">Changed job' in browser.get("/jobs").text


def test_fields_are_changed_emptied_and_kept(browser: TestClient, queue: Queue) -> None:
    rich(queue)
    before = queue.get("rich").spec
    texts = {**texts_of(queue.get("rich")), "timeout": "2m", "labels": "", "pty": "false"}
    texts["env"] = f"TOKEN={MASK}\r\nMODE=slow"
    press(browser, "/jobs/rich/edit", "editJob", id="rich", rev=queue.get("rich").rev, **texts)
    spec = queue.get("rich").spec
    assert (spec.timeout, spec.labels, spec.pty) == (120, (), False)
    assert dict(spec.env) == {"TOKEN": "secret", "MODE": "slow"}
    assert (spec.command, spec.needs, spec.retry_on) == (
        before.command,
        before.needs,
        before.retry_on,
    )


def test_a_job_that_runs_or_was_changed_meanwhile_is_left_alone(
    api: TestClient, queue: Queue
) -> None:
    add(queue, "a")
    rev = queue.get("a").rev
    assert call(api, "editJob", {"priority": 4, "rev": rev}, id="a").json()["priority"] == 4
    assert call(api, "editJob", {"priority": 5, "rev": rev}, id="a").status_code == 409
    assert call(api, "editJob", {"capture_env": True}, id="a").status_code == 400
    assert call(api, "editJob", {"prioritty": 5}, id="a").status_code == 400
    assert call(api, "editJob", {"priority": None}, id="a").json()["priority"] == 0
    claim_next(queue)
    assert call(api, "editJob", {"priority": 5}, id="a").status_code == 409
    assert call(api, "editJob", {}, id="nobody").status_code == 404
    assert "only a job that waits can be changed" in api.get("/jobs/a/edit").text


def test_arguments_stay_arguments(browser: TestClient, queue: Queue) -> None:
    (result,) = queue.enqueue([{"id": "a", "command": ["echo", "a b"]}])
    assert result.error is None
    texts = {**texts_of(queue.get("a")), "command": '["echo", "ä \\"c\\""]'}
    press(browser, "/jobs/a/edit", "editJob", id="a", **texts)
    assert queue.get("a").spec.command == ("echo", 'ä "c"')


def test_a_clone_asks_for_the_same_and_what_is_said_otherwise(
    api: TestClient, queue: Queue
) -> None:
    rich(queue)
    queue.cancel("rich")
    made = call(api, "cloneJob", {"as": "again", "env": {"TOKEN": MASK, "NEW": "1"}}, id="rich")
    assert (made.status_code, made.json()["state"]) == (201, "pending")
    spec, like = queue.get("again").spec, queue.get("rich").spec
    assert dict(spec.env) == {"TOKEN": "secret", "NEW": "1"}
    other = [name for name in ASKED if getattr(spec, name) != getattr(like, name)]
    assert other == ["env"]
    assert queue.get("again").runs == 0
    assert call(api, "cloneJob", {"as": "again"}, id="rich").status_code == 409
    assert call(api, "cloneJob", {"env_file": "/etc/passwd"}, id="rich").status_code == 400
    made = call(api, "cloneJob", {"queue": "gpu", "timeout": None}, id="rich").json()
    assert made["id"] not in ("rich", "again")
    assert (made["queue"], made["timeout"], made["priority"]) == ("gpu", 0, 3)


@pytest.mark.parametrize("turn", range(4))
def test_every_field_comes_back_from_its_form_as_it_was(
    browser: TestClient, queue: Queue, turn: int
) -> None:
    add(queue, "b")
    spec = filled(Spec, turn, id="a", after=(), after_any=(), after_fail=(), batch_index=0)
    assert queue.store.insert([replace(queue.get("b"), spec=spec)]) == frozenset()
    before = queue.get("a")
    press(browser, "/jobs/a/edit", "editJob", id="a", **texts_of(before))
    after = queue.get("a")
    assert (after.spec, after.run_at) == (before.spec, before.run_at)
    assert 'class="toast ok">Changed job' in browser.get("/jobs").text


@pytest.mark.parametrize("scripts", [True, False])
def test_the_forms_work_in_a_browser(visit: Visit, queue: Queue, scripts: bool) -> None:
    rich(queue)
    before = queue.get("rich").spec
    visitor = visit(java_script_enabled=scripts)
    page = visitor.page
    visitor.go("/jobs/rich")
    page.click("a:text-is('Edit')")
    page.fill("[name=priority]", "9")
    page.fill("[name=labels]", "")
    page.click("button:text-is('Change')")
    page.wait_for_selector("h1:has-text('Job rich')")
    edited = queue.get("rich").spec
    assert (edited.priority, edited.labels, edited.env) == (9, (), before.env)
    assert (edited.timeout, edited.retry_on) == (before.timeout, before.retry_on)

    page.click("a:text-is('Clone')")
    page.fill("[name=as]", "second")
    page.fill("[name=command]", "./other.sh")
    page.click("button:text-is('Enqueue')")
    page.wait_for_selector("tr[data-key=second]")
    job = queue.get("second")
    assert (job.state, job.spec.command, job.spec.env) == (
        State.PENDING,
        "./other.sh",
        before.env,
    )
    assert job.spec.queue == DEFAULT_QUEUE
    assert visitor.faults == []
