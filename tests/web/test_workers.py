"""The page of workers: what each runs and what that uses, and who holds which resources."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from queuectl.domain.job import State
from queuectl.queue import Queue
from queuectl.system.run_usage import RunUsage
from tests.cli.harness import play_worker
from tests.web.kit import add
from tests.web.test_pages import text_of
from tests.worker.fleet import eventually

_SLEEPER = (
    "import subprocess, sys; x = b'x' * 40_000_000; print('up', flush=True); "
    "subprocess.run([sys.executable, '-c', 'input()'])"
)


@pytest.fixture
def run(queue: Queue) -> Iterator[str]:
    """A run with two processes, one of which has some memory; the value is its id."""
    add(queue, "busy", "./train.sh --all")
    play_worker(queue, jobs=1)
    job = queue.get("busy")
    assert job.claim
    process = subprocess.Popen(
        [sys.executable, "-c", _SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={"QUEUECTL_RUN_ID": job.claim.id},
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    yield job.claim.id
    process.communicate(b"\n")


def test_a_worker_is_shown_with_what_its_runs_use(browser: TestClient, run: str) -> None:
    def measured() -> bool:
        text = text_of(browser.get("/workers"))
        assert "busy started" in text
        assert "./train.sh --all" in text
        return re.search(r"\d MB, .* of processor time, 2 processes", text) is not None

    eventually(measured)
    assert RunUsage().of(["0" * 15]) == {}
    assert RunUsage().of([run])[run].processes == 2


def test_resources_are_shown_with_who_holds_them(browser: TestClient, queue: Queue) -> None:
    assert "Resources" not in text_of(browser.get("/workers"))
    queue.resources.set("licence", "2")
    add(queue, "a", needs={"licence": "1"})
    assert "licence fleet 0 of 2" in text_of(browser.get("/workers"))
    assert queue.counts().of(State.PENDING) == 1


def test_the_log_of_a_worker_is_a_page_without_markup_of_its_own(
    browser: TestClient, queue: Queue
) -> None:
    queue.home.worker_logs.mkdir(parents=True)
    path = queue.home.worker_logs / "build-7-abc.log"
    path.write_text("2030-01-01T10:00:00.000 [worker 7] <b>started</b>\x1b]0;title\x07\n")
    text = browser.get("/workers/build-7-abc/log").text
    assert "[worker 7] &lt;b&gt;started&lt;/b&gt;\n" in text.replace("</pre>", "\n")
    assert "title\x07" not in text
    assert "No log of this worker" in browser.get("/workers/build-8-abc/log").text
