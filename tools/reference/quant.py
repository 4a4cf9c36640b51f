"""Blocks of every format with the values that the `gguf` package (numpy) gives them.

Writes crates/quant/tests/fixtures/blocks.txt: lines of `FORMAT dequantize BLOCKS VALUES` and
`FORMAT quantize VALUES BLOCKS`, bytes in hex, values as little-endian f32. Needs gguf==0.19.0.
"""

from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

FORMATS = [
    "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    "IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4",
]
CAN_QUANTIZE = FORMATS[:7] + ["MXFP4"]
# Where the f16 scales lie in a block: random bytes there would be infinities.
SCALES_AT = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0],
}
# Scales of one byte at the beginning of a block: the ends, denormals, what is not a number.
BYTE_SCALES = {
    "MXFP4": [[0], [1], [2], [125], [254], [255]],
    "NVFP4": [[0, 1, 7, 8], [0x38, 0x7E, 0x7F, 0x80], [0x81, 0xB9, 0xFE, 0xFF]],
}

rng = np.random.default_rng(20261121)
lines = []
for name in FORMATS:
    kind = Type[name]
    length, size = gguf.GGML_QUANT_SIZES[kind]
    byte_scales = np.array(BYTE_SCALES.get(name, [[]] * 3), dtype=np.uint8)
    count = 64 if length == 1 else len(byte_scales)
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    if length == 1:
        numbers = rng.standard_normal(count).astype(np.float32) * 10.0 ** rng.integers(-6, 4, count)
        blocks = quantize(numbers.astype(np.float32), kind).view(np.uint8).reshape(count, size)
    for at in SCALES_AT.get(name, []):
        # Ordinary, denormal and negative scales.
        scales = np.array([0.013, 3e-6, -1.7], dtype=np.float16)[:count]
        blocks[:, at : at + 2] = scales.view(np.uint8).reshape(count, 2)
    if length > 1:
        blocks[:, : byte_scales.shape[1]] = byte_scales
    values = dequantize(blocks.reshape(-1), kind).astype("<f4")
    lines.append(f"{name} dequantize {blocks.tobytes().hex()} {values.tobytes().hex()}")
    if name in CAN_QUANTIZE:
        source = rng.standard_normal((4, max(length, 32))).astype("<f4")
        source[1] *= 1e-5
        source[2] = 0
        source[3, ::3] = 0
        packed = quantize(source, kind).view(np.uint8)
        lines.append(f"{name} quantize {source.tobytes().hex()} {packed.tobytes().hex()}")

target = Path(__file__).resolve().parents[2] / "crates/quant/tests/fixtures/blocks.txt"
target.parent.mkdir(parents=True, exist_ok=True)
target.write_text("\n".join(lines) + "\n")
print(f"{target.stat().st_size} bytes")
