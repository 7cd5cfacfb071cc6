"""A straightforward PyTorch implementation of the memory (eqs 12-18, linear or deep, with decay and
momentum): an example of what the checks expect, and what they are tested with. Nothing here is
fast."""

import torch


def _weights(flat, dims):
    widths = [dims[f"n{i}"] for i in range(dims["L"] + 1)]
    sizes = [a * b for a, b in zip(widths, widths[1:])]
    return [w.reshape(a, b) for w, a, b in zip(flat.reshape(-1).split(sizes), widths, widths[1:])]


def _net(weights, x):
    for i, w in enumerate(weights):
        x = x @ w
        if i + 1 < len(weights):
            x = torch.nn.functional.silu(x)
    return x


def _surprise(weights, k, v):
    """Gradient of |M(k) - v|^2 with respect to the weights (eq 12), itself differentiable."""
    loss = ((_net(weights, k) - v) ** 2).sum()
    return torch.autograd.grad(loss, weights, create_graph=True)


def _memory(x, dims, forget):
    if any(dims[n] for n in ("gelu", "residual", "norm", "per_layer", "channelwise")):
        raise NotImplementedError("the plain memory only")
    T, b, n0, nL = dims["T"], dims["b"], dims["n0"], dims[f"n{dims['L']}"]
    x = {name: t if t.requires_grad else t.detach().requires_grad_() for name, t in x.items()}
    k, q, v = x["k"].reshape(T, n0), x["q"].reshape(T, n0), x["v"].reshape(T, nL)
    M, S, y = _weights(x["M0"], dims), _weights(x["S0"], dims), []
    for t in range(T):
        if t % b == 0:
            start = M
        u = _surprise(start, k[t], v[t])
        S = [x["eta"][t] * s - x["theta"][t] * g for s, g in zip(S, u)]
        M = [forget(m, s, x["alpha"][t]) for m, s in zip(M, S)]
        y.append(_net(M, q[t]))
    flat = [torch.cat([w.reshape(-1) for w in layers]) for layers in (M, S)]
    return {"y": torch.stack(y), "M": flat[0], "S": flat[1]}


def memory_chunk(x, dims):
    """y, M and S after T tokens (eqs 13-16), every inner gradient taken at the start of its chunk
    of b tokens."""
    return _memory(x, dims, lambda m, s, alpha: (1 - alpha) * m + s)


def memory_chunk_wrong(x, dims):
    """The same with a believable mistake: decay applied to the momentum too."""
    return _memory(x, dims, lambda m, s, alpha: (1 - alpha) * (m + s))


def memory_sequential(x, dims):
    """Token by token: chunks of one."""
    return memory_chunk(x, {**dims, "b": 1})


def attention(x, dims):
    """Eq 2; the queries are the last T of S positions."""
    T, S, d = dims["T"], dims["S"], dims["dh"]
    q, k, v = x["q"].reshape(T, d), x["k"].reshape(S, d), x["v"].reshape(S, d)
    scores = q @ k.T / d**0.5
    visible = torch.arange(S)[None, :] <= torch.arange(S - T, S)[:, None]
    return {"y": torch.softmax(scores.masked_fill(~visible, float("-inf")), -1) @ v}
