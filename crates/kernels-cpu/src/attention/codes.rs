//! Keys and values in Q8_0, read as they are kept.
//!
//! Keys meet queries as integers: a query's groups of 32 are quantised to 16 bits, as two signed
//! bytes, and each byte is multiplied with the codes of 16 positions at a time. Values are
//! converted to f32 on their way, and probabilities take their scales.

use super::floats::{Converted, accumulate};
use super::{BLOCK_TILES, Block, Cached, ROWS, Scores, prefetch};
use crate::kv::{CODES, Code, Geometry, OFFSET};
use crate::simd::{LANES, Line, Simd};

/// Keys and values in a line of codes: four columns of 16 positions.
const LINES: usize = CODES / 4;
/// Of a query's group: its largest value in codes of 16 bits, `127 << 8`.
const HIGHEST: f32 = 32_512.0;

/// Rows of queries in 16 bits, in tiles of up to [`ROWS`] as they are multiplied.
pub(crate) struct Queries {
    /// `[row tile][group][line][high bytes of each row, then low bytes]`.
    x: Vec<i32>,
    /// What takes the offset of the keys' codes out: `[row tile][group][high and low, by row]`.
    offsets: Vec<i32>,
    /// `[row tile][group][row]`.
    scales: Vec<f32>,
}

/// A group of a query row.
struct Group {
    high: [i8; CODES],
    low: [i8; CODES],
    scale: f32,
}

impl Group {
    /// `x = scale * (256 * high + low)`; what is no number stays none.
    fn new(x: &[f32]) -> Group {
        let larger = |max: f32, x: &f32| if x.abs() > max || x.is_nan() { x.abs() } else { max };
        let scale = x.iter().fold(0.0, larger) / HIGHEST;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let mut group = Group { high: [0; CODES], low: [0; CODES], scale };
        for (i, x) in x.iter().enumerate() {
            let code = (x * inverse).clamp(-HIGHEST, HIGHEST).round_ties_even() as i32;
            let high = (code + 128) >> 8;
            group.high[i] = high as i8;
            // -128 is nothing that [`Simd::dot_wide`] takes.
            group.low[i] = (code - (high << 8)).max(-127) as i8;
        }
        group
    }
}

impl Queries {
    fn new(q: &[f32], dim: usize) -> Queries {
        let mut queries = Queries { x: Vec::new(), offsets: Vec::new(), scales: Vec::new() };
        for rows in q.chunks(ROWS * dim) {
            for first in (0..dim).step_by(CODES) {
                let group = |row: &[f32]| Group::new(&row[first..][..CODES]);
                queries.push(&rows.chunks_exact(dim).map(group).collect::<Vec<Group>>());
            }
        }
        queries
    }

    fn push(&mut self, rows: &[Group]) {
        let parts = || rows.iter().map(|row| &row.high).chain(rows.iter().map(|row| &row.low));
        for line in 0..LINES {
            let dword = |codes: &[i8; CODES]| {
                let bytes = std::array::from_fn(|i| codes[4 * line + i].cast_unsigned());
                i32::from_le_bytes(bytes)
            };
            self.x.extend(parts().map(dword));
        }
        let sum = |codes: &[i8; CODES]| codes.iter().map(|code| i32::from(*code)).sum::<i32>();
        self.offsets.extend(parts().map(|codes| -i32::from(OFFSET) * sum(codes)));
        self.scales.extend(rows.iter().map(|row| row.scale));
    }
}

impl Cached for Code {
    // Integers are cheaper than any conversion.
    const DIRECT_ROWS: usize = usize::MAX;
    const HAS_SCALES: bool = true;
    type Queries = Queries;
    type Wide = Code;

    fn queries(q: Vec<f32>, dim: usize) -> Queries {
        Queries::new(&q, dim)
    }

