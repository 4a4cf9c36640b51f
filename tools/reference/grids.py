"""The points of the IQ formats' grids, as the `gguf` package has them.

Writes crates/quant/src/formats/grid_codes.rs: of each point 16 bits, the first coordinate in the
lowest; a coordinate is the place of its value in the format's list. Needs gguf==0.19.0.
"""

from pathlib import Path

import numpy as np
from gguf import quants

# Name here, class of the package. IQ1_M has the grid of IQ1_S.
GRIDS = {
    "IQ1": quants.IQ1_S,
    "IQ2_S": quants.IQ2_S,
    "IQ2_XS": quants.IQ2_XS,
    "IQ2_XXS": quants.IQ2_XXS,
    "IQ3_S": quants.IQ3_S,
    "IQ3_XXS": quants.IQ3_XXS,
}
# As rustfmt puts them.
PER_LINE = 12

out = [
    "//! Points of the grids as codes of 16 bits: `grid` says what they stand for.",
    "//!",
    "//! Made by tools/reference/grids.py from the `gguf` package 0.19.0; not to be edited.",
]
for name, kind in GRIDS.items():
    kind.init_grid()
    count, length = kind.grid_shape
    points = kind.grid.reshape(count, length)
    values = np.array(kind.grid_map, dtype=np.float32)
    places = np.argmax(points[..., None] == values, axis=-1)
    assert np.array_equal(values[places], points), name
    codes = (places << (np.arange(length) * (16 // length))).sum(axis=-1)
    assert codes.max() < 1 << 16, name
    out += ["", f"pub(super) const {name}: [u16; {count}] = ["]
    for first in range(0, count, PER_LINE):
        line = ", ".join(f"0x{code:04x}" for code in codes[first : first + PER_LINE])
        out.append(f"    {line},")
    out.append("];")

target = Path(__file__).resolve().parents[2] / "crates/quant/src/formats/grid_codes.rs"
target.write_text("\n".join(out) + "\n")
print(f"{target.stat().st_size} bytes")
