"""The result that a run leaves: a JSON value in the file that QUEUECTL_RESULT names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worker.fleet import Fleet

WRITE = 'printf %s \'{"loss": 0.5}\' >"$QUEUECTL_RESULT"'


@pytest.mark.parametrize(
    ("command", "result", "note"),
    [
        pytest.param("true", None, None, id="none"),
        pytest.param(WRITE, '{"loss": 0.5}', None, id="a value"),
        pytest.param(f"{WRITE}; exit 3", '{"loss": 0.5}', None, id="of a run that fails"),
        pytest.param(f"{WRITE}; sleep 0.2", '{"loss": 0.5}', None, id="of a run that takes longer"),
        pytest.param('echo 7 >"$QUEUECTL_RESULT"', "7", None, id="without the last line's end"),
        pytest.param('echo "{loss" >"$QUEUECTL_RESULT"', None, "not valid JSON", id="no JSON"),
        pytest.param(r'printf "\377" >"$QUEUECTL_RESULT"', None, "not UTF-8", id="no text"),
        pytest.param(
            'head -c 65537 /dev/zero >"$QUEUECTL_RESULT"', None,
            "it has 65,537 bytes, and at most 65,536 are kept", id="too long",
        ),
        pytest.param(
            'mkdir -p "$QUEUECTL_RESULT/a"', None, "not a regular file", id="a directory"
        ),
        pytest.param('mkfifo "$QUEUECTL_RESULT"', None, "not a regular file", id="a pipe"),
        pytest.param('ln -s /etc/passwd "$QUEUECTL_RESULT"', None, "symbolic links", id="a link"),
    ],
)  # fmt: skip
def test_what_a_run_leaves_is_kept_or_noted_and_no_failure(
    workers: Fleet, command: str, result: str | None, note: str | None
) -> None:
    outcome = workers.outcome(command)
    assert outcome.result == result
    assert outcome.note is None if note is None else note in (outcome.note or "")
    assert outcome.exit_code == (3 if "exit 3" in command else 0)
    assert list(Path(workers.home.results).iterdir()) == []


def test_each_run_has_a_file_of_its_own_and_the_latest_result_counts(workers: Fleet) -> None:
    command = 'test ! -e "$QUEUECTL_RESULT" && echo $QUEUECTL_ATTEMPT >"$QUEUECTL_RESULT"; exit 1'
    job = workers.settled(workers.enqueue(command, max_retries=2, backoff_base=0.0))
    assert job.outcome is not None
    assert (job.outcome.result, job.runs) == ("2", 2)
