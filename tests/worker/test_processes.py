"""Finding the processes of one run, whatever they are doing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from queuectl.worker.run_mark import RUN_ID_VARIABLE
from queuectl.worker.run_processes import kill_run, members
from tests.worker.fleet import eventually

LOOKS = 200


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_process_that_becomes_another_program_again_and_again_is_never_overlooked() -> None:
    environment = {**os.environ, RUN_ID_VARIABLE: "the-run", "BECOME": 'exec sh -c "$BECOME"'}
    process = subprocess.Popen(["sh", "-c", 'eval "$BECOME"'], env=environment)
    try:
        eventually(lambda: members("the-run", None))
        overlooked = [look for look in range(LOOKS) if not members("the-run", None)]
        assert (overlooked, process.poll()) == ([], None)
    finally:
        assert kill_run("the-run", None) == []
        process.wait()
