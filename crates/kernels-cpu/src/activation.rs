//! Activations as the matmul kernels read them: tiles of 8, 4, 2 and 1 rows, interleaved; with AMX
//! also tiles of 16, where a row's bytes stay together.
//!
//! For integer weights each row is quantised by itself, 32 columns at a time, to 16 bits in two
//! signed bytes: `x = scale * (high + low / 256)`. The high bytes are always multiplied, the low
//! ones only in groups whose largest value stands out of the row: most of what rounding to 8 bits
//! loses, it loses there.

use std::ops::Range;

use bytemuck::Zeroable;

use crate::codes::{GROUP, OPERANDS};
use crate::isa::Isa;
use crate::prefill::Prepared;
use crate::simd::{self, Kernel, LANES, Line, Simd};
use crate::threads::Pool;

/// Rows of an AMX tile.
pub(crate) const WIDE_ROWS: usize = 16;

/// In a group of a tile of R rows, in units of R dwords: the high bytes come first,
pub(crate) const SCALE: usize = OPERANDS;
/// then the f32 scale, the scale times the sum of the codes (of 32 columns, then of each 16),
pub(crate) const SUM: usize = SCALE + 1;
/// and [`WHOLE`] minus the sum of the codes times the offset of the weights' codes, as i32 (of 32
/// columns, then of each 16). In a fine group the codes are `256 * high + low`, the scale is 256
/// times smaller, and there is no [`WHOLE`].
pub(crate) const MINUS_CODES: usize = SUM + 3;
/// Dwords of a group and row, so many that every group starts a cache line; the last is not used.
pub(crate) const GROUP_DWORDS: usize = MINUS_CODES + 4;
/// The bits of a float that is [`WHOLE_VALUE`]: below 2^22 whole numbers that are added to them, of
/// either sign, are added to its value. So sums of products need not be converted.
pub(crate) const WHOLE: i32 = WHOLE_VALUE.to_bits().cast_signed();
pub(crate) const WHOLE_VALUE: f32 = 1.5 * (1 << 23) as f32;
/// Steps of the low byte in one of the high byte.
pub(crate) const FINE_BITS: u32 = 8;
/// Groups below this count as zero: the inverse of their scale would overflow.
const TINY: f32 = 1e-36;
/// A group is fine when the square of its largest value is this many times the row's mean square.
/// Measured by `cargo xtask quality` (see docs/performance.md).
const FINE_FROM: f32 = 20.0;
/// Rows that share a bit of [`Codes::fine`].
pub(crate) const FINE_ROWS: usize = 4;
/// Fewer rows than this are prepared on the calling thread.
const PARALLEL_ROWS_MIN: usize = 4;

/// Rows `[k]` to prepare.
pub(crate) struct Rows<'a> {
    pub(crate) k: usize,
    /// Those that are multiplied with the same weights; each run begins where the last one ended.
    pub(crate) runs: &'a [Range<usize>],
    /// Where each is.
    pub(crate) row: &'a (dyn Fn(usize) -> &'a [f32] + Sync),
}

impl Rows<'_> {
    fn count(&self) -> usize {
        self.runs.last().map_or(0, |run| run.end)
    }

    /// `(first row, rows)` of what is prepared at a time: up to `step` rows of a run.
    fn parts(&self, step: usize) -> impl Iterator<Item = (usize, usize)> {
        self.runs.iter().flat_map(move |run| {
            let firsts = run.clone().step_by(step);
            firsts.map(move |first| (first, step.min(run.end - first)))
        })
    }
}

/// `(first row, rows)` of the tiles of `rows`.
pub(crate) fn tiles(rows: Range<usize>, tile_rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut first = rows.start;
    std::iter::from_fn(move || {
        let left = rows.end - first;
        if left == 0 {
            return None;
        }
        let len = tile_rows.min(1 << left.ilog2());
        first += len;
        Some((first - len, len))
    })
}

