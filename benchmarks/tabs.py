"""What open tabs of the dashboard cost the workers: a drain with and without them, in pairs.

python benchmarks/tabs.py [--tabs 50] [--stored 100000] [--jobs 2000] [--rounds 9]

A temporary home has many jobs that are not due. In each round jobs that run `true` are drained
twice by two workers, once with tabs open and once without, every other round the other way round.
A tab does what the page's script does: it follows the events, and fetches what has changed of its
page after each, at most four times a second. The time is from the first start to the last end in
the jobs' records. Tabs run in a process of their own on the same machine, where browsers would be
elsewhere: what they take of the processor counts against the dashboard. The processor time of the
workers with their jobs, which other load on the machine changes little, is compared too, and that
of the dashboard is told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

PATHS = ("/", "/jobs", "/workers", "/queues", "/wall")
BETWEEN = 0.25
TARGET = 1.03


def queuectl(home: Path, *args: str) -> str:
    """Run a command line that must succeed; return what it prints."""
    command = [sys.executable, "-m", "queuectl", *args]
    done = subprocess.run(command, check=True, env=environment(home), stdout=subprocess.PIPE)
    return done.stdout.decode()


def environment(home: Path) -> dict[str, str]:
    """Return the environment of all that belongs to a home."""
    return {**os.environ, "QUEUECTL_HOME": str(home)}


def enqueue(home: Path, name: str, number: int, **fields: str) -> None:
    """Store so many jobs in a queue."""
    file = home.parent / f"{name}.jsonl"
    with file.open("w") as lines:
        for at in range(number):
            job = {"id": f"{name}-{at}", "command": "true", "queue": name, **fields}
            lines.write(json.dumps(job) + "\n")
    queuectl(home, "enqueue", "--file", str(file))
    file.unlink()


def processor_seconds(pid: int) -> float:
    """Return what a process and its children that have ended took of the processors, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def drain(home: Path, name: str, number: int) -> tuple[float, float]:
    """Return the seconds in which two workers do so many jobs, and their processor time."""
    enqueue(home, name, number)
    queuectl(home, "worker", "start", "--count", "2", "--queue", name)
    queuectl(home, "wait", "--queue", name)
    workers = json.loads(queuectl(home, "worker", "list", "--json"))
    spent = sum(processor_seconds(worker["pid"]) for worker in workers)
    queuectl(home, "worker", "stop")
    jobs = json.loads(queuectl(home, "list", "--queue", name, "--limit", "0", "--json"))
    assert all(job["state"] == "completed" for job in jobs)
    times = [datetime.fromisoformat(job[key].replace("Z", "+00:00")).timestamp()
             for job in jobs for key in ("started_at", "finished_at")]  # fmt: skip
    queuectl(home, "delete", "--queue", name, "--yes")
    return max(times) - min(times), spent


@contextmanager
def dashboard(home: Path) -> Iterator[tuple[int, int]]:
    """Serve the dashboard of a home; the value is its port, and its process id."""
    command = [sys.executable, "-m", "queuectl", "dashboard", "--port", "0"]
    process = subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE)
    try:
        assert process.stdout
        url = process.stdout.readline().split()[2].decode()
        yield int(url.rstrip("/").rpartition(":")[2]), process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def tabs(port: int, number: int) -> Iterator[None]:
    """Have so many tabs open, in a process of their own."""
    command = [sys.executable, __file__, "--be-tabs", str(port), "--tabs", str(number)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"open\n"
        yield
    finally:
        process.terminate()
        process.wait()


async def be_tabs(port: int, number: int) -> None:
    """Be so many tabs, until the process is ended."""
    opened = asyncio.Semaphore(0)
    following = [
        asyncio.create_task(tab(port, PATHS[at % len(PATHS)], opened)) for at in range(number)
    ]
    for _ in following:
        await opened.acquire()
    print("open", flush=True)
    await asyncio.gather(*following)


async def tab(port: int, path: str, opened: asyncio.Semaphore) -> None:
    """Follow the events, and fetch the page after each."""
    reader, _writer = await ask(port, "/events", "text/event-stream")
    base = await fetch(port, path, "none")
    opened.release()
    while line := await reader.readline():
        if line.startswith(b"event: look"):
            begun = time.monotonic()
            base = await fetch(port, path, base)
            await asyncio.sleep(max(0.0, BETWEEN - (time.monotonic() - begun)))


async def fetch(port: int, path: str, base: str) -> str:
    """Fetch what has changed of a page; return the mark of the copy that one has then."""
    reader, writer = await ask(port, path, "text/html", f"queuectl-base: {base}")
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    await reader.read()
    writer.close()
    return head.partition("queuectl-page: ")[2].partition("\r\n")[0]


async def ask(
    port: int, path: str, accept: str, *headers: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request; the answer can be read then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    close = [] if path == "/events" else ["connection: close", "accept-encoding: gzip"]
    lines = [f"GET {path} HTTP/1.1", f"host: 127.0.0.1:{port}", f"accept: {accept}", *close]
    writer.write("\r\n".join([*lines, *headers, "", ""]).encode())
    await writer.drain()
    return reader, writer


def main() -> None:
    """Measure, and print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tabs", type=int, default=50)
    parser.add_argument("--stored", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--be-tabs", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be_tabs:
        asyncio.run(be_tabs(options.be_tabs, options.tabs))
        return
    with tempfile.TemporaryDirectory() as place:
        home, ratios, costs = Path(place) / "home", list[float](), list[float]()
        enqueue(home, "stored", options.stored, **{"in": "5000h"})
        for number in range(options.rounds):
            seconds, spent = dict[bool, float](), dict[bool, float]()
            for with_tabs in (False, True) if number % 2 else (True, False):
                name = f"round{number}-{'open' if with_tabs else 'alone'}"
                if with_tabs:
                    with dashboard(home) as (port, pid), tabs(port, options.tabs):
                        before = processor_seconds(pid)
                        seconds[True], spent[True] = drain(home, name, options.jobs)
                        served = processor_seconds(pid) - before
                else:
                    seconds[False], spent[False] = drain(home, name, options.jobs)
            ratios.append(seconds[True] / seconds[False])
            costs.append(spent[True] / spent[False])
            print(f"round {number + 1}: {seconds[False]:.2f} s alone, {seconds[True]:.2f} s with "
                  f"{options.tabs} tabs, ratio {ratios[-1]:.3f}; processor {spent[False]:.2f} and "
                  f"{spent[True]:.2f} s, ratio {costs[-1]:.3f}; dashboard {served:.2f} s",
                  flush=True)  # fmt: skip
    for what, each in (("time", ratios), ("processor time", costs)):
        middle = statistics.median(each)
        word = "as it should be" if middle <= TARGET else f"more than {TARGET}"
        print(f"{what}: median {middle:.3f} ({min(each):.3f} to {max(each):.3f}), {word}")


if __name__ == "__main__":
    main()
