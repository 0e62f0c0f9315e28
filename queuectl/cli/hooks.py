"""Hooks: who is told when jobs end, when a queue is empty, or when a threshold is crossed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from queuectl.cli.completions import EVENT_NAMES, HOOK_NAME, QUEUE_NAME, PathName
from queuectl.cli.listing import clock_of, jobs_as_dicts
from queuectl.cli.root import Group, examples, json_option, names_argument
from queuectl.cli.session import (
    Session,
    each_by_itself,
    hint_at_missing_workers,
    pass_session,
    refuse_native_windows,
)
from queuectl.domain.errors import InvalidInput, QueuectlError
from queuectl.domain.hook_messages import of_threshold, sentence
from queuectl.domain.hooks import Format, Hook, Target, as_dict, parse_digest, parse_events
from queuectl.domain.queue_limits import DELIVERY_QUEUE
from queuectl.domain.times import EPOCH
from queuectl.presentation import tables
from queuectl.presentation.console import print_hint, print_line
from queuectl.presentation.named_columns import (
    delivery_as_dict,
    delivery_columns,
    hook_columns,
    hook_details,
    sent_columns,
)
from queuectl.queue import Queue
from queuectl.system.home import cannot, working_directory

_SHOWN_DELIVERIES, _LISTED_DELIVERIES = 10, 50
_DELIVERY_SECONDS = 60.0
_LOOK_SECONDS = 0.1


@click.group(
    cls=Group, epilog="queuectl hook add oncall --on dead --url https://example.com/hooks/queuectl"
)
def hook() -> None:
    """Who is told when jobs end, a queue is empty, or a threshold is crossed."""


@examples("""
    queuectl hook add oncall --on dead --url https://example.com/hook --secret-file key
    queuectl hook add team --on dead,queue-empty --queue gpu --format slack --url-file slack.url
    queuectl hook add page --on dead --label billing --command 'notify-send "$QUEUECTL_EVENT_TEXT"'
    queuectl hook add mail --when "dlq-size > 100" --mail me@example.com --smtp smtp://localhost:25
    queuectl hook add phone --on dead,batch-done --url-file ntfy.url
    queuectl hook add flood --on failed,dead --digest 5m --url-file slack.url --format slack
    queuectl hook add late --when "oldest-due-age > 10m" --queue gpu --url-file slack.url
