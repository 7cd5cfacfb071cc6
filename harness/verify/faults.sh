#!/bin/sh
# Applies each seeded fault of faults.tsv to a copy of the sources, builds the suites and demands that the check named with
# it fails there, having passed on the sources as they are. Usage: faults.sh [REGEX]
export LC_ALL=C
only=$1
work=build/faults
rm -rf $work
mkdir -p $work/src
for part in reference optimized harness results Makefile; do cp -r $part $work/src/; done
tab=$(printf '\t')
best=avx2
[ "$(uname -m)" = x86_64 ] || best=neon
# One instruction set suffices, but where two are compared.
out_of() { case $1 in */every_isa*) echo two ;; *) echo one ;; esac; }
isas_of() { case $1 in two) echo "scalar $best" ;; *) echo $best ;; esac; }
build() { # build CHECK
    out=$(out_of "$1")
    (cd $work/src && make -s -j2 BUILD=../$out OPT=-O1 REF_OPT=-O0 ISAS="$(isas_of "$out")" ../$out/verify) >$work/log 2>&1 </dev/null
}
check() { (cd $work/src && OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive timeout -s KILL 300 ../"$(out_of "$1")"/verify -j2 --timeout 200 --filter "$1" >../check 2>&1 </dev/null); }
caught=0 missed=0
report() {
    echo "faults: $1"
    missed=$((missed + 1))
}
for named in $(grep -v '^#' harness/verify/faults.tsv | grep -E "^(${only:-.*})$tab" | cut -f4 | sort -u); do
    if ! build "$named"; then
        cat $work/log
        echo "faults: the sources do not build"
        exit 1
    fi
    if ! check "$named" || ! grep -q 'Tested: [1-9]' $work/check; then report "$named does not pass without a fault"; fi
done
while IFS="$tab" read -r name file script named; do
    case $name in '' | '#'*) continue ;; esac
    [ -z "$only" ] || echo "$name" | grep -qE "^($only)\$" || continue
    sed "$script" "$file" >$work/src/$file
    if cmp -s "$file" "$work/src/$file"; then
        report "$name no longer applies to $file"
        continue
    fi
    if ! build "$named"; then
        report "$name does not build"
        grep -m3 error $work/log
    elif check "$named"; then
        report "$name was NOT caught by $named"
    else
        echo "faults: $name caught by $named"
        caught=$((caught + 1))
    fi
    cp "$file" "$work/src/$file"
done <harness/verify/faults.tsv
echo "faults: $caught passed, $missed failed"
[ $missed -eq 0 ] && [ $caught -gt 0 ]
