"""One entry of the API: where it is, what it is told, what it does, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from queuectl.domain.frozen import frozen
from queuectl.queue import Queue
from queuectl.web.api.params import PATH, Param, Schema
from queuectl.web.api.schemas import NAME

Arguments = Mapping[str, Any]
"""The values of an endpoint's parameters, by their names; those not given are not there."""


def _nothing(_asked: Arguments, _answer: Any) -> str:
    return ""


@frozen
class Endpoint:
    """What a method on a path below /api does; `{name}` in the path is a parameter.

    `act` returns the answer as JSON knows it; `told` says what became of a change in one line.
    """

    name: str
    method: str
    path: str
    about: str
    act: Callable[[Queue, Arguments], Any]
    answer: Schema
    params: tuple[Param, ...] = ()
    status: int = 200
    told: Callable[[Arguments, Any], str] = _nothing

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET"


JOB_ID = Param("id", PATH, NAME, "the id of a job, or a prefix of one that was made", True)
QUEUE_NAME = Param("name", PATH, NAME, "the name of a queue", True)
SETTING_KEY = Param("key", PATH, {"type": "string", "maxLength": 64}, "a setting", True)
WORKER_ID = Param("id", PATH, NAME, "the id of a worker", True)
