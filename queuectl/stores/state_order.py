"""Listings by state, which a store makes of listings in the order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from queuectl.domain.frozen import replace
from queuectl.domain.job import Job, State
from queuectl.domain.query import Filter, Order, Page

Find = Callable[[Filter, Page], Iterator[Job]]
"""Yields jobs in the order of arrival; see `Store.find`."""


def by_state(find: Find, chosen: Filter, page: Page) -> Iterator[Job]:
    """Yield the jobs of one state after those of another, each in order of arrival."""
    states = [state for state in State if state in (chosen.states or State)]
    left = page.limit
    for state in reversed(states) if page.newest_first else states:
        part = replace(page, order=Order.ARRIVAL, limit=left, after_seq=0)
        for job in find(replace(chosen, states=frozenset({state})), part):
            left = None if left is None else left - 1
            yield job
