"""Golden vectors of titans.c for Python, numpy only: reading, judging, asserting (docs/interop.md).

A tensor is called out/NAME (an output) or grad/NAME (the gradient of an input), as in the files. It
is judged, or it counts as not judged, with a reason: nothing passes that was not compared."""

import importlib
import json
import os
import struct
import sys
from collections.abc import Mapping
from typing import NamedTuple, Optional


def need(module):
    """The module, or exit 2 saying how to get it."""
    try:
        return importlib.import_module(module)
    except Exception as problem:
        print(f"cannot import {module} ({problem}): pip install {module}", file=sys.stderr)
        sys.exit(2)


np = need("numpy")

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.normpath(os.path.join(HERE, "..", "..", "..", "results", "golden"))
VERSION = 1
# Unit roundoff and smallest normal number.
UNIT = {
    "float64": (2.0**-53, 2.0**-1022),
    "float32": (2.0**-24, 2.0**-126),
    "float16": (2.0**-11, 2.0**-14),
    "bfloat16": (2.0**-8, 2.0**-126),
}
# Tensors with a row per token wherever their size is a multiple of T.
PER_TOKEN = frozenset("x y o q k v z m a b u alpha theta eta logits".split())


class GoldenError(Exception):
    """The files, the equation or a name asked for is wrong: nothing can be checked."""


class NotJudged(Exception):
    """Why a tensor cannot be compared. Stands for that tensor in a dict of outputs or gradients."""


def read_tensors(path):
    """All tensors of a golden file by name, flat float64 arrays that cannot be written to."""
    with open(path, "rb") as f:
        data = f.read()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[8 + size + begin : 8 + size + end], "<f8")
    return tensors


class Case:
    """One case: dims, and by name the flat float64 arrays inputs, outputs, cotangents (one per
    output), gradients (one per input that has one), gauge_out and gauge_grad."""

    def __init__(self, index, test, tensors):
        self.family, self.k = index["family"], index["k"]
        self.id, self.equation, self.dims = test["tcId"], test["equation"], test["dims"]
        self.flag, self.comment = test["flags"][0], test["comment"]
        self.note = index["notes"][self.flag]

        def part(kind, names):
            found = {n: tensors.get(f"{self.id}/{kind}/{n}") for n in names}
            return {n: x for n, x in found.items() if x is not None}

        self.inputs, self.gradients = part("in", test["in"]), part("grad", test["in"])
        self.outputs, self.cotangents = part("out", test["out"]), part("cot", test["out"])
        self.gauge_out = part("gauge/out", test["out"])
        self.gauge_grad = part("gauge/grad", test["in"])
        self._must_be_whole(test["out"])

    def __str__(self):
        return f"{self.family}-{self.id}-{self.flag}"

    def _must_be_whole(self, names):
        """A tensor missing from the files would be one that nobody compares."""
        sizes = {n: x.size for n, x in self.outputs.items()}
        whole = bool(names) and set(names) == set(sizes)
        for part in (self.cotangents, self.gauge_out):
            whole &= {n: x.size for n, x in part.items()} == sizes
        sizes = {n: x.size for n, x in self.gradients.items()}
        whole &= {n: x.size for n, x in self.gauge_grad.items()} == sizes
        every = [*self.outputs.values(), *self.gradients.values()]
        if not whole or not all(x.size and np.isfinite(x).all() for x in every):
            raise GoldenError(f"golden case {self.family} {self.id} is not whole")

    def copies(self, dtype):
        """The inputs as new arrays of that numpy type; they may be written to."""
        return {name: x.astype(dtype) for name, x in self.inputs.items()}

    def labels(self, gradient):
        """Names of all tensors to compare."""
        gradients = [f"grad/{n}" for n in self.gradients] if gradient else []
        return [f"out/{n}" for n in self.outputs] + gradients


def _index(folder, name):
    with open(os.path.join(folder, name)) as f:
        index = json.load(f)
    if index["version"] != VERSION:
        raise GoldenError(f"{name}: version {index['version']}, these scripts know {VERSION}")
    return index


def cases(equation, folder=FOLDER):
    """All cases of an equation, at least one."""
    try:
        names = sorted(n for n in os.listdir(folder) if n.endswith(".json"))
        found, known = [], set()
        for name in names:
            index = _index(folder, name)
            known |= {t["equation"] for t in index["tests"]}
            tests = [t for t in index["tests"] if t["equation"] == equation]
            path = os.path.join(folder, name[: -len("json")] + "safetensors")
            tensors = read_tensors(path) if tests else {}
            found += [Case(index, t, tensors) for t in tests]
    except (OSError, ValueError, TypeError, LookupError, struct.error) as problem:
        raise GoldenError(f"no golden vectors can be read from {folder}: {problem!r}") from problem
    if not known:
        raise GoldenError(f"no golden vectors in {folder}")
    if not found:
        there = " ".join(sorted(known))
        raise GoldenError(f"no golden case of equation '{equation}'; there are: {there}")
    return found


