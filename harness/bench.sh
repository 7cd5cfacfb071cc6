#!/bin/sh
# The main job: train the memory and the transformer, look for needles far beyond the training length, measure scaling and
# kernels, draw. Usage: bench.sh TITANS [QUICK]; QUICK empty: everything into results/; 1: a two-minute version into
# build/quick; "full": the long version.
set -e
titans=$1 quick=$2 out=results
recipe=harness/recipe
lengths=256,512,1K,2K,4K,8K,16K,32K,64K,128K scaling=1K,2K,4K,8K,16K,32K,64K,128K samples=40 rounds=7 limit=16K
lmm_steps="" attention_steps=""
case $quick in
full) lengths=$lengths,256K,512K,1M,2M scaling=$scaling,256K,512K,1M,2M ;;
"" | 0) ;;
*) out=build/quick lengths=256,512,1K,2K,4K scaling=1K,2K,4K,8K samples=10 rounds=3 limit=1K
   lmm_steps="--steps 1100" attention_steps="--steps 800" ;;
esac
mkdir -p $out/checkpoints $out/figures
began=$(date +%s)
say() { printf '\n[%4d s] %s\n' $(($(date +%s) - began)) "$1" >&2; }
lmm=$out/checkpoints/lmm-passkey.safetensors attention=$out/checkpoints/attention-passkey.safetensors

say "training the memory (lmm)"
$titans train --config $recipe/lmm-passkey.json $lmm_steps --out $lmm --log $out/training-lmm.tsv
say "training the transformer (attention)"
$titans train --config $recipe/attention-passkey.json $attention_steps --out $attention --log $out/training-attention.tsv
say "needles by length and depth"
$titans bench needle $lmm $attention --limit $limit --lengths $lengths --samples $samples --long-samples 20 -o $out/needle.tsv
say "speed and memory against length"
$titans bench scaling $lmm $attention --limit 32K --lengths $scaling -o $out/scaling.tsv
say "surprise along a sequence"
$titans bench surprise $lmm --length 512 -o $out/surprise.tsv
if [ "$quick" = full ]; then
    for task in niah1 niah2; do
        say "training the memory on $task (bytes)"
        $titans train --config $recipe/lmm-$task.json --out $out/checkpoints/lmm-$task.safetensors --log $out/training-$task.tsv
    done
fi
if [ "$out" = results ]; then
    say "S-NIAH on bytes"
    $titans bench needle $out/checkpoints/lmm-niah1.safetensors $out/checkpoints/lmm-niah2.safetensors \
        --lengths 1K,2K,4K,8K,16K,64K,128K --samples 40 --batch 8 -o $out/needle-niah.tsv
fi
say "kernels"
$titans bench kernels --rounds $rounds -o $out/kernels.tsv
say "figures"
harness/plots.sh $out
say "done: tables in $out/*.tsv, figures in $out/figures"
