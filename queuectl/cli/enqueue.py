"""`enqueue`: from words, options, JSON and files to jobs in the store."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from queuectl.cli.enqueue_options import (
    SOURCES,
    SWEEP_OPTIONS,
    EnqueueCommand,
    EnqueueOptions,
    dry_run_option,
    enqueue_options,
    hold_option,
    lines_option,
    options_from,
    requests_of,
    sweep_options,
)
from queuectl.cli.enqueue_report import BatchReport, JsonReport, Report
from queuectl.cli.enqueue_words import InputJob
from queuectl.cli.root import examples, refused_option
from queuectl.cli.session import Session, hint_at_missing_workers, remember_jobs
from queuectl.domain.errors import ExitCode, InvalidInput, NotFound, NothingDone, QueuectlError
from queuectl.domain.text import counted
from queuectl.presentation.console import end_line, print_hint
from queuectl.queue import Queue
from queuectl.queue.enqueue import EnqueueResult

if TYPE_CHECKING:
    from queuectl.domain.job_fields import Spec


@examples("""
    queuectl enqueue nightly "./backup.sh"
    queuectl enqueue '{"id": "job1", "command": "echo Hello", "max_retries": 2}'
    queuectl enqueue build -- make -j4 "all tests"
    queuectl enqueue --file jobs.jsonl --queue imports --atomic
    queuectl enqueue --file jobs.jsonl --skip-existing --refused refused.txt
    queuectl enqueue --lines commands.txt
    queuectl enqueue --param lr=0.1,0.2 --param bs=8,16 -- python train.py --lr {lr} --bs {bs}
    queuectl enqueue report "./report.sh" --at "tomorrow 9:00" --timeout 600
