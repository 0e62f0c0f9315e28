"""What waits in tsp, nq and at, and what has failed in parallel."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.transfer.foreign.tsp import arguments_of
from tests.transfer.foreign.kit import entries_of, entry_of, fields_of, path_in

HEADING = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"


def row(seq: int, code: int = 0, signal: int = 0, command: str = "make", host: str = ":") -> str:
    """Return a line of a job log."""
    return f"{seq}\t{host}\t17.5\t     0.022\t0\t21\t{code}\t{signal}\t{command}\n"


def test_what_has_failed_in_parallel_is_taken() -> None:
    log = HEADING + row(1) + row(2, 1, command="a\tb") + row(3, 0, 15) + row(4, 255, command="a\0b")
    good, exit_code, signal, lines = entries_of("parallel", log)
    assert good.left == "it has succeeded"
    assert fields_of(exit_code)["command"] == "a\tb"
    assert (exit_code.line, exit_code.changes[0]) == (3, "failed with exit code 1")
    assert signal.changes[0] == "failed with signal 15"
    assert fields_of(lines)["command"] == "a\nb"
    assert fields_of(lines)["max_retries"] == 1


def test_the_heading_of_older_versions_is_known_too() -> None:
    log = HEADING.replace("JobRuntime", "Runtime") + row(1, 1)
    assert entry_of("parallel", log).is_taken
    first, *_, ended = entries_of("tsp", LIST.replace("Times(r/u/s)", "Time"))[2:9]
    assert fields_of(first)["command"] == ["make", "all"]
    brief = LIST.replace("Times(r/u/s)", "Time").replace("2.00/0.00/0.00", "2.00s")
    assert entries_of("tsp", brief)[5].refused == ""
    assert (ended.text, ended.left) == ("false", "it has ended")


def test_of_a_job_that_was_run_again_the_last_line_counts() -> None:
    first, other, again = entries_of("parallel", HEADING + row(1, 1) + row(2, 1) + row(1))
    assert first.left == "job 1 was run again below"
    assert other.is_taken
    assert again.left == "it has succeeded"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (row(1, 1, host="db1"), "ssh db1"), ("1\t:\t2\n", "3 columns"),
        (row(1, 1).replace("\t1\t0\t", "\tx\t0\t"), "no number"),
        (row(1, 1).replace("0.022", "error\t"), "its JobRuntime is no number"),
    ],
)  # fmt: skip
def test_a_line_of_parallel_that_cannot_be_taken_is_refused(line: str, why: str) -> None:
    assert why in entry_of("parallel", HEADING + line).refused


LIST = """\
ID   State      Output               E-Level  Times(r/u/s)   Command [run=1/2]
1    running    /tmp/ts-out.IiCgZe                           sleep 10
2    queued     (file)                                       [docs]make all
3    queued     (file)                                       [2]&& bash -c echo a; echo b
4    queued     (file)                                       && [last]make x
5    queued     (file)                                       [0]&& make y
6    queued     (file)                                       [1]&& make z
0    finished   /tmp/ts-out.QUFZ40   0        2.00/0.00/0.00 sleep 2
7    finished   /tmp/ts-out.QUFZ41   1        2.00/0.00/0.00 false
8    queued     (file)                                       [7]&& never
"""


def test_what_waits_in_tsp_is_taken_with_a_warning() -> None:
    queue, running, docs, after, last, free, blocked, ended, bad, never = entries_of("tsp", LIST)
    assert (queue.kind, queue.name, queue.limit) == ("queue", "tsp", 2)
    assert "runs in tsp" in running.left
    assert fields_of(docs)["command"] == ["make", "all"]
    assert fields_of(docs)["labels"] == ["docs"]
    assert "its quotes are lost" in docs.changes[0]
    assert fields_of(after)["command"] == ["bash", "-c", "echo a; echo b"]
    assert fields_of(after)["after"] == [docs.name]
    assert (fields_of(last)["after"], fields_of(last)["labels"]) == ([after.name], ["last"])
    assert "after" not in fields_of(free)
    assert "job 1, which is not taken" in blocked.refused
    assert (ended.left, bad.left) == ("it has ended", "it has ended")
    assert "job 7" in never.refused
    assert all(each.refused for each in entries_of("tsp", LIST, strict=True)[2:5])


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        ("sleep 60", ["sleep", "60"]), ("/bin/sh -c a; b -c c", ["/bin/sh", "-c", "a; b -c c"]),
        ("python -c x y", ["python", "-c", "x", "y"]), ("bash run.sh", ["bash", "run.sh"]),
        ("bash -e -c a b", ["bash", "-e", "-c", "a b"]),
    ],
)  # fmt: skip
def test_arguments_are_parted_by_blanks_but_for_a_shell_s(shown: str, words: list[str]) -> None:
    assert arguments_of(shown) == words


def test_the_files_of_nq_are_taken_in_their_order(tmp_path: Path) -> None:
    path_in(tmp_path, ",18989e70a11.1", "exec nq /bin/a\n\nout\n\n[exited with status 0.]\n")
    path_in(tmp_path, ",18989e70a12.2", "exec 'nq' 'sleep' '9'\n\n")
    path_in(tmp_path, ",18989e70a13.3", "exec 'nq' '-c' 'make' 'it'\\''s a\n\nb'")
    path_in(tmp_path, ",18989e70a14.4", "exec nq -q -- make x")
    path_in(tmp_path, "notes", "exec nq no")
    queue, ended, running, waits, last = entries_of("nq", b"", path=tmp_path)
    assert (queue.name, queue.limit) == ("nq", 1)
    assert ended.left == "it has ended (exited with status 0)"
    assert "runs in nq" in running.left
    assert fields_of(waits)["command"] == ["make", "it's a\n\nb"]
    assert (fields_of(last)["command"], fields_of(last)["queue"]) == (["make", "x"], "nq")
    (_, one) = entries_of("nq", "exec nq make x", path=tmp_path / ",18989e70a14.4")
    assert one.digest == last.digest


AT = """\
#!/bin/sh
# atrun uid=1000 gid=1000
# mail ada 1
umask 22
HOME=/home/ada; export HOME
API_TOKEN=hunter2"
"3\\$; export API_TOKEN
cd /srv/my\\ app || {
\t echo 'Execution directory inaccessible' >&2
\t exit 1
}
echo "$API_TOKEN" "$HOME"
"""
SPOOL = "a000020245ca40"


def test_a_job_of_at_is_its_script_at_its_time(tmp_path: Path) -> None:
    entry = entry_of("at", AT, path=tmp_path / SPOOL)
    fields = fields_of(entry)
    assert entry.text == 'echo "$API_TOKEN" "$HOME"'
    assert fields["run_at"] == "2042-06-29T21:52:00.000Z"
    assert (fields["cwd"], fields["clean_env"], fields["max_retries"]) == ("/srv/my app", True, 1)
    assert "hunter2" not in fields["command"] + entry.text
    assert fields["env"] == {"API_TOKEN": "hunter2\n3$"}
    assert "no mail is sent; queuectl hook add NAME" in entry.changes[-1]
    script = fields["command"].replace("/srv/my\\ app", str(tmp_path))
    ended = subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": "/bin", **fields["env"]}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert ended.stdout == "hunter2\n3$ /home/ada\n"


def test_the_directory_of_at_comes_in_order_of_time(tmp_path: Path) -> None:
    for name in ("a00003024600ff", SPOOL, "=00004024600fe", ".SEQ"):
        path_in(tmp_path, name, AT)
    found = entries_of("at", b"", path=tmp_path)
    assert [each.where for each in found] == [SPOOL, "=00004024600fe", "a00003024600ff"]
    assert "runs in at" in found[1].left


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        (AT.replace("uid=1000", "uid=0"), SPOOL, "of the user 0"),
        (AT, "job", "the name of the file"),
        ("make all\n", SPOOL, "no job of at"),
    ],
)
def test_a_job_of_at_that_is_not_ours_or_has_no_time_is_refused(
    text: str, name: str, why: str
) -> None:
    assert why in entry_of("at", text, path=Path(name)).refused


@pytest.mark.parametrize("source", ["parallel", "tsp", "nq"])
def test_a_file_of_another_format_is_refused_whole(source: str) -> None:
    with pytest.raises(InvalidInput):
        entries_of(source, "make all\n")


@pytest.mark.parametrize(
    ("source", "name", "data"),
    [
        ("at", SPOOL, AT.encode() + b"\xff\n"),
        ("nq", ",18989e70a14.4", b"exec nq make \xff"),
    ],
)
def test_a_command_that_is_no_text_is_refused(source: str, name: str, data: bytes) -> None:
    (entry,) = entries_of(source, data, path=Path(name))
    assert entry.refused