    #[inline(always)]
    fn widen<'a, S: Simd>(
        _: S,
        block: &Block<'a, Code>,
        _: &'a mut Converted,
        _: Geometry,
    ) -> Block<'a, Code> {
        *block
    }

    #[inline(always)]
    fn scores<S: Simd, const R: usize>(
        s: S,
        out: &mut [Scores; R],
        (queries, row): (&Queries, usize),
        (block, next): (&Block<'_, Code>, Option<&Block<'_, Code>>),
        g: Geometry,
    ) {
        let groups = g.groups(g.head_dim_k);
        let first = row * groups;
        let x = &queries.x[first * 2 * LINES..][..R * groups * 2 * LINES];
        let offsets = &queries.offsets[2 * first..][..2 * R * groups];
        let scales = &queries.scales[first..][..R * groups];
        for tile in 0..BLOCK_TILES {
            if let Some(next) = next {
                prefetch(s, next.keys[tile]);
            }
            let keys = (bytemuck::cast_slice(block.keys[tile]), block.key_scales[tile]);
            match R {
                1 => products::<S, R, 2>(s, (out, tile), (x, offsets, scales), keys),
                2 => products::<S, R, 4>(s, (out, tile), (x, offsets, scales), keys),
                3 => products::<S, R, 6>(s, (out, tile), (x, offsets, scales), keys),
                _ => products::<S, R, 8>(s, (out, tile), (x, offsets, scales), keys),
            }
        }
    }

    #[inline(always)]
    fn weigh<S: Simd, const R: usize>(
        s: S,
        out: &mut [[f32; LANES]],
        probabilities: &[Scores; R],
        (block, next): (&Block<'_, Code>, Option<&Block<'_, Code>>),
        g: Geometry,
    ) {
        for group in 0..g.groups(g.head_dim_v) {
            let mut scaled = *probabilities;
            for (tile, scales) in block.value_scales.iter().enumerate() {
                let scales = s.load_f16(&scales[group]);
                for scaled in &mut scaled {
                    let product = s.mul(s.load(&scaled[tile]), scales);
                    s.store(&mut scaled[tile], product);
                }
            }
            let tile = group * (CODES / LANES);
            for (i, run) in block.values.iter().enumerate().take_while(|(_, run)| run.len > 0) {
                if let Some(next) = next {
                    prefetch(s, next.values[i].tile(tile));
                    prefetch(s, next.values[i].tile(tile + 1));
                }
                let left = run.weights(&scaled);
                let right = [run.tile(tile), run.tile(tile + 1)];
                if 2 * R <= S::SUMS {
                    accumulate::<S, Code, R, 2>(s, (out, tile), (&left, &right), None);
                } else {
                    accumulate::<S, Code, R, 1>(s, (out, tile), (&left, &[right[0]]), None);
                    accumulate::<S, Code, R, 1>(s, (out, tile + 1), (&left, &[right[1]]), None);
                }
            }
        }
    }
}

/// Of `R` rows and a tile of keys, whose rows take `N = 2 R` integer products.
#[inline(always)]
fn products<S: Simd, const R: usize, const N: usize>(
    s: S,
    (out, tile): (&mut [Scores; R], usize),
    (x, offsets, scales): (&[i32], &[i32], &[f32]),
    (lines, key_scales): (&[Line], &[[u16; LANES]]),
) {
    let mut sums = [s.splat(0.0); R];
    for (group, key_scales) in key_scales.iter().enumerate() {
        let mut codes = [s.line(&lines[group * LINES]); LINES];
        for (codes, line) in codes.iter_mut().zip(&lines[group * LINES..][..LINES]) {
            *codes = s.line(line);
        }
        let mut whole = [s.splat_i(0); N];
        if !S::LOWERS {
            for (whole, offset) in whole.iter_mut().zip(&offsets[group * N..][..N]) {
                *whole = s.splat_i(*offset);
            }
        }
        s.dots::<N, LINES>(&mut whole, (&codes, u8::MAX), &x[group * N * LINES..], u8::MAX);
        let key_scales = s.load_f16(key_scales);
        for r in 0..R {
            let product = s.add_i(s.shl_i(whole[r], 8), whole[R + r]);
            let product = s.mul(s.to_f32(product), s.splat(scales[group * R + r]));
            sums[r] = s.fma(product, key_scales, sums[r]);
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        s.store(&mut out[tile], sum);
    }
}
