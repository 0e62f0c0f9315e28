"""The use cases that bring new jobs in; `Queue` has them all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, cast

from queuectl.domain import state_machine
from queuectl.domain.errors import Conflict, InvalidInput, QueuectlError
from queuectl.domain.frozen import frozen
from queuectl.domain.job_fields import Spec
from queuectl.domain.queue_limits import OPEN
from queuectl.domain.request import Request, RequestForm
from queuectl.domain.settings import Settings
from queuectl.queue.change import Changes
from queuectl.queue.dependencies import checked, has_parents, refuse_circle
from queuectl.queue.purge import Keeping
from queuectl.stores.rules import require_in_use
from queuectl.system.ids import new_job_ids

if TYPE_CHECKING:
    from queuectl.queue.python_jobs import Written


@frozen
class EnqueueResult:
    """What became of one request: `job_id` stands in the store unless `error` says otherwise.

    `is_other_job` says that it is another job, which has the request's unique key.
    """

    job_id: str
    replaced: bool = False
    is_other_job: bool = False
    error: QueuectlError | None = None


class Enqueueing(Changes, Keeping):
    """The part of `Queue` that enqueues; a request may replace a job that waits."""

    def request(
        self,
        fields: Mapping[str, object],
        settings: Settings | None = None,
        *,
        replace: bool = False,
        form: RequestForm | None = None,
    ) -> Request:
        """Return the request that a mapping of fields means. Raises InvalidInput.

        `replace` lets it replace a job of its id. When there are many, pass their `form`.
        """
        if not isinstance(fields, Mapping):
            raise TypeError(f'request takes fields, as in {{"command": "echo hi"}}, not {fields!r}')
        fields, environment = self.with_environment(fields)
        request = (form or self.form(settings, replace=replace)).fill(fields)
        if "@" in request.spec.id:
            from queuectl.domain.schedule import refuse_run_id

            refuse_run_id(request.spec.id)
        if request.spec.id.startswith("hook:"):
            from queuectl.domain.hooks import refuse_delivery_id

            refuse_delivery_id(request.spec.id)
        if environment is not None:
            spec = dataclasses.replace(request.spec, environment=environment, clean_env=False)
            request = dataclasses.replace(request, spec=spec)
        return request

    def form(
        self, settings: Settings | None = None, *, cwd: str | None = None, replace: bool = False
    ) -> RequestForm:
        """Return what makes a request of each of many mappings, with the settings of now.

        Where a mapping names no working directory its job runs in `cwd`.
        """
        new_ids = new_job_ids()
        return RequestForm(
            settings or self.settings(),
            self._parse_time,
            lambda: next(new_ids),
            cwd=cwd,
            replace=replace,
        )

    def _parse_time(self, kind: str, raw: object) -> datetime:
        from queuectl.system.time_parser import parse_time  # only few jobs name a time

        return parse_time(kind, raw, self.now())

    def enqueue(
        self,
        jobs: Written | Iterable[Written] | None = None,
        /,
        *,
        atomic: bool = False,
        replace: bool = False,
        **fields: object,
    ) -> list[EnqueueResult]:
        """Store new jobs; return what became of each, in the order given.

        A job is a command (`"echo hi"`), a mapping of its fields (`{"command": "echo hi",
        "queue": "gpu"}`) or a `Request`; there may be one, or several of these. `fields` named
        here hold for all, and are a job themselves where no other is given. `replace` lets a job
        replace another of its id. One that names no working directory runs in this program's.

        An id that exists is a `Conflict` in that job's result; with `atomic` it is raised
        and nothing is stored. Raises InvalidInput for a field that is wrong, and TypeError for
        what is no job at all; nothing is stored then either.
        """
        return self.enqueue_requests(self._requests(jobs, fields, replace=replace), atomic=atomic)

    def enqueue_one(
        self, job: Written | None = None, /, *, replace: bool = False, **fields: object
    ) -> str:
        """Store one job, written as for `enqueue`, and return its id.

        That is the id of another job where that one waits or runs and has its unique key. Raises
        Conflict when the id exists, InvalidInput for a field that is wrong, TypeError for what is
        no job.
        """
        from queuectl.queue.python_jobs import as_one

        (result,) = self.enqueue_requests(
            self._requests(as_one(job, fields), fields, replace=replace)
        )
        if result.error:
            raise result.error
        return result.job_id

    def enqueue_requests(
        self, requests: Sequence[Request], *, atomic: bool = False
    ) -> list[EnqueueResult]:
        """Store what requests ask for, as `enqueue` does."""
        require_in_use(self._store)
        if atomic and any(request.replace for request in requests):
            raise InvalidInput("an atomic batch cannot replace jobs")
        requests, faults = self._checked(requests)
        if atomic and faults:
            raise next(iter(faults.values()))
        first = {request.spec.id: request for request in reversed(requests)}
        if atomic and len(first) < len(requests):
            twice = next(each.spec.id for each in requests if each is not first[each.spec.id])
            raise Conflict(f"nothing was enqueued: the id '{twice}' is there twice")
        now = self._store.now()
        jobs = [
            state_machine.enqueue(request.spec, request.run_at, now, delayed=request.delayed)
            for request in requests
            if request is first[request.spec.id] and request.spec.id not in faults
        ]
        refused = self._store.insert(jobs, atomic=atomic)
        if refused and atomic:
            taken = first[sorted(refused)[0]].spec
            raise Conflict(f"nothing was enqueued: {self._why_taken(taken)}")
        if not refused and len(jobs) == len(requests):
            return [EnqueueResult(job.spec.id) for job in jobs]
        results, seen = [], set[str]()
        for request in requests:
            job_id = request.spec.id
            is_taken = job_id in refused or job_id in seen
            seen.add(job_id)
            if job_id in faults:
                results.append(EnqueueResult(job_id, error=faults[job_id]))
            else:
                results.append(self._refused(request) if is_taken else EnqueueResult(job_id))
        return results

    def _requests(
        self,
        jobs: Written | Iterable[Written] | None,
        fields: Mapping[str, object],
        *,
        replace: bool,
    ) -> Sequence[Request]:
        """Return what is asked for, with one look at the settings for all that are no requests."""
        if type(jobs) is list and not (fields or replace) and {*map(type, jobs)} == {Request}:
            return cast("list[Request]", jobs)
        from queuectl.queue import python_jobs

        many = python_jobs.as_list(jobs, fields)
        form = self.form(replace=replace)
        made: list[Request] = []
        for number, job in enumerate(many, 1):
            if isinstance(job, Request):
                if fields or replace:
                    raise TypeError("a Request has its fields already; give them to queue.request")
                made.append(job)
                continue
            try:
                made.append(self.request(python_jobs.fields_of(job, fields), form=form))
            except InvalidInput as fault:
                where = f"job {number}: " if len(many) > 1 else ""
                raise InvalidInput(f"{where}{fault}", fault.hint) from None
        return made

    def _checked(
        self, requests: Sequence[Request]
    ) -> tuple[Sequence[Request], Mapping[str, QueuectlError]]:
        """Look at what only some jobs ask for: parents, and more slots than one."""
        faults: dict[str, QueuectlError] = {}
        specs = [request.spec for request in requests]
        if any(map(has_parents, specs)):
            requests, faults = checked(requests, self.resolve, self._store.get)
        if any(spec.slots > 1 for spec in specs):
            queue_limits = self._store.queue_limits()
            for request in requests:
                try:
                    queue_limits.get(request.spec.queue, OPEN).require(request.spec)
                except InvalidInput as fault:
                    faults.setdefault(request.spec.id, fault)
        return requests, faults

    def _refused(self, request: Request) -> EnqueueResult:
        """Return what becomes of a request whose id, or whose unique key, a job has already."""
        spec = request.spec
        holder = self._store.unique_key_owner(spec.unique) if spec.unique else None
        if holder is not None and not (request.replace and holder == spec.id):
            return EnqueueResult(holder, is_other_job=True)
        if request.replace:
            return self._replace(request)
        if spec.unique and self._store.get(spec.id) is None:  # the key has become free since
            return self.enqueue_requests([request])[0]
        return EnqueueResult(spec.id, error=Conflict(self._why_taken(spec)))

    def _why_taken(self, spec: Spec) -> str:
        if spec.unique and self._store.get(spec.id) is None:
            return f"another job has the unique key '{spec.unique}'"
        return f"job '{spec.id}' exists already (--replace replaces it)"

    def _replace(self, request: Request) -> EnqueueResult:
        try:
            if has_parents(request.spec):
                refuse_circle(request.spec, self._store.get)
            self._change(
                request.spec.id,
                lambda job, now: state_machine.replace_job(
                    job, request.spec, request.run_at, now, delayed=request.delayed
                ),
            )
        except QueuectlError as refusal:
            return EnqueueResult(request.spec.id, error=refusal)
        return EnqueueResult(request.spec.id, replaced=True)
