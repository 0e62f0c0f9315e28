"""Sweeps: one command with placeholders and its values, stored as the jobs of one batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from queuectl.domain import settings as tunables
from queuectl.domain.errors import Conflict, InvalidInput, JobExists
from queuectl.domain.field_checks import check_batch, check_command
from queuectl.domain.frozen import frozen, replace
from queuectl.domain.request import require_allowed
from queuectl.domain.sweep import EAGER, Axis, Sweep
from queuectl.domain.sweep_names import INDEX
from queuectl.domain.sweep_texts import refuse_elsewhere
from queuectl.domain.sweep_words import array_axis, check_parameter, values_axis
from queuectl.queue.enqueue import checked, enqueue
from queuectl.queue.sweep_text import as_text, mappings_axis
from queuectl.stores.rules import require_in_use
from queuectl.system.ids import new_batch_name

if TYPE_CHECKING:
    from queuectl.domain.request import Request
    from queuectl.queue.requests import Requests
    from queuectl.queue.signing import Signer
    from queuectl.stores.base import Store


@frozen
class EnqueuedSweep:
    """What became of a sweep: the name of its batch, and how many jobs that has."""

    batch: str
    total: int


def sweep_of(
    requests: Requests,
    job: str | Mapping[str, object],
    fields: Mapping[str, object],
    *,
    array: str | range | None,
    params: Mapping[str, Iterable[object]] | None,
    rows: Iterable[Mapping[str, object]] | None,
) -> Sweep:
    """Return the sweep that a call of `Queue.sweep` means. Raises InvalidInput and TypeError."""
    if not isinstance(job, (str, Mapping)):
        raise TypeError(
            'sweep takes "job {}" or {"command": ["job", "{}"]}, one command with its fields, '
            f"not {job!r}"
        )
    axes: list[Axis] = []
    if isinstance(array, range):
        axes.append(Axis((INDEX,), ranges=(array,)))
    elif array is not None:
        axis, at_once = array_axis(array)
        if at_once is not None:
            raise InvalidInput(f"array {array!r}: how many run at once is named as at_once")
        axes.append(axis)
    for name, values in (params or {}).items():
        axes.append(values_axis(check_parameter(name), map(as_text, values)))
    if rows is not None:
        axes.append(mappings_axis(rows))
    (model,) = requests.of_call(job, fields, replace=False)
    return sweep_with(model, axes)


def sweep_with(model: Request, axes: Iterable[Axis]) -> Sweep:
    """Return the sweep of a request and its axes. Raises InvalidInput."""
    sweep = Sweep(model, [*axes])
    if not sweep.axes:
        raise InvalidInput("a sweep needs numbers or values", "array=, params= or rows=")
    refuse_elsewhere(model.spec, sweep.names, sweep.values)
    if model.replace:
        raise InvalidInput("the jobs of a sweep are new ones; they replace none")
    if model.spec.unique and not sweep.has_own("unique"):
        raise InvalidInput(
            f"all {sweep.total:,} jobs would have the unique key '{model.spec.unique}'",
            hint="put a placeholder into it, as in --unique 'train-{#}'",
        )
    return sweep


def enqueue_sweep(
    store: Store,
    sweep: Sweep,
    name: str | None = None,
    *,
    at_once: int | None = None,
    max_fails: int | None = None,
    signer: Signer | None = None,
) -> EnqueuedSweep:
    """Store the jobs of a sweep as a batch, all or none. Raises Conflict and InvalidInput.

    With a `signer` each job is made and signed at once, as nobody could sign it later.
    """
    batch = batch_name(sweep, name)
    spec = sweep.model.spec
    limits = replace(
        spec,
        batch=batch,
        at_once=spec.at_once if at_once is None else at_once,
        max_fails=spec.max_fails if max_fails is None else max_fails,
    )
    if limits != spec:
        sweep = Sweep(replace(sweep.model, spec=limits), sweep.axes)
    if sweep.total > EAGER and signer is None:
        from queuectl.queue import lazy  # of large ones only

        if not lazy.is_too_long(sweep):
            require_in_use(store)
            for request in requests_of(store, sweep, batch, 1, 1):
                checked(store, [request])
            lazy.begin(store, sweep, batch)
            return EnqueuedSweep(batch, sweep.total)
    try:
        enqueue(store, [*requests_of(store, sweep, batch)], atomic=True, signer=signer)
    except JobExists:
        raise Conflict(
            f"there is a batch '{batch}' already, or a job with an id that one of it would have",
            hint="name another one with --batch",
        ) from None
    return EnqueuedSweep(batch, sweep.total)


def batch_name(sweep: Sweep, name: str | None) -> str:
    """Return the name of a sweep's batch: the one given, or that of its model, or a new one."""
    name = name or sweep.model.spec.batch
    return check_batch("batch", name) if name else new_batch_name()


def requests_of(
    store: Store, sweep: Sweep, batch: str, first: int = 1, last: int | None = None
) -> Iterator[Request]:
    """Yield the requests of a sweep's jobs: all, or those from one number to another.

    Raises InvalidInput for a command that is too long with its values, or is not allowed.
    """
    settings = tunables.from_stored(store.settings.all())
    is_restricted = bool(settings.allowed_commands or settings.denied_commands)
    for number in range(first, (sweep.total if last is None else last) + 1):
        request = sweep.request(number, batch)
        try:
            check_command("command", request.spec.command)
            if is_restricted:
                require_allowed(request.spec.command, settings)
        except InvalidInput as fault:
            raise InvalidInput(f"job {number}: {fault}", fault.hint) from None
        yield request
