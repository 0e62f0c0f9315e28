"""Cron lines that mean something elsewhere are refused with what to write here."""

from __future__ import annotations

import re

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.system.cron import Cron
from queuectl.system.cron_text import unequal_steps


@pytest.mark.parametrize(
    ("cron", "why", "hint"),
    [
        # ranges that fall: elsewhere they are installed and never run
        ("0 3 * * fri-mon", "never runs", 'write "0 3 * * FRI,SAT,SUN,MON"'),
        ("0 3 * * 6-1", "never runs", 'write "0 3 * * 6,0-1"'),
        ("0 3 * * mon-sun", "never runs", 'write "0 3 * * *"'),
        ("0 3 * * sat-sun", "never runs", 'write "0 3 * * SAT,SUN"'),
        ("0 3 * * 1,fri-mon/2", "never runs", 'write "0 3 * * 1,FRI,SUN"'),
        ("0 22-6 * * *", "never runs", 'write "0 22-23,0-6 * * *"'),
        ("50-10/5 * * * *", "never runs", 'write "50,55,0,5,10 * * * *"'),
        ("0 0 1 nov-feb *", "never runs", 'write "0 0 1 NOV,DEC,JAN,FEB *"'),
        # steps that are longer than their field
        ("*/90 * * * *", "step 90", 'hourly: write "0 * * * *"; or --every 90m'),
        ("0 */36 * * *", "step 36", 'daily: write "0 0 * * *"; or --every 36h'),
        ("0 0 */45 * *", "step 45", 'monthly: write "0 0 1 * *"'),
        # macros
        ("@reboot", "is no time", "@reboot queuectl enqueue"),
        ("@every 5m", "is an interval", "--every 5m"),
        ("90m", "is an interval", "--every 1h30m"),
        ("every 5 minutes", "is an interval", "--every 5m"),
        ("@every_minute", "not known here", '"* * * * *"'),
        # fields that others have more of
        ("0 0 3 * * *", "6 fields, not 5, and may", '"0 3 * * *" if seconds come first, "0 0 3'),
        ("0 0 3 * * 1", "6 fields, not 5; the first would be seconds", 'minute: "0 3 * * 1"'),
        ("* * * * * *", "the first would be seconds", 'minute: "* * * * *"'),
        ("0 0 12 ? * mon-fri", "6 fields", 'minute: "0 12 * * mon-fri"'),
        ("0 0 12 1 1 ? 2027", "7 fields", 'minute: "0 12 1 1 *"'),
        ("0 10 ? * 1 2027", "the last would be a year", 'write "0 10 * * 1"'),
        ("0 3 * * * root", "the sixth would be a user", 'write "0 3 * * *"; runs are those of'),
        ("TZ=Europe/Berlin 0 3 * * *", "an option here", '"0 3 * * *" --tz Europe/Berlin'),
        # signs that only others know
        ("0 3 ? * *", "'?', which is '*'", 'write "0 3 * * *"'),
        ("0 3 15W * *", "nearest", "LW"),
        ("0 3 L-3 * *", "only L", "MINUTE HOUR"),
        ("H/15 * * * *", "to chance", 'write "*/15 * * * *"'),
        ("H 3 * * *", "to chance", 'write "N 3 * * *"'),
        ("H(10-20) 3 * * *", "to chance", 'write "N 3 * * *"'),
        ("0 H * * *", "to chance", 'write "0 N * * *"'),
        ("0~30 3 * * *", "to chance", 'write "N 3 * * *"'),
        ("~ 3 * * *", "to chance", 'write "N 3 * * *"'),
    ],
)
def test_what_is_legal_elsewhere_is_refused_with_what_to_write(
    cron: str, why: str, hint: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        Cron(cron, "UTC")
    assert why in str(caught.value)
    assert len(str(caught.value)) < 200
    assert re.search(re.escape(hint).replace(r"N\ ", r"\d+ "), caught.value.hint)
    for line in re.findall(r'"([^"]+)"', caught.value.hint):
        if "MINUTE" not in caught.value.hint:
            Cron(line, "UTC")  # what is proposed can be typed


@pytest.mark.parametrize(
    "cron",
    ["*/60 * * * *", "0 */24 * * *", "0 0 LW * *", "0 0 * * 5-7", "0 0 * * THU", "0 0 * * 5#2"],
)
def test_what_is_said_plainly_is_not_refused(cron: str) -> None:
    assert Cron(cron, "UTC")


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("*/45 * * * *", "the last step to the full hour is 15m long; --every 45m"),
        ("*/7 * * * *", "the last step to the full hour is 4m long; --every 7m"),
        ("0 */5 * * *", "the last step to the full day is 4h long; --every 5h"),
        ("*/15 */6 * * *", ""),
        ("0 0 */2 * *", ""),
    ],
)
def test_steps_that_do_not_come_out_even_are_told_of(cron: str, said: str) -> None:
    told = unequal_steps(cron)
    assert told.startswith(said)
    assert bool(told) == bool(said)
