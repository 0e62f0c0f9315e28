"""Many jobs of one command: `--array`, `--param`, `--param-file`, and `:::` of `add`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from queuectl.cli.enqueue_options import EnqueueOptions
from queuectl.cli.enqueue_words import Source as JobSource
from queuectl.cli.interruption import interrupts_put_off
from queuectl.cli.parallel_words import Source, axes_of
from queuectl.cli.param_files import read_axis, read_values
from queuectl.cli.session import Session, hint_at_missing_workers, remember_jobs
from queuectl.domain.errors import InvalidInput, QueuectlError, nearest
from queuectl.domain.field_checks import Command
from queuectl.domain.frozen import replace
from queuectl.domain.job_fields import command_text
from queuectl.domain.request import Request
from queuectl.domain.shell_programs import has_shell
from queuectl.domain.sweep import Axis, Sweep, job_id
from queuectl.domain.sweep_names import INDEX, INDEX_ELSEWHERE, variable
from queuectl.domain.sweep_words import array_axis, param_axis
from queuectl.domain.times import iso
from queuectl.presentation.console import on_terminal, print_hint, print_line
from queuectl.queue import Queue
from queuectl.queue.sweeps import EnqueuedSweep, sweep_with

_SHOWN = 30
"""So many commands are shown on a terminal."""

_LATEST = 100

_VARIABLE = re.compile(r"\$(?:\{(\w+)|(\w+))")
_ELSEWHERE = ("SLURM_", "PBS_", "SGE_", "LSB_", "HQ_", "GFLOW_", "PUEUE_")
"""How the variables of other systems' jobs begin."""


def enqueue_sweep(
    session: Session,
    requested: EnqueueOptions,
    options: Mapping[str, Any],
    sources: Sequence[Source],
) -> int:
    """Store the jobs of a sweep, or show their commands; return the exit code."""
    _refuse_others(requested, options)
    axes, at_once = _axes(options, sources)
    queue = session.trying_out() if options["dry_run"] else session.queue()
    model = _model(requested, queue)
    sweep = sweep_with(model, axes)
    if sources and not sweep.has_places:
        spec = replace(model.spec, command=_with_values(model.spec.command))
        sweep = sweep_with(replace(model, spec=spec), axes)
    name = _name_of(model)
    if options["dry_run"]:
        _show(sweep, name, as_json=options["as_json"])
        _note(sweep)
        return 0
    with interrupts_put_off():
        result = queue.enqueue_sweep(sweep, name, at_once=at_once)
        first = max(1, result.total - _LATEST + 1)
        ids = [job_id(result.batch, number) for number in range(first, result.total + 1)]
        remember_jobs(queue, ids)
    _report(result, model, options)
    _note(sweep)
    if options["hold"]:
        print_hint("held: queuectl resume ID lets one go")
    else:
        hint_at_missing_workers(queue)
    return 0


def _refuse_others(requested: EnqueueOptions, options: Mapping[str, Any]) -> None:
    """Raise InvalidInput for what does not go with a sweep."""
    if requested.source.file is not None:
        option = "--lines" if requested.source.is_lines else "a file of jobs"
        raise InvalidInput(
            f"{option} has a command for each job, and takes no --array, --param or :::"
        )
    for name in ("replace", "skip_existing", "refused_file"):
        if options.get(name):
            raise InvalidInput(
                f"--{name.removesuffix('_file').replace('_', '-')} does not go with many jobs of "
                "one command: they are new ones, and all are stored or none"
            )


def _axes(options: Mapping[str, Any], sources: Sequence[Source]) -> tuple[list[Axis], int | None]:
    """Return the axes, the slowest first, and how many jobs may run at once.

    Raises InvalidInput.
    """
    axes: list[Axis] = []
    at_once: int | None = None
    if options["array"] is not None:
        axis, at_once = array_axis(options["array"])
        axes.append(axis)
    if at_once is not None and options.get("at_once") is not None:
        raise InvalidInput(f"--array {options['array']} and --at-once say twice how many at once")
    axes += map(param_axis, options["params"])
    axes += map(read_axis, options["param_files"])
    found = axes_of(sources, read_values)
    if found.left_out:
        values = "value is" if found.left_out == 1 else "values are"
        print_hint(f"note: {found.left_out} {values} left out, as a source beside is shorter")
    axes += found.axes
    return axes, at_once