""")
@hook.command("add")
@click.argument("name", metavar="NAME")
@click.option("--on", "events", type=EVENT_NAMES, multiple=True, metavar="EVENT,...",
              help="What: completed, failed (each attempt), dead, cancelled, queue-empty, "
              "batch-done."
)  # fmt: skip
@click.option("--when", metavar="MEASURE > LIMIT",
              help="Tell when dlq-size, oldest-due-age or no-worker is over, and when no more."
)  # fmt: skip
@click.option("--queue", "queue_name", type=QUEUE_NAME, metavar="NAME", help="Only this queue.")
@click.option("--label", metavar="LABEL", multiple=True, help="Only with this label (repeat).")
@click.option(
    "--digest",
    metavar="DURATION",
    help="Tell what happens within so long in one message, with counts: 5m.",
)
@click.option(
    "--url",
    metavar="URL",
    help="Post to this https:// address; or tell a service, such as ntfy:// or discord://.",
)
@click.option("--url-file", type=PathName(), metavar="FILE",
              help="The same from a file: who lists processes does not see it.")  # fmt: skip
@click.option("--format", "body", type=click.Choice([each.value for each in Format]),
              help="The body of a post: json unless said.")  # fmt: skip
@click.option("--command", metavar="COMMAND", help="Run a line for /bin/sh, here.")
@click.option("--mail", metavar="ADDRESS,...", help="Send mail.")
@click.option("--smtp", metavar="URL", help="The mail server: smtp://USER@HOST:PORT, or smtps://.")
@click.option("--from", "sender", metavar="ADDRESS", help="Who the mail is from.")
@click.option("--secret-file", type=PathName(), metavar="FILE",
              help="The key that signs posts, or the password for the mail server.")  # fmt: skip
@click.option("--secret-env", metavar="VAR", help="The same from an environment variable.")
@click.option("--replace", is_flag=True, help="Replace a hook of this name.")
@pass_session
def add(session: Session, /, name: str, replace: bool, **options: Any) -> None:
    """Tell a webhook, a service, a local command or somebody by mail what happens from now on.

    A URL of a service is one that apprise knows; it needs the extra `notify`.
    """
    url, body = options["url"], options["body"]
    if options["url_file"] is not None:
        url = _one_of(("--url", url), ("--url-file", _read(options["url_file"])))[1]
    option, address = _one_of(
        ("--url", url), ("--command", options["command"]), ("--mail", options["mail"])
    )
    target = _TARGETS[option]
    if target is Target.WEBHOOK and _is_of_service(address):
        target = Target.SERVICE
    if body is not None and target is not Target.WEBHOOK:
        raise InvalidInput("--format goes with --url only, of a webhook")
    secret = _secret(options["secret_file"], options["secret_env"])
    queue = session.queue()
    added = queue.hooks.add(
        Hook(
            name=name,
            target=target,
            address=address,
            created_at=EPOCH,
            events=parse_events(options["events"]) if options["events"] else (),
            when=options["when"] or "",
            queue=options["queue_name"],
            labels=options["label"],
            format=Format(body or Format.JSON),
            secret=secret,
            smtp=options["smtp"] or "",
            sender=options["sender"] or "",
            digest=0.0 if options["digest"] is None else parse_digest(options["digest"]),
            cwd=str(working_directory()) if target is Target.COMMAND else "",
        ),
        replacing=replace,
    )
    print_line(f"Added hook '{added.name}': queuectl hook test {added.name} tries it")
    hint_at_missing_workers(queue)


def _is_of_service(address: str) -> bool:
    """Whether a URL is one of apprise: `ntfy://…` and the like, not that of a webhook."""
    scheme, has_scheme, _ = address.partition("://")
    return bool(has_scheme) and scheme.lower() not in ("http", "https")


_TARGETS = {"--url": Target.WEBHOOK, "--command": Target.COMMAND, "--mail": Target.MAIL}


def _one_of(*options: tuple[str, str | None]) -> tuple[str, str]:
    """Return the one option that was given, with its value. Raises InvalidInput for another number.

    What was given is not quoted: it may be secret.
    """
    used = [(name, value) for name, value in options if value is not None]
    if len(used) != 1:
        raise InvalidInput(f"give one of {', '.join(name for name, _ in options)}")
    return used[0]


def _secret(file: str | None, variable: str | None) -> str | None:
    if file is not None and variable is not None:
        raise InvalidInput("--secret-file and --secret-env cannot both be given")
    if variable is not None:
        if variable not in os.environ:
            raise InvalidInput(f"there is no environment variable {variable}")
        return os.environ[variable]
    return None if file is None else _read(file)


def _read(file: str) -> str:
    """Return what a file, or standard input for `-`, holds, less the end of its last line."""
    if file == "-":
        return sys.stdin.read().rstrip("\r\n")
    try:
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as fault:
        raise InvalidInput(str(cannot("read", Path(file), fault))) from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is not UTF-8 text") from None


@hook.command("list", epilog="queuectl hook list --json")
@json_option
@pass_session
def list_hooks(session: Session, as_json: bool) -> None:
    """List the hooks, without their secrets."""
    queue = session.reading()
    rows = queue.hooks.all()
    if as_json:
        tables.write_json([as_dict(each) for each in rows])
    elif not session.table(rows, hook_columns(clock_of(queue))):
        session.hint(
            "no hooks yet: queuectl hook add oncall --on dead --url https://example.com/hook"
        )


@hook.command("show", epilog="queuectl hook show oncall")
@click.argument("name", metavar="NAME", type=HOOK_NAME)
@json_option
@pass_session
def show(session: Session, name: str, as_json: bool) -> None:
    """Show one hook, and the jobs that have delivered what it told."""
    queue = session.reading()
    one = queue.hooks.get(name)
    jobs = list(queue.hooks.deliveries(name, _SHOWN_DELIVERIES))
    if as_json:
        tables.write_json({**as_dict(one), "deliveries": list(jobs_as_dicts(queue, jobs))})
        return
    clock = clock_of(queue)
    tables.pairs(pair for pair in hook_details(one, clock) if pair[1])
    if jobs:
        sys.stdout.write("\n")
        tables.table(jobs, delivery_columns(clock), colors=session.colors)


_names = names_argument(HOOK_NAME)


@hook.command("pause", epilog="queuectl hook pause oncall")
@_names
@each_by_itself
def pause(queue: Queue, name: str) -> str:
    """Tell nothing until the hooks are resumed; what happens meanwhile is never told."""
    return f"Paused hook '{queue.hooks.pause(name).name}'"


@hook.command("resume", epilog="queuectl hook resume oncall")
@_names
@each_by_itself
def resume(queue: Queue, name: str) -> str:
    """Tell again what happens from now on."""
    return f"Resumed hook '{queue.hooks.resume(name).name}'"


@hook.command("remove", epilog="queuectl hook remove oncall")
@_names
@each_by_itself
def remove(queue: Queue, name: str) -> str:
    """Forget hooks, with their secrets; deliveries that still wait are not made."""
    queue.hooks.remove(name)
    return f"Removed hook '{name}'"


@hook.command("test", epilog="queuectl hook test oncall")
@click.argument("name", metavar="NAME", type=HOOK_NAME)
@pass_session
def test(session: Session, name: str) -> None:
    """Deliver a made-up event from here, at once, and say what came of it."""
    from queuectl.hooks import DeliveryError

    try:
        print_line(f"Delivered: {session.reading().hooks.test(name)}")
    except DeliveryError as fault:
        raise QueuectlError(f"hook '{name}': {fault}") from None


@examples("""
    queuectl hook deliveries oncall
    queuectl hook deliveries oncall -n 100 --json
