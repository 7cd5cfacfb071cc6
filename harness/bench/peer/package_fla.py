"""fla-core: its rules in plain PyTorch (naive.py); the package itself asks for a GPU's compiler and is not imported."""

import importlib.metadata
import importlib.util
import os

PACKAGE = "fla-core"


def naive(folder):
    """The module fla/ops/FOLDER/naive.py, by itself."""
    path = next(f for f in importlib.metadata.files(PACKAGE) if str(f) == f"fla/ops/{folder}/naive.py")
    spec = importlib.util.spec_from_file_location("naive_" + folder.replace("/", "_"), os.fspath(path.locate()))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def heads_first(x):
    return x.transpose(1, 2)


def number(x):
    return x.squeeze(-1)


def rule(folder, function, arguments, turned=False, **more):
    """arguments: ours by their names for theirs, decays as logarithms; turned: theirs wants heads first."""

    def make(inputs):
        call = getattr(naive(folder), function)
        leaves = {}
        for theirs, ours in arguments.items():
            x = inputs[ours]
            if theirs in ("g", "gk", "log_alpha", "log_mu"):
                x = x.log()
            if x.shape[-1] == 1:
                x = number(x)
            leaves[theirs] = (heads_first(x) if turned else x).contiguous().clone().requires_grad_()

        def run():
            o = call(**leaves, **more)
            o = o[0] if isinstance(o, tuple) else o
            return heads_first(o) if turned else o

        return run, list(leaves.values())

    return make


QKV = {"q": "q", "k": "k", "v": "v"}
T = 2048


def cases():
    naive("delta_rule")
    return [
        Case("fla linear attention, chunks", "rule none", 1, T, "o = q S / 8, S += k v'",
             rule("linear_attn", "naive_chunk_linear_attn", QKV)),
        Case("fla simple gla", "rule none decays=1", 1, T, "a decay per head (Mamba-2, RetNet)",
             rule("simple_gla", "naive_recurrent_simple_gla", {**QKV, "g": "decay"})),
        Case("fla gla", "rule none decays=64", 1, T, "a decay per key",
             rule("gla", "naive_recurrent_gla", {**QKV, "gk": "decay"})),
        Case("fla delta net", "rule key rates=1", 1, T, "delta rule",
             rule("delta_rule", "delta_rule_recurrence", {**QKV, "beta": "rate"}, turned=True)),
        Case("fla delta net, chunks", "rule key rates=1", 1, T, "delta rule in chunks of 32",
             rule("delta_rule", "delta_rule_chunkwise", {**QKV, "beta": "rate"}, turned=True)),
        Case("fla gated delta net", "rule key decays=1 rates=1", 1, T, "gated delta rule",
             rule("gated_delta_rule", "naive_recurrent_gated_delta_rule", {**QKV, "beta": "rate", "g": "decay"})),
        Case("fla gated delta net, chunks", "rule key decays=1 rates=1", 1, T, "gated delta rule in chunks of 64",
             rule("gated_delta_rule", "naive_chunk_gated_delta_rule", {**QKV, "beta": "rate", "g": "decay"})),
        Case("fla kda", "rule key decays=64 rates=1", 1, T, "delta rule, a decay per key",
             rule("kda", "naive_recurrent_kda", {**QKV, "g": "decay", "beta": "rate"})),
        Case("fla kda, chunks", "rule key decays=64 rates=1", 1, T, "the same in chunks of 64",
             rule("kda", "naive_chunk_kda", {**QKV, "g": "decay", "beta": "rate"})),
        Case("fla rwkv7", "rule pair decays=64", 1, T, "a pair of vectors takes away (DPLR)",
             rule("generalized_delta_rule/dplr", "dplr_recurrence",
                  {**QKV, "alpha": "a", "beta": "b", "gk": "decay"}, turned=True)),
        Case("fla momentum", "rule momentum", 1, T, "delta rule with momentum",
             rule("momentum_delta_rule", "recurrent_momentum_delta_rule_ref",
                  {**QKV, "p": "p", "log_alpha": "keep", "log_mu": "carry", "beta": "rate", "eta": "step"})),
    ]
