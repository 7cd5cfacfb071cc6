"""The models of the Titans family in PyTorch: load(FILE) opens a committed checkpoint, and gives the logits
that titans gives. Written from docs/equations.md to be read; nothing here is fast.

    model = model_torch.load("results/checkpoints/mac-passkey-s0.safetensors")
    logits = model(tokens)    # tokens: [T] or [batch][T]; any gradient can be taken

The functions at the end are for check_torch.py: they hold the mixers against the golden vectors."""

import json
import math
import struct

import torch
from torch.func import grad, vmap
from torch.nn.functional import pad, silu

EPS = 1e-6


def rms_norm(x, gain):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPS) * gain


def l2_norm(x):
    return x / torch.sqrt((x * x).sum(-1, keepdim=True) + EPS)


def head_norm(c, x, gain):
    """rms_norm of each head: x [T][D], gain [D]."""
    heads = rms_norm(x.unflatten(-1, (c["heads"], -1)), gain.reshape(c["heads"], -1))
    return heads.flatten(-2)


def conv_silu(x, taps):
    """Causal depthwise convolution, taps [w][D], the last row for the token itself; None: silu alone."""
    if taps is None:
        return silu(x)
    past = pad(x, (0, 0, len(taps) - 1, 0))
    return silu(sum(past[j : j + len(x)] * tap for j, tap in enumerate(taps)))


def rope(x, start=0, scaling="none", trained=0, asked=0):
    """Rotary positions from `start` on: channels i and i + dh/2 turn together; stretched as rope_scaling says,
    asked / trained times. x [T][H][dh]."""
    half, stretch, length = x.shape[-1] // 2, max(asked / trained, 1.0) if trained else 1.0, 1.0
    base = 10000.0 * (stretch ** (half / (half - 1)) if scaling == "ntk" and half > 1 else 1.0)
    speed = base ** (-torch.arange(half, dtype=torch.float64) / half)
    if scaling == "yarn":
        kept = ((trained * speed / (2 * math.pi) - 1) / 31).clamp(0, 1)
        speed, length = speed * kept + speed / stretch * (1 - kept), 0.1 * math.log(stretch) + 1
    angle = (start + torch.arange(len(x), dtype=torch.float64))[:, None] * speed
    c, s = (length * f(angle)[:, None, :].to(x) for f in (torch.cos, torch.sin))
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * c - b * s, b * c + a * s], -1)


def alibi_slopes(heads):
    """Of a power of two the geometric sequence from 2^(-8/heads); else that of the power before, and every other
    slope of the power after."""
    power = 2 ** int(math.log2(heads))
    slopes = [2.0 ** (-8 * (h + 1) / power) for h in range(power)]
    return slopes + [2.0 ** (-8 * (2 * h + 1) / (2 * power)) for h in range(heads - power)]


def log_scale(x, trained):
    """Queries n = 1, 2, .. beyond the trained length times ln n / ln trained. x [T][H][dh]."""
    n = torch.arange(1, len(x) + 1, dtype=torch.float64)
    return x * (n.log() / math.log(trained)).clamp(min=1)[:, None, None].to(x)


def attend(q, k, v, visible, bias=0.0):
    """Eq 2 for every head: q, k, v [rows][H][dh], visible [queries][keys], bias [H][queries][keys] or 0."""
    scores = torch.einsum("ihd,jhd->hij", q, k) / q.shape[-1] ** 0.5 + bias
    weights = torch.softmax(scores.masked_fill(~visible, float("-inf")), -1)
    return torch.einsum("hij,jhd->ihd", weights, v).flatten(-2)


def attention(c, p, x, window, prefix):
    """Eqs 1-2, 27: row i sees rows j <= i with j < prefix or j > i - window (0: all). x [T][D]."""
    q, k, v = ((x @ p[name]).unflatten(-1, (c["heads"], -1)) for name in ("wq", "wk", "wv"))
    i, j = torch.arange(len(x))[:, None], torch.arange(len(x))[None, :]
    near = (j > i - window) | (j < prefix) if window else torch.ones_like(j > i)
    positions, trained = c.get("positions", "rope"), c.get("trained_length", 0)
    if positions == "rope":
        stretch = c.get("rope_scaling", "none"), trained, c.get("asked_length", 0)
        q, k = rope(q, 0, *stretch), rope(k, 0, *stretch)
    if int(c.get("log_scale", 0)):
        q = log_scale(q, trained)
    slopes = torch.tensor(alibi_slopes(c["heads"]) if positions == "alibi" else [0.0])
    bias = slopes.to(x)[:, None, None] * torch.where(j < prefix, 0, j - i).to(x)
    return attend(q, k, v, (j <= i) & near, bias)


