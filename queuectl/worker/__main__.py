"""A supervisor in the background; `manager.start` gives it its orders on standard input."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

from queuectl.system.home import Home, Location
from queuectl.system.run_mark import belong_to_no_run
from queuectl.system.terminal_stops import be_a_command
from queuectl.worker.logging import log_to_file
from queuectl.worker.options import Timings, WorkerOptions
from queuectl.worker.supervision.supervisor import Supervisor


def main() -> int:
    """Read the orders, let go of the terminal, and supervise."""
    be_a_command()
    orders = json.load(sys.stdin)
    belong_to_no_run()  # a job that starts workers does not take them with it
    place = Location(Home(Path(orders["home"])), orders["store"])
    options = WorkerOptions(
        tuple(orders["queues"]),
        orders["drain"],
        orders["only"],
        concurrency=orders["concurrency"],
        resources=tuple((name, text) for name, text in orders["resources"]),
        timings=Timings(**orders["timings"]),
    )
    if os.fork():
        return 0  # whoever started us need not wait for the supervisor's end
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir("/")
    _keep_a_log(place, orders["log_format"], Path(orders["log"]))
    writer = orders["report"]
    os.set_inheritable(writer, False)

    def report(line: str) -> None:
        with contextlib.suppress(OSError):  # whoever started us knows enough, or is gone
            os.write(writer, f"{line}\n".encode())

    return Supervisor(place, options, orders["count"], report).run()


def _keep_a_log(place: Location, log_format: str, first: Path) -> None:
    """Log into a file of our own, where errors of Python itself go too from now on.

    The file that held them until now is removed if there were none.
    """
    descriptor = log_to_file(place.home, log_format)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    with contextlib.suppress(OSError):
        if not first.stat().st_size:
            first.unlink()


if __name__ == "__main__":
    sys.exit(main())
