#!/bin/sh
# Links and paths of README.md and docs/ lead somewhere. docs/equations.md, errata.md and verification.md name tests, functions, kernels, files and seeded faults: each must exist, and
# every row of the plan has a fault.
# Usage: docs.sh BUILD
export LC_ALL=C
build=$1
docs="docs/equations.md docs/errata.md docs/verification.md"
tests=$("$build/verify" --list 2>/dev/null | sed 's/\x1b\[[0-9;]*m//g' |
    awk '/: [0-9]+ tests?$/ { sub(":", "", $1); suite = $1; print suite "/*"; next } { print suite "/" $NF }')
bad=0 checked=0
complain() { echo "docs: $1 is named in $docs and does not exist" >&2; bad=$((bad + 1)); }
suites=$(echo "$tests" | sed 's#/.*##' | sort -u | tr '\n' '|' | sed 's/|$//')
for name in $(sed 's#harness/[^ ]*##g' $docs | grep -ohE "\b($suites)/[A-Za-z0-9_*]+" | grep -vE '\.[ch]$' | sort -u); do
    checked=$((checked + 1))
    echo "$tests" | grep -qxF "$name" || complain "test $name"
done
# a list "suite/first, second" leaves out the suite: any word of four parts or more must be a test or a name in the sources
for name in $(grep -ohE '\b[a-z0-9]+(_[A-Za-z0-9]+){3,}\b' $docs | sort -u); do
    checked=$((checked + 1))
    echo "$tests" | grep -qE "/$name\$" || grep -rqw "$name" reference optimized harness || complain "$name"
done
# functions in back quotes, files, seeded faults
for name in $(grep -ohE '`[a-z_0-9]+`' docs/equations.md | tr -d '`' | sort -u); do
    checked=$((checked + 1))
    grep -rqw "$name" reference || complain "function $name"
done
for name in $(grep -ohE '\b[a-z_0-9]+\.c\b' docs/equations.md | sort -u); do
    checked=$((checked + 1))
    [ -n "$(find reference optimized harness -name "$name")" ] || complain "file $name"
done
for name in $(awk -F ' \\| ' '/^\| [0-9]/ { gsub(/[,-]/, " ", $5); print $5 }' docs/equations.md); do
    checked=$((checked + 1))
    [ -f "results/golden/$name.safetensors" ] || complain "golden file $name"
done
for name in $({ grep -ohE 'seeded fault [a-z-]+' docs/errata.md | awk '{ print $3 }'
    awk -F ' \\| ' '/^\|/ && !/seeded fault/ && !/^\|-/ { sub(/ *\|$/, "", $NF); gsub(/,/, "", $NF); print $NF }' docs/verification.md | tr ' ' '\n'; } |
    grep . | sort -u); do
    checked=$((checked + 1))
    grep -q "^$name	" harness/verify/faults.tsv || complain "fault $name"
done
# every seeded fault still changes its file, and its check exists
while IFS="$(printf '\t')" read -r name file script named; do
    case $name in '' | '#'*) continue ;; esac
    checked=$((checked + 1))
    sed "$script" "$file" | cmp -s - "$file" && { echo "docs: seeded fault $name no longer applies to $file" >&2; bad=$((bad + 1)); }
    echo "$tests" | grep -qxF "$named" || docs=harness/verify/faults.tsv complain "test $named"
done <harness/verify/faults.tsv
bare=$(grep -n '^|.*| |$' docs/verification.md)
[ -z "$bare" ] || { echo "docs: docs/verification.md has rows without a seeded fault: $bare" >&2; bad=$((bad + 1)); }
numbers=$(grep -ohE '^\| [0-9]+(-[0-9]+)? ' docs/equations.md | tr -d '| ' | awk -F- '{ for (i = $1; i <= ($2 ? $2 : $1); i++) print i }' | sort -nu | wc -l)
[ "$numbers" -eq 35 ] || { echo "docs: docs/equations.md covers $numbers of the 35 equations" >&2; bad=$((bad + 1)); }
# links lead somewhere, and so does every path that is named; in capitals are placeholders
for page in README.md docs/*.md; do
    for link in $(grep -oE '\]\([^) ]+\)' "$page" | sed 's/^](//; s/)$//' | grep -v '^https\?:' | sort -u); do
        checked=$((checked + 1))
        file=${link%%#*} anchor=${link#"${link%%#*}"}
        target=$(dirname "$page")/$file
        [ -n "$file" ] || target=$page
        [ -e "$target" ] || { docs=$page complain "link $link"; continue; }
        [ -z "$anchor" ] || grep '^#' "$target" | sed 's/^#* //' | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9_\n-' | grep -qx "${anchor#\#}" ||
            docs=$page complain "link $link"
    done
    for path in $(grep -ohE '\b(reference|optimized|harness|results|docs)/[A-Za-z0-9_./*?-]+' "$page" | sed 's/[.-]*$//' |
        grep -v '[A-Z]\{4\}' | sort -u); do
        checked=$((checked + 1))
        ls -d $path >/dev/null 2>&1 || docs=$page complain "path $path"
    done
done
# every figure is shown somewhere
for figure in results/figures/*.svg; do
    grep -qF "figures/$(basename "$figure"))" README.md docs/*.md || { echo "docs: no page shows $figure" >&2; bad=$((bad + 1)); }
done
# every page is in the index; prose has lines of at most 100 characters, tables at most five columns but that of equations
for page in docs/*.md; do
    name=$(basename "$page")
    [ "$name" = README.md ] || grep -q "^| \[$name\]($name) " docs/README.md || docs=docs/README.md complain "a row for $name in the index"
done
wide=$(awk 'FNR == 1 { code = 0 } /^```/ { code = !code } code || /^    / { next }
    /^\|/ { if (FILENAME !~ /equations/ && gsub(/ \| /, "") > 4) print FILENAME ":" FNR ": more than five columns"; next }
    { gsub(/<!-- [^>]*-->/, "") } length > 100 { print FILENAME ":" FNR ": longer than 100 characters" }' README.md docs/*.md)
[ -z "$wide" ] || { echo "docs: $wide" >&2; bad=$((bad + 1)); }
# tables and numbers of the pages are those of results/; one that is not must be refused
if command -v python3 >/dev/null 2>&1; then
    harness/table/fill.py --check || bad=$((bad + 1))
    sed 's/^| `lmm` | 40, 40, 40/| `lmm` | 40, 40, 41/' docs/results.md >"$build/stale.md"
    harness/table/fill.py --check "$build/stale.md" >/dev/null 2>&1 && { echo "docs: a stale table is not refused" >&2; bad=$((bad + 1)); }
    rm "$build/stale.md"
else
    echo "docs: tables of the pages NOT CHECKED, there is no python3"
fi
printf 'docs: %d names checked, %d wrong, %d of 35 equations covered\n' $checked $bad "$numbers"
[ $bad -eq 0 ]
