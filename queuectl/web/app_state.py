"""What the handlers of one dashboard share."""

from __future__ import annotations

from pathlib import Path

from queuectl.system.home import Location
from queuectl.web.access import Failures, Policy, Sessions
from queuectl.web.live import Live
from queuectl.web.pool import Pool


class Board:
    """The threads that ask the store, the streams to browsers, and who has logged in.

    `token_file` is where the token can be read by whoever may.
    """

    def __init__(self, place: Location, policy: Policy, token_file: Path | None) -> None:
        self.location = place
        self.token_file = token_file
        self.policy = policy
        self.pool = Pool(place)
        self.live = Live(place)
        self.sessions = Sessions()
        self.failures = Failures()

    def close(self) -> None:
        """End streams and threads."""
        self.live.close()
        self.pool.close()
