"""`queuectl key`: making a key, trusting others, and requiring signatures."""

from __future__ import annotations

import json

import pytest

from tests.cli.harness import Cli, cli

__all__ = ["cli"]


def test_a_key_is_made_trusted_listed_and_revoked(cli: Cli) -> None:
    public = cli.ok("key", "new").out.strip()
    assert public.startswith("ed25519:")
    assert cli.ok("key", "trust", "me", public).out == "Trusted key 'me'\n"
    assert json.loads(cli.ok("key", "list", "--json").out) == {
        "own": public,
        "requires_signed": False,
        "trusted": {"me": public},
    }
    assert public in cli.ok("key", "list").out
    assert cli.ok("key", "revoke", "me").out == "Revoked key 'me'\n"
    assert json.loads(cli.ok("key", "list", "--json").out)["trusted"] == {}


def test_signatures_are_required_until_they_are_not(cli: Cli) -> None:
    assert cli.ok("key", "require").out == "Signatures are required\n"
    assert json.loads(cli.ok("key", "list", "--json").out)["requires_signed"] is True
    cli.ok("key", "require", "--off")
    assert json.loads(cli.ok("key", "list", "--json").out)["requires_signed"] is False


def test_show_names_the_key_that_a_job_was_signed_with(cli: Cli) -> None:
    public = cli.ok("key", "new").out.strip()
    cli.ok("enqueue", "--id", "a", "echo hi")
    assert public in cli.ok("show", "a").out


def test_a_key_that_is_named_and_not_there_is_complained_of(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUECTL_SIGNING_KEY", "/nowhere/key")
    result = cli("enqueue", "echo hi")
    assert result.code != 0
    assert "/nowhere/key" in result.err
