"""What a worker is started for, and at what pace it does that."""

from __future__ import annotations

from queuectl.domain.frozen import frozen
from queuectl.domain.settings import Settings


@frozen
class Timings:
    """The pace of workers, in seconds. Nobody but a test needs another than this.

    Whoever starts workers hands it in; none of it is a setting or in the environment.
    """

    together: float = 0.04
    """A worker claims as many short jobs at once as it runs in this time: long enough for one
    transaction to serve several, and so short that nobody else is kept waiting for them."""

    stale: float = 0.1
    """A job that was claimed so long ago and has not begun is given back, and what ended so long
    ago is committed."""

    quick: float = 0.02
    """A command that takes longer has log files by name, and no other jobs wait behind it."""

    lock: float = 10.0
    """How long a write waits for others that write into an embedded store."""

    leave: float = 1.0
    """How long the last worker goes on with events before it leaves; whoever reads figures, or the
    next worker, does the rest."""

    ask_again: float = 5.0
    """The first wait of a job that may not start yet; each further one is twice as long."""

    longest_pause: float = 5.0
    """The longest wait until a store, or the disk for the logs of jobs, is tried again."""


USUAL = Timings()


@frozen
class WorkerOptions:
    """What a worker is started for: any queue unless `queues`, one job with `only`.

    With `drain` it leaves when nothing is due, running or awaiting its retry. `concurrency` is how
    many jobs it runs at once; None follows the setting, as that is changed. With `suspects` it runs
    suspects alone, and leaves when there are none. `resources` is what its host has, as pairs of
    names and texts; a worker without any takes no jobs that need something of a host.
    """

    queues: tuple[str, ...] = ()
    drain: bool = False
    only: str | None = None
    show_output: bool = False
    concurrency: int | None = None
    suspects: bool = False
    resources: tuple[tuple[str, str], ...] = ()
    timings: Timings = USUAL

    @property
    def passing(self) -> bool:
        """Whether it leaves by itself when what it was started for is done."""
        return self.drain or self.suspects or self.only is not None

    def slots(self, settings: Settings) -> int:
        """Return how many jobs it runs at once under the settings in force."""
        if self.only is not None:
            return 1
        return settings.concurrency if self.concurrency is None else self.concurrency
