"""Requests of what people and programs write: a command, a mapping of fields, or many of these."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, cast

from queuectl.domain import settings as tunables
from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.field_checks import check_text
from queuectl.domain.frozen import replace
from queuectl.domain.request import CHECKS, Request, RequestForm
from queuectl.domain.settings import Settings, as_flag
from queuectl.system.home import working_directory
from queuectl.system.ids import new_job_ids

if TYPE_CHECKING:
    from queuectl.queue.resources import Resources
    from queuectl.queue.snapshots import SnapshotTaker
    from queuectl.queue.usage import Usage
    from queuectl.stores.base import Store
    from queuectl.system.home import Home

Written = str | Mapping[str, object] | Request
"""One job: a line for the shell, its fields, or a request that was made of them."""

_IS_OVER = "its time is over, so it is due at once"
_FORMS = '"echo hi" or {"command": "echo hi", "queue": "gpu"}'
_ARGUMENTS = 'an argument list goes as {"command": ["make", "-j4"]}'
_ENVIRONMENT_FIELDS = frozenset({"env_file", "env-file", "capture_env", "capture-env"})
_ALIASES = {"env-file": "env_file", "capture-env": "capture_env", "clean-env": "clean_env"}


class Requests:
    """Makes requests, with the settings and the time of a store."""

    def __init__(self, store: Store, home: Home | None = None) -> None:
        self._store = store
        self._home = home
        self._taker: tuple[RequestForm, SnapshotTaker] | None = None
        self._usage: tuple[RequestForm, Usage] | None = None
        self._captured: dict[tuple[str, bool], tuple[str, bool]] = {}

    @cached_property
    def _resources(self) -> Resources:
        from queuectl.queue.resources import Resources  # of few jobs only

        return Resources(self._store)

    def form(
        self,
        settings: Settings | None = None,
        *,
        cwd: str | None = None,
        replace: bool = False,
        is_trial: bool = False,
    ) -> RequestForm:
        """Return what makes a request of each of many mappings, with the settings of now.

        Of one that `is_trial` no environment is stored, and no snapshot is taken.
        """
        new_ids = new_job_ids()
        settings = settings or tunables.from_stored(self._store.settings.all())
        return RequestForm(
            settings,
            partial(self._due, tunables.month_first(settings)),
            lambda: next(new_ids),
            cwd=cwd,
            replace=replace,
            is_trial=is_trial,
        )

    def _due(self, month_first: bool | None, kind: str, raw: object) -> datetime:
        from queuectl.system.time_parser import parse_due  # only few jobs name a time

        return parse_due(kind, raw, self._store.now(), month_first=month_first)

    def of(self, fields: Mapping[str, object], form: RequestForm | None = None) -> Request:
        """Return the request that a mapping of fields means. Raises InvalidInput."""
        if not isinstance(fields, Mapping):
            raise TypeError(f'request takes fields, as in {{"command": "echo hi"}}, not {fields!r}')
        form = form or self.form()
        fields, captured = self._with_environment(fields, form)
        has_snapshot = "snapshot" in fields
        if has_snapshot:
            fields = {**fields}
            has_snapshot = as_flag("snapshot", fields.pop("snapshot") or False)
        request = form.fill(fields)
        if form.settings.need_usual_memory:
            spec = self._usage_for(form).with_usual_memory(request.spec)
            request = replace(request, spec=spec)
        if request.run_at is not None:
            from queuectl.system.time_parser import is_over

            if is_over(request.run_at, self._store.now()):
                request = replace(request, notes=(*request.notes, _IS_OVER))
        if request.spec.needs:
            note = self._resources.check(request.spec.needs)
            request = replace(request, notes=(*request.notes, note)) if note else request
        if "@" in request.spec.id:
            from queuectl.domain.schedule import refuse_run_id

            refuse_run_id(request.spec.id)
        if request.spec.id.startswith("hook:"):
            from queuectl.domain.hooks import refuse_delivery_id

            refuse_delivery_id(request.spec.id)
        if request.spec.id.startswith("batch:"):
            raise InvalidInput(
                f"the id {shown(request.spec.id)} has the form batch:NAME, which means a batch"
            )
        if request.spec.between is not None:
            request = self._within_hours(request, request.spec.between)
        if has_snapshot:
            request = self._with_snapshot(request, form)
        if captured is None:
            return request
        environment, are_all = captured
        clean_env = request.spec.clean_env and not are_all
        spec = replace(request.spec, environment=environment, clean_env=clean_env)
        return replace(request, spec=spec)

    def _usage_for(self, form: RequestForm) -> Usage:
        """Return what commands used before, which is looked up once for the jobs of one form."""
        from queuectl.queue.usage import Usage  # where a setting says so

        if self._usage is None or self._usage[0] is not form:
            self._usage = form, Usage(self._store)
        return self._usage[1]

    def _with_snapshot(self, request: Request, form: RequestForm) -> Request:
        """Return a request for a job that runs in a snapshot of the work tree as it is now.

        The jobs of one form have it together. Raises InvalidInput where there is no work tree.
        """
        from queuectl.queue.snapshots import SnapshotTaker, require_work_tree, sweep  # of few jobs

        if self._home is None:
            raise InvalidInput("snapshot is for jobs that are enqueued from a work tree")
        if form.is_trial:
            require_work_tree(request.spec.cwd or "/")
            return request
        if self._taker is None or self._taker[0] is not form:
            sweep(self._store, self._home)
            self._taker = form, SnapshotTaker(self._store, self._home)
        spec = request.spec
        snapshot, note = self._taker[1].of(spec.cwd or "/")
        notes = (*request.notes, note) if note else request.notes
        return replace(request, spec=replace(spec, snapshot=snapshot), notes=notes)

    def _within_hours(self, request: Request, hours: str) -> Request:
        """Return a request for a job that is due when its hours have come, with their zone named.

        Raises InvalidInput for a zone that is none.
        """
        from queuectl.system.hours import next_opening, with_zone  # few jobs name hours

        hours = with_zone("between", hours)
        request = replace(request, spec=replace(request.spec, between=hours))
        due = request.run_at or self._store.now()
        opening = next_opening(hours, due)
        return replace(request, run_at=opening, delayed=False) if opening > due else request

    def _with_environment(
        self, fields: Mapping[str, object], form: RequestForm
    ) -> tuple[Mapping[str, object], tuple[str, bool] | None]:
        """Return the fields of a job with what its `env_file` says in them, and no such field.

        The second value names the environment of this process, which is stored now, where
        `capture_env` asks for it, the field or the setting, and says whether that is all of it.
        For a trial there is none. Raises InvalidInput.
        """
        settings = form.settings
        if _ENVIRONMENT_FIELDS.isdisjoint(fields) and not settings.capture_env:
            return fields, None
        from queuectl.queue import environments

        fields = {_ALIASES.get(name, name): value for name, value in fields.items()}
        file = fields.pop("env_file", None)
        if file is not None:
            env = fields.get("env") or {}
            if not isinstance(env, Mapping):
                raise InvalidInput("env must be an object of names and values")
            fields["env"] = {**environments.read_file(check_text("env_file", file)), **env}
        asked = fields.pop("capture_env", None)
        if not (settings.capture_env if asked is None else as_flag("capture_env", asked)):
            return fields, None
        if as_flag("clean_env", fields.get("clean_env") or False):
            if asked is None:
                return fields, None
            raise InvalidInput("capture_env and clean_env exclude each other")
        if form.is_trial:
            return fields, None
        which = settings.capture_env_names, settings.capture_env_secrets
        if which not in self._captured:
            variables = environments.capture(os.environ, which[0], secrets=which[1])
            name = environments.name_of(variables)
            self._store.environments.save(name, variables)
            self._captured[which] = name, not environments.are_some(variables)
        return fields, self._captured[which]

    def of_call(
        self,
        jobs: Written | Iterable[Written] | None,
        fields: Mapping[str, object],
        *,
        replace: bool,
    ) -> Sequence[Request]:
        """Return what a call asks for, with one look at the settings for all of its jobs.

        Raises InvalidInput for a field that is wrong, TypeError for what is no job.
        """
        if type(jobs) is list and not (fields or replace) and {*map(type, jobs)} == {Request}:
            return cast("list[Request]", jobs)
        many = _as_list(jobs, fields)
        form = self.form(replace=replace)
        requests: list[Request] = []
        for number, job in enumerate(many, 1):
            if isinstance(job, Request):
                if fields or replace:
                    raise TypeError("a Request has its fields already; give them to queue.request")
                requests.append(job)
                continue
            try:
                requests.append(self.of(_fields_of(job, fields), form))
            except InvalidInput as fault:
                where = f"job {number}: " if len(many) > 1 else ""
                raise InvalidInput(f"{where}{fault}", fault.hint) from None
        return requests


def _as_list(
    jobs: Written | Iterable[Written] | None, fields: Mapping[str, object]
) -> list[Written]:
    """Return the jobs of a call, of which there may be one. Raises TypeError for other things.

    A call that names fields alone, a command among them, names one job.
    """
    if jobs is None and "command" in fields:
        return [{}]
    if isinstance(jobs, (str, Mapping, Request)):
        return [jobs]
    if isinstance(jobs, (bytes, bytearray, memoryview)) or not isinstance(jobs, Iterable):
        raise TypeError(f"enqueue takes {_FORMS}, or a list of these, not {_kind(jobs)}")
    found = list(jobs)
    for number, job in enumerate(found, 1):
        if not isinstance(job, (str, Mapping, Request)):
            raise TypeError(
                f"enqueue takes {_FORMS}, or a list of these; number {number} of the list is "
                f"{_kind(job)}; {_ARGUMENTS}"
            )
    return found


def as_one(job: Written | None, fields: Mapping[str, object]) -> Written:
    """Return the one job of a call. Raises TypeError for several, and for other things."""
    if job is None and "command" in fields:
        return {}
    if isinstance(job, (str, Mapping, Request)):
        return job
    raise TypeError(f"enqueue_one takes {_FORMS}, not {_kind(job)}; {_ARGUMENTS}")


def _fields_of(job: str | Mapping[str, object], more: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of one job with those that the call names for all, which go before.

    It runs in the directory that this program is in, unless it names another.
    """
    fields = {**({"command": job} if isinstance(job, str) else job), **more}
    cwd = fields.get(_cwd_field(fields))
    if isinstance(cwd, str) and os.path.isabs(cwd):  # noqa: PTH117  # few commands load pathlib
        return fields
    return absolute_cwd(fields, str(working_directory()))


def absolute_cwd(fields: dict[str, object], cwd: str) -> dict[str, object]:
    """Return the fields with a working directory that means the same on every host and day.

    `cwd` is the enqueuer's own, used where none is named.
    """
    name = _cwd_field(fields)
    asked = fields.get(name)
    if asked is not None and not isinstance(asked, str):
        return fields  # refused with the field's name where fields are checked
    return {**fields, name: os.path.join(cwd, asked) if asked else cwd}  # noqa: PTH118  # a str with its dots


def _cwd_field(fields: Mapping[str, object]) -> str:
    """Return how the working directory is spelled among some fields, `cwd` where it is not."""
    if fields.keys() <= CHECKS.keys():
        return "cwd"
    spelled = (word for word in fields if isinstance(word, str) and word.strip().lower() == "cwd")
    return next(spelled, "cwd")


def _kind(value: object) -> str:
    """Return what a value is, as one says it: `an int`, `a list`."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"
