#!/usr/bin/env bash
# dateparser 1.5.0: what it does not understand of a phrase is dropped, and the rest is a time.
#
# A good guess: `parse` returns None for a phrase that it cannot read. It returns a time that nobody
# meant. A queue that asks it when a job is to start runs the job at that time, often at once, as the
# time has passed. The settings that look strict do not help: STRICT_PARSING asks for day, month and
# year, and REQUIRE_PARTS for some of them, not that each word is used.
#
# Seen on 2026-11-30 with Python 3.11.7, dateparser 1.5.0, languages=["en"], PREFER_DATES_FROM
# "future", RELATIVE_BASE Sunday 2026-11-29 10:00, with STRICT_PARSING and without it the same:
#   tonight at 9    2026-11-29 10:00   (that is now: a job begins at once, not at 21:00)
#   today at 5      2026-11-29 10:00
#   tomorrow at 9   2026-11-30 10:00   (the nine is dropped)
#   tomorrow 9h     2026-11-30 19:00   (nine hours from the same time tomorrow)
# and `teatime`, which at(1) knows, is None, as it should be for what is not read.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check dateparser==1.5.0 2>"$folder/log" \
    || { cat "$folder/log" >&2; exit 1; }
timeout 60 "$folder/venv/bin/python" - <<'PY'
import warnings
from datetime import datetime

warnings.simplefilter("ignore")
import dateparser

BASE = datetime(2026, 11, 29, 10)
SEEN = {
    "tonight at 9": datetime(2026, 11, 29, 10),
    "today at 5": datetime(2026, 11, 29, 10),
    "tomorrow at 9": datetime(2026, 11, 30, 10),
    "tomorrow 9h": datetime(2026, 11, 30, 19),
    "teatime": None,
}
for strict in (False, True):
    settings = {"RELATIVE_BASE": BASE, "PREFER_DATES_FROM": "future", "STRICT_PARSING": strict}
    for phrase, seen in SEEN.items():
        found = dateparser.parse(phrase, languages=["en"], settings=settings)
        print(f"strict={strict!s:5}  {phrase:14} {found}")
        assert found == seen, "the behaviour has changed"
PY
