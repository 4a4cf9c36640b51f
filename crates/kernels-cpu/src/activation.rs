//! Activations as the matmul kernels read them: tiles of 8, 4, 2 and 1 rows, interleaved.
//!
//! For integer weights each row is quantised by itself, 32 columns at a time, to int8 and one
//! scale; with it go the sums that offsets and minimums are multiplied with. What rounding left
//! over is quantised again as a second row, so that the products see about 15 bits: with 8 alone a
//! small model picks another first token in 4 of 100 places.

use crate::codes::{GROUP, OPERANDS};
use crate::isa::Isa;
use crate::simd::{self, Kernel, LANES, Simd};
use crate::threads::Pool;

/// In a group of a tile of R rows, in units of R dwords: the codes come first,
pub(crate) const SCALE: usize = OPERANDS;
/// then the f32 scale, the scale times the sum of the codes (of 32 columns, then of each 16),
pub(crate) const SUM: usize = SCALE + 1;
/// and minus the sum of the codes as i32 (of 32 columns, then of each 16).
pub(crate) const MINUS_CODES: usize = SUM + 3;
/// Dwords of a group and row.
pub(crate) const GROUP_DWORDS: usize = MINUS_CODES + 3;
/// Groups below this count as zero: the inverse of their scale would overflow.
const TINY: f32 = 1e-36;
/// Fewer rows than this are prepared on the calling thread.
const PARALLEL_ROWS_MIN: usize = 8;

/// `(first row, rows)` of the tiles of `rows` rows.
pub(crate) fn tiles(rows: usize, tile_rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let left = rows - first;
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
    /// Of each tile `[k / 32][GROUP_DWORDS][R]`; rows `2i` and `2i + 1` are row `i` and its rest.
    pub(crate) codes: Vec<i32>,
    /// Of each tile `[k rounded up to even][R]`.
    pub(crate) floats: Vec<f32>,
    /// Rows and their rests, `[2 * rows, k]`.
    rests: Vec<f32>,
}

impl Activation {
    /// Quantises `x [rows, k]` for integer weights.
    pub(crate) fn quantise(&mut self, (isa, pool): (Isa, &Pool), x: &[f32], k: usize) {
        self.add_rests(pool, x, k);
        let x = &self.rests;
        let (rows, row_len) = (x.len() / k, k / GROUP * GROUP_DWORDS);
        self.codes.resize(rows * row_len, 0);
        let tile_rows = isa.tile_rows();
        let part = |index: usize, out: &mut [i32]| {
            let rows = out.len() / row_len;
            for (first, len) in tiles(rows, tile_rows) {
                let x = &x[(index * tile_rows + first) * k..][..len * k];
                let out = &mut out[first * row_len..][..len * row_len];
                isa.run(Quantise { x, k, out });
            }
        };
        if rows < PARALLEL_ROWS_MIN {
            self.codes
                .chunks_mut(tile_rows * row_len)
                .enumerate()
                .for_each(|(i, out)| part(i, out));
        } else {
            pool.run_parts(&mut self.codes, tile_rows * row_len, part);
        }
    }

    /// Puts under each row what its int8 codes leave over.
    fn add_rests(&mut self, pool: &Pool, x: &[f32], k: usize) {
        self.rests.resize(2 * x.len(), 0.0);
        pool.run_parts(&mut self.rests, 2 * k, |row, out| {
            let (copy, rest) = out.split_at_mut(k);
            copy.copy_from_slice(&x[row * k..][..k]);
            rest.fill(0.0);
            for (x, rest) in copy.chunks_exact(GROUP).zip(rest.chunks_exact_mut(GROUP)) {
                let largest = x.iter().fold(0.0, |largest, x| x.abs().max(largest));
                let scale = largest / 127.0;
                let inverse = if largest > TINY { 127.0 / largest } else { 0.0 };
                for (x, rest) in x.iter().zip(rest) {
                    // Adding and taking away 1.5 * 2^23 rounds to the nearest even, as the
                    // conversion to codes does.
                    let code = (x * inverse + 12_582_912.0) - 12_582_912.0;
                    *rest = x - code * scale;
                }
            }
        });
    }

    /// Interleaves `x [rows, k]` for float weights.
    pub(crate) fn interleave(&mut self, (isa, pool): (Isa, &Pool), x: &[f32], k: usize) {
        let (rows, row_len) = (x.len() / k, k.next_multiple_of(2));
        self.floats.clear();
        self.floats.resize(rows * row_len, 0.0);
        let tile_rows = isa.tile_rows();
        pool.run_parts(&mut self.floats, tile_rows * row_len, |index, out| {
            for (first, len) in tiles(out.len() / row_len, tile_rows) {
                let x = &x[(index * tile_rows + first) * k..][..len * k];
                let out = &mut out[first * row_len..][..len * row_len];
                for (r, x) in x.chunks_exact(k).enumerate() {
                    for (i, x) in x.iter().enumerate() {
                        out[i * len + r] = *x;
                    }
                }
            }
        });
    }
}

struct Quantise<'a> {
    /// `[rows of the tile, k]`.
    x: &'a [f32],
    k: usize,
    out: &'a mut [i32],
}

impl Kernel for Quantise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.x.len() / self.k;
        for (r, x) in self.x.chunks_exact(self.k).enumerate() {
            // 0 for a finite row; infinities and NaN spoil all its scales, as they should.
            let mut spoil = s.splat(0.0);
            for x in x.as_chunks::<LANES>().0 {
                spoil = s.fma(s.load(x), s.splat(0.0), spoil);
            }
            let spoil = simd::sum(s, spoil);
            let groups = self.out.chunks_exact_mut(rows * GROUP_DWORDS);
            for (x, out) in x.chunks_exact(GROUP).zip(groups) {
                let (low, high) = x.split_at(LANES);
                let low = s.load(low.first_chunk().expect("half of a group"));
                let high = s.load(high.first_chunk().expect("half of a group"));
                let largest = s.highest(s.max(s.abs(low), s.abs(high)));
                let scale = largest / 127.0 + spoil;
                let inverse = s.splat(if largest > TINY { 127.0 / largest } else { 0.0 });
                let halves = [s.to_i8(s.mul(low, inverse)), s.to_i8(s.mul(high, inverse))];
                write_group(out, (rows, r), scale, &halves);
            }
        }
    }
}

#[inline(always)]
fn write_group(out: &mut [i32], (rows, r): (usize, usize), scale: f32, halves: &[[i8; LANES]; 2]) {
    let mut sums = [0; 2];
    for half in 0..2 {
        let codes = &halves[half];
        for v in 0..4 {
            let at = 4 * v;
            let bytes = [codes[at], codes[at + 1], codes[at + 2], codes[at + 3]];
            out[(4 * half + v) * rows + r] = i32::from_le_bytes(bytes.map(i8::cast_unsigned));
        }
        for code in codes {
            sums[half] += i32::from(*code);
        }
    }
    out[SCALE * rows + r] = scale.to_bits().cast_signed();
    for (i, sum) in [sums[0] + sums[1], sums[0], sums[1]].into_iter().enumerate() {
        out[(SUM + i) * rows + r] = (scale * sum as f32).to_bits().cast_signed();
        out[(MINUS_CODES + i) * rows + r] = -sum;
    }
}
