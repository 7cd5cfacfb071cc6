#!/bin/sh
# Figures are drawn to the same bytes from the same tables: twice here, and where gnuplot is the one that drew the committed
# ones, those. Their words are whole and lie off each other. Usage: figures.sh BUILD
export LC_ALL=C
build=$1
status=0 same=0 drawn=0
rm -rf "$build/figures"
for run in first second; do
    mkdir -p "$build/figures/$run"
    cp results/*.tsv "$build/figures/$run/"
    harness/plot/draw.sh "$build/figures/$run" >/dev/null 2>&1 || { echo "figures: drawing failed" >&2; exit 1; }
done
for file in "$build"/figures/first/figures/*.svg; do
    name=$(basename "$file") drawn=$((drawn + 1))
    cmp -s "$file" "$build/figures/second/figures/$name" || { echo "figures: $name differs when drawn again" >&2; status=1; }
    [ -f "results/figures/$name" ] || { echo "figures: results/figures/$name is missing (make plots)" >&2; status=1; continue; }
    [ "$(grep -m1 GNUPLOT "$file")" = "$(grep -m1 GNUPLOT "results/figures/$name")" ] || continue
    same=$((same + 1))
    cmp -s "$file" "results/figures/$name" || { echo "figures: results/figures/$name is not what its tables draw (make plots)" >&2; status=1; }
done
if command -v python3 >/dev/null 2>&1; then
    harness/verify/labels.py "$build"/figures/first/figures/*.svg || status=1
    # a word that is moved onto another must be seen, and one that is moved off the page
    for place in 78.65,92.45 -9,392.45; do
        awk -v place="$place" '/translate/ && n++ < 2 { sub(/translate\([^)]*\)/, "translate(" place ")") } { print }' \
            "$build/figures/first/figures/accuracy.svg" >"$build/figures/moved.svg"
        harness/verify/labels.py "$build/figures/moved.svg" >/dev/null 2>&1 && { echo "figures: words at $place are not seen" >&2; status=1; }
    done
else
    echo "figures: words NOT CHECKED, there is no python3"
fi
echo "figures: $drawn drawn twice to the same bytes, $same of them those of results/figures"
exit $status
