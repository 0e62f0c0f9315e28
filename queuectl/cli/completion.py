"""What may be typed next: for the shell, and for bash, zsh and fish."""

from __future__ import annotations

import os
import sys
import threading

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from queuectl.cli.root import COMPLETION_VARIABLE, Command, examples, root
from queuectl.cli.session import Session
from queuectl.domain.text import printable

MOST_SECONDS = 2.0
"""A person who has pressed TAB waits no longer."""


def candidates(session: Session, args: list[str], incomplete: str) -> list[CompletionItem]:
    """Return what may stand for `incomplete` after the words `args`; nothing after wrong ones."""
    asker = _Completion(root, {"obj": session}, "queuectl", COMPLETION_VARIABLE)
    return asker.get_completions(args, incomplete)


class _Completion(ShellComplete):
    """What click offers, and the options of a command where it has nothing to offer."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Return what may stand there, each with its help on one line."""
        try:
            items = super().get_completions(args, incomplete)
            if not items and not incomplete and not _awaits_value(args):
                items = super().get_completions(args, "--")
        except Exception:  # whatever is wrong with the line is told when it is run
            return []
        for item in items:
            item.help = printable(item.help.replace("\n", " ")) if item.help else None
        return items


def _awaits_value(args: list[str]) -> bool:
    """Whether the last word is an option whose value comes next."""
    command: click.Command = root
    for word in args[:-1]:
        below = (
            command.get_command(click.Context(root), word)
            if isinstance(command, click.Group)
            else None
        )
        command = below or command
    return any(
        args[-1] in param.opts and not (param.is_flag or param.count)
        for param in command.get_params(click.Context(command))
        if args and isinstance(param, click.Option)
    )


_KEPT_BY_READLINE = "@$"
"""The word breaks that readline takes for the beginning of a word."""


class _Bash(_Completion, BashComplete):
    """Completion for bash by the line itself, so that ids with `:` and files after `@` work.

    Readline replaces only what stands after the last of its word breaks, all of a word that is in
    quotes, and from a `@` or `$` on where these are among the breaks.
    """

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' kind value
    COMPREPLY=()
    while IFS=$'\\t' read -r kind value; do
        case $kind in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            part) compopt -o nospace 2>/dev/null; COMPREPLY+=("$value") ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_LINE=${COMP_LINE:0:COMP_POINT} COMP_WORDBREAKS=$COMP_WORDBREAKS \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
}

complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null ||
    complete -F %(complete_func)s %(prog_name)s
"""

    def source(self) -> str:
        """Return the script, without a look at which bash is there."""
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the cursor's, and that one."""
        words = split_arg_string(os.environ["COMP_LINE"])
        if os.environ["COMP_LINE"][-1:].isspace():
            return words[1:], ""
        return words[1:-1], words[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """Return one line: the kind, and as much of the value as readline shall put in."""
        incomplete = self.get_completion_args()[1]
        if incomplete.startswith("--"):
            incomplete = incomplete.partition("=")[2]  # the value is all that click gives back
        cut = 0
        if not _has_open_quote(os.environ["COMP_LINE"]):
            breaks = os.environ.get("COMP_WORDBREAKS", "")
            cut = max((incomplete.rfind(char) + 1 for char in breaks), default=0)
            cut -= bool(cut) and incomplete[cut - 1] in _KEPT_BY_READLINE
        kind = "part" if item.type == "plain" and item.value.endswith("/") else item.type
        return f"{kind}\t{item.value[cut:]}"


def _has_open_quote(line: str) -> bool:
    """Whether a line of bash ends within quotes."""
    quote, is_escaped = "", False
    for char in line:
        if is_escaped:
            is_escaped = False
        elif char == "\\" and quote != "'":
            is_escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
    return bool(quote)


class _WholeWords(_Completion):
    """For shells that replace the whole word: `--state=pen` by `--state=pending`."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Return what may stand there, with the option before its value where both are a word."""
        items = super().get_completions(args, incomplete)
        option, sign, _ = incomplete.partition("=")
        if sign and option.startswith("--"):
            for item in items:
                item.value = f"{option}={item.value}" if item.type == "plain" else item.value
        return items


class _Zsh(_WholeWords, ZshComplete):
    """Completion for zsh, with colons in values whichever version of click there is."""

    def format_completion(self, item: CompletionItem) -> str:
        """Return three lines: kind, value and help, which zsh parts at the first bare colon."""
        value = item.value.replace(":", r"\:") if item.help else item.value
        return f"{item.type}\n{value}\n{item.help or '_'}"


class _Fish(_WholeWords, FishComplete):
    """Completion for fish, with commas in values and in descriptions.

    The script that click has parts at each of them.
    """

    source_template = """\
function %(complete_func)s
    set -l response (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) \\
        COMP_CWORD=(commandline -t) %(prog_name)s)

    for completion in $response
        set -l parts (string split -m 1 "," -- $completion)

        if test $parts[1] = "dir"
            __fish_complete_directories $parts[2]
        else if test $parts[1] = "file"
            __fish_complete_path $parts[2]
        else if test $parts[1] = "plain"
            echo $parts[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""

    def format_completion(self, item: CompletionItem) -> str:
        """Return one line: kind, comma, value, and behind a tab the help if there is any."""
        return f"{item.type},{item.value}" + (f"\t{item.help}" if item.help else "")


_SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def answer(request: str) -> int:
    """Write what a completion script asked for; silent, and 1, where that takes too long."""
    shell, _, instruction = request.partition("_")
    if shell not in _SHELLS or instruction != "complete":
        return 1
    asker = _SHELLS[shell](root, {"obj": Session()}, "queuectl", COMPLETION_VARIABLE)
    answers: list[str] = []

    def ask() -> None:
        try:
            answers.append(asker.complete())
        except Exception:  # nothing may be written over the line that is being typed
            return

    # A store that is away must not hold up the shell; a daemon does not hold up our end.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(MOST_SECONDS)
    if not answers:
        return 1
    sys.stdout.write(answers[0] + "\n" if answers[0] else "")
    return 0


@examples("""
    eval "$(queuectl completion bash)"                  (in ~/.bashrc)
    eval "$(queuectl completion zsh)"                   (in ~/.zshrc, after compinit)
    queuectl completion fish > ~/.config/fish/completions/queuectl.fish
""")
@click.command(cls=Command)
@click.argument("shell", type=click.Choice(list(_SHELLS)))
def completion(shell: str) -> None:
    """Print a script that lets bash, zsh or fish complete commands, options and live job ids."""
    click.echo(_SHELLS[shell](root, {}, "queuectl", COMPLETION_VARIABLE).source(), nl=False)
