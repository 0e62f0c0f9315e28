"""How long many jobs take to be stored on MongoDB, against a plain `insert_many` of the same.

    python benchmarks/mongo_bulk.py --jobs 10000 --rounds 3

In each round jobs are inserted by the store of this checkout, then the very documents are read back
and inserted by the driver into another database with the same indexes. Without `--server` the small
wire server of the tests is started on this machine; its processor time is told too, which other
work on the machine changes less than seconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from mongo_round_trips import server_for
from processes import cpu_seconds, descendants
from stage import ROOT, database_of_its_own


def main(argv: Sequence[str]) -> None:
    """Insert by the store and by the driver in turns, and print how they compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--server", default="", metavar="HOST:PORT", help="a running server")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1)
    chosen = parser.parse_args(argv)
    seconds, processor = [], []
    for _ in range(chosen.rounds):
        with server_for(chosen.server) as server:
            ours, raw = _inserted(server, chosen.jobs)
        seconds.append(ours[0] / raw[0])
        processor.append(ours[1] / raw[1])
        for who, (took, cpu) in (("the store", ours), ("insert_many", raw)):
            print(f"{who}: {took:.1f} s, {cpu:.1f} s of processors", flush=True)
    ratio = statistics.median(seconds)
    print(f"{ratio:.2f} times insert_many, {statistics.median(processor):.2f} times its processors")


def _inserted(server: str, number: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the seconds, and those of processors, of the store and of the driver."""
    sys.path.insert(0, str(ROOT))
    from pymongo import MongoClient, WriteConcern

    from queuectl.queue import Queue
    from queuectl.stores.mongo.store import MongoStore
    from queuectl.system.home import Home

    home = tempfile.gettempdir()  # nothing is written there
    urls = [database_of_its_own(f"mongodb://{server}") for _ in range(2)]
    with closing(MongoStore.open(urls[0])) as store, MongoClient[dict[str, object]](urls[1]) as raw:
        queue = Queue(store, Home(Path(home)))
        requests = [queue.request({"id": f"job{n}", "command": "true"}) for n in range(number)]
        ours = _timed(lambda: queue.enqueue_requests(requests))
        documents = list(store.link.jobs.find())
        MongoStore.open(urls[1]).close()  # which makes the indexes
        durable = WriteConcern("majority", j=True)
        place = raw.get_default_database(write_concern=durable).jobs
        theirs = _timed(lambda: place.insert_many(documents, ordered=False))
    return ours, theirs


def _timed(act: Callable[[], object]) -> tuple[float, float]:
    begun, used = time.perf_counter(), time.process_time() + cpu_seconds(descendants())
    act()
    cpu = time.process_time() + cpu_seconds(descendants()) - used
    return time.perf_counter() - begun, cpu


if __name__ == "__main__":
    main(sys.argv[1:])
