"""Copies of the embedded store, and their way back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from queuectl.cli.completions import PathName
from queuectl.cli.filters import confirm, yes_option
from queuectl.cli.progress import progress_line
from queuectl.cli.root import Command, examples
from queuectl.cli.session import Session, pass_session
from queuectl.cli.transfer import jobs_and_schedules
from queuectl.domain.errors import ExitCode, InvalidInput
from queuectl.domain.text import counted
from queuectl.presentation.console import print_hint, print_line
from queuectl.system.home import working_directory
from queuectl.system.store_url import is_mongo, sqlite_path

if TYPE_CHECKING:
    from queuectl.transfer.backup import Contents
    from queuectl.transfer.restore import Restored
    from queuectl.transfer.restored_state import Found

_STOP_SECONDS = 60.0
_MOST_NAMED = 5
_ON_MONGO = {
    "backup": "mongodump copies that, and queuectl export FILE writes its jobs as lines",
    "restore": "mongorestore brings a dump back, and queuectl import FILE reads an export",
}


@examples("""
    queuectl backup ~/queue-monday.db
    queuectl backup /mnt/backup/queue.db && queuectl restore --dry-run /mnt/backup/queue.db
""")
@click.command(cls=Command)
@click.argument("file", type=PathName(), metavar="FILE")
@pass_session
def backup(session: Session, file: str) -> None:
    """Copy the whole embedded store into a new file, while workers work."""
    from queuectl.transfer.backup import back_up

    store = _embedded(session, "backup")
    with progress_line() as progress:
        contents = back_up(store, _named(file, "backup"), progress.show_copied)
    print_line(f"Backed up {_contents(contents)} to {file}")


@examples("""
    queuectl restore ~/queue-monday.db
    queuectl restore --dry-run ~/queue-monday.db
    queuectl restore --stop --paused --yes ~/queue-monday.db
""")
@click.command(cls=Command)
@click.argument("file", type=PathName(), metavar="FILE")
@click.option("--paused", is_flag=True, help="Leave all queues paused, so that nothing starts.")
@click.option("--catch-up", is_flag=True, help="Let schedules enqueue what they missed since.")
@click.option("--deliver", is_flag=True, help="Tell hooks what they were still to be told then.")
@click.option("--stop", is_flag=True, help="Stop this home's workers first, with their jobs.")
@click.option("--dry-run", is_flag=True, help="Check the file, and say what would be done.")
@yes_option
@pass_session
def restore(
    session: Session, /, file: str, stop: bool, dry_run: bool, yes: bool, **wishes: bool
) -> int:
    """Put a backup in the place of the embedded store, which is kept beside it."""
    from queuectl.transfer.restore import Restoration
    from queuectl.transfer.restored_state import Wishes

    _embedded(session, "restore")
    source, place = _named(file, "restore"), session.location()
    if stop and not dry_run:
        _stop_workers(session)
    with progress_line() as progress, Restoration.of(place, source, progress.show_copied) as ready:
        progress.clear()
        _warn_of_unreadable(ready.unreadable)
        contents = _contents(ready.found.contents)
        age = f", made {ready.found.made_at}" if ready.found.made_at else ""
        if dry_run:
            print_line(f"Would restore {contents} from {file}{age}")
            _tell_waiting(ready.found)
            return ExitCode.OK
        ready.refuse_workers()
        if ready.replaces:
            confirm(
                f"Replace everything in {place.store_url} by {contents}{age}?",
                yes=yes,
                otherwise="nothing was restored",
                hint=f"queuectl restore --yes {file}",
            )
        done = ready.finish(Wishes(**wishes))
    session.queue().note("restore", about=f"{contents}{age}")
    print_line(f"Restored {contents} from {file}{age}")
    _tell_waiting(ready.found)
    _tell(done)
    _warn_of_moves(ready.found)
    return ExitCode.OK


def _embedded(session: Session, verb: str) -> Path:
    """Return the file of the embedded store. Raises InvalidInput where the store is another."""
    url = session.location().store_url
    if is_mongo(url):
        raise InvalidInput(
            f"{verb} is for the embedded store, and this one is on MongoDB", hint=_ON_MONGO[verb]
        )
    return Path(sqlite_path(url))


def _named(file: str, verb: str) -> Path:
    if file in ("", "-"):
        raise InvalidInput("FILE must be the name of a file", hint=f"queuectl {verb} backup.db")
    working_directory(file)  # which may be gone
    return Path(file)


def _stop_workers(session: Session) -> None:
    from queuectl.worker.supervision import manager

    def tell(pid: int) -> None:
        print_line(f"Worker {pid} stopped")

    manager.stop(session.location(), now=True, timeout=_STOP_SECONDS, on_stopped=tell)


def _contents(of: Contents) -> str:
    return jobs_and_schedules(of.jobs, of.schedules)


def _tell_waiting(copy: Found) -> None:
    """Say how many jobs will run, and how many of them again."""
    if not copy.waiting:
        return
    line = f"{counted(copy.waiting, 'job')} in it will run"
    if copy.again is None or copy.over is None:
        print_line(f"{line}; which of them have run since cannot be known")
        return
    parts = [f"{copy.again:,} of them again"] if copy.again else []
    if copy.over:
        parts.append(f"{copy.over:,} although cancelled or deleted since")
    print_line(f"{line}: {', '.join(parts) or 'none of them again'}")


def _tell(done: Restored) -> None:
    """Say what was done besides."""
    settled = done.settled
    if settled.given_back:
        print_line(f"{settled.given_back:,} that ran at that time were given back")
    if settled.skipped:
        print_hint(f"what was due since then is not enqueued, of {', '.join(settled.skipped)}")
    if settled.undelivered:
        print_hint(f"{settled.undelivered:,} old deliveries to hooks were cancelled")
    if done.kept:
        print_line(f"The store as it was is kept as {done.kept}")
    if done.kept_logs:
        print_hint(f"logs of jobs that only that one knows are in {done.kept_logs}")
    if settled.paused:
        print_hint(f"all is paused: queuectl queue resume {' '.join(settled.paused)}")


def _warn_of_unreadable(ids: tuple[str, ...]) -> None:
    if ids:
        more = f" and {len(ids) - _MOST_NAMED:,} more" if len(ids) > _MOST_NAMED else ""
        named = f"{', '.join(ids[:_MOST_NAMED])}{more}"
        print_hint(f"jobs in it whose records cannot be read, and which will not run: {named}")


def _warn_of_moves(copy: Found) -> None:
    if copy.moved_to:
        was = "was being" if copy.is_moving else "had been"
        print_hint(
            f"it {was} moved to {copy.moved_to} and refuses jobs: "
            "queuectl migrate --release lets it be used again"
        )
    elif copy.is_arriving:
        print_hint(
            "another store was being moved there when it was made: it refuses jobs until all came"
        )
