"""Finding the processes of one run, whatever they are doing."""

from __future__ import annotations

import os
import subprocess
import sys
from secrets import token_hex

import pytest

from queuectl.system.run_mark import RUN_ID_VARIABLE
from queuectl.system.run_processes import kill_run, members
from tests.worker.fleet import eventually

LOOKS = 200
RUN = token_hex(12)  # marks hold for the whole machine


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_process_that_becomes_another_program_again_and_again_is_never_overlooked() -> None:
    environment = {**os.environ, RUN_ID_VARIABLE: RUN, "BECOME": 'exec sh -c "$BECOME"'}
    process = subprocess.Popen(["sh", "-c", 'eval "$BECOME"'], env=environment)
    try:
        eventually(lambda: members(RUN, None))
        overlooked = [look for look in range(LOOKS) if not members(RUN, None)]
        assert (overlooked, process.poll()) == ([], None)
    finally:
        assert kill_run(RUN, None) == []
        process.wait()
