"""Take one safeguard after another out of a copy of the program; its test must go red.

`python -m tests.chaos.mutants [NAME...]` prints a table and ends with 1 when a mutant survives,
or when a test is red on the program as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
COPIED = ("queuectl", "tests", "docs", "pyproject.toml")
AT_ONCE = 8  # most of the time they wait
LONGEST_SECONDS = 60
TESTS_FAILED = 1
"""Pytest's exit code for tests that ran and failed; the others mean that something else broke."""

CLAIMS = "tests/stores/test_claims.py::"
GUARD = "tests/worker/test_watchdog.py::"
GUARDS = "tests/chaos/test_guards.py::"
RUNS = "tests/system/test_run_processes.py::"
UNDYING = "tests/worker/test_unkillable.py::"
DEPENDENCIES = "tests/stores/test_dependencies.py::"
MONGO = "tests/stores/test_mongo.py::"
LANES = "tests/stores/test_queues.py::"
KILLING = "tests/chaos/test_killing.py::"
FIGURES = "tests/stores/test_stats.py::"
DELIVERIES = "tests/stores/test_deliveries.py::"
EXCHANGED = "tests/chaos/test_exchanged.py::"
STRANGERS = "tests/chaos/test_strangers.py::"
SETTLING = "tests/stores/test_settling.py::"
SUSPECTS = "tests/stores/test_suspects.py::"
BESIDE = "tests/worker/test_concurrency.py::"
CONSOLE = "tests/worker/test_console.py::"
JOURNAL = "tests/worker/test_crash_journal.py::"
RESOURCES = "tests/stores/test_resources.py::"
ALLOCATION = "tests/domain/test_allocation.py::"
BATCHES = "tests/stores/test_batches.py::"


