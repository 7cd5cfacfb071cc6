#!/bin/sh
# What belongs to each relative of Titans (harness/bench/relatives.tsv), with the lines of its reference, its state after
# 4,096 tokens in harness/recipe/speed.json, the largest share of a bound that its checks used (results/ledger.tsv) and the
# verdicts of `titans peers` on $TITANS_PEERS. Usage: relatives.sh TITANS >TABLE
export LC_ALL=C
titans=$1 list=harness/bench/relatives.tsv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
peers=${TITANS_PEERS:-../shared/peers}
if [ -d "$peers" ]; then "$titans" peers "$peers" >"$work/peers" 2>&1; else : >"$work/peers"; fi
"$titans" info --config harness/recipe/speed.json >"$work/info" || exit 1
verdicts() { # verdicts SYSTEM..: passed, failed, skipped
    awk -v systems=" $* " -v OFS='\t' '
        { split($2, at, "/") }
        index(systems, " " at[1] " ") { n[$1]++ }
        END { print n["PASS"] + 0, n["FAIL"] + 0, n["SKIP"] + 0 }' "$work/peers"
}
printf 'mixer\treference_lines\tkernel\tkernel_row\tstate_kib\terror_over_bound\tpassed\tfailed\tskipped\tspeed_case\n'
tail -n +2 $list | while IFS="$(printf '\t')" read -r mixer kernel row systems case; do
    state=$(awk -v mixer="$mixer" '$1 == mixer { for (i = 2; i < NF; i++) if ($i == "state") { unit = $(i + 2); printf "%.0f", $(i + 1) * (unit ~ /^GiB/ ? 1048576 : unit ~ /^MiB/ ? 1024 : 1) } }' "$work/info")
    share=$(awk -F '\t' -v what="mixer.$mixer" '$2 == what && $1 ~ /^kernel (forward|gradient)$/ && $4 > most { most = $4 } END { printf "%.3f", most }' results/ledger.tsv)
    # shellcheck disable=SC2086
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$mixer" "$(wc -l <"reference/mixer/$mixer.c")" "$kernel" "$row" "$state" "$share" "$(verdicts $systems)" "$case"
done
