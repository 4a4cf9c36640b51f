//! Products of prefill rows, where a machine has a faster way for them than for the single rows of
//! answers: there they are rounded in another way. Elsewhere all rows are multiplied alike.

#[cfg(target_arch = "x86_64")]
mod amx;

#[cfg(target_arch = "x86_64")]
pub(crate) use amx::{round_group, side_by_side};

use std::ops::Range;

use quant::FormatId;

use crate::activation::Rows;
use crate::blocked::has_tiles;
use crate::formats::is_quantised;
use crate::isa::Isa;
use crate::matmul::Matrix;
use crate::simd::LANES;
use crate::threads::Pool;

/// Weight tiles whose sums a thread holds at a time.
pub(crate) const TILES: usize = 16;

/// Prefill rows as they are multiplied; the memory is used again and again.
#[derive(Default)]
pub(crate) struct Prepared {
    #[cfg(target_arch = "x86_64")]
    tiles: amx::RowTiles,
}

/// Whether prefill rows go a way of their own by weights of `format`. Those that a file has in f32
/// are few, and left as they are on purpose; those unpacked to f32 have no kernel of their own.
pub(crate) fn takes(isa: Isa, format: FormatId) -> bool {
    has_tiles(isa) && (is_quantised(format) || matches!(format, FormatId::F16 | FormatId::BF16))
}

/// Operations of a turn of [`spend`], where prefill rows go a way of their own.
pub(crate) fn ops_per_turn(isa: Isa) -> Option<usize> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Amx(_) => Some(crate::simd::amx::Tiles::OPS_PER_TURN / 2),
        _ => None,
    }
}

/// Multiplies what prefill rows are made of in registers, `turns` times.
pub(crate) fn spend(isa: Isa, turns: usize) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Amx(amx) => crate::simd::amx::Tiles::new(amx).spend_bf16(turns),
        _ => unreachable!("{turns} turns without tiles"),
    }
}

impl Prepared {
    /// Takes all runs of `rows`.
    pub(crate) fn fill(&mut self, (isa, pool): (Isa, &Pool), rows: &Rows<'_>) {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(amx) => self.tiles.fill((amx, pool), rows),
            _ => unreachable!("{} threads without tiles for {}", pool.threads(), rows.k),
        }
    }

    /// Gives `each` the products of `tiles` of weights with `rows` of a run, some rows at a time:
    /// the first of them, then a slice for each tile.
    pub(crate) fn multiply(
        &self,
        isa: Isa,
        tiles: &[(&Matrix<'_>, usize)],
        rows: Range<usize>,
        each: impl FnMut(usize, &mut [&mut [[f32; LANES]]]),
    ) {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(amx) => amx::multiply(amx, tiles, (&self.tiles, rows), each),
            _ => {
                let _ = each;
                unreachable!("{} tiles, {rows:?} without tiles", tiles.len())
            }
        }
    }
}
