#!/bin/sh
# Draws every figure of harness/plot/ from RESULTS/*.tsv into RESULTS/figures as svg and png. Usage: plots.sh RESULTS
results=$1
mkdir -p "$results/figures"
failed=0
for script in harness/plot/*.gp; do
    name=$(basename "$script" .gp)
    needs=$(sed -n 's/^# needs: //p' "$script")
    missing=""
    for file in $needs; do [ -f "$results/$file" ] || missing="$missing $file"; done
    if [ -n "$missing" ]; then
        echo "plots: $name left out, no$missing in $results" >&2
        continue
    fi
    for kind in svg png; do
        gnuplot -e "results='$results'; kind='$kind'; output='$results/figures/$name.$kind.tmp'" harness/plot/style/begin.gp "$script" &&
            mv "$results/figures/$name.$kind.tmp" "$results/figures/$name.$kind" || { echo "plots: $name failed" >&2; failed=1; }
    done
    echo "plots: $results/figures/$name.svg"
done
exit $failed
