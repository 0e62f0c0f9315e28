#!/usr/bin/env bash
# GNU parallel 20221122 (Debian 12): in its job log a job that was killed has the exit value 0.
#
# A good guess: the column `Exitval` of `--joblog` is 0 for what succeeded, and 128 and the signal, as in
# a shell, for what a signal ended. It is 0 for a job that the OOM killer took or that crashed, and
# -1 for one that `--timeout` stopped; only the column beside it, `Signal`, tells them apart. Whoever
# counts or moves jobs by `Exitval` alone takes killed ones as done. Parallel itself looks at both:
# its own exit status counts them, and `--resume-failed` runs them again.
# A run that was repeated by `--retries` has one line, its last, so that nothing tells how often it was run.
#
# Seen on 2026-12-01 with parallel 20221122+ds-2 of Debian 12, perl 5.36:
#   kill -9 $$: Exitval 0, Signal 9; --timeout: Exitval -1, Signal 15; exit 3 of three tries: one line
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q parallel=20221122+ds-2 >log 2>&1 || { cat log >&2; exit 1; }
dpkg -x parallel_*.deb .
export PARALLEL_HOME="$folder" HOME="$folder" TMPDIR="$folder"
touch will-cite

check() {
    wanted=$1
    shift
    rm -f joblog
    timeout 60 usr/bin/parallel -j1 --joblog joblog "$@" 2>/dev/null && status=0 || status=$?
    found="status $status; $(tail -n +2 joblog | cut -f7,8 | tr '\t' ',' | paste -sd ' ')"
    printf '%-36s %s\n' "$*" "$found"
    [ "$found" = "$wanted" ] || { echo "the behaviour has changed"; exit 1; }
}
check 'status 1; 0,9' ::: 'kill -9 $$'
check 'status 1; 0,11' ::: 'kill -SEGV $$'
check 'status 1; -1,15' --timeout 1 ::: 'sleep 20'
check 'status 1; 3,0' --retries 3 ::: 'exit 3'
check 'status 0; 0,0' ::: true
