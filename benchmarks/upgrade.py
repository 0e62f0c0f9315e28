"""A rolling upgrade: two versions of queuectl on one MongoDB store, at work at the same time.

    python benchmarks/upgrade.py --against COMMIT [--store mongodb://HOST:PORT]

The older one is a wheel built from a commit of this repository, the newer one this checkout. Each
has a home and workers of its own. Each claim of docs/hosts.md about that is tried, and told as
PASS or FAIL; the exit code is 0 when all hold. It needs git's history, and pip with a way to
setuptools. Without `--store` a server of the `test` extra is started.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COMMIT = "446da0a"
"""The first one whose layouts of both stores have today's numbers."""

_PATIENCE_SECONDS = 120.0
NEWER = {"newer": {"deep": [1, "x"]}}


class Version:
    """One version of queuectl with a home of its own: `path` is where it is, if not installed."""

    def __init__(self, name: str, path: Path, directory: Path, store: str) -> None:
        self.name = name
        self._directory = directory / name
        self._directory.mkdir()
        self._variables = {
            **os.environ,
            "PYTHONPATH": str(path),
            "QUEUECTL_HOME": str(self._directory / "home"),
            "QUEUECTL_STORE": store,
            "NO_COLOR": "1",
        }

    def __call__(self, *words: str, code: int | None = 0) -> str:
        """Run a command line; return what it prints. Raises AssertionError for another code."""
        ended = subprocess.run(
            [sys.executable, "-m", "queuectl", *words],
            capture_output=True,
            text=True,
            env=self._variables,
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert code is None or ended.returncode == code, (
            f"{self.name}: {' '.join(words)}: {ended.returncode} {ended.stderr[-500:]}"
        )
        return ended.stdout

    def json(self, *words: str) -> Any:
        """Run a command line that prints JSON."""
        return json.loads(self(*words, "--json"))


def wheel(commit: str, directory: Path) -> Path:
    """Build a commit's wheel and unpack it; return where. Raises SystemExit where that fails."""
    source = directory / "source"
    source.mkdir()
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit], capture_output=True, check=False
    )
    if archive.returncode:
        raise SystemExit(f"SKIPPED: git has no commit {commit} here: {archive.stderr.decode()}")
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = directory / "wheels"
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(built), str(source)], check=True)
    target = directory / "installed"
    (found,) = built.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(found)], check=True)
    return target


def until(look: Callable[[], bool]) -> None:
    """Wait until something holds. Raises AssertionError when it never does."""
    ends_at = time.monotonic() + _PATIENCE_SECONDS
    while not look():
        assert time.monotonic() < ends_at, "it took too long"
        time.sleep(0.2)


