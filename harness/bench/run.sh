#!/bin/sh
# The main job. Usage: run.sh BUILD [MODE]
#   empty  evaluate the committed checkpoints, measure speed, memory and kernels, draw: everything into BUILD/bench
#   1      a short version, into BUILD/quick
#   full   train every checkpoint again, evaluate to 10M tokens (hours), into BUILD/bench
# `make publish` copies BUILD/bench into results/.
set -e
export LC_ALL=C
build=$1 mode=$2 failed=
titans=$build/titans
recipe=harness/recipe
out=$build/bench trained=$build/trained models=results/checkpoints
case $mode in '' | 0 | full) ;; *) out=$build/quick ;; esac
# The mixers of the figures; relatives are measured apart.
family=attention,swa,lmm,mac,mag,mal
began=$(date +%s)
say() { printf '\n[%4d s] %s\n' $(($(date +%s) - began)) "$1" >&2; }

# tables EXPERIMENT..: names of the tables that they make.
tables() {
    for name in "$@"; do sed -n 's/.*"table": "\([^"]*\)".*/\1/p' "harness/experiment/$name.json"; done | sort -u
}

# ask NAME [OPTION..]: experiment NAME, its models and its tables. Committed models are asked again each time; full trains
# all, and goes on where it was stopped.
ask() {
    name=$1
    shift
    say "$(sed -n 's/^  "question": "\(.*\)",$/\1/p' "harness/experiment/$name.json")  ($name)"
    if [ "$mode" = full ]; then
        set -- "$@" --folder $trained
    else
        for table in $(tables "$name"); do rm -rf "${out:?}/$table"; done
        set -- "$@" --models $models --folder $out
    fi
    $titans sweep "harness/experiment/$name.json" --jobs "$(nproc)" "$@"
}

# finish TABLE..: figures, and what was measured beside what is published.
finish() {
    say "figures"
    harness/plot/draw.sh $out
    say "yours beside published (results/; tokens and seeds are the same, machines differ)"
    for table in "$@"; do awk -f harness/bench/beside.awk results/$table.tsv $out/$table.tsv; done
    [ -z "$failed" ] || say "not everything could be trained or asked in:$failed"
    say "done: tables in $out/*.tsv, figures in $out/figures"
}

case $mode in
1) say "four committed models are asked, speed and kernels measured: half a minute" ;;
full) say "every committed model is trained again: many hours" ;;
*) say "the committed models are asked and measured: about a quarter of an hour on two cores" ;;
esac

mkdir -p "$out/figures"

if [ "$out" = "$build/quick" ]; then
    ask quick
    say "speed and memory against length"
    $titans bench scaling --force --mixers attention,lmm $recipe/speed.json --lengths 1K,2K,4K,8K -o $out/scaling.tsv
    say "training throughput"
    $titans bench training --force -c $recipe/speed.json --mixers $family --lengths 2K,4K --tokens 4K --repeats 1 -o $out/throughput-train.tsv
    say "drift from double"
    $titans bench drift --force --tokens 16K -o $out/drift.tsv
    say "kernels"
    $titans bench kernels --force --rounds 3 --only gemm,attend,memory,rows,stream -o $out/kernels.tsv
    finish needle needle-niah scaling kernels
    exit
fi

# Tables that this mode does not measure are the published ones, so that every figure can be drawn.
cp results/*.tsv "$out/"
if [ "$mode" = full ]; then
    experiments=$(basename -s .json harness/experiment/*.json)
    # a recipe that cannot be trained, or a model whose numbers overflow, is a result too: the others go on
    for name in $experiments; do
        ask "$name" || { [ $? -lt 128 ] || exit 1; failed="$failed $name"; }
    done
    for table in $(tables $experiments); do cp "$trained/$table.tsv" "$out/"; done
    for log in results/training-*.tsv; do
        name=$(basename "$log" .tsv) && name=${name#training-}
        [ ! -f "$trained/$name.tsv" ] || cp "$trained/$name.tsv" "$out/training-$name.tsv"
    done
    # the models without the state of their optimizers
    models=$out/checkpoints
    mkdir -p "$models"
    for file in results/checkpoints/*.safetensors; do
        $titans export --force "$trained/$(basename "$file")" --out "$models/$(basename "$file")"
    done
else
    for name in passkey positions niah niah-more; do ask $name --limit 16K; done
    ask multikey --limit 4K
    ask niah-bible --limit 2K
fi
# Prose and words that everybody has, and that none of the models was trained on.
everybody="--haystack bible --words wordnet --side test"
say "what the memories write"
$titans bench writes --force $everybody $(ls $models/*-niah?*-s?.safetensors | grep -E "/(lmm|ma[cgl])-") -o $out/writes.tsv
if [ "$mode" = full ]; then
    say "what the paper's gates do"
    $titans bench gates --force $trained/sigmoid-*-passkey-s?.safetensors -o $out/gates.tsv
    say "speed and memory to ten million tokens"
    $titans bench scaling --force $models/lmm-passkey-s0.safetensors $models/mac-passkey-s0.safetensors --lengths 128K,1M,10M -o $out/scaling-long.tsv
fi
say "speed and memory against length"
$titans bench scaling --force --mixers $family $recipe/speed.json -o $out/scaling.tsv
say "training throughput (Figures 8 and 9 of the paper)"
$titans bench training --force -c $recipe/speed.json --mixers $family --lengths 2K,8K,32K --repeats 1 -o $out/throughput-train.tsv
$titans bench training --force -c $recipe/speed.json --mixers lmm --depths 1,2,3,4 --lengths 2K,$([ "$mode" = full ] && echo 8K,)32K --repeats 1 -o $out/throughput-depth.tsv
say "surprise along a sequence"
$titans bench surprise --force $models/lmm-passkey-s0.safetensors --length 512 -o $out/surprise.tsv
say "drift from double"
$titans bench drift --force $([ "$mode" = full ] || echo --tokens 64K) -o $out/drift.tsv
say "kernels"
$titans bench kernels --force --only gemm,attend,memory,rows,step,stream -o $out/kernels.tsv
$titans bench kernels --force --only decode -o $out/decode.tsv
if [ "$mode" = full ]; then
    say "two threads on different layers"
    $titans bench kernels --force --only wave -o $out/wave.tsv
    say "threads beside another process"
    $titans bench contention --force -c $recipe/speed.json --mixers $family --rounds 3 -o $out/contention.tsv
    say "products in bf16, kernels of AVX2"
    $titans bench kernels --force --only bf16 -o $out/bf16.tsv
    [ "$(uname -m)" != x86_64 ] || TITANS_ISA=avx2 $titans bench kernels --force --only gemm,attend,memory,step -o $out/kernels-avx2.tsv
    say "every mixer, one thread: streaming, training, kernels, what denormal numbers cost"
    $titans bench scaling --force --threads 1 --lengths 2K,8K $recipe/speed.json -o $out/scaling-relatives.tsv
    $titans bench training --force -c $recipe/speed.json --lengths 512,2K,8K --tokens 8K --repeats 2 --threads 1 -o $out/throughput-relatives.tsv
    $titans bench kernels --force --only delta,scan,relatives -o $out/kernels-relatives.tsv
    $titans bench kernels --force --only softmax -o $out/softmax.tsv
    $titans bench denormals --force -c $recipe/speed.json --rounds 5 -o $out/denormals.tsv
    harness/bench/relatives.sh $titans >$out/relatives.tsv
fi
finish needle needle-positions niah-bible needle-niah niah1-transfer niah-more needle-multikey $([ "$mode" = full ] && echo needle-niah-long niah-500) scaling throughput-train throughput-depth kernels
