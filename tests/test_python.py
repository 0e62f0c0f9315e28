"""What people's Python programs write: jobs in every form, and what is told of a wrong one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queuectl import open_queue
from queuectl.domain.errors import Conflict, InvalidInput
from queuectl.domain.job import Job
from queuectl.queue import Queue
from tests.stores.conftest import mongo_url, store_url

__all__ = ["mongo_url", "store_url"]

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture
def queue(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """A queue on each store; the program is in a directory of its own."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with open_queue(str(tmp_path / "home"), store_url) as queue:
        yield queue


def stored(queue: Queue) -> list[Job]:
    """Return all jobs in the order of their arrival."""
    return list(queue.find())


def test_a_command_is_a_job_and_runs_where_the_program_is(queue: Queue) -> None:
    (result,) = queue.enqueue("echo hi")
    (job,) = stored(queue)
    assert (job.id, result.error) == (result.job_id, None)
    assert (job.spec.command, job.spec.cwd) == ("echo hi", str(Path.cwd()))
    fields = {"id": "build", "command": "make", "cwd": "sub"}
    assert queue.enqueue_one(fields) == "build"
    assert queue.get("build").spec.cwd == str(Path.cwd() / "sub")
    assert fields["cwd"] == "sub"  # what the caller has is left as it was


def test_jobs_come_in_every_form(queue: Queue) -> None:
    results = [
        *queue.enqueue({"id": "a", "command": ["make", "-j4"]}),
        *queue.enqueue(["echo 1", {"command": "echo 2"}, queue.request({"command": "echo 3"})]),
        *queue.enqueue(f"echo {number}" for number in range(4, 6)),
        *queue.enqueue(("echo 6", "echo 7")),
        *queue.enqueue(command="echo 8"),
        *queue.enqueue([]),
    ]
    jobs = stored(queue)
    assert [result.job_id for result in results] == [job.id for job in jobs]
    assert [job.spec.command for job in jobs] == [
        ("make", "-j4"),
        *(f"echo {n}" for n in range(1, 9)),
    ]


def test_fields_named_in_the_call_hold_for_all_its_jobs(queue: Queue) -> None:
    queue.enqueue(["echo a", {"command": "echo b", "queue": "gpu"}], queue="cpu", timeout=5)
    assert [(job.spec.queue, job.spec.timeout) for job in stored(queue)] == [("cpu", 5.0)] * 2
    with pytest.raises(TypeError, match="not None"):
        queue.enqueue(queue="gpu")


def test_one_job_is_enqueued_and_its_id_returned(queue: Queue) -> None:
    ids = [
        queue.enqueue_one("echo hi"),
        queue.enqueue_one({"command": "echo hi"}, id="named"),
        queue.enqueue_one(queue.request({"id": "asked", "command": "true"})),
        queue.enqueue_one(command=["make", "-j4"], id="a", after=["asked"]),
    ]
    assert ids == [job.id for job in stored(queue)]
    assert ids[1:] == ["named", "asked", "a"]


def test_one_job_whose_id_exists_is_refused_unless_it_replaces_or_has_the_same_key(
    queue: Queue,
) -> None:
    queue.enqueue_one("echo hi", id="a", unique="k")
    with pytest.raises(Conflict, match="job 'a' exists already"):
        queue.enqueue_one("echo other", id="a")
    assert queue.enqueue_one("echo hi", unique="k") == "a"
    assert queue.enqueue_one("echo other", id="a", replace=True) == "a"
    assert [job.spec.command for job in stored(queue)] == ["echo other"]


def test_a_wrong_field_names_its_job_and_nothing_is_stored(queue: Queue) -> None:
    with pytest.raises(InvalidInput, match=r"^job 2: unknown field 'comand' \(did you mean"):
        queue.enqueue(["echo a", {"comand": "echo b"}])
    with pytest.raises(InvalidInput, match=r"^unknown field 'prioritty'"):
        queue.enqueue("echo a", prioritty=5)
    with pytest.raises(InvalidInput, match=r"^command is empty"):
        queue.enqueue_one("")
    assert stored(queue) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (5, "enqueue takes \"echo hi\" or {\"command\": .* not an int"),
        (None, "not None"),
        (b"echo hi", "not a bytes"),
        (Path("run.sh"), "or a list of these, not a "),
        (["echo a", 5], "number 2 of the list is an int"),
        ([["make", "-j4"]], "an argument list goes as {\"command\": \\[\"make\", \"-j4\"\\]}"),
        ({5: "echo hi"}, "the name of a field is a string, not 5"),
    ],
)  # fmt: skip
def test_what_is_no_job_is_a_type_error_that_names_the_right_form(
    queue: Queue, wrong: Any, words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        queue.enqueue(wrong)
    assert stored(queue) == []


def test_several_are_not_one_and_a_request_takes_no_fields(queue: Queue) -> None:
    several: list[Any] = [5, None, ["make", "-j4"], [{"command": "true"}]]
    for wrong in several:
        with pytest.raises(TypeError, match=r"enqueue_one takes .* an argument list goes as"):
            queue.enqueue_one(wrong)
    with pytest.raises(TypeError, match=r"queue\.request"):
        queue.enqueue([queue.request({"command": "true"})], priority=5)
    text: Any = "echo hi"
    with pytest.raises(TypeError, match="request takes fields"):
        queue.request(text)


def test_a_call_looks_at_the_settings_once(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    look = queue.store.settings.all

    def looking() -> dict[str, Any]:
        looks.append(True)
        return dict(look())

    monkeypatch.setattr(queue.store.settings, "all", looking)
    queue.enqueue(["echo a", {"command": "echo b"}, *["true"] * 20])
    assert len(looks) == 1
    queue.enqueue([queue.request({"command": "true"}, queue.settings())])
    assert len(looks) == 2  # what was asked for by the test itself; a request has been filled


def test_the_example_of_the_readme_works(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    monkeypatch.setenv("QUEUECTL_HOME", str(queue.home.root))
    monkeypatch.setenv("QUEUECTL_STORE", queue.address)
    said: list[tuple[object, ...]] = []
    exec(compile(example, "README.md", "exec"), {"print": lambda *words: said.append(words)})
    jobs = stored(queue)
    assert [word for _, word in said[:2]] == ["enqueued", "enqueued"]
    assert said[2:] == [(job.id, job.state, job.attempts) for job in jobs]
    assert [job.spec.command for job in jobs] == [
        "echo done", "echo hi", ("make", "-j4"), "echo one", "echo two",
    ]  # fmt: skip
    assert (jobs[0].spec.timeout, jobs[4].spec.after) == (600, (jobs[0].id,))
