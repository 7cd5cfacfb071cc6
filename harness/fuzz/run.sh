#!/bin/sh
# Seeds a corpus with files of every kind and fuzzes the readers. Usage: run.sh BUILD SECONDS
build=$1 seconds=$2
corpus=$build/corpus
mkdir -p "$corpus"
seed() { { printf "\\00$1"; cat "$2"; } >"$corpus/seed-$1-$(basename "$2")"; }
tiny=$build/tiny
"$build/titans" train --set width=4 --set heads=2 --set layers=1 --set ffn=4 --set vocab=174 --set chunk=2 --set taps=2 --steps 1 --set batch=1 \
    --task passkey --out "$tiny.full" 2>/dev/null
"$build/titans" export "$tiny.full" --out "$tiny.weights"
"$build/titans" eval "$tiny.weights" --length 64 --samples 1 --save-state "$tiny.state" -q >/dev/null
seed 0 "$tiny.weights"
seed 1 "$tiny.full"
seed 2 "$tiny.state"
for file in harness/recipe/*.json; do seed 3 "$file"; done
seed 4 README.md
seed 5 results/golden/eq19_20_persistent.safetensors
ASAN_OPTIONS=allocator_may_return_null=1:max_allocation_size_mb=512 "$build/fuzz" -max_total_time="$seconds" -max_len=65536 \
    -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="$build/" "$corpus" 2>"$build/fuzz.log"
status=$?
grep -E 'stat::number_of_executed_units|SUMMARY|ERROR' "$build/fuzz.log"
[ $status -eq 0 ] && echo "fuzz: clean for $seconds s" || { tail -30 "$build/fuzz.log"; echo "fuzz: failed, input in $build/"; }
exit $status
