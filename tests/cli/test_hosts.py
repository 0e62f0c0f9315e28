"""`host list`, `drain`, `resume`, and `worker stop --host`, without workers of the test's own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta

import pytest

from queuectl.domain.frozen import replace
from queuectl.domain.host import HostRecord, HostReport, Loss
from queuectl.domain.worker_record import ProcessIdentity, StopRequest, WorkerRecord
from queuectl.maintenance.rescuer import Rescuer
from queuectl.queue import Queue, open_queue
from queuectl.system.processes import this_process
from tests.cli.harness import Cli, play_worker

HERE = socket.gethostname()
REPORT = HostReport("0.1.0", processors=8, load=1.5, clock_offset=-2.0)


@pytest.fixture
def queue() -> Iterator[Queue]:
    with open_queue() as opened:
        yield opened


def far(queue: Queue, host: str, silent_for: timedelta = timedelta(0)) -> WorkerRecord:
    """Register a worker of another host, and return its entry."""
    now = queue.now()
    process = ProcessIdentity(4711, "1", f"boot of {host}")
    record = WorkerRecord(f"{host}-4711-abc", process, host, "/home", (), now, now, report=REPORT)
    queue.store.workers.register(record)
    if silent_for:
        queue.store._db.connection.execute(  # type: ignore[attr-defined]
            "UPDATE workers SET heartbeat_at = heartbeat_at - ? WHERE id = ?",
            (int(silent_for.total_seconds() * 1000), record.id),
        )
    return record


def test_hosts_are_listed_with_what_their_workers_tell(cli: Cli, queue: Queue) -> None:
    cli.ok("enqueue", "a", "true")
    play_worker(queue, slots=4, jobs=1)
    far(queue, "build7")
    found = {each["name"]: each for each in cli.ok("host", "list", "--json").json}
    here, there = found[HERE], found["build7"]
    assert (here["state"], here["slots"], here["jobs"]) == ("up", 4, ["a"])
    assert here["versions"] == ["older"], "it has told nothing"
    assert (there["name"], there["state"], there["versions"]) == ("build7", "up", ["0.1.0"])
    assert (there["processors"], there["load"], there["clock_offset"]) == (8, 1.5, -2.0)
    assert there["last_seen"]
    assert [worker["id"] for worker in there["workers"]] == ["build7-4711-abc"]
    table = cli.ok("host", "list").out
    assert "1.5 of 8" in table
    assert "-2.0 s" in table


def test_a_host_that_vanished_is_listed_with_what_was_taken_back(cli: Cli, queue: Queue) -> None:
    far(queue, "build7", timedelta(minutes=5))
    now = queue.now()
    loss = Loss("train", "build7-4711-abc", now, "its claim was not renewed by build7")
    queue.store.hosts.save(HostRecord("build7", 0, now, losses=(loss,)))
    (gone,) = cli.ok("host", "list", "--json").json
    assert (gone["state"], gone["silent_workers"]) == ("vanished", ["build7-4711-abc"])
    assert [each["job"] for each in gone["taken_back"]] == ["train"]
    assert "train" in cli.ok("host", "list").out
    queue.store.workers.unregister("build7-4711-abc")
    queue.store.hosts.save(
        HostRecord("build7", 1, now, seen_at=now, losses=(loss,)), queue.store.hosts.get("build7")
    )
    assert cli.ok("host", "list", "--json").json[0]["state"] == "vanished"


def test_a_host_is_drained_and_resumed(cli: Cli, queue: Queue) -> None:
    far(queue, "build7")
    assert cli.ok("host", "drain", "build7").out == "Draining host 'build7'\n"
    assert "is drained already" in cli.refused(1, "host", "drain", "build7")
    (drained,) = cli.ok("host", "list", "--json").json
    assert drained["state"] == "drained"
    assert drained["drained_at"]
    assert cli.ok("host", "resume", "build7").out == "Resumed host 'build7'\n"
    assert "is not drained" in cli.refused(1, "host", "resume", "build7")
    assert cli.ok("host", "list", "--json").json[0]["state"] == "up"


@pytest.mark.parametrize(
    "line", [("host", "drain"), ("host", "resume"), ("worker", "stop", "--host")]
)
def test_a_host_that_nobody_knows_is_refused_with_those_there_are(
    cli: Cli, queue: Queue, line: tuple[str, ...]
) -> None:
    far(queue, "build7")
    told = cli.refused(3, *line, "biuld7")
    assert "no host 'biuld7' (did you mean 'build7'?)" in told
    assert "build7" in told.partition("there are: ")[2]
    assert HERE in told


def test_a_job_says_that_it_waits_for_a_drained_host(cli: Cli, queue: Queue) -> None:
    cli.ok("enqueue", "a", "true")
    record = far(queue, "build7")
    queue.store.workers.heartbeat(record.id, 1, replace(REPORT, is_drained=True))
    assert cli.job("a")["reason"] == "host build7 is drained"


def test_a_single_job_is_run_on_a_drained_host_whose_workers_live(cli: Cli, queue: Queue) -> None:
    record = far(queue, HERE)
    cli.ok("host", "drain", HERE)
    queue.store.workers.heartbeat(record.id, 1, replace(REPORT, is_drained=True))
    assert cli.ok("run", "--id", "a", "echo hi").out == "hi\n"


def test_this_host_may_be_drained_before_it_has_workers(cli: Cli) -> None:
    cli.ok("host", "drain", HERE)
    assert cli.ok("host", "list", "--json").json[0]["state"] == "drained"


def test_a_host_that_does_not_answer_is_told_and_asked_all_the_same(cli: Cli, queue: Queue) -> None:
    record = far(queue, "build7", timedelta(minutes=5))
    result = cli("worker", "stop", "--host", "build7")
    assert result.code == 124
    assert f"worker {record.id} did not answer: last heard of at" in result.err
    assert queue.store.workers.heartbeat(record.id, 1) is StopRequest.GRACEFUL


def test_who_has_not_heard_of_the_stop_yet_is_named(cli: Cli, queue: Queue) -> None:
    record = far(queue, "build7")
    told = cli.refused(124, "worker", "stop", "--host", "build7", "--timeout", "0")
    assert f"not answered yet: {record.id}" in told
    assert "name the hosts" in cli.refused(2, "worker", "stop", "--host", "build7", "--all-hosts")


def test_hosts_are_completed(queue: Queue) -> None:
    far(queue, "build7")
    assert "build7" in {name for name, _ in _completions("host", "drain", "")}
    assert "build7" in {name for name, _ in _completions("worker", "stop", "--host", "")}


def _completions(*words: str) -> list[tuple[str, str]]:
    from click.shell_completion import ShellComplete

    from queuectl.cli.root import root

    *before, last = words
    found = ShellComplete(root, {}, "queuectl", "_X").get_completions(list(before), last)
    return [(item.value, item.help or "") for item in found]


def test_a_host_in_a_namespace_of_this_machine_vanishes_like_another(queue: Queue) -> None:
    record = far(queue, "build7", timedelta(minutes=5))
    queue.store.workers.unregister(record.id)
    gone = replace(record, process=replace(this_process(), started="never"))
    queue.store.workers.register(gone)
    queue.store._db.connection.execute(  # type: ignore[attr-defined]
        "UPDATE workers SET heartbeat_at = heartbeat_at - 300000"
    )
    rescuer = Rescuer(queue.store)
    for _ in range(5):
        rescuer.recover(queue.settings())
    (view,) = queue.hosts.views(queue.workers())
    assert (view.name, view.state, view.silent) == ("build7", "vanished", ())