# ---- the neural memory, eqs 8-18 ----


def layers_of(c, flat):
    """Weights of one head as matrices [in][out]."""
    dh, hidden = c["width"] // c["heads"], c["expansion"] * c["width"] // c["heads"]
    widths = [dh] + [hidden] * (c["memory_layers"] - 1) + [dh]
    sizes = [a * b for a, b in zip(widths, widths[1:])]
    return [w.reshape(a, b) for w, a, b in zip(flat.split(sizes), widths, widths[1:])]


def network(c, flat, k):
    """M(k): flat [P], k [dh]."""
    h, last = k, c["memory_layers"] - 1
    for i, w in enumerate(layers_of(c, flat)):
        h = h @ w
        if i < last:
            gelu = c["activation"] == "gelu"
            h = torch.nn.functional.gelu(h, approximate="tanh") if gelu else silu(h)
    if c["memory_norm"]:
        h = h - h.mean(-1, keepdim=True)
        h = h / torch.sqrt((h * h).mean(-1, keepdim=True) + EPS)
    return k + h if c["memory_residual"] else h


def surprise(c, flat, k, v):
    """Eq 12: the gradient of |M(k) - v|^2, flat [P]."""
    return grad(lambda m: ((network(c, m, k) - v) ** 2).sum())(flat)


def gate(c, z):
    s = torch.sigmoid(z)
    return torch.clamp(1.2 * s - 0.1, 0, 1) if c["gate"] == "hard" else s


def spread(c, x):
    """A token's gates [H][sets][channels] for every weight, [H][P]."""
    dh, parts = c["width"] // c["heads"], []
    for i, w in enumerate(layers_of(c, x.new_zeros(memory_size(c)))):
        per_column = x[:, i if x.shape[1] > 1 else 0]
        if per_column.shape[-1] > 1:
            per_column = per_column[:, torch.arange(w.shape[1]) % dh]
        parts.append(per_column[:, None, :].expand(-1, *w.shape).flatten(1))
    return torch.cat(parts, 1)


def memory_size(c):
    dh, hidden = c["width"] // c["heads"], c["expansion"] * c["width"] // c["heads"]
    widths = [dh] + [hidden] * (c["memory_layers"] - 1) + [dh]
    return sum(a * b for a, b in zip(widths, widths[1:]))


