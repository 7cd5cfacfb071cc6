"""A straightforward JAX implementation of the memory (eqs 12-18, linear or deep) and of attention:
what check_jax.py is tested with. Nothing here is fast."""

import jax
import jax.numpy as jnp


def _weights(flat, dims):
    weights, at = [], 0
    for i in range(dims["L"]):
        a, b = dims[f"n{i}"], dims[f"n{i + 1}"]
        weights.append(flat.reshape(-1)[at:at + a * b].reshape(a, b))
        at += a * b
    return weights


def _net(weights, x):
    for i, w in enumerate(weights):
        x = x @ w
        if i + 1 < len(weights):
            x = jax.nn.silu(x)
    return x


def _loss(weights, k, v):
    return ((_net(weights, k) - v) ** 2).sum()


def memory_chunk(x, dims, wrong=False):
    """y, M and S after T tokens (eqs 13-16), every inner gradient taken at the start of its chunk
    of b tokens."""
    if any(dims[n] for n in ("gelu", "residual", "norm", "per_layer", "channelwise")):
        raise NotImplementedError("the plain memory only")
    T, b, n0, nL = dims["T"], dims["b"], dims["n0"], dims[f"n{dims['L']}"]
    k, q, v = x["k"].reshape(T, n0), x["q"].reshape(T, n0), x["v"].reshape(T, nL)
    M, S, y = _weights(x["M0"], dims), _weights(x["S0"], dims), []
    for t in range(T):
        if t % b == 0:
            start = M
        u = jax.grad(_loss)(start, k[t], v[t])
        S = [x["eta"][t] * s - x["theta"][t] * g for s, g in zip(S, u)]
        keep = 1 - x["alpha"][t]
        M = [keep * (m + s) if wrong else keep * m + s for m, s in zip(M, S)]
        y.append(_net(M, q[t]))
    return {"y": jnp.stack(y), "M": jnp.concatenate([m.reshape(-1) for m in M]),
            "S": jnp.concatenate([s.reshape(-1) for s in S])}


def memory_chunk_wrong(x, dims):
    """The same with a believable mistake: decay applied to the momentum too."""
    return memory_chunk(x, dims, wrong=True)


def attention(x, dims):
    """Eq 2; the queries are the last T of S positions."""
    T, S, d = dims["T"], dims["S"], dims["dh"]
    q, k, v = x["q"].reshape(T, d), x["k"].reshape(S, d), x["v"].reshape(S, d)
    visible = jnp.arange(S)[None, :] <= jnp.arange(S - T, S)[:, None]
    return {"y": jax.nn.softmax(jnp.where(visible, q @ k.T / d**0.5, -jnp.inf), -1) @ v}
