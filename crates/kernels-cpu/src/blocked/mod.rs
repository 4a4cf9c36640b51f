//! Matrix products of many rows: weights are unpacked to bytes once for all rows, and multiplied
//! in blocks whose codes stay in the caches. Bit for bit the results of few rows. Few rows come
//! here too where weights are kept as the blocks of their file.

#[cfg(target_arch = "x86_64")]
mod amx;
mod floats;

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use bytemuck::Zeroable;
use quant::FormatId;

use crate::activation::{self, Activation};
use crate::codes::{Codes, GROUP, OPERANDS, U8};
use crate::formats::{Format, is_blockwise, is_quantised, with_format};
use crate::integers::Integers;
use crate::isa::Isa;
use crate::matmul::Matrix;
use crate::scales::Scales;
use crate::simd::{Kernel, LANES, Line, Simd};

/// Weight tiles that are multiplied by a row tile while its codes are in the cache.
pub(crate) const TILES: usize = 8;
/// Activation rows whose sums are held at a time: whole row tiles.
const ROWS: usize = 512;
/// Groups that are multiplied before the next row tile: whole superblocks.
const BLOCK_GROUPS: usize = 16;
/// Row tiles for which it pays to write unpacked weights and read them again.
const ROW_TILES_MIN: usize = 4;

/// Memory of a thread that the next call can use again.
#[derive(Default)]
struct Scratch {
    /// `[tiles][rows]`.
    sums: Vec<Line>,
    /// `[tiles][BLOCK_GROUPS][OPERANDS]`, or columns of float weights.
    codes: Vec<Line>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Of `rows` activation rows, how many [`multiply`] takes.
pub(crate) fn rows(isa: Isa, format: FormatId, rows: usize) -> usize {
    let quantised = is_quantised(format);
    if is_blockwise(format) {
        return rows;
    }
    let tile_rows = if quantised { isa.integer_tile_rows() } else { isa.float_tile_rows() };
    let least = if quantised && has_tiles(isa) { 1 } else { ROW_TILES_MIN };
    if rows >= least * tile_rows { rows / tile_rows * tile_rows } else { 0 }
}

/// Gives `each` the products of `tiles` of weights with `rows` of `x`, some rows at a time: the
/// first of them, then a slice for each tile.
pub(crate) fn multiply(
    isa: Isa,
    tiles: &[(&Matrix<'_>, usize)],
    (x, rows): (&Activation, Range<usize>),
    mut each: impl FnMut(usize, &mut [&mut [[f32; LANES]]]),
) {
    SCRATCH.with_borrow_mut(|scratch| {
        for first in rows.clone().step_by(ROWS) {
            let block = first..(first + ROWS).min(rows.end);
            if tiles.first().is_some_and(|(weight, _)| is_quantised(weight.format)) {
                scratch.multiply(isa, tiles, (x, &block));
            } else {
                floats::multiply(scratch, isa, tiles, (x, &block));
            }
            let sums = as_floats(&mut scratch.sums[..tiles.len() * block.len()]);
            each(first, &mut sums.chunks_exact_mut(block.len()).collect::<Vec<_>>());
        }
    });
}

fn as_floats(lines: &mut [Line]) -> &mut [[f32; LANES]] {
    bytemuck::cast_slice_mut(lines)
}

/// Whether whole tiles are multiplied at once.
pub(crate) fn has_tiles(isa: Isa) -> bool {
    tile_ops_per_turn(isa).is_some()
}

/// Operations of a turn of [`spend`], where there are tiles.
pub(crate) fn tile_ops_per_turn(isa: Isa) -> Option<usize> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Amx(_) => Some(crate::simd::amx::Tiles::OPS_PER_TURN),
        _ => None,
    }
}

/// Multiplies tiles in registers, `turns` times.
pub(crate) fn spend(isa: Isa, turns: usize) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Amx(amx) => crate::simd::amx::Tiles::new(amx).spend(turns),
        _ => unreachable!("{turns} turns without tiles"),
    }
}

