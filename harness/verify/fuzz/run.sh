#!/bin/sh
# Fuzzes every reader of files for SECONDS each, from files of its kind and the committed corpus; what reaches new code is
# merged back into the corpus. Usage: run.sh BUILD SECONDS [READER..]
export LC_ALL=C
build=$1 seconds=$2
shift 2
tiny=$build/tiny corpus=harness/verify/fuzz/corpus
"$build/titans" train --set width=4 --set heads=2 --set layers=1 --set ffn=4 --set vocab=174 --set chunk=2 --set taps=2 --steps 1 \
    --set batch=1 --task passkey --force --out "$tiny.full" 2>/dev/null
"$build/titans" export "$tiny.full" --force --out "$tiny.weights" >/dev/null
"$build/titans" eval "$tiny.weights" --length 64 --samples 1 --save-state "$tiny.state" -q >/dev/null
export TINY="$tiny.bytes"
"$build/titans" train --set width=4 --set heads=2 --set layers=1 --set ffn=4 --set chunk=2 --set taps=2 --steps 1 --set batch=1 \
    --task text --haystack README.md --force --out "$TINY" 2>/dev/null
gzip -n -c README.md >"$tiny.gz"
printf 'calm\nbold\nquiet\n' >"$tiny.words"
printf 'able a 1 1 ! 1 1 00001740\nbold a 2 0 2 1 00001740\n' >"$tiny.index"
# the head of a bible.data of 3,096 bytes without windows, and the beginning of what is packed
{ printf EC02; head -c 84 /dev/zero; printf '\000\000\000\000\000\000\014\030'; tail -c +369 /usr/lib/bible.data | head -c 3000; } >"$tiny.bible"
printf 'curriculum=64:5 128:7\nwidth=16\n64:3 32:1\ntokens=4,chunk=2\nhaystack=2024\n' >"$tiny.options"
# two tokens of a memory of one number: header and eight tensors
header='{"__metadata__":{"dims":"T=2,b=1,L=1,n0=1,n1=1"}'
at=0
for tensor in M0:1 S0:1 k:2 v:2 q:2 alpha:2 theta:2 eta:2; do
    end=$((at + 8 * ${tensor#*:}))
    header="$header,\"${tensor%:*}\":{\"dtype\":\"F64\",\"shape\":[${tensor#*:}],\"data_offsets\":[$at,$end]}"
    at=$end
done
header=$(printf '%-512s' "$header}")
{ printf '\000\002\000\000\000\000\000\000%s' "$header"; head -c $at /dev/zero; } >"$tiny.equation"
seeds() {
    case $1 in
    weights) echo "$tiny.weights" ;;
    training) echo "$tiny.full" ;;
    state) echo "$tiny.state" ;;
    config) ls harness/recipe/*.json ;;
    text) echo README.md ;;
    golden) echo results/golden/eq19_20_persistent.safetensors ;;
    equation) echo "$tiny.equation" ;;
    gzip) echo "$tiny.gz" ;;
    words) echo "$tiny.words" ;;
    packages) echo "$tiny.bible" "$tiny.index" ;;
    prompt) echo LICENSE "$tiny.gz" ;;
    options) echo "$tiny.options" ;;
    esac
}
failed=0
for reader in ${*:-weights training state config text golden equation gzip words packages prompt options}; do
    found=$build/corpus/$reader
    longest=65536
    [ "$reader" = prompt ] && longest=512 # a token of an instrumented model takes a tenth of a millisecond
    mkdir -p "$found" "$corpus/$reader"
    cp $(seeds "$reader") "$found"
    READER=$reader ASAN_OPTIONS=allocator_may_return_null=1:max_allocation_size_mb=512 "$build/fuzz" -max_total_time="$seconds" \
        -max_len=$longest -rss_limit_mb=4096 -print_final_stats=1 -close_fd_mask=3 -artifact_prefix="$build/$reader-" "$found" "$corpus/$reader" \
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