def _model(requested: EnqueueOptions, queue: Queue) -> Request:
    """Return the request that all jobs are made of. Raises QueuectlError."""
    source = requested.source
    if source.json is not None:
        requested = _with_command(requested, source.json)
    jobs = [*chain.from_iterable(requested.jobs(requested.items(), queue))]
    if len(jobs) != 1:
        raise InvalidInput(f"a sweep takes one job, not {len(jobs)}")
    if isinstance(jobs[0].result, QueuectlError):
        raise jobs[0].result
    return jobs[0].result


def _with_command(requested: EnqueueOptions, word: str) -> EnqueueOptions:
    """Return the same with the word as the command, where it begins as JSON does and is none."""
    from queuectl.cli.job_input import parse

    try:
        parse(word)
    except InvalidInput:
        return replace(requested, source=JobSource(command=word, id=requested.source.id))
    return requested


def _with_values(command: Command) -> Command:
    """Return a command with its values behind it, as it says nowhere else where they go."""
    return f"{command} {{}}" if isinstance(command, str) else (*command, "{}")


def _name_of(model: Request) -> str | None:
    """Return the name of the batch, if one is given: as such, or as the id. Raises InvalidInput."""
    spec = model.spec
    if spec.generated_id:
        return spec.batch
    if spec.batch is not None:
        raise InvalidInput(
            f"--batch {spec.batch} and the id '{spec.id}' both name the batch",
            hint="its jobs are NAME-1, NAME-2 and so on",
        )
    return spec.id


def _show(sweep: Sweep, name: str | None, *, as_json: bool) -> None:
    """Write the commands of the jobs; on a terminal the first of them, and how many there are."""
    if as_json:
        from queuectl.presentation.tables import JsonArray

        array = JsonArray()
        for member in sweep.members():
            named = {"id": job_id(name, member.number)} if name else {}
            array.add({
                **named,
                "index": member.number,
                "command": member.command,
                "params": dict(member.params),
            })  # fmt: skip
        array.close()
        return
    last = min(sweep.total, _SHOWN) if on_terminal() else sweep.total
    for member in sweep.members(1, last):
        print_line(command_text(member.command))
    if last < sweep.total:
        print_line(f"… {sweep.total:,} jobs would be enqueued")


def _report(result: EnqueuedSweep, model: Request, options: Mapping[str, Any]) -> None:
    first, last = job_id(result.batch, 1), job_id(result.batch, result.total)
    if options["as_json"]:
        from queuectl.presentation.tables import write_json

        due = {"run_at": iso(model.run_at)} if model.run_at else {}
        write_json({
            "batch": result.batch, "jobs": result.total, "first": first, "last": last,
            "result": "enqueued", **due,
        })  # fmt: skip
        return
    if options["print_id"]:
        print_line(result.batch)
        return
    which = (
        f"job '{first}'" if result.total == 1 else f"{result.total:,} jobs, '{first}' to '{last}'"
    )
    due_words = ""
    if model.run_at is not None:
        from queuectl.presentation.due import due_text

        due_words = due_text(model.run_at)
    print_line(f"Enqueued batch '{result.batch}': {which}{due_words}")


def _note(sweep: Sweep) -> None:
    """Tell of what looks like a placeholder and is none, and of parameters without one."""
    for line in _notes_on_variables(sweep):
        print_hint(f"note: {line}")
    for word in sweep.unknown():
        close = nearest(word.strip("{}"), [*sweep.names])
        print_hint(f"note: {word} is no placeholder here, and is left as typed{close}")
    for name in sweep.unused():
        if name != INDEX:
            print_hint(
                f"note: {{{name}}} is not in the command, which finds it as ${variable(name)}"
            )


def _notes_on_variables(sweep: Sweep) -> Iterator[str]:
    """Yield what is to be said of variables in the command that will not have their value."""
    command = sweep.command
    is_read = isinstance(command, str) or has_shell(command)
    text = command if isinstance(command, str) else "\n".join(command)
    found = dict.fromkeys(first or second for first, second in _VARIABLE.findall(text))
    is_set = {*dict(sweep.model.spec.env), *(INDEX_ELSEWHERE if INDEX in sweep.names else ())}
    for name in found:
        if not is_read and (name in is_set or name.startswith("QUEUECTL_")):
            place = "{}" if name in INDEX_ELSEWHERE else "a placeholder such as {}"
            yield f"${name} is left as typed, as no shell reads what is behind --; {place} is not"
        elif is_read and name.startswith(_ELSEWHERE) and name not in is_set:
            yield f"${name} is not set here; queuectl import --from sbatch FILE sets those of Slurm"
