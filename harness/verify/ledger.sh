#!/bin/sh
# Sums up what the suites recorded in BUILD/ledger.lines into BUILD/ledger.tsv and prints it: checks, and the largest share
# of a derived bound that was used. WHOLE = 1: of all suites, so held against the committed ledger: whatever comes twice as
# near to its bound as it was has got worse. A ledger in which no number can be read checks nothing, and fails.
# Usage: ledger.sh BUILD WHOLE
export LC_ALL=C
build=$1 whole=$2
status=0
sort "$build/ledger.lines" | awk -F '\t' -v OFS='\t' '
    BEGIN { print "suite", "what", "checks", "error_over_bound" }
    { key = $1 OFS $2; if (!(key in checks)) order[++n] = key; checks[key] += $3; if ($4 + 0 > worst[key] + 0) worst[key] = $4 }
    END { for (i = 1; i <= n; i++) print order[i], checks[order[i]], worst[order[i]] + 0 }' >"$build/ledger.tsv"
awk -F '\t' 'NR > 1 {
        checks[$1] += $3; total += $3; if ($4 > worst[$1]) { worst[$1] = $4; of[$1] = $2 } if (!($1 in seen)) { seen[$1]; order[++n] = $1 } }
    END {
        printf "%-20s %12s  %s\n", "suite", "checks", "largest error / bound"
        for (i = 1; i <= n; i++) { s = order[i]
            printf "%-20s %12d  %s\n", s, checks[s], (worst[s] > 0 ? sprintf("%.3f (%s)", worst[s], of[s]) : "exact") }
        printf "%-20s %12d\n", "all", total
        if (!total) { print "ledger: no number of checks could be read"; exit 1 }
    }' "$build/ledger.tsv" || status=1
[ "$whole" = 1 ] || exit $status
awk -F '\t' '
    FNR == 1 || /^#/ { next }
    NR == FNR { was[$1 FS $2] = $4; used += $4 > 0; next }
    { key = $1 FS $2; now[key]; uses += $4 > 0
      if (!(key in was)) fresh = fresh " " $1 "/" $2 ","
      else if ($4 > 0.02 && $4 > 2 * was[key]) { grown++; printf "ledger: %s of %s grew from %s to %s of its bound\n", $2, $1, was[key], $4 } }
    END {
        for (key in was) if (!(key in now)) { split(key, part, FS); gone = gone " " part[1] "/" part[2] "," }
        if (fresh) print "ledger: not in results/ledger.tsv:" substr(fresh, 1, length(fresh) - 1)
        if (gone) print "ledger: only in results/ledger.tsv:" substr(gone, 1, length(gone) - 1)
        printf "ledger: %d grew beyond twice what results/ledger.tsv has%s\n", grown, grown || fresh || gone ? " (make ledger writes it again)" : ""
        if (!used || 2 * uses < used) { printf "ledger: %d of %d shares of a bound could be read: nothing was compared\n", uses, used; exit 1 }
        exit grown > 0
    }' results/ledger.tsv "$build/ledger.tsv" || status=1
exit $status
