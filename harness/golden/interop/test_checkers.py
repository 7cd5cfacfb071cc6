"""The checkers can fail: right functions pass, and every planted mistake is named and refused.

Plain python3 and numpy; PyTorch and JAX where they are installed.
Usage: python3 test_checkers.py"""

import contextlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import golden
import numpy as np

# Cases of memory_chunk that the examples support, and the first of them.
PLAIN = ["--without", "NormResidual,PerLayerGates,ChannelGates"]
FIRST = [PLAIN[0], PLAIN[1] + ",PartialChunk,ChunkOfOne,GateOne,LongChunkUnderflow,DeepMemory"]

# Functions with a mistake each, all for numpy. right() is none of them.
MISTAKES = """
import sys
import numpy as np
from example_numpy import memory_chunk, memory_chunk_gradient, prefix

not_a_function = 1

def right(x, dims): return prefix(x, dims)
def right_gradient(x, dims, c): return {"P_tok": c["prefixed"][:8], "x": c["prefixed"][8:]}
def right_tuple(x, dims): return tuple(memory_chunk(x, dims).values())
def right_shape(x, dims): return {"prefixed": prefix(x, dims)["prefixed"].reshape(5, 4)}
def right_alone(x, dims): return prefix(x, dims)["prefixed"]
def right_in_place(x, dims):
    y = memory_chunk(x, dims)
    for a in x.values(): a[...] = 7
    dims["T"] = 0
    return y
def right_in_place_gradient(x, dims, c): return memory_chunk_gradient(x, dims, c)

def returned(change):
    return lambda x, dims: {"prefixed": change(prefix(x, dims)["prefixed"])}

short = returned(lambda y: y[:-1])
none = returned(lambda y: None)
scalar = returned(lambda y: y[0])
broadcastable = returned(lambda y: y[:1].reshape(1, 1))
complex_type = returned(lambda y: y + 0j)
integer_type = returned(lambda y: y.astype(int))
object_type = returned(lambda y: y.astype(object))
text = returned(lambda y: "prefixed")
ragged = returned(lambda y: [[1.0], [1.0, 2.0]])
not_a_number = returned(lambda y: np.where(np.arange(20) == 3, np.nan, y))
infinite = returned(lambda y: np.where(np.arange(20) == 3, np.inf, y))
negated = returned(lambda y: -y)
half = returned(lambda y: y / 2)
double = returned(lambda y: y * 2)
zero = returned(lambda y: y * 0)
transposed = returned(lambda y: y.reshape(5, 4).T)
swapped = returned(lambda y: np.roll(y, 12))
a_little_off = returned(lambda y: y + 1e-3 * (np.arange(20) == 11).reshape(20))
coarse = returned(lambda y: (y * 1.00001).astype(np.float32))

def nothing(x, dims): return None
def nothing_by_name(x, dims): return {}
def extra(x, dims): return {**prefix(x, dims), "attention": x["x"]}
def raises(x, dims): return {"prefixed": x["P"]}
def exits(x, dims): sys.exit(0)
def refuses(x, dims): raise NotImplementedError("not today")

def memory_without_S(x, dims):
    y = memory_chunk(x, dims)
    return {"y": y["y"], "M": y["M"]}
memory_without_S_gradient = memory_chunk_gradient
def memory_pair(x, dims): return memory_chunk(x, dims)["y"], memory_chunk(x, dims)["M"]
def memory_swapped(x, dims): return tuple(memory_chunk(x, dims)[n] for n in "ySM")
def memory_late(x, dims):
    y = memory_chunk(x, dims)
    y["y"][-1] += 0.01
    return y
def memory_deep(x, dims):
    y = memory_chunk(x, dims)
    return {**y, "y": y["y"] * (1 + (dims["L"] > 1))}

gradient_missing = gradient_none = gradient_wrong = gradient_short = right
gradient_extra = gradient_raises = gradient_nothing = right
def gradient_missing_gradient(x, dims, c): return {"x": c["prefixed"][8:]}
def gradient_none_gradient(x, dims, c): return {"P_tok": None, "x": c["prefixed"][8:]}
def gradient_wrong_gradient(x, dims, c):
    return {"P_tok": -c["prefixed"][:8], "x": c["prefixed"][8:]}
def gradient_short_gradient(x, dims, c): return {"P_tok": c["prefixed"][:1], "x": c["prefixed"][8:]}
def gradient_extra_gradient(x, dims, c): return {**right_gradient(x, dims, c), "W": x["x"]}
def gradient_raises_gradient(x, dims, c): return {"x": 1 / 0}
def gradient_nothing_gradient(x, dims, c): return None
"""

