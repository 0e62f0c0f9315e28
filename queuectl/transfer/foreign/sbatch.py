"""Batch scripts of Slurm: what their `#SBATCH` lines ask for, and the script as the command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import frozen, replace
from queuectl.transfer.foreign.entry import (
    ONE_ATTEMPT,
    QUEUE,
    Context,
    Entry,
    decoded,
    digest_of,
    name_for,
    plain_name,
)
from queuectl.transfer.foreign.slurm_options import (
    Array,
    NotSlurm,
    array_of,
    filled,
    instant_of,
    needs_of,
    options_in,
    seconds_of,
)

_SHELLS = frozenset("sh bash dash ksh mksh zsh ash".split())
_MARK = "#SBATCH"
_ARGUMENT = re.compile(r"\$(?:[1-9@]|\{[1-9@])")
_USED = re.compile(r"\$\{?(SLURM_\w+)(?!\w*:?[-=+?])")
"""A variable of Slurm's that a script relies on: one with a default it can do without."""

_PARTS = re.compile(r"\s+(?:het|pack)job\b")
_TAKEN = frozenset(
    "job-name time chdir array output error input open-mode dependency begin hold export nodes "
    "ntasks cpus-per-task partition".split()
)
_OTHER_JOBS = frozenset({"container", "gid", "test-only", "uid", "wrap"})
_SILENT = frozenset("comment quiet verbose parsable ignore-pbs no-requeue help".split())
"""What says nothing of how the job is to run."""

_NAMED = {
    "cpus-per-task": "SLURM_CPUS_PER_TASK", "partition": "SLURM_JOB_PARTITION",
    "ntasks-per-node": "SLURM_NTASKS_PER_NODE", "gpus-per-node": "SLURM_GPUS_PER_NODE",
    "gpus": "SLURM_GPUS",
}  # fmt: skip
"""Options that a script finds again in a variable, as they were written."""

_DEPENDENCIES = {"afterok": "after", "afterany": "after_any", "afternotok": "after_fail"}
_EXPORTS = frozenset({"ALL", "NONE", "NIL"})
"""What `--export` takes beside names of variables."""

_HOST = "\0"
"""What stands for the name of the host, until the shell is asked."""

_NO_TASK = "4294967294"
"""What Slurm writes for the index of a job that is in no array."""

Options = Mapping[str, str]


@frozen
class _Script:
    """A script as it stands: its interpreter, its options, and what was noticed about them."""

    text: str
    interpreter: tuple[str, ...]
    options: Options
    notes: tuple[str, ...]
    line: int
    first_command: str


def read(data: bytes, context: Context) -> Iterator[Entry]:
    """Yield a job for a script, or one for each index of its array.

    Raises InvalidInput for what is no script.
    """
    text = decoded(data).replace("\r\n", "\n")
    if not text.startswith("#!"):
        raise InvalidInput("it is no batch script: its first line does not name an interpreter")
    refused = Entry(1, _first_command(text.split("\n"))[1], name="sbatch")
    try:
        script = _script(text)
        yield from _jobs(script, context)
    except NotSlurm as fault:
        yield replace(refused, refused=str(fault))


def _script(text: str) -> _Script:
    lines = text.split("\n")
    at, first_command = _first_command(lines)
    options: dict[str, str] = {}
    for number, line in enumerate(lines[:at], 1):
        if line.startswith(_MARK) and line[len(_MARK) : len(_MARK) + 1] in ("", " ", "\t"):
            if _PARTS.match(line[len(_MARK) :]):
                raise NotSlurm(f"line {number}: a job of several parts has no counterpart")
            try:
                options |= dict(options_in(line[len(_MARK) :]))
            except NotSlurm as fault:
                raise NotSlurm(f"line {number}: {fault}") from None
    late = [number for number, line in enumerate(lines[at:], at + 1) if line.startswith(_MARK)]
    notes = [f"line {late[0]}: {_MARK} behind the first command is a comment"] if late else []
    if re.search(r"^\s*(srun|scontrol|sbatch)\b", "\n".join(lines[at:]), re.MULTILINE):
        notes.append("it calls programs of Slurm, which must be there")
    if _ARGUMENT.search(re.sub(r"'[^']*'", "", "\n".join(lines[at:]))):
        notes.append("it uses arguments ($1 …), and is given none")
    interpreter = tuple(lines[0][2:].split())
    return _Script(text, interpreter, options, tuple(notes), at + 1, first_command)


