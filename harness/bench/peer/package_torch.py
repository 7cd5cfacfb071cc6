"""torch: scaled_dot_product_attention, whose kernel for CPUs is tiled as ours."""

PACKAGE = "torch"


def attention(inputs):
    from torch.nn.functional import scaled_dot_product_attention

    q, k, v = (inputs[n].transpose(1, 2).contiguous().requires_grad_() for n in "qkv")

    def run():
        return scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)

    return run, [q, k, v]


def cases():
    import torch  # noqa: F401

    return [Case("torch attention", "attention", 1, 2048, "causal attention, 4 heads of 64", attention)]
