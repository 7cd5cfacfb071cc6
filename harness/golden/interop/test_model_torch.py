"""model_torch.py against titans: every committed model of the Titans family gives the reference's logits,
every mixer its golden vectors with their gradients, and a model with a mistake does not.

Usage: python3 test_model_torch.py TITANS [MODEL..]    models: all of results/checkpoints unless named"""

import glob
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

import golden
import model_torch
import torch

ROOT = os.path.normpath(os.path.join(golden.HERE, "..", "..", ".."))
TITANS, MODELS = None, []
TOKENS = 70  # more than two segments, windows and chunks of any committed model
ALLOWED = 1e-12  # of the largest logit, double against double

MEMORY = ("taps chunk memory_layers expansion activation memory_residual memory_norm gates_per_layer channelwise "
          "gate gates_per_chunk forget momentum").split()
POSITIONS = "positions rope_scaling trained_length asked_length log_scale".split()
OPTIONS = {"attention": POSITIONS, "swa": ["persistent", "window", "positions"], "lmm": MEMORY + ["persistent"],
           "mac": MEMORY + ["persistent", "segment", "mask"], "mag": MEMORY + ["persistent", "window"],
           "mal": MEMORY + ["persistent", "window"]}


def write(path, tensors, dims):
    """A safetensors file of float64 vectors."""
    header, at = {"__metadata__": {"dims": dims}}, 0
    for name, x in tensors.items():
        header[name] = {"dtype": "F64", "shape": [x.numel()], "data_offsets": [at, at + 8 * x.numel()]}
        at += 8 * x.numel()
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for x in tensors.values():
            file.write(x.double().contiguous().numpy().tobytes())


def reference_logits(path, tokens, asked={}):
    """What the reference of titans gives, in double; asked: keys that change no weight."""
    c, tensors = model_torch.read(path)
    c = c | asked
    keys = ["vocab", "width", "heads", "layers", "ffn", "mixer"] + OPTIONS[c["mixer"]]
    dims = ",".join([f"tokens={len(tokens)}"] + [f"{key}={c[key]}" for key in keys if key in c])
    params = torch.cat([x.reshape(-1) for x in tensors.values()])
    with tempfile.TemporaryDirectory() as folder:
        given, got = os.path.join(folder, "in"), os.path.join(folder, "out")
        write(given, {"tokens": tokens, "targets": tokens, "params": params,
                      "theta_max": torch.tensor([c.get("theta_max", 0.1)])}, dims)
        command = [TITANS, "equation", "language_model", "--in", given, "--out", got]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return torch.from_numpy(golden.read_tensors(got)["logits"].copy()).reshape(len(tokens), -1)


def distance(got, want):
    return float((got - want).abs().max() / want.abs().max())


def text_for(path):
    c = model_torch.read(path)[0]
    return torch.randint(c["vocab"], (TOKENS,), generator=torch.Generator().manual_seed(1))


def is_rotary(config):
    return config["mixer"] == "attention" and config.get("positions", "rope") == "rope"


class Committed(unittest.TestCase):
    def test_models_give_the_logits_of_the_reference(self):
        for path in MODELS:
            model, tokens = model_torch.load(path, torch.float64), text_for(path)
            apart = distance(model(tokens).detach(), reference_logits(path, tokens))
            print(f"{os.path.basename(path):36} {apart:.1e} of the largest logit apart")
            self.assertLess(apart, ALLOWED, path)

    def test_attention_is_asked_with_any_positions(self):
        path = next(p for p in MODELS if is_rotary(model_torch.read(p)[0]))
        model, tokens = model_torch.load(path, torch.float64), text_for(path)
        config, lengths = model.config, {"trained_length": 20, "asked_length": TOKENS}
        for asked in ({"positions": "none"}, {"positions": "alibi"}, lengths | {"rope_scaling": "ntk"},
                      lengths | {"rope_scaling": "yarn", "log_scale": 1}):
            with self.subTest(asked=asked):
                model.config = config | asked
                got = model(tokens).detach()
                self.assertLess(distance(got, reference_logits(path, tokens, asked)), ALLOWED)
                self.assertGreater(distance(got, reference_logits(path, tokens)), ALLOWED)

    def test_a_wrong_model_does_not(self):
        path = next(p for p in MODELS if "lmm" in os.path.basename(p))
        model, tokens = model_torch.load(path, torch.float64), text_for(path)
        model.config = dict(model.config, theta_max=0.99 * model.config["theta_max"])
        self.assertGreater(distance(model(tokens).detach(), reference_logits(path, tokens)), ALLOWED)

    def test_a_batch_is_its_sequences(self):
        path = MODELS[0]
        model, tokens = model_torch.load(path, torch.float64), text_for(path)
        both = model(torch.stack([tokens, tokens.flip(0)]))
        self.assertEqual(distance(both[1].detach(), model(tokens.flip(0)).detach()), 0.0)

    def test_another_mixer_is_refused(self):
        with self.assertRaisesRegex(ValueError, "not of the Titans family"):
            model_torch.Titans({"mixer": "mamba"}, {})

    def test_another_precision_is_refused(self):
        with self.assertRaisesRegex(ValueError, "precision bf16"):
            model_torch.Titans({"mixer": "lmm", "precision": "bf16"}, {})


class Golden(unittest.TestCase):
    def check(self, name, dtype):
        for case in golden.cases("mixer_" + name):
            x = {n: torch.from_numpy(a).to(dtype).requires_grad_() for n, a in case.copies("float64").items()}
            o = getattr(model_torch, name)(x, case.dims)
            (o.reshape(-1) * torch.from_numpy(case.cotangents["o"].copy())).sum().backward()
            gradients = {n: x[n].grad for n in case.gradients}
            golden.assert_case(case, {"o": o}, gradients, dtype=str(dtype).split(".")[-1])

    def test_mixers_and_their_gradients(self):
        for name in ("lmm", "swa", "mac", "mag", "mal_h3"):
            for dtype in (torch.float64, torch.float32):
                with self.subTest(mixer=name, dtype=dtype):
                    self.check(name, dtype)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    TITANS = os.path.abspath(sys.argv[1])
    MODELS = sys.argv[2:] or [p for p in sorted(glob.glob(os.path.join(ROOT, "results/checkpoints/*.safetensors")))
                              if model_torch.read(p)[0]["mixer"] in OPTIONS]
    torch.set_num_threads(1)
    unittest.main(argv=sys.argv[:1])
