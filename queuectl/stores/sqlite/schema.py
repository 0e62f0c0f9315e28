"""The tables of the embedded store, its indexes, and the triggers that keep its figures.

The columns of what people say of a job are made from `FIELDS`. The file's header has the version
of the schema: a file that has all but some of these columns gets them when it is opened, one of
another layout is refused.
"""

from __future__ import annotations

from queuectl.domain.job_fields import FIELDS, Field, Kind

APPLICATION_ID = 0x71637432
"""Marks a file as queuectl's ("qct2") in SQLite's header."""

DEVELOPMENT_ID = 0x71637431
"""What marked the files of versions before the first release ("qct1")."""

LAYOUT = 1
"""Grows when anything changes but the columns of fields, and those in `LATER`."""

LATER = {
    "jobs": (
        "suspect INTEGER", "claim_alone INTEGER", "cpu_seconds REAL", "peak_memory INTEGER",
        "note TEXT", "result TEXT", "put_back TEXT", "put_backs INTEGER", "not_on TEXT",
        "holding TEXT", "passed_at INTEGER",
    ),
    "runs": ("cpu_seconds REAL", "peak_memory INTEGER"),
    "events": ("cpu_seconds REAL", "peak_memory INTEGER"),
    "workers": ("slots INTEGER NOT NULL DEFAULT 1", "resources TEXT", "report TEXT"),
    "schedules": ("every INTEGER", "anchor INTEGER", "tz_version TEXT"),
}  # fmt: skip
"""Columns of no field that a table of this layout may lack, as it was made before there were any.

NULL, or their default, is what nearly all rows have in them.
"""

IS_NEXT_IN_TURN = """blocked_by = '["turn:"]'"""
"""Holds of a job that waits for nothing but its turn in its batch, as its index has it."""

HOLDS_TURN = (
    "at_once > 0 AND batch_name IS NOT NULL AND blocked_by IS NULL "
    "AND state IN ('pending', 'failed', 'processing')"
)
"""Holds of a job that its batch has let go, as its index has it."""

LATER_TABLES = (
    # the suspects that may be claimed
    "CREATE INDEX IF NOT EXISTS jobs_suspects ON jobs (queue, priority, run_at, seq) "
    "WHERE ready = 2",
    # `is_open`, `unmade` and `queue` with `rest` are what others than its own commands look for
    "CREATE TABLE IF NOT EXISTS batches (name TEXT PRIMARY KEY, rev INTEGER NOT NULL, "
    "created_at INTEGER NOT NULL, is_open INTEGER NOT NULL, unmade INTEGER NOT NULL, "
    "queue TEXT NOT NULL, rest TEXT NOT NULL, record TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS batches_open ON batches (name) WHERE is_open = 1",
    "CREATE INDEX IF NOT EXISTS batches_unmade ON batches (created_at) WHERE unmade > 0",
    "CREATE INDEX IF NOT EXISTS jobs_batch ON jobs (batch_name, state) "
    "WHERE batch_name IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS jobs_next_in_turn ON jobs (batch_name, run_at, seq) "
    f"WHERE {IS_NEXT_IN_TURN}",
    f"CREATE INDEX IF NOT EXISTS jobs_turns ON jobs (batch_name) WHERE {HOLDS_TURN}",
    "CREATE TABLE IF NOT EXISTS resources (name TEXT PRIMARY KEY, capacity TEXT NOT NULL) "
    "WITHOUT ROWID",
    # of the jobs that may be claimed and need resources, those that need the same side by side
    "CREATE INDEX IF NOT EXISTS jobs_needs "
    "ON jobs (needs, queue, priority DESC, run_at, seq) WHERE ready = 3",
    "CREATE INDEX IF NOT EXISTS jobs_snapshot ON jobs (snapshot) WHERE snapshot IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS hosts (name TEXT PRIMARY KEY, rev INTEGER NOT NULL, "
    "created_at INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS audit (n INTEGER PRIMARY KEY, at INTEGER NOT NULL, "
    "who TEXT NOT NULL, record TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS audit_at ON audit (at)",
)
"""Makes the tables and indexes that a file of this layout may lack."""

_COLUMNS_AT_MOST = 1000
SCHEMA_VERSION = (
    LAYOUT * _COLUMNS_AT_MOST + len(FIELDS) + sum(map(len, LATER.values())) + len(LATER_TABLES)
)


