"""Telling systemd how a service is: the protocol of sd_notify(3), a datagram to a socket.

Its address is in the environment, which is cleared of it: nothing that a service starts may speak
in its name.
"""

from __future__ import annotations

import os

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What systemd puts into the environment of a service, for its main process alone."""


class Notifier:
    """Whom a service tells how it is; nobody, where no address is given.

    `watchdog` is within how many seconds it is to say again that it works, 0 where nobody asks.
    """

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = address
        self.watchdog = watchdog if address else 0.0

    @property
    def is_heard(self) -> bool:
        """Whether anybody is told."""
        return bool(self._address)

    def tell(self, *lines: str) -> bool:
        """Say something, such as `READY=1`; return whether it was taken. Never waits."""
        if not self._address:
            return False
        import socket  # which few that import this need

        # an address that begins with @ is in the abstract namespace, where that is a zero byte
        name = os.fsencode(self._address)
        name = b"\0" + name[1:] if name[:1] == b"@" else name
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto("\n".join(lines).encode(), socket.MSG_DONTWAIT, name)
        except OSError:
            return False
        return True


def notifier() -> Notifier:
    """Return whom this process is to tell; its environment does not say so any more.

    Addresses other than of Unix sockets are passed over, as is a watchdog of another process.
    """
    address, microseconds, pid = (os.environ.pop(name, "") for name in VARIABLES)
    if address[:1] not in ("/", "@"):
        return Notifier()
    is_watched = microseconds.isdecimal() and pid in ("", str(os.getpid()))
    return Notifier(address, int(microseconds) / 1_000_000 if is_watched else 0.0)
