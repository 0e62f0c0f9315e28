"""The words of other tools, and words that were mistyped."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from queuectl.cli.habits import ROWS
from queuectl.domain.job import Outcome
from queuectl.queue import open_queue
from tests.cli.harness import Cli, answered, bury, run_next

DELETES_OR_STOPS = re.compile(
    r"did you mean '[^']*\b"
    "(cancel|clean|delete|kill|pause|purge|remove|restore|rm|stash|stop|unset)"
)


CLOCK = re.compile(r"due .* \(in ")
"""When a job is due that waits for seconds: a moment later another second may have begun."""


@pytest.fixture
def jobs(cli: Cli) -> Cli:
    """Command lines in a home with a job that is dead, and one that waits in a queue of its own."""
    bury("bad")
    cli.ok("enqueue", "other", "true", "--queue", "gpu", "--batch", "sweep1")
    cli.ok("resource", "set", "licence", "2")
    return cli


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lsit", "list"),
        ("stat", "stats"),
        ("enq hello2 echo", "enqueue"),
        ("folow x", "follow"),
        ("limit gpu 2", "queue limit"),
        ("unset backoff-cap", "config unset"),
        ("worker stats", "queuectl stats"),
        ("worker stat", "start"),
        ("delte x", "delete"),
        ("cancle x", "cancel"),
        ("worker stopp", "stop"),
        ("batch export", "queuectl export"),
        ("schedule status", "queuectl status"),
    ],
)
def test_the_nearest_command_is_proposed_those_inside_groups_too(
    cli: Cli, typed: str, meant: str
) -> None:
    assert f"(did you mean '{meant}'?)" in cli.refused(2, *typed.split())


@pytest.mark.parametrize(
    "typed",
    "top r m de step shop purse pulse remote deploy remain clear? cancer sleep rest puase? "
    "reset-password restored killer stopwatch deletion".split(),
)
def test_nothing_is_proposed_that_deletes_or_stops_for_a_word_that_does_not(
    cli: Cli, typed: str
) -> None:
    for words in ([typed, "x"], ["jobs", typed, "x"], ["worker", typed], ["schedule", typed]):
        result = cli(*words)
        assert result.code
        assert not DELETES_OR_STOPS.search(result.err)


def test_an_option_that_does_more_than_was_asked_is_not_proposed(cli: Cli) -> None:
    assert "--force" not in cli.refused(2, "delete", "x", "--for-real")
    assert "--all-hosts" not in cli.refused(2, "worker", "stop", "--al-host")
    assert "'--force'" in cli.refused(2, "delete", "x", "--froce")


@pytest.mark.parametrize("group", "jobs dlq queue worker schedule hook config".split())
def test_a_group_alone_lists_what_is_in_it(jobs: Cli, group: str) -> None:
    first = "get" if group == "config" else "list"
    for options in ([], ["--json"]):
        alone, listed = jobs.ok(group, *options), jobs.ok(group, first, *options)
        assert (alone.out, alone.err) == (listed.out, listed.err)
    assert "Commands:" in jobs.ok(group, "--help").out


AS_OURS = [
    ("kill other", "cancel other"),
    ("stop other", "cancel other"),
    ("restart bad", "retry bad"),
    ("restart --all-failed", "retry --state failed,dead"),
    ("retry --all", "retry --state failed,dead"),
    ("clean -y", "delete --state completed -y"),
    ("dlq clear -y", "dlq purge -y"),
    ("dlq purge --all -y", "dlq purge -y"),
    ("delete --all -y", "delete --state pending,completed,failed,dead,cancelled -y"),
    ("cancel --all -y", "cancel --state pending,processing,failed -y"),
    ("remove other", "delete other"),
    ("rm other", "delete other"),
    ("log bad", "logs bad"),
    ("follow bad", "logs -f bad"),
    ("tail bad", "logs -f bad"),
    ("log -f bad", "logs -f bad"),
    ("inspect bad", "show bad"),
    ("cat bad", "show bad"),
    ("inspect active", "list --state processing"),
    ("top", "list --state processing"),
    ("ps", "status"),
    ("ps -a", "list --all"),
    ("ps aux", "list --all"),
    ("list all", "list --all"),
    ("list all dead", "list --all dead"),
    ("history", "list --newest"),
    ("group", "queue list"),
    ("group list", "queue list"),
    ("queues", "queue list"),
    ("workers", "worker list"),
    ("resources", "resource list"),
    ("gpus", "resource list"),
    ("batches", "batch list"),
    ("add --id a -G 2 python t.py", "add --id a --gpus 2 python t.py"),
    ("hooks", "hook list"),
    ("batch ls", "batch list"),
    ("batch status sweep1", "batch show sweep1"),
    ("batch kill sweep1 -y", "batch cancel sweep1 -y"),
    ("batch restart sweep1", "batch retry sweep1"),
    ("resource rm licence", "resource remove licence"),
    ("resource add licence 4", "resource set licence 4"),
    ("schedules", "schedule list"),
    ("cron", "schedule list"),
    ("job", "list"),
    ("job kill other", "cancel other"),
    ("jobs list", "list"),
    ("web --help", "dashboard --help"),
    ("ui --help", "dashboard --help"),
    ("tui --help", "watch --help"),
    ("config list", "config get"),
    ("config ls", "config get"),
    ("config max_retries", "config get max_retries"),
    ("list -g gpu", "list -q gpu"),
    ("status --group gpu", "status -q gpu"),
    ("pause -g gpu", "pause -q gpu"),
    ("kill -g gpu -y", "cancel -q gpu -y"),
    ("clean --group=gpu -y", "delete --state completed -q gpu -y"),
    ("parallel 2 -g gpu", "queue limit gpu 2"),
    ("restart --failed", "retry --state failed,dead"),
    ("logs --tail 1 bad", "logs -n 1 bad"),
    ("add --id a -w /tmp -l x true", "add --id a --cwd /tmp --label x true"),
    ("add --id a -d 10s true", "add --id a --in 10s true"),
    ("config max-retries --json", "config get max_retries --json"),
    ("config set max_retries=4", "config set max_retries 4"),
    ("failed", "list --state failed,dead"),
    ("dead", "dlq list"),
    ("squeue", "list"),
    ("start other", "resume other"),
    ("move other --first", "jobs move other --first"),
    ("parallel 3 -q gpu", "queue limit gpu 3"),
    ("version", "--version"),
    ("-V", "--version"),
    ("help kill", "cancel --help"),
    ("kill --help", "cancel --help"),
    ("?", "--help"),
    ("enqueue --depends-on bad --id a --command true", "enqueue --after bad --id a --command true"),
    ("enqueue --depends-on=bad --id a --command true", "enqueue --after bad --id a --command true"),
    ("enqueue --name a --command true", "enqueue --id a --command true"),
    ("enqueue --retries 3 a true", "enqueue --max-retries 3 a true"),
    ("enqueue --delay 10s a true", "enqueue --in 10s a true"),
    ("add --print-task-id --id a true", "add --print-id --id a true"),
    ("add -s --id a true", "add --hold --id a true"),
    ("add -L lab -N 2 -J a true", "add --label lab --slots 2 --id a true"),
    ("sbatch -p gpu --job-name=a --wrap=true", "enqueue --queue gpu --id a --command true"),
    ("status -g gpu -j", "status -q gpu --json"),
    ("sacct", "list --newest"),
]
"""What is typed, and the line of ours that it is the same as."""


@pytest.mark.parametrize(("typed", "ours"), AS_OURS)
def test_a_word_of_another_tool_does_what_our_own_line_does(
    jobs: Cli, home: Path, tmp_path: Path, typed: str, ours: str
) -> None:
    shutil.copytree(home, tmp_path / "copy")
    result = jobs(*typed.split())
    home.rename(tmp_path / "used")
    (tmp_path / "copy").rename(home)
    expected = jobs(*ours.split())
    assert (result.code, result.err) == (expected.code, expected.err)
    assert CLOCK.sub("", result.out) == CLOCK.sub("", expected.out)
    assert result.code in (0, 1)


@pytest.mark.parametrize(
    ("typed", "command", "queue"),
    [
        ('add "sleep 1"', "sleep 1", "default"),
        ("add -- sleep 1", ["sleep", "1"], "default"),
        ("add sleep 1", ["sleep", "1"], "default"),
        ("add sleep -- -p 1", ["sleep", "--", "-p", "1"], "default"),
        ("add python train.py --gpu 0", ["python", "train.py", "--gpu", "0"], "default"),
        ("add make", "make", "default"),
        ('add -g gpu "echo x"', "echo x", "gpu"),
        ("add -g gpu grep -g x", ["grep", "-g", "x"], "gpu"),
        ("add --retries 1 --queue gpu ls -q", ["ls", "-q"], "gpu"),
        ("add -g gpu -- grep -g x", ["grep", "-g", "x"], "gpu"),
        ("enqueue -g gpu -- grep -- -g x", ["grep", "--", "-g", "x"], "gpu"),
        ("enqueue --retries 1 --group=gpu --name foo -- ls", ["ls"], "gpu"),
        ("enqueue -j 4 --batch b -- ls", ["ls"], "default"),
        ("add --jobs=4 --batch b ls", "ls", "default"),
        ('add --command "echo x"', "echo x", "default"),
        ('enqueue -q gpu "echo x"', "echo x", "gpu"),
        ('enqueue --depends-on bad "echo x"', "echo x", "default"),
        ('enqueue --name foo "echo x"', "echo x", "default"),
    ],
)
def test_the_rest_of_the_line_is_the_command(
    jobs: Cli, typed: str, command: object, queue: str
) -> None:
    before = set(jobs.ids())
    jobs.ok(*shlex.split(typed))
    (made,) = set(jobs.ids()) - before
    job = jobs.job(made)
    assert (job["command"], job["queue"]) == (command, queue)


def test_options_behind_the_command_of_add_are_not_swallowed(cli: Cli) -> None:
    told = cli.refused(2, "add", "sleep 1", "-q", "gpu")
    assert "queuectl add -q gpu 'sleep 1'" in told
    assert "nothing to add" in cli.refused(2, "add")
    assert "cannot both" in cli.refused(2, "add", "--command", "x", "y")
    assert "COMMAND [ARGUMENT]..." in cli.ok("add", "--help").out


def test_every_word_of_another_tool_has_a_line_of_help_and_leads_to_a_command(cli: Cli) -> None:
    listed = cli.ok("help", "words").out
    assert re.search(r"^restart --all-failed +queuectl retry --all$", listed, re.M)
    manual = cli.ok("help", "--man").out
    for typed, row in ROWS.items():
        words = typed.split()
        assert typed in listed
        assert typed.replace("-", r"\-") in manual
        if row.ours and not words[-1].startswith("-"):
            assert cli.ok(*words, "--help").out.startswith("Usage: ") or "version" in typed
        elif not row.ours:
            told = cli.refused(2, *words)
            assert "{" not in told
            assert row.hint.partition("{")[0] in told


SAID = [
    ("group add gpu", "queuectl enqueue --queue gpu"),
    ("queue add gpu", "queuectl queue limit gpu N"),
    ("queue create gpu", "queuectl queue limit gpu N"),
    ("schedule every 5m date", 'queuectl schedule add NAME --every 5m "COMMAND"'),
    ("batch rm sweep1", "queuectl delete --batch sweep1"),
    ("batch create sweep1", "queuectl enqueue --batch sweep1"),
    ("sweeps", "queuectl enqueue --param"),
    ("array", "queuectl enqueue --array"),
    ("reset", "queuectl cancel --all, then queuectl delete --all"),
    ("clear", "for the prompt"),
    ("kill -s INT bad", "queuectl signal ID INT"),
    ("kill -9 bad", "queuectl signal bad INT"),
    ("kill -TERM bad", "queuectl signal bad INT"),
    ("wait --any bad other", "queuectl wait ID is for one"),
    ("list-timers", "queuectl schedule list"),
    ("journal bad", "queuectl logs bad"),
    ("shutdown", "queuectl worker stop"),
    ("daemon", "queuectl worker start"),
    ("-l", "queuectl list"),
    ("-c bad", "queuectl logs bad"),
    ("worker start -n 3", "queuectl worker start -c 3"),
    ("worker start -n3", "queuectl worker start -c 3"),
    ("enqueue -a bad true", "--after"),
    ("dlq retry", "--all"),
    ("enqueue make", "-- make"),
    ("run make", "run -- make"),
    ("enqueue sleep 5", 'enqueue ID "sleep 5"'),
    ("enqueue rsync -a src dst", "put -- before the command"),
    ("config get max_retry", "did you mean 'max_retries'"),
    ("config max_retries 4", "queuectl config set max_retries 4"),
    ("config max_retries=4", "queuectl config set max_retries 4"),
    ("config retries", "no such command"),
    ("-S 3", "queuectl parallel 3"),
    ("pause", "-q QUEUE"),
    ("resume", "-q QUEUE"),
    ("start", "-q QUEUE"),
    ("up", "queuectl worker start"),
    ("-w bad", "queuectl wait bad"),
    ("nq make", "queuectl add COMMAND"),
    ("-G 2 python x.py", "queuectl add --gpus 2 COMMAND"),
    ("--gpus 0,1", "queuectl enqueue --lines - --gpus 1, and worker start --resource gpu=0,1"),
    ("add --escape ls", "leave it out"),
    ("add -D bad ls", "--after ID, --after-any ID"),
    ("add --time 2:00:00 ls", "--timeout 2h"),
    ("add --gpus 1 --shared ls", "--gpu-memory 10G shares a GPU"),
    ("submit --each-line tasks.txt -- ls", "queuectl add COMMAND :::: tasks.txt"),
    ("sbatch --dependency=afterok:bad x.sh", "--after ID, --after-any ID"),
    ("sbatch -o x.out x.sh", "queuectl logs ID shows what it printed"),
    ("add --follow ls", "queuectl run -- COMMAND"),
    ("log --json bad", "queuectl show bad --json"),
    ("wait --quiet bad", "queuectl wait bad 2> /dev/null"),
    ("env set bad A b", "queuectl set bad env.NAME=VALUE"),
    ("add --after bad 12 -q gpu -- ls", "queuectl add --after bad,12"),
    ("enqueue --gpus 0,1 -- ls", "worker start --resource gpu=0,1"),
    ("at 5pm", "--at 5pm"),
]
"""What is typed, and what is said to be typed instead."""


@pytest.mark.parametrize(
    "typed", ["clean", "dlq clear", "dlq purge --all", "delete --all", "cancel --all"]
)
def test_a_person_is_asked_before_much_is_deleted_or_cancelled(jobs: Cli, typed: str) -> None:
    with open_queue() as queue:
        queue.enqueue_one("true", id="done", priority=100)
        run_next(queue, Outcome(exit_code=0))
    before = jobs.ok("list", "--json").out
    assert answered(typed.split(), "[y/N]", "n") == 1
    assert jobs.ok("list", "--json").out == before


@pytest.mark.parametrize(("typed", "told"), SAID)
def test_a_word_that_is_not_ours_is_answered_with_the_right_line(
    jobs: Cli, typed: str, told: str
) -> None:
    before = jobs.ok("list", "--json").out
    assert told in jobs.refused(2, *typed.split())
    assert jobs.ok("list", "--json").out == before


@pytest.mark.parametrize("line", ["cancel all", "stop all", "retry all", "pause all", "delete all"])
def test_the_word_all_is_answered_with_the_option(cli: Cli, line: str) -> None:
    cli.ok("enqueue", "a", "true")
    assert "every job is --all" in cli.refused(3, *line.split())
    assert cli.job("a")["state"] == "pending"
