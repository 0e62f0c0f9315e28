"""Files: the whole of what a run wrote, and what became of the jobs of a batch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial

from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from queuectl.domain.errors import NotFound
from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job
from queuectl.presentation.batches import csv_lines, result_columns
from queuectl.presentation.run_log import BOTH
from queuectl.queue import Queue
from queuectl.system.job_logs import JobLogs
from queuectl.system.run_reader import RunReader
from queuectl.web.api.endpoint import JOB_ID, QUERY, Arguments, read
from queuectl.web.api.read import READING, STATES, page_of
from queuectl.web.app_state import state_of

_PARAMS = (JOB_ID, *next(each for each in READING if each.name == "getLog").params_in(QUERY))
_TEXT = "text/plain; charset=utf-8"


@frozen
class _Output:
    """What is asked for: of a run that left no files, `kept` is what its job's record has of it."""

    job_id: str
    run: int
    stream: str
    logs: JobLogs
    kept: bytes | None = None

    @property
    def name(self) -> str:
        """What the file is called."""
        stream = "" if self.stream == BOTH else f".{self.stream}"
        return f"{self.job_id}.{self.run}{stream}.txt"


async def download(request: Request) -> Response:
    """Serve the output of a run as a file; of one stream a part too, where a range is asked for."""
    state = state_of(request)
    arguments = read(_PARAMS, request.path_params, request.query_params, {})
    output = await state.pool.run(lambda queue: _find(queue, arguments))
    headers = {"content-disposition": f'attachment; filename="{output.name}"'}
    if output.kept is not None:
        return Response(output.kept, media_type=_TEXT, headers=headers)
    if output.stream == BOTH:
        return StreamingResponse(_both(output), media_type=_TEXT, headers=headers)
    path = getattr(output.logs, output.stream)(output.job_id, output.run)
    return FileResponse(path, media_type=_TEXT, headers=headers)


def _find(queue: Queue, arguments: Arguments) -> _Output:
    """Return what is asked for. Raises NotFound where there is none."""
    job = queue.get(arguments["id"])
    run, stream = arguments.get("run", job.runs), arguments.get("stream", BOTH)
    logs = queue.logs_of(job, run)
    paths = {"stdout": logs.stdout(job.id, run), "stderr": logs.stderr(job.id, run)}
    wanted = [path for name, path in paths.items() if stream in (name, BOTH)]
    if run and any(path.exists() for path in wanted):
        return _Output(job.id, run, stream, logs)
    if not run or run != job.runs or job.outcome is None:
        raise NotFound(f"run {run} of job '{job.id}' left no output on this host")
    kept = {"stdout": job.outcome.stdout, "stderr": job.outcome.stderr}
    text = "".join(text for name, text in kept.items() if stream in (name, BOTH))
    return _Output(job.id, run, stream, logs, text.encode(errors="replace"))


def _both(output: _Output) -> Iterator[bytes]:
    reader = RunReader(output.logs, output.job_id, output.run)
    try:
        for piece in reader.read():
            yield piece.data
    finally:
        reader.close()


_BATCH = (*next(each for each in READING if each.name == "getBatch").params, STATES)
JOBS_AT_ONCE = 500


async def results(request: Request) -> Response:
    """Serve what became of the jobs of a batch as CSV, in the order in which they were made.

    Jobs are read a few at a time, so that others are served in between.
    """
    pool = state_of(request).pool
    arguments = read(_BATCH, request.path_params, request.query_params, {})
    name = arguments["name"]
    wanted = {"state": arguments.get("state", ()), "batch": name, "limit": JOBS_AT_ONCE}

    def page(queue: Queue, after: int) -> tuple[list[Job], int | None]:
        queue.batch(name)
        return page_of(queue, {**wanted, "oldest_first": True, "full": True, "after": after})

    jobs, following = await pool.run(partial(page, after=0))
    columns = result_columns(jobs, plain=True)

    async def lines() -> AsyncIterator[str]:
        yield "".join(csv_lines(jobs, columns))
        after = following
        while after is not None:
            more, after = await pool.run(partial(page, after=after))
            yield "".join(csv_lines(more, columns, has_head=False))

    headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)
