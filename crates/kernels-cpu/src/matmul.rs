//! Matrix products, alone, as gated units and as terms of a sum: what is multiplied on which thread
//! and where it goes. `integers` and `floats` multiply few rows, `blocked` many.
//!
//! **Invariant:** each output is one chain over the groups of its row, in order, with the same
//! operations in every tile size; so a row's result never depends on its neighbours or threads.
#![expect(unsafe_code, reason = "threads write disjoint columns of one output")]

use std::ops::Range;

use quant::FormatId;

use crate::activation::{Activation, tiles};
use crate::blocked;
use crate::floats;
use crate::formats::{is_quantised, with_format};
use crate::gate::Gate;
use crate::integers;
use crate::isa::Isa;
use crate::packed::{Floats, Packed};
use crate::prefill;
use crate::simd::{LANES, ROWS_MAX};
use crate::threads::{Parts, Pool};

/// Weight bytes that a thread takes at a time, so that they stay in its cache for all rows.
const CHUNK_BYTES: usize = 32 << 10;

/// So far before they are multiplied weights are asked for: the processor's own prefetching stops
/// at the end of a page.
pub(crate) const AHEAD_LINES: usize = 32;

/// Weight tiles that one row goes by at the same time: as many streams from memory, where one
/// alone waits for the start of each page.
pub(crate) const ABREAST: usize = 4;

/// A weight matrix as the kernels need it.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) packed: &'a Packed,
    pub(crate) format: FormatId,
    pub(crate) n: usize,
    pub(crate) k: usize,
    /// What all its products are multiplied with, before anything is added to them.
    pub(crate) factor: f32,
}

/// Where rows of products go: row `i` to `first + i * stride` of `out`.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) out: &'a Parts<'a, f32>,
    pub(crate) first: usize,
    pub(crate) stride: usize,
}

/// `out = x * weight^T + bias` for some rows of a prepared `x`. No other product of a call may go
/// to the same place.
pub(crate) struct Product<'a> {
    pub(crate) weight: Matrix<'a>,
    pub(crate) rows: Range<usize>,
    /// `[n]`.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) place: Place<'a>,
}

/// `out = activation(x * gate^T + bias, x * up^T + bias)` for some rows of a prepared `x`, under
/// the same rule; both weights want it prepared alike.
pub(crate) struct Unit<'a> {
    pub(crate) gate: Matrix<'a>,
    pub(crate) up: Matrix<'a>,
    pub(crate) rows: Range<usize>,
    /// `[n]` of gate and up.
    pub(crate) biases: Option<[&'a [f32]; 2]>,
    pub(crate) place: Place<'a>,
}

/// What some rows of a prepared `x` add to rows of a sum: `factor * (x * weight^T + bias)`.
pub(crate) struct Term<'a> {
    pub(crate) weight: Matrix<'a>,
    pub(crate) rows: Range<usize>,
    /// `[n]`.
    pub(crate) bias: Option<&'a [f32]>,
    /// Row of the sum and factor of each row.
    pub(crate) to: &'a [(usize, f32)],
}

