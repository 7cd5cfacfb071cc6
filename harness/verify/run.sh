#!/bin/sh
# Runs the suites of BUILD and sums up what they recorded: checks, and the largest share of a derived bound that was used.
# Usage: run.sh BUILD JOBS [FILTER]
build=$1 jobs=$2 filter=${3:-*/*}
ledger=$build/ledger.tsv
rm -f "$ledger"
TITANS_LEDGER=$(pwd)/$ledger
export TITANS_LEDGER
$RUN "$build/verify" -j"$jobs" --filter "$filter"
status=$?
[ -s "$ledger" ] || { echo "run.sh: no check ran for $filter" >&2; exit 1; }
sort "$ledger" | awk -F '\t' '
    { checks[$1] += $3; total += $3; if ($4 > worst[$1]) { worst[$1] = $4; of[$1] = $2 } if (!($1 in order)) order[$1] = ++n }
    END {
        printf "%-18s %12s  %s\n", "suite", "checks", "largest error / bound"
        for (i = 1; i <= n; i++) for (s in order) if (order[s] == i)
            printf "%-18s %12d  %s\n", s, checks[s], (worst[s] > 0 ? sprintf("%.3f (%s)", worst[s], of[s]) : "exact")
        printf "%-18s %12d\n", "all", total
    }'
[ "$filter" != '*/*' ] || harness/verify/docs.sh "$build" || status=1
exit $status
