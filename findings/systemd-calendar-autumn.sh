#!/usr/bin/env bash
# systemd 252 (Debian 12): timers of each quarter or half hour rest for an hour when clocks are set back.
#
# A good guess: `OnCalendar=*:0/30` elapses every half hour, all the year, or at worst twice for the
# wall clock's second 02:00. But its next elapse is looked for on the wall clock, where 02:00 and
# 02:30 have been: behind 02:30 of summer time comes 03:00 of winter time, an hour and a half later.
# A job that is to run each half hour leaves two runs out, and one each minute leaves out sixty. Cron
# does not. The remedy is a zone without changes in the expression: `*:0/30 UTC`.
#
# Seen on 2026-12-01 with systemd 252.39-1~deb12u2, tzdata of Debian 12; instants are in UTC:
#   *:0/30 in Europe/Berlin after 2027-10-30 23:20: 23:30, 00:00, 00:30, 02:00 (of the 31st)
#   *:0/30 UTC, the same:                           23:30, 00:00, 00:30, 01:00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q systemd=252.39-1~deb12u2 >log 2>&1 || { cat log >&2; exit 1; }
dpkg -x systemd_*.deb .

elapses() {
    LC_ALL=C LD_LIBRARY_PATH="$folder/usr/lib/x86_64-linux-gnu/systemd" TZ=Europe/Berlin timeout 30 \
        usr/bin/systemd-analyze calendar --base-time='2027-10-31 01:20:00' --iterations=4 "$1" \
        | sed -n 's/.*(in UTC): ... [0-9-]* \([0-9:]*\):00 UTC$/\1/p' | paste -sd ' '
}
check() {
    found=$(elapses "$1")
    printf '%-12s %s\n' "$1" "$found"
    [ "$found" = "$2" ] || { echo "the behaviour has changed"; exit 1; }
}
check '*:0/30' '23:30 00:00 00:30 02:00'
check '*:0/30 UTC' '23:30 00:00 00:30 01:00'
