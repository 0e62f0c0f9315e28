"""How SQLite runs the store's statements: each by an index, no jobs sorted, none read in vain.

The statements are noted as the store makes them, with their parameters, and explained as they are.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import SETTLED, State
from queuectl.domain.query import Filter, Order, Page
from queuectl.stores.exchange import ClaimRequest
from queuectl.stores.sqlite.store import SqliteStore
from tests.stores.kit import FAILURE, SUCCESS, added, buried, claimed, new_job, renewal, request

HOUR = timedelta(hours=1)
EXPLAINED = ("SELECT", "UPDATE", "DELETE")
OF_JOBS = re.compile(r"\b(jobs|runs)\b")
LANES = re.compile(r"SCALAR SUBQUERY \d+\n(SEARCH|SCAN) counter\b.*", re.DOTALL)
FULL_SCAN = re.compile(r"SCAN (TABLE )?(jobs|runs)\b(?!.* INDEX \w+)")


class Noting(sqlite3.Connection):
    """A connection that notes what it is asked."""

    asked: list[tuple[str, Any]]

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.__dict__.setdefault("asked", []).append((sql, parameters))
        return super().execute(sql, parameters)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Noting]:
    """Every connection that has been made."""
    made: list[Noting] = []
    connect = partial(sqlite3.connect, factory=Noting)

    def noted(*args: Any, **kwargs: Any) -> Noting:
        connection = connect(*args, **kwargs)
        assert isinstance(connection, Noting)
        made.append(connection)
        return connection

    monkeypatch.setattr(sqlite3, "connect", noted)
    return made


@pytest.fixture
def store(tmp_path: Path, connections: list[Noting]) -> Iterator[SqliteStore]:
    """A store with a few jobs of every kind."""
    store = SqliteStore(tmp_path / "queue.db")
    assert connections
    buried(store, "dead", labels=("nightly",))
    later = store.now() + HOUR
    store.insert([new_job(store, f"later{n}", later) for n in range(9)])
    store.insert([new_job(store, f"job{n}", queue=f"q{n % 2}", priority=n % 3) for n in range(30)])
    claimed(store, worker="w9")
    yield store
    store.close()


def plans_of(
    store: SqliteStore, connections: list[Noting], act: Callable[[SqliteStore], object]
) -> list[str]:
    """Return the plan of each statement with which a call finds or changes rows."""
    connection = connections[-1]
    connection.asked.clear()
    act(store)
    asked = [(sql, values) for sql, values in connection.asked if sql.startswith(EXPLAINED)]
    explain = partial(sqlite3.Connection.execute, connection)
    return [
        "\n".join(line for *_, line in explain(f"EXPLAIN QUERY PLAN {sql}", values))
        for sql, values in asked
    ]


# what is asked


def promote(store: SqliteStore) -> None:
    added(store, "soon", store.now() + timedelta(milliseconds=300))
    while not store.make_due_claimable():
        pass


def settle_and_claim(store: SqliteStore) -> None:
    job = claimed(store)
    change = state_machine.finish(job, SUCCESS, store.now())
    assert store.commit_and_claim([change], [request()])[1]


def bury(store: SqliteStore) -> None:
    job = claimed(store)
    assert store.commit(state_machine.finish(job, FAILURE, store.now()))


def take_turns(store: SqliteStore) -> None:
    store.insert(
        [new_job(store, f"b{n}", batch="b", at_once=2, priority=9, max_fails=9) for n in range(5)]
    )
    bury(store)
    assert store.batches.let_go() == 0
    assert store.batches.has_unsettled("b")
    assert store.batches.counts("b")
    assert store.batches.pending("b", 3) == 3
    assert list(store.find(Filter(batch="b"), Page(limit=20)))


def old_ones(store: SqliteStore) -> None:
    before = store.now() + HOUR
    assert store.retention.ended(State.DEAD, before, 5, before - 2 * HOUR)
    assert not store.retention.ended(State.CANCELLED, before, 5) + store.retention.ended(
        State.COMPLETED, before, 5
    )


def past_runs(store: SqliteStore) -> None:
    assert store.commit(
        state_machine.retry(store.retention.ended(State.DEAD, store.now(), 1)[0], store.now())
    )
    assert store.commit(state_machine.finish(claimed(store, only="dead"), SUCCESS, store.now()))
    assert store.retention.has_past_runs(store.now())
    assert store.retention.forget_runs(store.now(), 5) == ([("dead", 1)], False)


def remove(store: SqliteStore) -> None:
    dead = store.retention.ended(State.DEAD, store.now() + HOUR, 5)
    assert store.retention.remove(dead) == {"dead"}


def listing(chosen: Filter, **page: Any) -> Callable[[SqliteStore], object]:
    def act(store: SqliteStore) -> None:
        assert list(store.find(chosen, Page(limit=20, **page)))

    return act


ANY = Filter()
DEAD = Filter(states=frozenset({State.DEAD}))
RUNNING = Filter(states=frozenset({State.PROCESSING}))
WAITING_JOBS = Filter(states=frozenset({State.PENDING, State.FAILED}))
LABELLED = Filter(labels=("nightly",))
ENDED_WITH_1 = Filter(exit_code=1)
MINE = ClaimRequest("mine", "w1", 30.0, only="job0")


@pytest.mark.parametrize(
    ("act", "indexes"),
    [
        pytest.param(lambda store: store.claim(request()), "counters_next jobs_claim", id="claim"),
        pytest.param(lambda store: store.claim(request("q0", "q1")), "jobs_claim", id="queues"),
        pytest.param(
            lambda store: store.claim(request(alone=False)),
            "counters_next jobs_claim",
            id="claim beside others",
        ),
        pytest.param(
            lambda store: store.ready_suspects((), 9) or store.claim(request(suspects=True)),
            "jobs_suspects",
            id="no suspects",
        ),
        pytest.param(lambda store: store.claim(MINE), "sqlite_autoindex_jobs_1", id="one job"),
        pytest.param(settle_and_claim, "counters_next jobs_claim", id="settle"),
        pytest.param(bury, "PRIMARY KEY", id="bury"),
        pytest.param(promote, "jobs_due", id="promote"),
        pytest.param(lambda store: store.next_due(), "jobs_due", id="next due"),
        pytest.param(
            lambda store: renewal(store, "job0", "claim"), "sqlite_autoindex_jobs_1", id="renew"
        ),
        pytest.param(
            lambda store: store.leases_ending(store.now() + HOUR), "jobs_state", id="leases"
        ),
        pytest.param(lambda store: store.claimed_by("w9"), "jobs_state", id="held by a worker"),
        pytest.param(lambda store: store.get("dead"), "sqlite_autoindex_jobs_1", id="get"),
        pytest.param(lambda store: store.generated_ids("x", 2), "jobs_generated", id="prefix"),
        pytest.param(listing(ANY), "PRIMARY KEY", id="list"),
        pytest.param(listing(ANY, newest_first=True), "PRIMARY KEY", id="list from the end"),
        pytest.param(listing(ANY, after_seq=5), "PRIMARY KEY", id="list further"),
        pytest.param(listing(DEAD), "jobs_state", id="list the dead"),
        pytest.param(listing(WAITING_JOBS), "jobs_state", id="list several states"),
        pytest.param(listing(LABELLED), "jobs_labelled", id="list by label"),
        pytest.param(
            listing(replace(LABELLED, states=DEAD.states)), "jobs_labelled", id="dead by label"
        ),
        pytest.param(listing(ENDED_WITH_1), "jobs_ended_badly", id="list by exit code"),
        pytest.param(
            listing(replace(ENDED_WITH_1, states=DEAD.states), newest_first=True),
            "jobs_ended_badly", id="dead by exit code",
        ),
        pytest.param(
            listing(Filter(SETTLED), order=Order.ENDED, newest_first=True),
            "jobs_ended", id="latest that ended",
        ),
        pytest.param(old_ones, "jobs_ended", id="ended"),
        pytest.param(take_turns, "jobs_turns jobs_next_in_turn jobs_batch", id="batches"),
        pytest.param(past_runs, "runs_past", id="past runs"),
        pytest.param(remove, "PRIMARY KEY", id="remove"),
        pytest.param(
            lambda store: store.environments.forget(store.now()),
            "jobs_environment", id="environments",
        ),
        pytest.param(listing(RUNNING), "jobs_state", id="list one state"),
        pytest.param(listing(Filter(id_prefix="job1")), "(id>? AND id<?) (rowid=?)", id="list few"),
    ],
)  # fmt: skip
def test_a_statement_uses_its_index(
    store: SqliteStore,
    connections: list[Noting],
    act: Callable[[SqliteStore], object],
    indexes: str,
) -> None:
    plans = plans_of(store, connections, act)
    assert plans
    for plan in plans:
        assert not FULL_SCAN.search(plan), plan
        without_lanes = LANES.sub("", plan.replace("SCAN jobs USING INDEX jobs_needs", ""))
        assert "TEMP B-TREE" not in without_lanes or not OF_JOBS.search(without_lanes), plan
    text = "\n".join(plans)
    assert [name for name in indexes.split() if name not in text] == [], text


def test_counting_looks_at_no_job(store: SqliteStore, connections: list[Noting]) -> None:
    plans = plans_of(store, connections, lambda store: store.counts())
    assert plans
    assert not [plan for plan in plans if OF_JOBS.search(plan)]


def test_what_every_job_passes_through_is_compiled_once(
    store: SqliteStore, connections: list[Noting]
) -> None:
    connection = connections[-1]
    job = store.claim(request())
    assert job is not None
    connection.asked.clear()
    store.commit_and_claim([state_machine.finish(job, SUCCESS, store.now())], [request()])
    statements = [each for each in connection.asked if each[0].startswith(EXPLAINED)]
    compiled: list[object] = []

    def note(*what: object) -> int:
        compiled.append(what)
        return sqlite3.SQLITE_OK

    connection.set_authorizer(note)  # which is asked while a statement is compiled
    connection.execute("BEGIN")
    for sql, parameters in statements:
        connection.execute(sql, parameters).fetchall()
    compiled.clear()
    for sql, parameters in statements:
        connection.execute(sql, parameters).fetchall()
        assert compiled == [], sql
    connection.execute("ROLLBACK")
