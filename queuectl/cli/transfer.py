"""Jobs on the move: out of a store, into one, and from one to another."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

import click

from queuectl.cli import job_input
from queuectl.cli.completions import PathName
from queuectl.cli.enqueue_words import WrittenJob
from queuectl.cli.filters import confirm, filter_of, filter_options, yes_option
from queuectl.cli.moving import foreign_options, import_foreign
from queuectl.cli.progress import Progress, progress_line
from queuectl.cli.root import Command, examples
from queuectl.cli.session import Session, pass_session
from queuectl.domain.errors import ExitCode, InvalidInput, NotFound
from queuectl.domain.query import Filter
from queuectl.domain.text import counted, without_passwords
from queuectl.presentation.console import print_error, print_hint, print_line
from queuectl.system.home import cannot, find_location, open_private, working_directory

if TYPE_CHECKING:
    from queuectl.queue import Queue
    from queuectl.transfer.jsonl import Intake, Taken

STANDARD_OUTPUT = "-"
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@examples("""
    queuectl export backup.jsonl
    queuectl export --state dead --queue imports | gzip > dead.jsonl.gz
    queuectl export --to crontab
""")
@click.command(cls=Command)
@click.argument("file", required=False, type=PathName(), metavar="[FILE]")
@filter_options("Only jobs in these states.", careful=False, deliveries=False)
@click.option("--mask", is_flag=True, help="Hide secrets; such an export cannot be imported.")
@click.option(
    "--to",
    "target",
    metavar="FORMAT",
    help="As another program reads them: crontab (schedules), commands (jobs that wait).",
)
@pass_session
def export(
    session: Session, /, file: str | None, mask: bool, target: str | None, **options: Any
) -> None:
    """Write jobs, settings, queues and schedules as JSON lines."""
    if target is not None:
        from queuectl.cli.moving_out import check_target

        check_target(target)
    if file == "":
        raise InvalidInput("FILE must not be empty", hint="queuectl export backup.jsonl")
    queue = session.reading()
    chosen = filter_of(options, queue)
    is_shown = file in (None, STANDARD_OUTPUT) and sys.stdout.isatty()
    if is_shown and not mask:
        print_hint("secrets are masked on a terminal: queuectl export FILE writes all")
    if target is not None:
        _export_foreign(queue, target, chosen, file, masked=mask or is_shown)
        return
    from queuectl.transfer.jsonl import export_lines

    only = None if chosen == Filter() else chosen
    every = export_lines(queue.store, only, masked=mask or is_shown)
    if file is None or file == STANDARD_OUTPUT:
        _write(every, sys.stdout)
        return
    working_directory(file)  # which may be gone
    with _replaced(Path(file)) as stream, progress_line() as progress:
        written = _write(every, stream, progress)
    print_line(f"Exported {jobs_and_schedules(written['job'], written['schedule'])} to {file}")


def _export_foreign(
    queue: Queue, target: str, chosen: Filter, file: str | None, *, masked: bool
) -> None:
    from queuectl.cli.moving_out import write_foreign

    if file is None or file == STANDARD_OUTPUT:
        write_foreign(queue, target, chosen, sys.stdout, masked=masked)
        return
    working_directory(file)
    with _replaced(Path(file)) as stream:
        written = write_foreign(queue, target, chosen, stream, masked=masked)
    print_line(f"Exported {written} to {file}")


def _write(
    lines: Iterator[dict[str, object]], stream: IO[str], progress: Progress | None = None
) -> Counter[object]:
    """Write lines; return how many there were of each type, jobs not made yet among the jobs."""
    from queuectl.transfer.batch_lines import unmade_in

    written = Counter[object]()
    for line in lines:
        stream.write(json.dumps(line) + "\n")
        written[line["type"]] += 1
        if line["type"] == "batch":
            written["job"] += unmade_in(line)
        if progress:
            progress.show(f"{written['job']:,} jobs exported")
    return written


def jobs_and_schedules(jobs: int, schedules: int) -> str:
    """Return how many jobs there were, and schedules if any."""
    return counted(jobs, "job") + (f" and {counted(schedules, 'schedule')}" if schedules else "")


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


@examples("""
    queuectl import backup.jsonl
    zcat dead.jsonl.gz | queuectl import - --skip-existing
    crontab -l | queuectl import --from crontab - --dry-run