/// An activation `[rows, k]` prepared for one operation; the memory is used again and again.
#[derive(Default)]
pub(crate) struct Activation {
    /// Of each tile `[k / 32][GROUP_DWORDS][R]`; the high bytes of 16 rows are `[R][OPERANDS]`.
    codes: Vec<Line>,
    /// Of each tile `[k / 32][OPERANDS][R]`, or `[R][OPERANDS]` of 16 rows: low bytes, of fine
    /// groups only.
    lows: Vec<Line>,
    /// Of each tile `[k / 32]`, at its first row: see [`Codes::fine`].
    fine: Vec<u8>,
    /// Of each tile `[k rounded up to even][R]`.
    floats: Vec<f32>,
    /// Binary logarithm of the offset that the codes are prepared for.
    shift: u32,
    prefill: Prepared,
    /// Whether `prefill` is what is prepared, and not the rest.
    is_prefill: bool,
}

/// One tile of quantised rows.
#[derive(Clone, Copy)]
pub(crate) struct Codes<'a> {
    pub(crate) highs: &'a [i32],
    pub(crate) lows: &'a [i32],
    /// Of each group, bit `i`: whether some of the rows `4i..4i + 4` have low bytes.
    pub(crate) fine: &'a [u8],
    /// Of the weights that the sums of codes are made for.
    pub(crate) shift: u32,
}

impl<'a> Codes<'a> {
    /// Some groups of these.
    pub(crate) fn groups(self, groups: &Range<usize>, rows: usize) -> Codes<'a> {
        let (highs, lows) = (rows * GROUP_DWORDS, rows * OPERANDS);
        Codes {
            highs: &self.highs[groups.start * highs..groups.end * highs],
            lows: &self.lows[groups.start * lows..groups.end * lows],
            fine: &self.fine[groups.clone()],
            shift: self.shift,
        }
    }
}

impl Activation {
    /// Takes `rows` as prefill rows.
    pub(crate) fn fill_prefill(&mut self, on: (Isa, &Pool), rows: &Rows<'_>) {
        self.is_prefill = true;
        self.prefill.fill(on, rows);
    }

    /// What is prepared, if it is prefill rows.
    pub(crate) fn prefill(&self) -> Option<&Prepared> {
        self.is_prefill.then_some(&self.prefill)
    }

    /// The quantised tile of `len` rows from `row`.
    pub(crate) fn codes(&self, k: usize, (row, len): (usize, usize)) -> Codes<'_> {
        let shift = self.shift;
        let groups = k / GROUP;
        let (highs, lows) = (groups * GROUP_DWORDS, groups * OPERANDS);
        Codes {
            highs: &dwords(&self.codes)[row * highs..][..len * highs],
            lows: &dwords(&self.lows)[row * lows..][..len * lows],
            fine: &self.fine[row * groups..][..groups],
            shift,
        }
    }

    /// The interleaved tile of `len` rows from `row`.
    pub(crate) fn floats(&self, k: usize, (row, len): (usize, usize)) -> &[f32] {
        let row_len = k.next_multiple_of(2);
        &self.floats[row * row_len..][..len * row_len]
    }

    /// Quantises `rows` for integer weights whose codes are offset by `2^shift`; every group is
    /// fine when `precise`.
    pub(crate) fn quantise(
        &mut self,
        (isa, pool): (Isa, &Pool),
        rows: &Rows<'_>,
        (shift, precise): (u32, bool),
    ) {
        (self.shift, self.is_prefill) = (shift, false);
        let (count, groups) = (rows.count(), rows.k / GROUP);
        self.codes.resize((count * groups * GROUP_DWORDS).div_ceil(LANES), Line::zeroed());
        self.lows.resize((count * groups * OPERANDS).div_ceil(LANES), Line::zeroed());
        self.fine.resize(count * groups, 0);
        let step = isa.integer_tile_rows();
        let mut codes: &mut [i32] = bytemuck::cast_slice_mut(&mut self.codes);
        let mut lows: &mut [i32] = bytemuck::cast_slice_mut(&mut self.lows);
        let mut fine = &mut self.fine[..];
        let part = |(first, len): (usize, usize)| Part {
            first,
            len,
            codes: first_of(&mut codes, len * groups * GROUP_DWORDS),
            lows: first_of(&mut lows, len * groups * OPERANDS),
            fine: first_of(&mut fine, len * groups),
        };
        let mut parts: Vec<Part<'_>> = rows.parts(step).map(part).collect();
        let fine_from = if precise { 0.0 } else { FINE_FROM };
        let work = |_: usize, parts: &mut [Part<'_>]| {
            for part in parts {
                for tile in tiles(0..part.len, step) {
                    isa.run(Quantise { part, rows, tile, fine_from, shift });
                }
            }
        };
        if count < PARALLEL_ROWS_MIN {
            work(0, &mut parts);
        } else {
            pool.run_parts(&mut parts, 1, work);
        }
    }

    /// Interleaves `rows` for float weights.
    pub(crate) fn interleave(&mut self, (isa, pool): (Isa, &Pool), rows: &Rows<'_>) {
        let (count, row_len) = (rows.count(), rows.k.next_multiple_of(2));
        self.is_prefill = false;
        self.floats.clear();
        self.floats.resize(count * row_len, 0.0);
        let (step, mut floats) = (isa.float_tile_rows(), &mut self.floats[..]);
        let parts = rows.parts(step);
        let mut parts: Vec<(usize, &mut [f32])> =
            parts.map(|(first, len)| (first, first_of(&mut floats, len * row_len))).collect();
        pool.run_parts(&mut parts, 1, |_, parts| {
            for (row, out) in parts {
                for (first, len) in tiles(0..out.len() / row_len, step) {
                    let out = &mut out[first * row_len..][..len * row_len];
                    for r in 0..len {
                        for (i, x) in (rows.row)(*row + first + r).iter().enumerate() {
                            out[i * len + r] = *x;
                        }
                    }
                }
            }
        });
    }
}

