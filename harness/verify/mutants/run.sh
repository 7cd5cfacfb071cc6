#!/bin/sh
# Mutates reference/ and optimized/kernel/, one small mistake at a time (mutate.c), and demands that the suites notice.
# Usage: run.sh COUNT|all|FILE SEED JOBS [SOURCES]
#   COUNT mutants drawn at random by SEED from all there are in the files that the regular expression SOURCES matches, or those
#   of FILE (lines "source number", as build/mutants/drawn has them). A mutant that the compiler refuses (warnings are errors) or turns into the same machine code is none; one that
#   equivalent.tsv explains cannot be noticed and is not run. What the suites let pass they get once more, its unit built with
#   the sanitizers of `make verify-full`: a loop that reads past an end seldom changes a number. Of the others 98 % must be
#   killed.
export LC_ALL=C
count=$1 seed=$2 jobs=$3 sources=${4:-.}
work=$(pwd)/build/mutants here=harness/verify/mutants
isa=$(harness/verify/isa.sh)
mkdir -p "$work"
gcc -std=c11 -D_GNU_SOURCE -O1 $here/mutate.c -o "$work/mutate" || exit 1
for file in $(ls reference/*.c reference/mixer/*.c optimized/kernel/*.c optimized/kernel/*/*.[ch] | grep -E "$sources"); do
    n=$("$work/mutate" "$file")
    awk -v f="$file" -v n="$n" 'BEGIN { for (i = 0; i < n; i++) print f, i }'
done >"$work/all"
total=$(wc -l <"$work/all")
[ "$count" = all ] && count=$total
if [ -f "$count" ]; then
    cp "$count" "$work/list" && mv "$work/list" "$work/drawn"
    count=$(wc -l <"$work/drawn")
else
    # Mutants of one unit come one after the other: it is all that is built anew.
    awk -v seed="$seed" 'BEGIN { srand(seed) } { printf "%.9f %s\n", rand(), $0 }' "$work/all" | sort | head -n "$count" |
        cut -d' ' -f2- | sort -k1,1 -k2,2n >"$work/drawn"
fi