def _first_command(lines: list[str]) -> tuple[int, str]:
    """Return where the first command is, counted from 0, and it; behind the end where none is."""
    for at, line in enumerate(lines):
        if line.strip() and not line.lstrip().startswith("#"):
            return at, line.strip()
    return len(lines), ""


def _jobs(script: _Script, context: Context) -> Iterator[Entry]:
    options = script.options
    if not script.first_command:
        raise NotSlurm("there is no command in it")
    _require_one_host(options)
    if other := _OTHER_JOBS & options.keys():
        raise NotSlurm(f"--{min(other)}: it would be another job without it")
    array = array_of(options["array"]) if "array" in options else None
    default = context.path.name if context.path else "sbatch"
    title = options.get("job-name") or default
    whole = digest_of("sbatch", script.text)
    common = {**_common(script, context), **_waits(options)}
    notes = (*script.notes, *_no_counterparts(options))
    if array and array.limit:
        queue = name_for(title, whole)
        common["queue"] = queue
        yield Entry(1, options["array"], kind=QUEUE, name=queue, limit=array.limit)
    number = int(whole[-7:], 16) + 1
    for order, index in enumerate(array.indices if array else [None]):
        variables = _variables(options, title, context, number, number + order, index, array)
        identity = script.text if index is None else f"{script.text}\n[{index}]"
        digest = digest_of("sbatch", identity)
        stem = plain_name(title) + ("" if index is None else f"-{index}")
        unset = sorted(set(_USED.findall(script.text)) - variables.keys() - common["env"].keys())
        lacks = (f"it uses {', '.join(unset)}, which is not set here",) if unset else ()
        redirected = _redirections(options, _pattern_values(variables, title, context))
        fields = {
            **common,
            "command": _command(script, redirected),
            "env": {**common["env"], **variables},
        }
        yield Entry(
            script.line,
            script.first_command if index is None else f"[{index}] {script.first_command}",
            identity=identity,
            name=name_for(stem, digest),
            fields=fields,
            changes=(*notes, *lacks),
            digest=digest,
        )


def _require_one_host(options: Options) -> None:
    least = re.match(r"\d+", options.get("nodes", "1"))
    if least and int(least[0]) > 1:
        raise NotSlurm(f"--nodes {options['nodes']}: a job runs on one host")


def _common(script: _Script, context: Context) -> dict[str, Any]:
    """Return the fields that all jobs of a script have."""
    options = script.options
    fields: dict[str, Any] = {**ONE_ATTEMPT, "labels": [], "env": {}}
    if needs := needs_of(options)[0]:
        fields["needs"] = needs
    if "time" in options:
        fields["timeout"] = seconds_of(options["time"])
    directory = options.get("chdir", "")
    fields["cwd"] = directory if directory.startswith("/") else f"{context.cwd}/{directory}"
    fields["cwd"] = fields["cwd"].rstrip("/") or "/"
    if name := options.get("job-name"):
        fields["labels"] = [name]
    exported = list(filter(None, options.get("export", "ALL").split(",")))
    words = {word.upper() for word in exported if "=" not in word}
    if bare := [word for word in exported if "=" not in word and word.upper() not in _EXPORTS]:
        raise NotSlurm(f"--export {bare[0]}: say its value: {bare[0]}=VALUE")
    if "ALL" not in words:  # what is not named stays behind
        fields["clean_env"] = True
    fields["env"] = dict(word.split("=", 1) for word in exported if "=" in word)
    return fields


def _waits(options: Options) -> dict[str, Any]:
    """Return the fields that say when a job may start. Raises NotSlurm."""
    fields: dict[str, Any] = {}
    if "hold" in options:
        fields["hold"] = True
    begin = options.get("begin", "now")
    if begin.lower() != "now":
        fields["run_at"] = instant_of(begin)
    for part in filter(None, options.get("dependency", "").split(",")):
        word, _, ids = part.partition(":")
        if word not in _DEPENDENCIES or not ids or "?" in part:
            raise NotSlurm(f"--dependency {part} has no counterpart: queuectl enqueue --after ID")
        fields.setdefault(_DEPENDENCIES[word], []).extend(ids.split(":"))
    return fields