def select(found, names, gradient):
    """The labels of `names` (NAME, out/NAME or grad/NAME) among the tensors of some cases."""
    known = [label for case in found for label in case.labels(True)]
    chosen = set()
    for name in names:
        label = next((x for x in (name, f"out/{name}", f"grad/{name}") if x in known), None)
        if label is None:
            raise GoldenError(f"no tensor '{name}'; there are: {' '.join(dict.fromkeys(known))}")
        if label.startswith("grad/") and not gradient:
            raise GoldenError(f"'{label}' is compared with gradients only, and none are asked for")
        chosen.add(label)
    if gradient and not any(label.startswith("grad/") for label in chosen):
        raise GoldenError("gradients are asked for, but none is selected")
    return chosen


def named(returned, names):
    """What a function returned as a dict by name: a dict, a tuple or list in the order of `names`,
    or a lone array when there is one name."""
    if isinstance(returned, Mapping):
        return dict(returned)
    names = list(names)
    several = isinstance(returned, (tuple, list))
    if several and len(returned) == len(names):
        return dict(zip(names, returned))
    if len(names) == 1 and returned is not None and not several:
        return {names[0]: returned}
    got = f"a {type(returned).__name__} of {len(returned)}" if several else type(returned).__name__
    raise NotJudged(f"the function returned {got}, expected a dict with {', '.join(names)}")


def numbers(x):
    """A tensor of numpy, PyTorch or JAX as a float64 array of its shape, and its type's name."""
    if isinstance(x, NotJudged):
        raise x
    if x is None:
        raise NotJudged("it is None")
    try:
        x = x.detach().cpu() if hasattr(x, "detach") else np.asarray(x)
        kind = str(x.dtype).split(".")[-1]
        if not kind.startswith(("float", "bfloat")):
            raise NotJudged(f"its type is {kind}, expected a floating-point one")
        return np.asarray(x.double() if hasattr(x, "double") else x, np.float64), kind
    except (TypeError, ValueError, RuntimeError) as problem:
        raise NotJudged(f"no array of numbers: {problem}") from problem


class Verdict(NamedTuple):
    """What became of one tensor."""

    label: str
    ratio: Optional[float]  # worst share of the tolerance, at most 1 to pass; None: not judged
    text: str  # why it fails or was not judged

    @property
    def passed(self):
        return self.ratio is not None and self.ratio <= 1.0


class Comparison:
    """One tensor `got` (any shape) beside the reference `want` and what is `allowed` (flat)."""

    def __init__(self, got, want, allowed):
        self.got, self.flat, self.want, self.allowed = got, got.reshape(-1), want, allowed
        self.ratio = self.share(self.flat)

    def share(self, flat):
        with np.errstate(invalid="ignore", over="ignore"):
            return np.where(np.isfinite(flat), np.abs(flat - self.want) / self.allowed, np.inf)

    def factor(self):
        """got / want where that is the same number everywhere, else None."""
        at = np.argmax(np.abs(self.want))
        if not self.want[at] or not np.isfinite(self.flat).all():
            return None
        r = self.flat[at] / self.want[at] + 0.0
        off = np.abs(self.flat - r * self.want)
        return r if (off <= 2.0 * max(1.0, abs(r)) * self.allowed).all() else None

    def rule(self):
        """What got is of want, where that can be told: a list of short sentences."""
        lost, factor, told = np.sum(~np.isfinite(self.flat)), self.factor(), []
        if lost:
            told.append(f"{lost} not finite")
        if factor is not None:
            told.append(f"got / want = {factor:.6g} everywhere")
        if self.got.ndim == 2 and self.share(self.got.T.reshape(-1)).max() <= 1.0:
            told.append("the transpose passes")
        return told

    def text(self, tokens):
        """Where the wrong elements begin. tokens: rows of the tensor, 0 when it has none."""
        wrong = np.flatnonzero(self.ratio > 1.0)
        i = int(wrong[0])
        index = ", ".join(str(k) for k in np.unravel_index(i, self.got.shape or (1,)))
        token = f" (token {i * tokens // self.want.size})" if tokens else ""
        first = f"first [{index}]{token}: got {self.flat[i]:.9g}, want {self.want[i]:.9g}"
        return "; ".join([f"{wrong.size} of {self.want.size} wrong, {first}"] + self.rule())