@dataclass(frozen=True, slots=True)
class Cut:
    """Text of a file of the package that is replaced; it must be there exactly once."""

    file: str
    text: str
    by: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A safeguard that is missing, and the test that must notice."""

    name: str
    test: str
    cuts: tuple[Cut, ...]


MUTANTS = (
    Mutant(
        "a claim on SQLite does not look at what is held",
        RESOURCES + "test_nothing_is_held_twice_nor_exceeded[sqlite]",
        (Cut("stores/sqlite/needs.py", "for each in _held(db)]", "for each in ()]"),),
    ),
    Mutant(
        "a claim on SQLite does not write down what it holds",
        RESOURCES + "test_many_requests_at_once_never_exceed_what_there_is[sqlite]",
        (
            Cut(
                "stores/sqlite/changes.py",
                "rows.holding_text(claim.holding) if claim else None for",
                "None for",
            ),
        ),
    ),
    Mutant(
        "a job that is named is taken without what it needs",
        RESOURCES + "test_a_named_job_is_taken_with_what_it_needs_or_not_at_all[sqlite]",
        (Cut("stores/sqlite/claims.py", "return jobs if holding else []", "return jobs"),),
    ),
    Mutant(
        "a suspect on SQLite is taken without what it needs",
        RESOURCES + "test_a_suspect_with_needs_runs_alone_and_with_what_it_needs[sqlite]",
        (Cut("stores/sqlite/suspects.py", "if holding is None:", "if False:"),),
    ),
    Mutant(
        "the ledger on MongoDB is written though another has written it",
        RESOURCES + "test_of_two_that_saw_the_same_ledger_one_writes_it",
        (Cut("stores/mongo/needs.py", '{"_id": _LEDGER, "rev": self._rev}', '{"_id": _LEDGER}'),),
    ),
    Mutant(
        "a claim on MongoDB whose entry was taken for lost begins its job",
        RESOURCES + "test_a_claim_that_was_slower_than_the_ledger_waits_gives_its_job_back",
        (
            Cut(
                "stores/mongo/claims.py",
                "if jobs[0].spec.needs and not self.needy.confirm(",
                "if not (",
            ),
        ),
    ),
    Mutant(
        "an entry on MongoDB outlives its claim",
        RESOURCES + "test_an_entry_stands_until_its_claim_is_made_and_goes_with_it",
        (
            Cut("stores/mongo/needs.py", 'if each["claim"] in standing or not (', "if not ("),
            Cut("stores/mongo/needs.py", 'each.get("confirmed") or each["at"] < since', "False"),
        ),
    ),
    Mutant(
        "an entry on MongoDB whose claim is about to be made is taken for lost",
        RESOURCES + "test_an_entry_stands_until_its_claim_is_made_and_goes_with_it",
        (Cut("stores/mongo/needs.py", 'each.get("confirmed") or each["at"] < since', "True"),),
    ),
    Mutant(
        "a device that is held whole is shared",
        ALLOCATION + "test_a_gpu_that_is_held_whole_is_shared_with_nobody",
        (Cut("domain/allocation.py", "and device not in taken and", "and"),),
    ),
    Mutant(
        "a device that is shared is given away whole",
        ALLOCATION + "test_several_jobs_share_a_gpu_up_to_its_memory_and_fill_one_first",
        (Cut("domain/allocation.py", "if each not in self._shared]", "]"),),
    ),
    Mutant(
        "memory that others use is given away",
        ALLOCATION + "test_memory_that_others_use_is_not_given_away",
        (Cut("domain/allocation.py", "size - foreign.get(device, 0) for", "size for"),),
    ),
    Mutant(
        "a big job is starved by small ones",
        RESOURCES + "test_a_big_job_is_not_starved_by_small_ones_behind_it[sqlite]",
        (Cut("domain/allocation.py", "room.keep_free(each.needs)", "pass"),),
    ),
    Mutant(
        "what does not fit blocks what does",
        RESOURCES + "test_what_does_not_fit_does_not_block_what_does[sqlite]",
        (
            Cut(
                "domain/allocation.py",
                "if since is not None and now - since",
                "if units is None or now - since",
            ),
        ),
    ),
    Mutant(
        "another user talks to a run",
        CONSOLE + "test_another_user_is_turned_away_even_where_the_modes_would_let_him_in",
        (Cut("worker/runs/console_main.py", "if is_own(connection):", "if True:"),),
    ),
    Mutant(
        "a run is over before its log is",
        CONSOLE + "test_a_run_is_not_over_before_all_that_it_showed_is_written_down",
        (Cut("worker/runs/executor.py", "hand.console.finish()", "hand.console.abandon()"),),
    ),
    Mutant(
        "who comes takes files that were exchanged",
        EXCHANGED
        + "test_who_comes_to_files_that_were_exchanged_is_refused_and_writes_nothing"
        + "[queue.db-wal-unlink]",
        (
            Cut(
                "stores/sqlite/files.py",
                "if self._can_lock:\n                self._require",
                "if False:\n                self._require",
            ),
        ),
    ),
    Mutant(
        "a write into exchanged files is answered",
        EXCHANGED
        + "test_what_is_exchanged_in_the_middle_of_a_write_is_found_before_the_answer"
        + "[queue.db-shm]",
        (Cut("stores/sqlite/transaction.py", "self._files.require_whole()", "pass"),),
    ),
    Mutant(
        "who has the store open does not look at its files again",
        EXCHANGED + "test_the_last_one_to_let_go_brings_home_what_was_taken[queue.db-shm-unlink]",
        (Cut("stores/sqlite/database.py", "(files.is_whole() or self", "(True or self"),),
    ),
    Mutant(
        "a log of writes is applied to another file",
        EXCHANGED + "test_a_log_of_writes_is_not_applied_to_a_file_that_it_does_not_belong_to",
        (Cut("stores/sqlite/files.py", "if is_same_log and not is_same:", "if False:"),),
    ),
    Mutant(
        "a file is known by its number alone",
        EXCHANGED + "test_a_file_that_has_the_number_of_the_one_before_it_is_told_from_it",
        (
            Cut(
                "stores/sqlite/file_locks.py",
                "_GENERATION, bytes(8)), sys.byteorder)",
                "_GENERATION, bytes(8)), sys.byteorder) * 0",
            ),
        ),
    ),
    Mutant(
        "a store is made beside the log of one that is gone",
        EXCHANGED + "test_no_store_is_made_beside_the_log_of_one_that_is_gone",
        (
            Cut(
                "stores/sqlite/files.py",
                "        if file is None:\n            raise",
                "        if False:\n            raise",
            ),
        ),
    ),
    Mutant(
        "a store is taken for closed when its lock file was removed",
        EXCHANGED + "test_a_store_is_known_to_be_open_though_its_lock_file_was_removed_too",
        (Cut("stores/sqlite/files.py", "or is_open_elsewhere(self._path)", ""),),
    ),
    Mutant(
        "SQLite tells what somebody else has told",
        FIGURES + "test_what_has_been_told_by_somebody_else_is_not_told_again[sqlite]",
        (Cut("stores/sqlite/stats.py", "if self._recorded_batches() != batches:", "if False:"),),
    ),
    Mutant(
        "MongoDB tells what somebody else has told",
        FIGURES + "test_what_has_been_told_by_somebody_else_is_not_told_again[mongo]",
        (Cut("stores/mongo/stats.py", '"number": number, "is_open": False}', "}"),),
    ),
    Mutant(
        "a telling that is finished on MongoDB adds again what it had added",
        FIGURES + "test_a_telling_that_a_crash_cut_short_is_finished_once[3]",
        (Cut("stores/mongo/stats.py", '"batch": {"$lt": number}}, noted', "}, noted"),),
    ),
    Mutant(
        "a telling that a crash cut short on MongoDB is left as it is",
        FIGURES + "test_a_telling_that_a_crash_cut_short_is_finished_once[1]",
        (Cut("stores/mongo/stats.py", 'if batch["is_open"]:', "if False:"),),
    ),
    Mutant(
        "a deletion on MongoDB loses what was not processed",
        FIGURES + "test_an_ending_outlives_the_deletion_of_its_job[mongo-False-alone]",
        (Cut("stores/mongo/writes.py", "        keep_events(self._link, [before.id])\n", ""),),
    ),
    Mutant(
        "what outlives the deletion of its job on MongoDB is recorded again and again",
        FIGURES + "test_an_ending_outlives_the_deletion_of_its_job[mongo-False-alone]",
        (Cut("stores/mongo/stats.py", 'if batch.get("has_kept"):', "if False:"),),
    ),
    Mutant(
        "what was recorded of a deleted job on MongoDB comes back",
        "tests/stores/test_mongo_faults.py::"
        "test_who_comes_late_to_keep_what_a_deleted_job_has_been_through_brings_nothing_back",
        (Cut("stores/mongo/stats.py", '{"$setOnInsert": {"id"', '{"$set": {"id"'),),
    ),
    Mutant(
        "a burial on MongoDB loses what was not told",
        FIGURES + "test_an_ending_outlives_the_moves_of_its_job[mongo-buried]",
        (
            Cut(
                "stores/mongo/documents.py",
                '"children_pending", "pending_events",\n)',
                '"children_pending",\n)',
            ),
        ),
    ),
    Mutant(
        "a revival on MongoDB loses what was not told",
        FIGURES + "test_an_ending_outlives_the_moves_of_its_job[mongo-revived]",
        (
            Cut(
                "stores/mongo/dead.py",
                '{"pending_events": found["pending_events"]} if',
                "{} if",
            ),
        ),
    ),
    Mutant(
        "commit on SQLite does not look at its fence",
        STRANGERS + "test_the_second_of_two_expiries_of_one_claim_is_refused[sqlite]",
        (
            Cut("stores/sqlite/changes.py", '("seq", *_FENCED[fence])', '("seq",)'),
            Cut(
                "stores/sqlite/changes.py",
                "(change.before.seq, *_fence_values(change))",
                "(change.before.seq,)",
            ),
        ),
    ),
    Mutant(
        "commit on MongoDB does not look at its fence",
        STRANGERS + "test_an_id_that_was_deleted_and_enqueued_again_refuses_the_old_worker[mongo]",
        (
            Cut(
                "stores/mongo/writes.py",
                "decided, written = fence(change, linking), update(",
                'decided, written = {"_id": change.before.id}, update(',
            ),
        ),
    ),
    Mutant(
        "guard spares a worker that was stopped with a lock in hand",
        GUARD + "test_a_worker_that_was_stopped_with_a_lock_in_hand_is_killed",
        (
            Cut(
                "worker/runs/watchdog.py",
                "            os.kill(worker, signal.SIGKILL)\n",
                "            continue\n",
            ),
        ),
    ),
    Mutant(
        "expiry on SQLite does not compare the lease",
        STRANGERS + "test_a_renewal_between_the_look_and_the_expiry_defeats_the_expiry[sqlite]",
        (
            Cut("stores/sqlite/changes.py", '*MARKS, "lease_until")', "*MARKS)"),
            Cut("stores/sqlite/changes.py", "if change.fence is _LEASE:", "if False:"),
        ),
    ),
    Mutant(
        "expiry on MongoDB does not compare the lease",
        STRANGERS + "test_a_renewal_between_the_look_and_the_expiry_defeats_the_expiry[mongo]",
        (
            Cut(
                "stores/mongo/documents.py",
                "if change.fence is Fence.LEASE and claim:",
                "if False and claim:",
            ),
        ),
    ),
    Mutant(
        "claim on SQLite does not look at the state",
        CLAIMS + "test_a_named_job_that_waits_for_later_is_not_claimed[sqlite]",
        (
            Cut("stores/sqlite/claims.py", '"id = ? AND ready >= 1"', '"id = ?"'),
            Cut("stores/sqlite/claims.py", "if job.is_ready(now) and queues", "if queues"),
            Cut("domain/state_machine.py", "    if not job.is_ready(now):", "    if False:"),
        ),
    ),
    Mutant(
        "claim on MongoDB does not look at the state",
        CLAIMS + "test_a_job_is_claimed_once[mongo]",
        (
            Cut(
                "stores/mongo/claims.py",
                'wanted = {**where, "ready": True if holding is None else NEEDS}',
                "wanted = where",
            ),
        ),
    ),
    Mutant(
        "ends of several on MongoDB do not look at their fences",
        SETTLING + "test_an_end_that_is_refused_spoils_neither_the_others_nor_the_claims[mongo]",
        (
            Cut(
                "stores/mongo/ends.py",
                "UpdateOne(fence(change), update(",
                'UpdateOne({"_id": change.before.id}, update(',
            ),
        ),
    ),
    Mutant(
        "claims of several on MongoDB take what has changed since it was seen",
        "tests/stores/test_mongo_several.py::test_what_was_changed_since_it_was_seen_is_not_taken",
        (
            Cut(
                "stores/mongo/several.py",
                '{"_id": seen["_id"], "ready": True, **_as_seen(seen)}',
                '{"_id": seen["_id"]}',
            ),
        ),
    ),
    Mutant(
        "claims of several on MongoDB that are asked for again take other jobs",
        SETTLING + "test_claims_that_are_asked_for_again_are_the_same[mongo]",
        (Cut("stores/mongo/claims.py", "if request.repeated else []", "if False else []"),),
    ),
    Mutant(
        "a job on MongoDB that may have ended its worker is claimed with others",
        SETTLING + "test_a_job_that_may_have_ended_its_worker_is_claimed_alone[mongo-1-counted]",
        (Cut("stores/mongo/crowd.py", "takewhile(_is_harmless, chosen", "iter(chosen"),),
    ),
    Mutant(
        "a claim on MongoDB does not hold the numbers of its slots",
        MONGO + "test_two_workers_that_saw_the_same_room_do_not_both_take_it",
        (Cut("stores/mongo/claims.py", "list(numbers)} if numbers else", "()} if False else"),),
    ),
    Mutant(
        "the end of a parent on SQLite ignores a child that came meanwhile",
        DEPENDENCIES + "test_a_child_added_while_its_parent_runs_is_told[sqlite]",
        (Cut("domain/state_machine.py", '"paused", "has_dependents")', '"paused")'),),
    ),
    Mutant(
        "the end of a parent on MongoDB ignores a child that came meanwhile",
        DEPENDENCIES + "test_a_child_added_while_its_parent_runs_is_told[mongo]",
        (Cut("domain/state_machine.py", '"paused", "has_dependents")', '"paused")'),),
    ),
    Mutant(
        "a parent that ended before is not looked at again on MongoDB",
        DEPENDENCIES + "test_a_parent_that_ended_before_is_known_when_the_child_is_added[mongo]",
        (
            Cut(
                "stores/mongo/batches.py",
                "    dependencies.finish_linking(link, numbered, stamp)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "an edit on MongoDB does not see what another is about to write",
        "tests/stores/test_mongo_dependencies.py::"
        "test_an_edit_that_is_about_to_be_written_is_seen_by_the_one_that_comes_between",
        (
            Cut(
                "stores/mongo/dependencies.py",
                '*(announced["blocked_by"] if announced else ()),',
                "",
            ),
        ),
    ),
    Mutant(
        "a change of many jobs on MongoDB does not look at the fence of each",
        "tests/stores/test_bulk.py::test_every_change_is_applied_or_not_by_itself[mongo]",
        (Cut("stores/mongo/bulk.py", ', "rev": jobs[0].rev}', "}"),),
    ),
    Mutant(
        "more of a batch go at once than it says",
        "tests/chaos/test_batches.py::"
        "test_no_more_of_a_batch_run_at_once_than_was_said_while_workers_are_killed[sqlite]",
        (
            Cut(
                "stores/sqlite/turns.py",
                "room = most - int(db.row(_HELD, (name,))[0])",
                "room = most",
            ),
        ),
    ),
    Mutant(
        "a turn on MongoDB is given that another job holds",
        BATCHES + "test_no_more_jobs_of_a_batch_go_at_once_than_it_says[mongo]",
        (
            Cut("stores/mongo/turns.py", '{each["turn_held"] for each in found}', "set[str]()"),
            Cut(
                "stores/mongo/schema.py",
                '_index("turn_held", "turn_held", unique=True, sparse=True)',
                '_index("turn_held", "turn_held", sparse=True)',
            ),
        ),
    ),
    Mutant(
        "an end of a batch is told of again",
        BATCHES + "test_a_batch_ends_once_each_time_that_its_last_job_has_ended[sqlite]",
        (Cut("queue/batches.py", "latest is None or latest <= before", "latest is None"),),
    ),
    Mutant(
        "jobs of a batch are made by a record that has changed",
        BATCHES + "test_jobs_that_are_not_made_yet_count_as_what_they_will_be[sqlite]",
        (Cut("stores/sqlite/batches.py", "if not self._is_unchanged(before):", "if False:"),),
    ),
    Mutant(
        "claim on SQLite does not look at the slots",
        LANES + "test_a_limit_holds_for_the_fleet_and_a_finished_run_makes_room[sqlite]",
        (
            Cut(
                "stores/sqlite/queues.py",
                "    if reads.used_slots(db, queue) + row[_SLOTS] <= limit:",
                "    if True:",
            ),
        ),
    ),
    Mutant(
        "the slot of a job takes a delivery on SQLite",
        DELIVERIES + "test_who_asks_for_a_job_is_never_given_a_delivery[sqlite]",
        (
            Cut(
                "stores/sqlite/queues.py",
                "if deliveries else _OF_JOBS",
                'if deliveries else "TRUE"',
            ),
        ),
    ),
    Mutant(
        "the slot of a job takes a delivery on MongoDB",
        DELIVERIES + "test_who_asks_for_a_job_is_never_given_a_delivery[mongo]",
        (
            Cut(
                "stores/mongo/queues.py",
                'after else {"$gte": FIRST_NAME}',
                'after else {"$gt": after}',
            ),
        ),
    ),
    Mutant(
        "the postroom goes on when its courier has gone",
        "tests/hooks/test_postroom.py::test_nothing_goes_on_for_a_courier_that_has_gone",
        (
            Cut(
                "worker/deliveries/senders.py",
                "            for run_id in self._going:\n",
                "            for run_id in ():\n",
            ),
        ),
    ),
    Mutant(
        "MongoDB may acknowledge what is not durable",
        "tests/stores/test_mongo.py::"
        "test_writes_are_majority_and_journaled_whatever_the_address_says",
        (
            Cut(
                "stores/mongo/connection.py",
                'DURABLE = WriteConcern("majority", j=True)',
                "DURABLE = WriteConcern(1)",
            ),
        ),
    ),
    Mutant(
        "the guard does not kill when its worker has died",
        GUARD + "test_what_a_killed_worker_ran_is_killed",
        (
            Cut(
                "worker/runs/watchdog.py",
                "            _end_runs(_records(memory), _worker_in(memory))\n            return\n",
                "            return\n",
            ),
        ),
    ),
    Mutant(
        "the guard does not act on the notes of its worker",
        "tests/worker/test_batch.py::"
        "test_what_had_ended_when_its_worker_was_killed_is_not_run_again",
        (Cut("worker/runs/watchdog.py", "if notes := list(_notes(memory)):", "if notes := []:"),),
    ),
    Mutant(
        "the guard does not know the lease",
        GUARD + "test_a_run_is_killed_at_its_deadline_though_its_worker_hangs",
        (
            Cut(
                "worker/runs/watchdog.py",
                "            _end_runs(overdue, worker)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "the guard does not compare start times",
        GUARD + "test_a_group_number_that_was_given_to_a_stranger_is_spared",
        (
            Cut(
                "worker/runs/watchdog.py",
                "return started_between(group, earliest, latest)",
                "return True",
            ),
        ),
    ),
    Mutant(
        "processes are found by their group and their parents alone",
        KILLING + "test_a_killed_worker_leaves_no_orphan_and_its_job_is_taken_back_at_once[sqlite]",
        (
            Cut(
                "system/run_processes.py",
                "            if process.mark in marks:\n",
                "            if False:\n",
            ),
            Cut("system/run_processes.py", "if read_mark(pid) in marks and", "if False and"),
        ),
    ),
    Mutant(
        "a run's mark is not looked for",
        RUNS + "test_a_daemon_that_clears_its_environment_is_killed_with_its_run",
        (
            Cut(
                "system/run_processes.py",
                "            if process.mark in marks:\n",
                "            if False:\n",
            ),
            Cut("system/run_processes.py", "if read_mark(pid) in marks and", "if False and"),
            Cut("worker/runs/stopping.py", "if theirs == mark or", "if False and"),
        ),
    ),
    Mutant(
        "what descends from a run and has lost its mark is spared",
        RUNS + "test_what_has_lost_its_mark_is_known_by_its_parent",
        (
            Cut(
                "system/run_processes.py",
                "        found += children.pop(pid, ())\n",
                "        pass\n",
            ),
        ),
    ),
    Mutant(
        "nobody takes the place of a guard that died",
        GUARDS + "test_a_guard_that_was_killed_is_replaced",
        (Cut("worker/supervision/supervisor.py", "                post.man()\n", ""),),
    ),
    Mutant(
        "a worker that stays stopped is left as it is",
        KILLING + "test_a_worker_stopped_beyond_its_lease_loses_its_job_and_is_replaced[sqlite]",
        (Cut("worker/runs/watchdog.py", "return over_by > 0 or (", "return ("),),
    ),
    Mutant(
        "a job is begun again on a host that cannot start it",
        "tests/worker/test_hosts.py::"
        "test_another_host_that_lives_may_start_it_and_this_one_leaves_it_alone",
        (
            Cut(
                "worker/job_starter.py",
                "if job.not_on and (passed_over := self._hosts.passed_over(job)):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "a job that is put back has spent an attempt",
        "tests/domain/test_state_machine.py::"
        "test_a_job_that_is_put_back_waits_knows_why_and_has_lost_nothing",
        (
            Cut(
                "domain/state_machine.py",
                "suspect=job.suspect, attempts=job.attempts - 1,\n",
                "suspect=job.suspect,\n",
            ),
        ),
    ),
    Mutant(
        "a job whose processes cannot be killed is started beside them",
        UNDYING + "test_a_job_is_not_started_again_while_processes_of_its_run_cannot_be_killed",
        (
            Cut(
                "worker/job_starter.py",
                "if put_off := postponed(job, self._known):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "a pid is believed whatever its start time",
        "tests/system/test_pidfile.py::test_a_pid_that_was_given_to_a_stranger_is_never_signalled",
        (
            Cut(
                "system/processes.py",
                "_start_time(process.pid) == process.started",
                "_start_time(process.pid) is not None",
            ),
        ),
    ),
    Mutant(
        "a pid is believed whatever its machine",
        STRANGERS + "test_a_worker_of_another_host_with_a_pid_of_ours_is_left_alone[sqlite]",
        (Cut("system/processes.py", "return process.boot == this_boot()", "return True"),),
    ),
    Mutant(
        "leases are not watched before they are ended",
        STRANGERS + "test_no_live_lease_is_stolen_by_a_host_whose_clock_is_wrong[sqlite-10]",
        (Cut("maintenance/rescuer.py", " and watched_at - since >= third", ""),),
    ),
    Mutant(
        "a job is stopped when its lease ends though nobody can write",
        "tests/chaos/test_store_away.py::"
        "test_a_job_outlives_two_leases_in_which_the_file_is_locked_and_is_not_started_twice",
        (Cut("worker/heartbeat.py", "self._outlast(each)", "pass"),),
    ),
    Mutant(
        "claims are taken back that nobody could have renewed",
        "tests/maintenance/test_maintenance.py::"
        "test_a_claim_is_watched_anew_when_the_lock_was_long_in_coming",
        (Cut("maintenance/rescuer.py", "asked_at > third / 4", "asked_at > 60"),),
    ),
    Mutant(
        "a worker does not notice that its claim is gone",
        KILLING + "test_a_stopped_worker_that_nobody_replaced_gives_its_own_job_back",
        (
            Cut(
                "worker/runs/executor.py", "halt is None and self._was_fenced(run, status)", "False"
            ),
        ),
    ),
    Mutant(
        "workers do not notice the end of their supervisor",
        KILLING + "test_the_workers_of_a_killed_supervisor_finish_their_jobs_and_leave[sqlite]",
        (Cut("worker/heartbeat.py", "os.getppid() == self._parent", "True"),),
    ),
    Mutant(
        "interruptions have no end",
        KILLING + "test_a_job_that_kills_its_workers_ends_in_the_dlq[sqlite]",
        (Cut("domain/state_machine.py", "elif count >= max_interruptions:", "elif False:"),),
    ),
    Mutant(
        "a job is counted as interrupted for what its neighbour did",
        SETTLING + "test_who_ran_beside_others_is_a_suspect_until_it_has_run_alone[sqlite]",
        (Cut("domain/state_machine.py", "elif not job.runs_alone:", "elif False:"),),
    ),
    Mutant(
        "a suspect is claimed together with others",
        SETTLING + "test_nothing_is_claimed_after_a_suspect[sqlite]",
        (Cut("domain/job.py", "return self.suspect or self.interruptions > 0", "return False"),),
    ),
    Mutant(
        "a worker of several slots is given a suspect",
        SUSPECTS + "test_a_suspect_is_for_who_runs_nothing_beside_it[sqlite]",
        (Cut("stores/sqlite/rows.py", " << job.suspect", ""),),
    ),
    Mutant(
        "in a queue with a limit others take the room that a suspect waits for",
        SUSPECTS + "test_in_a_queue_with_a_limit_no_later_job_takes_the_room_of_a_suspect[sqlite]",
        (Cut("stores/sqlite/suspects.py", "return bool(found[0])", "return False"),),
    ),
    Mutant(
        "the guard kills only the first of the runs",
        GUARD + "test_all_that_a_killed_worker_ran_is_killed_but_what_has_ended",
        (Cut("worker/runs/watchdog.py", "for each in records\n", "for each in records[:1]\n"),),
    ),
    Mutant(
        "the fence of one claim counts for all",
        "tests/worker/test_signals.py::test_the_fence_of_one_claim_stops_no_other",
        (
            Cut(
                "worker/signals.py",
                'boot_clock() >= self._fences.get(claim_id, float("inf"))',
                "boot_clock() >= min(self._fences.values())",
            ),
        ),
    ),
    Mutant(
        "who gets neighbours is held to run alone",
        BESIDE + "test_a_job_that_got_neighbours_later_is_not_to_blame_for_what_they_do",
        (
            Cut(
                "worker/neighbours.py",
                "change.after if store.commit(change) else None",
                "change.after",
            ),
        ),
    ),
    Mutant(
        "the thread that stops a run reaps what has ended",
        BESIDE + "test_what_is_done_to_one_job_leaves_its_neighbours_alone",
        (
            Cut(
                "worker/runs/stopping.py",
                "os.WEXITED | os.WNOHANG | os.WNOWAIT",
                "os.WEXITED | os.WNOHANG",
            ),
        ),
    ),
    Mutant(
        "what one run has left is killed with another",
        BESIDE + "test_the_end_of_one_run_spares_what_another_beside_it_had_left",
        (Cut("worker/runs/executor.py", "self._has_orphans or bool(self._in_hand)", "False"),),
    ),
    Mutant(
        "what has ended is noted only while others wait",
        BESIDE + "test_what_had_ended_while_nobody_could_write_is_not_run_again_after_a_kill",
        (Cut("worker/batch.py", "if len(note) > _LONGEST_NOTE or", "if not self._waiting or"),),
    ),
    Mutant(
        "what a worker was given and had not noted counts as begun",
        JOURNAL + "test_what_was_given_to_a_worker_that_died_before_it_knew_is_given_back[sqlite]",
        (Cut("worker/crash_journal.py", "if job.claim_id in requests and", "if False and"),),
    ),
    Mutant(
        "a deadline that is moved lands wherever the run was",
        GUARD + "test_a_lease_that_is_renewed_while_its_run_ends_leaves_nothing_behind",
        (
            Cut(
                "worker/runs/watchdog.py",
                "with self._lock:\n            place = self._places.get(run_id)",
                "if True:\n            place = self._places.get(run_id)",
            ),
        ),
    ),
)


def copy_of_the_project(directory: Path) -> Path:
    """Copy what a test run needs."""
    skipped = shutil.ignore_patterns(".*")  # with what is compiled: a copy keeps its times
    for name in COPIED:
        source, target = PROJECT / name, directory / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=skipped)
        else:
            shutil.copy(source, target)
    return directory


def cut(package: Path, mutant: Mutant) -> None:
    """Take a safeguard out. Raises ValueError where the program has changed its text."""
    for change in mutant.cuts:
        path = package / change.file
        text = path.read_text()
        if text.count(change.text) != 1:
            raise ValueError(f"{change.file} has not exactly one {change.text!r}")
        path.write_text(text.replace(change.text, change.by))


def run_tests(directory: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Run tests in a copy; return pytest's exit code and the end of what it said."""
    options = ["-x", "-q", "-m", "", "-p", "no:cacheprovider", "-o", f"timeout={LONGEST_SECONDS}"]
    plugins = ["-p", "pytest_timeout"]
    if len(tests) > 1:
        plugins += ["-p", "xdist", "-n", "2"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they take as long as a test does
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *plugins, *tests],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr)[-3000:]