impl Scratch {
    fn multiply(
        &mut self,
        isa: Isa,
        tiles: &[(&Matrix<'_>, usize)],
        (x, rows): (&Activation, &Range<usize>),
    ) {
        let sums = tiles.len() * rows.len();
        self.sums.resize(sums.max(self.sums.len()), Line::zeroed());
        self.sums[..sums].fill(Line::zeroed());
        let block = BLOCK_GROUPS * OPERANDS;
        self.codes.resize((tiles.len() * block).max(self.codes.len()), Line::zeroed());
        let (mut unit, tile_rows) = (Unit::new(isa), isa.integer_tile_rows());
        let k = tiles.first().map_or(0, |(weight, _)| weight.k);
        for first in (0..k / GROUP).step_by(BLOCK_GROUPS) {
            let groups = first..(first + BLOCK_GROUPS).min(k / GROUP);
            for ((weight, tile), codes) in tiles.iter().zip(self.codes.chunks_exact_mut(block)) {
                let (lines, codes) =
                    (weight.packed.tile(*tile).0, &mut codes[..groups.len() * OPERANDS]);
                with_format!(weight.format, F => unit.unpack::<F>(lines, &groups, codes), ());
            }
            for row in rows.clone().step_by(tile_rows) {
                let x = x.codes(k, (row, tile_rows)).groups(&groups, tile_rows);
                for (i, (weight, tile)) in tiles.iter().enumerate() {
                    let codes = &self.codes[i * block..][..groups.len() * OPERANDS];
                    let task = Task { x, codes, scales: weight.packed.tile(*tile).1, first };
                    let at = i * rows.len() + row - rows.start;
                    let sums = &mut self.sums[at..at + tile_rows];
                    with_format!(weight.format, F => unit.add::<F>(sums, &task), ());
                }
            }
        }
    }
}

/// Some groups of a weight tile and a row tile.
struct Task<'a> {
    x: activation::Codes<'a>,
    /// `[groups][OPERANDS]`.
    codes: &'a [Line],
    /// Of the whole tile.
    scales: &'a [u8],
    /// Index of the first group in the tile: the first of a superblock.
    first: usize,
}

/// What multiplies.
enum Unit {
    #[cfg(target_arch = "x86_64")]
    Tiles(amx::Unit),
    Lanes(Isa),
}

impl Unit {
    fn new(isa: Isa) -> Unit {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(amx) => Unit::Tiles(amx::Unit::new(amx)),
            _ => Unit::Lanes(isa),
        }
    }

    /// The codes of `groups` as bytes, for `add`.
    fn unpack<F: Format>(&self, lines: &[Line], groups: &Range<usize>, out: &mut [Line]) {
        let lines = &lines[groups.start * F::Codes::LINES..groups.end * F::Codes::LINES];
        match self {
            #[cfg(target_arch = "x86_64")]
            Unit::Tiles(unit) => unit.unpack::<F>(lines, out),
            Unit::Lanes(isa) => isa.run(Unpack { codes: PhantomData::<F::Codes>, lines, out }),
        }
    }

    /// `sums[r] += x[r] . codes`, one line a row.
    fn add<F: Format>(&mut self, sums: &mut [Line], task: &Task<'_>) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Unit::Tiles(unit) => unit.add::<F>(sums, task),
            Unit::Lanes(isa) => {
                let scales = &task.scales[task.first / F::Scales::SUPER * F::Scales::BYTES..];
                let (out, lines) = (as_floats(sums), task.codes);
                match out.len() {
                    4 => isa.run(Integers::<F, U8, 4>::new(lines, scales, task.x, out)),
                    _ => isa.run(Integers::<F, U8, 8>::new(lines, scales, task.x, out)),
                }
            }
        }
    }
}

struct Unpack<'a, C> {
    codes: PhantomData<C>,
    lines: &'a [Line],
    out: &'a mut [Line],
}

impl<C: Codes> Kernel for Unpack<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let groups = self.lines.chunks_exact(C::LINES);
        for (lines, out) in groups.zip(self.out.chunks_exact_mut(OPERANDS)) {
            let codes = C::unpack(s, lines);
            for v in 0..OPERANDS {
                s.store_line(&mut out[v], codes[v]);
            }
        }
    }
}
