"""The packages' side of `titans bench peers`: answers on standard output what it is asked on standard input.

Every file package_NAME.py beside this one has

    PACKAGE   what pip installs
    cases()   its cases, made when the package is there: Case(name, ours, batch, tokens, computes, make)

`ours` is the line that names our side (harness/bench/peer/subject.h). make(inputs) gets our inputs by
name, [batch][tokens][heads][numbers], and returns what is timed: a function without arguments that
returns the output, and the tensors that get gradients.

    list                         a line per case, "end"
    open NAME THREADS N          then N times "NAME d0 d1 d2 d3" and the numbers: "ready"
    output N                     "output", then N numbers in the order of ours
    forward SECONDS, both SECONDS    repeats for so long: "seconds S" of one run
What goes wrong is an answer "cannot ..."."""

import glob
import importlib.metadata
import importlib.util
import os
import sys
import time
from typing import Callable, NamedTuple

ANSWERS = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # what packages print is no answer
QUESTIONS = sys.stdin.buffer
HERE = os.path.dirname(os.path.abspath(__file__))


class Case(NamedTuple):
    name: str
    ours: str
    batch: int
    tokens: int
    computes: str
    make: Callable


def say(text):
    ANSWERS.write(text.encode() + b"\n")
    ANSWERS.flush()


def clean(text):
    return " ".join(str(text).split())[:300]


def load(path):
    """The file's module, its cases (or none) and why there are none."""
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    module.Case = Case
    spec.loader.exec_module(module)
    try:
        importlib.metadata.version(module.PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return module, [], f"not installed: pip install {module.PACKAGE}"
    try:
        return module, list(module.cases()), ""
    except Exception as problem:
        return module, [], clean(f"cannot be used: {type(problem).__name__}: {problem}")


def list_cases(modules):
    for module, cases, missing in modules:
        if missing:
            say("\t".join([module.PACKAGE, "-", "1", "1", module.PACKAGE, missing, "-"]))
        version = "" if missing else importlib.metadata.version(module.PACKAGE)
        for c in cases:
            package = f"{module.PACKAGE} {version}"
            say("\t".join([c.name, c.ours, str(c.batch), str(c.tokens), package, "", c.computes]))
    say("end")


class Race:
    """One case, opened."""

    def __init__(self, case, threads, inputs):
        import torch

        self.torch = torch
        torch.manual_seed(1)
        torch.set_num_threads(threads)
        self.run, self.leaves = case.make(inputs)

    def forward(self):
        with self.torch.no_grad():
            return self.run()

    def both(self):
        for leaf in self.leaves:
            leaf.grad = None
        output = self.run()
        output.backward(self.torch.ones_like(output))

    def seconds(self, what, least):
        began, runs = time.perf_counter(), 0
        while not runs or time.perf_counter() - began < least:
            what()
            runs += 1
        return (time.perf_counter() - began) / runs


def read_inputs(count):
    import torch

    inputs = {}
    for _ in range(count):
        name, *shape = QUESTIONS.readline().decode().rstrip("\n").split("\t")
        shape = [int(n) for n in shape]
        size = 4
        for n in shape:
            size *= n
        data = bytearray(QUESTIONS.read(size))
        inputs[name] = torch.frombuffer(data, dtype=torch.float32).reshape(shape).clone()
    return inputs


def main():
    modules = [load(path) for path in sorted(glob.glob(os.path.join(HERE, "package_*.py")))]
    cases = {case.name: case for _, found, _ in modules for case in found}
    race = None
    for line in QUESTIONS:
        word, *rest = line.decode().rstrip("\n").split("\t")
        try:
            if word == "list":
                list_cases(modules)
            elif word == "open":
                race = Race(cases[rest[0]], int(rest[1]), read_inputs(int(rest[2])))
                race.forward()
                say("ready")
            elif word == "output":
                output = race.forward().contiguous().numpy()
                if output.size != int(rest[0]):
                    raise ValueError(f"gives {output.size} numbers, not {rest[0]}")
                say("output")
                ANSWERS.write(output.astype("<f4").tobytes())
                ANSWERS.flush()
            else:
                say(f"seconds {race.seconds(getattr(race, word), float(rest[0])):.9g}")
        except Exception as problem:
            say(clean(f"cannot {word}: {type(problem).__name__}: {problem}"))


main()
