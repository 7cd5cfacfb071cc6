"""Run a numpy function against the golden vectors, outputs only:  python check_numpy.py my_module:my_function --equation NAME"""

import golden
import numpy as np


def call(function, case, dtype, gradient):
    inputs = {name: x.astype(dtype) for name, x in case.inputs.items()}
    return function(inputs, case.dims), {}


if __name__ == "__main__":
    golden.main(call, ["float64", "float32", "float16"])
