"""Run a JAX function against the golden vectors, gradients by jax.vjp:
python check_jax.py my_module:my_function --equation NAME --gradient"""

import golden
import golden_command

jax = golden.need("jax")
jnp = jax.numpy
jax.config.update("jax_enable_x64", True)


def run(function, case, dtype, gradient):
    inputs = {name: jnp.asarray(x, dtype) for name, x in case.inputs.items()}

    def forward(x):
        returned = golden.named(function(dict(x), dict(case.dims)), case.outputs)
        return {name: jnp.asarray(returned[name]) for name in case.outputs}

    def pull(outputs):
        """Gradients by input name of sum(cotangent x output), all outputs of the right size."""
        y, backward = jax.vjp(forward, inputs)
        cotangents = {n: jnp.asarray(case.cotangents[n], x.dtype) for n, x in y.items()}
        (found,) = backward({n: c.reshape(y[n].shape) for n, c in cotangents.items()})
        return {name: found[name] for name in case.gradients}

    return function(dict(inputs), dict(case.dims)), pull


def main():
    golden_command.main(run, ["float64", "float32", "float16", "bfloat16"])


if __name__ == "__main__":
    main()