/// The first `len` values, which leave `rest`.
pub(crate) fn first_of<'a, T>(rest: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let (first, left) = std::mem::take(rest).split_at_mut(len);
    *rest = left;
    first
}

fn dwords(lines: &[Line]) -> &[i32] {
    bytemuck::cast_slice(lines)
}

/// Some rows and where their codes go.
struct Part<'a> {
    first: usize,
    len: usize,
    codes: &'a mut [i32],
    lows: &'a mut [i32],
    fine: &'a mut [u8],
}

struct Quantise<'a, 'b, 'r> {
    part: &'a mut Part<'b>,
    rows: &'a Rows<'r>,
    /// First row in the part, and rows.
    tile: (usize, usize),
    fine_from: f32,
    shift: u32,
}

/// Where a row's group goes in its tile.
struct Place<'a> {
    highs: &'a mut [i32],
    lows: &'a mut [i32],
    rows: usize,
    r: usize,
    shift: u32,
}

impl Kernel for Quantise<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let ((first, rows), groups) = (self.tile, self.rows.k / GROUP);
        let x = |r: usize| (self.rows.row)(self.part.first + first + r);
        let highs = &mut self.part.codes[first * groups * GROUP_DWORDS..];
        let lows = &mut self.part.lows[first * groups * OPERANDS..];
        let fine = &mut self.part.fine[first * groups..][..groups];
        let mut largest = vec![0.0; rows * groups];
        let mut limits = [f32::INFINITY; WIDE_ROWS];
        fine.fill(0);
        for r in 0..rows {
            let largest = &mut largest[r * groups..][..groups];
            let mean = survey(s, x(r), largest);
            limits[r] = self.fine_from * mean;
            for (fine, largest) in fine.iter_mut().zip(largest) {
                let is_fine = *largest * *largest >= limits[r] && *largest > 0.0;
                *fine |= u8::from(is_fine) << (r / FINE_ROWS);
            }
        }
        for r in 0..rows {
            let x = x(r);
            let spoil = spoil(s, x);
            for (g, x) in x.as_chunks::<GROUP>().0.iter().enumerate() {
                let largest = largest[r * groups + g];
                let place = Place {
                    highs: &mut highs[g * rows * GROUP_DWORDS..][..rows * GROUP_DWORDS],
                    lows: &mut lows[g * rows * OPERANDS..][..rows * OPERANDS],
                    rows,
                    r,
                    shift: self.shift,
                };
                let scale = largest / 127.0 + spoil;
                if fine[g] != 0 {
                    place.fine(s, x, (largest, scale), largest * largest >= limits[r]);
                } else {
                    place.coarse(s, x, (largest, scale));
                }
            }
        }
    }
}