""")
@hook.command("deliveries")
@click.argument("name", metavar="NAME", type=HOOK_NAME)
@click.option("-n", "--limit", type=click.IntRange(1), default=_LISTED_DELIVERIES, metavar="N",
              help=f"The latest N; {_LISTED_DELIVERIES}.")  # fmt: skip
@json_option
@pass_session
def deliveries(session: Session, name: str, limit: int, as_json: bool) -> None:
    """List what a hook has told and is about to tell: when, how often tried, and the answer."""
    queue = session.reading()
    queue.hooks.get(name)
    jobs = list(queue.hooks.deliveries(name, limit, with_output=True))
    if as_json:
        tables.write_json([delivery_as_dict(job) for job in jobs])
    elif not session.table(jobs, sent_columns(clock_of(queue))):
        session.hint(f"nothing was told yet: queuectl hook test {name} tries it")


@examples("""
    queuectl hook check
    queuectl hook check --json
""")
@hook.command("check")
@json_option
@pass_session
def check(session: Session, as_json: bool) -> None:
    """Look at the thresholds now, and see that what is to be told is delivered.

    For cron or a systemd timer: workers watch by themselves, but not that there is none. A worker
    that delivers and leaves is started where no other will, and waited for. JSON is an array of
    the hooks whose threshold has just been crossed or cleared.
    """
    from queuectl.maintenance.thresholds import check

    queue = session.reading()
    changed, hooks = check(queue.store), queue.hooks
    if as_json:
        tables.write_json([as_dict(each) for each in changed])
        sys.stdout.flush()
    else:
        for each in changed:
            print_line(f"hook '{each.name}': {sentence(of_threshold(each))}")
        if not changed:
            session.hint("nothing has changed")
    if hooks.are_stranded():
        refuse_native_windows()
        from queuectl.worker.supervision import manager

        manager.start(session.location(), count=1, queues=(DELIVERY_QUEUE,), drain=True)
        print_hint("no worker makes deliveries: one was started, which leaves after them")
        ends_at = time.monotonic() + _DELIVERY_SECONDS
        while hooks.have_unbegun() and time.monotonic() < ends_at:
            time.sleep(_LOOK_SECONDS)
