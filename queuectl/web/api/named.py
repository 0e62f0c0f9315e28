"""What stands by its name until it is removed: schedules and hooks, which are steered alike."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol

from queuectl.domain.frozen import frozen
from queuectl.domain.hooks import as_dict as hook_as_dict
from queuectl.domain.job import Job
from queuectl.domain.schedule import as_dict as schedule_as_dict
from queuectl.domain.times import iso
from queuectl.domain.views import as_dict
from queuectl.queue import Queue
from queuectl.web.api.endpoint import Arguments, Endpoint
from queuectl.web.api.params import PATH, Param
from queuectl.web.api.schemas import NAME, array, named

COMING = 3
RUNS = 10

Shown = dict[str, Any]


class Steered(Protocol):
    """The use cases that `Queue.schedules` and `Queue.hooks` have in common."""

    def all(self) -> list[Any]:
        """Return every one, by name."""

    def get(self, name: str) -> Any:
        """Return one. Raises NotFound."""

    def pause(self, name: str) -> Any:
        """Let it do nothing; return it. Raises NothingDone."""

    def resume(self, name: str) -> Any:
        """Let it go on; return it. Raises NothingDone."""

    def remove(self, name: str) -> None:
        """Forget it. Raises NotFound."""


@frozen
class Kind:
    """One of the two: what it is called, where its use cases are, and how one is told of.

    `parts` is what is told of one alone, beside what a list tells.
    """

    word: str
    plural: str
    of: Callable[[Queue], Steered]
    as_dict: Callable[[Any], Shown]
    parts: Callable[[Queue, Any], Shown]
    about_one: str
    about_pause: str
    about_resume: str
    about_remove: str

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return what can be asked for: the list, one, and each change of one."""
        path, one = f"/{self.plural}", f"/{self.plural}/{{name}}"
        shape, title = named(self.word.title()), self.word.title()
        name = (Param("name", PATH, NAME, f"the name of a {self.word}", True),)
        return (
            Endpoint(f"list{title}s", "GET", path, f"List the {self.plural}.",
                     self._list, array(shape)),
            Endpoint(f"get{title}", "GET", one, self.about_one,
                     self._get, named(f"{title}Shown"), name),
            Endpoint(f"pause{title}", "POST", f"{one}/pause", self.about_pause,
                     self._pause, shape, name, told=self._told("Paused")),
            Endpoint(f"resume{title}", "POST", f"{one}/resume", self.about_resume,
                     self._resume, shape, name, told=self._told("Resumed")),
            Endpoint(f"remove{title}", "DELETE", one, self.about_remove,
                     self._remove, named("Deleted"), name, told=self._told("Removed")),
        )  # fmt: skip

    def _list(self, queue: Queue, _asked: Arguments) -> Any:
        return [self.as_dict(each) for each in self.of(queue).all()]

    def _get(self, queue: Queue, asked: Arguments) -> Any:
        found = self.of(queue).get(asked["name"])
        return {**self.as_dict(found), **self.parts(queue, found)}

    def _pause(self, queue: Queue, asked: Arguments) -> Any:
        return self.as_dict(self.of(queue).pause(asked["name"]))

    def _resume(self, queue: Queue, asked: Arguments) -> Any:
        return self.as_dict(self.of(queue).resume(asked["name"]))

    def _remove(self, queue: Queue, asked: Arguments) -> Any:
        self.of(queue).remove(asked["name"])
        return {"deleted": asked["name"]}

    def _told(self, done: str) -> Callable[[Arguments, Any], str]:
        return lambda asked, _answer: f"{done} {self.word} '{asked['name']}'"


def _jobs(queue: Queue, jobs: list[Job]) -> list[Shown]:
    now, wait_context = queue.now(), queue.wait_context()
    return [as_dict(job, now, wait_context) for job in jobs]


def _of_schedule(queue: Queue, found: Any) -> Shown:
    schedules = queue.schedules
    runs = list(islice(schedules.runs(found.name, RUNS), RUNS))
    coming = [iso(instant) for instant in schedules.coming(found, COMING)]
    return {"next": coming, "jobs": _jobs(queue, runs)}


def _of_hook(queue: Queue, found: Any) -> Shown:
    return {"deliveries": _jobs(queue, list(queue.hooks.deliveries(found.name, RUNS)))}


_SCHEDULE = Kind(
    "schedule", "schedules", lambda queue: queue.schedules, schedule_as_dict, _of_schedule,
    about_one="Show one schedule, when it is due, and the jobs of its latest runs.",
    about_pause="Enqueue no more runs.",
    about_resume="Go on with the next run.",
    about_remove="Forget a schedule; the jobs of its runs stay.",
)  # fmt: skip
_HOOK = Kind(
    "hook", "hooks", lambda queue: queue.hooks, hook_as_dict, _of_hook,
    about_one="Show one hook, without its secrets, and the jobs that delivered what it told.",
    about_pause="Tell nothing until the hook is resumed.",
    about_resume="Tell again what happens from now on.",
    about_remove="Forget a hook, with its secrets; deliveries that still wait are not made.",
)  # fmt: skip

STANDING = (*_SCHEDULE.endpoints(), *_HOOK.endpoints())
"""Everything about schedules and hooks."""
