"""How many commands a job costs on MongoDB, and how fast a queue drains over a slow line.

    python benchmarks/mongo_round_trips.py --before ../before/.venv/bin/queuectl --rounds 3

A proxy stands before the server, which delays every message by a millisecond in each direction and
counts the commands of the workers. Jobs that run `true` are enqueued past it; then four workers
drain the queue by way of it. Counted is from the first job's start to the last job's end, by the
server's clock. Without `--server` the small wire server of the tests is started on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import bson
from processes import BenchError, become_subreaper
from pymongo import MongoClient
from stage import ROOT, Program, Stage, Workers, database_of_its_own, ground

_HEADER = 16
_OP_MSG = 2013
_BODY = _HEADER + 5  # after the header come flags and the kind of the first section
_OF_THE_DRIVER = {"hello", "ismaster", "isMaster", "ping", "endSessions"}


class SlowLine:
    """A proxy that delays each message and notes when a command of which name passed."""

    def __init__(self, server: tuple[str, int], delay: float) -> None:
        self._server, self._delay = server, delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.commands: list[tuple[float, str]] = []
        self.address = "{}:{}".format(*self._listener.getsockname())
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections; those there are end with their clients."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                for ends, is_counted in (((client, server), True), ((server, client), False)):
                    for end in ends:
                        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    args = (*ends, is_counted)
                    threading.Thread(target=self._pass, args=args, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_counted: bool) -> None:
        with contextlib.suppress(OSError):
            while message := _message(source):
                if is_counted and int.from_bytes(message[12:_HEADER], "little") == _OP_MSG:
                    self.commands.append((time.time(), _name_of(message)))
                time.sleep(self._delay)
                target.sendall(message)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _name_of(message: bytes) -> str:
    """Return the name of a command, with the collection it is for."""
    body = message[_BODY:]
    command = bson.decode(body[: int.from_bytes(body[:4], "little")])
    name, about = next(iter(command.items()))
    return f"{name} {about}" if isinstance(about, str) else name


def _message(source: socket.socket) -> bytes:
    """Read one message of the wire protocol; nothing at the end."""
    size = source.recv(4, socket.MSG_WAITALL)
    if len(size) < 4:
        return b""
    return size + source.recv(int.from_bytes(size, "little") - 4, socket.MSG_WAITALL)


@dataclass(frozen=True)
class Drained:
    """One drain: jobs a second, and which commands went to the server in that time."""

    rate: float
    commands: Counter[str]
    jobs: int

    @property
    def commands_a_job(self) -> float:
        """How many commands each job took."""
        return self.commands.total() / self.jobs


def drain(program: Program, server: str, delay: float, jobs: int, workers: Workers) -> Drained:
    """Enqueue jobs past the proxy, and let workers drain them by way of it."""
    host, _, port = server.partition(":")
    line = SlowLine((host, int(port)), delay)
    try:
        with Stage(program) as stage:
            direct = database_of_its_own(f"mongodb://{server}")
            stage.environment["QUEUECTL_STORE"] = direct
            stage.enqueue((f"job{number}", "true") for number in range(jobs))
            slow = direct.replace(server, line.address) + "?directConnection=true"
            stage.environment["QUEUECTL_STORE"] = slow
            stage.drain(workers)
            stage.environment["QUEUECTL_STORE"] = direct
            stage.check_completed(jobs)
            return _measured(direct, line, jobs)
    finally:
        line.close()


def _measured(url: str, line: SlowLine, jobs: int) -> Drained:
    with MongoClient[dict[str, object]](url, tz_aware=True) as client:
        found = list(client.get_default_database().jobs.find({}, {"history": True}))
    runs = [each["history"][0] for each in found]  # type: ignore[index]
    begun = min(run["started_at"] for run in runs).timestamp()
    ended = max(run["finished_at"] for run in runs).timestamp()
    names = Counter(name for at, name in line.commands if begun <= at <= ended)
    for name in _OF_THE_DRIVER:
        del names[name]
    return Drained(jobs / (ended - begun), names, jobs)


@contextlib.contextmanager
def server_for(named: str) -> Iterator[str]:
    """The address of the server to measure with."""
    if named:
        yield named
        return
    sys.path.insert(0, str(ROOT))
    from tests.stores.server import mongod_in

    with tempfile.TemporaryDirectory() as directory, mongod_in(Path(directory)) as mongod:
        yield mongod.address


def main(argv: Sequence[str]) -> None:
    """Drain with one build or with two in turns, and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bin", default="", help="the queuectl to measure; else this checkout")
    parser.add_argument("--before", default="", help="another build, in turns")
    parser.add_argument("--server", default="", metavar="HOST:PORT", help="a running server")
    parser.add_argument("--delay", type=float, default=1.0, help="milliseconds in each direction")
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    chosen = parser.parse_args(argv)
    builds = {"this": chosen.bin, **({"before": chosen.before} if chosen.before else {})}
    programs = {name: Program.chosen(command, "") for name, command in builds.items()}
    results: dict[str, list[Drained]] = {name: [] for name in programs}
    become_subreaper()
    for number in range(chosen.rounds):
        for name in sorted(programs, reverse=bool(number % 2)):
            with server_for(chosen.server) as server, ground():  # a server slows down as it fills
                workers = Workers(chosen.workers)
                seconds = chosen.delay / 1000
                result = drain(programs[name], server, seconds, chosen.jobs, workers)
            results[name].append(result)
            print(
                f"{name}: {result.rate:.0f} jobs/s, {result.commands_a_job:.2f} commands a job:",
                flush=True,
            )
            for command, count in result.commands.most_common():
                print(f"  {count / result.jobs:.3f} {command}", flush=True)
    if "before" in results:
        pairs = zip(results["this"], results["before"], strict=True)
        ratio = statistics.median(one.rate / other.rate for one, other in pairs)
        print(f"this build is {ratio:.2f} times as fast as the one before (median of the rounds)")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BenchError as fault:
        sys.exit(str(fault))