def judge(case, kind, name, got, dtype):
    """The verdict on one tensor: kind "out" or "grad", got an array of any shape of the right size,
    row-major, computed in dtype."""
    label = f"{kind}/{name}"
    want = (case.outputs if kind == "out" else case.gradients)[name]
    gauge = (case.gauge_out if kind == "out" else case.gauge_grad)[name]
    try:
        got, computed = numbers(got)
    except NotJudged as reason:
        return Verdict(label, None, str(reason))
    if got.size != want.size:
        expected = f"{want.shape}, or another of {want.size} numbers"
        return Verdict(label, None, f"its shape is {got.shape}, expected {expected}")
    unit, least = UNIT[dtype]
    compared = Comparison(got, want, case.k * unit * (gauge + np.abs(want)) + least)
    worst = float(compared.ratio.max())
    if worst <= 1.0:
        return Verdict(label, worst, "")
    tokens = case.dims.get("T", 0) if name in PER_TOKEN else 0
    text = compared.text(tokens if tokens and want.size % tokens == 0 else 0)
    coarser = UNIT.get(computed, (0.0,))[0] > unit
    return Verdict(label, worst, text + (f"; computed in {computed} only" if coarser else ""))


def judge_all(case, kind, given, dtype):
    """Verdicts on all outputs (kind "out") or gradients ("grad") of a case, and on what is given
    beyond them. given: arrays, or NotJudged, by name."""
    names = case.outputs if kind == "out" else case.gradients
    what = "output" if kind == "out" else "gradient"
    returned = " ".join(str(n) for n in given) or "none"
    missing = NotJudged(f"the function returned no such {what}; it returned: {returned}")
    verdicts = [judge(case, kind, n, given.get(n, missing), dtype) for n in names]
    extra = [f"{kind}/{n}" for n in given if n not in names]
    return verdicts + [Verdict(n, None, f"the equation has no such {what}") for n in extra]


def heading(case):
    return f"{case.family} {case.id} {case.equation:18} {case.flag:18}"


def report(case, verdicts, left_out, dtype):
    """Lines that say what was judged and what was not, and for a failure what it usually means."""
    ratios = [v.ratio for v in verdicts if v.ratio is not None]
    passed = bool(verdicts) and all(v.passed for v in verdicts)
    worst = f"worst {max(ratios):.3g} of its tolerance" if ratios else "nothing was judged"
    lines = [f"{heading(case)} {'pass' if passed else 'FAIL'}  {worst}"]
    if passed:
        lines.append(f"    judged: {' '.join(v.label for v in verdicts)}")
    for v in [] if passed else verdicts:
        state = "not judged" if v.ratio is None else "pass" if v.passed else "FAIL"
        share = v.text if v.ratio is None else f"{v.ratio:.3g} of its tolerance"
        lines.append(f"    {v.label:14} {state:10} {share}")
        if state == "FAIL":
            lines.append(f"        {v.text}")
    if left_out:
        lines.append(f"    left out: {' '.join(left_out)}")
    if not passed:
        lines += [f"    the case: {case.comment}, {dtype}", f"    usually: {case.note}"]
    return "\n".join(lines)


def pick(case, verdicts, gradient, only):
    """The verdicts that `only` selects (labels, None for all) with those on tensors that the
    equation does not have, and the labels left out."""
    known = case.labels(True)
    kept = [v for v in verdicts if only is None or v.label in only or v.label not in known]
    asked = case.labels(gradient)
    return kept, [label for label in asked if label not in {v.label for v in kept}]


def assert_case(case, outputs, gradients=None, dtype="float32", only=None):
    """Raises AssertionError with a report unless every tensor is there and within its tolerance.

    outputs, gradients: dicts of arrays of numpy, PyTorch or JAX, or tuples in the order of
    case.outputs and case.gradients. Without gradients only outputs are compared. only: a list of
    names, as in --only."""
    gradient = gradients is not None
    chosen = None if only is None else select([case], only, gradient)
    try:
        verdicts = judge_all(case, "out", named(outputs, case.outputs), dtype)
        if gradient:
            verdicts += judge_all(case, "grad", named(gradients, case.gradients), dtype)
    except NotJudged as reason:
        raise AssertionError(f"{case}: {reason}") from reason
    verdicts, left_out = pick(case, verdicts, gradient, chosen)
    if not verdicts or not all(v.passed for v in verdicts):
        raise AssertionError("\n" + report(case, verdicts, left_out, dtype))
