#!/bin/sh
# clang-format (check only), cppcheck and clang-tidy over the sources. Usage: lint.sh INCLUDES ARCH FILES...
export LC_ALL=C
includes=$1 arch=$2
shift 2
failed=0
clang-format --dry-run -Werror "$@" || failed=1
case $arch in aarch64) isa=neon ;; *) isa=avx2 ;; esac
flags="-D_GNU_SOURCE -DREAL_DOUBLE -DVEC_ISA=$isa -DVEC_HEADER=\"vec/$isa.h\" -DNAIVE_NAME=naive_plain"
sources=""
for file in "$@"; do
    case $file in *.h | optimized/kernel/*/*.c | harness/verify/dropin/*) ;; *) sources="$sources $file" ;; esac
done
# shellcheck disable=SC2086
cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr --enable=warning,portability --suppress=missingInclude --suppress=ctuuninitvar --suppress=legacyUninitvar --suppress='uninitvar:harness/verify/*' --suppress=invalidFunctionArg:reference/layers.c --suppress=returnDanglingLifetime:optimized/model/model.c \
    --suppress=unknownMacro --suppress='*:/usr/*' $includes $flags $sources || failed=1
[ "$isa" = avx2 ] && extra="-mavx2 -mfma"
# shellcheck disable=SC2086
clang-tidy --quiet $sources -- -std=c11 -fopenmp $includes $flags $extra >build/tidy.log 2>build/tidy.err ||
    { failed=1; tail -5 build/tidy.err; }
grep -E '(warning|error):' build/tidy.log && failed=1
[ $failed -eq 0 ] && echo "lint: clean"
exit $failed
