"""What goes out: signed posts, mail, and local commands; and what is said when it does not."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.events import RunResult
from queuectl.domain.hook_messages import Facts, of_empty_queue, of_run, of_test, sentence
from queuectl.domain.hooks import Format, Hook, Target
from queuectl.domain.times import UTC
from queuectl.hooks import DeliveryError, email
from queuectl.hooks import webhook as posting
from queuectl.hooks.webhook import check_url, deliver
from tests.certificates import Certificate, certificate_in
from tests.hooks.kit import ending, hook
from tests.hooks.receiver import KEY, MailReceiver, Receiver, receiving

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DEAD: Facts = of_run("dead", ending(NOON, job_id="job<1>", run=3, error="Exit code 1 & more"))


def webhook(receiver: Receiver, **more: Any) -> Hook:
    """Return a hook that posts to the receiver."""
    return hook(address=receiver.url, **more)


def undelivered(hook: Hook, facts: Facts = DEAD) -> DeliveryError:
    """Deliver what must not arrive, and return why."""
    with pytest.raises(DeliveryError) as caught:
        deliver(hook, facts, "d1")
    assert "s3cr3t" not in str(caught.value)
    return caught.value


def test_a_post_tells_the_facts_and_is_signed(receiver: Receiver) -> None:
    assert deliver(webhook(receiver, secret=KEY), DEAD, "d1") == "127.0.0.1 answered HTTP 200"
    (post,) = receiver.posts
    assert post.path == "/s3cr3t/path?token=s3cr3t"
    assert (post.delivery, post.idempotency_key, post.is_signed) == ("d1", "d1", True)
    body = post.json
    assert (body["id"], body["hook"], body["event"]) == ("d1", "a", "dead")
    assert body["job"]["id"] == "job<1>"
    assert body["job"]["exit_code"] == 1
    assert body["text"] == "job 'job<1>' is dead (run 3, queue default): Exit code 1 & more"
    deliver(webhook(receiver, secret="other"), DEAD, "d1")
    deliver(webhook(receiver), DEAD, "d1")
    assert [post.is_signed for post in receiver.posts] == [True, False, False]


def test_the_body_for_slack_is_a_text_without_its_markup(receiver: Receiver) -> None:
    deliver(webhook(receiver, format=Format.SLACK), DEAD, "d1")
    text = "queuectl: job 'job&lt;1&gt;' is dead (run 3, queue default): Exit code 1 &amp; more"
    assert receiver.posts[0].json == {"text": text}


@pytest.mark.parametrize(
    ("code", "is_final"),
    [(500, False), (503, False), (408, False), (429, False), (307, True), (400, True), (404, True),
     (410, True)],
)  # fmt: skip
def test_an_answer_is_worth_a_retry_unless_it_will_be_the_same(
    receiver: Receiver, code: int, is_final: bool
) -> None:
    receiver.answers = [code]
    fault = undelivered(webhook(receiver))
    more = "; a hook follows no redirect" if code == 307 else ""
    assert str(fault) == f"127.0.0.1 answered HTTP {code}{more}"
    assert fault.is_final is is_final
    assert len(receiver.posts) == 1


def test_nobody_there_and_no_answer_in_time_are_worth_a_retry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault = undelivered(hook(address="http://127.0.0.1:9/s3cr3t"))
    assert not fault.is_final
    monkeypatch.setattr(posting, "HTTP_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fault = undelivered(hook(address=f"http://127.0.0.1:{silent.getsockname()[1]}/s3cr3t"))
    assert "did not answer within" in str(fault)
    assert not fault.is_final


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (check_url, ["ftp://example.com/s3cr3t", "example.com/s3cr3t", "https:///s3cr3t",
                     "http://a:b/s3cr3t", "http://exa mple.com/s3cr3t",
                     "http://ex\u00e4mple.com/s3cr3t", "http://[::1/s3cr3t"]),
        (email.parse_server, ["smtp://me:s3cr3t@example.com", "mail.example.com", "smtp://",
                              "http://example.com", "smtp://a:b/", "smtps://example.com/inbox"]),
        (email.check_addresses, ["", "me", "me@", "@x", "a@b, c", "a b@c", "a@b\nBcc: c@d"]),
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_is_refused_without_its_secrets(
    check: Callable[[str], object], words: list[str]
) -> None:
    for word in words:
        with pytest.raises(InvalidInput) as caught:
            check(word)
        assert "s3cr3t" not in f"{caught.value} {caught.value.hint}"


def test_mail_tells_the_facts_to_everybody(mailbox: MailReceiver) -> None:
    to = hook(target=Target.MAIL, address="me@example.com, you@example.com", smtp=mailbox.url,
              sender="queue@example.com")  # fmt: skip
    assert deliver(to, DEAD, "hook:a:d1") == "127.0.0.1 took the mail"
    (message,) = mailbox.mails
    assert message["Subject"].strip() == f"queuectl: {sentence(DEAD)}"
    assert (message["From"], message["To"]) == ("queue@example.com", to.address)
    assert message["Message-ID"] == "<hook.a.d1@queuectl>"
    assert '"event": "dead"' in message.get_content()


def test_mail_to_somebody_unknown_is_final_and_to_somebody_busy_is_not(
    mailbox: MailReceiver,
) -> None:
    to = hook(target=Target.MAIL, address="me@example.com", smtp=mailbox.url)
    mailbox.refusal = "550 unknown"
    assert undelivered(to).is_final
    mailbox.refusal = "450 busy"
    assert not undelivered(to).is_final


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for the server of mail."""
    return certificate_in(tmp_path_factory.mktemp("certificate"))