""")
@click.command(cls=EnqueueCommand)
@lines_option
@enqueue_options
@sweep_options
@click.option("--skip-existing", is_flag=True,
              help="Pass over jobs whose id exists already, without an error.")  # fmt: skip
@refused_option
@hold_option
@click.option("--print-id", "-p", is_flag=True, help="Print nothing but the id.")
@click.option(
    "--atomic", is_flag=True, help="Store all jobs of a batch, or none if one is refused."
)
@dry_run_option
@click.option("--json", "as_json", is_flag=True, help="Print what became of each job as JSON.")
@click.pass_context
def enqueue(
    ctx: click.Context, /, print_id: bool, atomic: bool, as_json: bool, **options: Any
) -> int:
    """Store jobs: a command, JSON, or a file of jobs."""
    session = ctx.ensure_object(Session)
    requested = options_from(ctx, options)
    sources = ctx.meta.get(SOURCES, ())
    if sources or any(options[name] not in (None, ()) for name in SWEEP_OPTIONS):
        from queuectl.cli.sweep import enqueue_sweep

        shows = {"print_id": print_id, "as_json": as_json}
        return enqueue_sweep(session, requested, {**options, **shows}, sources)
    report = _report(requested, options, print_id=print_id, as_json=as_json)
    if report.skips and (atomic or requested.replace):
        raise InvalidInput(
            f"--skip-existing and {'--atomic' if atomic else '--replace'} exclude each other"
        )
    items = requested.items()  # before a store is made
    queue = session.trying_out() if report.is_dry else session.queue()
    batch = options.get("batch")
    had = 0 if batch is None else _jobs_in(queue, batch)
    jobs = requested.jobs(items, queue)
    if report.is_dry:  # one of them may wait for another, and none is there
        whole = [*chain.from_iterable(jobs)]
        jobs = iter([whole] if whole else [])
    try:
        if atomic:
            _enqueue_atomically(queue, [*chain.from_iterable(jobs)], report)
        else:
            for chunk in jobs:
                _enqueue_chunk(queue, chunk, report)
    except KeyboardInterrupt:
        if requested.source.file is None or report.is_dry:
            raise
        from queuectl.cli.interruption import how_to_go_on

        remember_jobs(queue, report.latest)
        report.clear()
        end_line()
        source = requested.source
        rest = how_to_go_on(
            source.file or "-", report.last, in_shell=session.in_shell, is_lines=source.is_lines
        )
        print_hint(f"interrupted: {report.summary}{rest}")
        return ExitCode.INTERRUPTED
    if not report.is_dry:
        remember_jobs(queue, report.latest)
    report.close()
    if not report.dealt:
        raise NothingDone("there are no jobs in it")
    if report.is_dry:
        return report.code
    if report.stored and had:
        print_hint(f"added to batch '{options['batch']}', which had {counted(had, 'job')}")
    if report.stored and options["hold"]:
        print_hint("held: queuectl resume ID lets it go")
    elif report.stored:
        hint_at_missing_workers(queue)
    if report.stored and report.limited is not None:
        _hint_at_limits(report.limited)
    return report.code


def _jobs_in(queue: Queue, batch: str) -> int:
    """Return how many jobs are in a batch; none where there is no such batch."""
    try:
        return queue.batch(batch).total
    except NotFound:
        return 0


def _report(
    requested: EnqueueOptions, options: dict[str, Any], *, print_id: bool, as_json: bool
) -> Report:
    """Return what tells of the jobs, as the options ask for it. Raises InvalidInput."""
    file, refused = requested.source.file, options["refused_file"]
    skips, is_dry = options["skip_existing"], options["dry_run"]
    report: Report
    if as_json:
        report = JsonReport(skips=skips, is_dry=is_dry, single=requested.is_single)
    elif file is not None and not print_id and sys.stderr.isatty():
        report = BatchReport(skips=skips, is_dry=is_dry)
    else:
        report = Report(skips=skips, is_dry=is_dry, print_id=print_id)
    if refused is not None:
        from queuectl.cli.refusals import Refusals

        report.refusals = Refusals(refused, file)
    return report


def _enqueue_chunk(queue: Queue, chunk: Sequence[InputJob], report: Report) -> None:
    """Store what can be stored, and tell of all in the order in which it was written."""
    if len(chunk) == 1:  # most often from the command line
        report.tell(report.count(chunk, _put(queue, chunk, report)))
        return
    from queuectl.cli.interruption import interrupts_put_off

    with interrupts_put_off():
        counted = report.count(chunk, _put(queue, chunk, report))
    report.tell(counted)


def _enqueue_atomically(queue: Queue, jobs: Sequence[InputJob], report: Report) -> None:
    from queuectl.cli.interruption import interrupts_put_off

    if not jobs:
        return
    faults = [job for job in jobs if isinstance(job.result, QueuectlError)]
    if faults:
        report.tell(report.count(faults, []))
        return
    with interrupts_put_off():
        counted = report.count(jobs, _put(queue, jobs, report, atomic=True))
    report.tell(counted)


def _put(
    queue: Queue, jobs: Sequence[InputJob], report: Report, *, atomic: bool = False
) -> Sequence[EnqueueResult]:
    """Store jobs, unless that is only tried; return what becomes of each that can be read."""
    put = queue.try_requests if report.is_dry else queue.enqueue_requests
    requests = requests_of(jobs)
    if requests and (requests[0].spec.memory or requests[0].spec.cpus):
        report.limited = requests[0].spec
    return put(requests, atomic=atomic)


def _hint_at_limits(spec: Spec) -> None:
    """Tell where no worker of this host can hold a job to its limits."""
    from queuectl.domain.job_fields import CGROUP
    from queuectl.system import cgroups

    wanted = [cgroups.MEMORY] if spec.memory and spec.memory_kind == CGROUP else []
    if why := cgroups.lacking_on_host([*wanted, *([cgroups.CPU] if spec.cpus else [])]):
        instead = "; --memory-kind address-space needs none" if wanted and not spec.cpus else ""
        print_hint(f"no worker of this host can run it: {why}{instead}")