def layout_of_version(version: int) -> int:
    """Return the layout of a file from the version in its header."""
    return version // _COLUMNS_AT_MOST


def is_nullable(field: Field) -> bool:
    """Whether a column may hold NULL, which stands for the default of its field.

    That takes the least room. The store itself looks at numbers, flags and queues.
    """
    is_text = field.kind in (Kind.MAYBE_TEXT, Kind.WORDS, Kind.PAIRS, Kind.TEXT)
    return is_text and field.name != "queue"


_TYPES = {Kind.WHOLE: "INTEGER", Kind.FLAG: "INTEGER", Kind.NUMBER: "REAL"}


def column_of(field: Field) -> str:
    """Return the declaration of a field's column."""
    kind = _TYPES.get(field.kind, "TEXT")
    if is_nullable(field):
        return f"{field.column} {kind}"
    default = f"'{field.default}'" if field.kind is Kind.TEXT else f"{field.default:g}"
    return f"{field.column} {kind} NOT NULL DEFAULT {default}"


ENDED_BADLY = "(exit_code <> 0 OR signal IS NOT NULL OR timed_out = 1)"
"""Holds of a job whose latest run ended with any exit code but 0, as its index has it."""

_FIELDS = ",\n  ".join(map(column_of, FIELDS.values()))


def columns_of_later() -> dict[str, tuple[str, ...]]:
    """Return the declarations of the columns that a table of this layout may lack, by table."""
    return {**LATER, "jobs": (*map(column_of, FIELDS.values()), *LATER["jobs"])}


_COLUMNS = f"""
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  rev INTEGER NOT NULL,
  state TEXT NOT NULL,
  ready INTEGER,
  run_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  runs INTEGER NOT NULL,
  interruptions INTEGER NOT NULL,
  cancel_requested INTEGER NOT NULL,
  claim_id TEXT,
  lease_until INTEGER,
  worker TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  failed_at INTEGER,
  blocked_by TEXT,
  paused INTEGER NOT NULL DEFAULT 0,
  has_dependents INTEGER NOT NULL DEFAULT 0,
  children_pending INTEGER NOT NULL DEFAULT 0,
  delayed INTEGER,
  {", ".join(LATER["jobs"])},
  command TEXT NOT NULL,
  argv TEXT,
  {_FIELDS},
  exit_code INTEGER,
  signal INTEGER,
  timed_out INTEGER,
  last_error TEXT,
  duration REAL,
  stdout_cut INTEGER,
  stderr_cut INTEGER,
  stdout TEXT,
  stderr TEXT
"""

# What inserts jobs counts them by the batch, and notes what they wait for.
_JOBS = f"""
CREATE TABLE jobs ({_COLUMNS});
CREATE INDEX jobs_claim ON jobs (queue, priority, run_at, seq) WHERE ready = 1;
CREATE INDEX jobs_due ON jobs (run_at) WHERE ready = 0;
CREATE INDEX jobs_state ON jobs (state, seq);
CREATE INDEX jobs_ended ON jobs (state, finished_at)
  WHERE state = 'completed' OR state = 'cancelled' OR state = 'dead';
CREATE INDEX jobs_generated ON jobs (id) WHERE generated_id = 1;
CREATE UNIQUE INDEX jobs_unique ON jobs (unique_key)
  WHERE unique_key IS NOT NULL AND state IN ('pending', 'failed', 'processing');
CREATE INDEX jobs_children_pending ON jobs (seq) WHERE children_pending = 1;
CREATE INDEX jobs_environment ON jobs (environment) WHERE environment IS NOT NULL;
-- what few jobs have, for listings; a store that was made without these two lists more slowly
CREATE INDEX jobs_labelled ON jobs (seq) WHERE labels IS NOT NULL;
CREATE INDEX jobs_ended_badly ON jobs (seq) WHERE {ENDED_BADLY};
-- those that wait for a time which was reckoned by a clock that was ahead of ours
CREATE INDEX jobs_ahead ON jobs (updated_at) WHERE ready = 0;
-- the deliveries of hooks, whose queues begin with "+"; an index with `queue = 'x'` would have
-- every statement with `queue = ?` compiled anew (https://www.sqlite.org/c3ref/prepare.html)
CREATE INDEX jobs_delivered ON jobs (state, finished_at) WHERE queue < '0';

CREATE TABLE counts (
  queue TEXT NOT NULL, state TEXT NOT NULL, jobs INTEGER NOT NULL, PRIMARY KEY (queue, state)
) WITHOUT ROWID;
CREATE TRIGGER jobs_counted_out AFTER DELETE ON jobs BEGIN
  UPDATE counts SET jobs = jobs - 1 WHERE queue = old.queue AND state = old.state;
END;
CREATE TRIGGER jobs_counted_over AFTER UPDATE OF state, queue ON jobs
WHEN new.state <> old.state OR new.queue <> old.queue BEGIN
  UPDATE counts SET jobs = jobs - 1 WHERE queue = old.queue AND state = old.state;
  INSERT INTO counts VALUES (new.queue, new.state, 1)
    ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;
"""

