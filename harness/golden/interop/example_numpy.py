"""The persistent prefix (eq 19) and the memory (eqs 12-18, linear or deep) in plain numpy, and
their gradients: an example of what check_numpy.py expects, and what it is tested with. Nothing here
is fast."""

import numpy as np


def prefix(x, dims):
    """P_tok, Np rows, before x, T rows of D."""
    return {"prefixed": np.concatenate([x["P_tok"], x["x"]])}


def prefix_gradient(x, dims, cotangents):
    rows = cotangents["prefixed"].reshape(dims["Np"] + dims["T"], dims["D"])
    return {"P_tok": rows[: dims["Np"]], "x": rows[dims["Np"] :]}


def _weights(flat, dims):
    widths = [dims[f"n{i}"] for i in range(dims["L"] + 1)]
    ends = np.cumsum([a * b for a, b in zip(widths, widths[1:])])[:-1]
    parts = np.split(flat.reshape(-1), ends)
    return [w.reshape(a, b) for w, a, b in zip(parts, widths, widths[1:])]


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _net(weights, x):
    """What every layer receives, and the output. SiLU between layers."""
    received = []
    for i, w in enumerate(weights):
        received.append(x * _sigmoid(x) if i else x)
        x = received[-1] @ w
    return received, x


def _surprise(weights, k, v):
    """Gradient of |M(k) - v|^2 with respect to the weights (eq 12)."""
    received, y = _net(weights, k)
    back, gradient = 2 * (y - v), []
    for i in reversed(range(len(weights))):
        gradient.insert(0, np.outer(received[i], back))
        if i:
            pre = received[i - 1] @ weights[i - 1]
            s = _sigmoid(pre)
            back = (weights[i] @ back) * s * (1 + pre * (1 - s))
    return gradient


def memory_chunk(x, dims):
    """y, M and S after T tokens (eqs 13-16), every inner gradient taken at the start of its chunk
    of b tokens."""
    if any(dims[n] for n in ("gelu", "residual", "norm", "per_layer", "channelwise")):
        raise NotImplementedError("the plain memory only")
    k, q, v = (x[n].reshape(dims["T"], -1) for n in "kqv")
    M, S, y = _weights(x["M0"], dims), _weights(x["S0"], dims), []
    for t in range(dims["T"]):
        if t % dims["b"] == 0:
            start = M
        u = _surprise(start, k[t], v[t])
        S = [x["eta"][t] * s - x["theta"][t] * g for s, g in zip(S, u)]
        M = [(1 - x["alpha"][t]) * m + s for m, s in zip(M, S)]
        y.append(_net(M, q[t])[1])
    flat = [np.concatenate([w.reshape(-1) for w in layers]) for layers in (M, S)]
    return {"y": np.array(y), "M": flat[0], "S": flat[1]}


def memory_chunk_gradient(x, dims, cotangents):
    """By complex steps, a run per number: d f / d x = Im f(x + ih) / h, without a difference."""
    step = 2.0**-60
    x = {name: a.astype(np.result_type(a, np.complex64)) for name, a in x.items()}
    gradients = {name: np.empty(a.size, a.real.dtype) for name, a in x.items()}
    for name, a in x.items():
        for i in range(a.size):
            a[i] += 1j * step
            y = memory_chunk(x, dims)
            a[i] = a[i].real
            slopes = [c @ y[n].reshape(-1).imag for n, c in cotangents.items()]
            gradients[name][i] = sum(slopes) / step
    return gradients
