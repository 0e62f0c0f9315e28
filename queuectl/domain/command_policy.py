"""Which commands may run here: two settings with patterns, asked at enqueue and again at run."""

from __future__ import annotations

from functools import lru_cache

from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import Command
from queuectl.domain.job_fields import command_text
from queuectl.domain.settings import Settings


@lru_cache(maxsize=8)
def patterns(text: str) -> tuple[str, ...]:
    """Return the patterns in a setting: one a line, or with commas between them on one line."""
    parts = text.splitlines() if "\n" in text else text.split(",")
    return tuple(part.strip() for part in parts if part.strip())


def refusal(command: Command, settings: Settings) -> str | None:
    """Return why a command may not run, or None. A pattern must fit the whole command.

    `*` stands for anything, blanks and further commands included; `?` for one character.
    """
    if not settings.denied_commands and not settings.allowed_commands:
        return None
    from fnmatch import fnmatchcase

    text = command_text(command).strip()
    for pattern in patterns(settings.denied_commands):
        if fnmatchcase(text, pattern):
            return f"denied_commands has '{pattern}'"
    allowed = patterns(settings.allowed_commands)
    if allowed and not any(fnmatchcase(text, pattern) for pattern in allowed):
        return f"it fits none of allowed_commands: {', '.join(allowed)}"
    return None


def require_allowed(command: Command, settings: Settings) -> None:
    """Raise InvalidInput for a command that the settings do not let run."""
    why = refusal(command, settings)
    if why:
        raise InvalidInput(
            f"this command is not allowed here: {why}",
            hint="queuectl config get shows what is",
        )
