#!/bin/sh
# Under locales that write a comma for the point, the ledger and the figures are the same bytes, a share of a bound that has
# grown is still noticed, and the library reads and writes the same files. Usage: locale.sh BUILD
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
complain() { echo "locale: $1" >&2; status=1; }

# de_DE and fr_FR are made here: few machines have them.
made=
for name in de_DE fr_FR; do
    localedef -i $name -f UTF-8 "$work/$name.UTF-8" >/dev/null 2>&1 && made="$made $name.UTF-8"
done
[ -n "$made" ] || { echo "locale: no locale could be made (Debian's package locales); not checked" >&2; exit 1; }
export LOCPATH="$work"

# results DIR LOCALE: the ledger, the figures and a checkpoint that was trained and read again
results() {
    mkdir -p "$1/plots"
    cp "$build/ledger.lines" "$1/"
    cp results/*.tsv "$1/plots/"
    LC_ALL=$2 harness/verify/ledger.sh "$1" 1 >"$1/ledger.txt" 2>&1
    LC_ALL=$2 harness/plot/draw.sh "$1/plots" >/dev/null 2>&1
    LC_ALL=$2 "$build/titans" train --set batch=1 --steps 3 --out "$1/a.st" --log "$1/log.tsv" >/dev/null 2>&1
    LC_ALL=$2 "$build/titans" eval "$1/a.st" --length 200 --samples 2 -q >"$1/eval.txt" 2>&1
    rm "$1/log.tsv" "$1/ledger.lines"
}
results "$work/plain" C
count=$(find "$work/plain" -type f | wc -l)
for file in ledger.tsv a.st plots/figures/accuracy.svg plots/figures/crossover.svg; do
    [ -s "$work/plain/$file" ] || complain "$file was not made: nothing to compare"
done
grep -q '^correct=' "$work/plain/eval.txt" || complain "the evaluation failed: $(cat "$work/plain/eval.txt")"
for name in $made; do
    results "$work/results.$name" "$name"
    diff -rq "$work/plain" "$work/results.$name" || complain "results under $name differ"
    # a share doctored to nearly 1 must be seen
    mkdir -p "$work/grown"
    awk -F '\t' -v OFS='\t' '$1 == "gauge stream" && $4 > 0 { $4 = 0.99 } { print }' "$build/ledger.lines" >"$work/grown/ledger.lines"
    LC_ALL=$name harness/verify/ledger.sh "$work/grown" 1 | grep -q 'grew from' || complain "under $name a share that has grown is not seen"
done
# commas where points should be: nothing can be compared, which is no pass
mkdir -p "$work/comma"
sed 's/\([0-9]\)\.\([0-9]\)/\1,\2/g; s/e-/,/' "$build/ledger.lines" >"$work/comma/ledger.lines"
LC_ALL=C harness/verify/ledger.sh "$work/comma" 1 >/dev/null && complain "a ledger without readable numbers passes"
# the library inside a program that has set its locale
cat >"$work/caller.c" <<'C'
#include <locale.h>
#include <stdio.h>
#include <titans.h>
int main(int argc, char **argv) {
    titans_error error;
    if (argc < 3 || !setlocale(LC_ALL, argv[2])) return 2;
    titans_model *model = titans_model_open(argv[1], 0, &error);
    if (!model) return puts(error.message), 1;
    printf("%.6f\n", titans_model_number(model, "theta_max"));
    titans_model_close(model);
    return 0;
}
C
${CC:-gcc} -std=c11 -Ioptimized "$work/caller.c" "$build/libtitans.a" -lcjson -lm -lpthread -fopenmp -o "$work/caller" || complain "a caller of the library does not build"
for name in $made; do
    "$work/caller" results/checkpoints/lmm-passkey-s0.safetensors "$name" >"$work/caller.txt" 2>&1 || complain "the library under $name: $(cat "$work/caller.txt")"
    grep -q ',' "$work/caller.txt" || complain "$name was not in force: $(cat "$work/caller.txt")"
done
echo "locale: $count files the same under$made; a grown share seen, unreadable numbers refused, the library undisturbed"
exit $status
