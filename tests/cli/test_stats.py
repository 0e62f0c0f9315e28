"""`stats` and `metrics`: the same figures, for people and for Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from queuectl.domain.events import RunResult
from queuectl.domain.frozen import replace
from queuectl.domain.job import Outcome
from queuectl.domain.times import UTC
from queuectl.presentation.layout import length, sparkline
from queuectl.queue import Queue, metrics, metrics_server, open_queue
from queuectl.queue.metrics import metrics_text
from tests.cli.harness import ROOT, Cli, cli, environment, home, run_next, running
from tests.terminal import Terminal

__all__ = ["cli", "home"]

DONE = Outcome(exit_code=0, duration=0.15)
FAILED = Outcome(exit_code=3, error="Exit code 3", duration=4.0)


@pytest.fixture
def busy(cli: Cli) -> None:
    """A store in which every end of a run has happened."""
    with open_queue() as queue:
        cli.ok("enqueue", "a", "true", "--queue", "gpu")
        run_next(queue, DONE)
        cli.ok("enqueue", "c", "false", "--max-retries", "2")
        run_next(queue, FAILED)
        cli.ok("enqueue", "b", "true", "--queue", "gpu")
        cli.ok("enqueue", "d", "true", "--in", "1h")
        cli.ok("cancel", "d")
        cli.ok("enqueue", "waiting", "true", "--queue", "late")


def value(text: str, name: str, **labels: str) -> float:
    """Return one sample of the metrics."""
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(found) == 1, (name, labels)
    return found[0]


def test_an_empty_store_says_what_to_type_next(cli: Cli) -> None:
    shown = cli.ok("stats")
    assert shown.out == ""
    assert "queuectl enqueue" in shown.err
    assert "in queue 'nope' yet: queuectl queue list" in cli.ok("stats", "--queue", "nope").err
    assert cli.ok("stats", "--json").json["queues"] == {}
    assert "queuectl_up 1.0" in cli.ok("metrics").out


@pytest.mark.usefixtures("busy")
def test_stats_tell_of_each_queue_and_of_all(cli: Cli) -> None:
    lines = cli.ok("stats").out.splitlines()
    titles, *rows = ([cell.strip() for cell in re.split(r"  +", line)] for line in lines)
    table = {row[0]: dict(zip(titles, row, strict=True)) for row in rows}
    assert list(table) == ["default", "gpu", "late", "all"]
    assert table["all"]["ENQUEUED"] == "5"
    assert (table["all"]["COMPLETED"], table["all"]["CANCELLED"]) == ("1", "1")
    assert table["all"]["SUCCESS"] == "50.0 %"
    assert table["late"]["SUCCESS"] == "-"


@pytest.mark.usefixtures("busy")
def test_stats_as_json_have_the_whole(cli: Cli) -> None:
    found = cli.ok("stats", "--json").json
    total, gpu = found["total"], found["queues"]["gpu"]
    assert {name: total[name] for name in ("enqueued", "completed", "failed", "dead")} == {
        "enqueued": 5, "completed": 1, "failed": 1, "dead": 0,
    }  # fmt: skip
    assert total["success_rate"] == 0.5
    assert gpu["run_seconds"] == {"p50": pytest.approx(0.15), "p95": pytest.approx(0.195)}
    assert sum(minute["completed"] for minute in total["series"]) == 1
    assert found["queues"]["default"]["ever"]["run_seconds_sum"] == 4.0
    only = cli.ok("stats", "--json", "--queue", "gpu", "--since", "2000-01-01T00:00Z").json
    assert only["total"]["completed"] == only["queues"]["gpu"]["completed"] == 1
    assert only["since"].startswith("2000-01-01")


def test_stats_and_metrics_tell_what_runs_used(cli: Cli) -> None:
    with open_queue() as queue:
        for job_id, size in (("a", 2**28), ("b", 2**30)):
            cli.ok("enqueue", job_id, "true")
            run_next(queue, replace(DONE, cpu_seconds=0.5, peak_memory=size))
    found = cli.ok("stats", "--json").json["total"]
    near = pytest.approx(2**30, rel=0.1)
    assert found["peak_memory"] == {"p50": 2**28, "p95": near, "most": 2**30}
    assert found["cpu_seconds"]["most"] == 0.5
    titles, row = cli.ok("stats").out.splitlines()
    assert "MEMORY P50  MEMORY P95  MEMORY MOST" in titles
    assert "256 MB      998 MB      1 GB" in row
    text = cli.ok("metrics").out
    assert value(text, "queuectl_run_peak_memory_bytes_sum", queue="default") == 2**28 + 2**30
    assert value(text, "queuectl_run_cpu_seconds_sum", queue="default") == 1.0


def test_a_time_in_the_future_is_refused(cli: Cli) -> None:
    assert "future" in cli.refused(2, "stats", "--since", "2999-01-01")
    assert "cannot read" in cli.refused(2, "stats", "--since", "x")


@pytest.mark.usefixtures("busy")
def test_metrics_and_stats_tell_the_same(cli: Cli) -> None:
    text = cli.ok("metrics").out
    found = cli.ok("stats", "--json").json
    status = cli.ok("queue", "list", "--json").json
    for name, queue in found["queues"].items():
        ever = queue["ever"]
        assert value(text, "queuectl_jobs_enqueued_total", queue=name) == ever["enqueued"]
        for outcome in map(str, RunResult):
            number = value(text, "queuectl_runs_total", queue=name, outcome=outcome)
            assert number == ever[outcome]
        count = value(text, "queuectl_run_duration_seconds_count", queue=name)
        assert count == ever["runs_measured"]
        seconds = value(text, "queuectl_wait_seconds_sum", queue=name)
        assert seconds == ever["wait_seconds_sum"]
    for queue in status:
        for state, number in queue["counts"].items():
            if state != "total":
                named = {"queue": queue["name"], "state": state}
                assert value(text, "queuectl_jobs", **named) == number
    assert value(text, "queuectl_oldest_due_age_seconds", queue="late") > 0
    assert value(text, "queuectl_oldest_due_age_seconds", queue="default") == 0
    assert value(text, "queuectl_workers", state="idle") == 0
    assert value(text, "queuectl_run_duration_seconds_bucket", queue="gpu", le="0.1") == 0
    assert value(text, "queuectl_run_duration_seconds_bucket", queue="gpu", le="0.2") == 1
    assert value(text, "queuectl_run_duration_seconds_bucket", queue="gpu", le="+Inf") == 1


@pytest.mark.usefixtures("busy")
def test_what_is_deleted_and_purged_stays_counted(cli: Cli) -> None:
    with open_queue() as queue:
        cli.ok("delete", "a")
        run_next(queue, DONE)
        cli.ok("purge", "--state", "completed,cancelled", "--yes")
        assert queue.stats().total.period.completed == 2


def test_metrics_are_served_until_the_server_is_asked_to_stop(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true")
    with running("metrics", "--serve", "0") as server:
        try:
            address = server.out.readline().split()[-1]
            assert address.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain")
                text = answer.read().decode()
            assert value(text, "queuectl_jobs", queue="default", state="pending") == 1
            for path, host in (("/", None), ("/metrics/x", None), ("/metrics", "evil.example:80")):
                asked = urllib.request.Request(address.removesuffix("/metrics") + path)
                if host:
                    asked.add_header("Host", host)
                with pytest.raises(urllib.error.HTTPError, match="404"):
                    urllib.request.urlopen(asked, timeout=60)
            taken = address.removeprefix("http://127.0.0.1:").removesuffix("/metrics")
            assert "cannot serve" in cli.refused(1, "metrics", "--serve", taken)
            with open_queue() as queue:
                file = Path(queue.address)
            file.rename(file.with_suffix(".away"))
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert value(answer.read().decode(), "queuectl_up") == 0
            file.write_text("this is no store at all")
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert value(answer.read().decode(), "queuectl_up") == 0
        finally:
            ended = server.ends(signal.SIGTERM)
        assert ended.code == 0


def half_asked(stack: ExitStack, port: int) -> socket.socket:
    """Send half of a request for metrics."""
    held = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
    held.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX")
    return held


def test_requests_for_metrics_that_are_half_sent_make_room_for_whole_ones(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true")
    with metrics_server.serving(open_queue, "127.0.0.1", 0) as port, ExitStack() as stack:
        held = [half_asked(stack, port) for _ in range(metrics_server.MOST_CONNECTIONS)]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            assert value(answer.read().decode(), "queuectl_up") == 1
        while held[0].recv(65_536):
            pass  # what it is answered, if anything, has an end


def test_a_request_for_metrics_that_stops_coming_is_given_up_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics_server.BoundedHandler, "timeout", 0.1)
    with metrics_server.serving(open_queue, "127.0.0.1", 0) as port, ExitStack() as stack:
        assert not half_asked(stack, port).recv(1)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("address", ["x", "70000", "1.2.3.4:", "-1"])
def test_an_address_that_is_none_is_refused(cli: Cli, address: str) -> None:
    assert "a port is a number" in cli.refused(2, "metrics", "--serve", address)


def test_a_bar_is_as_high_as_its_share_of_the_highest() -> None:
    assert sparkline([0, 1, 4, 8, 0.01]) == " ▁▄█▁"
    assert sparkline([0, 0]) == "  "
    assert sparkline((9, 1, 1), 2) == "██"
    assert sparkline((), 10) == ""


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.00123, "1.2 ms"), (0.9, "900 ms"), (9.97, "10 s"), (150, "2.5 min"), (86_400, "24 h")],
)
def test_lengths_of_time_have_two_digits(seconds: float, shown: str) -> None:
    assert length(seconds) == shown


@pytest.mark.usefixtures("busy")
def test_a_person_sees_charts_of_the_last_hour(home: Path) -> None:
    with Terminal(
        ["--home", str(home), "stats"], {**environment(), "TERM": "xterm-256color"}, rows=40
    ) as terminal:
        terminal.shows("1 h ago", "█", "50.0 %")


def known_metrics(queue: Queue) -> set[str]:
    """Return the names of all samples there are."""
    families = text_string_to_metric_families(metrics_text(queue))
    return {sample.name for family in families for sample in family.samples}


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("name", ["alerts.yml", "grafana.json"])
def test_rules_and_boards_name_only_metrics_that_exist(name: str) -> None:
    text = (ROOT / "docs" / "observability" / name).read_text(encoding="utf-8")
    if name.endswith("json"):
        text = "\n".join(
            target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"]
        )
    named = set(re.findall(r"\bqueuectl_\w+", text))
    with open_queue() as queue:
        assert named
        assert named <= known_metrics(queue)


@pytest.mark.usefixtures("busy")
def test_every_metric_is_described(cli: Cli) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `(queuectl_\w+)`", page, re.MULTILINE))
    families = text_string_to_metric_families(cli.ok("metrics").out)
    shown = {family.name + "_total" * (family.type == "counter") for family in families}
    assert described == shown


@pytest.mark.parametrize("words", ["9:00", "23:59", "monday", "yesterday at noon"])
def test_a_time_of_day_or_weekday_is_the_last_one(cli: Cli, words: str) -> None:
    said = cli.ok("stats", "--json", "--since", words).json["since"]
    since = datetime.fromisoformat(said.replace("Z", "+00:00"))
    assert timedelta(0) <= datetime.now(UTC) - since <= timedelta(days=7, hours=1)


def test_a_queue_has_its_counters_before_anything_is_counted(cli: Cli) -> None:
    cli.ok("enqueue", "--queue", "new", "--id", "a", "--command", "true")
    cli.ok("queue", "pause", "other")
    text = cli.ok("metrics").out
    assert value(text, "queuectl_runs_total", queue="new", outcome="dead") == 0
    assert value(text, "queuectl_runs_total", queue="other", outcome="dead") == 0
    assert value(text, "queuectl_queue_paused", queue="other") == 1
    assert value(text, "queuectl_queue_paused", queue="new") == 0


def test_a_queue_that_has_been_idle_long_enough_has_no_series(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.ok("enqueue", "--queue", "gone", "--id", "a", "--command", "true")
    cli.ok("enqueue", "--queue", "kept", "--id", "b", "--command", "true")
    cli.ok("delete", "a")
    assert 'queue="gone"' in cli.ok("metrics").out
    monkeypatch.setattr(metrics, "LATELY", -timedelta(minutes=1))
    text = cli.ok("metrics").out
    assert 'queue="gone"' not in text
    assert 'queue="kept"' in text


def test_the_number_of_series_is_bounded_and_what_needs_care_comes_first(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MOST_QUEUES", 2)
    with open_queue() as queue:
        for number in range(4):
            queue.enqueue_one("true", queue=f"a{number}")
            run_next(queue, DONE)
        queue.enqueue_one("false", queue="z", max_retries=1)
    text = cli.ok("metrics").out
    assert len(set(re.findall(r'queuectl_jobs_enqueued_total\{queue="(\w+)"', text))) == 2
    assert 'queue="z"' in text
    assert value(text, "queuectl_queues_left_out") == 3


def test_each_rule_fires_at_what_it_is_for_and_not_at_anything_else() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on PATH")
    tried = subprocess.run(
        [promtool, "test", "rules", "alerts_test.yml"],
        cwd=ROOT / "docs" / "observability", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tried.returncode == 0, tried.stdout + tried.stderr


def test_every_rule_has_a_test() -> None:
    rules, tests = (
        (ROOT / "docs" / "observability" / name).read_text(encoding="utf-8")
        for name in ("alerts.yml", "alerts_test.yml")
    )
    named = set(re.findall(r"alert: (\w+)", rules))
    assert named
    assert named == set(re.findall(r"alertname: (\w+)", tests))
