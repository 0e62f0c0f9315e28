"""Asking before something that cannot simply be taken back."""

from __future__ import annotations

import sys

import click

from queuectl.domain.errors import InvalidInput, NothingDone

yes_option = click.option("--yes", "-y", is_flag=True, help="Ask no question.")


def is_asked() -> bool:
    """Whether there is a person who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, yes: bool, otherwise: str, hint: str) -> None:
    """Ask a person, unless `yes` was said already; `hint` is how to say it on the command line.

    Raises NothingDone, in the words of `otherwise`, when the answer is no, InvalidInput where
    nobody can be asked.
    """
    if yes:
        return
    if not is_asked():
        raise InvalidInput(f"{question} Nobody can be asked here, and --yes was not said", hint)
    if not click.confirm(question, err=True):
        raise NothingDone(otherwise)
