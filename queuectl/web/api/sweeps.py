"""The endpoint that stores many jobs of one command."""

from __future__ import annotations

from typing import Any

from queuectl.domain.errors import InvalidInput
from queuectl.domain.sweep import Axis, job_id
from queuectl.domain.sweep_words import MAX_AT_ONCE, array_axis, check_parameter, values_axis
from queuectl.queue import Queue
from queuectl.queue.sweep_text import as_text, mappings_axis
from queuectl.queue.sweeps import sweep_with
from queuectl.web.api.change import without_own
from queuectl.web.api.endpoint import BODY, WHOLE_BODY, Arguments, Endpoint, Param
from queuectl.web.api.schemas import COUNT, TEXT, array, map_of, named, record

_OWN = (
    Param("array", BODY, TEXT, "a job of each number, as in 1-9:2; %8 lets 8 run at once"),
    Param("params", BODY, map_of(array({})), "the values of each parameter: all combinations"),
    Param("rows", BODY, array({"type": "object"}), "parameters whose values go together"),
    Param("at_once", BODY, {"type": "integer", "minimum": 1, "maximum": MAX_AT_ONCE},
          "how many of them may run at a time"),
    Param("max_fails", BODY, COUNT, "when more have failed, no more are begun"),
)  # fmt: skip


def _enqueue_sweep(queue: Queue, arguments: Arguments) -> dict[str, Any]:
    own = {param.name for param in _OWN}
    fields = {name: value for name, value in arguments["fields"].items() if name not in own}
    axes, at_once = _axes(arguments)
    model = queue.request(without_own(fields))
    name = model.spec.batch if model.spec.generated_id else model.spec.id
    result = queue.enqueue_sweep(
        sweep_with(model, axes),
        name,
        at_once=at_once or arguments.get("at_once"),
        max_fails=arguments.get("max_fails"),
    )
    first, last = job_id(result.batch, 1), job_id(result.batch, result.total)
    return {"batch": result.batch, "jobs": result.total, "first": first, "last": last}


def _axes(arguments: Arguments) -> tuple[list[Axis], int | None]:
    """Return the axes that a body names, and how many jobs may run at once, if its array says so.

    Raises InvalidInput.
    """
    axes: list[Axis] = []
    at_once: int | None = None
    if "array" in arguments:
        numbers, at_once = array_axis(arguments["array"])
        axes.append(numbers)
    if at_once is not None and arguments.get("at_once") is not None:
        raise InvalidInput(f"array {arguments['array']} and at_once say twice how many at once")
    for name, values in arguments.get("params", {}).items():
        if not isinstance(values, list):
            raise InvalidInput(f"params: the values of {name} must be an array")
        axes.append(values_axis(check_parameter(name), map(as_text, values)))
    if "rows" in arguments:
        axes.append(mappings_axis(arguments["rows"]))
    return axes, at_once


SWEEPS = (
    Endpoint("enqueueSweep", "POST", "/sweeps", "Store many jobs of one command, all or none.",
             _enqueue_sweep,
             record("A batch, and the ids of its first and last job.",
                    batch=TEXT, jobs=COUNT, first=TEXT, last=TEXT),
             (Param(WHOLE_BODY, BODY, named("Enqueue"),
                    "the fields of each job, with placeholders in the command", True), *_OWN),
             201, "Enqueued batch '{batch}' of {jobs} jobs"),
)  # fmt: skip
