"""Metrics for Prometheus: as text, or served to be scraped."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from queuectl.cli.root import Command, examples
from queuectl.cli.session import Session, pass_session
from queuectl.domain.errors import InvalidInput, QueuectlError, StoreUnavailable, shown
from queuectl.presentation.console import print_hint, print_line

if TYPE_CHECKING:
    from queuectl.queue import Queue
    from queuectl.system.home import Location

_LOOPBACK = "127.0.0.1"
_LAST_PORT = 65_535


@examples("""
    queuectl metrics
    queuectl metrics --serve 9187
    queuectl metrics --serve 0.0.0.0:9187
""")
@click.command(cls=Command)
@click.option(
    "--serve",
    "address",
    metavar="[HOST:]PORT",
    help="Serve them at /metrics until stopped; on this machine alone unless a host is named.",
)
@pass_session
def metrics(session: Session, address: str | None) -> None:
    """Print metrics in the text format of Prometheus, or serve them over HTTP."""
    if address is not None:
        _serve(session, *_host_and_port(address))
        return
    from queuectl.queue.metrics import metrics_text

    sys.stdout.write(metrics_text(session.reading()))


def _serve(session: Session, host: str, port: int) -> None:
    """Serve until a signal asks to stop; the store is opened for each scrape anew."""
    from queuectl.queue import Queue
    from queuectl.queue.metrics_server import serving
    from queuectl.system.sd_notify import notifier

    place = session.location()
    Queue.look(place).close()  # what is wrong with it is told now
    shown_host = f"[{host}]" if ":" in host else host
    with _signals() as stopped:
        try:
            with serving(lambda: _existing(place), host, port) as bound:
                print_line(f"Serving metrics at http://{shown_host}:{bound}/metrics")
                sys.stdout.flush()
                print_hint("Ctrl-C stops it")
                notifier().tell("READY=1")
                stopped.wait()
        except OSError as fault:
            raise QueuectlError(
                f"cannot serve at {shown_host}:{port}: {fault.strerror or fault}",
                hint="name another port with --serve [HOST:]PORT",
            ) from None


def _existing(place: Location) -> Queue:
    """Open the store of a place to read. Raises StoreUnavailable where there is none."""
    from queuectl.queue import Queue

    queue = Queue.look(place)
    if queue.missing:
        queue.close()
        raise StoreUnavailable(queue.missing_hint)
    return queue


@contextlib.contextmanager
def _signals() -> Iterator[threading.Event]:
    """Let SIGINT and SIGTERM set an event, and mean what they did before once that is over."""
    stopped = threading.Event()
    before = {
        each: signal.signal(each, lambda *_: stopped.set())
        for each in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopped
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _host_and_port(address: str) -> tuple[str, int]:
    """Return what `9187`, `0.0.0.0:9187` or `[::1]:9187` means. Raises InvalidInput."""
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) <= _LAST_PORT):
        raise InvalidInput(
            f"cannot serve at {shown(address)}: a port is a number up to {_LAST_PORT}",
            hint="for example --serve 9187",
        )
    return host.strip("[]") or _LOOPBACK, int(port)
