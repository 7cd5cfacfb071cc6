"""Run a JAX function against the golden vectors, gradients by jax.vjp:
python check_jax.py my_module:my_function --equation NAME --gradient"""

import golden
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)


def call(function, case, dtype, gradient):
    inputs = {name: jnp.asarray(x, dtype) for name, x in case.inputs.items()}
    if not gradient:
        return {n: np.asarray(y, np.float64) for n, y in function(inputs, case.dims).items()}, {}
    outputs, pull = jax.vjp(lambda x: function(x, case.dims), inputs)
    cotangents = {n: jnp.asarray(case.cotangents[n], y.dtype).reshape(y.shape) for n, y in outputs.items()}
    (found,) = pull(cotangents)
    return ({n: np.asarray(y, np.float64) for n, y in outputs.items()},
            {n: np.asarray(found[n], np.float64) for n in case.gradients})


if __name__ == "__main__":
    golden.main(call, ["float64", "float32", "float16", "bfloat16"])
