"""The rules for alerts on a real Prometheus: each fires at a real fault, none at good health."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from queuectl.domain.job import State
from queuectl.queue import Queue
from queuectl.system.home import Home, Location
from tests.cli.harness import ROOT, running
from tests.worker.fleet import Fleet, eventually, fleet_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RULES = ROOT / "docs" / "observability" / "alerts.yml"
SHORTER = (
    (r"for: \d+m", "for: 2s"),
    (r"\[(15|30)m\]", "[20s]"),
    (r"offset 15m", "offset 20s"),
    (r"> 600\b", "> 5"),
    (r"> 3600\b", "> 1"),
    (r"> 1000\b", "> 20"),
    (r"> 5$", "> 1"),
)
"""What makes the rules quick enough for a test: seconds for minutes, and few jobs for many."""
CONFIG = """
global: {scrape_interval: 2s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
  - job_name: queuectl
    static_configs:
"""
TARGET = "      - targets: ['%s']\n"
WITHIN = 90.0


class Prometheus:
    """A server that evaluates the rules; `targets` are where the metrics of homes are."""

    def __init__(self, address: str, targets: dict[str, str]) -> None:
        self._url = f"http://{address}/api/v1/query?"
        self._targets = targets

    def fired(self, alert: str = "", home: str = "", **labels: str) -> list[dict[str, str]]:
        """Return the alerts that have fired so far, by their labels, which rules may sum up."""
        labels |= {"instance": self._targets[home]} if home else {}
        chosen = {"alertstate": "firing", **({"alertname": alert} if alert else {}), **labels}
        selector = ",".join(f'{name}="{value}"' for name, value in chosen.items())
        query = urlencode({"query": f"max_over_time(ALERTS{{{selector}}}[1h])"})
        with urlopen(self._url + query, timeout=60) as answer:
            return [each["metric"] for each in json.load(answer)["data"]["result"]]

    def fires(self, alert: str, **labels: str) -> None:
        """Wait until an alert has fired."""
        eventually(lambda: bool(self.fired(alert, **labels)), WITHIN)


@contextmanager
def exporting(home: Home) -> Iterator[tuple[str, int]]:
    """Serve the metrics of a home; yield where, and by which process."""
    with running("metrics", "--serve", "0", QUEUECTL_HOME=str(home.root)) as server:
        try:
            found = re.search(r"http://(\S+)/metrics", server.out.readline())
            assert found
            yield found[1], server.popen.pid
        finally:
            server.popen.kill()


@contextmanager
def prometheus_of(targets: dict[str, str], place: Path) -> Iterator[Prometheus]:
    """Let a Prometheus look at exporters, by the names of their homes."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus on PATH")
    rules = RULES.read_text(encoding="utf-8")
    for long, short in SHORTER:
        rules, number = re.subn(long, short, rules, flags=re.MULTILINE)
        assert number, long
    (place / "rules.yml").write_text(rules)
    config = CONFIG + "".join(TARGET % address for address in targets.values())
    (place / "prometheus.yml").write_text(config)
    log = place / "log"
    with log.open("w") as stream, subprocess.Popen(
        [program, f"--config.file={place}/prometheus.yml", f"--storage.tsdb.path={place}/data",
         "--web.listen-address=127.0.0.1:0"], stderr=stream, stdout=stream,
    ) as server:  # fmt: skip
        try:
            listens = r'msg="Listening on" address=(127\.0\.0\.1:\d+)'
            found = eventually(lambda: re.search(listens, log.read_text()) or False)
            eventually(lambda: "Server is ready" in log.read_text())
            yield Prometheus(found[1], targets)
        finally:
            server.kill()


def stay_well(fleet: Fleet) -> None:
    """Let jobs succeed, and one wait in a queue that is paused on purpose."""
    fleet.queue.pause_queue("held")
    fleet.enqueue("true", queue="held")
    assert fleet.ran("true").state is State.COMPLETED


