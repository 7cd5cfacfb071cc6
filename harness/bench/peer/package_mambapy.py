"""mambapy: Mamba in plain PyTorch, a parallel scan in training."""

PACKAGE = "mambapy"


def layer(inputs):
    import torch
    from mambapy.mamba import MambaBlock, MambaConfig

    block = MambaBlock(MambaConfig(d_model=256, n_layers=1))
    x = torch.randn(1, 2048, 256, requires_grad=True)
    return lambda: block(x), [x, *block.parameters()]


def cases():
    import mambapy.mamba  # noqa: F401

    return [Case("mambapy mamba", "mixer mamba", 1, 2048, "Mamba layer, 16 states", layer)]
