#!/bin/sh
# Mutates reference/ and optimized/kernel/, one small mistake at a time (mutate.c), and demands that the suites notice.
# Usage: run.sh COUNT|all|FILE SEED JOBS
#   COUNT mutants drawn at random by SEED from all there are, or those of FILE (lines "source number", as build/mutants/drawn
#   has them). A mutant that the compiler refuses (warnings are errors) or turns into the same machine code is none; one that
#   equivalent.tsv explains cannot be noticed. Of the others 98 % must be killed.
export LC_ALL=C
count=$1 seed=$2 jobs=$3
work=$(pwd)/build/mutants here=harness/verify/mutants
isa=avx2
[ "$(uname -m)" = x86_64 ] || isa=neon
mkdir -p "$work"
gcc -std=c11 -D_GNU_SOURCE -O1 $here/mutate.c -o "$work/mutate" || exit 1
for file in reference/*.c reference/mixer/*.c optimized/kernel/*.c optimized/kernel/memory/*.c; do
    n=$("$work/mutate" "$file")
    awk -v f="$file" -v n="$n" 'BEGIN { for (i = 0; i < n; i++) print f, i }'
done >"$work/all"
total=$(wc -l <"$work/all")
[ "$count" = all ] && count=$total
if [ -f "$count" ]; then
    cp "$count" "$work/list" && mv "$work/list" "$work/drawn"
    count=$(wc -l <"$work/drawn")
else
    awk -v seed="$seed" 'BEGIN { srand(seed) } { printf "%.9f %s\n", rand(), $0 }' "$work/all" | sort | head -n "$count" | cut -d' ' -f2- >"$work/drawn"
fi

make_in() { # make_in DIR TARGETS
    (cd "$1/src" && make -s -j1 BUILD=../out OPT=-O1 REF_OPT=-O0 ISAS=$isa $2) </dev/null
}
suites() { # suites DIR SECONDS FILTER: a loop without end is noticed by the clock
    (cd "$1/src" && ulimit -v 16000000 && export OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 &&
        timeout -s KILL "$2" ../out/verify -j1 --fail-fast --filter "$3") >"$1/check" 2>&1 </dev/null
}
# The machine code of the unit that FILE belongs to, without debugging information.
machine_code() { # machine_code DIR FILE
    case $2 in
    reference/*) flags="-Ireference -DREAL_DOUBLE" unit=../out/gen/reference.c ;;
    optimized/kernel/memory/*) unit=optimized/kernel/memory.c ;;
    *) unit=$2 ;;
    esac
    [ $isa = avx2 ] && vector="-mfma -mavx2" || vector=
    case $2 in optimized/*) flags="$vector -Ioptimized -I../out/gen -DVEC_ISA=$isa -DVEC_HEADER=\"vec/$isa.h\"" ;; esac
    (cd "$1/src" && gcc -std=c11 -D_GNU_SOURCE -O2 -w -ffp-contract=off -fopenmp $flags -c $unit -o ../code.o && cksum <../code.o)
}
explained() { # explained FILE MUTATION LINE: the reason, if equivalent.tsv has one
    awk -F '\t' -v file="$1" -v mutation="$2" -v line="$3" '
        !/^#/ && file ~ $1 && line ~ $2 && mutation ~ $3 { print $4; exit }' $here/equivalent.tsv
}
# The suites that can see the file, those that are fast and see most first.
filters() {
    case $1 in
    reference/*) echo 'reference_*/* kernels/forward* oracle/* golden/committed* gauge/* kernels/gradient*' ;;
    *) echo 'kernels/@(forward*|are*|gates*) gauge/* kernels/gradient* model/@(split*|no_output*|batch*) functions/* training/*' \
        'golden/our* kernels/every_number* model/* commands/*' ;;
    esac
}
examine() { # examine DIR FILE N: one line of the result
    dir=$1 file=$2 n=$3
    "$work/mutate" "$work/clean/src/$file" "$n" >"$dir/src/$file" 2>"$dir/what"
    what=$(cat "$dir/what") verdict=
    line=$(echo "$what" | cut -f1) mutation=$(echo "$what" | cut -f2) source=$(echo "$what" | cut -f3)
    if ! make_in "$dir" ../out/verify >"$dir/log" 2>&1; then
        verdict=invalid
    else
        set -f
        patience=60
        for filter in $(filters "$file"); do
            [ "$filter" != 'commands/*' ] || make_in "$dir" ../out/titans >"$dir/log" 2>&1
            suites "$dir" $patience "$filter" || { verdict="killed	$filter" && break; }
            patience=300
        done
        set +f
        if [ -z "$verdict" ] && [ "$(machine_code "$dir" "$file")" = "$(machine_code "$work/clean" "$file")" ]; then
            verdict="same code"
        elif [ -z "$verdict" ]; then
            verdict="survived	$(explained "$file" "$mutation" "$source")"
        fi
    fi
    cp "$work/clean/src/$file" "$dir/src/$file"
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$file" "$n" "$line" "$mutation" "$source" "$verdict"
}
prepare() { # prepare DIR
    rm -rf "$1"
    mkdir -p "$1/src"
    for part in reference optimized harness results Makefile; do cp -r $part "$1/src/"; done
    make_in "$1" "../out/verify ../out/titans" >"$1/log" 2>&1 || { cat "$1/log"; echo "mutants: the sources do not build"; exit 1; }
}
worker() { # worker INDEX
    awk -v jobs="$jobs" -v i="$1" 'NR % jobs == i' "$work/drawn" | while read -r file n; do
        examine "$work/$1" "$file" "$n" >>"$work/result.$1"
        printf '\rmutants: %d of %d examined ' "$(cat "$work"/result.* | wc -l)" "$count" >&2
    done
}

rm -f "$work"/result.*
prepare "$work/clean"
suites "$work/clean" 900 '*/!(every_isa_gives_the_same_bits)' || { tail -5 "$work/clean/check"; echo "mutants: the suites fail without any"; exit 1; }
for i in $(seq 0 $((jobs - 1))); do
    rm -rf "$work/$i"
    cp -r "$work/clean" "$work/$i"
    worker "$i" &
done
wait
{
    printf '# %s of %s mutants drawn with seed %s\nfile\tnumber\tline\tmutation\tsource\tverdict\tby\n' "$count" "$total" "$seed"
    sort -t "$(printf '\t')" -k1,1 -k3,3n "$work"/result.*
} >"$work/mutants.tsv"
awk -F '\t' '
    /^#/ || $1 == "file" { next }
    { n[$6]++ }
    $6 == "survived" && $7 != "" { explained++ }
    $6 == "survived" && $7 == "" { print "mutants: survived " $1 " " $2 " (line " $3 "): " $4 " in: " $5 }
    END {
        valid = n["killed"] + n["survived"] - explained
        score = valid ? 100 * n["killed"] / valid : 0
        printf "mutants: %d killed of %d valid: %.1f %%; %d refused by the compiler, %d the same machine code, %d explained as equivalent\n",
            n["killed"], valid, score, n["invalid"], n["same code"], explained
        exit score < 98
    }' "$work/mutants.tsv"
