#!/usr/bin/env bash
# schedule 1.2.2: a daily job in the hour that spring leaves out runs twice on the day after.
#
# A good guess: `every().day.at("02:30", "Europe/Berlin")` runs once a day; on the day without a 02:30 it
# may run at 03:30 or not at all. It runs at 03:30 on that day, and then its next time is 23 hours
# later, at 01:30 on the next day, and again at 02:30: two runs within an hour, with nothing said.
#
# Seen on 2026-12-01 with Python 3.11.7, schedule 1.2.2, pytz 2026.6; looked at every ten minutes, in UTC:
#   2027-03-27 01:30, 2027-03-28 01:30 (03:30 of the wall), 2027-03-28 23:30 (01:30), 2027-03-29 00:30
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check schedule==1.2.2 pytz==2026.6 2>"$folder/log" \
    || { cat "$folder/log" >&2; exit 1; }
TZ=UTC timeout 60 "$folder/venv/bin/python" - <<'PY'
import datetime
from unittest import mock

import schedule

instant = datetime.datetime(2027, 3, 27, tzinfo=datetime.timezone.utc)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(instant.timestamp(), tz)


runs = []
with mock.patch.object(schedule.datetime, "datetime", Clock):
    scheduler = schedule.Scheduler()
    scheduler.every().day.at("02:30", "Europe/Berlin").do(lambda: runs.append(f"{instant:%d %H:%M}"))
    for _ in range(3 * 24 * 6):
        scheduler.run_pending()
        instant += datetime.timedelta(minutes=10)
print("runs in UTC, days of March 2027:", ", ".join(runs))
assert runs == ["27 01:30", "28 01:30", "28 23:30", "29 00:30"], "the behaviour has changed"
PY
