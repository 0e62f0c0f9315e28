"""Hooks by services, as apprise reaches them: checked when added, told once, with no secret."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.hook_messages import Facts, details, headline, severity
from queuectl.domain.hooks import DELIVERY_ATTEMPTS, Hook, Target
from queuectl.domain.job import State
from queuectl.hooks import DeliveryError, service
from queuectl.hooks.service import check_service_url
from queuectl.hooks.webhook import deliver
from tests.hooks.kit import hook
from tests.hooks.receiver import MailReceiver, Receiver
from tests.hooks.test_webhook import DEAD
from tests.worker.fleet import Fleet, eventually

SECRET = "s3cr3t"
BATCH: Facts = {
    "event": "batch-done", "at": "2026-11-22T12:00:00.000Z", "queue": "gpu",
    "batch": {"name": "sweep1", "total": 1000, "completed": 997, "dead": 3, "cancelled": 0},
}  # fmt: skip


@pytest.fixture(autouse=True)
def home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let command lines have a home that nobody else has."""
    monkeypatch.setenv("QUEUECTL_HOME", str(tmp_path / "home"))


def url_of(receiver: Receiver, scheme: str = "json", path: str = SECRET) -> str:
    """Return a URL of apprise that leads to the receiver, with what nobody else shall see."""
    return f"{scheme}://me:{SECRET}@127.0.0.1:{receiver.server_address[1]}/{path}"


def by_service(url: str) -> Hook:
    """Return a hook that tells by a service."""
    return hook(target=Target.SERVICE, address=url)


def undelivered(url: str) -> DeliveryError:
    """Deliver what must not arrive, and return why."""
    with pytest.raises(DeliveryError) as caught:
        deliver(by_service(url), DEAD, "d1")
    assert SECRET not in str(caught.value)
    return caught.value


def test_a_service_is_told_once_with_a_title_a_text_and_how_bad_it_is(receiver: Receiver) -> None:
    assert deliver(by_service(url_of(receiver)), DEAD, "d1") == "JSON took the message"
    (post,) = receiver.posts
    body = post.json
    assert (body["title"], body["type"]) == ("queuectl: job 'job<1>' is dead", "failure")
    assert body["message"].splitlines() == [
        "Exit code 1 & more", "queue default, run 3", "command: false",
    ]  # fmt: skip


def test_a_topic_of_ntfy_is_told(receiver: Receiver) -> None:
    assert deliver(by_service(url_of(receiver, "ntfy", "topic")), BATCH, "d1") == (
        "ntfy took the message"
    )
    (post,) = receiver.posts
    assert post.json["topic"] == "topic"
    assert post.json["title"] == "queuectl: batch sweep1 is done"
    assert post.json["message"] == "997 completed, 3 dead, of 1,000 jobs"


def test_mail_goes_by_apprise_too(mailbox: MailReceiver) -> None:
    port = mailbox.server_address[1]
    url = f"mailto://127.0.0.1:{port}?from=queue@example.com&to=me@example.com"
    assert check_service_url(url) == url
    assert deliver(by_service(url), DEAD, "d1") == "E-Mail took the message"
    (mail,) = mailbox.mails
    assert mail["Subject"] == "queuectl: job 'job<1>' is dead"
    assert "me@example.com" in mail["To"]


@pytest.mark.parametrize(("code", "is_final"), [(503, False), (429, False), (404, True)])
def test_what_a_service_answers_is_worth_a_retry_unless_it_will_be_the_same(
    receiver: Receiver, code: int, is_final: bool
) -> None:
    receiver.answers = [code]
    fault = undelivered(url_of(receiver) + "?retry=3&wait=0.1")
    assert (str(fault), fault.is_final) == (f"JSON answered HTTP {code}", is_final)
    assert len(receiver.posts) == 1, "apprise has tried again, and the queue will"


