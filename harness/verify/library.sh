#!/bin/sh
# The library as its users meet it: installed under a prefix outside the tree, its symbols, its header in strict C and in
# C++, the examples in C (shared and static) and Python, two threads under ThreadSanitizer, and nothing left after
# uninstall. Usage: library.sh BUILD JOBS
set -e
export LC_ALL=C
build=$1 jobs=$2
CC=${CC:-gcc} CXX=${CXX:-g++}
root=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
fail() { echo "library: $1" >&2; exit 1; }

make -s BUILD="$build" install PREFIX="$prefix" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "make install"; }
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib

# Only titans_* can be seen; all that the header declares, and each has its place in the manual.
declared=$(grep -o 'titans_[a-z_]*(' optimized/titans.h | tr -d '(' | grep -v '^titans_read_input.*_$' | sort -u)
for file in "-g $prefix/lib/libtitans.a" "-D $prefix/lib/libtitans.so.1"; do
    nm --defined-only $file | awk 'NF == 3 { print $3 }' | sort -u >"$work/seen"
    strange=$(grep -v '^titans_' "$work/seen" || true)
    [ -z "$strange" ] || fail "${file##*/} shows $strange"
done
for name in $declared; do
    grep -qx "$name" "$work/seen" || fail "$name is declared, not defined"
    grep -q "$name" docs/man/titans.3 || fail "$name is not in docs/man/titans.3"
done
[ "$(readelf -d "$prefix/lib/libtitans.so.1" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')" = libtitans.so.1 ] || fail "soname"
commands=$("$prefix/bin/titans" --help | sed -n 's/^  \([a-z]*\) .*/\1/p')
for command in $commands; do grep -q "^\.B titans $command" docs/man/titans.1 || fail "titans $command is not in docs/man/titans.1"; done

# The header alone, and the examples against what is installed.
cd "$work"
printf '#include <titans.h>\nint main(void) { return !titans_version(); }\n' >header.c
cp header.c header.cc
$CC -std=c11 -pedantic -Wall -Wextra -Werror $(pkg-config --cflags titans) header.c -o header-c $(pkg-config --libs titans)
$CXX -std=c++11 -pedantic -Wall -Wextra -Werror $(pkg-config --cflags titans) header.cc -o header-cc $(pkg-config --libs titans)
./header-c && ./header-cc
model=$root/results/checkpoints/lmm-passkey-s0.safetensors
for example in memory passkey; do
    flags="-std=c11 -pedantic -O1 -Wall -Wextra -Werror $(pkg-config --cflags titans) $root/harness/example/$example.c"
    $CC $flags -o "$example" $(pkg-config --libs titans) -lm
    $CC $flags -o "$example-static" "$prefix/lib/libtitans.a" $(pkg-config --libs --static titans | sed 's/-ltitans//')
    ./$example "$model" state >"$example.out" || fail "example $example"
    ./$example-static "$model" state >"$example.static" || fail "example $example, linked statically"
    cmp -s "$example.out" "$example.static" || fail "example $example: shared and static differ"
done
# What README.md shows runs as it stands there, from the tree's root.
snippet() { awk -v fence="\`\`\`$1" '$0 == fence { on = 1; next } /^```/ { on = 0 } on' "$root/README.md"; }
{ printf '#include <stdio.h>\n#include <titans.h>\nint main(void) {\n'; snippet c; printf '}\n'; } >readme.c
$CC -std=c11 -Wall -Wextra -Werror $(pkg-config --cflags titans) readme.c -o readme $(pkg-config --libs titans)
said=$(cd "$root" && "$work/readme")
case $said in "lmm after 3 tokens: "*) ;; *) fail "the C of README.md says '$said'" ;; esac
[ "$(sed 's|^[a-z ]*||' passkey.out | sort -u | wc -l)" = 1 ] || fail "passkey: $(cat passkey.out)"
if python3 -c 'import numpy' 2>/dev/null; then
    TITANS_LIBRARY=$prefix/lib/libtitans.so python3 "$root/harness/example/passkey.py" "$model" >python.out || fail "passkey.py"
    head -3 passkey.out | cmp -s - python.out || fail "passkey.py gives another answer: $(cat python.out)"
    { snippet python; echo 'print("lmm after 3 tokens: %g" % logits[0])'; } >readme.py
    [ "$(cd "$root" && python3 "$work/readme.py")" = "$said" ] || fail "the Python of README.md does not say '$said'"
    python=', Python'
fi
cd "$root"

# Two threads, two streams, one model.
make -s -j"$jobs" BUILD="$build/tsan" OPT=-O1 ISAS=$(harness/verify/isa.sh) OPENMP= EXTRA=-fsanitize=thread "$build/tsan/libtitans.a" >"$work/log" 2>&1 ||
    { tail -20 "$work/log" >&2; fail "the build for ThreadSanitizer"; }
$CC -std=c11 -O1 -g -fsanitize=thread -Ioptimized harness/verify/library/threads.c "$build/tsan/libtitans.a" -lcjson -lm -lpthread -o "$work/threads"
for mixer in lmm attention mac; do set -- "$@" results/checkpoints/$mixer-passkey-s0.safetensors; done
shift 2
TSAN_OPTIONS=halt_on_error=1 "$work/threads" "$@" || fail "two threads"

make -s BUILD="$build" uninstall PREFIX="$prefix" >/dev/null
[ -z "$(find "$prefix" ! -type d)" ] || fail "uninstall leaves $(find "$prefix" ! -type d)"
echo "library: $(echo "$declared" | wc -l) functions, nothing else visible; examples in C (shared, static)$python; two threads clean"
