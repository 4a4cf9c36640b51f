//! Float weights times many rows: columns are converted once for all rows, even and odd ones apart,
//! because each output is the sum of two chains. Blocks of a file are unpacked here, some columns
//! at a time, also for few rows.

use std::ops::Range;

use bytemuck::Zeroable;

use super::{Scratch, TILES};
use crate::activation::{Activation, tiles as row_tiles};
use crate::floats::Column;
use crate::isa::Isa;
use crate::matmul::Matrix;
use crate::packed::{Floats, unpack_blocks};
use crate::simd::{Kernel, LANES, Line, Simd};

/// Pairs of columns that are multiplied before the next row tile: a weight tile's even or odd ones
/// and a row tile's stay in the first cache.
const BLOCK_PAIRS: usize = 128;
/// Chains of an output.
const CHAINS: usize = 2;

/// The products of `tiles` with `rows` of `x`, left in `scratch.sums` as `[tiles][rows]`.
pub(super) fn multiply(
    scratch: &mut Scratch,
    isa: Isa,
    tiles: &[(&Matrix<'_>, usize)],
    (x, rows): (&Activation, &Range<usize>),
) {
    assert!(tiles.len() <= 2 * TILES, "as many as are asked for at once");
    let count = tiles.len() * rows.len();
    let sums = CHAINS * count;
    scratch.sums.resize(sums.max(scratch.sums.len()), Line::zeroed());
    scratch.sums[..sums].fill(Line::zeroed());
    let block = CHAINS * BLOCK_PAIRS;
    let columns = (tiles.len() * block).max(scratch.codes.len());
    scratch.codes.resize(columns, Line::zeroed());
    let k = tiles.first().map_or(0, |(weight, _)| weight.k);
    let (all, tile_rows) = (k.div_ceil(2), isa.float_tile_rows());
    for first in (0..all).step_by(BLOCK_PAIRS) {
        let pairs = first..(first + BLOCK_PAIRS).min(all);
        for ((weight, tile), out) in tiles.iter().zip(scratch.codes.chunks_exact_mut(block)) {
            let (lines, kind) = (weight.packed.tile(*tile).0, Floats::of(weight.format));
            if kind == Floats::Blocks(weight.format) {
                unpack(weight, lines, &pairs, out);
                continue;
            }
            let per_pair = kind.lines(2);
            let lines = &lines[pairs.start * per_pair..pairs.end * per_pair];
            isa.run(Convert { kind, lines, out });
        }
        for (row, len) in row_tiles(rows.clone(), tile_rows) {
            let x = x.floats(k, (row, len));
            let x = &x[pairs.start * 2 * len..pairs.end * 2 * len];
            let (at, tiles, sums) = (row - rows.start, tiles.len(), &mut scratch.sums[..sums]);
            let task = Task { columns: &scratch.codes, x, tiles, sums, at, rows: rows.len() };
            match len {
                1 => isa.run(Products::<1>(task)),
                2 => isa.run(Products::<2>(task)),
                4 => isa.run(Products::<4>(task)),
                _ => isa.run(Products::<8>(task)),
            }
        }
    }
    let (even, odd) = scratch.sums[..sums].split_at_mut(count);
    isa.run(AddChains { even, odd });
}

/// Some columns of a tile of blocks, as [`Convert`] leaves them.
fn unpack(weight: &Matrix<'_>, lines: &[Line], pairs: &Range<usize>, out: &mut [Line]) {
    let mut values = [0.0; 2 * BLOCK_PAIRS];
    let values = &mut values[..2 * pairs.len()];
    let (even, odd) = out.split_at_mut(BLOCK_PAIRS);
    for row in 0..LANES {
        unpack_blocks(weight.format, lines, (row, weight.k, 2 * pairs.start), values);
        for ((pair, even), odd) in values.as_chunks::<2>().0.iter().zip(&mut *even).zip(&mut *odd) {
            (even.0[row], odd.0[row]) = (pair[0].to_bits(), pair[1].to_bits());
        }
    }
}

/// Columns as f32, the even ones of a block and then the odd ones.
struct Convert<'a> {
    kind: Floats,
    lines: &'a [Line],
    /// `[CHAINS][BLOCK_PAIRS]`.
    out: &'a mut [Line],
}

impl Kernel for Convert<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.kind {
            Floats::F32 => self.convert::<S, f32>(s),
            Floats::F16 => self.convert::<S, half::f16>(s),
            Floats::Bf16 => self.convert::<S, half::bf16>(s),
            Floats::Blocks(_) => unreachable!("blocks are unpacked by `quant`"),
        }
    }
}

