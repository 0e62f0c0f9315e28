"""How the message of a hook goes out: by webhook, by mail, into a command."""

from __future__ import annotations


class DeliveryError(Exception):
    """An event did not arrive; the text says why and holds no secret.

    `is_final` says that another try would end the same.
    """

    def __init__(self, why: str, *, is_final: bool = False) -> None:
        super().__init__(why)
        self.is_final = is_final
