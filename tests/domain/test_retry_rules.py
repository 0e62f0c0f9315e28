"""Which ends of a run are tried again, by the rules that a job has for that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from queuectl.domain import state_machine
from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.run_ends import parse_ends
from queuectl.domain.views import reason
from tests.domain.jobs import FAILURE, NOW, SPEC, TIMEOUT, processing, result

KILLED = Outcome(signal=9, error="Killed by signal 9 (Killed)", duration=0.5)
NO_MEMORY = Outcome(signal=9, error="Out of memory (2 GB)", duration=0.5)
LOST_INPUT = Outcome(error="Standard input data.csv: No such file or directory")


def ended(outcome: Outcome, retry_on: str = "", no_retry_on: str = "") -> Job:
    """Return a job with rules whose first run has ended."""
    spec = replace(
        SPEC,
        retry_on=parse_ends("retry_on", retry_on) if retry_on else (),
        no_retry_on=parse_ends("no_retry_on", no_retry_on) if no_retry_on else (),
    )
    return result(state_machine.finish(processing(spec), outcome, NOW))


def exited(code: int) -> Outcome:
    """Return how a run ended with an exit code."""
    return Outcome(exit_code=code, error=f"Exit code {code}", duration=0.5)


@pytest.mark.parametrize(
    ("outcome", "retry_on", "no_retry_on", "is_retried"),
    [
        (FAILURE, "", "", True),
        (exited(75), "75,137,signal:9", "", True),
        (exited(2), "75,137,signal:9", "", False),
        (exited(70), "64-78", "", True),
        (exited(79), "64-78", "", False),
        (KILLED, "signal:9", "", True),
        (KILLED, "137", "", True),
        (exited(137), "signal:KILL", "", True),
        (exited(143), "signal:KILL", "", False),
        (TIMEOUT, "timeout", "", True),
        (TIMEOUT, "signal:15,143", "", False),
        (NO_MEMORY, "oom", "", True),
        (NO_MEMORY, "signal:9", "", True),
        (KILLED, "oom", "", False),
        (LOST_INPUT, "1-255", "", False),
        (LOST_INPUT, "", "1-255", True),
        (exited(2), "", "2,126", False),
        (exited(3), "", "2,126", True),
        (TIMEOUT, "", "timeout", False),
        (NO_MEMORY, "", "oom", False),
        (exited(75), "64-78", "75", False),
        (exited(74), "64-78", "75", True),
        (exited(2), "64-78", "75", False),
    ],
)
def test_the_rules_say_which_ends_are_tried_again(
    outcome: Outcome, retry_on: str, no_retry_on: str, is_retried: bool
) -> None:
    job = ended(outcome, retry_on, no_retry_on)
    assert job.state is (State.FAILED if is_retried else State.DEAD)
    assert job.last_error == outcome.error


@pytest.mark.parametrize(
    ("outcome", "rules", "why"),
    [
        (exited(2), {"no_retry_on": "2"}, "exit code 2 is not tried again (no_retry_on)"),
        (exited(2), {"retry_on": "75,5"}, "exit code 2 is not tried again (retry_on 75, 5)"),
        (KILLED, {"no_retry_on": "137"}, "signal 9 is not tried again (no_retry_on)"),
        (TIMEOUT, {"no_retry_on": "timeout"}, "a time-out is not tried again (no_retry_on)"),
        (NO_MEMORY, {"no_retry_on": "oom"}, "a run out of memory is not tried again (no_retry_on)"),
    ],
)
def test_a_dead_job_says_which_rule_has_buried_it(
    outcome: Outcome, rules: dict[str, str], why: str
) -> None:
    assert reason(ended(outcome, **rules), NOW) == why


def test_a_job_that_used_up_its_attempts_names_no_rule() -> None:
    job = processing(replace(SPEC, max_retries=1, retry_on=("1",)))
    assert reason(result(state_machine.finish(job, FAILURE, NOW)), NOW) is None


@pytest.mark.parametrize("end", [Outcome(exit_code=0), Outcome(signal=15, interrupted=True)])
def test_success_and_interruption_are_no_matter_of_rules(end: Outcome) -> None:
    assert ended(end, "75").state in (State.COMPLETED, State.PENDING)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("75, 137", ("75", "137")),
        ([75, "signal:kill"], ("75", "signal:9")),
        (75, ("75",)),
        ("signal:SIGTERM,signal:15", ("signal:15",)),
        ("OOM,Timeout", ("oom", "timeout")),
        ("007", ("7",)),
        ([], ()),
    ],
)
def test_each_end_is_kept_in_one_form(written: object, kept: tuple[str, ...]) -> None:
    assert parse_ends("retry_on", written) == kept


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("never", "retry_on: 'never' is no end of a run; name exit codes (75, 64-78), signal:9"),
        ("SIGKILL", "is no end of a run"),
        ("signal:FOO", "is no end of a run"),
        ("signal:65", "is no end of a run"),
        ("signal:0", "is no end of a run"),
        ("0", "exit code 0 is success"),
        ("256", "exit code 256 must be from 1 to 255"),
        ("78-64", "the range 78-64 must begin with the lower exit code"),
        ("-5", "is no end of a run"),
        ("", "is no end of a run"),
        (True, "must be a list of"),
        ({"75": 1}, "must be a list of"),
        ([None], "is no end of a run"),
        ([str(code) for code in range(1, 66)], "names 65 ends; 64 are allowed"),
    ],
)
def test_what_is_no_end_is_refused_with_the_forms_there_are(written: object, said: str) -> None:
    with pytest.raises(InvalidInput) as fault:
        parse_ends("retry_on", written)
    assert said in str(fault.value)


def test_a_signal_by_its_bare_name_is_told_how_it_is_written() -> None:
    with pytest.raises(InvalidInput) as fault:
        parse_ends("no_retry_on", "sigkill")
    assert fault.value.hint == "--no-retry-on signal:KILL"
