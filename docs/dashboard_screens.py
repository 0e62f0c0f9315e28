"""Take the pictures of the dashboard: `python -m docs.dashboard_screens` writes them.

It serves a demonstration, below /tmp/queuectl-demo, with real workers, and takes the pages of it
with a headless browser.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from playwright.sync_api import Browser, Page, sync_playwright

screens = import_module("docs.screens")  # beside a directory of that name, which mypy takes for it
DEMO, TARGET, run = screens.DEMO, screens.TARGET, screens.run
SHOTS = (
    ("dashboard-overview", "/", "light", 1280, 960),
    ("dashboard-dark", "/jobs", "dark", 1280, 900),
    ("dashboard-job", "/jobs/release", "light", 1280, 900),
    ("dashboard-batch", "/batches/sweep", "light", 1280, 900),
    ("dashboard-wall", "/wall", "dark", 1280, 720),
    ("dashboard-hooks", "/hooks", "light", 1280, 480),
    ("dashboard-phone", "/", "dark", 390, 844),
)
"""Every picture: its name, page, colours and size."""

_COLOURS = (
    "printf '\\033[1mBuilding 4 packages\\033[0m\\n'; for p in core api web docs; do sleep 0.1; "
    "printf '\\033[32m✔\\033[0m %s \\033[2m(0.1 s)\\033[0m\\n' $p; done; "
    "printf '\\033[33mwarning:\\033[0m 2 links lead nowhere\\n'"
)

_FIT = """\
echo "fit lr=$1 depth=$2"
sleep 0.2
case $1/$2 in 0.1/16) echo "diverged" >&2; exit 1;; esac
echo "{\\"loss\\": 0.$2${1#0.}}" > "$QUEUECTL_RESULT"
"""


def main() -> None:
    """Take every picture."""
    TARGET.mkdir(exist_ok=True)
    with screens.demo():
        fill()
        with serving() as (url, token), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
            for name, path, scheme, width, height in SHOTS:
                page = opened(browser, url, token, scheme, width, height)
                page.goto(url + path)
                page.wait_for_selector("#live[data-state=on]")
                page.screenshot(path=TARGET / f"{name}.png")
                page.context.close()
                sys.stdout.write(f"docs/screens/{name}.png\n")
            browser.close()


def fill() -> None:
    """Put a queue together that has been at work for a while."""
    jobs: list[dict[str, object]] = [
        {"id": f"encode-{n:03}", "command": f"./encode.sh episode-{n:03}.mkv; sleep 0.{n % 9}",
         "queue": "video", "labels": ["video"]}
        for n in range(1, 61)
    ]  # fmt: skip
    jobs += [
        {"id": "release", "command": _COLOURS + "; exit 1", "max_retries": 3, "backoff_base": 1},
        {"id": "invoice-4711", "command": "./invoice.sh 4711; exit 2", "max_retries": 1},
        {"id": "invoice-4712", "command": "./invoice.sh 4712; exit 2", "max_retries": 1},
        {"id": "thumbnails", "command": "exit 3", "backoff_base": 90, "max_retries": 4},
    ]
    scripts = dict.fromkeys(("encode", "invoice", "tell"), "echo $1")
    for name, body in {**scripts, "fit": _FIT}.items():
        (DEMO / f"{name}.sh").write_text(f"#!/bin/sh\n{body}\n")
        (DEMO / f"{name}.sh").chmod(0o755)
    enqueue(jobs)
    run("hook", "add", "oncall", "--on", "dead", "--queue", "billing", "--command", "./tell.sh")
    run("hook", "add", "dlq", "--when", "dlq-size > 2", "--command", './tell.sh "$QUEUECTL_HOOK"')
    run("resource", "set", "licence", "2")
    run("worker", "start", "--count", "3")
    queuectl = [sys.executable, "-m", "queuectl"]
    waiting = [*queuectl, "wait", "release", "--timeout", "60"]
    subprocess.run(waiting, check=False, env=screens.environment(), cwd=DEMO)  # it fails for good
    run("enqueue", "--batch", "sweep", "--param", "lr=0.1,0.03,0.01", "--param", "depth=2,4,8,16",
        "--max-retries", "1", "./fit.sh {lr} {depth}")  # fmt: skip
    run("queue", "limit", "gpu", "1")
    run("queue", "pause", "mail")
    enqueue([
        {"id": "train-model", "command": "sleep 600", "queue": "gpu", "labels": ["nightly"]},
        {"id": "train-large", "command": "sleep 900", "queue": "gpu", "labels": ["nightly"]},
        {"id": "newsletter", "command": "./send.sh --list all", "queue": "mail"},
        {"id": "billing-report", "command": "./report.sh", "after": ["invoice-4711"]},
        {"id": "nightly-backup", "command": "./backup.sh --full", "at": "tomorrow 02:30"},
        {"id": "crawl", "command": "sleep 600", "priority": "high", "needs": {"licence": "1"}},
        {"id": "index", "command": "./index.sh", "after": ["crawl"]},
        {"id": "publish", "command": "./publish.sh", "after": ["index"], "after_any": ["release"]},
    ])  # fmt: skip
    run("schedule", "add", "nightly", "0 3 * * *", "./backup.sh", "--tz", "Europe/Berlin")
    time.sleep(2)  # until what is to run does


def enqueue(jobs: list[dict[str, object]]) -> None:
    """Store some jobs."""
    file = DEMO / "jobs.jsonl"
    file.write_text("".join(json.dumps(job) + "\n" for job in jobs))
    try:
        run("enqueue", "--file", str(file))
    finally:
        file.unlink()


@contextmanager
def serving() -> Iterator[tuple[str, str]]:
    """Serve the dashboard; the values are its address and its token."""
    process = subprocess.Popen(
        [sys.executable, "-m", "queuectl", "dashboard", "--port", "0"],
        stdout=subprocess.PIPE, text=True, env=screens.environment(), cwd=DEMO,
    )  # fmt: skip
    try:
        assert process.stdout
        url = process.stdout.readline().split()[2].rstrip("/")
        yield url, (DEMO / ".queuectl/dashboard.token").read_text().strip()
    finally:
        process.terminate()
        process.wait(30)


def opened(browser: Browser, url: str, token: str, scheme: str, width: int, height: int) -> Page:
    """Return a page of somebody who has logged in."""
    context = browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": height},
        timezone_id="UTC",
        locale="en-GB",
    )
    page = context.new_page()
    page.goto(f"{url}/login")
    page.fill("input[name=token]", token)
    page.press("input[name=token]", "Enter")
    page.wait_for_selector("nav")
    return page


if __name__ == "__main__":
    main()