def gates(c, p, u):
    """alpha [T][H][G][K], theta and eta [T][H][G][1] of rows u, in the order of their columns."""
    H, T = c["heads"], len(u)
    G = c["memory_layers"] if c["gates_per_layer"] else 1
    K = c["width"] // H if c["channelwise"] else 1
    z = u @ p["w_gates"] + p["b_gates"].reshape(-1)
    if c["gates_per_chunk"]:
        z = z[torch.arange(T) // c["chunk"] * c["chunk"]]
    z_alpha, z_theta, z_eta = z.split([H * G * K * c["forget"], H * G, H * G * c["momentum"]], -1)
    alpha = gate(c, z_alpha).reshape(T, H, G, K) if c["forget"] else z.new_zeros(T, H, G, K)
    theta = c["theta_max"] * gate(c, z_theta).reshape(T, H, G, 1)
    eta = torch.sigmoid(z_eta).reshape(T, H, G, 1) if c["momentum"] else z.new_zeros(T, H, G, 1)
    return alpha, theta, eta


def memory_rows(c, p, u, name):
    return conv_silu(u @ p["w" + name], p.get("conv_" + name)).unflatten(-1, (c["heads"], -1))


def memory(c, p, u, M=None, S=None, start=0):
    """Eqs 11-18 for rows start.. of u [T][D], from M, S [H][P] (None: M_0 and 0): reads [T][D], M, S."""
    q, k, v = l2_norm(memory_rows(c, p, u, "q")), l2_norm(memory_rows(c, p, u, "k")), memory_rows(c, p, u, "v")
    alpha, theta, eta = gates(c, p, u)
    if M is None:
        M = p["m0"].reshape(c["heads"], -1)
        S = torch.zeros_like(M)
    write = vmap(lambda m, a, b: surprise(c, m, a, b))
    read = vmap(lambda m, a: network(c, m, a))
    reads = []
    for t in range(start, len(u)):
        if t % c["chunk"] == 0:
            first = M
        S = spread(c, eta[t]) * S - spread(c, theta[t]) * write(first, k[t], v[t])
        M = (1 - spread(c, alpha[t])) * M + S
        reads.append(read(M, q[t]).flatten())
    return torch.stack(reads), M, S


def memory_layer(c, p, branch, u, out):
    """The memory, its norm, its output gate and map."""
    y = memory(c, branch, u)[0]
    return (head_norm(c, y, p["gain"]) * silu(u @ p["wz"])) @ out


def titans_gate(c, p, y, m):
    """Eqs 25, 28 as erratum E13 reads them."""
    return head_norm(c, y, p["gain_y"]) * torch.sigmoid(head_norm(c, m, p["gain_m"]))


# ---- mixers: x [T][D] -> [T][D]; p has their parameters by name ----


def branch(p, name):
    return {key[len(name) + 1 :]: value for key, value in p.items() if key.startswith(name + ".")}


def with_prefix(p, x):
    return torch.cat([p["persistent"], x]) if "persistent" in p else x


def mixer_attention(c, p, x):
    return attention(c, p, x, 0, 0) @ p["wo"]


def mixer_swa(c, p, x):
    u = with_prefix(p, x)
    return (attention(c, p, u, c["window"], len(u) - len(x)) @ p["wo"])[len(u) - len(x) :]


def mixer_lmm(c, p, x):
    u = with_prefix(p, x)
    return memory_layer(c, p, p, u, p["wo"])[len(u) - len(x) :]


def mixer_mag(c, p, x):
    u = with_prefix(p, x)
    first = len(u) - len(x)
    y = attention(c, branch(p, "attention"), u, c["window"], first)
    m = memory(c, branch(p, "memory"), u)[0]
    return titans_gate(c, p, y, m)[first:] @ p["wo"]


def mixer_mal_h3(c, p, x):
    u = with_prefix(p, x)
    y = memory_layer(c, p, branch(p, "memory"), u, p["wm"])
    return attention(c, branch(p, "attention"), y, c["window"], 0)[len(u) - len(x) :] @ p["wo"]


def mac_attention(c, p, h, segment):
    """Eqs 22-23: the rows of a segment over [persistent | h | segment]; a segment's rows stand where they
    would behind a full one's."""
    prefix, n = p.get("persistent", h[:0]), len(segment)
    a, rows = branch(p, "attention"), torch.cat([prefix, h, segment])
    q, k, v = ((rows @ a[name]).unflatten(-1, (c["heads"], -1)) for name in ("wq", "wk", "wv"))
    cut = len(prefix) + n
    q, k = (torch.cat([rope(x[:cut]), rope(x[cut:], len(prefix) + c["segment"])]) for x in (q, k))
    causal = torch.ones(n, n, dtype=torch.bool).tril()
    seen = torch.ones_like(causal) if c["mask"] == "paper" else causal
    visible = torch.cat([torch.ones(n, len(prefix), dtype=torch.bool), seen, causal], 1)
    return attend(q[cut:], k, v, visible)


def mixer_mac(c, p, x):
    """Eqs 21-25, segment by segment; convolution, gates and memory go on from one to the next."""
    recall = l2_norm(conv_silu(x @ p["wr"], p.get("conv_r")).unflatten(-1, (c["heads"], -1)))
    m = branch(p, "memory")
    M = m["m0"].reshape(c["heads"], -1)
    S, y, outputs = torch.zeros_like(M), x[:0], []
    retrieve = vmap(vmap(lambda w, k: network(c, w, k)), in_dims=(None, 0))
    for start in range(0, len(x), c["segment"]):
        end = min(start + c["segment"], len(x))
        h = head_norm(c, retrieve(M, recall[start:end]).flatten(-2), p["gain_h"])
        y = torch.cat([y, mac_attention(c, p, h, x[start:end])])
        reads, M, S = memory(c, m, y, M, S, start)
        if c["mask"] == "paper":
            reads = retrieve(M, l2_norm(memory_rows(c, m, y, "q"))[start:]).flatten(-2)
        outputs.append(titans_gate(c, p, y[start:], reads))
    return torch.cat(outputs) @ p["wo"]


MIXERS = {
    "attention": [mixer_attention],
    "swa": [mixer_swa],
    "lmm": [mixer_lmm],
    "mac": [mixer_mac],
    "mag": [mixer_mag],
    "mal": [mixer_lmm, mixer_swa],  # a stack: these in turn
    "mal_h3": [mixer_mal_h3],
}


class Titans(torch.nn.Module):
    """A language model of residual blocks around a mixer. config: the keys of `titans train`; tensors by the
    names of a checkpoint."""

    def __init__(self, config, tensors):
        super().__init__()
        if config["mixer"] not in MIXERS:
            raise ValueError(f"mixer {config['mixer']}: not of the Titans family ({' '.join(MIXERS)})")
        if config.get("precision", "float32") != "float32":
            raise ValueError(f"precision {config['precision']}: these models multiply in the type of their tensors")
        self.config, self.names = config, list(tensors)
        self.tensors = torch.nn.ParameterList(tensors.values())

    def forward(self, tokens):
        if tokens.ndim == 2:
            return torch.stack([self(row) for row in tokens])
        c, p = self.config, dict(zip(self.names, self.tensors))
        x = p["embedding"][tokens]
        for i in range(c["layers"]):
            block, kinds = branch(p, f"layer.{i}"), MIXERS[c["mixer"]]
            mixer = kinds[i % len(kinds)]
            x = x + mixer(c, branch(block, "mixer"), rms_norm(x, block["norm1"].reshape(-1)))
            u = rms_norm(x, block["norm2"].reshape(-1))
            x = x + (silu(u @ block["ffn.w1"]) * (u @ block["ffn.w3"])) @ block["ffn.w2"]
        return rms_norm(x, p["norm"].reshape(-1)) @ p["head"]


def read(path):
    """Configuration and float32 tensors of a checkpoint."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(size)), bytearray(file.read())
    config = json.loads(header.pop("__metadata__")["config"])
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(data[begin:end], dtype=torch.float32) if end > begin else torch.empty(0)
        tensors[name] = flat.clone().reshape(entry["shape"])
    optimizer = [name for name in tensors if name.startswith("adamw.")]
    return config, {name: x for name, x in tensors.items() if name not in optimizer}


def load(path, dtype=torch.float32):
    config, tensors = read(path)
    return Titans(config, {name: x.to(dtype) for name, x in tensors.items()})


# ---- for check_torch.py: python check_torch.py model_torch:mac --equation mixer_mac --gradient ----

# Dimensions and tensors of golden files under the names of the configuration and of checkpoints.
KEYS = {"D": "width", "H": "heads", "w": "taps", "b": "chunk", "L": "memory_layers", "e": "expansion",
        "residual": "memory_residual", "norm": "memory_norm", "per_layer": "gates_per_layer",
        "per_chunk": "gates_per_chunk", "F": "ffn", "V": "vocab"}
OWN = {"P_tok": "persistent", "Wq_r": "wr", "Wo": "wo", "W_z": "wz", "W_m": "wm", "Wq_a": "attention.wq",
       "Wk_a": "attention.wk", "Wv_a": "attention.wv"}
OF_MEMORY = {"Wq": "wq", "Wk": "wk", "Wv": "wv", "W_gates": "w_gates", "M0": "m0", "b_gates": "b_gates",
             "conv_q": "conv_q", "conv_k": "conv_k", "conv_v": "conv_v"}


def configuration(dims, theta_max):
    c = {KEYS.get(name, name): value for name, value in dims.items()}
    return c | {"forget": 1 - dims["no_decay"], "momentum": 1 - dims["no_momentum"], "theta_max": theta_max,
                "activation": ("silu", "gelu")[dims["gelu"]], "gate": ("sigmoid", "hard")[dims["kind"]],
                "mask": ("causal", "paper")[dims["literal"]]}


def shaped(c, name, x):
    D, last = c["width"], name.split(".")[-1]
    if last.startswith("conv_"):
        return x.reshape(c["taps"], D)
    if last in ("w_gates", "persistent"):
        return x.reshape((D, -1) if last == "w_gates" else (-1, D))
    return x.reshape(D, D) if last.startswith("w") else x


def golden_mixer(mixer, prefix):
    """A mixer as check_torch.py calls it; prefix: of the memory's parameters in a checkpoint."""
    names = OWN | {golden: prefix + name for golden, name in OF_MEMORY.items()}

    def function(x, dims):
        c = configuration(dims, x.get("theta_max", 0.0))
        own = {names.get(name, name): value for name, value in x.items() if name not in ("x", "theta_max")}
        p = {name: shaped(c, name, value) for name, value in own.items()}
        return mixer(c, p, x["x"].reshape(-1, c["width"]))

    return function


lmm, swa = golden_mixer(mixer_lmm, ""), golden_mixer(mixer_swa, "")
mac, mag, mal_h3 = (golden_mixer(mixer, "memory.") for mixer in (mixer_mac, mixer_mag, mixer_mal_h3))
