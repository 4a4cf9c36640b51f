//! What `wide` is where no instruction set has wide tiles.

use quant::FormatId;

use crate::activation::Activation;
use crate::isa::Isa;
use crate::matmul::Matrix;
use crate::simd::LANES;

pub(crate) const TILES: usize = 1;

/// None.
pub(crate) fn rows(_: Isa, _: FormatId, _: usize) -> usize {
    0
}

pub(crate) fn multiply(
    _: Isa,
    _: &[(&Matrix<'_>, usize)],
    _: (&Activation, usize),
    _: impl FnMut(usize, &mut [&mut [[f32; LANES]]]),
) {
    unreachable!("there are no rows to multiply")
}

/// None.
pub(crate) fn ops_per_turn(_: Isa) -> Option<usize> {
    None
}

pub(crate) fn spend(_: Isa, _: usize) {
    unreachable!("there are no tiles")
}
