"""Jobs on the move: out of a store, into one, and from one to another."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import click

from queuectl.cli import job_input
from queuectl.cli.completions import PathName
from queuectl.cli.filters import confirm, filter_of, filter_options, yes_option
from queuectl.cli.progress import Progress
from queuectl.cli.root import Command
from queuectl.cli.session import Session, pass_session, print_error, print_hint, print_line
from queuectl.cli.signals import ended_by_signals
from queuectl.domain.errors import ExitCode, InvalidInput, NotFound
from queuectl.domain.query import Filter
from queuectl.domain.text import without_passwords
from queuectl.system.home import cannot, find_location, open_private, working_directory

STANDARD_OUTPUT = "-"


@click.command(
    cls=Command,
    epilog="""
    queuectl export backup.jsonl
    queuectl export --state dead --queue imports | gzip > dead.jsonl.gz
    """,
)
@click.argument("file", required=False, type=PathName(), metavar="[FILE]")
@filter_options("Only jobs in these states.", careful=False, deliveries=False)
@click.option("--mask", is_flag=True, help="Hide secrets; such an export cannot be imported.")
@pass_session
def export(session: Session, /, file: str | None, mask: bool, **options: Any) -> None:
    """Write jobs, settings, queues and schedules as JSON lines."""
    if file == "":
        raise InvalidInput("FILE must not be empty", hint="queuectl export backup.jsonl")
    queue = session.reading()
    chosen = filter_of(options, queue.now())
    is_shown = file in (None, STANDARD_OUTPUT) and sys.stdout.isatty()
    if is_shown and not mask:
        print_hint("secrets are masked on a terminal: queuectl export FILE writes all")
    from queuectl.transfer.export import lines

    found = lines(queue.store, None if chosen == Filter() else chosen, masked=mask or is_shown)
    if file is None or file == STANDARD_OUTPUT:
        _write(found, sys.stdout)
        return
    working_directory(file)  # which may be gone
    with _replaced(Path(file)) as stream, Progress() as progress:
        written = _write(found, stream, progress)
    print_line(f"Exported {_told(written['job'], written['schedule'])} to {file}")


def _write(
    found: Iterator[dict[str, object]], stream: IO[str], progress: Progress | None = None
) -> Counter[object]:
    """Write lines; return how many there were of each type."""
    written = Counter[object]()
    for line in found:
        stream.write(json.dumps(line) + "\n")
        written[line["type"]] += 1
        if progress:
            progress.show(f"{written['job']:,} jobs exported")
    return written


def _told(jobs: int, schedules: int) -> str:
    """Return how many jobs there were, and schedules if any."""
    return f"{jobs:,} job(s)" + (f" and {schedules:,} schedule(s)" if schedules else "")


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[IO[str]]:
    """Open a file that takes the place of `path` whole, and that only its owner can read."""
    if path.is_dir() or not path.name:
        raise InvalidInput(f"{path} is a directory", hint="name a file in it")
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    try:
        with open(open_private(draft, os.O_WRONLY | os.O_EXCL), "w", encoding="utf-8") as stream:  # noqa: PTH123  # a descriptor
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except OSError as fault:
        raise cannot("write", path, fault) from fault
    finally:
        draft.unlink(missing_ok=True)


@click.command(
    "import",
    cls=Command,
    epilog="""
    queuectl import backup.jsonl
    zcat dead.jsonl.gz | queuectl import - --skip-existing
    """,
)
@click.argument("file", type=PathName(), metavar="FILE")
@click.option("--skip-existing", is_flag=True, help="Say nothing of what is there already.")
@pass_session
def import_jobs(session: Session, file: str, skip_existing: bool) -> int:
    """Read what `export` wrote into this store."""
    from queuectl.stores.rules import require_in_use
    from queuectl.transfer.import_lines import Intake, Taken

    items = job_input.from_file(file)  # before a store is made
    queue = session.queue()
    require_in_use(queue.store)
    intake = Intake(queue.store)
    stored, skipped, code = Counter[str](), 0, int(ExitCode.OK)

    def tell(taken: list[Taken]) -> None:
        nonlocal skipped, code
        for each in taken:
            if each.error is None:
                stored[each.kind] += 1
            elif each.existing and skip_existing:
                skipped += 1
            else:
                print_error(each.error, each.where)
                code = code or each.error.exit_code

    with Progress() as progress:
        for item in items:
            if item.fields is None:
                fault = item.error or InvalidInput("nothing to import")
                tell([Taken(item.where, fault)])
                continue
            tell(intake.take(item.where, item.fields))
            progress.show(f"{stored['job']:,} jobs imported")
        tell(intake.finish())
    print_line(f"Imported {_told(stored['job'], stored['schedule'])}")
    if skipped:
        print_hint(f"{skipped:,} skipped: they exist already")
    return code


@click.command(
    cls=Command,
    epilog="""
    queuectl migrate --to mongodb://db1/queuectl
    queuectl --store mongodb://db1/queuectl migrate --yes --to ./queue.db
    queuectl migrate --release
    """,
)
@click.option("--to", "url", type=PathName(), metavar="URL", help="An empty store: where to.")
@click.option("--force", is_flag=True, help="Even if workers elsewhere seem to live on a store.")
@click.option("--release", is_flag=True, help="Use this store again, though it was moved.")
@yes_option
@pass_session
def migrate(session: Session, url: str | None, force: bool, release: bool, yes: bool) -> int:
    """Move a whole store to another, and compare the two at the end."""
    if (url is None) != release:
        raise InvalidInput("name the store to move to, with --to URL (or --release this one)")
    from queuectl.stores import open_store
    from queuectl.stores.rules import require_in_use
    from queuectl.transfer import migration

    queue = session.reading()
    if queue.missing:
        raise NotFound(f"there is no store at {queue.missing}", hint="name it with --store")
    source = queue.store
    if url is None:
        was_moved = migration.release(source)
        print_line(f"{source.address} is in use again" if was_moved else "this store was not moved")
        return ExitCode.OK
    shown = without_passwords(url)
    confirm(
        f"Move {_told(queue.counts().total, len(source.schedules()))} and all else from "
        f"{source.address} to {shown}, and let this store refuse jobs then?",
        yes=yes,
        otherwise="nothing was moved",
        hint=f"queuectl migrate --yes --to {shown}",
    )
    store_url = find_location(store=url).store_url
    if not _is_there(store_url):
        require_in_use(source)  # or an empty store would be left there
        migration.require_no_workers(source, force=force)
    with ended_by_signals(), contextlib.closing(open_store(store_url)) as target:
        done = migration.Progress()
        with Progress() as progress:
            for done in migration.migrate(source, target, force=force):
                verb, count = (
                    ("compared", done.compared) if done.compared else ("moved", done.moved)
                )
                progress.show(f"{count:,} jobs {verb}")
        before = " before" if done.is_over else ""
        jobs = done.compared - done.deliveries
        print_line(f"Moved {_told(jobs, done.schedules)} to {target.address}{before}")
        print_line(f"Checksum {done.checksum[:16]} is the same in both")
        print_hint(f"{source.address} is left as it was, and refuses jobs and workers now")
        print_hint("to use it again all the same: queuectl migrate --release")
        print_hint("next: name the other store with --store, QUEUECTL_STORE or a line in .env")
    return ExitCode.OK


def _is_there(store_url: str) -> bool:
    """Whether there is a store already."""
    from queuectl.stores import open_existing

    found = open_existing(store_url)
    if found is not None:
        found.close()
    return found is not None
