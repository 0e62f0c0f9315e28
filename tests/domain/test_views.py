"""A job as people and programs see it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import COMMAND_NOT_FOUND, Job, Outcome
from queuectl.domain.job_fields import ASKED, Spec, command_text
from queuectl.domain.views import MASK, as_dict, exit_code, looks_secret, masked_env, reason
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
    "failed_at started_at finished_at worker reason runs interruptions history signal stdout_cut "
    "stderr_cut waits_for paused capture_env"
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
