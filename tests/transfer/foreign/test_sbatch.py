"""Batch scripts of Slurm: their options, arrays and what the body finds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.transfer.foreign.slurm_options import NotSlurm, array_of, options_in, seconds_of
from tests.local_zone import SetZone, zone
from tests.transfer.foreign.kit import entries_of, entry_of, fields_of

__all__ = ["zone"]


def script(*directives: str, body: str = "make all", shebang: str = "#!/bin/bash") -> str:
    """Return a script with such directives."""
    return "\n".join([shebang, *(f"#SBATCH {each}" for each in directives), "", body, ""])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("--time=10", {"time": "10"}),
        ("--ntasks-per-node 4 -N1", {"ntasks-per-node": "4", "nodes": "1"}),
        ("-oReport-%j.out", {"output": "Report-%j.out"}),
        ("-J  'a b' # a comment", {"job-name": "a b"}),
        ("--job-name=a#b -t 5", {"job-name": "a"}),
        ("--begin=2031-01-20T09:00:00# job start time", {"begin": "2031-01-20T09:00:00"}),
        (r"-J a\#b\ c -C 'a\'b'", {"job-name": "a#b c", "constraint": "a'b"}),
        ('--mail-user="x@y"\t--exclusive -t 5', {"mail-user": "x@y", "exclusive": "", "time": "5"}),
        (
            "--depend=afterok:1 --tasks-per-node 2",
            {"dependency": "afterok:1", "ntasks-per-node": "2"},
        ),
        ("--mem=4G --new=2", {"mem": "4G", "new": "2"}),
        ("--hold --requeue", {"hold": "", "requeue": ""}),
        ("", {}),
        ("# --time=10", {}),
    ],
)
def test_both_forms_of_options_are_read(text: str, wanted: dict[str, str]) -> None:
    assert dict(options_in(text)) == wanted


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("90", 5400), ("1:30", 120), ("2:00", 120), ("08:00:00", 28800), ("1-2", 93600),
        ("1-02:30", 95400), ("0-0:30:00", 1800), ("00:30:30", 1860), ("UNLIMITED", 0), ("0", 0),
    ],
)  # fmt: skip
def test_the_forms_of_time(time: str, seconds: float) -> None:
    assert seconds_of(time) == seconds


@pytest.mark.parametrize(
    ("text", "indices", "limit"),
    [
        ("1-9:2%4", (1, 3, 5, 7, 9), 4), ("0-2", (0, 1, 2), 0), ("8,18,28", (8, 18, 28), 0),
        ("1,3-4%1", (1, 3, 4), 1), ("5", (5,), 0), ("[1-3]%2", (1, 2, 3), 2),
    ],
)  # fmt: skip
def test_the_forms_of_arrays(text: str, indices: tuple[int, ...], limit: int) -> None:
    assert (array_of(text).indices, array_of(text).limit) == (indices, limit)


@pytest.mark.parametrize("text", ["3-1", "a", "1-9:0", "1-9%x", "0-99999999", ""])
def test_an_array_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(NotSlurm):
        array_of(text)


def test_a_script_is_a_job_with_what_its_options_say() -> None:
    text = script(
        "--job-name=train --time=1:00:00", "--partition=gpu # the fast one", "--mem 16G",
        "--export=ALL,A=1", body="# SBATCH --time=5\n##SBATCH --time=6\npython t.py\n#SBATCH -t 7",
    )  # fmt: skip
    entry = entry_of("sbatch", text)
    fields = fields_of(entry)
    assert fields["command"] == ["/bin/bash", "-c", text]
    assert (fields["timeout"], fields["cwd"], fields["labels"]) == (3600, "/srv", ["train"])
    assert (fields["max_retries"], fields["env"]["A"]) == (1, "1")
    assert fields["env"]["SLURM_JOB_NAME"] == "train"
    assert fields["env"]["SLURM_JOB_ID"].isdigit()
    assert entry.text == "python t.py"
    said = "; ".join(entry.changes)
    assert "without counterpart: --partition gpu" in said
    assert "line 10: #SBATCH behind the first command is a comment" in said


def test_the_body_finds_what_its_options_say() -> None:
    text = script("--ntasks-per-node=2 -c 4 --gpus-per-node=1", body="run $1 ${SLURM_NTASKS}")
    entry = entry_of("sbatch", text)
    env = fields_of(entry)["env"]
    names = ("SLURM_NTASKS", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "SLURM_GPUS_PER_NODE")
    assert [env[name] for name in names] == ["2", "4", "8", "1"]
    assert "it uses arguments ($1 …), and is given none" in entry.changes
    assert "it uses" not in "".join(entry_of("sbatch", script(body="awk '{print $1}'")).changes)


def test_variables_of_slurm_that_are_not_set_are_named() -> None:
    body = 'echo $SLURM_JOB_ID ${SLURM_TMPDIR} "$SLURM_MEM_PER_NODE" ${SLURM_X:-1} ${SLURM_Y-}'
    said = entry_of("sbatch", script(body=body)).changes
    assert "it uses SLURM_MEM_PER_NODE, SLURM_TMPDIR, which is not set here" in said
    text = script("--export=ALL,SLURM_TMPDIR=/tmp", body="ls $SLURM_TMPDIR $SLURM_ARRAY_TASK_ID")
    assert "it uses SLURM_ARRAY_TASK_ID, which is not set here" in entry_of("sbatch", text).changes


def test_an_array_is_a_job_for_each_index_in_a_queue_of_its_own() -> None:
    queue, *jobs = entries_of("sbatch", script("-J fold -a 1-5:2%2"))
    assert (queue.kind, queue.limit) == ("queue", 2)
    assert len({each.name for each in jobs}) == 3
    fields = [fields_of(each) for each in jobs]
    assert {each["queue"] for each in fields} == {queue.name}
    assert [each["env"]["SLURM_ARRAY_TASK_ID"] for each in fields] == ["1", "3", "5"]
    assert len({each["env"]["SLURM_JOB_ID"] for each in fields}) == 3
    assert {each["env"]["SLURM_ARRAY_TASK_MAX"] for each in fields} == {"5"}
    assert "queue" not in fields_of(entries_of("sbatch", script("-a 1-2"))[0])


def test_output_goes_where_the_patterns_say(tmp_path: Path) -> None:
    text = script("-a 3", "-o %x-%3a.out", "-J f", body='echo "$SLURM_ARRAY_TASK_ID" "$0"; false')
    fields = fields_of(entry_of("sbatch", text))
    ended = subprocess.run(
        fields["command"], cwd=tmp_path, check=False, env={"PATH": "/usr/bin:/bin", **fields["env"]}
    )
    assert ended.returncode == 1
    assert (tmp_path / "f-003.out").read_text().startswith("3 ")


def test_what_goes_to_one_file_is_whole(tmp_path: Path) -> None:
    text = script("-o %x.log", "-e %x.log", "-J f", body="echo one\necho two >&2\necho three")
    subprocess.run(fields_of(entry_of("sbatch", text))["command"], cwd=tmp_path, check=True)
    assert (tmp_path / "f.log").read_text() == "one\ntwo\nthree\n"


def test_the_name_of_the_host_is_known_where_it_runs() -> None:
    command = fields_of(entry_of("sbatch", script("-o a-%N.b", body="true")))["command"]
    assert 'exec >a-"$(hostname -s)".b 2>&1' in command[-1]


@pytest.mark.parametrize("shebang", ["#!/usr/bin/env python3", "#!/usr/bin/python3 -u"])
def test_a_script_for_python_is_given_to_it(tmp_path: Path, shebang: str) -> None:
    text = script("-o out", "-e err", body="print(1 + 1)", shebang=shebang)
    command = fields_of(entry_of("sbatch", text))["command"]
    subprocess.run(command, cwd=tmp_path, check=True, env={"PATH": "/usr/local/bin:/usr/bin:/bin"})
    assert (tmp_path / "out").read_text() == "2\n"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ("-d afterok:a:b,afterany:c", {"after": ["a", "b"], "after_any": ["c"]}),
        ("--begin=2031-01-20T12:34:00 -H", {"run_at": "2031-01-20T11:34:00.000Z", "hold": True}),
        ("-D sub/dir", {"cwd": "/srv/sub/dir"}),
        ("--chdir=/data", {"cwd": "/data"}),
        ("--export=NONE", {"clean_env": True}),
        ("--export=none", {"clean_env": True}),
        ("--export=A=1", {"clean_env": True}),
        ("--export=all,A=1", {"clean_env": None}),
        ("--begin=now", {"run_at": None}),
        ("--begin=2031-01-20", {"run_at": "2031-01-19T23:00:00.000Z"}),
        ("--begin=2020-07-20T09:00", {"run_at": "2020-07-20T07:00:00.000Z"}),
        ("--nice --comment= -H", {"hold": True}),
    ],
)
def test_what_has_a_counterpart_is_taken(
    options: str, wanted: dict[str, object], zone: SetZone
) -> None:
    zone("Europe/Berlin")
    fields = fields_of(entry_of("sbatch", script(options)))
    assert {name: fields.get(name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (script("--nodes=4"), "a job runs on one host"),
        (script("-d singleton"), "has no counterpart"),
        (script("--begin=now+1hour"), "2030-01-31T14:30"),
        (script("--begin=2031-02-29"), "2030-01-31T14:30"),
        (script("--output"), "--output has no value"),
        (script("--job-name= x"), "--job-name has no value"),
        (script("--container=/srv/image"), "--container: it would be another job"),
        (script("-t soon"), "--time soon is not"),
        (script("--export=PATH,A=1"), "PATH=VALUE"),
        (script("-n 1", "hetjob", "-n 2"), "line 3: a job of several parts"),
        (script("-o %q.out"), "%q"),
        (script("--node=4"), "--node may be nodefile or nodelist or nodes"),
        (script("make all"), "line 2: 'make' is no option"),
        (script(body="use x", shebang="#!/usr/bin/perl"), "its interpreter is perl"),
        ("#!/bin/sh\n#SBATCH -t 5\n", "no command"),
    ],
)
def test_what_has_none_is_refused_with_its_name(text: str, why: str) -> None:
    assert why in entry_of("sbatch", text).refused


def test_what_is_no_script_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no batch script"):
        entries_of("sbatch", "make all\n")


@pytest.mark.parametrize(
    ("options", "needs", "left"),
    [
        ("--mem=16G --gres=gpu:2", {"memory": "16G", "gpu": "2"}, ""),
        ("--mem 4000 -G 1", {"memory": "4000M", "gpu": "1"}, ""),
        ("--mem=512k --gpus-per-node=3", {"memory": "512K", "gpu": "3"}, ""),
        ("--gres=gpu --gpus=1", {"gpu": "1"}, ""),
        ("--gres=gpu:a100:2", None, "--gres gpu:a100:2"),
        ("--gres=gpu:1,shard:2", None, "--gres gpu:1,shard:2"),
        ("--mem=0", None, "--mem 0"),
        ("--mem-per-cpu=2G", None, "--mem-per-cpu 2G"),
        ("--gpus=2 --gres=gpu:1", None, "--gpus 2, --gres gpu:1"),
        ("--gpus=2 --gpus-per-task=1", None, "--gpus 2, --gpus-per-task 1"),
    ],
)
def test_memory_and_gpus_are_needs_where_they_say_no_more(
    options: str, needs: dict[str, str] | None, left: str
) -> None:
    entry = entry_of("sbatch", script(options))
    assert fields_of(entry).get("needs") == needs
    named = [each for each in entry.changes if each.startswith("without counterpart")]
    assert named == ([f"without counterpart: {left}"] if left else [])
