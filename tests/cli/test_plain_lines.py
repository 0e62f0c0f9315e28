"""Lines of a file that are looked at many at a time become what they become one by one."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queuectl.cli import enqueue_options, job_input
from queuectl.cli.enqueue_options import EnqueueOptions
from queuectl.cli.enqueue_words import InputJob, Source, WrittenJob
from queuectl.domain.errors import InvalidInput
from queuectl.domain.request import Request
from queuectl.queue import Queue
from queuectl.system.home import find_location
from tests.cli.harness import Cli, environment, program

NEVER = sys.maxsize
quick = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

names = st.sampled_from([
    "a", "b-2", "x.y_z", "", "-a", ".a", "a b", "a\n", "ü", "x" * 128, "x" * 129, "hook:a",
    "nightly@20260131T0200Z", "1",
])  # fmt: skip
commands = st.sampled_from([
    "true", "echo \"hi\"", "a\\", "\\\"", "}\n{", "\"id\"", "é😀", " ", "", "\t", "x\0", "\ud800",
    "a\x7f", "/",
])  # fmt: skip
pairs = st.one_of(
    st.tuples(st.just("id"), names | st.sampled_from([7, None, True, 1.5])),
    st.tuples(st.just("command"), commands | st.sampled_from([["ls", "-l"], None, 3])),
    st.tuples(st.sampled_from(["ID", "priority", "queue", "comand"]), st.sampled_from(["a", 1])),
)
plain = st.fixed_dictionaries({"id": names, "command": commands})


def _line(fields: list[tuple[str, Any]], is_ascii: bool, gap: str) -> bytes:
    """Return a line of JSON, in which a field may be twice."""

    def dump(value: object) -> str:
        return json.dumps(value, ensure_ascii=is_ascii)

    members = f",{gap}".join(f"{dump(name)}:{gap}{dump(value)}" for name, value in fields)
    return f"{{{members}}}".encode("utf-8", "surrogatepass")


lines = st.one_of(
    st.builds(
        _line,
        plain.map(lambda fields: list(fields.items())) | st.lists(pairs, max_size=3),
        st.booleans(),
        st.sampled_from(["", " "]),
    ),
    st.sampled_from([
        b'{"id": "c", "command": "true"}', b'{"command": "true"}', b"", b" ", b"[]", b"{}", b"nul",
        b'{"command": "a"} {"command": "b"}', b'{"command":', b'"a"}', b'{"command": "\xff"}',
        b'{"comm\\u0061nd": "true"}', b'{"command": "a\x01"}', b"\xef\xbb\xbf{}", b"NaN",
    ]),
)  # fmt: skip
files = st.builds(
    lambda some, end, last: end.join(some) + last,
    st.lists(lines, min_size=1, max_size=6),
    st.sampled_from([b"\n", b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\n"]),
)


options = st.sampled_from([
    {}, {}, {"queue": "gpu", "priority": "high"}, {"labels": ["x"], "env": {"A": "1"}},
    {"slots": "2"}, {"unique": "key"}, {"id": "one"}, {"queue": "no name"}, {"cwd": "/nowhere"},
])  # fmt: skip


def asked(
    queue: Queue, path: Path, many: int, fields: dict[str, object]
) -> list[tuple[str, object]] | str:
    """Return what becomes of each job of a file, or why it is none."""
    source = EnqueueOptions(Source(file=str(path)), fields, False, "/srv")
    with (
        mock.patch.object(job_input, "MANY", many),
        mock.patch.object(enqueue_options, "MANY", many),
        mock.patch.object(job_input, "_BLOCK_BYTES", 60),
    ):
        try:
            jobs = list(itertools.chain.from_iterable(source.jobs(source.items(), queue)))
        except InvalidInput as fault:
            return str(fault)
    return [(job.where, _result(job)) for job in jobs]


def _result(job: InputJob) -> object:
    """Return a request with no id where that was made for it, or the words of a refusal."""
    if not isinstance(job.result, Request):
        return type(job.result), str(job.result), job.result.hint
    spec = job.result.spec
    return replace(job.result, spec=replace(spec, id="")) if spec.generated_id else job.result


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with Queue.open(find_location(str(tmp_path / "home"))) as queue:
        yield queue


@quick
@given(data=files, fields=options)
def test_every_line_becomes_the_same_job_or_the_same_refusal(
    data: bytes, fields: dict[str, object], queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_bytes(data)
    assert asked(queue, path, 1, fields) == asked(queue, path, NEVER, fields)


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": "%d", "command": "true"}',
        b'{"command":"echo \\"%d\\" \\\\"}',
        '{"command": "grüß %d", "id": "a"}'.encode(),
    ],
)
def test_plain_lines_are_indeed_looked_at_together(
    line: bytes, queue: Queue, tmp_path: Path
) -> None:
    from queuectl.cli.plain_lines import PlainJobs, PlainLines

    path = tmp_path / "jobs.jsonl"
    path.write_bytes(b"\n".join(line.replace(b"%d", b"%d" % n) for n in range(200)))
    source = EnqueueOptions(Source(file=str(path)), {}, False, "/srv")
    (block,) = source.items()
    assert isinstance(block, PlainLines)
    assert block[199] == WrittenJob(json.loads(line.replace(b"%d", b"199")), f"{path}:200")
    (lot,) = source.jobs(iter([block]), queue)
    assert isinstance(lot, PlainJobs)
    assert lot[-1].where == block[-1].where == f"{path}:200"


def test_of_many_lines_those_whose_ids_are_taken_are_refused_by_name(
    cli: Cli, tmp_path: Path
) -> None:
    ids = [f"job-{n}" for n in range(2500)]
    path = tmp_path / "jobs.jsonl"
    again = [*ids, "job-7"]
    path.write_text("".join(f'{{"id": "{each}", "command": "true"}}\n' for each in again))
    cli.ok("enqueue", "job-2400", "false")
    result = cli("enqueue", "--file", str(path))
    assert result.code == 4
    assert result.err.splitlines() == [
        f"queuectl: {path}:2401: job 'job-2400' exists already (--replace replaces it)",
        f"queuectl: {path}:2501: job 'job-7' exists already (--replace replaces it)",
        "2,499 enqueued, 2 refused",
    ]
    fresh = [each for each in ids if each != "job-2400"]
    assert result.out.splitlines() == [f"Enqueued job '{each}'" for each in fresh]
    assert cli.ids("--limit", "0") == ["job-2400", *fresh]


def test_many_ids_are_made_and_printed_in_the_order_of_the_lines(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text("".join(f'{{"command": "echo {n}"}}\n' for n in range(1200)))
    printed = cli.ok("enqueue", "--file", str(path), "--print-id").out.split()
    told = cli.ok("list", "--limit", "0", "--json").json
    commands = {job["id"]: job["command"] for job in told}
    assert [commands[each] for each in printed] == [f"echo {n}" for n in range(1200)]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_what_is_told_of_as_enqueued_is_stored_although_the_command_is_ended(
    cli: Cli, tmp_path: Path, by: signal.Signals
) -> None:
    ids = [f"job-{n:05}" for n in range(40_000)]
    path = tmp_path / "jobs.jsonl"
    path.write_text("".join(f'{{"id": "{each}", "command": "true"}}\n' for each in ids))
    words = [sys.executable, "-m", "queuectl", "enqueue", "--file", str(path)]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        first = child.stdout.readline()  # the rest does not fit into the pipe
        child.send_signal(by)
        told = [first, *child.stdout.readlines()]
    assert child.returncode == (130 if by == signal.SIGINT else -signal.SIGKILL)
    stored = cli.ids("--limit", "0")
    assert 0 < len(stored) < len(ids)
    assert stored == ids[: len(stored)]
    whole = [line for line in told if line.endswith("\n")]
    assert whole == [f"Enqueued job '{each}'\n" for each in stored[: len(whole)]]


def test_one_job_is_enqueued_without_what_only_many_need() -> None:
    code = "import sys; from queuectl.cli.app import run_process; run_process(sys.argv[1:]); "
    code += "print([name for name in sys.modules if name.endswith(('msgspec', '.alike'))])"
    shown = program([sys.executable, "-c", code, "enqueue", "a", "true"])
    assert shown.out.splitlines()[-1] == "[]"
