"""Files of the published `safetensors` package are read by titans, and those of titans by the package.

    python3 test_safetensors.py PROGRAM

Needs numpy and safetensors; says so and passes when the package is absent. Tensors of every type that numpy
has lie beside the ones an equation wants; headers, names and metadata are as the package writes them.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

try:
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file
except ImportError:
    print("safetensors: the package is not installed, not checked")
    sys.exit(0)

TYPES = [np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint64, np.uint32,
         np.uint16, np.uint8, np.bool_]
DIMS = "memory_layers=1,n0=3,n1=2"


def titans(program, *arguments):
    """Standard output of a command that must succeed."""
    result = subprocess.run([program, *arguments], capture_output=True, text=True)
    if result.returncode:
        raise AssertionError(f"titans {' '.join(arguments)}: {result.stderr}")
    return result.stdout


def read_case(dtype):
    """Inputs of memory_read: M [3][2], q [1][3]; small integers, which every type holds."""
    return {"M": np.arange(1, 7).reshape(3, 2).astype(dtype), "q": np.array([[1, 0, 2]], dtype)}


def check_read(program, folder, dtype, name):
    """The package writes, titans reads: y = q M, beside tensors of all types, odd sizes and odd names."""
    inputs, path, out = read_case(dtype), folder / "in.safetensors", folder / "out.safetensors"
    others = {f"other {t.__name__} é漢": np.ones(k + 1, t) for k, t in enumerate(TYPES)}
    others |= {"nothing": np.zeros((0, 5), np.float32), "one": np.array(3.0), "n" * 400: np.ones(3, np.uint8),
               "deep": np.ones((1,) * 12 + (2,), np.int8)}
    save_file({**inputs, **others}, path, metadata={"author": name, "dims": DIMS})
    titans(program, "equation", "memory_read", "--in", str(path), "--out", str(out))
    y = load_file(out)["y"]
    assert np.array_equal(y.ravel(), (inputs["q"].astype(float) @ inputs["M"].astype(float)).ravel()), dtype


def check_integers(program, folder):
    """Integers where indices are wanted."""
    path, out = folder / "x.safetensors", folder / "y.safetensors"
    titans(program, "equation", "language_model", "--example", str(path))
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    titans(program, "equation", "language_model", "--in", str(path), "--out", str(out))
    wanted = load_file(out)
    for dtype in (np.int64, np.int32, np.uint16):
        save_file({**tensors, "tokens": tensors["tokens"].astype(dtype)}, path, metadata=metadata)
        titans(program, "equation", "language_model", "--in", str(path), "--out", str(out))
        for name, value in load_file(out).items():
            assert np.array_equal(value, wanted[name]), (dtype, name)


def check_written(program, folder):
    """titans writes a checkpoint and a state, the package reads them."""
    model, state = folder / "m.safetensors", folder / "s.safetensors"
    titans(program, "train", "--steps", "1", "--set", "batch=1", "--out", str(model))
    titans(program, "eval", str(model), "--length", "100", "--samples", "1", "-q", "--save-state", str(state))
    for path in (model, state):
        tensors = load_file(path)
        assert tensors and all(np.isfinite(t).all() for t in tensors.values()), path
        with safe_open(path, "numpy") as file:
            assert file.metadata()["format"].startswith("titans.c")
    copy = folder / "copy.safetensors"
    with safe_open(model, "numpy") as file:
        save_file(load_file(model), copy, metadata=file.metadata())
    assert "bit for bit" in titans(program, "info", str(model), str(copy))
    titans(program, "eval", str(copy), "--length", "100", "--samples", "1", "-q")


def main():
    program = sys.argv[1]
    checks = 0
    for dtype in (np.float64, np.float32, np.float16):
        for name in ("plain", "Jérôme", "漢字" * 100):
            with tempfile.TemporaryDirectory() as folder:
                check_read(program, Path(folder), dtype, name)
                checks += 1
    for check in (check_integers, check_written):
        with tempfile.TemporaryDirectory() as folder:
            check(program, Path(folder))
            checks += 1
    print(f"safetensors: {checks} exchanges with the published package")


main()
