"""Completion at the prompt: the same candidates that bash gets, from what is known already."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as TooLate

from click.shell_completion import CompletionItem
from prompt_toolkit.buffer import Buffer, CompletionState
from prompt_toolkit.completion import (
    CompleteEvent,
    Completer,
    Completion,
    get_common_complete_suffix,
)
from prompt_toolkit.document import Document

from queuectl.cli.completion import candidates
from queuectl.cli.completions import MOST_PATHS, paths_beginning
from queuectl.cli.session import Session
from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import Job, State
from queuectl.presentation.catalog import (
    MOST_JOBS,
    Catalog,
    Known,
    job_help,
    jobs_beginning,
    named_jobs,
)
from queuectl.presentation.follower import Follower
from queuectl.presentation.snapshot import Snapshot
from queuectl.shell.grammar import SHELL_WORDS
from queuectl.shell.tokenizer import Kind, scan, words_of

LOOKUP_SECONDS = 0.3
"""How long a completion that is made beside the keyboard waits for an answer of the store."""

_PLAIN = re.compile(r"[\w@%+=:,./~-]*", re.ASCII)


class SnapshotCatalog(Catalog):
    """Knows what the snapshot of a follower holds.

    With `may_ask` it waits a little for the store to tell what is not in there.
    """

    def __init__(self, follower: Follower, *, may_ask: bool) -> None:
        self._follower = follower
        self._may_ask = may_ask

    @property
    def snapshot(self) -> Snapshot:
        """What was seen last."""
        return self._follower.snapshot

    def jobs(self, word: str, states: frozenset[State]) -> Iterable[Known]:
        """Return jobs by their id; where none fits, by what is in their id or command."""
        snapshot = self.snapshot
        jobs = [job for job in snapshot.jobs if not states or job.state in states]
        fitting = {job.id: job for job in jobs if job.id.startswith(word)}
        is_partial = snapshot.counts.total > len(snapshot.jobs)
        if self._may_ask and is_partial and word and len(fitting) < MOST_JOBS:
            for job in self._look_up(word, states):
                fitting.setdefault(job.id, job)
        if not fitting and len(word) > 1:
            return named_jobs(job for job in jobs if word in job.id or word in job_help(job))
        return named_jobs(fitting.values())

    def _look_up(self, word: str, states: frozenset[State]) -> list[Job]:
        future = self._follower.ask(lambda queue: jobs_beginning(queue, word, states))
        try:
            return future.result(LOOKUP_SECONDS)
        except (CancelledError, QueuectlError, TooLate):
            future.cancel()
            return []


def knowing(session: Session, follower: Follower, *, may_ask: bool = True) -> Session:
    """Return a copy of a session that knows the snapshot, for lines that mean the same store."""
    catalog, nothing = SnapshotCatalog(follower, may_ask=may_ask), Catalog()

    def known(other: Session) -> Catalog:
        is_same = (other.home, other.store) == (session.home, session.store)
        return catalog if is_same else nothing

    copy = session.fork()
    copy.known = known
    return copy


class LineCompleter(Completer):
    """Completes the word before the cursor. `session` returns one that knows the snapshot.

    `knowledge` is compared before and after a search: one that began before something was
    learnt is made again.
    """

    def __init__(
        self, session: Callable[[], Session], knowledge: Callable[[], object] = lambda: None
    ) -> None:
        self._session = session
        self._knowledge = knowledge

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterator[Completion]:
        """Yield what may stand for the word before the cursor."""
        line = document.text_before_cursor
        if line.lstrip().startswith("!"):
            return
        tokens = scan(line)
        last = tokens[-1] if tokens and tokens[-1].end == len(line) else None
        if last is not None and last.kind is not Kind.WORD:
            return
        before = words_of(tokens[:-1] if last else tokens)
        word = last.text if last else ""
        start = last.start - len(line) if last else 0
        for item in self._items(before, word):
            # Options are many: unasked they would be in the way of whoever types on.
            if not word and item.value.startswith("-") and not event.completion_requested:
                return
            yield Completion(
                _as_typed(item.value),
                start_position=start,
                display=item.value,
                display_meta=item.help or "",
            )

    async def get_completions_async(
        self, document: Document, event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """Find them in a thread, and yield them all at once.

        No key comes between two of them, so that a menu is never taken for whole when it is not.
        """

        def search() -> list[Completion]:
            return list(self.get_completions(document, event))

        loop = asyncio.get_running_loop()
        while True:
            knew = self._knowledge()
            completions = await loop.run_in_executor(None, search)
            if knew == self._knowledge():
                break
        for completion in completions:
            yield completion

    def _items(self, before: list[str], word: str) -> Iterator[CompletionItem]:
        # An option and the beginning of its value may be one word: `--state=pen`.
        is_joined = word.startswith("--") and "=" in word
        option = f"{word.partition('=')[0]}=" if is_joined else ""
        for item in candidates(self._session(), before, word)[:MOST_PATHS]:
            values = [item.value]
            if item.type != "plain":
                values = paths_beginning(item.value, only_directories=item.type == "dir")
            for value in values:
                yield CompletionItem(option + value, help=item.help)
        if not before:
            for name, text in SHELL_WORDS.items():
                if name.startswith(word):
                    yield CompletionItem(name, help=text)


def _as_typed(value: str) -> str:
    """Return a word as it must be typed; a `~` stays outside of any quotes."""
    if _PLAIN.fullmatch(value):
        return value
    home, slash, rest = value.partition("/")
    if home.startswith("~") and slash:
        return home + slash + shlex.quote(rest)
    return shlex.quote(value)


def complete(buffer: Buffer, quick: Completer) -> None:
    """Put in what all candidates begin with, or else the first of them, the others below it."""
    document, shown = buffer.document, buffer.complete_state
    found: list[Completion] = list(shown.completions) if shown else []
    if not found:
        found = list(quick.get_completions(document, CompleteEvent(completion_requested=True)))
    if not found:
        buffer.start_completion(complete_event=CompleteEvent(completion_requested=True))
        return
    if len(found) == 1:
        buffer.complete_state = None
        buffer.apply_completion(found[0])
        if not found[0].display_text.endswith(("/", ",")) and not document.current_char.strip():
            buffer.insert_text(" ")
        return
    common = get_common_complete_suffix(document, found)
    if common:
        buffer.complete_state = None
        buffer.insert_text(common)
        return
    buffer.complete_state = CompletionState(document, found)
    buffer.complete_next()
