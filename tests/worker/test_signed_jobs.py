"""A host that requires signatures runs what a trusted key has signed, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.frozen import replace
from queuectl.domain.job import Job, State
from queuectl.queue import Queue, signing
from queuectl.queue.signing import NOT_TRUSTED
from tests.worker.fleet import Fleet


@pytest.fixture
def signed(fleet: Fleet) -> Fleet:
    """A home that has a key, trusts it, and requires signatures."""
    signing.trust(fleet.home, "me", signing.new_key(fleet.home))
    fleet.queue.close()
    fleet.queue = Queue.open(fleet.location)
    fleet.queue.require_signed(is_required=True)
    return fleet


def planted(fleet: Fleet, job_id: str, **fields: Any) -> str:
    """Store a copy of the job 'signed' under another id, or with other fields, past all checks."""
    store = fleet.queue.store
    spec = replace(fleet.job("signed").spec, id=job_id, **fields)
    assert not store.insert([state_machine.enqueue(spec, None, store.now())])
    return job_id


def refused(job: Job) -> bool:
    """Whether a job was refused, and began nothing."""
    assert job.last_error == NOT_TRUSTED
    return job.state is State.DEAD


def test_a_signed_job_runs_and_a_copy_an_altered_and_an_unsigned_one_do_not(
    signed: Fleet, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    signed.enqueue(f"echo x >> {mark}", "signed")
    copies = [planted(signed, "copy"), planted(signed, "bare", signature=None)]
    copies.append(planted(signed, "prepared", preflight=f"echo p >> {mark}"))
    signed.start(1)
    assert signed.settled("signed").state is State.COMPLETED
    assert all(refused(signed.settled(job_id)) for job_id in copies)
    assert mark.read_text() == "x\n"
    assert {job.id for job in map(signed.job, copies)} == {"copy", "bare", "prepared"}


def test_a_job_keeps_its_signature_when_it_is_tried_again(signed: Fleet, tmp_path: Path) -> None:
    once = tmp_path / "once"
    signed.enqueue(f"test -e {once} || {{ touch {once}; exit 1; }}", "a", backoff_base=0.1)
    signed.start(1)
    job = signed.settled("a")
    assert (job.state, job.runs) == (State.COMPLETED, 2)


def test_what_a_revoked_key_signed_and_has_not_begun_is_refused(signed: Fleet) -> None:
    signed.enqueue("true", "a")
    signing.revoke(signed.home, "me")
    signed.start(1)
    assert refused(signed.settled("a"))


def test_a_captured_environment_that_was_changed_in_the_store_is_refused(signed: Fleet) -> None:
    signed.enqueue("true", "a", capture_env=True)
    store = signed.queue.store
    name = signed.job("a").spec.environment
    assert name
    spec = signing.Signer(signed.home, store).sign(
        replace(signed.job("a").spec, id="b", environment="0" * 32)
    )
    store.environments.save("0" * 32, (("LD_PRELOAD", "/tmp/x.so"),))
    assert not store.insert([state_machine.enqueue(spec, None, store.now())])
    signed.start(1)
    assert signed.settled("a").state is State.COMPLETED
    assert "is not what was captured" in (signed.settled("b").last_error or "")
