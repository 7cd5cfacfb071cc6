#!/bin/sh
# Draws every figure of harness/plot/ from RESULTS/*.tsv into RESULTS/figures: the same table gives the same bytes. KINDS
# "svg png" makes pictures as well, which depend on the machine's fonts. Usage: draw.sh RESULTS [KINDS]
export LC_ALL=C
[ -n "$1" ] || { echo "usage: draw.sh RESULTS [KINDS]" >&2; exit 2; }
[ -d "$1" ] || { echo "plots: $1: no such folder" >&2; exit 1; }
results=$(realpath "$1") kinds=${2:-svg}
cd "$(dirname "$0")/../.." || exit 1
mkdir -p "$results/figures" || exit 1
# Figures name their tables in commands of gnuplot and awk: folders get names there that no shell or script misreads.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$(realpath "$results")" "$work/results"
rows() { # rows FILE: of a table, its comments and header left out
    grep -vc '^#' "$1" | awk '{ print $1 - 1 }'
}
finished() { # finished KIND: what gnuplot drew, a drawing for dark pages too
    case $1 in svg) awk -f harness/plot/style/finish.awk "$work/figure" ;; *) cat "$work/figure" ;; esac
}
failed=0
for script in harness/plot/*.gp; do
    name=$(basename "$script" .gp)
    missing=""
    for file in $(sed -n 's/^# needs: //p' "$script"); do
        [ -f "$results/$file" ] || { missing="$missing $results/$file"; continue; }
        [ "$(rows "$results/$file")" -gt 0 ] || missing="$missing row in $results/$file"
    done
    if [ -n "$missing" ]; then
        echo "plots: $name left out, there is no$missing" >&2
        continue
    fi
    for kind in $kinds; do
        if gnuplot -e "results='$work/results'; kind='$kind'; output='$work/figure'" harness/plot/style/begin.gp "$script" 2>"$work/messages" &&
            finished "$kind" >"$work/results/figures/.$name.$kind" && mv "$work/results/figures/.$name.$kind" "$work/results/figures/$name.$kind"; then
            echo "plots: $results/figures/$name.$kind"
        else
            echo "plots: $name failed" >&2
            failed=1
        fi
        # a table without one of the mixers is no fault
        grep -v -e 'Skipping data file' -e '^ *$' "$work/messages" >&2
    done
done
if command -v python3 >/dev/null 2>&1; then
    python3 -B harness/plot/drawings.py "$work/results/figures" || failed=1
else
    echo "plots: drawings left out, there is no python3" >&2
fi
exit $failed