impl Convert<'_> {
    #[inline(always)]
    fn convert<S: Simd, T: Column>(self, s: S) {
        let (columns, _) = bytemuck::cast_slice::<Line, [T; LANES]>(self.lines).as_chunks::<2>();
        let out: &mut [[f32; LANES]] = bytemuck::cast_slice_mut(self.out);
        for (i, pair) in columns.iter().enumerate() {
            s.store(&mut out[i], T::load(s, &pair[0]));
            s.store(&mut out[BLOCK_PAIRS + i], T::load(s, &pair[1]));
        }
    }
}

/// A block of some weight tiles and a row tile.
struct Task<'a> {
    /// `[tiles][CHAINS][BLOCK_PAIRS]`.
    columns: &'a [Line],
    /// `[pairs][CHAINS][R]`.
    x: &'a [f32],
    tiles: usize,
    /// `[CHAINS][tiles][rows]`.
    sums: &'a mut [Line],
    /// First row of the row tile.
    at: usize,
    rows: usize,
}

struct Products<'a, const R: usize>(Task<'a>);

impl<const R: usize> Kernel for Products<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        for chain in 0..CHAINS {
            let mut tile = 0;
            // Each number of x is loaded once for two tiles, where their sums stay in registers.
            while 2 * R <= S::SUMS && tile + 2 <= self.0.tiles {
                self.add::<S, 2>(s, chain, tile);
                tile += 2;
            }
            while tile < self.0.tiles {
                self.add::<S, 1>(s, chain, tile);
                tile += 1;
            }
        }
    }
}

impl<const R: usize> Products<'_, R> {
    /// Adds to one chain of `T` weight tiles.
    #[inline(always)]
    fn add<S: Simd, const T: usize>(&mut self, s: S, chain: usize, tile: usize) {
        let task = &mut self.0;
        let pairs = task.x.len() / (CHAINS * R);
        let mut columns = [&[][..]; T];
        let mut sums = [[s.splat(0.0); R]; T];
        for t in 0..T {
            let first = ((tile + t) * CHAINS + chain) * BLOCK_PAIRS;
            columns[t] =
                &bytemuck::cast_slice::<Line, [f32; LANES]>(task.columns)[first..][..pairs];
            let at = (chain * task.tiles + tile + t) * task.rows + task.at;
            let held: &[[f32; LANES]] = bytemuck::cast_slice(&task.sums[at..at + R]);
            for r in 0..R {
                sums[t][r] = s.load(&held[r]);
            }
        }
        for (i, x) in task.x.chunks_exact(CHAINS * R).enumerate() {
            let x = &x[chain * R..][..R];
            let mut column = [s.splat(0.0); T];
            for t in 0..T {
                column[t] = s.load(&columns[t][i]);
            }
            for r in 0..R {
                let x = s.splat(x[r]);
                for t in 0..T {
                    sums[t][r] = s.fma(column[t], x, sums[t][r]);
                }
            }
        }
        for (t, sums) in sums.iter().enumerate() {
            let at = (chain * task.tiles + tile + t) * task.rows + task.at;
            let held: &mut [[f32; LANES]] = bytemuck::cast_slice_mut(&mut task.sums[at..at + R]);
            for r in 0..R {
                s.store(&mut held[r], sums[r]);
            }
        }
    }
}

/// `even += odd`.
struct AddChains<'a> {
    even: &'a mut [Line],
    odd: &'a [Line],
}

impl Kernel for AddChains<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let even: &mut [[f32; LANES]] = bytemuck::cast_slice_mut(self.even);
        let odd: &[[f32; LANES]] = bytemuck::cast_slice(self.odd);
        for (i, even) in even.iter_mut().enumerate() {
            let sum = s.add(s.load(even), s.load(&odd[i]));
            s.store(even, sum);
        }
    }
}
