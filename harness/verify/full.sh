#!/bin/sh
# The heavier checks: both compilers, sanitizers, NEON under qemu, the AVX-512 source on any CPU, exp for all 2^32 floats.
export LC_ALL=C
set -e
step() { printf '\n== %s\n' "$1"; }
arch=$(uname -m)
export OMP_NUM_THREADS=2

step "gcc"
make --no-print-directory verify
make -s -j2 build/bits build/golden
./build/bits scalar >build/bits.txt
./build/golden >build/golden.txt

step "clang"
make -s -j2 BUILD=build/clang CC=clang build/clang/verify build/clang/titans build/clang/bits build/clang/golden
harness/verify/run.sh build/clang 2
./build/clang/bits >build/bits-clang.txt
cmp build/bits.txt build/bits-clang.txt
./build/clang/golden | cmp build/golden.txt -
echo "gcc and clang: the same bits, the same $(wc -l <build/golden.txt) golden tensors"

step "address and undefined behaviour sanitizers"
make -s -j2 BUILD=build/asan OPT=-O1 ISAS="scalar avx2" EXTRA="-fsanitize=address,undefined -fno-sanitize-recover=all" build/asan/verify build/asan/titans
ASAN_OPTIONS=detect_leaks=0 harness/verify/run.sh build/asan 2

if [ "$arch" = x86_64 ]; then
    step "NEON under qemu: every kernel's bits"
    make -s -j2 BUILD=build/arm64 CC=aarch64-linux-gnu-gcc CXX=aarch64-linux-gnu-g++ EXTRA=-static build/arm64/bits build/arm64/golden
    for isa in scalar neon; do
        qemu-aarch64 build/arm64/bits $isa >build/bits-$isa.txt
        cmp build/bits.txt build/bits-$isa.txt
        echo "aarch64 $isa: the same $(wc -l <build/bits.txt) hashes as x86-64"
    done
    qemu-aarch64 build/arm64/golden | cmp build/golden.txt -
    echo "aarch64: the same golden tensors"

    step "AVX-512 source, its intrinsics by SIMDe where the CPU has none"
    make -s -j2 BUILD=build/simde EMULATED_AVX512=1 \
        FLAGS_avx512="-std=gnu11 -w -Wno-psabi -Iharness/verify/simde -mavx2 -mfma" build/simde/verify build/simde/titans
    harness/verify/run.sh build/simde 2 '@(kernels|model|functions)/*'
fi

step "exp for all 2^32 floats"
TITANS_EXHAUSTIVE=1 harness/verify/run.sh build 2 'functions/exp*'
printf '\nverify-full: all passed\n'
