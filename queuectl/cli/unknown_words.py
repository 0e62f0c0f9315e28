"""What becomes of words that name no command, and of options that a command does not have."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterable, Iterator, Sequence

import click

from queuectl.cli.habits import ROWS, may_be_meant, nearest_command, ours_of, with_our_options
from queuectl.domain.errors import InvalidInput

_ALIKE = 0.6


def find_by_habit(
    group: click.Group, ctx: click.Context, args: list[str]
) -> tuple[str, click.Command, list[str]] | None:
    """Return what words of other tools stand for: its path, the command, and what follows.

    None: nobody knows the first word. Raises InvalidInput for one that is only told what to type.
    """
    top = ctx.find_root().command
    path = "" if group is top else str(group.name)
    ours = ours_of(path, args)
    if ours is None and path == "jobs":  # which holds commands of the top
        ours = ours_of("", args)
    if ours is None:
        return None
    found, names = top, list[str]()
    while ours and isinstance(found, click.Group):
        below = found.get_command(ctx, ours[0])
        if below is None:
            break
        found, names = below, [*names, str(below.name)]
        ours.pop(0)
    path_here = path.split()
    if names[: len(path_here)] == path_here:  # which is written before it again
        names = names[len(path_here) :] or names
    return " ".join(names), found, ours


def no_such_command(
    group: click.Group, ctx: click.Context, word: str, following: Sequence[str] = ()
) -> InvalidInput:
    """Return the refusal of a word that nobody knows, with the nearest command.

    One that rather is a command of the system is what somebody would have run as a job.
    """
    close = nearest_to(group, ctx, word)
    if group is ctx.find_root().command and _is_for_a_job(word, following, has_near=bool(close)):
        line = shlex.join([word, *following])
        hint = f"queuectl add {line} makes a job of it"
        return InvalidInput(f"no such command '{word}'", hint=hint)
    if close == word:  # which is one of ours, but not in this group
        close = f"{ctx.find_root().command_path} {close}".strip()
    return InvalidInput(
        f"no such command '{word}'" + (f" (did you mean '{close}'?)" if close else ""),
        hint=f"{ctx.command_path} --help lists the commands",
    )


def _is_for_a_job(word: str, following: Sequence[str], *, has_near: bool) -> bool:
    """Whether an unknown word is a line for the shell or a program, and no slip."""
    if " " in word:
        return True
    return shutil.which(word) is not None and (bool(following) or not has_near)


def nearest_to(group: click.Group, ctx: click.Context, word: str, more: Iterable[str] = ()) -> str:
    """Return the command that was most likely meant, here or in a group; empty if none was.

    `more` are further words that are known here.
    """
    top = ctx.find_root().command
    assert isinstance(top, click.Group)
    own = [*group.list_commands(ctx), *more]
    if group is top:
        own += [typed for typed, row in ROWS.items() if row.ours and " " not in typed]
    close = nearest_command(word, own, [*_paths_below(top, ctx)])
    # a command of the top, typed in a group, is not answered with the very word that was typed
    return f"queuectl {close}" if close == word else close


def _paths_below(group: click.Group, ctx: click.Context, path: str = "") -> Iterator[str]:
    """Yield the paths of all commands that groups hold, those of the top first."""
    names = group.list_commands(ctx)
    yield from (f"{path}{name}" for name in names)
    for name in names if not path else ():
        below = group.get_command(ctx, name)
        if isinstance(below, click.Group):
            yield from _paths_below(below, ctx, f"{name} ")


def _is_near(typed: str, option: str) -> bool:
    """Whether an option is proposed for an unknown one: the dashes of both make none alike."""
    from difflib import SequenceMatcher

    words = typed.strip("-"), option.strip("-")
    return may_be_meant(typed, option) and SequenceMatcher(None, *words).ratio() >= _ALIKE


def without_unknown(ctx: click.Context, args: list[str], fault: click.NoSuchOption) -> list[str]:
    """Return arguments with our own option for one that another tool has.

    Raises InvalidInput for any other, without proposing what does more than was asked.
    """
    name = fault.option_name
    path = ctx.command_path.partition(" ")[2].removeprefix("jobs ")
    again = with_our_options(path, args, name)
    if again is None:
        close = [each for each in fault.possibilities or () if _is_near(name, each)]
        meant = f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
        hint = f"{ctx.command_path} --help"
        raise InvalidInput(f"no such option '{name}'{meant}", hint=hint) from None
    return again