def test_a_service_that_is_not_there_is_worth_a_retry() -> None:
    fault = undelivered(f"json://me:{SECRET}@127.0.0.1:9/{SECRET}")
    assert (str(fault), fault.is_final) == ("JSON cannot be reached", False)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"nosuch://{SECRET}", "no service is known by 'nosuch'"),
        (f"discrd://{SECRET}/{SECRET}", "did you mean 'discord'"),
        (f"discord://{SECRET}", "something is missing or wrong in the discord:// URL"),
        (f"ntfy://127.0.0.1/{SECRET}/other", "names one receiver, not 2"),
        (f"tgram://123456789:{SECRET}abcdefgh_hijklmnop/12/34", "names one receiver, not 2"),
        (f"json://127.0.0.1/{SECRET} more", "percent-encoded"),
        (f"mailto://me:{SECRET}@mail.example.com?to=you@example.com", "is not encrypted"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused_when_the_hook_is_added(
    cli: Any, url: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    line = cli.refused(2, "hook", "add", "a", "--on", "dead", "--url", url)
    assert why in line
    assert SECRET not in line + caplog.text
    assert cli.ok("hook", "list", "--json").json == []


@pytest.mark.parametrize(
    "options",
    [("--format", "slack"), ("--secret-env", "HOME"), ("--smtp", "smtp://localhost:25")],
)
def test_what_belongs_to_other_receivers_is_refused_with_a_service(
    cli: Any, options: tuple[str, ...]
) -> None:
    cli.refused(2, "hook", "add", "a", "--on", "dead", "--url", "json://127.0.0.1/x", *options)


def test_without_apprise_one_line_says_what_to_install(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    for cached in (service._plugin, service._asset, service._known_schemes):
        cached.cache_clear()
    line = cli.refused(2, "hook", "add", "a", "--on", "dead", "--url", "ntfy://ntfy.sh/x")
    assert "pip install 'queuectl-shell[notify]'" in line
    fault = undelivered(f"json://127.0.0.1/{SECRET}")
    assert not fault.is_final, "another host may have it"
    service.prepare("json://127.0.0.1/x")


def test_of_the_url_of_a_service_only_the_scheme_is_shown(cli: Any, receiver: Receiver) -> None:
    url = url_of(receiver)
    receiver.answers = [200, 500]
    shown = cli.ok("hook", "add", "a", "--on", "dead", "--url", url).out
    for words in ("list", "list --json", "show a", "show a --json", "test a", "test a"):
        result = cli("hook", *words.split())
        shown += result.out + result.err
    shown += cli.ok("export").out + cli.ok("doctor", "--json").out
    assert SECRET not in shown
    assert "json://********" in shown
    assert "Delivered: JSON took the message" in shown
    assert "hook 'a': JSON answered HTTP 500" in shown


def test_a_worker_tells_a_service_and_what_fails_is_tried_again_and_then_dead(
    either: Fleet, receiver: Receiver
) -> None:
    receiver.answers = [503, 400]
    either.queue.hooks.add(by_service_on_dead(url_of(receiver)))
    either.start()
    either.ran("exit 3")
    (found,) = eventually(lambda: list(either.queue.hooks.deliveries("told", 1)))
    assert found.spec.max_retries == DELIVERY_ATTEMPTS
    dead = either.settled(found.id)
    assert dead.state is State.DEAD
    codes = (503, 400)
    assert [run.error for run in dead.history] == [
        f"hook 'told': JSON answered HTTP {code}" for code in codes
    ]
    either.queue.retry(found.id)
    assert either.settled(found.id).state is State.COMPLETED
    assert len(receiver.posts) == 3
    assert SECRET not in either.log() + str(found) + str(either.queue.hooks.all())


def by_service_on_dead(url: str) -> Hook:
    """Return a hook by a service that is told of dead jobs."""
    return hook("told", target=Target.SERVICE, address=url, events=("dead",))


@pytest.mark.parametrize(
    ("facts", "title", "text", "how_bad"),
    [
        (DEAD, "job 'job<1>' is dead", "Exit code 1 & more\nqueue default, run 3\ncommand: false",
         "failure"),
        (BATCH, "batch sweep1 is done", "997 completed, 3 dead, of 1,000 jobs", "warning"),
        ({"event": "queue-empty", "queue": "gpu"}, "queue gpu is empty",
         "Nothing waits or runs there.", "info"),
        ({"event": "threshold", "condition": "dlq-size > 3", "queue": "gpu", "crossed": True,
          "value": 4}, "crossed: dlq-size > 3 in queue gpu", "now 4", "failure"),
        ({"event": "threshold", "condition": "no-worker > 1m", "queue": None, "crossed": False,
          "value": 0}, "cleared: no-worker > 60s", "now 0s", "success"),
        ({"event": "test"}, "a test", "The hook arrives.", "info"),
    ],
)  # fmt: skip
def test_every_event_has_a_title_and_a_text_in_plain_words(
    facts: Facts, title: str, text: str, how_bad: str
) -> None:
    assert (headline(facts), details(facts), severity(facts)) == (title, text, how_bad)


def test_the_check_quotes_no_secret() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_service_url(f"discord://{SECRET}/")
    assert SECRET not in f"{caught.value} {caught.value.hint}"