@pytest.mark.parametrize("is_tls_alone", [True, False], ids=["smtps", "STARTTLS"])
def test_the_password_for_mail_is_told_over_tls_to_a_server_that_is_trusted_alone(
    certificate: Certificate, is_tls_alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email.Server, "is_here", False)
    with receiving(MailReceiver(certificate, is_tls_alone=is_tls_alone)) as mailbox:
        to = hook(target=Target.MAIL, address="me@example.com", smtp=mailbox.url, secret="s3cr3t")
        fault = undelivered(to)
        assert "certificate" in str(fault)
        assert "self-signed" in str(fault)
        assert not fault.is_final
        assert mailbox.logins == []
        assert mailbox.mails == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
        assert deliver(to, DEAD, "hook:a:d1") == "127.0.0.1 took the mail"
        assert mailbox.logins == [("me", "s3cr3t", True)]
        assert len(mailbox.mails) == 1


def test_no_password_and_no_mail_leave_this_machine_unencrypted(
    mailbox: MailReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = hook(target=Target.MAIL, address="me@example.com", smtp=mailbox.url, secret="s3cr3t")
    monkeypatch.setattr(email.Server, "is_here", False)
    fault = undelivered(to)
    assert fault.is_final
    assert "encryption" in str(fault)
    assert mailbox.mails == []


def test_a_command_finds_the_facts_in_its_environment_and_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUECTL_STORE", "s3cr3t")
    command = 'echo "$QUEUECTL_EVENT,$QUEUECTL_JOB_ID,$QUEUECTL_EXIT_CODE,$QUEUECTL_STORE" > told'
    told = hook(target=Target.COMMAND, address=command, cwd=str(tmp_path))
    assert deliver(told, DEAD, "d1") == "the command ended with 0"
    assert (tmp_path / "told").read_text() == "dead,job<1>,1,\n"
    deliver(told, of_empty_queue("gpu", NOON), "d2")
    assert (tmp_path / "told").read_text() == "queue-empty,,,\n"


def test_a_command_that_fails_has_not_delivered(tmp_path: Path) -> None:
    fails = hook(target=Target.COMMAND, address="exit 3", cwd=str(tmp_path))
    assert str(undelivered(fails, of_test(NOON))) == "the command ended with 3"
    gone = hook(target=Target.COMMAND, address="true", cwd=str(tmp_path / "gone"))
    assert "No such file or directory" in str(undelivered(gone))


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (RunResult.COMPLETED, "job 'j' completed (run 1, queue default)"),
        (RunResult.FAILED, "job 'j' failed and is retried (run 1, queue default): Exit code 1"),
        (RunResult.CANCELLED, "job 'j' was cancelled (queue default)"),
    ],
)
def test_an_event_is_said_in_one_sentence(outcome: RunResult, said: str) -> None:
    failed = outcome is RunResult.FAILED
    ended = ending(NOON, outcome, job_id="j", run=0 if outcome is RunResult.CANCELLED else 1,
                   error="Exit code 1" if failed else None)  # fmt: skip
    assert sentence(of_run(outcome.value, ended)) == said
