"""The environment of a worker's jobs, and what is not run in any."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from queuectl.domain.hooks import hook_of
from queuectl.domain.job import Job
from queuectl.domain.request import command_refusal
from queuectl.domain.settings import Settings
from queuectl.domain.sweep_names import variables_of
from queuectl.queue import environments
from queuectl.stores.base import Store
from queuectl.system import sd_notify
from queuectl.system.home import SIGNING_VARIABLES, STORE_VARIABLES
from queuectl.system.run_mark import RUN_ID_VARIABLE

if TYPE_CHECKING:
    from queuectl.queue.signing import Verifier

CLEAN = ("PATH", "HOME", "LANG")
"""What a job with a clean environment still gets of its worker's."""

_REMEMBERED = 16
_RUN_ID = RUN_ID_VARIABLE.encode()

_TERM, _DUMB, _USUAL_TERM = b"TERM", b"dumb", b"xterm-256color"

_OF_THE_WORKERS = frozenset(
    {*STORE_VARIABLES, *sd_notify.VARIABLES, *SIGNING_VARIABLES, "PWD", "OLDPWD"}
)
"""What no job inherits: where the store is, where its worker was started, and as which service."""

_GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
"""What says to programs which GPUs are theirs: those of NVIDIA, of AMD and of Intel."""

_DOTS = re.compile(r"/\.{0,2}(/|$)")
"""What a path has in it that is not the short way to a directory."""


_Variables = tuple[tuple[str, str], ...]
Answer = Callable[[Callable[[], "_Variables | None"]], "_Variables | None"]
"""How to ask a store, which may be away."""


class NotAllowed(Exception):
    """A run that is not begun, now or ever; the text says why."""


class Environment:
    """What the jobs of one worker get, less the store's address.

    The base is the worker's own environment, a few variables of that (`clean_env`), or one that
    was captured, which the store has by its name; a job's own variables go over it. `PWD`
    is the job's own directory, and `OLDPWD` nowhere, as a shell would have it that begins there.
    """

    def __init__(
        self, worker_id: str, store: Store, answer: Answer, verifier: Verifier | None = None
    ) -> None:
        self._verifier = verifier
        own = {"QUEUECTL_WORKER_ID": worker_id}
        inherited = {k: v for k, v in os.environ.items() if k not in _OF_THE_WORKERS}
        clean = {name: inherited[name] for name in CLEAN if name in inherited}
        self._inherited = _encoded({**inherited, **own})
        self._clean = _encoded({**clean, **own})

        @lru_cache(maxsize=_REMEMBERED)
        def base_of(name: str, is_clean: bool) -> dict[bytes, bytes]:
            variables = answer(partial(store.environments.get, name))
            if variables is None:
                raise NotAllowed(f"Captured environment {name} is not in the store")
            if verifier and environments.name_of(variables) != name:
                raise NotAllowed(f"Captured environment {name} is not what was captured")
            whole = environments.over(variables, clean if is_clean else inherited)
            kept = {k: v for k, v in whole.items() if k not in _OF_THE_WORKERS}
            return _encoded({**kept, **own})

        self._base_of = base_of

    def of(self, job: Job, claim_id: str, settings: Settings, result: str) -> dict[bytes, bytes]:
        """Return the environment of one run, as the system takes it. Raises NotAllowed.

        `result` is the path at which it may leave one. What has the id of a delivery and is none
        was brought in past all checks.
        """
        spec = job.spec
        if hook_of(spec.id) is not None:
            raise NotAllowed("its id belongs to the deliveries of hooks")
        if self._verifier and (refused := self._verifier.refusal(spec)):
            raise NotAllowed(refused)
        why = command_refusal(spec.command, settings)
        if not why and spec.preflight is not None:
            why = command_refusal(spec.preflight, settings)
        if why:
            raise NotAllowed(f"Command is not allowed: {why}")
        return {
            **(self._base(job) if not spec.pty else _on_terminal(self._base(job))),
            **({} if spec.clean_env else {b"PWD": _directory(spec.cwd)}),
            **(_encoded(dict(spec.env)) if spec.env else {}),
            **(_resources(job) if spec.needs else {}),
            **(_encoded(variables_of(spec)) if spec.batch else {}),
            b"QUEUECTL_JOB_ID": spec.id.encode(),
            b"QUEUECTL_ATTEMPT": b"%d" % job.attempts,
            b"QUEUECTL_QUEUE": spec.queue.encode(),
            b"QUEUECTL_RESULT": result.encode(errors="surrogateescape"),
            _RUN_ID: claim_id.encode(),
        }

    def _base(self, job: Job) -> dict[bytes, bytes]:
        if job.spec.environment is not None:
            return self._base_of(job.spec.environment, job.spec.clean_env)
        return self._clean if job.spec.clean_env else self._inherited


def _resources(job: Job) -> dict[bytes, bytes]:
    """Return what tells a run which resources it holds; which GPUs in the words of each vendor.

    They are numbered as the driver and its tools number them, by their place on the bus.
    """
    from json import dumps

    from queuectl.domain.resources import as_dict, gpus_held

    holding = job.claim.holding if job.claim else None
    if holding is None:
        return {}
    variables = {"QUEUECTL_RESOURCES": dumps(as_dict(holding.units))}
    if gpus := ",".join(gpus_held(holding.units)):
        variables |= dict.fromkeys(_GPU_VARIABLES, gpus) | {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return _encoded(variables)


def _on_terminal(base: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Return an environment that names the terminal which a run has, if it names none.

    The size of whichever terminal its worker was started on is that of another.
    """
    kept = {name: value for name, value in base.items() if name not in (b"LINES", b"COLUMNS")}
    if kept.get(_TERM, _DUMB) == _DUMB:
        kept[_TERM] = _USUAL_TERM
    return kept


def _directory(cwd: str | None) -> bytes:
    """Return a working directory as a shell shows it: the whole way, without dots."""
    if not cwd:
        return b"/"
    return os.fsencode(os.path.realpath(cwd) if len(cwd) > 1 and _DOTS.search(cwd) else cwd)


def _encoded(variables: Mapping[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}
