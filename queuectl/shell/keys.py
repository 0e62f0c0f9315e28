"""The keys that work otherwise here than at other prompts."""

from __future__ import annotations

from prompt_toolkit.application import get_app
from prompt_toolkit.buffer import Buffer, CompletionState
from prompt_toolkit.completion import (
    CompleteEvent,
    Completer,
    Completion,
    get_common_complete_suffix,
)
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, completion_is_selected, has_focus
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from queuectl.shell.tokenizer import is_continued


def bindings(quick: Completer) -> KeyBindings:
    """Return the keys. `quick` completes at once; whatever is typed after Tab comes after it."""
    keys = KeyBindings()
    at_prompt = has_focus(DEFAULT_BUFFER)

    @keys.add("enter", filter=at_prompt & completion_is_selected)
    def _take_completion(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @keys.add("enter", filter=at_prompt & ~completion_is_selected & ~Condition(_goes_on))
    def _accept(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("tab", filter=at_prompt & ~completion_is_selected)
    def _complete(event: KeyPressEvent) -> None:
        complete(event.current_buffer, quick)

    return keys


def _goes_on() -> bool:
    """Whether a final backslash before the cursor asks for another row."""
    document = get_app().current_buffer.document
    return document.is_cursor_at_the_end and is_continued(document.text)


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