""")
@click.command("import", cls=Command)
@click.argument("file", type=PathName(), metavar="[FILE|-]", required=False)
@click.option("--skip-existing", is_flag=True, help="Say nothing of what is there already.")
@foreign_options
@pass_session
def import_jobs(
    session: Session, /, file: str | None, skip_existing: bool, source: str | None, **options: Any
) -> int:
    """Read what `export` wrote into this store, or what another program keeps."""
    if source is not None:
        return import_foreign(session, source, file, options)
    alone = [
        name for name, value in options.items()
        if value or (value is False and name in ("overlap", "system"))
    ]  # fmt: skip
    if alone:
        option = {"as_json": "json", "overlap": "no-overlap"}.get(alone[0], alone[0])
        raise InvalidInput(f"--{option.replace('_', '-')} goes with --from FORMAT")
    if file is None:
        raise InvalidInput("name the file to import", hint="queuectl import FILE, or --from FORMAT")
    return _import_export(session, file, skip_existing=skip_existing)


def _import_export(session: Session, file: str, *, skip_existing: bool) -> int:
    """Take in what `export` wrote; return the code of the first refusal."""
    from queuectl.stores.rules import require_in_use
    from queuectl.transfer.jsonl import Intake

    blocks = job_input.from_file(file)  # before a store is made
    queue = session.queue()
    require_in_use(queue.store)
    stored, skipped, code = Counter[str](), 0, int(ExitCode.OK)
    with progress_line() as progress:
        for taken in _take_in(chain.from_iterable(blocks), Intake(queue.store)):
            if taken.error is None:
                stored[taken.kind] += 1
                stored["job"] += taken.unmade
            elif taken.existing and skip_existing:
                skipped += 1
            else:
                print_error(taken.error, taken.where)
                code = code or taken.error.exit_code
            progress.show(f"{stored['job']:,} jobs imported")
    imported = jobs_and_schedules(stored["job"], stored["schedule"])
    if stored:
        queue.note("import", number=stored.total(), about=imported)
    print_line(f"Imported {imported}")
    if skipped:
        print_hint(f"{skipped:,} skipped: they exist already")
    return code


def _take_in(items: Iterable[WrittenJob], intake: Intake) -> Iterator[Taken]:
    """Bring lines in; yield what became of each."""
    from queuectl.transfer.jsonl import Taken

    for item in items:
        if item.fields is None:
            yield Taken(item.where, item.error or InvalidInput("nothing to import"))
        else:
            yield from intake.take(item.where, item.fields)
    yield from intake.finish()


@examples("""
    queuectl migrate --to mongodb://db1/queuectl
    queuectl --store mongodb://db1/queuectl migrate --yes --to ./queue.db
    queuectl migrate --release
""")
@click.command(cls=Command)
@click.option("--to", "url", type=PathName(), metavar="URL", help="An empty store: where to.")
@click.option("--force", is_flag=True, help="Even if workers elsewhere seem to live on a store.")
@click.option("--release", is_flag=True, help="Use this store again, though it was moved.")
@yes_option
@pass_session
def migrate(session: Session, url: str | None, force: bool, release: bool, yes: bool) -> int:
    """Move a whole store to another, and compare the two at the end."""
    if (url is None) != release:
        raise InvalidInput("name the store to move to, with --to URL (or --release this one)")
    from queuectl.queue.audit import Note, person, write
    from queuectl.stores import open_store
    from queuectl.stores.rules import require_in_use
    from queuectl.transfer import migration

    queue = session.reading()
    if queue.missing:
        raise NotFound(f"there is no store at {queue.missing}", hint="name it with --store")
    source = queue.store
    if url is None:
        was_moved = migration.release(source)
        if was_moved:
            queue.note("migrate release")
        print_line(f"{source.address} is in use again" if was_moved else "this store was not moved")
        return ExitCode.OK
    contents = jobs_and_schedules(queue.counts().total, len(source.schedules.all()))
    address = without_passwords(url)
    confirm(
        f"Move {contents} and all else from {source.address} to {address}, "
        "and let this store refuse jobs then?",
        yes=yes,
        otherwise="nothing was moved",
        hint=f"queuectl migrate --yes --to {address}",
    )
    store_url = find_location(store=url).store_url
    if not _is_there(store_url):
        require_in_use(source)  # or an empty store would be left there
        migration.require_no_workers(source, force=force)
    with _ended_by_signals(), contextlib.closing(open_store(store_url)) as target:
        done = migration.Progress()
        with progress_line() as progress:
            for done in migration.migrate(source, target, force=force):
                how_far = f"{done.compared:,} jobs compared" if done.compared else ""
                progress.show(how_far or f"{done.moved:,} jobs moved")
        before = " before" if done.is_over else ""
        jobs = done.compared - done.deliveries + done.unmade
        if not done.is_over:
            note = Note(target.now(), "migrate", number=jobs, about=f"from {source.address}")
            write(target, person(), [note])
        print_line(f"Moved {jobs_and_schedules(jobs, done.schedules)} to {target.address}{before}")
        print_line(f"Checksum {done.checksum[:16]} is the same in both")
        print_hint(f"{source.address} is left as it was, and refuses jobs and workers now")
        print_hint("to use it again all the same: queuectl migrate --release")
        print_hint("next: name the other store with --store, QUEUECTL_STORE or a line in .env")
    return ExitCode.OK


def _is_there(store_url: str) -> bool:
    """Whether there is a store already."""
    from queuectl.stores import open_existing

    store = open_existing(store_url)
    if store is not None:
        store.close()
    return store is not None


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise SystemExit with 128 and their number, as Ctrl-C raises.

    The first one counts: what it undoes is not disturbed by another. One that whoever started
    this process has it ignore, as `nohup` does, stays ignored.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    heard = [each for each in _ENDING_SIGNALS if signal.getsignal(each) != signal.SIG_IGN]
    before = {each: signal.signal(each, leave) for each in heard}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
