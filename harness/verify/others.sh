#!/bin/sh
# What a whole `make verify` checks besides the suites: the build, figures, locales, hostile input under the sanitizers,
# the checkers in Python, other people's vectors, ranks of MPI, the library, additions as files. Usage: others.sh BUILD JOBS
set -e
export LC_ALL=C
build=$1 jobs=$2
harness/verify/build.sh
harness/verify/figures.sh "$build"
harness/verify/locale.sh "$build"
make -s -j"$jobs" BUILD="$build/asan" OPT=-O1 REF_OPT=-O0 ISAS=$(harness/verify/isa.sh) EXTRA="-fsanitize=address,undefined -fno-sanitize-recover=undefined" "$build/asan/titans" >/dev/null
harness/verify/hostile.sh "$build/asan/titans" "$jobs"
if python3 -c 'import numpy' 2>/dev/null; then
    python3 -B harness/golden/interop/test_checkers.py 2>"$build/checkers.log" | tail -1 | sed 's/^/checkers in Python: /'
    tail -1 "$build/checkers.log" | grep -q '^OK' || { cat "$build/checkers.log" >&2; exit 1; }
    python3 -B harness/golden/interop/test_safetensors.py "$build/titans"
else
    echo "checkers in Python: NOT CHECKED, there is no numpy for python3"
fi
if python3 -c 'import torch' 2>/dev/null; then
    python3 -B harness/golden/interop/test_model_torch.py "$build/titans" >"$build/models.log" 2>&1 || { cat "$build/models.log" >&2; exit 1; }
    echo "models in PyTorch: $(grep -c ' of the largest logit apart' "$build/models.log") give the logits of the reference"
else
    echo "models in PyTorch: NOT CHECKED, there is no torch for python3"
fi
harness/verify/peers.sh "$build"
harness/verify/mpi.sh "$build"
harness/verify/library.sh "$build" "$jobs"
harness/verify/dropin.sh "$build" "$jobs"

# The verdict, in one line.
tests=$(sed -n 's/.*Tested: \([0-9]*\).*/\1/p' "$build/suites.log" | tail -1)
seconds=$(($(date +%s) - $(stat -c %Y "$build/began")))
awk -F '\t' -v tests="$tests" -v seconds="$seconds" '
    NR > 1 { checks += $3; if ($4 > most) { most = $4; of = $2 } }
    END { printf "verify: all passed: %d tests, %.1f million checks, at most %.2f of a bound (%s), %d s\n", tests, checks / 1e6, most, of, seconds }' "$build/ledger.tsv"