# A thread's buffers become plain arrays, around which the sanitizer sees; there must be one thread then.
sanitized="-fsanitize=address,undefined -fno-sanitize-recover=all -D_Thread_local= -w"
make_in() { # make_in DIR TARGETS [EXTRA]
    (cd "$1/src" && make -s -j1 BUILD=../out OPT=-O1 REF_OPT=-O0 ISAS=$isa EXTRA="$3" $2) </dev/null
}
suites() { # suites DIR SECONDS FILTER [ADDRESSES]: a loop without end is noticed by the clock
    (cd "$1/src" && ulimit -v "${4:-16000000}" &&
        export OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 ASAN_OPTIONS=detect_leaks=0 ${4:+OMP_THREAD_LIMIT=1} &&
        timeout -s KILL "$2" ../out/verify -j1 --fail-fast --filter "$3") >"$1/check" 2>&1 </dev/null
}
# The object of the unit that FILE belongs to; of the reference the arithmetic that most suites use.
object() { # object FILE
    case $1 in
    reference/*) echo reference_double.o ;;
    optimized/kernel/*/*) echo "kernel/$isa/$(basename "$(dirname "$1")").o" ;;
    *) echo "kernel/$isa/$(basename "$1" .c).o" ;;
    esac
}
# Whether the suites pass with that unit, and no other, under the sanitizers.
passes_sanitized() { # passes_sanitized DIR FILE
    rm -f "$1/out/$(object "$2")" "$1/out/verify"
    make_in "$1" ../out/verify "$sanitized" >"$1/log" 2>&1 || return 0
    for filter in $(sanitized_filters "$2"); do
        suites "$1" 600 "$filter" unlimited || return 1
    done
}
# The machine code of the unit that FILE belongs to, without debugging information.
machine_code() { # machine_code DIR FILE
    case $2 in
    reference/*) flags="-Ireference -DREAL_DOUBLE" unit=../out/gen/reference.c ;;
    optimized/kernel/*/*) unit=$(dirname "$2").c ;;
    *) unit=$2 ;;
    esac
    [ $isa = avx2 ] && vector="-mfma -mavx2" || vector=
    case $2 in optimized/*) flags="$vector -Ioptimized -I../out/gen -DVEC_ISA=$isa -DVEC_HEADER=\"vec/$isa.h\"" ;; esac
    (cd "$1/src" && gcc -std=c11 -D_GNU_SOURCE -O2 -w -ffp-contract=off -fopenmp $flags -c $unit -o ../code.o && cksum <../code.o)
}
explained() { # explained FILE MUTATION "LINE => MUTATED": the reason, if equivalent.tsv has one
    awk -F '\t' -v file="$1" -v mutation="$2" -v line="$3" '
        !/^#/ && file ~ $1 && line ~ $2 && mutation ~ $3 { print $4; exit }' $here/equivalent.tsv
}
# The suites that can see the file, those that are fast and see most first.
filters() {
    case $1 in
    reference/*) echo 'kernels/forward* @(reference_*|relatives_*|edges)/* oracle/* golden/committed* gauge/* kernels/gradient*' ;;
    *) echo '@(edges|kernels)/!(every*|gradient_eq*|error*|a_slightly*) model/@(split*|no_output*|batch*|the_outer*)' \
        'gauge/* kernels/gradient_eq* functions/* kernels/@(every_number*|error*|a_slightly*) golden/our* library/*' \
        'model/!(split*|no_output*|batch*|the_outer*) training/* relatives_*/* commands/*' ;;
    esac
}
sanitized_filters() {
    case $1 in
    reference/*) echo 'kernels/forward* @(reference_*|relatives_*|edges)/* oracle/*' ;;
    *) echo '@(edges|kernels)/!(every*|gradient_eq*|error*|a_slightly*) gauge/* functions/* model/@(split*|batch*|the_outer*)' ;;
    esac
}
# "patience FILTER": five times what it took without a mutant, and ten seconds.
patience() { # patience FILTER
    awk -F '\t' -v filter="$1" '$1 == filter { print int(5 * $2 + 10); exit }' "$work/seconds"
}
verdict() { # verdict DIR FILE MUTATION "LINE => MUTATED": of the mutant that stands in DIR/src
    reason=$(explained "$2" "$3" "$4")
    [ -z "$reason" ] || { echo "explained	$reason" && return; }
    make_in "$1" ../out/verify >"$1/log" 2>&1 || { echo invalid && return; }
    first=yes
    set -f
    for filter in $(filters "$2"); do
        [ "$filter" != 'commands/*' ] || make_in "$1" ../out/titans >"$1/log" 2>&1
        suites "$1" "$(patience "$filter")" "$filter" || { echo "killed	$filter" && return; }
        [ $first = no ] || [ "$(machine_code "$1" "$2")" != "$(machine_code "$work/clean" "$2")" ] || { echo "same code" && return; }
        first=no
    done
    if passes_sanitized "$1" "$2"; then echo survived && return; fi
    by=$filter
    cp "$work/clean/src/$2" "$1/src/$2" # it is the mutant that they refuse
    if passes_sanitized "$1" "$2"; then echo "killed	sanitizers, $by"; else echo "survived"; fi
}
examine() { # examine DIR FILE N: one line of the result
    dir=$1 file=$2 n=$3 begin=$(date +%s)
    "$work/mutate" "$work/clean/src/$file" "$n" >"$dir/src/$file" 2>"$dir/what"
    what=$(cat "$dir/what")
    line=$(echo "$what" | cut -f1) mutation=$(echo "$what" | cut -f2) source=$(echo "$what" | cut -f3)
    result=$(verdict "$dir" "$file" "$mutation" "$source => $(echo "$what" | cut -f4)")
    cp "$work/clean/src/$file" "$dir/src/$file"
    printf '%s\t%s\t%s\t%s\t%s\t%d\t%s\n' "$file" "$n" "$line" "$mutation" "$source" $(($(date +%s) - begin)) "$result"
}
# The suites pass without a mutant; how long they take.
time_suites() { # time_suites DIR
    set -f
    for filter in $(filters reference/) $(filters optimized/); do
        begin=$(date +%s)
        suites "$1" 900 "$filter" || { tail -5 "$1/check" >&2 && echo "mutants: $filter fails without any" >&2 && exit 1; }
        printf '%s\t%d\n' "$filter" $(($(date +%s) - begin))
    done >"$work/seconds"
    set +f
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
time_suites "$work/clean"
for i in $(seq 0 $((jobs - 1))); do
    rm -rf "$work/$i"
    cp -r "$work/clean" "$work/$i"
    worker "$i" &
done
wait
{
    printf '# %s of %s mutants drawn with seed %s\nfile\tnumber\tline\tmutation\tsource\tseconds\tverdict\tby\n' "$count" "$total" "$seed"
    sort -t "$(printf '\t')" -k1,1 -k3,3n "$work"/result.*
} >"$work/mutants.tsv"
awk -F '\t' '
    /^#/ || $1 == "file" { next }
    { n[$7]++; seconds += $6 }
    $8 ~ /^sanitizers/ { sanitized++ }
    $7 == "survived" { print "mutants: survived " $1 " " $2 " (line " $3 "): " $4 " in: " $5 }
    END {
        valid = n["killed"] + n["survived"]
        score = valid ? 100 * n["killed"] / valid : 0
        printf "mutants: %d killed of %d valid: %.1f %%, %d of them by the sanitizers; %d refused by the compiler, %d the same machine code, %d explained as equivalent; %d s\n",
            n["killed"], valid, score, sanitized, n["invalid"], n["same code"], n["explained"], seconds
        exit score < 98
    }' "$work/mutants.tsv"