_DLQ = "CREATE VIEW dlq AS SELECT * FROM jobs WHERE state = 'dead';"
"""What people call the dead letter queue, for those who look into the file."""

# A run is `past` once its job has a later one: only such are ever forgotten. The few jobs with
# more than one run have them in the index.
_RUNS = f"""
CREATE TABLE runs (
  seq INTEGER NOT NULL, n INTEGER NOT NULL, claim_id TEXT NOT NULL, worker TEXT NOT NULL,
  started_at INTEGER NOT NULL, finished_at INTEGER NOT NULL, exit_code INTEGER, signal INTEGER,
  timed_out INTEGER NOT NULL, error TEXT, past INTEGER, duration REAL,
  {", ".join(LATER["runs"])}, PRIMARY KEY (seq, n)
) WITHOUT ROWID;
CREATE INDEX runs_past ON runs (finished_at) WHERE past = 1;
CREATE TRIGGER runs_followed AFTER INSERT ON runs WHEN new.n > 1 BEGIN
  UPDATE runs SET past = 1
    WHERE seq = new.seq AND n = (SELECT max(n) FROM runs WHERE seq = new.seq AND n < new.n);
END;
"""

# `blockers` is an index over the members of `blocked_by`, kept by triggers.
_BLOCKERS = """
CREATE TABLE blockers (
  blocker TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (blocker, seq)
) WITHOUT ROWID;
CREATE INDEX blockers_of ON blockers (seq);
CREATE TRIGGER jobs_blocked_over AFTER UPDATE OF blocked_by ON jobs
WHEN new.blocked_by IS NOT old.blocked_by BEGIN
  DELETE FROM blockers WHERE seq = old.seq;
  INSERT INTO blockers SELECT value, new.seq FROM json_each(new.blocked_by) WHERE true;
END;
CREATE TRIGGER jobs_blocked_out AFTER DELETE ON jobs WHEN old.blocked_by IS NOT NULL BEGIN
  DELETE FROM blockers WHERE seq = old.seq;
END;
"""

# `jobs.ready` is 1 for a job that may be claimed, 2 for a suspect that may be, 3 for another that
# needs resources and may be, 0 for one that waits for its time, else NULL. Counters have the number
# of claimable jobs of each queue and priority, those apart that are not for every worker. So a
# claim never looks at the rest; what claims a job counts it out, in the statement that says when
# its queue was served. A counter is `full` when its first job found no room in the queue's limit;
# what may make room, or another first job, opens it again.
_COUNTERS = """
CREATE TABLE queues (
  name TEXT PRIMARY KEY, paused INTEGER NOT NULL DEFAULT 0, slot_limit INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE queue_priority_counters (
  queue TEXT NOT NULL, priority INTEGER NOT NULL, ready INTEGER NOT NULL,
  served INTEGER NOT NULL DEFAULT 0, paused INTEGER NOT NULL DEFAULT 0,
  full INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (queue, priority)
) WITHOUT ROWID;
CREATE INDEX counters_next ON queue_priority_counters (priority DESC, served)
  WHERE ready > 0 AND paused = 0 AND full = 0;
CREATE TRIGGER counters_born AFTER INSERT ON queue_priority_counters BEGIN
  UPDATE queue_priority_counters SET
    paused = EXISTS (SELECT 1 FROM queues WHERE name = new.queue AND paused = 1),
    served = (SELECT max(served) FROM queue_priority_counters WHERE queue = new.queue)
  WHERE queue = new.queue AND priority = new.priority;
  UPDATE queue_priority_counters SET full = 0 WHERE queue = new.queue AND full = 1;
END;
CREATE TRIGGER counters_filled AFTER UPDATE OF ready ON queue_priority_counters
WHEN new.full = 1 AND new.ready <> old.ready BEGIN
  UPDATE queue_priority_counters SET full = 0 WHERE queue = new.queue;
END;
CREATE TRIGGER jobs_counter_out AFTER DELETE ON jobs WHEN old.ready = 1 BEGIN
  UPDATE queue_priority_counters SET ready = ready - 1
    WHERE queue = old.queue AND priority = old.priority;
END;
CREATE TRIGGER jobs_reordered AFTER UPDATE OF slots, run_at ON jobs WHEN new.ready = 1 BEGIN
  UPDATE queue_priority_counters SET full = 0 WHERE queue = new.queue AND full = 1;
END;
CREATE TRIGGER jobs_made_room AFTER UPDATE OF state ON jobs
WHEN old.state = 'processing' AND new.state <> 'processing' BEGIN
  UPDATE queue_priority_counters SET full = 0 WHERE queue = old.queue AND full = 1;
END;
CREATE TRIGGER jobs_counter_over AFTER UPDATE OF ready, queue, priority ON jobs
WHEN (new.ready, new.queue, new.priority) IS NOT (old.ready, old.queue, old.priority)
  AND (new.claim_id IS NULL OR old.claim_id IS NOT NULL)
BEGIN
  UPDATE queue_priority_counters SET ready = ready - 1
    WHERE old.ready = 1 AND queue = old.queue AND priority = old.priority;
  INSERT INTO queue_priority_counters (queue, priority, ready)
    SELECT new.queue, new.priority, 1 WHERE new.ready = 1
    ON CONFLICT DO UPDATE SET ready = ready + 1;
END;
"""

