"""Resources on the command line: what is needed, what there is, who has it, and why one waits."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.domain.frozen import replace
from queuectl.domain.job import Outcome
from queuectl.domain.resources import parse_capacities
from queuectl.queue import Queue, open_queue
from queuectl.stores.exchange import ClaimRequest, Offer
from queuectl.worker.supervision import manager
from tests.cli.harness import Cli, play_worker, run_next

HOST = socket.gethostname()


@pytest.fixture
def queue() -> Iterator[Queue]:
    with open_queue() as opened:
        yield opened


@pytest.fixture
def box(queue: Queue) -> Queue:
    """A queue with a worker, whose host has four GPUs."""
    play_worker(queue)
    (record,) = queue.store.workers.all()
    declared = parse_capacities(["gpu=0-3", "memory=60G", "gpu-memory=24G"])
    queue.store.workers.register(replace(record, host=HOST, resources=declared))
    return queue


def claim(queue: Queue) -> str:
    job = queue.store.claim(ClaimRequest("claim", "w1", 30.0, offer=Offer(HOST)))
    assert job is not None
    return job.id


def needs_of(cli: Cli, job_id: str) -> object:
    return cli.job(job_id)["needs"]


@pytest.mark.parametrize(
    ("options", "needs"),
    [
        (["--gpus", "2"], {"gpu": "2"}),
        (["--gpus", "1", "--gpu-memory", "10g"], {"gpu": "1", "gpu-memory": "10G"}),
        (["--need", "licence=0.5", "--need", "memory=12GiB"], {"licence": "0.5", "memory": "12G"}),
        (["--need", "gpu=1", "--gpus", "2"], {"gpu": "2"}),
        (["--gpus", "0"], {}),
    ],
)
def test_needs_are_options(cli: Cli, options: list[str], needs: dict[str, str]) -> None:
    cli.ok("enqueue", "--id", "a", *options, "--", "true")
    assert needs_of(cli, "a") == needs


def test_needs_are_a_field_of_json_and_can_be_changed(cli: Cli) -> None:
    cli.ok("enqueue", '{"id": "a", "command": "true", "needs": {"gpus": 1, "memory": "2G"}}')
    assert needs_of(cli, "a") == {"gpu": "1", "memory": "2G"}
    assert "needs       gpu=1 memory=2G\n" in cli.ok("show", "a").out
    cli.ok("set", "a", "needs=gpu=2,licence=1")
    assert needs_of(cli, "a") == {"gpu": "2", "licence": "1"}
    assert "gpu=2,licence=1" in cli.refused(2, "set", "a", "needs=gpu")
    cli.ok("set", "a", "needs={}")
    assert needs_of(cli, "a") == {}
    cli.ok("enqueue", '{"id": "b", "command": "true", "gpus": 2, "needs": {"licence": 1}}')
    assert needs_of(cli, "b") == {"gpu": "2", "licence": "1"}
    assert "gpu must be" in cli.refused(2, "enqueue", '{"command": "true", "gpus": "many"}')


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--gpus", "1.5"], "a whole number of devices"),
        (["--gpus", "all"], "must be an amount"),
        (["--need", "licence"], "--need 'licence' must be NAME=VALUE"),
        (["--gpu-memory", "-1"], "must be an amount"),
    ],
)
def test_needs_that_cannot_be_meant_are_refused(cli: Cli, options: list[str], said: str) -> None:
    result = cli("enqueue", *options, "--", "true")
    assert result.code == 2
    assert said in result.err
    assert result.err.count("\n") == 1


def test_more_than_the_fleet_has_is_refused_with_what_to_type(cli: Cli) -> None:
    assert cli.ok("resource", "set", "licence", "4").out == "The fleet has licence 4\n"
    result = cli("enqueue", "--need", "licence=5", "--", "true")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "queuectl: licence=5 is more than the fleet has (4); "
        "queuectl resource set licence 5 says that it has more\n"
    )


def test_more_than_any_worker_has_is_stored_and_told(cli: Cli, box: Queue) -> None:
    note = f"no live worker has gpu=8 ({HOST} has 4)"
    assert note in cli.ok("enqueue", "--id", "a", "--gpus", "8", "--", "true").err
    assert cli.job("a")["reason"] == note
    assert note in cli.ok("list").out
    unknown = "no live worker has fpga=1 (none declares any fpga)"
    assert unknown in cli.ok("enqueue", "--need", "fpga=1", "--", "true").err
    assert cli.ok("enqueue", "--gpus", "4", "--gpu-memory", "24G", "--", "true").err == ""
    big = f"no live worker has gpu-memory=25G ({HOST} has 24G)"
    assert big in cli.ok("enqueue", "--gpu-memory", "25G", "--", "true").err
    assert box.counts().total == 4


def test_what_no_worker_has_is_told_once_for_a_list_of_commands(cli: Cli, box: Queue) -> None:
    assert box.counts().total == 0
    Path("list").write_text("true\n" * 600)
    result = cli.ok("enqueue", "--lines", "list", "--need", "fpga=1")
    assert result.err.count("no live worker has fpga=1") == 1
    lines = [f'{{"command": "true", "needs": {{"fpga": {n}}}}}\n' for n in range(1, 40)]
    Path("jobs").write_text("".join(lines))
    assert cli.ok("enqueue", "--file", "jobs").err.count("no live worker has") == 10


def test_a_job_says_what_it_waits_for(cli: Cli, box: Queue) -> None:
    for name, gpus in (("a", "3"), ("b", "2"), ("c", "1")):
        cli.ok("enqueue", "--id", name, "--gpus", gpus, "--need", "memory=1G", "--", "true")
    assert claim(box) == "a"
    assert cli.job("b")["reason"] == "waits for gpu=2"
    assert cli.job("c")["reason"] == "due"


def test_who_has_what_is_listed(cli: Cli, box: Queue) -> None:
    cli.ok("resource", "set", "licence", "2")
    cli.ok("enqueue", "--id", "a", "--gpus", "2", "--need", "licence=0.5", "--", "true")
    assert claim(box) == "a"
    lines = [line.split() for line in cli.ok("resource", "list").out.splitlines()]
    assert ["licence", "fleet", "0.5", "of", "2", "0.5", "a", "w1", "2"] in lines
    assert ["gpu", HOST, "2", "of", "4", "0,1", "a", "w1", "0,1,2,3"] in lines
    assert ["gpu-memory", HOST, "0", "of", "96G", "-", "-", "-", "24G"] in lines
    assert ["memory", HOST, "0", "of", "60G", "-", "-", "-", "60G"] in lines
    assert "holds       gpu 0,1, licence 0.5\n" in cli.ok("show", "a").out
    listed = {each["name"]: each for each in cli.ok("resource", "list", "--json").json}
    assert listed["gpu"] == {
        "name": "gpu", "host": HOST, "capacity": "0,1,2,3", "in_use": "2",
        "held": [{"job": "a", "worker": "w1", "host": HOST, "units": "0,1"}],
    }  # fmt: skip
    assert listed["licence"]["host"] is None


def test_a_resource_of_the_fleet_is_removed_once(cli: Cli) -> None:
    assert "no resources yet" in cli.ok("resource", "list").err
    cli.ok("resource", "set", "licence", "4")
    assert cli.ok("resource", "remove", "licence").out == "Removed resource 'licence'\n"
    result = cli("resource", "remove", "licence")
    assert result.code == 3
    assert "the fleet has no resource 'licence'" in result.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gpu", "4"], "belongs to a host"),
        (["port", "1,2"], "the fleet has amounts, not devices"),
        (["licence", "few"], "must be an amount"),
        (["two words", "1"], "no name of a resource"),
    ],
)
def test_what_the_fleet_cannot_have_is_refused(cli: Cli, words: list[str], said: str) -> None:
    result = cli("resource", "set", *words)
    assert result.code == 2
    assert said in result.err


@pytest.mark.parametrize("word", ["gpu=4", "memory", "gpu=0 --resource=gpu=1"])
def test_what_a_host_cannot_have_starts_no_worker(cli: Cli, word: str) -> None:
    result = cli("worker", "start", "--resource", *word.split(" "))
    assert result.code == 2
    assert result.err.count("\n") == 1
    cli.ok("config", "set", "resources", word.replace(" --resource=", " "))
    assert cli("worker", "start").code == 2


def test_who_declares_something_else_for_a_host_is_told(
    cli: Cli, box: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def start(_place: object, **orders: object) -> list[int]:
        asked.append(orders["resources"])
        return [1]

    monkeypatch.setattr(manager, "start", start)
    same = ["gpu=0-3", "memory=60G", "gpu-memory=24G"]
    assert cli.ok("worker", "start", *(f"--resource={word}" for word in same)).err == ""
    result = cli.ok("worker", "start", "--resource", "gpu=0")
    assert f"note: {HOST} had gpu=0,1,2,3, gpu-memory=24G, memory=60G; from now on" in result.err
    assert asked == [parse_capacities(same), (("gpu", "0"),)]
    assert box.counts().total == 0


def test_a_job_needs_what_its_command_used_before_where_a_setting_says_so(
    cli: Cli, queue: Queue, tmp_path: Path
) -> None:
    cli.ok("enqueue", "--id", "before", "--", "make", "all")
    run_next(queue, Outcome(exit_code=0, peak_memory=300 * 2**20 + 1))
    cli.ok("enqueue", "--id", "unless", "--", "make", "all")
    assert needs_of(cli, "unless") == {}
    cli.ok("config", "set", "need-usual-memory", "true")
    cli.ok("enqueue", "--id", "said", "--need", "memory=1G", "--", "make", "all")
    cli.ok("enqueue", "--id", "more", "--gpus", "1", "--", "make", "all")
    cli.ok("enqueue", "--id", "other", "--", "make", "most")
    assert needs_of(cli, "said") == {"memory": "1G"}
    assert needs_of(cli, "more") == {"gpu": "1", "memory": "301M"}
    assert needs_of(cli, "other") == {}
    (tmp_path / "many.jsonl").write_text('{"id": "one", "command": ["make", "all"]}\n')
    cli.ok("enqueue", "--file", str(tmp_path / "many.jsonl"))
    assert needs_of(cli, "one") == {"memory": "301M"}


def test_many_jobs_of_one_line_need_what_it_used_before(cli: Cli, queue: Queue) -> None:
    cli.ok("enqueue", "before", "make all")
    run_next(queue, Outcome(exit_code=0, peak_memory=1))
    cli.ok("config", "set", "need_usual_memory", "true")
    cli.ok("enqueue", "--lines", "-", stdin="make all\nmake all\nmake most\n")
    pending = [job.spec.needs for job in queue.find() if job.state == "pending"]
    assert pending == [(("memory", "1M"),), (("memory", "1M"),), ()]
