#!/bin/sh
# The build's own promises: other flags or instruction sets rebuild what depends on them and the same ones nothing; the
# commit is this tree's; every script runs in the C locale. Usage: build.sh
export LC_ALL=C
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
complain() { echo "build: $1" >&2; status=1; }
# changed OPTION..: files of the generated folder that generate.sh writes anew
changed() {
    find "$work/gen" -type f -exec touch -d 2001-01-01 {} +
    harness/make/generate.sh "$work/gen" "$@"
    find "$work/gen" -type f -newermt 2002-01-01 -printf '%f\n' | sort | tr '\n' ' '
}
harness/make/generate.sh "$work/gen" "scalar avx2" 0 "gcc -O3"
[ -z "$(changed "scalar avx2" 0 "gcc -O3")" ] || complain "the same flags rebuild something"
[ "$(changed "scalar avx2" 0 "gcc -O0 -fsanitize=address")" = "flags " ] || complain "other flags do not rebuild"
[ "$(changed "scalar avx2" 0 "gcc -O0 -fsanitize=address" "gcc -lmpi")" = "mpi " ] || complain "with MPI more or less than the program is linked again"
[ "$(changed "scalar" 0 "gcc -O0 -fsanitize=address" "gcc -lmpi")" = "kernel_tables.h " ] || complain "other instruction sets do not rebuild"
commit=$(sed -n 's/.*"\(.*\)".*/\1/p' "$work/gen/build.h")
here=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
case $commit in "$here" | "$here-modified" | unknown) ;; *) complain "commit $commit in a tree of $here" ;; esac
scripts=0
for script in .ci/run harness/*/*.sh harness/*/*/*.sh; do
    scripts=$((scripts + 1))
    [ "$script" = harness/verify/locale.sh ] || grep -q '^export LC_ALL=C\|^ *export LC_ALL=C ' "$script" || complain "$script does not choose the C locale"
done
echo "build: flags, instruction sets and commit followed; $scripts scripts in the C locale"
exit $status
