#!/usr/bin/env bash
# Debian's cron 3.0pl1-162: `crontab` takes times that say nothing, and calls their syntax checked.
#
# A good guess: what `crontab -n FILE` ("the syntax was successfully checked") and `crontab FILE` let
# pass is a time. But much of what stands behind a number or a star is passed over, and a
# range may fall. So `0 9 * * 5#2`, copied from a scheduler in which it is the second Friday of a
# month, is installed without a word, as are `1.5`, `*1`, `**`, `0~5` and `fri-mon`. Whoever moves a
# crontab cannot take it that each line that is installed runs as it reads. Not all is let pass:
# `5/15`, `60`, `L` and `15W` are errors.
#
# Seen on 2026-11-30 with cron 3.0pl1-162 of Debian 12 (amd64).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q cron=3.0pl1-162 >log 2>&1 || { cat log >&2; exit 1; }
dpkg -x cron_*.deb .

check() {
    printf '%s true\n' "$2" >tab
    if usr/bin/crontab -n tab >log 2>&1; then found=taken; else found=refused; fi
    printf '%-8s %s\n' "$found" "$2"
    [ "$found" = "$1" ] || { echo "the behaviour has changed"; cat log; exit 1; }
}
for time in '0 9 * * 5#2' '1.5 * * * *' '*1 * * * *' '** * * * *' '0~5 * * * *' '*-5 * * * *' \
    '0 9 * * fri-mon' '0 22-6 * * *' '*/90 * * * *'; do
    check taken "$time"
done
for time in '5/15 * * * *' '60 * * * *' '0 9 L * *' '0 9 15W * *' '1-5, * * * *'; do
    check refused "$time"
done
