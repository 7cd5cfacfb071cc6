#!/bin/sh
# Every command on hostile input (hostile/cases.tsv): each row must end with its exit code and say what it says, and nothing
# that a sanitizer sees may happen. The program knows the instructions that isa.sh names. Usage: hostile.sh PROGRAM JOBS
export LC_ALL=C
program=$(realpath "$1") jobs=$2
here=$(cd "$(dirname "$0")/hostile" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DRAW="$here/../../plot/draw.sh" ISA=$("$here/../isa.sh")
export T="$program" D="--dims memory_layers=1,n0=2,n1=1" OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_abort=0 UBSAN_OPTIONS=print_stacktrace=1
unset TITANS_DATA TITANS_ISA XDG_CACHE_HOME
export HOME="$work"
mkdir "$work/inputs"
(cd "$work/inputs" && sh "$here/inputs.sh") >"$work/log" 2>&1 || { cat "$work/log" >&2; echo "hostile: the inputs could not be made" >&2; exit 1; }
grep -v '^#' "$here/cases.tsv" >"$work/cases"
rows=$(grep -c . "$work/cases")

row() { # row N: a line if it is wrong
    line=$(sed -n "$1p" "$work/cases")
    wanted=$(printf '%s' "$line" | cut -f1) pattern=$(printf '%s' "$line" | cut -f2) command=$(printf '%s' "$line" | cut -f3-)
    folder=$work/row.$1
    mkdir "$folder"
    cp -a --sparse=always "$work/inputs/." "$folder/"
    (cd "$folder" && timeout -k 5 60 setsid -w sh -c "$command") >"$folder.out" 2>&1 </dev/null
    got=$?
    if grep -qE 'AddressSanitizer|runtime error:|CHECK\(' "$folder.out"; then
        echo "hostile: row $1: a fault of memory or arithmetic: $command"
    elif [ "$got" -ne "$wanted" ]; then
        echo "hostile: row $1: ended with $got, not $wanted: $command"
    elif ! grep -aqE -e "$pattern" "$folder.out" && ! { [ "$pattern" = '^$' ] && [ ! -s "$folder.out" ]; }; then
        echo "hostile: row $1: '$pattern' is wanted of: $command"
    else
        rm -rf "$folder" "$folder.out"
        return
    fi
    head -c 1500 "$folder.out" | head -12 | sed 's/^/    /'
    rm -rf "$folder"
}
worker() { n=$1; while [ "$n" -le "$rows" ]; do row "$n"; n=$((n + jobs)); done >"$work/wrong.$1"; }
for i in $(seq 1 "$jobs"); do worker "$i" & done
wait
cat "$work"/wrong.*
bad=$(cat "$work"/wrong.* | grep -c '^hostile: row')
echo "hostile: $rows rows of hostile input, $bad wrong"
[ "$rows" -ge 150 ] && [ "$bad" -eq 0 ]
