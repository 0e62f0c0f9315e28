"""Schedules and hooks: what stands by its name until it is removed, and is steered alike."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from queuectl.domain.errors import NotDelivered
from queuectl.domain.hooks import as_dict as hook_as_dict
from queuectl.domain.schedule import as_dict as schedule_as_dict
from queuectl.domain.times import iso
from queuectl.hooks import DeliveryError
from queuectl.queue import Queue
from queuectl.queue.hooks import Hooks
from queuectl.queue.schedules import Schedules
from queuectl.web.api.endpoint import PATH, Arguments, Endpoint, Param
from queuectl.web.api.read import as_dicts
from queuectl.web.api.schemas import NAME, TEXT, array, named, record

COMING = 3
RUNS = 10


def _endpoints(
    word: str,
    of: Callable[[Queue], Schedules | Hooks],
    as_dict: Callable[[Any], dict[str, Any]],
    details: Callable[[Queue, Any], dict[str, Any]],
    about: dict[str, str],
) -> tuple[Endpoint, ...]:
    """Return the list of a kind, one of it with its `details`, and each change of one."""
    title, path, one = word.title(), f"/{word}s", f"/{word}s/{{name}}"
    params = (Param("name", PATH, NAME, f"the name of a {word}", True),)

    def get(queue: Queue, arguments: Arguments) -> Any:
        record = of(queue).get(arguments["name"])
        return {**as_dict(record), **details(queue, record)}

    def remove(queue: Queue, arguments: Arguments) -> Any:
        of(queue).remove(arguments["name"])
        return {"deleted": arguments["name"]}

    def change(verb: str, done: str) -> Endpoint:
        return Endpoint(
            f"{verb}{title}", "POST", f"{one}/{verb}", about[verb],
            lambda queue, arguments: as_dict(getattr(of(queue), verb)(arguments["name"])),
            named(title), params,
            message=f"{done} {word} '{{name}}'",
        )  # fmt: skip

    return (
        Endpoint(f"list{title}s", "GET", path, f"List the {word}s.",
                 lambda queue, _arguments: [as_dict(each) for each in of(queue).all()],
                 array(named(title))),
        Endpoint(f"get{title}", "GET", one, about["get"], get, named(f"{title}Shown"), params),
        change("pause", "Paused"),
        change("resume", "Resumed"),
        Endpoint(f"remove{title}", "DELETE", one, about["remove"], remove, named("Deleted"), params,
                 message=f"Removed {word} '{{deleted}}'"),
    )  # fmt: skip


def _of_schedule(queue: Queue, schedule: Any) -> dict[str, Any]:
    runs = list(islice(queue.schedules.runs(schedule.name, RUNS), RUNS))
    coming = [iso(instant) for instant in queue.schedules.coming(schedule, COMING)]
    return {"next": coming, "jobs": as_dicts(queue, runs)}


def _test(queue: Queue, arguments: Arguments) -> dict[str, str]:
    name = arguments["name"]
    try:
        return {"hook": name, "delivered": queue.hooks.test(name)}
    except DeliveryError as fault:
        raise NotDelivered(f"hook '{name}': {fault}") from None


def _of_hook(queue: Queue, hook: Any) -> dict[str, Any]:
    return {"deliveries": as_dicts(queue, list(queue.hooks.deliveries(hook.name, RUNS)))}


NAMED = (
    *_endpoints("schedule", lambda queue: queue.schedules, schedule_as_dict, _of_schedule, {
        "get": "Show one schedule, when it is due, and the jobs of its latest runs.",
        "pause": "Enqueue no more runs.",
        "resume": "Go on with the next run.",
        "remove": "Forget a schedule; the jobs of its runs stay.",
    }),
    *_endpoints("hook", lambda queue: queue.hooks, hook_as_dict, _of_hook, {
        "get": "Show one hook, without its secrets, and the jobs that delivered what it told.",
        "pause": "Tell nothing until the hook is resumed.",
        "resume": "Tell again what happens from now on.",
        "remove": "Forget a hook, with its secrets; deliveries that still wait are not made.",
    }),
    Endpoint("testHook", "POST", "/hooks/{name}/test",
             "Deliver a made-up event from here, at once, and say what came of it.",
             _test, record("What came of it.", hook=TEXT, delivered=TEXT),
             (Param("name", PATH, NAME, "the name of a hook", True),),
             message="Hook '{hook}': delivered: {delivered}", is_slow=True),
)  # fmt: skip
