"""`status`: of everything, of one queue, of one job; and what a person sees first."""

from __future__ import annotations

import os
import re
from datetime import timedelta

import pytest

from queuectl.domain.job import Outcome
from queuectl.presentation import tables
from queuectl.presentation.going_on import write_going_on
from queuectl.queue import open_queue
from queuectl.system.job_logs import JobLogs
from tests.cli.harness import Cli, bury, claim_next, play_worker, run_next
from tests.cli.test_terminal import ESCAPES, shown


def test_a_person_sees_what_runs_what_is_next_and_what_failed(cli: Cli) -> None:
    bury("bad")
    cli.ok("enqueue", "runs", "./train.sh", "--queue", "gpu")
    cli.ok("enqueue", "child", "true", "--after", "runs")
    with open_queue() as queue:
        play_worker(queue)
        job = claim_next(queue)
        logs = JobLogs(queue.home)
        logs.directory(job.id).mkdir(parents=True)
        logs.stderr(job.id, 1).write_text("warming up\n", encoding="utf-8")
        logs.stdout(job.id, 1).write_text("start\n10 %\r\x1b[1m50 %", encoding="utf-8")
        os.utime(logs.stderr(job.id, 1), (1, 1))
    cli.ok("enqueue", "soon", "true")
    text = ESCAPES.sub("", shown("status"))
    runs, coming, failed = text.partition("running  1")[2].split("\r\n\r\n")
    words = runs.split()
    assert words[:7] == "ID FOR QUEUE LAST LINE COMMAND runs".split()
    assert re.fullmatch(r"0:\d\d", words[7])
    assert words[8:] == "gpu 50 % ./train.sh".split()
    assert coming.split()[:6] == "next 2 ID STATE REASON COMMAND".split()
    assert [line.split()[0] for line in coming.splitlines()[2:]] == ["soon", "child"]
    assert "waits for runs" in coming
    assert failed.split()[:3] == "failed lately 1".split()
    assert "Exit code 1" in failed
    assert "running  " not in cli.ok("status").out, "scripts read what they always did"


def test_what_failed_long_ago_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    bury("bad")
    with open_queue() as queue:
        clock = tables.Clock(queue.now() + timedelta(days=2), for_person=True)
        write_going_on(queue, None, clock, colors=False)
    assert capsys.readouterr().out == ""


def test_the_status_of_a_queue_is_of_that_alone(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true", "--queue", "gpu")
    cli.ok("enqueue", "b", "true")
    with open_queue() as queue:
        play_worker(queue)
    for option in ("-q", "--queue", "--group"):
        found = cli.ok("status", option, "gpu", "--json").json
        assert (found["counts"]["pending"], found["counts"]["total"]) == (1, 1)
        assert [each["name"] for each in found["queues"]] == ["gpu"]
        assert len(found["workers"]) == 1
    assert "total       1" in cli.ok("status", "-q", "gpu").out
    nothing = cli.ok("status", "-q", "typo")
    assert "total       0" in nothing.out
    assert "no job is in queue 'typo' yet" in nothing.err


def test_the_status_of_a_job_is_all_about_it(cli: Cli) -> None:
    cli.ok("enqueue", "hello", "true", "--queue", "gpu")
    with open_queue() as queue:
        run_next(queue, Outcome(exit_code=0))
    assert cli.ok("status", "hello").out == cli.ok("show", "hello").out
    assert cli.ok("status", "hello", "--json").json == cli.ok("show", "hello", "--json").json
    assert "queuectl list failed" in cli.refused(3, "status", "failed")
    assert "queuectl status -q gpu" in cli.refused(3, "status", "gpu")
