"""Blocks of every format with the values that the `gguf` package (numpy) gives them.

Writes crates/quant/tests/fixtures/blocks.txt: lines of `FORMAT dequantize BLOCKS VALUES` and
`FORMAT quantize VALUES BLOCKS`, bytes in hex, values as little-endian f32; and of `FORMAT sweep
PLACES HASH`: the values of so many random blocks that every code of every table is among them, hashed
(see `swept`). Needs gguf==0.19.0.
"""

from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

FORMATS = [
    "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    "IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4", "IQ1_M", "IQ1_S", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ3_S",
    "IQ3_XXS", "TQ1_0", "TQ2_0",
]
CAN_QUANTIZE = FORMATS[:7] + ["MXFP4", "TQ1_0", "TQ2_0"]
# Where the f16 scales lie in a block: random bytes there would be infinities.
SCALES_AT = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0], "IQ1_S": [0], "IQ2_S": [0], "IQ2_XS": [0], "IQ2_XXS": [0],
    "IQ3_S": [0], "IQ3_XXS": [0], "TQ1_0": [52], "TQ2_0": [64],
}
# The f16 of these is in the upper quarters of four words.
SCALE_QUARTERS_AT = {"IQ1_M": 48}
# Scales of one byte at the beginning of a block: the ends, denormals, what is not a number.
BYTE_SCALES = {
    "MXFP4": [[0], [1], [2], [125], [254], [255]],
    "NVFP4": [[0, 1, 7, 8], [0x38, 0x7E, 0x7F, 0x80], [0x81, 0xB9, 0xFE, 0xFF]],
}

SWEPT_BLOCKS = 2048


def swept(kind, places):
    """FNV-1a of the values' bits, a word at a time, zeros of either sign as one.

    Byte i of the blocks is the top byte of state i of Knuth's MMIX generator from 1 on; of those at
    `places`, upper bytes of an f16, bit 6 is cleared so that scales are numbers.
    """
    size = gguf.GGML_QUANT_SIZES[kind][1]
    state, made = 1, bytearray()
    for _ in range(SWEPT_BLOCKS * size):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        made.append(state >> 56)
    blocks = np.frombuffer(made, dtype=np.uint8).reshape(-1, size)
    blocks[:, places] &= 0xBF
    with np.errstate(over="ignore"):
        values = dequantize(blocks.reshape(-1), kind).astype(np.float32) + np.float32(0)
    assert not np.isnan(values).any(), kind
    result = 0xCBF29CE484222325
    for word in values.view(np.uint32).tolist():
        result = (result ^ word) * 0x100000001B3 % 2**64
    return result


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
    if name in SCALE_QUARTERS_AT:
        scales = np.array([0.013, 3e-6, -1.7], dtype=np.float16).view(np.uint16)
        quarters = blocks[:, SCALE_QUARTERS_AT[name] :].view(np.uint16)
        for i in range(4):
            quarters[:, i] = (quarters[:, i] & 0x0FFF) | ((scales >> (4 * i)) & 15) << 12
    if length > 1:
        blocks[:, : byte_scales.shape[1]] = byte_scales
    values = dequantize(blocks.reshape(-1), kind).astype("<f4")
    lines.append(f"{name} dequantize {blocks.tobytes().hex()} {values.tobytes().hex()}")
    if length > 1:
        # IQ1_M's scale ends in the last word, MXFP4's and NVFP4's have bytes of any value.
        ends = [SCALE_QUARTERS_AT[name] + 7] if name in SCALE_QUARTERS_AT else []
        places = [at + 1 for at in SCALES_AT.get(name, [])] + ends
        hashed = swept(kind, places)
        lines.append(f"{name} sweep {','.join(map(str, places)) or '-'} {hashed:016x}")
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
