#!/bin/sh
# The main job. Usage: run.sh BUILD [MODE]
#   empty  evaluate the committed checkpoints, measure speed, memory and kernels, draw: everything into BUILD/bench
#   1      a short version, into BUILD/quick
#   full   train every checkpoint again, evaluate to 10M tokens (hours), into BUILD/bench
# `make publish` copies BUILD/bench into results/.
set -e
export LC_ALL=C
build=$1 mode=$2
titans=$build/titans
recipe=harness/recipe
out=$build/bench models=results/checkpoints
case $mode in '' | 0) ;; full) models=$out/checkpoints ;; *) out=$build/quick ;; esac
mkdir -p "$models" "$out/figures"
# The mixers of the figures; relatives are measured apart.
family=attention,swa,lmm,mac,mag,mal
began=$(date +%s)
say() { printf '\n[%4d s] %s\n' $(($(date +%s) - began)) "$1" >&2; }

# train NAME RECIPE [OPTION..]: a checkpoint of weights only, and its log.
train() {
    name=$1 config=$2
    shift 2
    say "training $name"
    $titans train --force --config $recipe/$config.json "$@" --out $models/$name.full --log $out/training-$name.tsv
    $titans export --force $models/$name.full --out $models/$name.safetensors
    rm $models/$name.full
}

# finish TABLE..: figures, and what was measured beside what is published.
finish() {
    say "figures"
    harness/plot/draw.sh $out
    say "yours beside published (results/; tokens and seeds are the same, machines differ)"
    for table in "$@"; do awk -f harness/bench/beside.awk results/$table.tsv $out/$table.tsv; done
    say "done: tables in $out/*.tsv, figures in $out/figures"
}

case $mode in
1) say "two committed models are asked, speed and kernels measured: two to three minutes" ;;
full) say "every committed model is trained again: many hours" ;;
*) say "the committed models are asked and measured: about 40 minutes on two cores" ;;
esac

if [ "$out" = "$build/quick" ]; then
    say "needles by length and depth"
    $titans bench needle --force $models/lmm-passkey-s0.safetensors $models/attention-passkey-s0.safetensors --limit 1K \
        --lengths 256,512,1K,2K,4K --samples 40 -o $out/needle.tsv
    say "needles in prose that everybody has"
    $titans bench needle --force $models/lmm-niah2-s2.safetensors $models/mal-niah2-s0.safetensors --lengths 2K,4K --samples 40 --batch 20 \
        -o $out/needle-niah.tsv
    say "speed and memory against length"
    $titans bench scaling --force --mixers attention,lmm $recipe/speed.json --lengths 1K,2K,4K,8K -o $out/scaling.tsv
    say "training throughput"
    $titans bench training --force -c $recipe/speed.json --mixers $family --lengths 2K,4K --tokens 4K --repeats 1 -o $out/throughput-train.tsv
    say "drift from double"
    $titans bench drift --force --tokens 16K -o $out/drift.tsv
    say "kernels"
    $titans bench kernels --force --rounds 3 -o $out/kernels.tsv
    finish needle needle-niah scaling kernels
    exit
fi

