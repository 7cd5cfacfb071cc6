"""Run a numpy function against the golden vectors:
python check_numpy.py my_module:my_function --equation NAME

numpy has no autograd: --gradient calls my_function_gradient(inputs, dims, cotangents) of the same
module, which returns the gradients of sum(cotangent x output) as a dict by input name."""

import golden_command


def run(function, case, dtype, gradient, backward=None):
    def pull(outputs):
        cotangents = {name: c.astype(dtype) for name, c in case.cotangents.items()}
        return backward(case.copies(dtype), dict(case.dims), cotangents)

    return function(case.copies(dtype), dict(case.dims)), pull


def main():
    golden_command.main(run, ["float64", "float32", "float16"], own_gradient=True)


if __name__ == "__main__":
    main()
