"""ONNX's operator LinearAttention (opset 27) against the general delta rule:
python check_onnx.py build/titans [--impl avx2]     (pip install onnx safetensors)

The operator's reference implementation (package onnx, 1.23 or newer) and its published node tests have six of
the recurrences: linear attention, decays per head (RetNet, Mamba-2) and per channel (GLA), the delta rule, and
both together (Gated DeltaNet, KDA). Random inputs of every one of them, and every published node test, go
through `titans equation general_delta_rule`. The operator computes in float32."""

import argparse
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import golden

np = golden.need("numpy")
golden.need("onnx")
save_file = golden.need("safetensors.numpy").save_file

warnings.filterwarnings("ignore")  # of the package's other node tests, which are collected with ours


def heads_of(x, heads):
    """(B, T, H D) as (B, T, H, D)."""
    return x.reshape(x.shape[0], x.shape[1], heads, -1)


def ours(program, impl, inputs, attributes):
    """The operator by our program: output (B, T, H V) and present_state (B, KV, K, V)."""
    heads, shared = attributes["q_num_heads"], attributes["kv_num_heads"]
    rule, group = attributes.get("update_rule", "gated_delta"), heads // shared
    q = heads_of(inputs["query"], heads)
    k, v = (np.repeat(heads_of(inputs[n], shared), group, axis=2) for n in ("key", "value"))
    batch, tokens, width, columns = q.shape[0], q.shape[1], q.shape[3], v.shape[3]
    decay, beta = inputs.get("decay"), inputs.get("beta")
    channel = decay is not None and decay.shape[2] != shared
    scale = attributes.get("scale", 0.0)
    dims = {"tokens": tokens, "heads": heads, "key_heads": heads, "key_width": width, "value_width": columns,
            "removal": int("delta" in rule), "decay": 0 if decay is None else 1 + channel,
            "rate": int(beta is not None), "scaled": int(not scale)}
    state = inputs.get("past_state")
    if state is None:
        state = np.zeros((batch, shared, width, columns))
    output, present = [], []
    for b in range(batch):
        each = {"q": q[b] * (scale or 1.0), "k": k[b], "v": v[b], "state0": np.repeat(state[b], group, axis=0)}
        if decay is not None:
            each["g"] = np.repeat(heads_of(decay, shared)[b], group, axis=1)
        if beta is not None:
            each["beta"] = np.repeat(np.broadcast_to(beta[b], (tokens, shared)), group, axis=1)
        result = run(program, impl, dims, each)
        output.append(result["o"].reshape(tokens, heads * columns))
        present.append(result["state"].reshape(heads, width, columns)[::group])
    return np.stack(output), np.stack(present)


def run(program, impl, dims, inputs):
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.safetensors", Path(folder) / "out.safetensors"
        save_file({name: np.ascontiguousarray(x, dtype=np.float64) for name, x in inputs.items()}, source)
        text = ",".join(f"{name}={value}" for name, value in dims.items())
        subprocess.run([program, "equation", "general_delta_rule", "--in", source, "--out", target, "--dims", text,
                        "--impl", impl], check=True)
        return golden.read_tensors(target)


def random_cases(seed):
    """Every update rule, decays of both kinds, groups, states, a step without a past."""
    rng = np.random.default_rng(seed)
    rules = [("linear", 0, 0), ("gated", 1, 0), ("gated", 2, 0), ("delta", 0, 1), ("gated_delta", 1, 1),
             ("gated_delta", 2, 1)]
    for rule, decay, beta in rules:
        for heads, shared, tokens in ((2, 2, 7), (4, 2, 5), (3, 1, 1)):
            batch, width, columns = 2, 5, 3
            x = {"query": rng.normal(size=(batch, tokens, heads * width)),
                 "key": rng.normal(size=(batch, tokens, shared * width)) / width ** 0.5,
                 "value": rng.normal(size=(batch, tokens, shared * columns)),
                 "past_state": rng.normal(size=(batch, shared, width, columns))}
            if decay:
                x["decay"] = -rng.uniform(size=(batch, tokens, shared * (width if decay == 2 else 1)))
            if beta:
                x["beta"] = rng.uniform(size=(batch, tokens, shared))
            name = f"random {rule} decay={decay} heads={heads} of {shared} tokens={tokens} seed={seed}"
            yield name, {n: v.astype(np.float32) for n, v in x.items()}, \
                {"q_num_heads": heads, "kv_num_heads": shared, "update_rule": rule}, None


def node_cases():
    from onnx import helper
    from onnx.backend.test.case.node import collect_testcases
    for case in collect_testcases("LinearAttention"):
        node = case.model.graph.node[0] if case.model is not None else None
        if node is None or node.op_type != "LinearAttention":
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        attributes = {n: v.decode() if isinstance(v, bytes) else v for n, v in attributes.items()}
        for inputs, outputs in case.data_sets:
            names = [n for n in node.input if n]
            yield case.name, dict(zip(names, inputs)), attributes, outputs


def expected(inputs, attributes):
    """The operator's reference implementation."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator
    order = ["query", "key", "value", "past_state", "decay", "beta"]
    used = [n if n in inputs else "" for n in order]
    while not used[-1]:
        used.pop()
    node = helper.make_node("LinearAttention", used, ["output", "present_state"], **attributes)
    graph = helper.make_graph([node], "case",
                              [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in used if n],
                              [helper.make_tensor_value_info(n, TensorProto.FLOAT, None)
                               for n in ("output", "present_state")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 27)])
    return ReferenceEvaluator(model).run(None, {n: inputs[n] for n in used if n})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="build/titans")
    parser.add_argument("--impl", default="reference", help="reference (double) or an instruction set")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    failed = count = 0
    worst = 0.0
    for name, inputs, attributes, outputs in \
            [c for s in range(options.seeds) for c in random_cases(s)] + list(node_cases()):
        if outputs is None:
            outputs = expected(inputs, attributes)
        tolerance = 2e-3 if any(x.dtype == np.float16 for x in inputs.values()) else 2e-5
        got = ours(options.program, options.impl, {n: np.asarray(x, np.float64) for n, x in inputs.items()}, attributes)
        apart = max(float(np.max(np.abs(a - np.asarray(b, np.float64)))) / max(1.0, float(np.max(np.abs(b))))
                    for a, b in zip(got, outputs))
        count += 1
        bad = not apart <= tolerance
        failed += bad
        if tolerance == 2e-5:
            worst = max(worst, apart)
        if bad:
            print(f"FAIL {name}: {apart:.2e} apart, allowed {tolerance:.0e}")
    print(f"LinearAttention: passed={count - failed} failed={failed}, float32 at most {worst:.1e} apart")
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main())
