#!/usr/bin/env bash
# persist-queue 1.1.0: a second process that opens a queue is given the item that the first one holds.
#
# A good guess: an item that was taken from an SQLiteAckQueue, and is neither acknowledged nor given back,
# belongs to whoever took it, as in other queues with acknowledgement. But each opening of the file
# makes all unacknowledged items ready again (`auto_resume`, on unless said), whoever holds them and
# whether they still work on it. A worker that starts, or restarts after a crash, while others are at work
# so runs their jobs once more; the first one's acknowledgement afterwards raises nothing.
# With `auto_resume=False` nobody does it, and what a crashed process held stays held.
#
# Seen on 2026-12-01 with Python 3.11.7, persist-queue 1.1.0:
#   the first process took job 1; the second, started meanwhile, got job 1; without auto_resume, job 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check persist-queue==1.1.0 2>"$folder/log" \
    || { cat "$folder/log" >&2; exit 1; }
cd "$folder"
timeout 60 venv/bin/python - <<'PY'
import subprocess
import sys

from persistqueue import SQLiteAckQueue

SECOND = """
import sys
from persistqueue import SQLiteAckQueue
print(SQLiteAckQueue(sys.argv[1], **eval(sys.argv[2])).get())
"""

for options, wanted, seen in (({}, "job 2", "job 1"), ({"auto_resume": False}, "job 2", "job 2")):
    folder = f"queue{len(options)}"
    queue = SQLiteAckQueue(folder, **options)
    for number in (1, 2, 3):
        queue.put(f"job {number}")
    held = queue.get()
    second = subprocess.run(
        [sys.executable, "-c", SECOND, folder, repr(options)],
        capture_output=True, text=True, check=True, timeout=20,
    ).stdout.strip()
    queue.ack(held)
    print(f"{options}: the first holds {held}, the second process got {second}")
    assert second == seen, "the behaviour has changed"
PY