def _no_counterparts(options: Options) -> Iterator[str]:
    """Yield what is left out, named."""
    taken = _TAKEN | _SILENT | needs_of(options)[1]
    left = [name for name in options if name not in taken and "mail" not in name]
    if "partition" in options:
        left.insert(0, "partition")
    if left:
        words = (f"--{name} {options[name]}".rstrip() for name in left)
        yield f"without counterpart: {', '.join(words)}"
    if "mail-user" in options or "mail-type" in options:
        to = options.get("mail-user") or "ADDRESS"
        yield f"no mail is sent; queuectl hook add NAME --on completed,dead --mail {to}"
    if "output" not in options:
        yield "what it writes is in queuectl logs"


def _variables(
    options: Options,
    title: str,
    context: Context,
    base: int,
    number: int,
    index: int | None,
    array: Array | None,
) -> dict[str, str]:
    """Return what Slurm tells a script about itself."""
    tasks = options.get("ntasks") or options.get("ntasks-per-node", "1")
    each = options.get("cpus-per-task", "1")
    cpus = str(int(tasks) * int(each)) if tasks.isdigit() and each.isdigit() else "1"
    variables = {
        "SLURM_JOB_ID": str(number), "SLURM_JOBID": str(number), "SLURM_JOB_NAME": title,
        "SLURM_SUBMIT_DIR": context.cwd, "SLURM_JOB_USER": context.user,
        "SLURM_JOB_NUM_NODES": "1", "SLURM_NNODES": "1", "SLURM_NODEID": "0",
        "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": tasks, "SLURM_NPROCS": tasks,
        "SLURM_JOB_NODELIST": "localhost", "SLURM_NODELIST": "localhost",
        "SLURM_CPUS_ON_NODE": cpus, "SLURM_JOB_CPUS_PER_NODE": cpus,
        **{name: options[option] for option, name in _NAMED.items() if option in options},
    }  # fmt: skip
    if array is not None and index is not None:
        indices = array.indices
        step = indices[1] - indices[0] if len(indices) > 1 else 1
        variables |= {
            "SLURM_ARRAY_JOB_ID": str(base), "SLURM_ARRAY_TASK_ID": str(index),
            "SLURM_ARRAY_TASK_COUNT": str(len(indices)), "SLURM_ARRAY_TASK_STEP": str(step),
            "SLURM_ARRAY_TASK_MIN": str(min(indices)), "SLURM_ARRAY_TASK_MAX": str(max(indices)),
        }  # fmt: skip
    return variables


def _pattern_values(variables: Mapping[str, str], title: str, context: Context) -> dict[str, str]:
    number = variables["SLURM_JOB_ID"]
    index = variables.get("SLURM_ARRAY_TASK_ID", _NO_TASK)
    return {
        "j": number, "J": number, "A": variables.get("SLURM_ARRAY_JOB_ID", number), "a": index,
        "x": title, "u": context.user, "n": "0", "t": "0", "s": "batch",
        "b": str(int(index) % 10), "N": _HOST,
    }  # fmt: skip


def _redirections(options: Options, values: dict[str, str]) -> str:
    """Return what the options say of standard input and output, as the shell has it."""
    to = ">>" if options.get("open-mode") == "append" else ">"
    parts = []
    if "input" in options:
        parts.append(f"<{_file(options, 'input', values)}")
    if "output" in options:
        parts.append(f"{to}{_file(options, 'output', values)}")
    is_one_file = options.get("error", options.get("output")) == options.get("output")
    if "output" in options and is_one_file:
        parts.append("2>&1")
    elif "error" in options:
        parts.append(f"2{to}{_file(options, 'error', values)}")
    return " ".join(parts)


def _file(options: Options, name: str, values: dict[str, str]) -> str:
    """Return the file that an option names, as a word for the shell, which knows the host."""
    text = filled(options[name], values, name)
    return '"$(hostname -s)"'.join(shlex.quote(part) if part else "" for part in text.split(_HOST))


def _command(script: _Script, redirected: str) -> list[str]:
    """Return the script as an argument of its interpreter. Raises NotSlurm."""
    name = [word for word in script.interpreter if not word.startswith("-")][-1:]
    program = "".join(name).rpartition("/")[2]
    words = [*script.interpreter, "-c"]
    if program in _SHELLS:
        start = f"exec {redirected}\n" if redirected else ""
        return [*words, f"{start}{script.text}"]
    if not re.fullmatch(r"python[0-9.]*|t?csh", program):
        raise NotSlurm(f"its interpreter is {program or 'not named'}: enqueue -- {program} SCRIPT")
    if not redirected:
        return [*words, script.text]
    return ["/bin/sh", "-c", f'exec "$@" {redirected}', "sh", *words, script.text]
