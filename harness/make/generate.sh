#!/bin/sh
# Registries from folder listings: to add a kernel, mixer, task, command, measurement or table of cases is to add its file.
# Usage: generate.sh FOLDER "INSTRUCTION SETS" EMULATED_AVX512 FLAGS MPI. A file is written only where it changes.
export LC_ALL=C
gen=$1 isas=$2 emulated=$3
mkdir -p "$gen"

keep() { # keep NAME: standard input
    cat >"$gen/$1.$$"
    if cmp -s "$gen/$1.$$" "$gen/$1"; then rm "$gen/$1.$$"; else mv "$gen/$1.$$" "$gen/$1"; fi
}
names() { # names FOLDER: of its sources
    for file in "$1"/*.c; do [ -f "$file" ] && basename "$file" .c; done
}
# Whose kernel an instruction set has: AMX has products in bf16, the rest is AVX-512's.
source_of() { # source_of ISA KERNEL
    if [ "$1" = amx ] && [ "$2" != bf16 ]; then echo avx512; else echo "$1"; fi
}
# registry HEADER TYPE PREFIX ARRAY NAME..: declarations, and an array that ends with NULL
registry() {
    header=$1 type=$2 prefix=$3 array=$4
    shift 4
    {
        for name in "$@"; do echo "extern const $type $prefix$name;"; done
        echo "static const $type *const $array[] = {"
        for name in "$@"; do echo "    &$prefix$name,"; done
        echo "    0};"
    } | keep "$header"
}

# The commit of this tree, not of a repository that the tree happens to lie in.
commit() {
    here=$(pwd -P)
    [ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$here" ] || { echo unknown; return; }
    id=$(git rev-parse --short HEAD 2>/dev/null) || id=unknown
    git diff --quiet HEAD -- reference optimized harness Makefile 2>/dev/null || id=$id-modified
    echo "$id"
}
echo "$4" | keep flags
echo "$5" | keep mpi
echo "#define TITANS_COMMIT \"$(commit)\"" | keep build.h

# shellcheck disable=SC2046
{
    kernels=$(names optimized/kernel)
    {
        echo '#pragma once'
        for k in $kernels; do echo "#include \"kernel/$k.h\""; done
        echo 'typedef struct {'
        echo '    const char *isa;'
        for k in $kernels; do echo "    const struct ${k}_kernel *$k;"; done
        echo '} Kernels;'
    } | keep kernels.h
    {
        echo "#define EMULATED_AVX512 $emulated"
        echo "#define KERNELS_FIRST kernels_${isas%% *}"
        for isa in $isas; do
            for k in $kernels; do echo "extern const struct ${k}_kernel ${k}_kernel_$(source_of "$isa" "$k");"; done
            echo "static const Kernels kernels_$isa = {"
            echo "    .isa = \"$isa\","
            for k in $kernels; do echo "    .$k = &${k}_kernel_$(source_of "$isa" "$k"),"; done
            echo '};'
        done
        echo 'static const Kernels *const kernel_tables[] = {'
        for isa in $isas; do echo "    &kernels_$isa,"; done
        echo '    0};'
    } | keep kernel_tables.h
    registry mixers.h Mixer mixer_ mixers $(names optimized/mixer)
    registry tasks.h Task task_ tasks $(names harness/task)
    registry commands.h Command command_ commands $(names harness/command)
    registry benches.h Bench bench_ benches $(names harness/bench)
    registry kernel_adapters.h KernelAdapters kernel_adapters_ kernel_adapters $(names harness/equation/kernel)
    registry oracle_equations.h OracleEquations oracle_equations_ oracle_equations $(names harness/verify/oracle/equation)
    registry peers.h Peers peers_ peers $(names harness/peer)
    registry kernel_benches.h KernelBench kernel_bench_ kernel_benches $(names harness/bench/kernel)
    {
        echo 'static const EquationCase equation_cases[] = {'
        for file in harness/case/*.tsv; do
            awk -F'\t' -v equation="$(basename "$file" .tsv)" '
                function text(cell) { gsub(/["\\]/, "\\\\&", cell); return "\"" (cell == "-" ? "" : cell) "\"" }
                NR > 1 { printf "    {%s, %s, %s, %d, %s, %s, %s, %s},\n", text(equation), text($1), text($2), $3,
                         text($4), text($5), text($6), text($7) }' "$file"
        done
        echo '    {0, 0, 0, 0, 0, 0, 0, 0}};'
    } | keep equation_cases.h
    {
        echo '#include "reference.h"'
        for f in $(names reference); do echo "#include \"$f.c\""; done
        for f in $(names reference/mixer); do echo "#include \"mixer/$f.c\""; done
        echo 'static const Equation *const equation_files[] = {'
        for f in $(names reference); do echo "    ${f}_equations,"; done
        for f in $(names reference/mixer); do echo "    mixer_${f}_equations,"; done
        echo '    NULL};'
        echo 'REFERENCE_EXPORT(equation_files)'
    } | keep reference.c
}
