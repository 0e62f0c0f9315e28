"""Real workers deliver: over crashes, with retries, without a secret in sight, and tidily."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from queuectl.domain.hooks import DELIVERY_ATTEMPTS, Hook, Target, delivery_id
from queuectl.domain.job import Job, State
from queuectl.domain.queue_limits import delivery_queue
from queuectl.domain.settings import Settings
from queuectl.domain.times import EPOCH
from queuectl.maintenance import pruner
from queuectl.maintenance.pruner import Pruner
from queuectl.queue import Queue
from queuectl.queue.events import process_all_events
from queuectl.stores.base import Store
from queuectl.system import pidfile
from queuectl.system.home import Home
from tests.cli.harness import environment
from tests.hooks.kit import deliveries, events, kept
from tests.hooks.receiver import KEY, MailReceiver, Receiver
from tests.stores.kit import FAILURE, added, buried, claimed, listed, settled
from tests.worker.fleet import Fleet, eventually, fleet_in

TELLTALE = "s3cr3t"


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A home with a worker, shared by these tests: each has a hook and a queue of its name."""
    with fleet_in(tmp_path_factory.mktemp("fleet")) as fleet:
        fleet.start()
        yield fleet


def add(opened: Queue, name: str, address: str, *, replacing: bool = False, **more: Any) -> None:
    """Add a hook that posts to an address, about the queue of its name, unless told otherwise."""
    wanted = {
        "target": Target.WEBHOOK, "created_at": EPOCH, "events": ("dead",), "queue": name, **more
    }  # fmt: skip
    opened.hooks.add(Hook(name, address=address, **wanted), replacing=replacing)


def delivered_by(fleet: Fleet, name: str) -> Job:
    """Wait until the first delivery of a hook is settled, and return it."""
    (found,) = eventually(lambda: list(fleet.queue.hooks.deliveries(name, 1)))
    return fleet.settled(found.id)


def test_a_worker_tells_a_webhook_that_a_job_is_dead_and_retries(
    workers: Fleet, receiver: Receiver
) -> None:
    receiver.answers = [503]
    add(workers.queue, "busy", receiver.url, secret=KEY)
    assert workers.ran("exit 3", queue="busy").state is State.DEAD
    (found,) = eventually(lambda: list(workers.queue.hooks.deliveries("busy", 1)))
    failed = eventually(lambda: (job := workers.job(found.id)).state is State.FAILED and job)
    assert failed.last_error == "hook 'busy': 127.0.0.1 answered HTTP 503"
    assert failed.spec.max_retries == DELIVERY_ATTEMPTS
    workers.queue.retry(found.id)
    assert workers.settled(found.id).state is State.COMPLETED
    first, second = receiver.posts
    assert (first.body, first.delivery) == (second.body, second.delivery)
    assert first.is_signed
    assert second.is_signed
    assert first.json["job"]["exit_code"] == 3


def test_an_answer_that_is_final_buries_the_delivery_at_once(
    workers: Fleet, receiver: Receiver
) -> None:
    receiver.answers = [410]
    add(workers.queue, "gone", receiver.url)
    workers.ran("exit 1", queue="gone")
    job = delivered_by(workers, "gone")
    assert (job.state, job.attempts) == (State.DEAD, 1)
    assert job.last_error == "hook 'gone': 127.0.0.1 answered HTTP 410"
    assert any("not delivered" in fault for fault in workers.queue.hooks.faults())


def test_a_worker_that_drains_delivers_what_its_last_job_has_told(
    fleet: Fleet, receiver: Receiver, mailbox: MailReceiver
) -> None:
    add(fleet.queue, "a", receiver.url, events=("queue-empty",), queue=None)
    add(fleet.queue, "default", "me@example.com", target=Target.MAIL, smtp=mailbox.url)
    fleet.enqueue("exit 1", max_retries=1)
    fleet.start(drain=True)
    eventually(lambda: not fleet.pids(pidfile.SUPERVISOR))
    assert [post.json["event"] for post in receiver.posts] == ["queue-empty"]
    assert len(mailbox.mails) == 1


def test_a_local_command_runs_where_it_was_added_and_does_not_learn_the_store(
    workers: Fleet, tmp_path: Path
) -> None:
    command = 'cat > stdin; echo "$QUEUECTL_JOB_ID" >> told; env >> told'
    add(workers.queue, "local", command, target=Target.COMMAND, cwd=str(tmp_path))
    dead = workers.ran("exit 1", queue="local")
    assert delivered_by(workers, "local").state is State.COMPLETED
    told = (tmp_path / "told").read_text()
    assert told.startswith(f"{dead.id}\n")
    assert "queue.db" not in told
    assert (tmp_path / "stdin").read_text() == ""


def test_the_secrets_of_hooks_are_in_no_record_log_or_display(
    workers: Fleet, receiver: Receiver, cli: Any
) -> None:
    receiver.answers = [400]
    add(workers.queue, "quiet", receiver.url, secret=KEY)
    workers.ran("exit 1", queue="quiet")
    assert delivered_by(workers, "quiet").state is State.DEAD
    shown = workers.log() + str(list(workers.queue.find())) + str(workers.queue.hooks.all())
    shown += "".join(path.read_text() for path in workers.home.job_logs.rglob("*.*"))
    home = str(workers.home.root)
    for words in ("hook list", "hook list --json", "hook show quiet", "hook show quiet --json",
                  "list", "list --json", "export", "doctor --json", "hook test quiet"):  # fmt: skip
        result = cli("--home", home, *words.split())
        shown += result.out + result.err
    assert TELLTALE not in shown
    assert "127.0.0.1" in shown


