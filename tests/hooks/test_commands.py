"""`hook` on the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from queuectl.cli import completion
from queuectl.cli.session import Session
from queuectl.domain.hooks import delivery_id
from queuectl.domain.queue_limits import DELIVERY_QUEUE, OPEN, delivery_queue
from queuectl.queue import open_queue
from queuectl.queue.events import process_all_events
from tests.cli.harness import Cli, home
from tests.hooks.kit import events
from tests.hooks.receiver import KEY, Receiver
from tests.stores.kit import FAILURE, buried, claimed, settled

__all__ = ["home"]

URL = "https://example.com/s3cr3t"
REFUSED = replace(FAILURE, is_final=True)


def test_a_hook_is_added_and_shown_without_its_secrets_wherever_these_come_from(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("key").write_text(f"{KEY}\n")
    out = cli.ok(
        "hook", "add", "oncall", "--on", "dead,failed", "--on", "queue-empty", "--queue", "gpu",
        "--url", URL, "--secret-file", "key", "--format", "slack",
    ).out  # fmt: skip
    assert out == "Added hook 'oncall': queuectl hook test oncall tries it\n"
    (shown,) = cli.ok("hook", "list", "--json").json
    assert (shown["on"], shown["queue"]) == (["dead", "failed", "queue-empty"], "gpu")
    assert (shown["address"], shown["has_secret"]) == ("https://example.com/********", True)
    assert cli.ok("hook", "show", "oncall", "--json").json == {**shown, "deliveries": []}
    told = cli.ok("hook", "list").out + cli.ok("hook", "show", "oncall").out
    assert "slack" in told
    assert "s3cr3t" not in told
    with open_queue() as queue:
        hook = queue.hooks.get("oncall")
        assert (hook.address, hook.secret) == (URL, KEY)
        assert "s3cr3t" not in repr(hook)
    monkeypatch.setenv("HOOK_KEY", KEY)
    words = ("--on", "dead", "--url-file", "-", "--secret-env", "HOOK_KEY")
    cli.ok("hook", "add", "elsewhere", *words, stdin=f"{URL}\n")
    with open_queue() as queue:
        hook = queue.hooks.get("elsewhere")
        assert (hook.address, hook.secret) == (URL, KEY)


def test_how_often_a_digest_tells_is_shown(cli: Cli) -> None:
    cli.ok("hook", "add", "a", "--on", "failed", "--digest", "5s", "--url", URL)
    assert "failed, each 5s" in cli.ok("hook", "list").out
    assert "5s" in cli.ok("hook", "show", "a").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--url https://a.b", "--on"),
        ("--on dead --when dlq-size>1 --url https://a.b", "one of the two"),
        ("--on ded --url https://a.b", "did you mean 'dead'"),
        ("--when dlq>1 --url https://a.b", "did you mean 'dlq-size'"),
        ("--on dead", "give one of --url, --command, --mail"),
        ("--on dead --url https://a.b --command true", "give one of"),
        ("--on dead --url https://a.b --url-file key", "give one of"),
        ("--on dead --url gopher://a.b", "https://"),
        ("--on dead --url https://a.b --secret-env NOBODY", "no environment variable NOBODY"),
        ("--on dead --url https://a.b --secret-file absent", "cannot read absent"),
        ("--on dead --url https://a.b --secret-file empty", "a secret has"),
        ("--on dead --url https://a.b --smtp smtp://c", "--mail only"),
        ("--on dead --command true --format slack", "--url only"),
        ("--on dead --command true --secret-file key", "nothing is signed"),
        ("--on dead --mail me@a.b", "--smtp"),
        ("--on dead --mail me --smtp smtp://c", "not an e-mail address"),
        ("--on dead --mail me@a.b --smtp smtp://me@c", "go together"),
        ("--on dead --mail me@a.b --smtp smtp://me:pw@c", "must not hold the password"),
        ("--on dead --digest= --command true", "digest '' is not a duration"),
        ("--on queue-empty --label x --url https://a.b", "labels do not go with"),
        ("--on dead --queue -x --url https://a.b", "queue '-x' is not valid"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(cli: Cli, words: str, said: str) -> None:
    Path("key").write_text(f"{URL}\n")
    Path("empty").write_text("")
    assert said in cli.refused(2, "hook", "add", "a", *words.split())
    assert cli.ok("hook", "list", "--json").json == []


def test_a_hook_is_replaced_only_when_asked_and_leaves_nothing_out(cli: Cli) -> None:
    cli.ok("hook", "add", "a", "--when", "dlq-size > 0", "--url", URL)
    with open_queue() as queue:
        before = queue.hooks.get("a")
        changed = replace(before, changes=3, told=3, rev=before.rev + 1)
        assert queue.store.hooks.save(changed, before)
    assert "exists already" in cli.refused(4, "hook", "add", "a", "--on", "dead", "--url", URL)
    cli.ok("hook", "add", "a", "--when", "dlq-size > 5", "--url", URL, "--replace")
    with open_queue() as queue:
        after = queue.hooks.get("a")
    assert (after.when, after.created_at) == ("dlq-size > 5", before.created_at)
    assert (after.changes, after.told) == (3, 3), "the next change has a number of its own"


def test_hooks_are_paused_resumed_and_removed(cli: Cli) -> None:
    cli.ok("hook", "add", "a", "--on", "dead", "--url", URL)
    assert cli.ok("hook", "pause", "a").out == "Paused hook 'a'\n"
    cli.refused(1, "hook", "pause", "a")
    assert cli.ok("hook", "show", "a", "--json").json["paused"]
    assert cli.ok("hook", "resume", "a").out == "Resumed hook 'a'\n"
    cli.refused(1, "hook", "resume", "a")
    assert cli.ok("hook", "remove", "a").out == "Removed hook 'a'\n"
    for command in ("pause", "resume", "remove", "show", "test"):
        cli.refused(3, "hook", command, "a")
        cli.refused(3, "hook", command, "\udcff")
    assert "no hooks yet" in cli.ok("hook", "list").err


def limits(*names: str) -> list[tuple[bool, int]]:
    """Return whether the deliveries of some hooks are paused, and how many may run at once."""
    with open_queue() as queue:
        found = queue.store.queue_limits()
    each = [found.get(delivery_queue(name), OPEN) for name in names]
    return [(limit.paused, limit.limit) for limit in each]


def test_deliveries_are_limited_until_somebody_says_otherwise_and_paused_all_together(
    cli: Cli,
) -> None:
    cli.ok("hook", "add", "a", "--on", "dead", "--url", URL)
    assert limits("a") == [(False, 2)]
    cli.ok("queue", "limit", DELIVERY_QUEUE, "4")
    cli.ok("queue", "pause", DELIVERY_QUEUE)
    cli.ok("hook", "add", "b", "--on", "dead", "--url", URL)
    assert limits("a", "b") == [(True, 4), (True, 4)]
    cli.ok("queue", "resume", DELIVERY_QUEUE)
    cli.ok("hook", "remove", "b")
    assert limits("a", "b") == [(False, 4), (False, 0)]
    cli.ok("queue", "limit", DELIVERY_QUEUE, "0")
    with open_queue() as queue:
        assert queue.store.queue_limits() == {}


def test_a_hook_is_tried_at_once(cli: Cli, receiver: Receiver) -> None:
    Path("key").write_text(f"{KEY}\n")
    cli.ok("hook", "add", "a", "--on", "dead", "--url", receiver.url, "--secret-file", "key")
    assert cli.ok("hook", "test", "a").out == "Delivered: 127.0.0.1 answered HTTP 200\n"
    (post,) = receiver.posts
    assert post.is_signed
    assert post.json["event"] == "test"
    receiver.answers = [404]
    assert "127.0.0.1 answered HTTP 404" in cli.refused(1, "hook", "test", "a")


def test_the_ids_of_deliveries_belong_to_hooks(cli: Cli) -> None:
    job_id = delivery_id("a", "0" * 32)
    assert "belongs to hooks" in cli.refused(2, "enqueue", job_id, "echo hello")
    cli.ok("enqueue", "hook:mine", "echo hello")


def test_a_look_by_hand_judges_thresholds_and_provides_for_delivery(
    cli: Cli, receiver: Receiver
) -> None:
    cli.ok("hook", "add", "a", "--when", "dlq-size > 0", "--url", receiver.url)
    assert "nothing has changed" in cli.ok("hook", "check").err
    with open_queue() as queue:
        buried(queue.store, "job1")
        told = cli.ok("hook", "check")
        assert told.out == "hook 'a': crossed: dlq-size > 0 (now 1)\n"
        assert "one was started" in told.err
        assert receiver.got(1)[0].json["crossed"] is True
        assert events(queue.store) == ["crossed"]


def test_a_look_by_hand_shows_the_hooks_that_have_changed_sides_as_json(cli: Cli) -> None:
    for name, limit in (("a", 0), ("b", 5)):
        cli.ok("hook", "add", name, "--when", f"dlq-size > {limit}", "--command", "true")
    unchanged = cli.ok("hook", "check", "--json")
    assert (unchanged.json, unchanged.err) == ([], "")
    with open_queue() as queue:
        buried(queue.store, "job1")
    (changed,) = cli.ok("hook", "check", "--json").json
    assert (changed["name"], changed["crossed"], changed["value"]) == ("a", True, 1)
    assert changed == cli.ok("hook", "list", "--json").json[0]


def test_the_doctor_tells_of_hooks_that_cannot_do_their_work(cli: Cli) -> None:
    cli.ok("hook", "add", "a", "--on", "dead", "--command", "rm -rf x")
    checks = {each["name"]: each for each in cli.ok("doctor", "--json").json}
    assert checks["hooks"]["ok"]
    cli.ok("config", "set", "denied_commands", "rm *")
    checks = {each["name"]: each for each in cli("doctor", "--json").json}
    assert not checks["hooks"]["ok"]
    assert "hook 'a': this command is not allowed" in checks["hooks"]["detail"]
    assert checks["hooks"]["advice"]
    quick = {each["name"]: each["ok"] for each in cli.ok("doctor", "--quick", "--json").json}
    assert quick == {"home": True, "store": True, "pid file": True, "workers": True}


def test_names_and_events_are_completed(cli: Cli) -> None:
    cli.ok("hook", "add", "oncall", "--on", "dead", "--url", URL)

    def offered(*words: str) -> list[str]:
        return [
            item.value for item in completion.candidates(Session(), list(words[:-1]), words[-1])
        ]

    assert offered("hook", "show", "on") == ["oncall"]
    assert offered("hook", "add", "b", "--on", "dead,c") == ["dead,completed", "dead,cancelled"]


def test_what_hooks_tell_is_listed_and_counted_when_it_is_asked_for_and_not_else(cli: Cli) -> None:
    cli.ok("hook", "add", "a", "--on", "dead,completed", "--url", URL)
    cli.ok("enqueue", "mine", "true")
    with open_queue() as queue:
        settled(queue.store, claimed(queue.store))
        buried(queue.store, "lost")
        process_all_events(queue.store)
        dead, waiting = (job.id for job in queue.hooks.deliveries("a", 9))
        settled(queue.store, claimed(queue.store, only=dead), REFUSED)
    assert [job["id"] for job in cli.ok("list", "--json").json] == ["mine", "lost"]
    assert [job["id"] for job in cli.ok("dlq", "list", "--json").json] == ["lost"]
    told = cli.ok("list", "--deliveries", "--json").json
    assert {job["id"]: job["state"] for job in told} == {waiting: "pending", dead: "dead"}
    assert "job 'mine'" in cli.ok("list", "--deliveries").out
    assert "1 of 2 deliveries" in cli.ok("list", "--deliveries", "--limit", "1").err
    assert "no such deliveries" in cli.ok("list", "--deliveries", "--state", "failed").err
    assert cli.ok("status", "--json").json["counts"]["total"] == 2
    assert "deliveries" not in cli.ok("status").out
    assert cli.ok("status", "--deliveries", "--json").json["deliveries"]["dead"] == 1
    assert "deliveries total" in cli.ok("status", "--deliveries").out
    assert [each["name"] for each in cli.ok("queue", "list", "--json").json] == ["default"]
    assert set(cli.ok("stats", "--json").json["queues"]) == {"default"}
    assert cli.ok("stats", "--deliveries", "--json").json["total"]["dead"] == 1
    assert "hook a" in cli.ok("stats", "--deliveries").out
    metrics = cli.ok("metrics").out
    assert 'queuectl_deliveries{hook="a",state="dead"} 1.0' in metrics
    assert "+hook" not in metrics
    exported = cli.ok("export").out
    assert "hook:a:" not in exported
    assert "+hook" not in exported
    assert "hook a" in cli.ok("show", dead).out


def test_what_changes_many_jobs_leaves_deliveries_alone_unless_they_are_meant(cli: Cli) -> None:
    cli.ok("hook", "add", "a", "--on", "dead", "--url", URL)
    with open_queue() as queue:
        for number in range(2):
            buried(queue.store, f"lost{number}")
        process_all_events(queue.store)
        for job in queue.hooks.deliveries("a", 9):
            settled(queue.store, claimed(queue.store, only=job.id), REFUSED)
        ids = {job.id for job in queue.hooks.deliveries("a", 9)}
    assert set(cli.ok("dlq", "retry", "--all").out.split("'")[1::2]) == {"lost0", "lost1"}
    assert set(cli.ok("dlq", "retry", "--all", "--deliveries").out.split("'")[1::2]) == ids
    assert "no delivery is dead" in cli.ok("dlq", "retry", "--all", "--deliveries").err
    assert set(cli.ok("cancel", "--state", "pending", "-y").out.split("'")[1::2]) == {
        "lost0",
        "lost1",
    }
    assert set(cli.ok("cancel", "--deliveries", "-y").out.split("'")[1::2]) == ids
    assert cli.ok("purge", "-y").out == "Deleted 2 jobs\n"
    assert cli.ok("purge", "--deliveries", "--dry-run").out.startswith("Would delete 2 ")
    assert cli.ok("purge", "--deliveries", "-y").out == "Deleted 2 jobs\n"


def test_a_delivery_in_an_export_of_an_older_version_stays_one(cli: Cli) -> None:
    job_id = delivery_id("a", "0" * 32)
    line = {"type": "job", "id": job_id, "command": ["queuectl", "hook", "deliver", "a"],
            "queue": "hooks", "state": "pending"}  # fmt: skip
    cli.ok("enqueue", "mine", "true")
    exported = [json.loads(each) for each in cli.ok("export").out.splitlines()]
    (mine,) = (each for each in exported if each["type"] == "job")
    Path("old.jsonl").write_text(json.dumps({**mine, **line}) + "\n")
    cli.ok("import", "old.jsonl")
    assert [job["id"] for job in cli.ok("list", "--deliveries", "--json").json] == [job_id]
    assert [job["id"] for job in cli.ok("list", "--json").json] == ["mine"]
