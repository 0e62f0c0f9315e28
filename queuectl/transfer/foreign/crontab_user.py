"""Whether the lines of a crontab name users, as those of /etc/crontab do, and whose they are."""

from __future__ import annotations

import pwd
import re
import shutil
from collections.abc import Iterable

from queuectl.transfer.foreign.cron_fields import NotCron
from queuectl.transfer.foreign.entry import Context

_OF_THE_SYSTEM = ("/etc/crontab", "/etc/cron.d/", "/etc/cron/")
_USER = re.compile(r"[a-z_][a-z0-9_.-]*\$?")
_KNOWN = frozenset("root nobody daemon www-data apache postgres ubuntu ec2-user vagrant".split())
"""Users of many machines, whether or not this one has them."""

_ALSO_WORDS = frozenset("backup mail news man games sync list lp proxy irc bin sys git".split())
"""Users of many machines that may just as well be a command."""

_BEGINS_COMMAND = re.compile(r"""[/~.\[({!$"']|[A-Za-z_]\w*=""")
_WORDS = frozenset(
    "cd test if for while echo export exec eval set umask true false command source trap ulimit "
    "until case unset wait read".split()
)
_SHELL_S_OWN = frozenset("cd if for while until case export eval set umask source".split())
"""What only a shell can do: no program is given one of these as its argument, to run it."""


def split_user(rest: str, context: Context) -> str:
    """Return the command of a line that begins with a user. Raises NotCron for another's."""
    user, *command = re.split(r"[ \t]+", rest, maxsplit=1)
    if not _USER.fullmatch(user):
        raise NotCron(f"it names no user, as the other lines do: '{user}' is none")
    if user != context.user:
        raise NotCron(f"it runs as {user}: sudo -u {user} queuectl import … takes it")
    return "".join(command)


def has_users(rests: Iterable[str], context: Context) -> bool:
    """Whether what stands behind the times of a file begins with a user.

    The file's place says so, or one line that can be meant in no other way.
    """
    path = "" if context.path is None else str(context.path.absolute())
    if path.startswith(_OF_THE_SYSTEM):
        return True
    return any(_begins_with_user(rest.split()) for rest in rests)


def refuse_unclear(rest: str) -> None:
    """Raise NotCron for a line whose first word may be a user, and may be a command."""
    words = rest.split()
    if len(words) < 2 or not _USER.fullmatch(words[0]) or words[0] in _WORDS:
        return
    is_own = words[1] in _SHELL_S_OWN
    may_be_user = words[0] in _ALSO_WORDS and not _is_program(words[0])
    if is_own or (may_be_user and _is_command(words[1])):
        raise NotCron(
            f"'{words[0]}' may be a user or a command: say --system if the lines name users, "
            "else --no-system"
        )


def remark_on(rest: str) -> str:
    """Return what there is to say of a command whose first word may be a user's of elsewhere."""
    words = rest.split()
    if len(words) < 2 or not _USER.fullmatch(words[0]) or not words[1].startswith("/"):
        return ""
    if words[0] in _WORDS or _is_program(words[0]):
        return ""
    return f"'{words[0]}' is no program here: if it is a user, say --system"


def _begins_with_user(words: list[str]) -> bool:
    """Whether the sixth word is a user and the seventh a command, not its argument."""
    if len(words) < 2 or not _USER.fullmatch(words[0]) or words[0] in _ALSO_WORDS:
        return False
    if not (_is_user(words[0]) and _is_command(words[1])):
        return False
    return words[0] == "root" or not _is_program(words[0]) or _is_program(words[1])


def _is_user(word: str) -> bool:
    if word in _KNOWN:
        return True
    try:
        pwd.getpwnam(word)
    except KeyError:
        return False
    return True


def _is_command(word: str) -> bool:
    if word.startswith("-"):
        return False
    return bool(_BEGINS_COMMAND.match(word)) or word in _WORDS or _is_program(word)


def _is_program(word: str) -> bool:
    return shutil.which(word) is not None
