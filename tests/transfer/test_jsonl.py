"""A job as a line of JSON: all of it comes back, and nothing wrong comes in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import Job, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.views import MASK
from queuectl.transfer.format import job_from_line, job_to_line, schedule_from_line
from queuectl.transfer.migration import checksum
from tests.domain.jobs import cancelled, completed, dead, failed, pending, processing

FULL = Spec(
    id="job1",
    command=("printf", "%s\n", "a b", "ü漢"),
    queue="gpu",
    priority=-3,
    cwd="/tmp",
    env=(("A", "1"), ("API_TOKEN", "hunter2")),
    labels=("x", "y z"),
    slots=2,
    after=("p1",),
    after_any=("p2",),
    after_fail=("p3",),
    unique="key",
    clean_env=True,
    environment="abc",
    generated_id=True,
)


def there_and_back(job: Job) -> Job:
    """Return what is left of a job that was written and read."""
    return job_from_line(json.loads(json.dumps(job_to_line(job))))


@pytest.mark.parametrize("make", [pending, failed, completed, dead, cancelled])
@pytest.mark.parametrize("spec", [FULL, Spec(id="job1", command="true", max_retries=3)])
def test_a_job_comes_back_as_it_was(make: Any, spec: Spec) -> None:
    job = make(replace(spec, after=(), after_any=(), after_fail=()))
    job = replace(job, spec=spec, blocked_by=pending(spec).blocked_by if make is pending else ())
    assert there_and_back(job) == job


def test_a_run_of_which_nobody_noted_how_long_it_took_comes_back_so() -> None:
    job = completed()
    before = replace(job, history=(replace(job.history[0], duration=None),))
    assert "duration" not in job_to_line(before)["history"][0]
    assert there_and_back(before) == before


def test_a_job_that_was_being_run_comes_back_waiting_with_its_attempt_or_cancelled() -> None:
    job = there_and_back(processing())
    assert (job.state, job.attempts, job.runs, job.claim) == (State.PENDING, 0, 1, None)
    job = there_and_back(replace(processing(), cancel_requested=True))
    assert (job.state, job.cancel_requested) == (State.CANCELLED, False)
    assert job.finished_at is not None


def test_masking_hides_secrets_alone() -> None:
    line = job_to_line(pending(FULL), masked=True)
    assert line["env"] == [["A", "1"], ["API_TOKEN", MASK]]
    assert "hunter2" not in json.dumps(line)


def test_a_checksum_is_of_everything_but_the_count_of_changes() -> None:
    job = completed()
    assert checksum(job) == checksum(replace(job, rev=job.rev + 5))
    assert checksum(job) != checksum(replace(job, attempts=7))
    assert checksum(job) != checksum(replace(job, history=()))
    assert checksum(job) != checksum(replace(job, spec=replace(job.spec, env=(("A", "2"),))))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"id": "../../etc"}, "id '../../etc' is not valid"),
        ({"id": None}, "field 'id' is missing"),
        ({"command": ""}, "command is empty"),
        ({"state": "sleeping"}, "state must be one of the states"),
        ({"created_at": "yesterday"}, "created_at must be a time"),
        ({"created_at": None}, "field 'created_at' is missing"),
        ({"attempts": -1}, "attempts must be a whole number"),
        ({"attempts": True}, "attempts must be a whole number"),
        ({"waits_for": ["sometime:job2"]}, "waits_for 'sometime:job2'"),
        ({"waits_for": [5]}, "waits_for"),
        ({"waits_for": 5}, "waits_for"),
        ({"env": {"A": "1"}}, "env must be an array of pairs"),
        ({"history": [1]}, "history must be an array"),
        ({"duration": "long"}, "duration must be a number"),
        ({"surprise": 1}, "unknown field 'surprise'"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(changed: dict[str, Any], message: str) -> None:
    line = {**job_to_line(completed()), **changed}
    with pytest.raises(InvalidInput) as caught:
        job_from_line(line)
    assert message in str(caught.value)


def test_numbers_that_an_older_export_has_as_text_are_numbers_in_a_schedule() -> None:
    fields = {"command": "true", "slots": "3", "priority": "high", "clean-env": "yes", "cwd": None}
    schedule = schedule_from_line({
        "name": "nightly", "cron": "0 3 * * *", "created_at": "2026-01-31T02:00:00Z",
        "fields": fields,
    })  # fmt: skip
    assert schedule.fields == {
        "command": "true", "slots": 3, "priority": 10, "clean-env": True, "cwd": None,
    }  # fmt: skip