/// All products.
pub(crate) fn products((isa, pool): (Isa, &Pool), x: &Activation, products: &[Product<'_>]) {
    let sizes = products.iter().map(|product| (&product.weight, product.rows.len()));
    let chunks = chunks((isa, pool), (x, 1), sizes);
    pool.run(chunks.len(), |chunk| {
        let (product, columns) = (&products[chunks[chunk].0], chunks[chunk].1.clone());
        let rows = product.rows.clone();
        multiply(isa, [&product.weight], columns, (x, rows), |at, [sums]| {
            at.add_bias(sums, product.bias);
            at.write(sums, product.place, product.weight.n);
        });
    });
}

/// All gated units.
pub(crate) fn gated(
    (isa, pool): (Isa, &Pool),
    x: &Activation,
    (units, activation): (&[Unit<'_>], tensor::Activation),
) {
    let sizes = units.iter().map(|unit| (&unit.gate, unit.rows.len()));
    let chunks = chunks((isa, pool), (x, 2), sizes);
    pool.run(chunks.len(), |chunk| {
        let (unit, columns) = (&units[chunks[chunk].0], chunks[chunk].1.clone());
        let (weights, rows) = ([&unit.gate, &unit.up], unit.rows.clone());
        multiply(isa, weights, columns, (x, rows), |at, [gates, ups]| {
            if let Some([gate, up]) = unit.biases {
                at.add_bias(gates, Some(gate));
                at.add_bias(ups, Some(up));
            }
            isa.run(Gate { activation, gates, ups });
            at.write(gates, unit.place, unit.gate.n);
        });
    });
}

/// `sum = ` all terms in order, `[rows, n]`; all weights have one shape and format.
pub(crate) fn sum((isa, pool): (Isa, &Pool), sum: &mut [f32], x: &Activation, terms: &[Term<'_>]) {
    let Some(Matrix { n, .. }) = terms.first().map(|term| term.weight) else { return };
    let (rows, tile_count) = (sum.len() / n, n.div_ceil(LANES));
    let many = terms.iter().map(|term| blocked::rows(isa, term.weight.format, term.rows.len()));
    // A thread has work of every term: so many tiles that one row goes by several.
    let abreast = ABREAST.min(tile_count.div_ceil(pool.threads()));
    let fair = tile_count.div_ceil(4 * pool.threads()).max(abreast);
    let step = tiles_per_chunk(&terms[0].weight, fair, many.max().unwrap_or(0));
    let sum = Parts::new(sum);
    pool.run(tile_count.div_ceil(step), |chunk| {
        let columns = chunk * step..tile_count.min((chunk + 1) * step);
        let values = columns.start * LANES..n.min(columns.end * LANES);
        for row in 0..rows {
            // SAFETY: each tile of columns belongs to one chunk; the slice ends in this iteration.
            unsafe { sum.slice(row * n + values.start, values.len()) }.fill(0.0);
        }
        for term in terms {
            let rows = term.rows.clone();
            multiply(isa, [&term.weight], columns.clone(), (x, rows), |at, [sums]| {
                at.add_bias(sums, term.bias);
                at.add(sums, (&sum, n), term.to);
            });
        }
    });
}

/// Tiles of columns of which product a thread takes at a time, of so many weights `together`;
/// `sizes` are weights and rows.
fn chunks<'a>(
    (isa, pool): (Isa, &Pool),
    (x, together): (&Activation, usize),
    sizes: impl Iterator<Item = (&'a Matrix<'a>, usize)> + Clone,
) -> Vec<(usize, Range<usize>)> {
    let all: usize = sizes.clone().map(|(weight, _)| weight.packed.tiles()).sum();
    let fair = all.div_ceil(4 * pool.threads());
    let mut chunks = Vec::new();
    for (j, (weight, rows)) in sizes.enumerate() {
        let step = match x.prefill() {
            Some(_) => (prefill::TILES / together).min(fair).max(1),
            None => tiles_per_chunk(weight, fair, blocked::rows(isa, weight.format, rows)),
        };
        let tiles = weight.packed.tiles();
        let firsts = (0..tiles).step_by(step);
        chunks.extend(firsts.map(|first| (j, first..tiles.min(first + step))));
    }
    chunks
}

/// Weight tiles that a thread takes at a time when `many` rows go in blocks.
fn tiles_per_chunk(weight: &Matrix<'_>, fair: usize, many: usize) -> usize {
    let fit = (CHUNK_BYTES / weight.packed.tile_bytes()).max(ABREAST);
    if many > 0 {
        return blocked::TILES.min(fair).max(1);
    }
    let most = fit.min(fair).max(1);
    // A tile that is left alone takes nearly as long as those that go abreast.
    if most > ABREAST { most - most % ABREAST } else { most }
}

/// Which products were made: of some rows with some tiles of weights.
struct At {
    /// Rows before these, of all that the weights are multiplied with.
    row: usize,
    /// If more than one, there is one row.
    tiles: Range<usize>,
}

impl At {
    /// `(row, tile, products)` of each line.
    fn lines<'a>(
        &'a self,
        lines: &'a mut [[f32; LANES]],
    ) -> impl Iterator<Item = (usize, usize, &'a mut [f32; LANES])> {
        let several = self.tiles.len() > 1;
        lines.iter_mut().enumerate().map(move |(i, line)| {
            let (row, tile) = if several { (0, i) } else { (i, 0) };
            (self.row + row, self.tiles.start + tile, line)
        })
    }

    fn add_bias(&self, lines: &mut [[f32; LANES]], bias: Option<&[f32]>) {
        let Some(bias) = bias else { return };
        for (_, tile, line) in self.lines(lines) {
            for (value, bias) in line.iter_mut().zip(&bias[tile * LANES..]) {
                *value += bias;
            }
        }
    }

    fn write(&self, lines: &mut [[f32; LANES]], place: Place<'_>, n: usize) {
        for (row, tile, line) in self.lines(lines) {
            let first = tile * LANES;
            let len = LANES.min(n - first);
            let at = place.first + row * place.stride + first;
            // SAFETY: each tile of columns belongs to one chunk, places are apart, and the slice
            // ends in this iteration.
            let part = unsafe { place.out.slice(at, len) };
            // A copy of known length is two instructions, and else a call.
            match <&mut [f32; LANES]>::try_from(&mut *part) {
                Ok(whole) => *whole = *line,
                Err(_) => part.copy_from_slice(&line[..len]),
            }
        }
    }

    fn add(
        &self,
        lines: &mut [[f32; LANES]],
        (sum, n): (&Parts<'_, f32>, usize),
        to: &[(usize, f32)],
    ) {
        for (row, tile, line) in self.lines(lines) {
            let first = tile * LANES;
            let (row, factor) = to[row];
            // SAFETY: each tile of columns belongs to one chunk; the slice ends in this iteration.
            let part = unsafe { sum.slice(row * n + first, LANES.min(n - first)) };
            for (sum, value) in part.iter_mut().zip(line) {
                *sum += factor * *value;
            }
        }
    }
}

/// Gives `each` the products of some tiles of each weight with some rows of `x`, in several calls;
/// what `each` gets of a weight is a line for each row, or for each tile where there is one row.
fn multiply<const W: usize>(
    isa: Isa,
    weights: [&Matrix<'_>; W],
    columns: Range<usize>,
    (x, rows): (&Activation, Range<usize>),
    mut each: impl FnMut(At, [&mut [[f32; LANES]]; W]),
) {
    let mut each = |at: At, mut sums: [&mut [[f32; LANES]]; W]| {
        for (weight, sums) in weights.iter().zip(&mut sums) {
            scale(sums, weight.factor);
        }
        each(at, sums);
    };
    let start = rows.start;
    let pairs = columns.clone().flat_map(|tile| weights.map(|weight| (weight, tile)));
    let mut each_tile = |row: usize, sums: &mut [&mut [[f32; LANES]]]| {
        for (tile, sums) in columns.clone().zip(sums.as_chunks_mut::<W>().0) {
            let at = At { row: row - start, tiles: tile..tile + 1 };
            each(at, sums.each_mut().map(|sums| &mut **sums));
        }
    };
    if let Some(prefill) = x.prefill() {
        prefill.multiply(isa, &pairs.collect::<Vec<_>>(), rows, each_tile);
        return;
    }
    let many = start..start + blocked::rows(isa, weights[0].format, rows.len());
    if !many.is_empty() {
        let pairs: Vec<_> = pairs.collect();
        blocked::multiply(isa, &pairs, (x, many.clone()), &mut each_tile);
    }
    for (row, len) in tiles(many.end..rows.end, isa.float_tile_rows()) {
        let x = RowTile { x, row, ahead: row == start };
        let row = row - start;
        if len == 1 {
            for tiles in abreast(columns.clone()) {
                let mut sums = [[[0.0; LANES]; ABREAST]; W];
                let mut sums = sums.each_mut().map(|sums| &mut sums[..tiles.len()]);
                for (weight, sums) in weights.iter().zip(&mut sums) {
                    row_products(isa, weight, tiles.start, x, sums);
                }
                each(At { row, tiles }, sums);
            }
            continue;
        }
        for tile in columns.clone() {
            let mut sums = [[[0.0; LANES]; ROWS_MAX]; W];
            let mut sums = sums.each_mut().map(|sums| &mut sums[..len]);
            for (weight, sums) in weights.iter().zip(&mut sums) {
                product(isa, weight, tile, x, sums);
            }
            each(At { row, tiles: tile..tile + 1 }, sums);
        }
    }
}

fn scale(lines: &mut [[f32; LANES]], factor: f32) {
    // Nearly all have none: that costs a comparison a tile.
    if factor != 1.0 {
        lines.as_flattened_mut().iter_mut().for_each(|value| *value *= factor);
    }
}

/// A tile of prepared rows.
#[derive(Clone, Copy)]
struct RowTile<'a> {
    x: &'a Activation,
    /// Its first.
    row: usize,
    /// The first rows bring a tile's weights into the cache for all others.
    ahead: bool,
}

/// One tile of `weight` times the rows of one tile of `x`.
fn product(
    isa: Isa,
    weight: &Matrix<'_>,
    tile: usize,
    RowTile { x, row, ahead }: RowTile<'_>,
    out: &mut [[f32; LANES]],
) {
    let (lines, scales) = weight.packed.tile(tile);
    if is_quantised(weight.format) {
        let x = x.codes(weight.k, (row, out.len()));
        let weight_tile = (lines, scales, ahead);
        with_format!(weight.format, F => integers::multiply::<F>(isa, weight_tile, x, out), ());
    } else {
        let x = x.floats(weight.k, (row, out.len()));
        floats::multiply(isa, (lines, Floats::of(weight.format), ahead), x, out);
    }
}

/// `tiles` in steps of [`ABREAST`].
fn abreast(tiles: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let last = tiles.end;
    tiles.step_by(ABREAST).map(move |first| first..(first + ABREAST).min(last))
}

/// The tiles of `weight` from `first` times one row.
fn row_products(
    isa: Isa,
    weight: &Matrix<'_>,
    first: usize,
    x: RowTile<'_>,
    out: &mut [[f32; LANES]],
) {
    let whole = <&mut [[f32; LANES]; ABREAST]>::try_from(&mut *out);
    if let Ok(out) = whole {
        let tiles = std::array::from_fn(|i| weight.packed.tile(first + i));
        with_format!(weight.format, F => {
            let x = x.x.codes(weight.k, (x.row, 1));
            isa.run(integers::Abreast::<F>::new(tiles, x, out));
        }, {
            let (kind, x) = (Floats::of(weight.format), x.x.floats(weight.k, (x.row, 1)));
            isa.run(floats::Abreast { kind, lines: tiles.map(|tile| tile.0), x, out });
        });
        return;
    }
    for (i, out) in out.chunks_mut(1).enumerate() {
        product(isa, weight, first + i, x, out);
    }
}
