"""Starting and stopping this home's workers, from any terminal."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from queuectl.domain.errors import StoreRefused, StoreUnavailable
from queuectl.domain.settings import default_of
from queuectl.domain.sweep_names import PARAM, VARIABLES_OF_BATCHES
from queuectl.system import pidfile, sd_notify
from queuectl.system.home import STORE_VARIABLES, Home, Location, open_private, private_directory
from queuectl.system.run_mark import RUN_ID_VARIABLE
from queuectl.worker.options import USUAL, Timings, WorkerOptions
from queuectl.worker.supervision.stopper import StopReport, stop

__all__ = [
    "StopReport",
    "check_pid_file",
    "run_in_foreground",
    "start",
    "stop",
    "unsupervised",
]

DEFAULT_FORMAT = str(default_of("log_format"))
_START_SECONDS = 30.0
_NOT_INHERITED = (
    *STORE_VARIABLES,
    *sd_notify.VARIABLES,
    RUN_ID_VARIABLE,
    "QUEUECTL_JOB_ID",
    "QUEUECTL_ATTEMPT",
    "QUEUECTL_QUEUE",
    "QUEUECTL_RESULT",
    "QUEUECTL_RESOURCES",
    "QUEUECTL_WORKER_ID",
    *VARIABLES_OF_BATCHES,
)


def start(
    place: Location,
    *,
    count: int = 1,
    queues: tuple[str, ...] = (),
    drain: bool = False,
    only: str | None = None,
    concurrency: int | None = None,
    resources: tuple[tuple[str, str], ...] = (),
    log_format: str = DEFAULT_FORMAT,
    timings: Timings = USUAL,
) -> list[int]:
    """Start workers in the background; return their pids once each can claim.

    The orders go through the new process's standard input: what may hold a password is not
    seen in its arguments or its environment. Raises StoreUnavailable when they do not start.
    """
    place.home.make()
    for directory in (place.home.logs, place.home.worker_logs):
        private_directory(directory)
    pidfile.require_usable(place.home)
    log_file = place.home.worker_logs / f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log"
    reader, writer = os.pipe()
    options = {
        "home": str(place.home.root),
        "store": place.store_url,
        "count": count,
        "queues": list(queues),
        "drain": drain,
        "only": only,
        "concurrency": concurrency,
        "resources": resources,
        "timings": asdict(timings),
        "report": writer,
        "log": str(log_file),
        "log_format": log_format,
    }
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in _NOT_INHERITED and not name.startswith(PARAM)
    }
    log = open_private(log_file, os.O_WRONLY | os.O_APPEND)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "queuectl.worker"],
            cwd=_package_root(),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(writer,),
            start_new_session=True,
        )
    finally:
        os.close(log)
        os.close(writer)
    try:
        process.communicate(json.dumps(options).encode())  # it forks, and this one ends
        return _await_ready(reader, count)
    finally:
        os.close(reader)


def _package_root() -> Path:
    """Return where `python -m` finds this very package."""
    return Path(__file__).resolve().parents[3]


def _await_ready(reader: int, count: int) -> list[int]:
    """Read `ready PID` from each worker. Raises StoreUnavailable with the reason otherwise."""
    pids: list[int] = []
    deadline = time.monotonic() + _START_SECONDS
    pending = b""
    while len(pids) < count:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            raise StoreUnavailable("workers did not start in time", hint="queuectl worker logs")
        chunk = os.read(reader, 4096)
        if not chunk:
            raise StoreUnavailable("workers did not start", hint="queuectl worker logs")
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            word, _, rest = line.decode().partition(" ")
            if word != "ready":
                raise StoreUnavailable(rest)
            pids.append(int(rest))
    return sorted(pids)


def run_in_foreground(
    place: Location,
    *,
    count: int = 1,
    queues: tuple[str, ...] = (),
    drain: bool = False,
    concurrency: int | None = None,
    resources: tuple[tuple[str, str], ...] = (),
    log_format: str = DEFAULT_FORMAT,
) -> int:
    """Be the supervisor, with the workers' log on standard output; return an exit code.

    Where a service manager has started it, that is told how it goes.
    """
    from queuectl.worker.logging import log_to_terminal
    from queuectl.worker.supervision.service import Service
    from queuectl.worker.supervision.supervisor import Supervisor

    place.home.make()
    log_to_terminal(log_format)
    manager = sd_notify.notifier()
    service = Service(manager, count) if manager.is_heard else None
    failures: list[str] = []

    def report(line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "failed":
            failures.append(rest)
        elif service:
            service.report_ready()

    options = WorkerOptions(
        queues, drain, show_output=True, concurrency=concurrency, resources=resources
    )
    return Supervisor(place, options, count, report, service).run()


def unsupervised(home: Home) -> list[int]:
    """Return the pids of this home's living workers whose supervisor has died.

    Nobody would replace them or their guards; each leaves after its job. A PID file that cannot
    be understood names none; see `check_pid_file`.
    """
    if check_pid_file(home):
        return []
    entries = pidfile.living(home)
    supervisors = {entry.process.pid for entry in entries if entry.role == pidfile.SUPERVISOR}
    return [
        entry.process.pid
        for entry in entries
        if entry.role == pidfile.WORKER and entry.supervisor not in supervisors
    ]


def check_pid_file(home: Home) -> list[str]:
    """Return one line for each fault of the PID file."""
    try:
        pidfile.living(home)
    except StoreRefused as fault:
        return [str(fault)]
    return []