# Tables that this mode does not measure are the published ones, so that every figure can be drawn.
cp results/*.tsv "$out/"
# NAME-sSEED is what recipe NAME makes of SEED.
if [ "$mode" = full ]; then
    for file in results/checkpoints/*-s?.safetensors; do
        name=$(basename "$file" .safetensors)
        train "$name" "${name%-s?}" --seed "${name##*-s}"
    done
fi

# Every committed checkpoint of the tasks that match a pattern; attention only as far as it is worth reading.
needles() {
    tasks=$1
    shift
    set -- "$@" $(ls $models/*-$tasks-s?.safetensors | grep -v /attention-)
    for file in $models/attention-$tasks-s?.safetensors; do [ -f "$file" ] && set -- "$@" "$file" --limit 16K; done
    $titans bench needle --force "$@"
}
say "passkey by length and depth"
needles passkey --lengths 256,512,1K,2K,4K,8K,16K,128K --samples 40 -o $out/needle.tsv
# Transformers by their positions, and by what they are asked with, which changes no weight.
places=""
for model in rope nope alibi equal long; do
    keys="-"
    case $model in rope) keys="- rope_scaling=ntk rope_scaling=yarn log_scale=1" ;; nope | alibi) keys="- log_scale=1" ;; esac
    for key in $keys; do
        for file in $models/attention-$model-passkey-s?.safetensors; do
            [ -f "$file" ] || continue
            if [ "$key" = - ]; then places="$places $file"; else places="$places $file --set $key --limit 4K"; fi
        done
    done
done
say "passkey by positions of the transformer"
$titans bench needle --force $places --lengths 256,512,1K,2K,4K,8K --samples 40 --batch 8 -o $out/needle-positions.tsv
# Prose and words that everybody has, and that none of the models was trained on.
everybody="--haystack bible --words wordnet --side test"
say "S-NIAH on bytes"
needles 'niah?' $everybody --lengths 2K,4K,8K,16K --samples 40 --batch 20 -o $out/needle-niah.tsv
needles 'niah?' $everybody --lengths 64K --samples 40 --batch 8 -o $out/needle-niah-long.tsv
say "S-NIAH-1 by models that were trained on S-NIAH-2"
$titans bench needle --force $everybody --task niah1 $models/[lm]??-niah2-s0.safetensors --lengths 2K,4K,8K,16K --samples 40 --batch 20 \
    -o $out/niah1-transfer.tsv
say "S-NIAH after a longer training than the table's"
needles 'niah?-more' $everybody --lengths 1K,2K,4K,8K,16K --samples 40 --batch 20 -o $out/niah-more.tsv
if [ "$mode" = full ]; then
    say "S-NIAH-2 with as many samples as the paper"
    $titans bench needle --force $everybody $models/[lm]??-niah2-s?.safetensors --lengths 2K,16K --samples 500 --batch 20 -o $out/niah-500.tsv
fi
say "what the memories write"
$titans bench writes --force $everybody $(ls $models/*-niah?*-s?.safetensors | grep -v /attention-) -o $out/writes.tsv
if [ "$mode" = full ]; then
    say "needles to ten million tokens"
    $titans bench needle --force $models/lmm-passkey-s0.safetensors --lengths 1M,2M,10M --samples 10 --batch 5 -o $out/needle-long.tsv
    $titans bench needle --force $models/mac-passkey-s0.safetensors --lengths 1M,2M,10M --samples 10 --batch 5 -o $out/needle-long-mac.tsv
    $titans bench needle --force $models/mac-niah2-s0.safetensors $models/mal-niah2-s0.safetensors --lengths 1M --samples 10 --batch 5 \
        -o $out/needle-niah-1M.tsv
    say "speed and memory to ten million tokens"
    $titans bench scaling --force $models/lmm-passkey-s0.safetensors $models/mac-passkey-s0.safetensors --lengths 128K,1M,10M -o $out/scaling-long.tsv
fi
# ablate NAME RECIPE [OPTION..]: a recipe with something changed, as rows of ablation.tsv.
ablate() {
    name=$1 config=$2
    shift 2
    say "ablation: $name"
    $titans train --force --config $recipe/$config.json "$@" --out $out/ablation.full
    $titans bench needle --force $out/ablation.full --lengths 256,1K,4K,16K --samples 40 --batch 8 -o $out/ablation.tsv
    [ -f $out/ablations.tsv ] || { grep '^#' $out/ablation.tsv; printf 'variant\tlength\tsamples\tcorrect\taccuracy\tlow\thigh\n'; } >$out/ablations.tsv
    awk -F'\t' -v OFS='\t' -v name="$name" '$4 == "all" { print name, $3, $5, $6, $7, $8, $9 }' $out/ablation.tsv >>$out/ablations.tsv
}
if [ "$mode" = full ]; then
    rm -f $out/ablations.tsv
    ablate full_recipe lmm-passkey
    ablate sigmoid_gates lmm-passkey --set gate=sigmoid --set penalty=0
    ablate no_momentum lmm-passkey --set momentum=0
    ablate no_decay lmm-passkey --set forget=0
    ablate no_convolution lmm-passkey --set taps=0
    ablate no_persistent lmm-passkey --set persistent=0
    ablate two_layers lmm-passkey --set memory_layers=2
    mv $out/ablations.tsv $out/ablation.tsv
    rm $out/ablation.full
fi
say "speed and memory against length"
$titans bench scaling --force --mixers $family $recipe/speed.json -o $out/scaling.tsv
$titans bench scaling --force --threads 1 --lengths 2K,8K $recipe/speed.json -o $out/scaling-relatives.tsv
say "what denormal numbers cost"
$titans bench denormals --force -c $recipe/speed.json --rounds 5 -o $out/denormals.tsv
say "threads beside another process"
$titans bench contention --force -c $recipe/speed.json --mixers attention,lmm,mac --rounds 3 -o $out/contention.tsv
say "training throughput (Figures 8 and 9 of the paper)"
$titans bench training --force -c $recipe/speed.json --mixers $family --repeats 3 -o $out/throughput-train.tsv
$titans bench training --force -c $recipe/speed.json --mixers lmm --depths 1,2,3,4 --repeats 3 -o $out/throughput-depth.tsv
say "training throughput of every mixer, one thread"
$titans bench training --force -c $recipe/speed.json --lengths 512,2K,8K --tokens 8K --repeats 2 --threads 1 -o $out/throughput-relatives.tsv
say "surprise along a sequence"
$titans bench surprise --force $models/lmm-passkey-s0.safetensors --length 512 -o $out/surprise.tsv
say "drift from double over a million tokens"
$titans bench drift --force -o $out/drift.tsv
say "kernels"
$titans bench kernels --force --only gemm,attend,memory,rows,step,stream -o $out/kernels.tsv
$titans bench kernels --force --only delta,scan,relatives -o $out/kernels-relatives.tsv
$titans bench kernels --force --only softmax -o $out/softmax.tsv
harness/bench/relatives.sh $titans >$out/relatives.tsv
finish needle needle-positions needle-niah needle-niah-long niah1-transfer niah-more $([ "$mode" = full ] && echo niah-500) scaling throughput-train throughput-depth kernels