def run_unchanged(tests: Sequence[str]) -> tuple[int, str]:
    """Run tests on the program as it is."""
    with tempfile.TemporaryDirectory(prefix="queuectl-mutant-") as scratch:
        return run_tests(copy_of_the_project(Path(scratch)), tests)


def is_killed(mutant: Mutant) -> tuple[bool, str]:
    """Whether the test of a mutant goes red; else why that is not so."""
    with tempfile.TemporaryDirectory(prefix="queuectl-mutant-") as scratch:
        directory = copy_of_the_project(Path(scratch))
        try:
            cut(directory / "queuectl", mutant)
        except ValueError as fault:
            return False, str(fault)
        code, said = run_tests(directory, [mutant.test])
    return code == TESTS_FAILED, said


def main(names: Sequence[str]) -> int:
    """Try the mutants whose names contain one of the words given, or all."""
    chosen = [m for m in MUTANTS if not names or any(name in m.name for name in names)]
    chosen.sort(key=lambda mutant: "/stores/" in mutant.test)  # the others wait for long
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sound = pool.submit(run_unchanged, sorted({mutant.test for mutant in chosen}))
        results = list(pool.map(is_killed, chosen))
    code, said = sound.result()
    if code:
        print(f"{said}\nthe tests are red without any mutant")
        return 1
    for mutant, (killed, said) in zip(chosen, results, strict=True):
        print(f"{'killed  ' if killed else 'SURVIVED'}  {mutant.name}")
        print(f"            {mutant.test.rpartition('::')[2]}")
        if not killed:
            print(said)
    survivors = [killed for killed, _ in results].count(False)
    print(f"{len(results) - survivors} of {len(results)} mutants killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
