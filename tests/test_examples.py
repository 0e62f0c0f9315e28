"""What the pages on flow control show as printed is what is printed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queuectl.domain.job import Outcome
from queuectl.domain.state_machine import finish
from queuectl.queue import Queue, open_queue
from queuectl.stores.exchange import ClaimRequest
from queuectl.stores.rules import MOVING
from queuectl.system.ids import new_token
from queuectl.transfer.migration import release
from tests.cli.harness import Cli, claim_next, cli, home

__all__ = ["cli", "home"]

ALL_BUT_DEFAULT = ("build", "work", "backup")
PAGES = Path(__file__).parent.parent / "docs" / "flow"
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_JSON = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NOT_HERE = re.compile(r"\||worker |logs |schedule show|^(?!queuectl )")
"""Other programs, and what needs workers or another day."""

_OTHER_EACH_TIME = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "TIME"),
    (re.compile(r"\b\d+(\.\d)? m?s\b"), "SECONDS"),
    (re.compile(r"Checksum [0-9a-f]{16}"), "CHECKSUM"),
    (re.compile(r"mongodb://[\w:/]+|[^ ]*moved\.db"), "TARGET"),
    (re.compile(r"[^ ]*queue\.db"), "STORE"),
    (re.compile(r"[^ ]*queue\.before-restore-\d{8}T\d{6}Z\.db"), "KEPT"),
    (re.compile(r" +"), " "),
]


def alike(text: str) -> str:
    """Return a text without what is another each time."""
    for pattern, name in _OTHER_EACH_TIME:
        text = pattern.sub(name, text)
    return text


def steps(page: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a page with what the page says that it prints."""
    for block in _BLOCK.findall((PAGES / page).read_text(encoding="utf-8")):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, printed = step.partition("\n")
            yield line, printed


def add(queue: Queue, /, *ids: str, command: str = "true", **fields: object) -> None:
    """Enqueue what a page takes as given."""
    for job_id in ids:
        queue.enqueue_one({"command": command, **fields}, id=job_id)


def work(queue: Queue) -> None:
    """Play a worker of all queues but the default one that runs all there is."""
    while job := queue.store.claim(ClaimRequest(new_token(), "worker1", 30, ALL_BUT_DEFAULT)):
        code = int(job.spec.command in ("exit 1", "./import.sh"))
        change = finish(job, Outcome(exit_code=code, duration=0.01), queue.now())
        assert queue.store.commit(change)


def running_report(queue: Queue) -> None:
    """Play a worker that has just begun a job."""
    add(queue, "report", command="sleep 20", queue="work")
    claim_next(queue)


def cancelled_report(queue: Queue) -> None:
    """Cancel that job, and play its worker."""
    queue.cancel("report")
    outcome = Outcome(signal=15, duration=1.0)
    assert queue.store.commit(finish(queue.get("report"), outcome, queue.now()))


def imports(queue: Queue) -> None:
    """Let three jobs fail."""
    fields = {"queue": "work", "labels": ["import"], "max_retries": 1}
    add(queue, "old1", "old2", "old3", command="./import.sh", **fields)
    work(queue)


def two_backups(queue: Queue) -> None:
    """Let two jobs of a queue succeed."""
    add(queue, "one", "two", queue="backup")
    work(queue)


def three_jobs(queue: Queue) -> None:
    """Let three jobs wait, of which one has an environment that was captured."""
    add(queue, "report", command="./report.sh")
    add(queue, "deploy", command="./deploy.sh")
    add(queue, "build", command="make build", capture_env=True)


def a_graph(_queue: Queue) -> None:
    """Write the file that the page shows where the commands are typed."""
    page = (PAGES / "graphs.md").read_text(encoding="utf-8")
    Path("build.json").write_text("".join(_JSON.findall(page)))


def back_in_use(queue: Queue) -> None:
    """Use the store once more that was left, and make room for another job of a name."""
    release(queue.store)
    queue.delete("deploy")
    Path("job.env").write_text('API_TOKEN=abc\nREGION="eu west"\n')


BEFORE: dict[str, dict[str, Callable[[Queue], None]]] = {
    "changing.md": {
        "queuectl jobs pause report": running_report,
        "queuectl jobs move urgent --first": lambda queue: add(queue, "urgent", "tidy"),
        "queuectl set nightly priority=high": lambda queue: add(queue, "nightly"),
        "queuectl set report priority=1": cancelled_report,
        "queuectl retry --queue work --dry-run": imports,
        "queuectl delete --state dead,cancelled": work,
    },
    "graphs.md": {
        "queuectl enqueue --file": a_graph,
        "queuectl wait alarm tidy-up": work,
    },
    "keeping.md": {
        "queuectl purge --queue backup --dry-run": two_backups,
        "queuectl export": three_jobs,
        # a migration stands as it does when it was killed
        "queuectl enqueue later": lambda queue: queue.store.meta.set(MOVING, "once"),
        "queuectl enqueue deploy": back_in_use,
    },
    "queues.md": {},
    "schedules.md": {},
}
"""What has happened on each page before one of its lines, by how the line begins."""


@pytest.mark.parametrize("page", BEFORE)
def test_what_a_page_shows_as_printed_is_printed(cli: Cli, page: str) -> None:
    looked_at = 0
    for line, printed in steps(page):
        for beginning, happen in BEFORE[page].items():
            if line.startswith(beginning):
                with open_queue() as queue:
                    happen(queue)
        if _NOT_HERE.search(line):
            continue
        result = cli(*shlex.split(re.sub(r"mongodb://[\w:/]+", "moved.db", line))[1:])
        both = {alike(result.out + result.err), alike(result.err + result.out)}
        assert alike(printed) in both, line
        looked_at += 1
    assert looked_at > 1