class Fleet:
    """Both versions on one store, and what is tried of them."""

    def __init__(self, old: Version, new: Version, database: Any, directory: Path) -> None:
        self.old, self.new, self.database, self.directory = old, new, database, directory

    def has_newer(self, job_id: str, place: str = "jobs") -> bool:
        """Whether a job's document has what only a version of the future knows."""
        found = self.database[place].find_one({"_id": job_id}) or {}
        return NEWER.items() <= found.items()

    def mixed_work(self) -> None:
        """Both enqueue, and workers of both run it, each job once."""
        ran = self.directory / "ran"
        for number in range(20):
            for side in (self.old, self.new):
                job_id = f"{side.name}{number}"
                side("enqueue", "--id", job_id, "--command", f"echo {job_id} >> {ran}")
        self.old("worker", "start", "--count", "2")
        self.new("worker", "start", "--count", "2")
        until(lambda: self.new.json("status")["counts"]["completed"] >= 40)
        lines = ran.read_text().split()
        assert sorted(lines) == sorted({*lines}), "a job ran twice"
        assert len(lines) == 40
        workers = {job["worker"] for job in self.new.json("list", "--limit", "0")}
        assert len(workers) > 1

    def failures_and_retries(self) -> None:
        """What one buries, the other retries, and each reads the history that the other wrote."""
        for first, second in ((self.old, self.new), (self.new, self.old)):
            job_id = f"bad-of-{first.name}"
            flag = self.directory / f"mended-by-{second.name}"
            first("enqueue", "--id", job_id, "--max-retries", "1", "--command", f"test -e {flag}")
            self._await(second, job_id, "dead")
            assert any(job["id"] == job_id for job in second.json("dlq", "list"))
            flag.touch()
            second("dlq", "retry", job_id)
            self._await(first, job_id, "completed")
            assert len(second.json("show", job_id)["history"]) == 2

    def fields_of_the_future(self) -> None:
        """Fields that neither knows survive claim, commit, edit, pause and retry by either."""
        for side in (self.old, self.new):
            job_id = f"future-of-{side.name}"
            side(
                "enqueue", "--id", job_id, "--max-retries", "1", "--in", "1h", "--command", "false"
            )
            self.database.jobs.update_one({"_id": job_id}, {"$set": NEWER})
            side("set", job_id, "priority=3")
            side("jobs", "pause", job_id)
            side("jobs", "resume", job_id)
            assert self.has_newer(job_id)
            side("set", job_id, "run_at=now")
            self._await(side, job_id, "dead")
            assert self.has_newer(job_id, "dlq")
            side("queue", "pause", "default")
            side("dlq", "retry", job_id)
            assert self.has_newer(job_id)
            side("queue", "resume", "default")
            self._await(side, job_id, "dead")

    def looking(self) -> None:
        """Each lists, shows and exports the same jobs, and both are among the workers."""
        ids = [{job["id"] for job in side.json("list", "--limit", "0")} for side in self.both]
        assert ids[0] == ids[1]
        exported = [
            {line["id"] for line in map(json.loads, side("export").splitlines()) if "id" in line}
            for side in self.both
        ]
        assert exported[0] == exported[1]
        assert len(self.old.json("worker", "list")) == len(self.new.json("worker", "list")) == 4
        (host,) = self.new.json("host", "list")
        print(f"       versions told: {host['versions']}")

    def settings_and_schedules(self) -> None:
        """What one sets is in force for the other, and each changes a schedule."""
        self.new("config", "set", "max_retries", "7")
        assert self.old("config", "get", "max_retries").strip() == "7"
        self.new("schedule", "add", "nightly", "0 3 * * *", "true")
        self.database.queuectl_schedules.update_one({"_id": "nightly"}, {"$set": NEWER})
        self.new("schedule", "pause", "nightly")
        kept = self.database.queuectl_schedules.find_one({"_id": "nightly"})
        assert NEWER.items() <= kept.items()
        self.old("schedule", "resume", "nightly")
        assert any(each["name"] == "nightly" for each in self.old.json("schedule", "list"))

    def a_lost_worker(self) -> None:
        """What a killed worker of the older had is run again by the newer's, and the reverse."""
        for side, other in ((self.old, self.new), (self.new, self.old)):
            other("worker", "stop")
            gate = self.directory / f"gate-{side.name}"
            job_id = f"lost-by-{side.name}"
            begun = self.directory / f"begun-{side.name}"
            command = f"touch {begun}; while [ ! -e {gate} ]; do sleep 0.1; done"
            side("enqueue", "--id", job_id, "--command", command)
            until(begun.exists)
            held = [each for each in side.json("worker", "list") if each["job"] == job_id]
            os.kill(held[0]["pid"], 9)
            other("worker", "start", "--count", "2")
            gate.touch()
            self._await(other, job_id, "completed")

    def stopping(self) -> None:
        """The newer stops the workers of both through the store."""
        self.new("worker", "stop", "--all-hosts", "--timeout", "100")
        assert self.old.json("worker", "list") == []

    @property
    def both(self) -> tuple[Version, Version]:
        """The older and the newer."""
        return self.old, self.new

    def _await(self, side: Version, job_id: str, state: str) -> None:
        """Wait until a version shows a job in some state, and no copy of it is on its way."""

        def has_come() -> bool:
            is_moving = self.database.jobs.find_one({"_id": job_id, "moving": True})
            return side.json("show", job_id)["state"] == state and not is_moving

        until(has_come)

    def close(self) -> None:
        """End the workers of both."""
        for side in self.both:
            side("worker", "stop", "--now", code=None)


@contextlib.contextmanager
def server(named: str, directory: Path) -> Iterator[str]:
    """Return the address of a server: the one that is named, or one of our own."""
    if named:
        yield named
        return
    sys.path.insert(0, str(ROOT))
    from tests.stores.server import mongod_in

    with mongod_in(directory) as mongod:
        yield f"mongodb://{mongod.address}"


def main() -> int:
    """Try all of it; return an exit code."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--against", default=COMMIT, help="the commit of the older version")
    options.add_argument("--store", default="", help="a MongoDB server, as mongodb://HOST:PORT")
    args = options.parse_args()
    from pymongo import MongoClient

    failures = 0
    with tempfile.TemporaryDirectory(prefix="queuectl-upgrade-") as root:
        directory = Path(root)
        installed = wheel(args.against, directory)
        (directory / "server").mkdir()
        with server(args.store, directory / "server") as address:
            name = f"queuectl_upgrade_{token_hex(4)}"
            store = f"{address}/{name}"
            old = Version("old", installed, directory, store)
            new = Version("new", ROOT, directory, store)
            print(f"older: {args.against}, {old('--version').strip()}; newer: this checkout")
            old("init")
            with MongoClient[dict[str, Any]](address) as client:
                fleet = Fleet(old, new, client[name], directory)
                try:
                    for trial in (
                        fleet.mixed_work, fleet.failures_and_retries, fleet.fields_of_the_future,
                        fleet.settings_and_schedules, fleet.looking, fleet.a_lost_worker,
                        fleet.stopping,
                    ):  # fmt: skip
                        failures += not _holds(trial)
                finally:
                    fleet.close()
                    client.drop_database(name)
    return 1 if failures else 0


def _holds(trial: Callable[[], None]) -> bool:
    """Try one thing, and tell how it went."""
    what = (trial.__doc__ or "").strip().splitlines()[0]
    try:
        trial()
    except AssertionError as fault:
        print(f"FAIL   {what}\n       {fault}")
        return False
    print(f"PASS   {what}")
    return True


if __name__ == "__main__":
    sys.exit(main())
