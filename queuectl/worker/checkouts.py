"""The checkouts of snapshots in which the jobs of one worker run: each run has its own.

They are in the home, named by the worker's process and the claim, and go when the run has ended.
What a killed worker leaves is removed by the next one that starts.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import queuectl
from queuectl.domain.job import Job, Outcome
from queuectl.domain.snapshot import Snapshot
from queuectl.system.git_snapshot import remove_checkout, words_of
from queuectl.system.home import Home, private_directory
from queuectl.system.processes import identify
from queuectl.worker.checkout import GONE

_PROGRAM = Path(queuectl.__file__).parent.parent
_PWD = b"PWD"
_VARIABLES = (b"PATH", b"HOME", b"LANG", b"TMPDIR", b"PYTHONPATH")


def own_variables() -> dict[bytes, bytes]:
    """Return the environment of what checks snapshots out."""
    return {name: os.environb[name] for name in _VARIABLES if name in os.environb}


class Checkouts:
    """Where the jobs of one worker run that name a snapshot."""

    def __init__(self, home: Home) -> None:
        self._folder = home.checkouts
        self._host = socket.gethostname()

    def refusal(self, job: Job, snapshot: str) -> Outcome | None:
        """Return how a job ends whose snapshot is none of this host's; None where it is."""
        try:
            known = Snapshot.of(snapshot)
        except ValueError:
            return Outcome(error="its snapshot cannot be read", is_final=True)
        if known.host != self._host:
            error = f"Snapshot {known.short} is on {known.host}"
            return Outcome(error=error, unfit_host=self._host)
        if self._below(job, known).startswith(".."):
            error = f"Working directory {job.spec.cwd} is not in the work tree {known.root}"
            return Outcome(error=error, is_final=True)
        return None

    def command(self, job: Job, snapshot: str) -> tuple[tuple[str, ...], str]:
        """Return the command that checks a job's snapshot out, and the directory to run it in.

        That is where this program is found.
        """
        private_directory(self._folder)
        known, target = Snapshot.of(snapshot), str(self._path(job))
        _, *words = words_of(known.root, known.commit, target, job.spec.cwd or "/")
        module = "queuectl.worker.checkout"
        return (sys.executable, "-m", module, known.kept_in, *words), str(_PROGRAM)

    def failed(self, snapshot: str, outcome: Outcome) -> Outcome | None:
        """Return how a job ends whose snapshot was not checked out; None where it was."""
        if outcome.succeeded:
            return None
        lines = [line for line in outcome.stderr.splitlines() if line.strip()]
        why = lines[-1] if lines else outcome.error
        error = f"Snapshot {Snapshot.of(snapshot).short} cannot be checked out: {why}"
        is_gone = outcome.exit_code == GONE
        return Outcome(error=error, unfit_host=self._host if is_gone else None)

    def inside(
        self, job: Job, snapshot: str, environment: Mapping[bytes, bytes]
    ) -> tuple[str, dict[bytes, bytes]]:
        """Return the directory in a checkout in which a job runs, and its variables there."""
        known = Snapshot.of(snapshot)
        cwd = os.path.normpath(self._path(job) / self._below(job, known))
        more = {
            b"QUEUECTL_SNAPSHOT": known.commit.encode(),
            b"QUEUECTL_SUBMIT_DIR": os.fsencode(job.spec.cwd or "/"),
            **({_PWD: os.fsencode(cwd)} if _PWD in environment else {}),
        }
        return cwd, {**environment, **more}

    def remove(self, job: Job) -> None:
        """Remove a job's checkout, while its worker goes on."""
        path = self._path(job)
        if path.exists():
            threading.Thread(target=remove_checkout, args=(path,), daemon=True).start()

    def sweep(self) -> None:
        """Remove the checkouts of workers that are gone."""
        try:
            found = [path for path in self._folder.iterdir() if not self._is_in_use(path)]
        except OSError:
            return
        for path in found:
            remove_checkout(path)

    def _is_in_use(self, path: Path) -> bool:
        pid = path.name.partition("-")[0]
        return pid.isdecimal() and int(pid) != os.getpid() and identify(int(pid)) is not None

    def _path(self, job: Job) -> Path:
        return self._folder / f"{os.getpid()}-{job.claim_id}"

    def _below(self, job: Job, known: Snapshot) -> str:
        return words_of(known.root, "", "", job.spec.cwd or "/")[-1]
