"""Run a PyTorch function against the golden vectors, gradients by autograd:
python check_torch.py my_module:my_function --equation NAME --gradient"""

import golden
import golden_command

torch = golden.need("torch")


def no_path(leaf, reference):
    """What None of autograd stands for: 0, if the reference says that nothing depends on it."""
    if reference.any():
        return golden.NotJudged("not computed: autograd finds no path to it from any output (None)")
    return torch.zeros_like(leaf)


def run(function, case, dtype, gradient):
    kind = getattr(torch, dtype)
    leaves = {n: torch.tensor(x, dtype=kind) for n, x in case.inputs.items()}
    for name in case.gradients:
        leaves[name].requires_grad_(gradient)

    def pull(outputs):
        """Gradients by input name of sum(cotangent x output), all outputs of the right size."""
        total = 0
        for name, c in case.cotangents.items():
            y = outputs[name].reshape(-1)
            total = total + (y * torch.tensor(c, dtype=y.dtype)).sum()
        found = torch.autograd.grad(total, [leaves[n] for n in case.gradients], allow_unused=True)
        given = zip(case.gradients.items(), found)
        return {n: no_path(leaves[n], want) if g is None else g for (n, want), g in given}

    return function({n: x.clone() for n, x in leaves.items()}, dict(case.dims)), pull


def main():
    golden_command.main(run, ["float64", "float32", "float16", "bfloat16"])


if __name__ == "__main__":
    main()
