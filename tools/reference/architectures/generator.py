"""Weights from nothing but a name: what the Rust tests rebuild instead of reading a file.

Element i of the tensor NAME, counted in GGUF's order (fastest dimension first), is
`mean + scale * u`, with u in [-1, 1) from splitmix64 keyed by the FNV-1a hash of the name.
"""

import math

import numpy as np
import torch

# Hash and finaliser: FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/), splitmix64
# (https://prng.di.unimi.it/splitmix64.c).
GOLDEN = 0x9E3779B97F4A7C15


def fnv1a(name):
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 % 2**64
    return key


def values(name, count, mean, scale):
    """The first `count` elements, as f32: the sum is taken in f64 and rounded once."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a(name)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    u = (z >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1.0
    return (mean + scale * u).astype(np.float32)


class Weights:
    """Hands out tensors under their GGUF names and remembers which were asked for."""

    def __init__(self):
        self.tensors = {}

    def __call__(self, name, *shape, mean=0.0, scale=None, gain=1.0):
        """`shape` as PyTorch lists it, slowest first.

        Without a scale: norms lie around 1, other vectors within 0.2, and a matrix keeps the
        variance of what it is multiplied with, times `gain` squared.
        """
        if scale is None:
            if name.endswith("_norm.weight"):
                mean, scale = 1.0, 0.2
            elif len(shape) == 1:
                scale = 0.2
            else:
                scale = math.sqrt(3 / shape[-1]) * gain
        scale = float(f"{scale:.4g}")
        row = {"name": name, "shape": list(reversed(shape)), "mean": mean, "scale": scale}
        assert self.tensors.setdefault(name, row) == row, name
        return torch.from_numpy(values(name, math.prod(shape), mean, scale).reshape(shape))
