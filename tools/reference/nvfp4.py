"""Weights of 4 bits with factors, as compressed-tensors reads them.

Usage: python3 nvfp4.py

Writes crates/checkpoint/tests/fixtures/nvfp4.json: random codes, scales and a factor of a matrix
[4, 64], and what compressed-tensors makes of them. Needs: pip install compressed-tensors==0.20.0
"""

import json
from pathlib import Path

import compressed_tensors
import numpy as np
import torch
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import dequantize

FIXTURE = Path(__file__).parents[2] / "crates/checkpoint/tests/fixtures/nvfp4.json"
ROWS, COLUMNS, GROUP = 4, 64, 16


def main():
    rng = np.random.default_rng(1)
    packed = torch.from_numpy(rng.integers(0, 256, (ROWS, COLUMNS // 2), dtype=np.uint8))
    scales = torch.from_numpy(rng.integers(0, 0x7F, (ROWS, COLUMNS // GROUP), dtype=np.uint8))
    scales[0, 1] |= 0x80  # One of them below 0.
    factor = torch.tensor([1234.5], dtype=torch.float32)
    how = QuantizationArgs(num_bits=4, type="float", strategy="tensor_group", group_size=GROUP,
                           symmetric=True)
    codes = unpack_fp4_from_uint8(packed, ROWS, COLUMNS).float()
    values = dequantize(codes, scales.view(torch.float8_e4m3fn).float(), args=how,
                        global_scale=factor, dtype=torch.float32)
    made = {"source": f"compressed-tensors {compressed_tensors.__version__}, torch "
                      f"{torch.__version__.partition('+')[0]}; tools/reference/nvfp4.py",
            "weight_packed": packed.flatten().tolist(), "weight_scale": scales.flatten().tolist(),
            "weight_global_scale": factor.item(),
            "values": [float(f"{value:.9g}") for value in values.flatten().tolist()]}
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(part)}" for key, part in made.items())
    FIXTURE.write_text(f"{{\n{lines}\n}}\n")


main()
