"""Golden vectors of titans.c for Python: reading, judging, reporting. Needs numpy only; used by check_numpy.py, check_torch.py
and check_jax.py, which differ in how they call a function and differentiate it."""

import argparse
import importlib
import json
import os
import struct
import sys

import numpy as np

UNIT = {"float64": (2.0**-53, 2.0**-1022), "float32": (2.0**-24, 2.0**-126), "float16": (2.0**-11, 2.0**-14),
        "bfloat16": (2.0**-8, 2.0**-126)}
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "results", "golden")


def read_tensors(path):
    """All tensors of a golden file (F64) by name."""
    with open(path, "rb") as f:
        data = f.read()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[8 + size + begin : 8 + size + end], "<f8").reshape(entry["shape"])
    return tensors


class Case:
    """One case: dims and, by tensor name, inputs, cotangents, outputs, gradients and their gauges (flat float64 arrays)."""

    def __init__(self, family, test, note, k, tensors):
        self.id, self.equation, self.comment, self.note, self.k = test["tcId"], test["equation"], test["comment"], note, k
        self.family, self.flags, self.dims = family, test["flags"], test["dims"]
        part = lambda kind, names: {n: tensors[f"{self.id}/{kind}/{n}"] for n in names if f"{self.id}/{kind}/{n}" in tensors}
        self.inputs, self.outputs = part("in", test["in"]), part("out", test["out"])
        self.cotangents, self.gradients = part("cot", test["out"]), part("grad", test["in"])
        self.gauge_out, self.gauge_grad = part("gauge/out", test["out"]), part("gauge/grad", test["in"])


def cases(equation, folder=FOLDER):
    """All cases of an equation."""
    found = []
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".json"):
            continue
        with open(os.path.join(folder, name)) as f:
            index = json.load(f)
        if index["version"] != 1:
            sys.exit(f"{name}: version {index['version']}, these scripts know 1")
        tests = [t for t in index["tests"] if t["equation"] == equation]
        tensors = read_tensors(os.path.join(folder, name[:-5] + ".safetensors")) if tests else {}
        found += [Case(index["family"], t, index["notes"][t["flags"][0]], index["k"], tensors) for t in tests]
    return found


def judge(case, kind, name, got, dtype):
    """Worst share of the tolerance over the elements of one tensor: (ratio, index, got, want)."""
    want, gauge = (case.outputs, case.gauge_out) if kind == "out" else (case.gradients, case.gauge_grad)
    unit, least = UNIT[dtype]
    got = np.asarray(got, np.float64).reshape(-1)
    if got.size != want[name].size:
        return float("inf"), 0, float("nan"), float("nan")
    ratio = np.abs(got - want[name]) / (case.k * unit * (gauge[name] + np.abs(want[name])) + least)
    ratio = np.where(np.isfinite(got), ratio, np.inf)
    at = int(np.argmax(ratio)) if ratio.size else 0
    return (float(ratio[at]), at, float(got[at]), float(want[name][at])) if ratio.size else (0.0, 0, 0.0, 0.0)


def report(case, results, dtype):
    """Prints a line, and for a failure the worst element and what it usually means. True when the case passes."""
    worst = max(results, default=(0.0, "", "", 0, 0.0, 0.0))
    passed = worst[0] <= 1.0
    print(f"{case.family} {case.id} {case.equation:18} {case.flags[0]:18} {'pass' if passed else 'FAIL'}  "
          f"worst {worst[0]:.3g} of its tolerance")
    if not passed:
        ratio, kind, name, at, got, want = worst
        print(f"    {kind}/{name}[{at}] = {got:.9g}, the reference has {want:.9g} ({case.comment}, {dtype})\n    usually: {case.note}")
    return passed


def main(call, dtypes):
    """call(function, case, dtype, gradient) -> (outputs, gradients), dicts of arrays by name (gradients may be {})."""
    p = argparse.ArgumentParser(description="Run FUNCTION (module:name) against the golden vectors of EQUATION. It gets the inputs "
                                            "as a dict of flat arrays by name and the dimensions as a dict, and returns a dict of outputs.")
    p.add_argument("function")
    p.add_argument("--equation", required=True)
    p.add_argument("--dtype", default="float32", choices=dtypes)
    p.add_argument("--gradient", action="store_true", help="compare gradients too")
    p.add_argument("--golden", default=FOLDER, help="folder of the golden files")
    o = p.parse_args()
    module, _, name = o.function.partition(":")
    sys.path.insert(0, os.getcwd())
    function, found = getattr(importlib.import_module(module), name), cases(o.equation, o.golden)
    if not found:
        sys.exit(f"no golden case of equation '{o.equation}' (titans equation --list)")
    failed = skipped = 0
    for case in found:
        try:
            outputs, gradients = call(function, case, o.dtype, o.gradient)
        except NotImplementedError as reason:
            print(f"{case.family} {case.id} {case.equation:18} {case.flags[0]:18} skipped: {reason}")
            skipped += 1
            continue
        given = [("out", n, outputs[n]) for n in case.outputs] + [("grad", n, g) for n, g in gradients.items()]
        results = [(r[0], kind, n) + r[1:] for kind, n, x in given for r in [judge(case, kind, n, x, o.dtype)]]
        failed += not report(case, results, o.dtype)
    print(f"{len(found) - skipped} cases, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or skipped == len(found) else 0)
