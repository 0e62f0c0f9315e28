"""Many jobs at once that are alike but for their ids and commands, kept as columns of these two.

A file of a million lines `{"id": …, "command": …}` never becomes a million requests and jobs: it
is checked, and a store may write it, a column at a time. Whoever wants one of them gets it made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, overload

from queuectl.domain.field_checks import are_plain_commands, are_plain_ids
from queuectl.domain.job import Job
from queuectl.domain.job_fields import Spec
from queuectl.domain.request import Request, RequestForm

_T = TypeVar("_T")
_Self = TypeVar("_Self", bound="_Alike[Any]")
_COMMAND_ALONE, _COMMAND_AND_ID = frozenset({"command"}), frozenset({"command", "id"})


class _Alike(Sequence[_T]):
    """A sequence of records that are all as `model`, each with an id and a command of its own."""

    __slots__ = ("commands", "ids", "model")

    def __init__(self, model: _T, ids: Sequence[str], commands: Sequence[str]) -> None:
        self.model = model
        self.ids = ids
        self.commands = commands

    def _made(self, job_id: str, command: str) -> _T:
        """Return one of the records."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, at: int) -> _T: ...

    @overload
    def __getitem__(self: _Self, at: slice) -> _Self: ...

    def __getitem__(self, at: int | slice) -> object:
        if isinstance(at, slice):
            return type(self)(self.model, self.ids[at], self.commands[at])
        return self._made(self.ids[at], self.commands[at])


class AlikeJobs(_Alike[Job]):
    """New jobs that wait for nothing but their time, and have no unique key."""

    __slots__ = ()

    def _made(self, job_id: str, command: str) -> Job:
        job = self.model
        spec = _with_own(job.spec, job_id, command)
        return Job(spec, job.state, job.run_at, job.created_at, job.updated_at, delayed=job.delayed)


class AlikeRequests(_Alike[Request]):
    """Requests for such jobs; `are_distinct` says that no id is there twice."""

    __slots__ = ()

    @property
    def are_distinct(self) -> bool:
        return len(set(self.ids)) == len(self.ids)

    def _made(self, job_id: str, command: str) -> Request:
        model = self.model
        spec = _with_own(model.spec, job_id, command)
        return Request(spec, model.run_at, model.notes, model.replace, model.delayed, model.hold)


def _with_own(spec: Spec, job_id: str, command: str) -> Spec:
    _, _, *others = (getattr(spec, name) for name in Spec.__match_args__)
    return Spec(job_id, command, *others)


def is_plain(model: Request) -> bool:
    """Whether jobs that are as this one need no look at other jobs, or at their queue."""
    spec = model.spec
    is_alone = not (
        spec.after
        or spec.after_any
        or spec.after_fail
        or spec.unique
        or spec.at_once
        or spec.max_fails
    )
    return is_alone and spec.slots == 1 and not (model.run_at or model.notes or model.hold)


def requests_of_columns(
    form: RequestForm, model: Request, ids: Sequence[object] | None, commands: Sequence[object]
) -> AlikeRequests | None:
    """Return the requests of jobs that name no more than a command and an id, or no ids at all.

    They are as the plain `model` otherwise, and looked at together, in a fraction of the time. None
    stands for jobs that `form.fill` has to look at one by one; it may find nothing wrong with them
    either.
    """
    if form.asks_by_command or not are_plain_commands(commands):
        return None
    model = replace(model, spec=replace(model.spec, generated_id=ids is None))
    if ids is None:
        return AlikeRequests(model, [form.new_id() for _ in commands], commands)
    return AlikeRequests(model, ids, commands) if are_plain_ids(ids) else None


def requests_of_mappings(
    form: RequestForm, model: Request, many: Sequence[Mapping[str, object]]
) -> AlikeRequests | None:
    """Return the requests of mappings, as `requests_of_columns` does."""
    kinds = {frozenset(wanted) for wanted in many}
    commands = [wanted.get("command") for wanted in many]
    if kinds == {_COMMAND_ALONE}:
        return requests_of_columns(form, model, None, commands)
    if kinds == {_COMMAND_AND_ID}:
        return requests_of_columns(form, model, [wanted["id"] for wanted in many], commands)
    return None
