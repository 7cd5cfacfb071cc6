#!/bin/sh
# What was measured becomes what is published: tables, figures, and checkpoints that were trained. Usage: publish.sh FROM TO
export LC_ALL=C
set -e
from=$1 to=$2
[ -d "$from/figures" ] || { echo "publish: $from is not there: make bench first" >&2; exit 1; }
cp "$from"/*.tsv "$to/"
cp "$from"/figures/*.svg "$to/figures/"
[ ! -d "$from/checkpoints" ] || cp "$from"/checkpoints/*.safetensors "$to/checkpoints/"
git status --short "$to" 2>/dev/null || true
