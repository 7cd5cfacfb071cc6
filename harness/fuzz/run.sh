#!/bin/sh
# Fuzzes every reader of files for SECONDS each, from files of its kind and the committed corpus; what reaches new code is
# merged back into the corpus. Usage: run.sh BUILD SECONDS [READER..]
build=$1 seconds=$2
shift 2
tiny=$build/tiny corpus=harness/fuzz/corpus
"$build/titans" train --set width=4 --set heads=2 --set layers=1 --set ffn=4 --set vocab=174 --set chunk=2 --set taps=2 --steps 1 \
    --set batch=1 --task passkey --out "$tiny.full" 2>/dev/null
"$build/titans" export "$tiny.full" --out "$tiny.weights" >/dev/null
"$build/titans" eval "$tiny.weights" --length 64 --samples 1 --save-state "$tiny.state" -q >/dev/null
seeds() {
    case $1 in
    weights) echo "$tiny.weights" ;;
    training) echo "$tiny.full" ;;
    state) echo "$tiny.state" ;;
    config) ls harness/recipe/*.json ;;
    text) echo README.md ;;
    golden) echo results/golden/eq19_20_persistent.safetensors ;;
    esac
}
failed=0
for reader in ${*:-weights training state config text golden}; do
    found=$build/corpus/$reader
    mkdir -p "$found" "$corpus/$reader"
    cp $(seeds "$reader") "$found"
    READER=$reader ASAN_OPTIONS=allocator_may_return_null=1:max_allocation_size_mb=512 "$build/fuzz" -max_total_time="$seconds" \
        -max_len=65536 -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="$build/$reader-" "$found" "$corpus/$reader" \
        >/dev/null 2>"$build/fuzz-$reader.log"
    if [ $? -eq 0 ]; then
        printf 'fuzz: %-9s clean for %s s, %s executions\n' "$reader" "$seconds" \
            "$(awk '/number_of_executed_units/ { print $2 }' "$build/fuzz-$reader.log")"
        READER=$reader "$build/fuzz" -merge=1 -max_len=4096 "$corpus/$reader" "$found" >/dev/null 2>&1
    else
        failed=1
        tail -30 "$build/fuzz-$reader.log"
        echo "fuzz: $reader failed; the input is $build/$reader-*"
    fi
done
exit $failed
