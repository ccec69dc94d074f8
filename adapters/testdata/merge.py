"""Writes merge.json: what PEFT's add_weighted_adapter makes of four small adapters.

    python adapters/testdata/merge.py      (torch 2.15.0, peft 0.21.2)

DARE drops at random; here it drops what ours drops: random_pruning is replaced by one with
the draws of adapters/prune.go.
"""
import json
import pathlib

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import layer
from peft.utils import merge_utils

MASK = (1 << 64) - 1
NAMES = {}  # data_ptr of a factor, or of an update, to its name
SEED = 7


def draw(seed, name, k):
    h = 14695981039346656037
    for b in name.encode():
        h = ((h ^ b) * 1099511628211) & MASK
    z = ((h ^ seed) + k * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return ((z ^ z >> 31) >> 11) / (1 << 53)


def random_pruning(tensor, density, rescale):
    name = NAMES[tensor.data_ptr()]
    mask = torch.tensor([float(draw(SEED, name, k) < density) for k in range(tensor.numel())]).reshape(tensor.shape)
    out = tensor * mask
    return out / density if rescale else out


merge_utils.random_pruning = random_pruning


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.query = torch.nn.Linear(6, 5, bias=False)
        self.value = torch.nn.Linear(6, 4, bias=False)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.ModuleList([Layer(), Layer()])

    def forward(self, x):
        return x


torch.manual_seed(1)
configs = {
    "w": LoraConfig(r=4, lora_alpha=8, target_modules=["query", "value"]),
    "x": LoraConfig(r=4, lora_alpha=2, target_modules=["query", "value"]),
    "y": LoraConfig(r=4, lora_alpha=4, target_modules=["query"]),
    "z": LoraConfig(r=2, lora_alpha=4, target_modules=["value"]),
}
model = get_peft_model(Net(), configs["w"], adapter_name="w")
for name, config in list(configs.items())[1:]:
    model.add_adapter(name, config)


def factors(adapter, index=None):
    out = {}
    for path, m in model.base_model.model.named_modules():
        if hasattr(m, "lora_A") and adapter in m.lora_A:
            for side in ("lora_A", "lora_B"):
                w = getattr(m, side)[adapter].weight
                if index is not None:
                    NAMES[w.data.data_ptr()] = f"{index}/{path}/{side}"
                out[f"{path}.{side}"] = w.detach().flatten().tolist()
    return out


get_delta_weight = layer.Linear.get_delta_weight


def named_delta(self, adapter):
    delta = get_delta_weight(self, adapter)
    path = next(p for p, m in model.base_model.model.named_modules() if m is self)
    NAMES[delta.data_ptr()] = f"{PARTS.index(adapter)}/{path}/delta"
    return delta


layer.Linear.get_delta_weight = named_delta

for name in configs:
    for _, m in model.named_modules():
        if hasattr(m, "lora_A") and name in m.lora_A:
            torch.nn.init.normal_(m.lora_A[name].weight)
            torch.nn.init.normal_(m.lora_B[name].weight)
result = {"seed": SEED, "adapters": {n: {"r": c.r, "alpha": c.lora_alpha, "factors": factors(n)} for n, c in configs.items()}, "cases": []}
for i, (parts, weights, how) in enumerate([
    ("wxy", [0.7, 0.3, -0.5], {"combination_type": "linear"}),
    ("wxyz", [0.7, 1.5, -0.5, 1.0], {"combination_type": "cat"}),
    ("wxy", [0.7, 0.3, 0.5], {"combination_type": "ties", "density": 0.4}),
    ("wxy", [1.0, 0.3, 0.5], {"combination_type": "ties", "density": 0.6, "majority_sign_method": "frequency"}),
    ("wx", [1.0, -1.0], {"combination_type": "dare_linear", "density": 0.5}),
    ("wxy", [0.7, 0.3, 0.5], {"combination_type": "dare_ties", "density": 0.5}),
    ("wxy", [0.7, 0.3, -0.5], {"combination_type": "magnitude_prune", "density": 0.4}),
    ("wxyz", [0.7, 1.5, -0.5, 1.0], {"combination_type": "svd"}),
    ("yz", [0.7, -1.5], {"combination_type": "svd"}),
    ("wxyz", [0.7, 1.5, -0.5, 1.0], {"combination_type": "svd", "svd_rank": 3}),
    ("wxyz", [0.7, 1.5, 0.5, 1.0], {"combination_type": "ties_svd", "density": 0.4}),
    ("wxyz", [0.7, 1.5, 0.5, 1.0], {"combination_type": "ties_svd", "density": 0.6, "majority_sign_method": "frequency", "svd_rank": 2}),
    ("wxyz", [0.7, 1.5, -0.5, 1.0], {"combination_type": "dare_linear_svd", "density": 0.5}),
    ("wxyz", [0.7, 1.5, 0.5, 1.0], {"combination_type": "dare_ties_svd", "density": 0.5}),
    ("wxyz", [0.7, 1.5, -0.5, 1.0], {"combination_type": "magnitude_prune_svd", "density": 0.4}),
]):
    PARTS = parts
    NAMES.clear()
    for index, n in enumerate(parts):
        factors(n, index)
    model.base_model.add_weighted_adapter(list(parts), weights, f"m{i}", **how)
    result["cases"].append({"adapters": list(parts), "weights": weights, **how, "r": model.peft_config[f"m{i}"].r, "factors": factors(f"m{i}")})
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(result) + "\n")