@pytest.mark.parametrize(
    ("hook", "queue", "error"),
    [
        ("forged", delivery_queue("forged"), "hook 'forged': the job holds no event"),
        ("forged", "default", "its id belongs to the deliveries of hooks"),
        (
            "removed",
            delivery_queue("removed"),
            "hook 'removed': there is no hook 'removed' any more",
        ),
    ],
)
def test_a_forged_delivery_and_one_whose_hook_is_gone_run_nothing_and_end(
    workers: Fleet, receiver: Receiver, tmp_path: Path, hook: str, queue: str, error: str
) -> None:
    if hook == "forged":
        add(workers.queue, hook, receiver.url, replacing=True)
    command = ("touch", str(tmp_path / "ran"))
    made = added(
        workers.queue.store, delivery_id(hook, token_hex(16)), queue=queue, command=command
    )
    job = workers.settled(made.id)
    assert (job.state, job.last_error) == (State.DEAD, error)
    assert not (tmp_path / "ran").exists()
    assert receiver.posts == []


def test_a_command_that_is_not_allowed_is_not_run_as_a_hook_either(
    workers: Fleet, tmp_path: Path
) -> None:
    add(workers.queue, "denied", "touch ran", target=Target.COMMAND, cwd=str(tmp_path))
    workers.set(denied_commands="touch *")
    try:
        workers.ran("exit 1", queue="denied")
        job = delivered_by(workers, "denied")
    finally:
        workers.set(denied_commands="")
    assert job.state is State.DEAD
    assert "not allowed" in (job.last_error or "")
    assert not (tmp_path / "ran").exists()


TELL_UNTIL_KILLED = """
import os, signal, sys
from queuectl.stores import open_store
from queuectl.queue.events import process_all_events
store = open_store(sys.argv[1])
owner = store.stats if sys.argv[2] == "record" else store
setattr(owner, sys.argv[2], lambda *args: os.kill(os.getpid(), signal.SIGKILL))
process_all_events(store)
"""


@pytest.mark.parametrize("fatal", ["record", "insert"])
def test_a_teller_that_is_killed_between_two_writes_loses_nothing_and_tells_nothing_twice(
    fleet: Fleet, receiver: Receiver, fatal: str
) -> None:
    add(fleet.queue, "a", receiver.url, secret=KEY, queue=None)
    buried(fleet.queue.store, "job1")
    program = [sys.executable, "-c", TELL_UNTIL_KILLED, fleet.location.store_url, fatal]
    ended = subprocess.run(program, env=environment(), check=False)
    assert ended.returncode == -signal.SIGKILL
    before = [job.id for job in deliveries(fleet.queue.store)]
    assert len(before) == (1 if fatal == "record" else 0)
    fleet.start()
    job = delivered_by(fleet, "a")
    eventually(
        lambda: (
            not any(e.job_id == "job1" for e in fleet.queue.store.stats.pending_events().finished)
        )
    )
    assert [post.delivery for post in receiver.got(1)] == [job.id]
    assert [job.id for job in deliveries(fleet.queue.store)] == [job.id]
    assert before in ([], [job.id])


def test_without_a_hook_a_batch_costs_one_look(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        buried(store, f"job{number}")
    looks = []
    hooks = store.hooks.all

    def counted() -> list[Hook]:
        looks.append(1)
        return hooks()

    monkeypatch.setattr(store.hooks, "all", counted)
    process_all_events(store)
    assert len(looks) == 1
    assert deliveries(store) == []


def test_deliveries_that_ended_long_ago_are_let_go_and_nothing_else(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [delivery_id("a", f"{number:032}") for number in range(3)]
    for job_id in (*ids, "mine"):
        added(store, job_id, queue=delivery_queue("a") if job_id in ids else "default")
    settled(store, claimed(store, only=ids[0]))
    settled(store, claimed(store, only=ids[1]), FAILURE)
    settled(store, claimed(store, only="mine"))
    home = Home(tmp_path / "home")
    Pruner(store, home).tick(Settings())
    assert listed(store) == [*ids, "mine"]
    monkeypatch.setattr(
        pruner, "DELIVERIES_KEPT", dict.fromkeys(pruner.DELIVERIES_KEPT, timedelta(days=-1))
    )
    Pruner(store, home).tick(Settings())
    assert listed(store) == [ids[2], "mine"]


def test_ended_runs_become_deliveries_with_the_facts_in_them_before_they_are_forgotten(
    store: Store,
) -> None:
    kept(store, events=("dead",))
    buried(store, "job1", labels=("x",))
    process_all_events(store)
    assert events(store) == ["dead job1"]
    assert store.stats.pending_events().finished == ()
    (job,) = deliveries(store)
    assert json.loads(dict(job.spec.env)["QUEUECTL_FACTS"])["job"]["labels"] == ["x"]
    assert job.spec.command == ("queuectl", "hook", "deliver", "a")
