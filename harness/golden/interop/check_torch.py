"""Run a PyTorch function against the golden vectors, gradients by autograd:
python check_torch.py my_module:my_function --equation NAME --gradient"""

import golden
import torch


def call(function, case, dtype, gradient):
    kind = getattr(torch, dtype)
    inputs = {name: torch.tensor(x, dtype=kind, requires_grad=gradient) for name, x in case.inputs.items()}
    outputs = function(inputs, case.dims)
    gradients = {}
    if gradient:
        total = sum((outputs[n].reshape(-1) * torch.tensor(c, dtype=kind)).sum() for n, c in case.cotangents.items())
        names = [n for n in case.gradients]
        found = torch.autograd.grad(total, [inputs[n] for n in names], allow_unused=True)
        gradients = {n: (torch.zeros_like(inputs[n]) if g is None else g).double().numpy() for n, g in zip(names, found)}
    return {n: y.detach().double().numpy() for n, y in outputs.items()}, gradients


if __name__ == "__main__":
    golden.main(call, ["float64", "float32", "float16", "bfloat16"])
