#!/bin/sh
# Applies each seeded fault of faults.tsv to a copy of the sources, builds the suites and demands that the check named with
# it fails. Usage: faults.sh [NAME]
only=$1
work=build/faults
mkdir -p $work/src
for part in reference optimized harness Makefile; do rm -rf "$work/src/$part"; cp -pr $part $work/src/; done
tab=$(printf '\t')
green() { (cd $work/src && make -s -j2 BUILD=../out OPT=-O1 ISAS="$isas" ../out/verify ../out/titans) >$work/log 2>&1; }
isas="scalar avx2"
[ "$(uname -m)" = x86_64 ] || isas="scalar neon"
if ! green; then cat $work/log; echo "faults: the sources do not build"; exit 1; fi
caught=0 missed=0
while IFS="$tab" read -r name file script check; do
    case $name in '' | '#'*) continue ;; esac
    [ -z "$only" ] || [ "$only" = "$name" ] || continue
    sed "$script" "$file" >$work/src/$file.faulty
    if cmp -s $file $work/src/$file.faulty; then
        echo "faults: $name no longer applies to $file"; missed=$((missed + 1)); rm $work/src/$file.faulty; continue
    fi
    mv $work/src/$file.faulty $work/src/$file
    if ! green; then
        echo "faults: $name does not build"; grep -m3 error $work/log; missed=$((missed + 1))
    elif (cd $work/src && timeout 300 ../out/verify -j2 --filter "$check" >../check 2>&1); then
        echo "faults: $name was NOT caught by $check"; missed=$((missed + 1))
    elif ! grep -q 'Tested: [1-9]' $work/check; then
        echo "faults: $check ran no test"; missed=$((missed + 1))
    else
        echo "faults: $name caught by $check"; caught=$((caught + 1))
    fi
    cp $file $work/src/$file
done <harness/verify/faults.tsv
echo "faults: $caught passed, $missed failed"
[ $missed -eq 0 ] && [ $caught -gt 0 ]