# For PyTorch and JAX alike.
AUTOGRAD = """
import example_NAME as example
attention = example.attention
memory = example.memory_chunk
wrong = example.memory_chunk_wrong

def without_path(x, dims): return example.memory_chunk({**x, "theta": DETACH(x["theta"])}, dims)
def detached(x, dims): return {n: DETACH(y) for n, y in example.memory_chunk(x, dims).items()}
def half(x, dims): return {"y": example.attention(x, dims)["y"] / 2}
def short(x, dims): return {"y": example.attention(x, dims)["y"][..., :1]}
def renamed(x, dims): return {"Y": example.attention(x, dims)["y"]}
def extra(x, dims): return {**example.attention(x, dims), "scores": x["q"]}
def alone(x, dims): return example.attention(x, dims)["y"]
def complex_type(x, dims): return {"y": example.attention(x, dims)["y"] + 0j}
def raises(x, dims): return {"y": x["Q"]}
"""

TORCH_IN_PLACE = """
import torch

def prefix(x, dims):
    y = torch.cat([x["P_tok"], x["x"]])
    for a in x.values(): a.zero_()
    return {"prefixed": y}
"""


class Checker(unittest.TestCase):
    """Runs checkers in a folder that has the mistakes, far from the checkers' own."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.addClassCleanup(os.chdir, os.getcwd())
        os.chdir(cls.folder)
        cls.write("mistakes.py", MISTAKES)
        cls.write("exits_when_imported.py", "import sys\nsys.exit(0)\n")
        cls.write("broken.py", "import no_such_module_anywhere\n")

    @classmethod
    def write(cls, name, text):
        with open(os.path.join(cls.folder, name), "w") as f:
            f.write(text)

    def run_checker(self, script, *args):
        """Exit code, standard output and standard error of a checker run in this process."""
        out, err, checker = io.StringIO(), io.StringIO(), importlib.import_module(script)
        streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
        patches = mock.patch("sys.argv", [script, *args]), mock.patch("sys.path", sys.path[:])
        with self.assertRaises(SystemExit) as end, streams[0], streams[1], patches[0], patches[1]:
            checker.main()
        return end.exception.code, out.getvalue(), err.getvalue()

    def expect(self, code, texts, *args, script="check_numpy"):
        got, out, err = self.run_checker(script, *args)
        self.assertEqual(got, code, out + err)
        for text in [texts] if isinstance(texts, str) else texts:
            self.assertIn(text, err if code == 2 else out)

    def prefix(self, code, texts, function, *args):
        self.expect(code, texts, "mistakes:" + function, "--equation", "persistent_prefix", *args)

    def memory(self, code, texts, function, *args):
        self.expect(code, texts, function, "--equation", "memory_chunk", *args)


class Right(Checker):
    def test_prefix(self):
        self.prefix(0, "1 cases, 0 failed, 3 tensors judged, 0 not judged", "right", "--gradient")
        self.prefix(0, ["1 tensors judged, 0 not judged", "outputs only"], "right")

    def test_memory_in_every_type(self):
        last = "\n7 cases, 0 failed, 77 tensors judged, 0 not judged\n"
        for dtype in ("float64", "float32", "float16"):
            options = ["--gradient", "--dtype", dtype, *PLAIN]
            self.memory(0, last, "example_numpy:memory_chunk", *options)

    def test_a_tuple_in_the_order_of_the_equation(self):
        self.memory(0, "7 cases, 0 failed, 21 tensors judged", "mistakes:right_tuple", *PLAIN)

    def test_any_shape_of_the_right_size_and_a_lone_array(self):
        self.prefix(0, "0 failed", "right_shape")
        self.prefix(0, "0 failed", "right_alone")

    def test_inputs_are_copies(self):
        options = ["--gradient", *PLAIN]
        self.memory(0, "77 tensors judged", "mistakes:right_in_place", *options)

    def test_every_case_says_what_was_judged_and_what_was_left_out(self):
        options = ["--gradient", "--only", "y,grad/k", *PLAIN]
        texts = ["judged: out/y grad/k\n", "left out: out/M out/S grad/M0", "14 tensors judged"]
        self.memory(0, texts, "example_numpy:memory_chunk", *options)

    def test_only_excuses_what_it_leaves_out(self):
        options = ["--only", "y,out/M", *PLAIN]
        self.memory(0, "14 tensors judged, 0 not judged", "mistakes:memory_without_S", *options)


class Outputs(Checker):
    def test_the_size_is_not_that_of_the_equation(self):
        for function, shape in [("short", "(19,)"), ("scalar", "()"), ("broadcastable", "(1, 1)")]:
            self.prefix(1, f"its shape is {shape}, expected (20,)", function)
        texts = ["FAIL  nothing was judged", "1 cases, 1 failed, 0 tensors judged, 1 not judged"]
        self.prefix(1, texts, "short")

    def test_the_type_is_no_floating_point_one(self):
        types = {"complex_type": "complex", "integer_type": "int64", "object_type": "object"}
        for function, name in types.items():
            self.prefix(1, ["its type is " + name, "0 tensors judged"], function)
        self.prefix(1, "not judged", "text")
        self.prefix(1, "no array of numbers", "ragged")

    def test_none(self):
        self.prefix(1, "out/prefixed   not judged it is None", "none")
        self.prefix(1, "returned NoneType, expected a dict with prefixed", "nothing")
        self.prefix(1, "no such output; it returned: none", "nothing_by_name")

    def test_not_finite(self):
        for function, value in [("not_a_number", "nan"), ("infinite", "inf")]:
            self.prefix(1, ["1 not finite", f"first [3]: got {value}"], function)

    def test_an_output_is_missing_and_the_others_are_judged(self):
        missing = "out/S          not judged the function returned no such output"
        texts = [missing, "14 tensors judged"]
        self.memory(1, texts, "mistakes:memory_without_S", *PLAIN)

    def test_an_output_too_many(self):
        self.prefix(1, "out/attention  not judged the equation has no such output", "extra")
        self.prefix(1, "out/attention", "extra", "--only", "prefixed")

    def test_a_tuple_of_the_wrong_length_or_order(self):
        self.memory(1, "a tuple of 2, expected a dict with y, M, S", "mistakes:memory_pair", *PLAIN)
        self.memory(1, "out/y          pass", "mistakes:memory_swapped", *PLAIN)

    def test_the_function_fails(self):
        self.prefix(1, "the function raised KeyError: 'P' (mistakes.py:", "raises")
        self.prefix(1, "the function raised SystemExit: 0", "exits")

    def test_a_case_that_the_function_refuses_is_not_judged(self):
        texts = ["not judged: not today", "--without Prefix", "0 tensors judged, 1 not judged"]
        self.prefix(1, texts, "refuses")
        last = "11 cases, 0 failed, 21 tensors judged, 12 not judged"
        self.memory(1, last, "mistakes:right_tuple")

    def test_a_case_that_the_type_would_round_is_not_judged(self):
        texts = ["not judged: float16 cannot hold the input x", "0 tensors judged, 1 not judged"]
        self.expect(1, texts, "mistakes:right", "--equation", "l2_norm", "--dtype", "float16")

    def test_the_rest_of_the_cases_goes_on(self):
        self.memory(1, "7 cases, 2 failed, 21 tensors judged", "mistakes:memory_deep", *PLAIN)


class Diagnosis(Checker):
    def test_constant_factors(self):
        factors = {"negated": "-1", "half": "0.5", "double": "2", "zero": "0"}
        for function, factor in factors.items():
            self.prefix(1, f"got / want = {factor} everywhere", function)

    def test_transposed(self):
        self.prefix(1, "the transpose passes", "transposed")

    def test_no_rule_is_made_up(self):
        _, out, _ = self.run_checker(
            "check_numpy", "mistakes:swapped", "--equation", "persistent_prefix"
        )
        self.assertNotIn("everywhere", out)
        self.assertNotIn("transpose passes", out)

    def test_the_first_wrong_element_and_token(self):
        self.prefix(1, "1 of 20 wrong, first [11]", "a_little_off")
        texts = ["first [7, 0] (token 7)", "out/M          pass", "usually: "]
        self.memory(1, texts, "mistakes:memory_late", *PLAIN)

    def test_computed_in_less_than_asked_for(self):
        self.prefix(1, "computed in float32 only", "coarse", "--dtype", "float64")


class Gradients(Checker):
    def gradient(self, texts, function):
        self.prefix(1, texts, function, "--gradient")

    def test_wrong(self):
        texts = ["grad/P_tok     FAIL", "got / want = -1 everywhere", "grad/x         pass"]
        self.gradient(texts, "gradient_wrong")

    def test_missing_none_or_of_another_size(self):
        counted = "2 tensors judged, 1 not judged"
        self.gradient(["no such gradient; it returned: x", counted], "gradient_missing")
        self.gradient(["grad/P_tok     not judged it is None", counted], "gradient_none")
        self.gradient(["its shape is (1,), expected (8,)", counted], "gradient_short")

    def test_too_many(self):
        self.gradient("grad/W         not judged the equation has no such", "gradient_extra")

    def test_the_function_fails(self):
        texts = ["the function raised ZeroDivisionError", "1 tensors judged, 2 not judged"]
        self.gradient(texts, "gradient_raises")
        self.gradient("returned NoneType", "gradient_nothing")

    def test_needs_the_outputs(self):
        options = ["--gradient", "--only", "y,k", *PLAIN]
        self.memory(1, "it needs out/S", "mistakes:memory_without_S", *options)


class CommandLine(Checker):
    def test_no_gradient_function(self):
        text = "--gradient needs double_gradient(inputs, dims, cotangents), numpy has no autograd"
        self.prefix(2, [text, "no function 'double_gradient'"], "double", "--gradient")

    def test_function(self):
        self.prefix(2, "no function 'no_such'; it has: ", "no_such")
        self.prefix(2, "no function 'not_a_function'", "not_a_function")
        for spec, text in [
            ("mistakes", "not of the form MODULE:FUNCTION"),
            ("no_such_module:f", "cannot import 'no_such_module'"),
            ("broken:f", "No module named 'no_such_module_anywhere' (broken.py:1)"),
            ("exits_when_imported:f", "cannot import 'exits_when_imported': SystemExit"),
        ]:
            self.expect(2, text, spec, "--equation", "persistent_prefix")

    def test_equation_and_cases(self):
        text = "no golden case of equation 'prefix'; there are: alibi_attention attention "
        self.expect(2, text, "mistakes:right", "--equation", "prefix")
        self.expect(2, "--equation", "mistakes:right")
        self.prefix(2, "--without leaves no case", "right", "--without", "Prefix")
        self.prefix(2, "no case has flag 'Fast'", "right", "--without", "Fast")

    def test_only(self):
        self.prefix(2, "no tensor 'y'; there are: out/prefixed", "right", "--only", "prefixed,y")
        self.prefix(2, "no tensor ''", "right", "--only", "")
        self.prefix(2, "none are asked for", "right", "--only", "P_tok")
        self.prefix(2, "none is selected", "right", "--only", "prefixed", "--gradient")

    def test_type(self):
        self.prefix(2, "invalid choice: 'int8'", "right", "--dtype", "int8")


class Folder(Checker):
    """Golden vectors that are not there, or not all there."""

    def copy(self, change):
        """A folder with one family, its index changed."""
        folder = tempfile.mkdtemp(dir=self.folder)
        for name in ("eq19_20_persistent.json", "eq19_20_persistent.safetensors"):
            shutil.copy(os.path.join(golden.FOLDER, name), folder)
        path = os.path.join(folder, "eq19_20_persistent.json")
        with open(path) as f:
            index = json.load(f)
        change(index)
        with open(path, "w") as f:
            json.dump(index, f)
        return folder

    def test_another_folder(self):
        self.prefix(0, "0 failed", "right", "--golden", self.copy(lambda index: None))

    def test_no_vectors(self):
        self.prefix(2, "no golden vectors", "right", "--golden", "no/such/folder")
        self.prefix(2, "no golden vectors", "right", "--golden", tempfile.mkdtemp(dir=self.folder))

    def test_vectors_that_are_not_whole(self):
        no_outputs = self.copy(lambda index: index["tests"][0].update(out=[]))
        another = self.copy(lambda index: index["tests"][0].update(out=["prefixed", "y"]))
        for folder in (no_outputs, another):
            self.prefix(2, "tc0001 is not whole", "right", "--golden", folder)

    def test_no_gradients(self):
        folder = self.copy(lambda index: index["tests"][0].update({"in": []}))
        self.prefix(2, "has no gradients", "right", "--gradient", "--golden", folder)

    def test_another_version(self):
        folder = self.copy(lambda index: index.update(version=2))
        self.prefix(2, "version 2, these scripts know 1", "right", "--golden", folder)


class AssertCase(unittest.TestCase):
    """golden.cases and golden.assert_case, for pytest."""

    def setUp(self):
        (self.case,) = golden.cases("persistent_prefix")
        rows = self.case.copies(np.float64)
        self.outputs = {"prefixed": np.concatenate([rows["P_tok"], rows["x"]])}
        c = self.case.cotangents["prefixed"]
        self.gradients = {"P_tok": c[:8], "x": c[8:]}

    def refused(self, text, *args, **options):
        with self.assertRaisesRegex(AssertionError, text):
            golden.assert_case(self.case, *args, **options)

    def test_right(self):
        golden.assert_case(self.case, self.outputs, self.gradients, dtype="float64")
        golden.assert_case(self.case, self.outputs, dtype="float64")
        golden.assert_case(self.case, self.outputs, {"x": self.gradients["x"]}, only=["x"])

    def test_wrong(self):
        self.refused("got / want = -1", {"prefixed": -self.outputs["prefixed"]})
        self.refused("no such output", {})
        self.refused("NoneType", None)
        self.refused("no such gradient", self.outputs, {"x": self.gradients["x"]})
        self.refused("no such gradient", self.outputs, {})
        self.refused("nothing was judged", self.outputs, only=[])

    def test_unknown_names(self):
        for function in (
            lambda: golden.cases("no_such_equation"),
            lambda: golden.assert_case(self.case, self.outputs, only=["y"]),
        ):
            with self.assertRaises(golden.GoldenError):
                function()

    def test_every_golden_case_is_whole(self):
        """Only tokens and targets have no gradient."""
        for name in sorted(n for n in os.listdir(golden.FOLDER) if n.endswith(".json")):
            with open(os.path.join(golden.FOLDER, name)) as f:
                equations = {test["equation"] for test in json.load(f)["tests"]}
            for case in (case for e in equations for case in golden.cases(e)):
                without = set(case.inputs) - set(case.gradients)
                self.assertLessEqual(without, {"tokens", "targets", "target"}, str(case))

    def test_case_names_for_pytest(self):
        self.assertEqual(str(self.case), "eq19_20_persistent-tc0001-Prefix")

    def test_copies_do_not_reach_the_case(self):
        before = self.case.inputs["x"].copy()
        self.case.copies(np.float64)["x"][:] = 7
        self.assertTrue((self.case.inputs["x"] == before).all())
        self.assertFalse(self.case.inputs["x"].flags.writeable)


class Autograd:
    """The same for check_torch.py and check_jax.py."""

    def setUp(self):
        if importlib.util.find_spec(self.module) is None:
            self.skipTest(f"{self.module} is not installed")
        text = AUTOGRAD.replace("NAME", self.module).replace("DETACH", self.detach)
        self.write(f"autograd_{self.module}.py", text)

    def check(self, code, texts, function, equation="attention", *options):
        script = f"check_{self.module}"
        args = [f"autograd_{self.module}:{function}", "--equation", equation, *options]
        self.expect(code, texts, *args, "--gradient", script=script)

    def test_right(self):
        for dtype in ("float64", "bfloat16"):
            last = "4 cases, 0 failed, 16 tensors judged, 0 not judged"
            self.check(0, last, "attention", "attention", "--dtype", dtype)
        last = "1 cases, 0 failed, 11 tensors judged, 0 not judged"
        self.check(0, last, "memory", "memory_chunk", "--dtype", "float64", *FIRST)
        self.check(0, "4 cases, 0 failed", "alone")

    def test_wrong(self):
        for function in ("wrong", "without_path", "detached"):
            self.check(1, "1 cases, 1 failed", function, "memory_chunk", *FIRST)
        self.check(1, "got / want = 0.5 everywhere", "half")

    def test_outputs(self):
        self.check(1, ["expected (24,)", "it needs out/y"], "short")
        self.check(1, ["no such output; it returned: Y", "out/Y "], "renamed")
        self.check(1, "out/scores     not judged the equation has no such output", "extra")
        self.check(1, "its type is complex64", "complex_type")
        self.check(1, "KeyError: 'Q' (autograd_", "raises")


class Torch(Autograd, Checker):
    module, detach = "torch", "(lambda a: a.detach())"

    def test_inputs_are_copies(self):
        self.write("in_place.py", TORCH_IN_PLACE)
        options = ["--equation", "persistent_prefix", "--gradient"]
        self.expect(0, "3 tensors judged", "in_place:prefix", *options, script="check_torch")

    def test_a_gradient_that_autograd_does_not_reach(self):
        text = "grad/theta     not judged not computed: autograd finds no path"
        self.check(1, text, "without_path", "memory_chunk", *FIRST)


class Jax(Autograd, Checker):
    module, detach = "jax", "example.jax.lax.stop_gradient"


class Process(Checker):
    """What the shell sees."""

    def shell(self, code, text, script, *args):
        command = [sys.executable, os.path.join(golden.HERE, script), *args]
        environment = {**os.environ, "PYTHONPATH": self.folder}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(text, done.stderr if code == 2 else done.stdout)
        self.assertNotIn("Traceback", done.stdout + done.stderr)

    def test_exit_codes(self):
        for code, text, function in [
            (0, "1 cases, 0 failed, 1 tensors judged, 0 not judged", "right"),
            (1, "1 cases, 1 failed, 0 tensors judged, 1 not judged", "short"),
            (2, "no function 'no_such'", "no_such"),
        ]:
            args = ["mistakes:" + function, "--equation", "persistent_prefix"]
            self.shell(code, text, "check_numpy.py", *args)

    def test_without_pytorch_or_jax(self):
        for module in ("torch", "jax"):
            self.write(f"{module}.py", "raise ImportError('not here')\n")
            self.addCleanup(os.remove, os.path.join(self.folder, f"{module}.py"))
            text = f"cannot import {module} (not here): pip install {module}"
            self.shell(2, text, f"check_{module}.py", "mistakes:right", "--equation", "attention")


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    result = unittest.TextTestRunner(verbosity=1).run(suite)
    skipped = {reason for _, reason in result.skipped}
    for reason in sorted(skipped):
        print(f"skipped: {reason}")
    ran = result.testsRun - len(result.skipped)
    print(f"{ran} tests")
    sys.exit(0 if result.wasSuccessful() and ran else 1)


if __name__ == "__main__":
    main()
