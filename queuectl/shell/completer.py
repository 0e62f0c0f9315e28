"""Completion at the prompt: the same candidates that bash gets, from what is known already."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import AsyncGenerator, Callable, Iterator

from click.shell_completion import CompletionItem
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from queuectl.cli.completion import candidates
from queuectl.cli.completions import MOST_PATHS, paths_beginning
from queuectl.cli.session import Session
from queuectl.shell.grammar import SHELL_WORDS
from queuectl.shell.tokenizer import PROGRAM, Kind, scan

_PLAIN = re.compile(r"[\w@%+=:,./~-]*", re.ASCII)


def _nothing() -> None:
    """Know nothing that could change."""


class LineCompleter(Completer):
    """Completes the word before the cursor. `session` returns one that knows the snapshot.

    `knowledge` is compared before and after a search: one that began before something was
    learnt is made again.
    """

    def __init__(
        self, session: Callable[[], Session], knowledge: Callable[[], object] = _nothing
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
        before = [token.text for token in (tokens[:-1] if last else tokens)]
        word = last.text if last else ""
        start = last.start - len(line) if last else 0
        if before[:1] == [PROGRAM]:
            before = before[1:]
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

        def found() -> list[Completion]:
            return list(self.get_completions(document, event))

        loop = asyncio.get_running_loop()
        while True:
            knew = self._knowledge()
            completions = await loop.run_in_executor(None, found)
            if knew == self._knowledge():
                break
        for completion in completions:
            yield completion

    def _items(self, before: list[str], word: str) -> Iterator[CompletionItem]:
        for item in candidates(self._session(), before, word)[:MOST_PATHS]:
            if item.type == "plain":
                yield item if not _is_joined(word) else _joined(word, item)
                continue
            typed = item.value
            for path in paths_beginning(typed, only_directories=item.type == "dir"):
                found = CompletionItem(path)
                yield found if not _is_joined(word) else _joined(word, found)
        if not before:
            for name, text in SHELL_WORDS.items():
                if name.startswith(word):
                    yield CompletionItem(name, help=text)


def _is_joined(word: str) -> bool:
    """Whether an option and the beginning of its value are one word: `--state=pen`."""
    return word.startswith("--") and "=" in word


def _joined(word: str, item: CompletionItem) -> CompletionItem:
    return CompletionItem(f"{word.partition('=')[0]}={item.value}", help=item.help)


def _as_typed(value: str) -> str:
    """Return a word as it must be typed; a `~` stays outside of any quotes."""
    if _PLAIN.fullmatch(value):
        return value
    home, slash, rest = value.partition("/")
    if home.startswith("~") and slash:
        return home + slash + shlex.quote(rest)
    return shlex.quote(value)
