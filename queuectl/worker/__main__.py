"""A supervisor in the background; `manager.start` gives it its orders on standard input."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from queuectl.home import Home, Place
from queuectl.worker.logs import log_to_file
from queuectl.worker.loop import Orders
from queuectl.worker.supervisor import Supervisor


def main() -> int:
    """Read the orders, let go of the terminal, and supervise."""
    given = json.load(sys.stdin)
    place = Place(Home(Path(given["home"])), given["store"])
    orders = Orders(tuple(given["queues"]), drain=given["drain"], only=given["only"])
    if os.fork():
        return 0  # whoever started us need not wait for the supervisor's end
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir("/")
    log_to_file()
    writer = given["report"]
    os.set_inheritable(writer, False)

    def report(line: str) -> None:
        try:
            os.write(writer, f"{line}\n".encode())
        except OSError:
            return  # whoever started us has been told enough, or is gone

    return Supervisor(place, orders, given["count"], report).run()


if __name__ == "__main__":
    sys.exit(main())
