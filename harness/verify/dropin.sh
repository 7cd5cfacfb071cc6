#!/bin/sh
# A mixer, a task and a figure are added to a copy of the tree, as new files only (harness/verify/dropin); everything must
# pick them up by itself. Usage: dropin.sh BUILD JOBS
set -e
export LC_ALL=C OMP_WAIT_POLICY=passive
build=$1 jobs=$2
added=harness/verify/dropin
work=$build/dropin
fail() { echo "dropin: $1" >&2; exit 1; }
has() { grep -q -- "$1" "$2" || { tail -20 "$2" >&2; fail "$3"; }; }

rm -rf "$work"
mkdir -p "$work/build"
cp -a reference optimized harness docs results Makefile README.md "$work/"
for part in harness optimized kernel gen; do [ ! -d "$build/$part" ] || cp -a "$build/$part" "$work/build/"; done
cp -a "$build"/*.o "$work/build/"
for file in $(cd $added && find . -type f); do
    [ ! -e "$work/$file" ] || fail "$file is there already: additions are new files"
    mkdir -p "$work/$(dirname "$file")"
    cp "$added/$file" "$work/$file"
done
cd "$work"
# Golden vectors are numbered through: the added one is the next.
next=$(cut -f4 harness/case/*.tsv | sed -n 's/.*:\([0-9][0-9]*\)$/\1/p' | sort -n | tail -1)
sed -i "s/toy:1:NEXT/toy:1:$((next + 1))/" harness/case/mixer_ema.tsv
make -s -j"$jobs" BUILD=build build/verify build/titans >log 2>&1 || { tail -20 log >&2; fail "it does not build"; }
titans=build/titans

# The mixer: golden vectors, then the suites that know no mixer by name.
$titans golden write results/golden >log 2>&1
[ -f results/golden/toy.safetensors ] || fail "no golden vectors of the mixer"
for filter in '@(kernels|model|reference_arithmetic|tasks)/*' 'golden/our*'; do
    TITANS_LEDGER=$(pwd)/ledger build/verify -j"$jobs" --filter "$filter" >log 2>&1 ||
        { grep -E 'FAIL|----' log | head -20 >&2; fail "a suite does not pass"; }
done
for suite in 'kernel forward' 'kernel gradient' adjoint 'wrong input' 'twice plain' 'isa memcmp' 'thread memcmp'; do
    has "^$suite	mixer.ema	" ledger "the suite '$suite' did not see the mixer"
done
checks=$(awk -F'\t' '$2 == "mixer.ema" { n += $3 } END { print n }' ledger)
$titans info >log
has '^  ema ' log "titans info does not know the mixer"
has '^  echo ' log "titans info does not know the task"
$titans info --config harness/recipe/speed.json >log
has '^  ema .*weights.*state' log "titans info --config does not count the mixer"
$titans equation --list >log
has '^mixer_ema .*kernel' log "titans equation does not know the mixer"
$titans bench scaling harness/recipe/speed.json --lengths 64,128 -o scaling.tsv >log 2>&1
has '^ema	' scaling.tsv "bench scaling has no row of the mixer"
$titans bench training -c harness/recipe/speed.json --lengths 64 --tokens 64 --repeats 1 -o throughput.tsv >log 2>&1
has '^ema	' throughput.tsv "bench training has no row of the mixer"

# The task, with the mixer.
mkdir -p results/toy
$titans train --mixer ema --task echo --set curriculum=16:40 --out toy.safetensors --log results/toy/training-ema-echo.tsv 2>log
$titans eval toy.safetensors --length 32 --samples 20 -q >log
has '^correct=[0-9]* total=20 accuracy=[0-9.]* low=[0-9.]* high=[0-9.]*$' log "titans eval says no interval"
$titans train --mixer lmm --task echo --set curriculum=16:2 --out other.safetensors 2>log

# The figure.
harness/plot/draw.sh results/toy "svg png" >log 2>&1
[ -s results/toy/figures/toy.svg ] && [ -s results/toy/figures/toy.png ] || fail "make plots does not draw the figure"
cd - >/dev/null
echo "dropin: a mixer ($(wc -l $added/reference/mixer/*.c $added/optimized/mixer/*.c $added/harness/case/*.tsv | awk 'END { print $1 }') lines, 3 files), a task ($(wc -l <$added/harness/task/echo.c), 1) and a figure ($(wc -l <$added/harness/plot/toy.gp), 1): no file edited, $checks checks of the mixer"
