#!/usr/bin/env bash
# systemd-cron 1.15.19 (Debian 12): November's jobs run in October, and December's in November.
#
# A good guess: its generator, which makes a timer of each line of a crontab, reads the names of months
# and days as the cron does that it replaces. It has no October: `oct` is "garbled", so that the line
# gets no timer, `nov` is month 10, `dec` is month 11, and `jan-dec` ends with November. A range of days
# up to 7 is "garbled" too, and then the job runs on every day. A day of the month and a day of the
# week are both asked for, where cron runs on either. Nobody who moves a crontab that cron took is
# told more than a line in the kernel's log.
#
# Seen on 2026-12-01 with systemd-cron 1.15.19-5 of Debian 12, Python 3.11.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q systemd-cron=1.15.19-5 >log 2>&1 || { cat log >&2; exit 1; }
dpkg -x systemd-cron_*.deb .
timeout 30 python3 - lib/systemd/system-generators/systemd-crontab-generator <<'PY'
import contextlib
import io
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

loader = SourceFileLoader("generator", sys.argv[1])
generator = module_from_spec(spec_from_loader("generator", loader))
loader.exec_module(generator)
generator.TARGET_DIR = "units"
generator.TIMERS_DIR = "units/cron.target.wants"
Path(generator.TIMERS_DIR).mkdir(parents=True)


def calendar(time):
    """What the timer of a line says, and whether the generator complained."""
    for timer in Path("units").glob("*.timer"):
        timer.unlink()
    Path("tab").write_text(f"{time} root true\n")
    complaints = io.StringIO()
    with contextlib.redirect_stderr(complaints):
        for job in generator.parse_crontab("tab"):
            generator.generate_timer_unit(job, unit_name="job")
    lines = [line for timer in Path("units").glob("*.timer") for line in timer.read_text().split("\n")]
    found = [line[len("OnCalendar=") :].strip() for line in lines if line.startswith("OnCalendar=")]
    return (found[0] if found else None), "garbled" in complaints.getvalue()


for time, wanted, seen in (
    ("0 0 1 sep *", "*-9-1 0:0:00", ("*-9-1 0:0:00", False)),
    ("0 0 1 oct *", "*-10-1 0:0:00", (None, True)),
    ("0 0 1 nov *", "*-11-1 0:0:00", ("*-10-1 0:0:00", False)),
    ("0 0 1 dec *", "*-12-1 0:0:00", ("*-11-1 0:0:00", False)),
    ("0 9 * * 5-7", "Fri,Sat,Sun *-*-* 9:0:00", ("*-*-* 9:0:00", True)),
    ("0 9 1 * 1", "the 1st, and each Monday", ("Mon *-*-1 9:0:00", False)),
):
    found = calendar(time)
    print(f"{time:12} {found[0] or 'no timer':18} for {wanted}")
    assert found == seen, f"the behaviour has changed: {found}"
PY
