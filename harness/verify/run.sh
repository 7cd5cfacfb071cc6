#!/bin/sh
# Runs the suites of BUILD and sums up what they recorded (ledger.sh).
# Usage: run.sh BUILD JOBS [FILTER]
export LC_ALL=C
build=$1 jobs=$2 filter=${3:-*/*}
lines=$build/ledger.lines
rm -f "$lines"
: >"$build/began"
# Tests run side by side: threads that wait should not spin on the cores of the others.
export TITANS_LEDGER="$(realpath "$build")/ledger.lines" OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
{ $RUN "$build/verify" -j"$jobs" --filter "$filter" 2>&1; echo $? >"$build/status"; } | tee "$build/suites.log"
status=$(cat "$build/status")
[ -s "$lines" ] || { echo "run.sh: no check ran for $filter" >&2; exit 1; }
[ "$filter" = '*/*' ] && whole=1 || whole=0
harness/verify/ledger.sh "$build" $whole || status=1
[ $whole = 0 ] || harness/verify/docs.sh "$build" || status=1
exit $status
