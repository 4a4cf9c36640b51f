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

use crate::activation::{self, Activation, first_of};
use crate::codes::{GROUP, OPERANDS};
use crate::formats::{Format, is_blockwise, is_quantised, with_format};
use crate::integers::{Blocks, Tile, Unpack, scale_lines};
use crate::isa::Isa;
use crate::matmul::Matrix;
use crate::scales::Scales;
use crate::simd::{LANES, Line};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Simd, avx512::Avx512};

/// Weight tiles whose sums are held at a time.
pub(crate) const TILES: usize = 8;
/// Activation rows whose sums are held at a time: whole row tiles.
const ROWS: usize = 512;
/// Of these so many are given away at a time.
const ROWS_OUT: usize = 32;
/// Groups of a weight tile that are unpacked and multiplied with all row tiles before the next
/// ones: whole superblocks.
const BLOCK_GROUPS: usize = 16;
/// Lines of a tile's codes of so many groups.
const BLOCK: usize = BLOCK_GROUPS * OPERANDS;
/// Lines of its scales at most: of two halves, and as many minimums.
const SCALES: usize = 4 * BLOCK_GROUPS;
/// Weight tiles that may be multiplied at once.
const PAIR: usize = 2;
/// Row tiles for which it pays to write unpacked weights and read them again.
const ROW_TILES_MIN: usize = 4;

/// Memory of a thread that the next call can use again.
#[derive(Default)]
struct Scratch {
    /// `[tiles][rows]`.
    sums: Vec<Line>,
    /// `[PAIR][SCALES]`.
    scales: Vec<Line>,
    /// `[PAIR][BLOCK_GROUPS][OPERANDS]`, or columns of float weights.
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
            let sums = &mut scratch.sums[..tiles.len() * block.len()];
            hand_out((sums, block.len()), block, &mut each);
        }
    });
}

/// Gives `each` the sums of `rows`, which a tile holds at the begin of its `held` lines, few rows
/// at a time: each row is a page of its own where it goes.
pub(crate) fn hand_out(
    (sums, held): (&mut [Line], usize),
    rows: Range<usize>,
    each: &mut impl FnMut(usize, &mut [&mut [[f32; LANES]]]),
) {
    let tiles = as_floats(sums).chunks_exact_mut(held);
    let mut left: Vec<_> = tiles.map(|sums| &mut sums[..rows.len()]).collect();
    for first in rows.step_by(ROWS_OUT) {
        let parts = left.iter_mut().map(|left| first_of(left, left.len().min(ROWS_OUT)));
        each(first, &mut parts.collect::<Vec<_>>());
    }
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
        self.codes.resize((PAIR * BLOCK).max(self.codes.len()), Line::zeroed());
        self.scales.resize(PAIR * SCALES, Line::zeroed());
        let (mut unit, tile_rows) = (Unit::new(isa), isa.integer_tile_rows());
        let k = tiles.first().map_or(0, |(weight, _)| weight.k);
        for first in (0..k / GROUP).step_by(BLOCK_GROUPS) {
            let groups = first..(first + BLOCK_GROUPS).min(k / GROUP);
            let mut from = 0;
            while from < tiles.len() {
                let together = unit.together(&tiles[from..]);
                let (codes, scales) = (&mut self.codes[..], &mut self.scales[..]);
                let out = codes.chunks_exact_mut(BLOCK).zip(scales.chunks_exact_mut(SCALES));
                for (i, (tile, out)) in together.iter().zip(out).enumerate() {
                    // What comes in its place: of another tile, or the first tile's next groups.
                    let ahead = match tiles.get(from + together.len() + i) {
                        Some(next) => lines_of(next, &groups),
                        None => lines_of(&tiles[i], &(groups.end..groups.end + groups.len())),
                    };
                    with_format!(
                        tile.0.format,
                        F => unit.unpack::<F>((tile, &groups), ahead, out),
                        ()
                    );
                }
                let mut unpacked = [Tile::default(); PAIR];
                for (i, tile) in unpacked.iter_mut().enumerate() {
                    tile.codes = &self.codes[i * BLOCK..][..groups.len() * OPERANDS];
                    tile.scales = &self.scales[i * SCALES..][..SCALES];
                }
                for row in rows.clone().step_by(tile_rows) {
                    let x = x.codes(k, (row, tile_rows)).groups(&groups, tile_rows);
                    let task = Task { x, tiles: &unpacked[..together.len()] };
                    let (one, other) = self.sums[from * rows.len()..].split_at_mut(rows.len());
                    let at = row - rows.start..row - rows.start + tile_rows;
                    let other = other.get_mut(at.clone()).unwrap_or_default();
                    let sums = [&mut one[at], other];
                    with_format!(together[0].0.format, F => unit.add::<F>(sums, &task), ());
                }
                from += together.len();
            }
        }
    }
}

