#!/bin/sh
# Trains a committed model NAME-sSEED again from recipe NAME and compares every tensor. Usage: reproduce.sh BUILD NAME-sSEED
set -e
export LC_ALL=C
build=$1 name=$2
recipe=harness/recipe/${name%-s*}.json committed=results/checkpoints/$name.safetensors
if [ -z "$name" ] || [ ! -f "$recipe" ] || [ ! -f "$committed" ]; then
    echo "make reproduce NAME=NAME-sSEED, one of:" >&2
    for file in results/checkpoints/*.safetensors; do echo "  $(basename "$file" .safetensors)"; done >&2
    exit 2
fi
out=$build/reproduced
mkdir -p "$out"
if ! "$build/titans" train --force --config "$recipe" --seed "${name##*-s}" --out "$out/$name.full"; then
    if grep -qE '"(essays|wordlists)"' "$recipe"; then
        echo "make reproduce: $name was trained on essays and word lists that are not part of a clone: TITANS_DATA names" \
            "their folder (docs/files.md). The passkey models need none." >&2
    fi
    exit 1
fi
"$build/titans" export --force "$out/$name.full" --out "$out/$name.safetensors"
rm "$out/$name.full"
"$build/titans" info "$out/$name.safetensors" "$committed"
