"""The command line of check_numpy.py, check_torch.py and check_jax.py (docs/interop.md).

They differ in run(function, case, dtype, gradient) -> (returned, pull): what the function returned
for fresh inputs, and pull(outputs) -> gradients of sum(cotangent x output) by input name."""

import argparse
import functools
import importlib
import os
import sys
import traceback

import golden

DESCRIPTION = """Run FUNCTION of MODULE against the golden vectors of an equation. It gets the
inputs, a dict of flat arrays by name, and the dimensions, a dict of numbers. It returns a dict of
outputs. Exit code 0: every tensor asked for was judged and passes; 1: one fails or was not judged;
2: the command is wrong."""


def parser(dtypes):
    p = argparse.ArgumentParser(description=DESCRIPTION)
    p.add_argument("function", metavar="MODULE:FUNCTION")
    p.add_argument("--equation", required=True)
    p.add_argument("--dtype", default="float32", choices=dtypes)
    p.add_argument("--gradient", action="store_true", help="compare gradients too")
    p.add_argument("--only", metavar="NAME,..", help="only these outputs and gradients of inputs")
    p.add_argument("--without", metavar="FLAG,..", help="leave out the cases with these flags")
    p.add_argument("--golden", default=golden.FOLDER, help="folder of the golden files")
    return p


def describe(problem):
    """An exception in a line, with the last place outside installed packages."""
    frames = traceback.extract_tb(problem.__traceback__)
    own = [f for f in frames if "-packages" not in f.filename and "importlib" not in f.filename]
    place = f" ({os.path.basename(own[-1].filename)}:{own[-1].lineno})" if own else ""
    return f"{type(problem).__name__}: {problem}{place}"


def load(spec):
    """The module and the function's name of "module:name". The working directory comes first."""
    module, _, name = spec.partition(":")
    if not module or not name:
        raise golden.GoldenError(f"'{spec}' is not of the form MODULE:FUNCTION")
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(module), name
    except (Exception, SystemExit) as problem:
        raise golden.GoldenError(f"cannot import '{module}': {describe(problem)}") from problem


def function_of(module, name):
    found = getattr(module, name, None)
    if callable(found):
        return found
    there = " ".join(n for n, x in vars(module).items() if callable(x) and not n.startswith("_"))
    has = f"module '{module.__name__}' has no function '{name}'"
    raise golden.GoldenError(f"{has}; it has: {there or 'none'}")


def gradient_function(module, name):
    """NAME_gradient(inputs, dims, cotangents) -> gradients by input name, beside NAME."""
    try:
        return function_of(module, name + "_gradient")
    except golden.GoldenError as problem:
        needs = f"--gradient needs {name}_gradient(inputs, dims, cotangents)"
        raise golden.GoldenError(f"{needs}, numpy has no autograd: {problem}") from problem


def chosen_cases(o):
    """The cases that the command line asks for, at least one."""
    found, without = golden.cases(o.equation, o.golden), names_of(o.without)
    flags = list(dict.fromkeys(case.flag for case in found))
    unknown = [flag for flag in without if flag not in flags]
    if unknown:
        raise golden.GoldenError(f"no case has flag '{unknown[0]}'; there are: {' '.join(flags)}")
    found = [case for case in found if case.flag not in without]
    if not found:
        raise golden.GoldenError("--without leaves no case")
    if o.gradient and not any(case.gradients for case in found):
        raise golden.GoldenError(f"--gradient, but {o.equation} has no gradients")
    return found


def names_of(option):
    """The names of a list with commas, none for None."""
    return option.split(",") if option is not None else []


def reason(problem):
    """Why nothing can be compared after an exception of the function."""
    if isinstance(problem, golden.NotJudged):
        return problem
    return golden.NotJudged(f"the function raised {describe(problem)}")


def gradients_of(case, pull, outputs, lacking):
    """Gradients by name, or the reason why there are none. lacking: outputs they would need."""
    if lacking:
        return dict.fromkeys(case.gradients, golden.NotJudged(f"it needs {' '.join(lacking)}"))
    try:
        return golden.named(pull(outputs), case.gradients)
    except (Exception, SystemExit) as problem:
        return dict.fromkeys(case.gradients, reason(problem))


def verdicts_of(run, function, case, o):
    """Verdicts on all outputs of a case, and on its gradients if they are asked for. A case that
    the function does not know, or that dtype would round, raises NotImplementedError."""
    for name, x in case.inputs.items():
        if o.dtype != "bfloat16" and (x.astype(o.dtype) != x).any():
            raise NotImplementedError(f"{o.dtype} cannot hold the input {name}")
    pull = None
    try:
        returned, pull = run(function, case, o.dtype, o.gradient)
        outputs = golden.named(returned, case.outputs)
    except NotImplementedError:
        raise
    except (Exception, SystemExit) as problem:
        outputs = dict.fromkeys(case.outputs, reason(problem))
    verdicts = golden.judge_all(case, "out", outputs, o.dtype)
    if o.gradient:
        lacking = [v.label for v in verdicts if v.ratio is None and v.label in case.labels(False)]
        gradients = gradients_of(case, pull, outputs, lacking)
        verdicts += golden.judge_all(case, "grad", gradients, o.dtype)
    return verdicts


class Tally:
    """Cases and tensors so far."""

    def __init__(self):
        self.cases = self.failed = self.judged = self.unjudged = 0

    def unsupported(self, case, labels, problem):
        self.cases += 1
        self.unjudged += len(labels)
        print(f"{golden.heading(case)} not judged: {problem}")
        print(f"    not judged: {' '.join(labels)}")
        print(f"    --without {case.flag} leaves such cases out")

    def add(self, case, verdicts, left_out, dtype):
        self.cases += 1
        self.judged += sum(v.ratio is not None for v in verdicts)
        self.unjudged += sum(v.ratio is None for v in verdicts)
        self.failed += not all(v.passed for v in verdicts)
        print(golden.report(case, verdicts, left_out, dtype))

    def passed(self):
        return self.judged > 0 and not self.failed and not self.unjudged

    def __str__(self):
        tensors = f"{self.judged} tensors judged, {self.unjudged} not judged"
        return f"{self.cases} cases, {self.failed} failed, {tensors}"


def check(run, function, found, o):
    """Prints a report on every case and the sum. True when all that was asked for passes."""
    only = golden.select(found, names_of(o.only), o.gradient) if o.only is not None else None
    tally = Tally()
    for case in found:
        labels = [x for x in case.labels(o.gradient) if only is None or x in only]
        if not labels:
            print(f"{golden.heading(case)} left out: it has none of {o.only}")
            continue
        try:
            verdicts = verdicts_of(run, function, case, o)
        except NotImplementedError as problem:
            tally.unsupported(case, labels, problem)
            continue
        tally.add(case, *golden.pick(case, verdicts, o.gradient, only), o.dtype)
    if not o.gradient:
        print("outputs only: --gradient compares gradients too")
    print(tally)
    return tally.passed()


def main(run, dtypes, own_gradient=False):
    """own_gradient: run has no autograd and takes backward=, the function NAME_gradient."""
    p = parser(dtypes)
    o = p.parse_args()
    try:
        found = chosen_cases(o)
        module, name = load(o.function)
        function = function_of(module, name)
        if own_gradient and o.gradient:
            run = functools.partial(run, backward=gradient_function(module, name))
        passed = check(run, function, found, o)
    except golden.GoldenError as problem:
        p.error(str(problem))
    sys.exit(0 if passed else 1)