/// The lines of some groups of a weight tile, as far as it has them.
fn lines_of<'a>((weight, tile): &(&Matrix<'a>, usize), groups: &Range<usize>) -> &'a [Line] {
    let lines = weight.packed.tile(*tile).0;
    let size = lines.len() / (weight.k / GROUP);
    &lines[(groups.start * size).min(lines.len())..(groups.end * size).min(lines.len())]
}

/// Some groups of one or two weight tiles and a row tile.
struct Task<'a> {
    x: activation::Codes<'a>,
    tiles: &'a [Tile<'a>],
}

/// What multiplies.
enum Unit {
    #[cfg(target_arch = "x86_64")]
    Tiles(amx::Unit),
    #[cfg(target_arch = "x86_64")]
    Pairs(Avx512),
    Lanes(Isa),
}

impl Unit {
    fn new(isa: Isa) -> Unit {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(amx) => Unit::Tiles(amx::Unit::new(amx)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(s) => Unit::Pairs(s),
            _ => Unit::Lanes(isa),
        }
    }

    /// The first of `tiles` that are multiplied at once.
    fn together<'a, 'b>(
        &self,
        tiles: &'a [(&'b Matrix<'b>, usize)],
    ) -> &'a [(&'b Matrix<'b>, usize)] {
        let pairs = match self {
            #[cfg(target_arch = "x86_64")]
            Unit::Pairs(_) => true,
            _ => false,
        };
        match tiles {
            [one, other, ..] if pairs && one.0.format == other.0.format => &tiles[..PAIR],
            _ => &tiles[..1],
        }
    }

    /// `groups` of a tile as `add` needs them; `ahead` is asked for.
    fn unpack<F: Format>(
        &self,
        ((weight, tile), groups): (&(&Matrix<'_>, usize), &Range<usize>),
        ahead: &[Line],
        (codes_out, scales_out): (&mut [Line], &mut [Line]),
    ) {
        let lines = lines_of(&(weight, *tile), groups);
        let first = groups.start / F::Scales::SUPER * F::Scales::BYTES;
        let unpack = Unpack {
            format: PhantomData::<F>,
            lines,
            scales: &weight.packed.tile(*tile).1[first..],
            ahead,
            codes_out: &mut codes_out[..groups.len() * OPERANDS],
            scales_out: &mut scales_out[..groups.len() * scale_lines::<F::Scales>()],
        };
        match self {
            #[cfg(target_arch = "x86_64")]
            Unit::Tiles(unit) => unit.unpack::<F>(unpack),
            #[cfg(target_arch = "x86_64")]
            Unit::Pairs(s) => s.vectorize(unpack),
            Unit::Lanes(isa) => isa.run(unpack),
        }
    }

    /// `sums[r] += x[r] . codes`, one line a row, for each tile of the task.
    fn add<F: Format>(&mut self, sums: [&mut [Line]; PAIR], task: &Task<'_>) {
        let (format, x) = (PhantomData::<F>, task.x);
        macro_rules! blocks {
            ($rows:expr) => {{
                let [sums, _] = sums;
                let out = [as_floats(sums).first_chunk_mut().expect("a row tile")];
                Blocks::<F, { $rows }, 1> { format, tiles: [task.tiles[0]], x, out }
            }};
        }
        match self {
            #[cfg(target_arch = "x86_64")]
            Unit::Tiles(unit) => {
                let [sums, _] = sums;
                unit.add::<F>(sums, task);
            }
            #[cfg(target_arch = "x86_64")]
            Unit::Pairs(s) if task.tiles.len() == PAIR => {
                let out = sums.map(|sums| as_floats(sums).first_chunk_mut().expect("a row tile"));
                let tiles = [task.tiles[0], task.tiles[1]];
                s.vectorize(Blocks::<F, { Avx512::ROWS }, PAIR> { format, tiles, x, out });
            }
            #[cfg(target_arch = "x86_64")]
            Unit::Pairs(s) => s.vectorize(blocks!(Avx512::ROWS)),
            Unit::Lanes(isa) if sums[0].len() == 4 => isa.run(blocks!(4)),
            Unit::Lanes(isa) => isa.run(blocks!(8)),
        }
    }
}
