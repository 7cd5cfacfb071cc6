#!/bin/sh
# Draws every figure of harness/plot/ from RESULTS/*.tsv into RESULTS/figures: the same table gives the same bytes. KINDS
# "svg png" makes pictures as well, which depend on the machine's fonts. Figures that show the paper's own numbers beside
# ours read them from the data folder ($TITANS_DATA). Usage: draw.sh RESULTS [KINDS]
export LC_ALL=C
results=$1 kinds=${2:-svg}
data=${TITANS_DATA:-${XDG_CACHE_HOME:-$HOME/.cache}/titans}
mkdir -p "$results/figures"
failed=0
for script in harness/plot/*.gp; do
    name=$(basename "$script" .gp)
    missing=""
    for file in $(sed -n 's/^# needs: //p' "$script"); do [ -f "$results/$file" ] || missing="$missing $results/$file"; done
    for file in $(sed -n 's/^# data: //p' "$script"); do [ -f "$data/$file" ] || missing="$missing $data/$file"; done
    if [ -n "$missing" ]; then
        echo "plots: $name left out, there is no$missing" >&2
        continue
    fi
    for kind in $kinds; do
        gnuplot -e "results='$results'; data='$data'; kind='$kind'; output='$results/figures/$name.$kind.tmp'" harness/plot/style/begin.gp "$script" 2>"$results/figures/messages.tmp" &&
            mv "$results/figures/$name.$kind.tmp" "$results/figures/$name.$kind" || { echo "plots: $name failed" >&2; failed=1; }
        # a table without one of the mixers is no fault
        grep -v -e 'Skipping data file' -e '^ *$' "$results/figures/messages.tmp" >&2
    done
    echo "plots: $results/figures/$name.svg"
done
rm -f "$results/figures/messages.tmp"
exit $failed
