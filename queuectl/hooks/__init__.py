"""How the message of a hook goes out: by webhook, by mail, by a service, into a command."""

from __future__ import annotations

_WORTH_A_RETRY = frozenset({408, 425, 429})

LONGEST_WAIT = 86_400.0
"""So many seconds a receiver may ask to be left alone at most."""


class DeliveryError(Exception):
    """An event did not arrive; the text says why and holds no secret.

    `is_final` says that another try would end the same, `retry_after` that the receiver has asked
    for none within so many seconds.
    """

    def __init__(self, why: str, *, is_final: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(why)
        self.is_final = is_final
        self.retry_after = retry_after


def is_final_status(status: int) -> bool:
    """Whether an HTTP status would be the same at another try."""
    return 300 <= status < 500 and status not in _WORTH_A_RETRY
