#!/usr/bin/env bash
# cronsim 2.8 on Lord Howe Island, whose clocks are set forward and back by half an hour.
#
# A good guess: a line for each hour is due once in each hour that the wall clock shows, and 03:00
# is 03:00 on the days of change too, as the module follows Debian's cron. It is not: in the night
# of 2027-10-03 (02:00 becomes 02:30, at 15:30Z) and in that of 2027-04-04 (02:00 becomes 01:30, at
# 15:00Z of the 3rd) runs are left out, and nothing says so. A queue that asks the module for the
# next run starts one fewer.
#
# Seen on 2026-11-30 with Python 3.11.7, cronsim 2.8, tzdata 2026.6; instants are in UTC:
#   0 */3 * * *   after 2027-10-02 13:30: 19:00, 22:00   (03:00 of the wall, at 16:00, is left out)
#   45 * * * *    after 2027-10-02 15:00: 15:15, 16:45   (02:45 of the wall, at 15:45, is left out)
#   */30 2 * * *  after 2027-04-03 15:20: 16:00          (02:00 of the wall, at 15:30, is left out)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check cronsim==2.8 tzdata==2026.6 2>"$folder/log" \
    || { cat "$folder/log" >&2; exit 1; }
PYTHONTZPATH='' timeout 30 "$folder/venv/bin/python" - <<'PY'
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from cronsim import CronSim

LORD_HOWE = ZoneInfo("Australia/Lord_Howe")


def dues(line, after, number):
    start = datetime.fromisoformat(after).replace(tzinfo=timezone.utc).astimezone(LORD_HOWE)
    found = CronSim(line, start)
    return [next(found).astimezone(timezone.utc).strftime("%H:%M") for _ in range(number)]


for line, after, wanted, seen in (
    ("0 */3 * * *", "2027-10-02T13:30", ["16:00", "19:00"], ["19:00", "22:00"]),
    ("45 * * * *", "2027-10-02T15:00", ["15:15", "15:45"], ["15:15", "16:45"]),
    ("*/30 2 * * *", "2027-04-03T15:20", ["15:30", "16:00"], ["16:00", "15:30"]),
):
    found = dues(line, after, 2)
    print(f"{line:13} after {after}Z: {found}, where cron is due at {wanted}")
    assert found == seen, "the behaviour has changed"
PY
