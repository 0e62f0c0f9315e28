"""Named resources as tables and JSON show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from queuectl.domain.frozen import frozen
from queuectl.presentation.tables import Column
from queuectl.queue.resources import HolderView, ResourceView

_FLEET = "fleet"


@frozen
class ResourceLine:
    """One line of the table: a resource with one of those who hold of it, or nobody."""

    view: ResourceView
    holder: HolderView | None


def resource_lines(views: Sequence[ResourceView]) -> list[ResourceLine]:
    """Return a line for each holder of each resource, and for each that nobody holds."""
    return [ResourceLine(view, holder) for view in views for holder in (view.holders or (None,))]


def resource_columns() -> list[Column[ResourceLine]]:
    """Return the columns of a listing of resources."""
    return [
        Column("RESOURCE", lambda line: line.view.name),
        Column("OF", lambda line: line.view.host or _FLEET),
        Column("IN USE", lambda line: line.view.in_use),
        Column("HELD", lambda line: line.holder.units if line.holder else "-"),
        Column("JOB", lambda line: line.holder.job_id if line.holder else "-"),
        Column("WORKER", lambda line: line.holder.worker if line.holder else "-", yields=1),
        Column("CAPACITY", lambda line: line.view.capacity, yields=2),
    ]


def view_as_dict(view: ResourceView) -> dict[str, Any]:
    """Return a resource as `--json` prints it; `host` is null where it is the fleet's."""
    return {
        "name": view.name,
        "host": view.host or None,
        "capacity": view.capacity or None,
        "in_use": view.in_use.partition(" of ")[0],
        "held": [
            {
                "job": holder.job_id,
                "worker": holder.worker,
                "host": holder.host or None,
                "units": holder.units,
            }
            for holder in view.holders
        ],
    }
