"""Stopping a run in its place, and letting it go on; and how long it has run meanwhile."""

from __future__ import annotations

import time

from queuectl.system.run_processes import continue_run, freeze_run


class RunTimer:
    """The processes of one run, which a pause stops, and the time that counts for its limit."""

    def __init__(self, run_id: str, group: int, begun: float) -> None:
        self._run_id = run_id
        self._group = group
        self._begun = begun
        self._paused_at: float | None = None

    @property
    def is_paused(self) -> bool:
        """Whether the run is stopped in its place."""
        return self._paused_at is not None

    def seconds(self) -> float:
        """Return how long the run has worked, pauses left out."""
        return (time.monotonic() if self._paused_at is None else self._paused_at) - self._begun

    def follow(self, must_pause: bool) -> None:
        """Pause the run, or let it go on, where that is not so already."""
        if must_pause and self._paused_at is None:
            self._paused_at = time.monotonic()
            freeze_run(self._run_id, self._group)
        elif not must_pause and self._paused_at is not None:
            continue_run(self._run_id, self._group)
            self._begun += time.monotonic() - self._paused_at
            self._paused_at = None
