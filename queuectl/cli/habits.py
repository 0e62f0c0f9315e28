"""The words of other tools: what each stands for here, and which command is meant by a typo. Pure.

One table for commands and for options. It is loaded only when a word is none of ours.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from queuectl.cli.habit_rows import ENQUEUE, SCHEDULER_ROWS, Row
from queuectl.domain.errors import InvalidInput

_OF_QUEUES = "list|status|pause|resume|cancel|retry|delete|purge|wait|parallel"
_LISTING = ("batch", "dlq", "hook", "queue", "resource", "schedule", "worker")
"""The groups that list what is in them; `config` gets it."""

_KILL_ENDS = "kill takes no signal: it cancels jobs, and ends what runs of them"
_ROWS = (
    Row("ls", "list"),
    Row("rm", "delete"),
    Row("remove", "delete"),
    Row("del", "delete"),
    Row("ps", "status"),
    Row("ps -a", "list --all"),
    Row("ps -A", "list --all"),
    Row("ps -e", "list --all"),
    Row("ps -ef", "list --all"),
    Row("ps aux", "list --all"),
    Row("job", "jobs"),
    Row("log", "logs"),
    Row("follow", "logs -f"),
    Row("tail", "logs -f"),
    Row("kill", "cancel"),
    Row("stop", "cancel"),
    Row("kill -s", says=_KILL_ENDS, hint="queuectl signal ID {INT} sends a signal"),
    *(
        Row(f"kill {word}", says=_KILL_ENDS, hint="queuectl signal {ID} INT sends a signal")
        for word in ("-INT", "-TERM", "-KILL", "-HUP", "-USR1", "-USR2", "-STOP", "-CONT",
                     "-1", "-2", "-9", "-15", "-l")
    ),
    Row("abort", "cancel"),
    Row("restart --all-failed", "retry --all"),
    Row("restart", "retry"),
    Row("rerun", "retry"),
    Row("requeue", "retry"),
    Row("submit", "enqueue"),
    Row("start", "resume"),
    Row("release", "resume"),
    Row("unpause", "resume"),
    Row("unhold", "resume"),
    Row("hold", "stash"),
    Row("swap", "switch"),
    Row("clean", "delete --state completed"),
    Row("inspect active", "list --state processing"),
    Row("inspect", "show"),
    Row("cat", "show"),
    Row("top", "list --state processing"),
    Row("history", "list --newest"),
    Row("web", "dashboard"),
    Row("ui", "dashboard"),
    Row("tui", "watch"),
    Row("htop", "watch"),
    Row("monitor", "watch"),
    Row("serve", "dashboard"),
    Row("flower", "dashboard"),
    Row("beat", "schedule list"),
    Row("crontab", "schedule list"),
    Row("running", "list --state processing"),
    Row("failed", "list --state failed,dead"),
    Row("dead", "dlq list"),
    Row("info", "show"),
    Row("describe", "show"),
    Row("output", "logs"),
    Row("mv", "jobs move"),
    Row("move", "jobs move"),
    Row("squeue", "list"),
    Row("sbatch", "enqueue"),
    Row("scancel", "cancel"),
    Row("sinfo", "worker list"),
    Row("atq", "list"),
    Row("atrm", "delete"),
    Row("at", hint='queuectl enqueue "COMMAND" --at {TIME}'),
    Row("up", hint="queuectl worker start"),
    Row("down", hint="queuectl worker stop"),
    Row("jobs list", "list"),
    Row("jobs status", "status"),
    Row("group", "queue"),
    Row("groups", "queue list"),
    Row("queues", "queue list"),
    Row("workers", "worker list"),
    Row("resources", "resource list"),
    Row("gpus", "resource list"),
    Row("batches", "batch list"),
    Row("hooks", "hook list"),
    Row("schedules", "schedule list"),
    Row("settings", "config get"),
    Row("cron", "schedule list"),
    Row("?", "help"),
    Row("man", "help"),
    Row("version", "--version"),
    Row("-V", "--version"),
    Row("ping", "doctor"),
    Row("check", "doctor"),
    Row("config list", "config get"),
    Row("config ls", "config get"),
    *(Row(f"{group} ls", f"{group} list") for group in _LISTING),
    *(
        Row(f"{group} {word}", f"{group} remove")
        for group in ("hook", "resource", "schedule") for word in ("rm", "delete")
    ),
    Row("config rm", "config unset"),
    Row("config reset", "config unset"),
    Row("config edit", hint="queuectl config set KEY VALUE"),
    Row("schedule create", "schedule add"),
    Row("dlq rm", "delete"),
    Row("dlq delete", "delete"),
    Row("dlq clear", "dlq purge"),
    Row("dlq clean", "dlq purge"),
    Row("dlq requeue", "dlq retry"),
    Row("worker kill", "worker stop --now"),
    Row("worker add", "worker start"),
    Row("scale", "worker scale"),
    Row("worker ps", "worker list"),
    Row("worker status", "worker list"),
    Row("worker log", "worker logs"),
    Row("queue status", "queue list"),
    Row("queue show", hint="queuectl status -q {NAME}"),
    Row("worker show", hint="queuectl worker list"),
    Row("queue start", "queue resume"),
    Row("queue stop", "queue pause"),
    *(
        Row(f"queue {word}", says="a queue needs no making: it is there with its first job",
            hint='queuectl enqueue --queue {NAME} "COMMAND", or queuectl queue limit {NAME} N')
        for word in ("add", "create", "new")
    ),
    *(
        Row(f"queue {word}", says="a queue is there as long as it has jobs",
            hint="queuectl delete --queue {NAME}, and queuectl queue limit {NAME} 0")
        for word in ("rm", "remove", "delete")
    ),
    Row("batch status", "batch show"),
    Row("batch inspect", "batch show"),
    Row("batch kill", "batch cancel"),
    Row("batch stop", "batch cancel"),
    Row("batch restart", "batch retry"),
    *(
        Row(f"batch {word}", hint="queuectl delete --batch {NAME}")
        for word in ("rm", "remove", "delete")
    ),
    *(
        Row(f"batch {word}", says="a batch is made by what is enqueued into it",
            hint="queuectl enqueue --batch {NAME} --file jobs.jsonl")
        for word in ("add", "create", "new")
    ),
    Row("resource show", "resource list"),
    Row("resource add", "resource set"),
    Row("resource create", "resource set"),
    Row("sweep|sweeps", hint='queuectl enqueue --param NAME=A,B "COMMAND"'),
    Row("array", hint='queuectl enqueue --array 1-100 "COMMAND"'),
    Row("schedule every", says="a schedule has a name",
        hint='queuectl schedule add NAME --every 5m "COMMAND"'),
    Row("reset", says="this would delete every job, with its logs",
        hint="queuectl cancel --all, then queuectl delete --all"),
    Row("clear", says="clear is for the prompt of queuectl, where it clears the screen",
        hint="queuectl clean deletes what is completed"),
    Row("exit", says="exit is for the prompt of queuectl", hint="queuectl opens it"),
    Row("quit", says="quit is for the prompt of queuectl", hint="queuectl opens it"),
    Row("list-timers", hint="queuectl schedule list"),
    Row("journal", hint="queuectl logs {ID}"),
    Row("shutdown", hint="queuectl worker stop stops the workers"),
    Row("daemon", hint="queuectl worker start starts workers in the background"),
    Row("-l", hint="queuectl list"),
    Row("-S", hint="queuectl parallel {N}"),
    Row("-c", hint="queuectl logs {ID}"),
    Row(f"{ENQUEUE} --depends-on", "--after"),
    Row(f"{ENQUEUE} --name", "--id"),
    Row(f"{ENQUEUE} --paused", "--hold"),
    Row(f"{ENQUEUE} --stashed", "--hold"),
    Row(f"{ENQUEUE} --retries", "--max-retries"),
    Row(f"{ENQUEUE} --group", "--queue"),
    Row(f"{ENQUEUE} -g", "--queue"),
    Row(f"{ENQUEUE} -a", hint="queuectl {COMMAND} --after ID (-a is --all in other commands)"),
    Row(f"{ENQUEUE} --jobs", "--at-once"),
    Row(f"{ENQUEUE} -j", "--at-once"),
    Row(f"{ENQUEUE} --working-directory", "--cwd"),
    Row(f"{ENQUEUE} -w", "--cwd"),
    Row(f"{ENQUEUE} -l", "--label"),
    Row(f"{ENQUEUE} -G", "--gpus"),
    Row(f"{ENQUEUE} --gres", hint="queuectl {COMMAND} --gpus N gives it N GPUs of its own"),
    Row(f"{ENQUEUE} --mem", says="--mem may be two things",
        hint="--need memory=2G sets so much aside for it, --memory 2G ends it where it uses more"),
    Row(f"{ENQUEUE} -d", "--in"),
    Row(f"{ENQUEUE} --immediate", hint="queuectl {COMMAND} --priority high goes first"),
    Row(f"{_OF_QUEUES} --group", "--queue"),
    Row(f"{_OF_QUEUES} -g", "--queue"),
    Row("retry --failed", "--state=failed,dead"),
    Row("retry --in-place", hint="queuectl retry {ID} starts the job itself again"),
    Row("logs --tail", "--lines"),
    Row("wait --any", says="wait is for all of the jobs that are named",
        hint="queuectl wait ID is for one"),
    Row("worker start --workers", "--count"),
    Row("worker start --group", "--queue"),
    Row("worker start -g", "--queue"),
    Row("worker start -n", hint="queuectl worker start -c {N}"),
    Row("worker run -n", hint="queuectl worker run -c {N}"),
    *SCHEDULER_ROWS,
)  # fmt: skip

_DESTRUCTIVE = frozenset(
    "abort cancel clean clear del delete kill migrate pause purge remove reset restart restore rm "
    "stash stop unset --all --all-hosts --force --now --replace --yes".split()
)
"""The commands, by their last word, that delete something or stop it; options that help them."""


def _spelled(row: Row) -> list[tuple[str, Row]]:
    """Return a row under each of the ways in which it is typed."""
    firsts, blank, rest = row.typed.partition(" ")
    return [(first + blank + rest, row) for first in firsts.split("|")]


ROWS: dict[str, Row] = dict(pair for row in _ROWS for pair in _spelled(row))
"""Every row by what is typed."""

_SHORTEST = 4
"""Words that are shorter are not mistyped, but others."""

_LONGEST = max(len(typed.split()) for typed in ROWS)


def ours_of(path: str, words: Sequence[str]) -> list[str] | None:
    """Return our own words for those that were typed after `path`, with what follows them.

    `path` is a group, as it is typed after `queuectl`: empty for the top. None: nobody knows the
    first of these words. Raises InvalidInput for one that is only told what to type instead.
    """
    found = _find(path, words)
    if found is None:
        return None
    row, rest = found
    if not row.ours:
        raise _refusal(row, path, words[0], rest)
    return [*row.ours.split(), *rest]


def _find(path: str, words: Sequence[str]) -> tuple[Row, list[str]] | None:
    """Return the row that most of the words are typed for, and the words that follow."""
    for count in range(min(len(words), _LONGEST), 0, -1):
        row = ROWS.get(" ".join([*path.split(), *words[:count]]))
        if row:
            return row, list(words[count:])
    return None


def _refusal(row: Row, path: str, word: str, rest: Sequence[str]) -> InvalidInput:
    """Return what is said of a row that has no words of ours."""

    def filled(name: re.Match[str]) -> str:
        if name[1] == "COMMAND":
            return path
        return shlex.quote(rest[0]) if rest and not rest[0].startswith("-") else name[1]

    kind = "option" if word.startswith("-") else "command"
    hint = re.sub(r"\{([A-Z]+)\}", filled, row.hint)
    return InvalidInput(row.says or f"no such {kind} '{word}'", hint)


def with_our_options(path: str, args: Sequence[str], option: str) -> list[str] | None:
    """Return a command's arguments with one of ours for an unknown option; None without a row.

    Raises InvalidInput for one that is only told what to type instead.
    """
    row = ROWS.get(f"{path} {option}".strip())
    if row is None:
        return None
    is_long = option.startswith("--")
    for at, word in enumerate(args):
        if not (word == option or word.startswith(f"{option}=" if is_long else option)):
            continue
        value = word[len(option) :]
        rest = [value.removeprefix("=")] if value else args[at + 1 :]
        if not row.ours:
            raise _refusal(row, path, option, rest)
        ours = [row.ours, value.removeprefix("=")] if value else [row.ours]
        return [*args[:at], *ours, *args[at + 1 :]]
    return None


def nearest_command(word: str, own: Sequence[str], elsewhere: Sequence[str]) -> str:
    """Return the command that an unknown word was most likely meant to be; empty if none is.

    `own` are the names that are known where it was typed, `elsewhere` the paths of all other
    commands. What deletes or stops something is proposed for a slip of the finger alone.
    """
    from difflib import get_close_matches

    by_name: dict[str, str] = {}
    for path in elsewhere:
        by_name.setdefault(path.split()[-1], path)
    if word in by_name:
        return by_name[word]
    for known, cutoff in (([*own], 0.6), ([*by_name], 0.75)):
        close = get_close_matches(word, known, n=5, cutoff=cutoff)
        if len(word) > 2:
            close += [name for name in known if name.startswith(word)]
        for name in close:
            if may_be_meant(word, name):
                return by_name.get(name, name) if known == [*by_name] else name
    return ""


def may_be_meant(word: str, name: str) -> bool:
    """Whether a command or an option may be proposed for an unknown word that resembles it."""
    return name not in _DESTRUCTIVE or _is_slip(word, name)


def _is_slip(word: str, meant: str) -> bool:
    """Whether a word is another with a letter left out or typed twice, or two exchanged.

    Another letter in the place of one is none, nor is a first one that is not there, nor anything
    in a word of three letters: many words differ by so little.
    """
    if len(meant) < _SHORTEST:
        return False
    if len(word) + 1 == len(meant):
        return any(word == meant[:at] + meant[at + 1 :] for at in range(1, len(meant)))
    if len(word) == len(meant) + 1:
        doubled = (at for at in range(1, len(word)) if word[at] == word[at - 1])
        return any(meant == word[:at] + word[at + 1 :] for at in doubled)
    swapped = (word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1))
    return len(word) == len(meant) and any(each == meant for each in swapped)
