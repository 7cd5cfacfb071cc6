#!/bin/sh
# Trains and asks what harness/experiment/NAME.json says, into BUILD/experiment: models, which experiments share, tables and
# figures. What is done is kept. Usage: experiment.sh BUILD JOBS NAME
set -e
export LC_ALL=C
build=$1 jobs=$2 name=$3 out=$1/experiment
file=harness/experiment/$name.json
if [ -z "$name" ] || [ ! -f "$file" ]; then
    echo "make experiment NAME=.., one of:" >&2
    for file in harness/experiment/*.json; do
        printf '  %-14s %s\n' "$(basename "$file" .json)" "$(sed -n 's/^  "question": "\(.*\)",$/\1/p' "$file")" >&2
    done
    exit 2
fi
"$build/titans" sweep "$file" --folder "$out" --jobs "$jobs"
# figures of the tables that this experiment has made
mkdir -p "$out/$name"
for table in $(sed -n 's/.*"table": "\([^"]*\)".*/\1/p' "$file" | sort -u); do cp "$out/$table.tsv" "$out/$name/"; done
harness/plot/draw.sh "$out/$name" 2>&1 | grep -v 'left out' || true
echo "tables and figures: $out/$name"
