"""A job as people and programs see it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from queuectl.domain import state_machine
from queuectl.domain.host import HostReport
from queuectl.domain.job import COMMAND_NOT_FOUND, Job, Outcome, State
from queuectl.domain.job_fields import ASKED, Spec, command_text
from queuectl.domain.queue_limits import QueueLimit
from queuectl.domain.views import (
    MASK,
    WaitContext,
    as_dict,
    exit_code,
    looks_secret,
    masked_env,
    reason,
    unserved_by,
)
from queuectl.domain.worker_record import ProcessIdentity, WorkerRecord
from tests.domain.jobs import (
    FAILURE,
    NOW,
    SPEC,
    TIMEOUT,
    after,
    cancelled,
    completed,
    dead,
    failed,
    pending,
    processing,
    result,
)


def buried(outcome: Outcome) -> Job:
    """Return a dead job whose only run ended so."""
    job = processing(replace(SPEC, max_retries=1))
    return result(state_machine.finish(job, outcome, NOW))


KNOWN_FROM_BEFORE = (
    "id command state attempts max_retries created_at updated_at run_at timeout stdout stderr "
    "exit_code duration timed_out last_error queue priority"
).split()
BESIDE_THEM = (
    "failed_at started_at finished_at worker reason runs interruptions suspect history signal "
    "stdout_cut stderr_cut waits_for paused capture_env cpu_seconds peak_memory "
    "result note snapshot signature put_back put_backs not_on batch_index params"
).split()


@pytest.mark.parametrize("job", [pending(), processing(), completed(), failed(), dead()])
def test_every_job_has_the_documented_fields_and_no_others(job: Job) -> None:
    shown = as_dict(job, NOW)
    assert set(shown) == {*KNOWN_FROM_BEFORE, *BESIDE_THEM, *ASKED}
    assert json.loads(json.dumps(shown)) == shown


def test_a_completed_job_shows_times_in_utc_and_its_outcome() -> None:
    shown = as_dict(completed(), NOW)
    assert shown["state"] == "completed"
    assert shown["created_at"] == "2026-01-31T12:00:00.000Z"
    assert shown["finished_at"] == "2026-01-31T12:00:00.000Z"
    assert (shown["exit_code"], shown["duration"], shown["stdout"]) == (0, 0.5, "fine\n")
    assert shown["history"] == [
        {
            "n": 1,
            "claim_id": "claim1",
            "worker": "worker1",
            "started_at": "2026-01-31T12:00:00.000Z",
            "finished_at": "2026-01-31T12:00:00.000Z",
            "exit_code": 0,
            "signal": None,
            "timed_out": False,
            "duration": 0.5,
            "cpu_seconds": None,
            "peak_memory": None,
            "error": None,
        }
    ]


def test_a_run_and_its_job_show_one_duration_and_one_of_before_that_from_claim_to_commit() -> None:
    lasted = Outcome(exit_code=0, duration=0.0137)
    job = result(state_machine.finish(processing(), lasted, after(0.027)))
    shown = as_dict(job, NOW)
    assert shown["duration"] == shown["history"][0]["duration"] == 0.0137
    before = replace(job, history=(replace(job.history[0], duration=None),))
    assert as_dict(before, NOW)["history"][0]["duration"] == 0.027
    lost = as_dict(result(state_machine.expire(processing(), after(31), 5)), NOW)
    assert lost["duration"] == lost["history"][0]["duration"] == 31


def test_a_job_that_never_ran_shows_no_duration_and_no_exit_code() -> None:
    shown = as_dict(pending(), NOW)
    assert (shown["duration"], shown["exit_code"], shown["started_at"]) == (None, None, None)
    assert (shown["timed_out"], shown["stdout"], shown["history"]) == (False, "", [])


def test_an_argument_list_stays_a_list() -> None:
    job = pending(Spec(id="job1", command=("echo", "a b")))
    assert as_dict(job, NOW)["command"] == ["echo", "a b"]
    assert command_text(job.spec.command) == "echo 'a b'"


@pytest.mark.parametrize(
    ("job", "code"),
    [
        (completed(), 0),
        (cancelled(), 143),
        (buried(FAILURE), 1),
        (buried(Outcome(exit_code=7, error="Exit code 7")), 7),
        (buried(Outcome(signal=9, error="Killed by signal 9")), 137),
        (buried(TIMEOUT), 124),
        (buried(Outcome(error=COMMAND_NOT_FOUND)), 127),
        (buried(Outcome(error="Interpreter not found: /x, named in /y")), 127),
        (buried(Outcome(error="Permission denied")), 126),
        (buried(Outcome(error="Permission denied: /x, the interpreter of /y")), 126),
        (buried(Outcome(error="Arguments and environment are too long: 3 bytes")), 126),
        (buried(Outcome(error="Command could not be started: Exec format error")), 126),
        (buried(Outcome(error="Working directory /x: No such file or directory")), 1),
        (dead(), 1),
    ],
)
def test_a_settled_job_stands_for_the_code_that_a_shell_would_give(job: Job, code: int) -> None:
    assert exit_code(job) == code


@pytest.mark.parametrize(
    ("job", "now", "why"),
    [
        (pending(), NOW, "due"),
        (state_machine.enqueue(SPEC, after(60), NOW), NOW, "scheduled for 12:01"),
        (state_machine.enqueue(SPEC, after(60), NOW), after(60), "due"),
        (failed(), NOW, "retry 2/3 at 12:00"),
        (failed(), after(2), "retry 2/3 due"),
        (processing(), NOW, None),
        (completed(), NOW, None),
        (dead(), NOW, None),
        (cancelled(), NOW, None),
    ],
)
def test_a_job_that_waits_says_why_and_no_other_does(
    job: Job, now: datetime, why: str | None
) -> None:
    assert reason(job, now, lambda instant: f"{instant:%H:%M}") == why


@pytest.mark.parametrize(
    "name",
    "PASSWORD db_passwd PASSPHRASE MYSQL_PWD API_KEY APIKEY SSH_KEY KEY_ID GITHUB_TOKEN SECRET "
    "AWS_SECRET_ACCESS_KEY MONGO_URI DATABASE_URL SENTRY_DSN GITHUB_PAT PRIVATE_PEM "
    "HTTP_AUTHORIZATION CREDENTIALS".split(),
)
def test_names_of_secrets_are_recognised(name: str) -> None:
    assert looks_secret(name)
    assert looks_secret(name.lower())


@pytest.mark.parametrize("name", "PATH HOME LANG PWD KEYBOARD MONKEY COLUMNS URLS PATIENCE".split())
def test_ordinary_names_are_not_taken_for_secrets(name: str) -> None:
    assert not looks_secret(name)


def test_secrets_in_the_environment_of_a_job_are_masked_everywhere() -> None:
    env = (("API_TOKEN", "hunter2"), ("MODE", "fast"))
    job = completed(replace(SPEC, env=env))
    assert masked_env(job) == {"API_TOKEN": MASK, "MODE": "fast"}
    assert "hunter2" not in json.dumps(as_dict(job, NOW))


# why a job waits

CHILD = Spec("c", "true", after=("p",), after_fail=("q",), after_any=("r", "p"))


@pytest.mark.parametrize(
    ("limit", "slots", "why"),
    [
        (QueueLimit(), 1, "due"),
        (QueueLimit(paused=True), 1, "queue gpu is paused"),
        (QueueLimit(limit=2, used=2), 1, "queue gpu is at its limit (2)"),
        (QueueLimit(limit=2, used=1), 1, "due"),
        (QueueLimit(limit=2, used=1), 2, "queue gpu is at its limit (2)"),
        (QueueLimit(limit=2), 3, "needs 3 slots, queue gpu has 2"),
    ],
)
def test_the_reason_tells_of_the_queue(limit: QueueLimit, slots: int, why: str) -> None:
    job = pending(replace(SPEC, queue="gpu", slots=slots))
    assert reason(job, NOW, wait_context=WaitContext({"gpu": limit}, lambda _: None)) == why


@pytest.mark.parametrize(
    ("limit", "first", "why"),
    [
        (QueueLimit(limit=3, used=2), "wide", "behind wide, which needs 3 slots"),
        (QueueLimit(limit=2), "wide", "behind wide, which needs 3 slots"),
        (QueueLimit(limit=3), "wide", "due"),
        (QueueLimit(), "wide", "due"),
        (QueueLimit(limit=3, used=2), SPEC.id, "due"),
    ],
)
def test_the_reason_tells_of_a_wider_job_that_goes_first(
    limit: QueueLimit, first: str, why: str
) -> None:
    wide = pending(replace(SPEC, id=first, queue="gpu", slots=3))
    wait_context = WaitContext({"gpu": limit}, lambda _: None, first_of=lambda _queue: wide)
    assert reason(pending(replace(SPEC, queue="gpu")), NOW, wait_context=wait_context) == why


def _worker(host: str, queues: tuple[str, ...] = (), *, is_drained: bool = False) -> WorkerRecord:
    report = HostReport("0.1.0", 2, is_drained=is_drained)
    process = ProcessIdentity(1, "1", "boot")
    return WorkerRecord("w", process, host, "/home", queues, NOW, NOW, report=report)


@pytest.mark.parametrize(
    ("hosts", "why"),
    [
        ({"a": True}, "host a is drained"),
        ({"b": True, "a": True}, "hosts a, b are drained"),
        ({"a": True, "b": False}, None),
    ],
)
def test_the_reason_tells_of_hosts_that_are_drained(hosts: dict[str, bool], why: str) -> None:
    workers = [_worker(host, is_drained=is_drained) for host, is_drained in hosts.items()]
    assert unserved_by(workers)("default") == why


@pytest.mark.parametrize(
    ("bound", "why"),
    [
        ([], "no worker is running"),
        ([("gpu",)], "due"),
        ([("cpu",), ("gpu", "x")], "due"),
        ([("cpu",), ()], "due"),
        ([("cpu",), ("x", "y")], "no worker takes from queue gpu"),
    ],
)
def test_the_reason_tells_of_a_queue_from_which_no_worker_takes(
    bound: list[tuple[str, ...]], why: str
) -> None:
    job = pending(replace(SPEC, queue="gpu"))
    workers = [_worker("a", queues) for queues in bound]
    wait_context = WaitContext({}, lambda _: None, unserved_by(workers))
    assert reason(job, NOW, wait_context=wait_context) == why
    later = replace(job, run_at=NOW + timedelta(hours=1))
    assert str(reason(later, NOW, wait_context=wait_context)).startswith("scheduled for")


def test_the_reason_tells_of_parents_and_of_a_pause() -> None:
    assert reason(pending(CHILD), NOW) == "waits for p, q to fail, r to end, p to end"
    assert reason(replace(pending(CHILD), paused=True), NOW) == "paused"
    fates = {"p": State.DEAD, "q": State.COMPLETED, "r": State.FAILED}.get
    assert reason(pending(CHILD), NOW, wait_context=WaitContext({}, fates)) == (
        "waits for p (dead), q to fail (completed), r to end, p to end (dead)"
    )
    only = pending(Spec("c", "true", after=("gone",)))
    assert reason(only, NOW, wait_context=WaitContext({}, fates)) == "waits for gone (deleted)"
    assert reason(replace(processing(), paused=True), NOW) == "paused"


def test_the_reason_names_the_root_and_not_the_next_link_alone() -> None:
    states = {"p": State.DEAD, "m": State.PENDING}.get
    roots = {"m": "p is dead"}.get
    wait_context = WaitContext({}, states, root_of=roots)
    for parent, why in (("m", "waits for m (p is dead)"), ("p", "waits for p (dead)")):
        job = pending(Spec("c", "true", after=(parent,)))
        assert reason(job, NOW, wait_context=wait_context) == why