# `events` and `arrivals` keep what happened until it is processed: added to `figures` and `totals`.
# What only few events have, the exit code of a failure for one, is JSON in `rest`.
_FIGURES = f"""
CREATE TABLE events (
  n INTEGER PRIMARY KEY,
  seq INTEGER NOT NULL, rev INTEGER NOT NULL, job_id TEXT NOT NULL, run INTEGER NOT NULL,
  queue TEXT NOT NULL, outcome TEXT NOT NULL, finished_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL, command TEXT NOT NULL, started_at INTEGER, waited REAL,
  duration REAL, rest TEXT NOT NULL, {", ".join(LATER["events"])}
);
CREATE TABLE arrivals (
  minute INTEGER NOT NULL, queue TEXT NOT NULL, jobs INTEGER NOT NULL, PRIMARY KEY (minute, queue)
) WITHOUT ROWID;
CREATE TABLE figures (
  minute INTEGER NOT NULL, queue TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL,
  PRIMARY KEY (minute, queue, name)
) WITHOUT ROWID;
CREATE TABLE totals (
  queue TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (queue, name)
) WITHOUT ROWID;
"""

_NAMED = f"""
CREATE TABLE schedules (
  name TEXT PRIMARY KEY, cron TEXT NOT NULL, tz TEXT NOT NULL, fields TEXT NOT NULL,
  next_due INTEGER, created_at INTEGER NOT NULL, catch_up INTEGER NOT NULL,
  overlap INTEGER NOT NULL, paused INTEGER NOT NULL, last_due INTEGER, skipped_at INTEGER,
  skipped_why TEXT, rev INTEGER NOT NULL, {", ".join(LATER["schedules"])}
);
CREATE INDEX schedules_due ON schedules (next_due) WHERE paused = 0;
CREATE TABLE hooks (
  name TEXT PRIMARY KEY, rev INTEGER NOT NULL, created_at INTEGER NOT NULL, record TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE environments (
  id TEXT PRIMARY KEY, variables TEXT NOT NULL, kept_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE workers (
  id TEXT PRIMARY KEY, pid INTEGER NOT NULL, started TEXT NOT NULL, boot TEXT NOT NULL,
  host TEXT NOT NULL, home TEXT NOT NULL, queues TEXT NOT NULL, started_at INTEGER NOT NULL,
  heartbeat_at INTEGER NOT NULL, stop TEXT, {", ".join(LATER["workers"])}
);
CREATE TABLE turns (chore TEXT PRIMARY KEY, next_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

_LATER_TABLES = "".join(f"{statement};\n" for statement in LATER_TABLES)
SCHEMA = _JOBS + _DLQ + _RUNS + _BLOCKERS + _COUNTERS + _FIGURES + _NAMED + _LATER_TABLES
"""The script that makes the tables in an empty database."""