def die_and_wait(fleet: Fleet, server: Prometheus) -> None:
    """Let jobs die in a queue that is new, and others wait for a worker that does not come."""
    fleet.start(queues=("new", "lost", "slow"))
    fleet.queue.pause_queue("held")
    for queue in ("late", "held"):
        fleet.enqueue("true", queue=queue)
    assert fleet.ran("exit 1", queue="new").state is State.DEAD
    server.fires("QueuectlJobsDie", home="ill", queue="new")
    server.fires("QueuectlJobsWaitTooLong", home="ill", queue="late")
    again_and_again(
        lambda: fleet.ran("exit 1", queue="new"), server, "QueuectlManyFailures", queue="new"
    )
    assert server.fired("QueuectlJobsWaitTooLong", queue="held") == []


def be_lost(fleet: Fleet, server: Prometheus) -> None:
    """Let workers die with a job in hand."""
    for _ in range(3):
        job_id = fleet.enqueue("sleep 600", queue="lost")
        job = fleet.running(job_id)
        os.kill(fleet.worker_of(job).process.pid, signal.SIGKILL)
        eventually(partial(_has_ended_once, fleet, job_id))
        cancelled(fleet, job_id)
    server.fires("QueuectlWorkersAreLost", home="ill", queue="lost")


def _has_ended_once(fleet: Fleet, job_id: str) -> bool:
    return bool(fleet.job(job_id).history)


def cancelled(fleet: Fleet, job_id: str) -> None:
    """Cancel a job that is claimed again and again, and wait until it has ended."""
    fleet.queue.cancel(job_id)
    fleet.settled(job_id)


def be_slow_and_many(fleet: Fleet, server: Prometheus) -> None:
    """Let runs take long, and jobs come faster than they go."""
    again_and_again(
        lambda: fleet.ran("sleep 2", queue="slow"), server, "QueuectlSlowRuns", queue="slow"
    )
    again_and_again(
        lambda: fleet.enqueue_all([{"command": "true", "queue": "many"}] * 15),
        server, "QueuectlBacklogGrows", queue="many",
    )  # fmt: skip


def again_and_again(
    do: Callable[[], object], server: Prometheus, alert: str, **labels: str
) -> None:
    """Do something until an alert has fired."""

    def has_fired() -> bool:
        do()
        return bool(server.fired(alert, home="ill", **labels))

    eventually(has_fired, WITHIN)


def test_each_rule_fires_at_a_real_fault_and_none_at_good_health(tmp_path: Path) -> None:
    gone = Home(tmp_path / "gone")
    Queue.open(Location(gone, str(gone.store_file))).close()
    with ExitStack() as stack:
        fleets = {}
        for name in ("well", "ill"):
            (tmp_path / name).mkdir()
            fleets[name] = stack.enter_context(fleet_in(tmp_path / name))
        homes = {"gone": gone, **{name: fleet.home for name, fleet in fleets.items()}}
        exporters = {name: stack.enter_context(exporting(home)) for name, home in homes.items()}
        targets = {name: address for name, (address, _) in exporters.items()}
        server = stack.enter_context(prometheus_of(targets, tmp_path))
        well, ill = fleets["well"], fleets["ill"]
        well.start()
        stay_well(well)
        die_and_wait(ill, server)
        be_lost(ill, server)
        be_slow_and_many(ill, server)
        ill.stop(now=True)
        server.fires("QueuectlNoWorker", home="ill")
        ill.enqueue_all({"command": "true", "queue": f"one{number}"} for number in range(205))
        server.fires("QueuectlTooManyQueues", home="ill")
        gone.store_file.unlink()
        server.fires("QueuectlStoreDown", home="gone")
        os.kill(exporters["gone"][1], signal.SIGKILL)
        server.fires("QueuectlNotScraped", home="gone")
        assert server.fired(home="well") == []
        known = set(re.findall(r"alert: (\w+)", RULES.read_text(encoding="utf-8")))
        assert {each["alertname"] for each in server.fired()} == known
