"""Folders of tiny models as `transformers` writes them, as rows: what stands where.

Usage: python3 checkpoints.py [NAME...]

Each NAME of architectures.py writes crates/checkpoint/tests/fixtures/NAME.json: the `config.json`
that `transformers` saves, and for each tensor that it saves the name, the shape, and which elements of
the GGUF file's tensors stand where in it, as nested loops. Tests rebuild the folder from the
weights that follow from names (see README.md), so that no weight is kept.

Proved on the way: the model saves these tensors and no others, each bit.
"""

import json
import logging
import os
import sys
import tempfile
from pathlib import Path

sys.path.append(sys.path.pop(0))  # A script beside this one has the name of a package.
os.environ["HF_HUB_OFFLINE"] = "1"  # Nothing here may ask a hub.
os.environ["TQDM_DISABLE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from architectures import CASES, gemma, qwen3next  # noqa: E402
from architectures.generator import Weights  # noqa: E402

FIXTURES = Path(__file__).parents[2] / "crates/checkpoint/tests/fixtures"
LIMIT = 20 * 1024  # Bytes of one file.
MINUS_ONE, LOGARITHM = 2**45, 2**46  # Added to a place: what was done to the element.
OPS = {0: None, 1: "minus one", 2: "logarithm"}


class Places(Weights):
    """Hands out places in place of weights: exact in float64."""

    def __init__(self):
        super().__init__()
        self.first = {}
        self.next = 0

    def __call__(self, name, *shape, **how):
        count = int(np.prod(shape))
        super().__call__(name, *shape, **how)
        if name not in self.first:
            self.first[name] = self.next
            self.next += count
        start = self.first[name]
        return torch.arange(start, start + count, dtype=torch.float64).reshape(shape)


def patched(modules, changes):
    """Replaces functions of these names wherever they were imported; the old ones."""
    old = []
    for module in modules:
        for name, change in changes.items():
            if hasattr(module, name):
                old.append((module, name, getattr(module, name)))
                setattr(module, name, change)
    return old


def places_of(case):
    """For each tensor of `transformers`, the place of each element; and where tensors begin."""
    modules = [module for name, module in sys.modules.items() if name.startswith("architectures")]
    changes = {"shifted": lambda t: t + MINUS_ONE, "logarithm": lambda t: t + LOGARITHM}
    old = patched(modules, changes)
    try:
        places = Places()
        made = {name: t.numpy().astype(np.int64) for name, t in case.mapping(places, case.config)}
    finally:
        for module, name, function in old:
            setattr(module, name, function)
    return made, places


def loops(places):
    """Pairs of places, from and to, as `[from, to, [[count, stride from, stride to], ...]]`, the
    outermost first, as few as are found."""
    runs = [(int(start), int(end), ()) for start, end in places]
    while True:
        merged, i = [], 0
        while i < len(runs):
            start, end, inner = runs[i]
            count, stride = 1, None
            while i + count < len(runs) and runs[i + count][2] == inner:
                last, following = runs[i + count - 1], runs[i + count]
                step = (following[0] - last[0], following[1] - last[1])
                if stride not in (None, step):
                    break
                stride = step
                count += 1
            # A pair at a border may belong to what follows.
            if count == 2 and i + 2 < len(runs) and not inner and stride != (1, 1):
                count = 1
            merged.append((start, end, ((count, *stride), *inner) if count > 1 else inner))
            i += count
        if len(merged) == len(runs):
            return [[start, end, [list(loop) for loop in inner]] for start, end, inner in merged]
        runs = merged


def shortest(pairs, shape):
    """The loops of these pairs, sorted by where they come from: over all of them, or column by
    column of the tensor that they go to. All elements of that from a place on are only the place.
    """
    size = int(np.prod(shape))
    columns = pairs[np.lexsort((pairs[:, 1], pairs[:, 1] % shape[-1]))]
    made = min((loops(order) for order in (pairs, columns)), key=lambda made: len(str(made)))
    start = made[0][0]
    return [[start]] if made == [[start, 0, [[size, 1, 1]]]] else made


def row_of(name, tensor, places):
    flat = tensor.reshape(-1)
    ops = np.unique(flat >> 45)
    assert len(ops) == 1, name
    flat = flat & (MINUS_ONE - 1)
    begins = sorted((start, of) for of, start in places.first.items())
    tensors = np.searchsorted([start for start, _ in begins], flat, side="right") - 1
    pieces = []
    for i in sorted(set(tensors)):
        first, of = begins[i]
        to = np.flatnonzero(tensors == i)
        order = np.argsort(flat[to], kind="stable")
        pairs = np.stack([flat[to][order] - first, to[order]], axis=1)
        pieces += [[of, *loop] for loop in shortest(pairs, tensor.shape)]
    row = {"name": name, "shape": list(tensor.shape), "from": pieces}
    if OPS[int(ops[0])]:
        row["change"] = OPS[int(ops[0])]
    return row


def rebuilt(row, weights):
    made = np.full(int(np.prod(row["shape"])), np.nan, dtype=np.float32)
    for of, start, *rest in row["from"]:
        end, inner = rest or (0, [[made.size, 1, 1]])
        index = np.array([[start, end]])
        for count, *strides in inner:
            steps = np.arange(count)[:, None] * np.array([strides])
            index = (index[:, None, :] + steps).reshape(-1, 2)
        made[index[:, 1]] = weights[of].reshape(-1)[index[:, 0]]
    return made.reshape(row["shape"])


def together(saved, names):
    """Experts in one tensor, where the model has them so and newer `transformers` saves each."""
    for name in names - saved.keys():
        assert ".mlp.experts." in name, name
        before = name.rpartition(".")[0]
        parts = ["gate_proj", "up_proj"] if name.endswith("gate_up_proj") else ["down_proj"]
        count = sum(key.startswith(before) and key.endswith(f"{parts[0]}.weight") for key in saved)
        each = [torch.cat([saved.pop(f"{before}.{e}.{part}.weight") for part in parts])
                for e in range(count)]
        saved[name] = torch.stack(each)
    return saved


def check(case, rows):
    """What `transformers` saves is what the rows say; the configuration that it saves."""
    weights = Weights()
    model = case.build(case.config, weights)
    values = {name: weights(name, *reversed(row["shape"]), mean=row["mean"], scale=row["scale"])
              for name, row in list(weights.tensors.items())}
    values = {name: tensor.numpy() for name, tensor in values.items()}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        saved = load_file(Path(folder) / "model.safetensors")
        config = json.loads((Path(folder) / "config.json").read_text())
    saved = together(saved, {row["name"] for row in rows})
    assert saved.keys() == {row["name"] for row in rows}, saved.keys() ^ {r["name"] for r in rows}
    for row in rows:
        made, found = rebuilt(row, values), saved[row["name"]].numpy()
        assert list(found.shape) == row["shape"], row["name"]
        if row.get("change") == "minus one":
            made = made - np.float32(1)
        if row.get("change") == "logarithm":
            assert np.allclose(-np.exp(found), made, rtol=1e-6), row["name"]
            continue
        assert np.array_equal(made.view(np.uint32), found.view(np.uint32)), row["name"]
    return config


def main():
    logging.disable(logging.WARNING)
    names = sys.argv[1:]
    FIXTURES.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        if names and case.name not in names:
            continue
        made, places = places_of(case)
        rows = [row_of(name, tensor, places) for name, tensor in made.items()]
        config = check(case, rows)
        version = torch.__version__.partition("+")[0]
        source = (f"transformers {transformers.__version__}, torch {version}; "
                  f"tools/reference/checkpoints.py {case.name}")
        lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        text = (f'{{\n"source": {json.dumps(source)},\n"config": {json.dumps(config)},\n'
                f'"tensors": [\n{lines}\n]\n}}\n')
        json.loads(text)
        assert len(text) <= LIMIT, f"{case.name}: {len(text)} bytes"
        (FIXTURES / f"{case.name}.json").write_text(text)
        print(f"{case.name}: {len(text)} bytes")


main()