/// Largest magnitude of each group, and the mean square of all values.
#[inline(always)]
fn survey<S: Simd>(s: S, x: &[f32], largest: &mut [f32]) -> f32 {
    let mut squares = s.splat(0.0);
    for (group, largest) in x.as_chunks::<GROUP>().0.iter().zip(largest) {
        let [low, high] = halves(s, group);
        *largest = s.highest(s.max(s.abs(low), s.abs(high)));
        squares = s.fma(high, high, s.fma(low, low, squares));
    }
    simd::sum(s, squares) / x.len() as f32
}

/// 0 for a finite row; infinities and NaN spoil all its scales, as they should.
#[inline(always)]
fn spoil<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut spoil = s.splat(0.0);
    for x in x.as_chunks::<LANES>().0 {
        spoil = s.fma(s.load(x), s.splat(0.0), spoil);
    }
    simd::sum(s, spoil)
}

#[inline(always)]
fn halves<S: Simd>(s: S, x: &[f32; GROUP]) -> [S::F; 2] {
    let (low, high) = x.split_at(LANES);
    let low = s.load(low.first_chunk().expect("half of a group"));
    [low, s.load(high.first_chunk().expect("half of a group"))]
}

fn inverse(largest: f32) -> f32 {
    if largest > TINY { 127.0 / largest } else { 0.0 }
}

impl Place<'_> {
    #[inline(always)]
    fn coarse<S: Simd>(self, s: S, x: &[f32; GROUP], (largest, scale): (f32, f32)) {
        let inverse = s.splat(inverse(largest));
        let [low, high] = halves(s, x);
        let codes = [s.round(s.mul(low, inverse)), s.round(s.mul(high, inverse))];
        put(s, self.highs, (self.rows, self.r), codes);
        self.sums(s, (scale, WHOLE), codes);
    }

    /// Both bytes; the low one is 0 where the row itself does not want it.
    #[inline(always)]
    fn fine<S: Simd>(self, s: S, x: &[f32; GROUP], (largest, scale): (f32, f32), wanted: bool) {
        let inverse = s.splat(inverse(largest));
        let steps = s.splat(if wanted { (1 << FINE_BITS) as f32 } else { 0.0 });
        let mut highs = halves(s, x);
        let (mut lows, mut codes) = (highs, highs);
        for half in 0..2 {
            let scaled = s.mul(highs[half], inverse);
            highs[half] = s.round(scaled);
            let low = s.round(s.mul(s.sub(scaled, highs[half]), steps));
            lows[half] = s.max(s.splat(-127.0), s.min(low, s.splat(127.0)));
            codes[half] = s.fma(highs[half], s.splat((1 << FINE_BITS) as f32), lows[half]);
        }
        put(s, self.highs, (self.rows, self.r), highs);
        put(s, self.lows, (self.rows, self.r), lows);
        self.sums(s, (scale / (1 << FINE_BITS) as f32, 0), codes);
    }

    /// `first` is what products begin with.
    #[inline(always)]
    fn sums<S: Simd>(self, s: S, (scale, first): (f32, i32), codes: [S::F; 2]) {
        // Whole numbers below 2^24: exact in any order.
        let sums = [simd::sum(s, codes[0]), simd::sum(s, codes[1])];
        self.highs[SCALE * self.rows + self.r] = scale.to_bits().cast_signed();
        for (i, sum) in [sums[0] + sums[1], sums[0], sums[1]].into_iter().enumerate() {
            self.highs[(SUM + i) * self.rows + self.r] = (scale * sum).to_bits().cast_signed();
            let offset = -(sum as i32) << self.shift;
            self.highs[(MINUS_CODES + i) * self.rows + self.r] = first + offset;
        }
    }
}

/// Codes as bytes, four columns to a dword.
#[inline(always)]
fn put<S: Simd>(s: S, out: &mut [i32], (rows, r): (usize, usize), codes: [S::F; 2]) {
    for (half, codes) in codes.into_iter().enumerate() {
        let bytes: [u8; LANES] = bytemuck::cast(s.to_i8(codes));
        for (v, bytes) in bytes.as_chunks::<4>().0.iter().enumerate() {
            let dword = i32::from_le_bytes(*bytes);
            // Columns of a tile go together, but rows where AMX reads them.
            let at = 4 * half + v;
            out[if rows == WIDE_ROWS { r * OPERANDS + at } else { at * rows + r }] = dword;
        }
    }
}
