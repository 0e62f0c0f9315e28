"""`add`: one job, whose command is the rest of the line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from queuectl.cli.enqueue import enqueue
from queuectl.cli.enqueue_options import (
    AFTER_DASHES,
    BEFORE_DASHES,
    SOURCES,
    dry_run_option,
    enqueue_options,
    hold_option,
    sweep_options,
)
from queuectl.cli.enqueue_words import refuse_dash
from queuectl.cli.late_options import LateCommand
from queuectl.cli.parallel_words import split_at_sources
from queuectl.cli.root import examples
from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import is_name
from queuectl.domain.job_fields import command_text


class AddCommand(LateCommand):
    """A command whose own options end at its first word; what follows is kept as typed."""

    def collect_usage_pieces(self, _ctx: click.Context) -> list[str]:
        """Show that no option may stand behind the command."""
        return ["[OPTIONS]", "COMMAND [ARGUMENT]..."]


@examples("""
    queuectl add python train.py --gpu 0
    queuectl add -q gpu --id train "cd /srv && ./train.sh > log"
    queuectl add gzip -9 {} ::: *.log
""")
@click.command(cls=AddCommand, context_settings={"allow_interspersed_args": False})
@enqueue_options
@sweep_options
@hold_option
@click.option("--print-id", "-p", is_flag=True, help="Print the id alone.")
@dry_run_option
@click.option("--json", "as_json", is_flag=True, help="Print what became of the job as JSON.")
@click.pass_context
def add(ctx: click.Context, /, words: tuple[str, ...], **options: Any) -> int:
    """Store a job whose command is the rest of the line; options stand before it.

    One word is a line for the shell. Several are the arguments of a program, kept as typed.
    Behind `:::` stand values, of which each makes a job, as GNU parallel has them.
    """
    words, sources = split_at_sources(words)
    if not words and options["command"] is None and options["file"] is None:
        if sources:
            raise InvalidInput(
                f"no command stands before '{sources[0].mark}'",
                hint="commands, one a line, go with queuectl enqueue --lines -",
            )
        raise InvalidInput("nothing to add", hint="for example: queuectl add echo Hello")
    if len(words) > 1 and any(char.isspace() for char in words[0]):
        raise InvalidInput(
            f"'{words[0]}' is a whole command, and '{words[1]}' stands behind it",
            hint=f"options come first: queuectl add {command_text((*words[1:], words[0]))}",
        )
    _refuse_another_parent(words, options)
    is_line = len(words) == 1 and options["command"] is None and options["file"] is None
    if is_line:
        refuse_dash(words[0])
        options["command"] = words[0]
    ctx.meta[SOURCES] = sources
    ctx.meta[BEFORE_DASHES] = []
    ctx.meta[AFTER_DASHES] = None if is_line or not words else list(words)
    code: int = ctx.invoke(enqueue, words=(), **options)
    return code


def _refuse_another_parent(words: Sequence[str], options: Mapping[str, Any]) -> None:
    """Raise InvalidInput for an id that follows `--after ID`, as in other tools, and is no program.

    A number, or a word that options and a `--` follow, behind which the command stands.
    """
    for name in ("after", "after_any", "after_fail"):
        if not options.get(name) or len(words) < 2 or not is_name(words[0]):
            continue
        from shutil import which  # of few lines only

        is_meant = words[0].isdecimal() or (words[1].startswith("-") and "--" in words)
        if is_meant and which(words[0]) is None:
            ids = ",".join([*options[name], words[0]])
            raise InvalidInput(
                f"'{words[0]}' is no program, and --{name.replace('_', '-')} takes one word",
                hint=f"queuectl add --{name.replace('_', '-')} {ids} COMMAND",
            )
