//! With AMX: weights and activations are rounded to bf16, and tiles add up all columns in f32.
//!
//! Integers would have to leave the tiles for every scale. A prefill row goes this way however few
//! there are, so that its bits never depend on what else is in a step.
#![expect(unsafe_code, reason = "calls of functions with target features; intrinsics of loads")]

use std::arch::asm;
use std::arch::x86_64 as x86;
use std::arch::x86_64::{__m512, __m512i};
use std::cell::RefCell;
use std::ops::Range;

use bytemuck::Zeroable;
use half::{bf16, f16};

use crate::activation::{Rows, WIDE_ROWS};
use crate::blocked::hand_out;
use crate::codes::{Codes, GROUP, OPERANDS};
use crate::formats::{Format, with_format};
use crate::matmul::Matrix;
use crate::packed::Floats;
use crate::scales::Scales;
use crate::simd::amx::{Amx, Tiles};
use crate::simd::avx512::Avx512;
use crate::simd::{LANES, Line, Simd};
use crate::threads::Pool;

/// Activation rows whose sums are held at a time: whole pairs of row tiles.
const ROWS: usize = 512;
/// Tiles of weights, and of rows, that are multiplied with each other in one go.
const PAIR: usize = 2;
const PAIR_ROWS: usize = PAIR * WIDE_ROWS;
/// Lines between the sums of two weight tiles: without them those of one row fall to the same few
/// places of the cache.
const GAP: usize = WIDE_ROWS;
/// Lines of a group of two weight tiles.
const PAIR_LINES: usize = PAIR * GROUP / 2;
/// Groups of 32 columns that are multiplied before the next rows.
const BLOCK_GROUPS: usize = 8;
/// So many groups before it is unpacked one is asked for, where they are one stream.
const AHEAD_GROUPS: usize = 8;

/// Prefill rows as bf16; the memory is used again and again.
#[derive(Default)]
pub(super) struct RowTiles {
    /// Of each pair of row tiles `[groups][PAIR][WIDE_ROWS]`: a line is 32 columns of a row. Rows
    /// past the last and columns past `k` are zero.
    lines: Vec<Line>,
    /// First row of each run, and of its lines' pairs.
    starts: Vec<(usize, usize)>,
    groups: usize,
}

impl RowTiles {
    /// Takes all runs of `rows`, each from a tile of its own on.
    pub(super) fn fill(&mut self, (amx, pool): (Amx, &Pool), rows: &Rows<'_>) {
        self.groups = rows.k.div_ceil(GROUP);
        self.starts.clear();
        let mut parts = Vec::new();
        for run in rows.runs {
            self.starts.push((run.start, parts.len()));
            let firsts = run.clone().step_by(PAIR_ROWS);
            parts.extend(firsts.map(|first| first..run.end.min(first + PAIR_ROWS)));
        }
        let pair = self.groups * PAIR_ROWS;
        self.lines.resize(parts.len() * pair, Line::zeroed());
        let mut parts: Vec<(Range<usize>, &mut [Line])> =
            parts.into_iter().zip(self.lines.chunks_exact_mut(pair)).collect();
        pool.run_parts(&mut parts, 1, |_, parts| {
            for (part, lines) in parts {
                for r in 0..PAIR_ROWS {
                    let row = part.start + r;
                    let x = if row < part.end { (rows.row)(row) } else { &[] };
                    // SAFETY: `Amx` is also proof of these features.
                    unsafe { round_row(amx.simd(), x, (lines, r)) };
                }
            }
        });
    }

    /// Pairs of row tiles from `row` of a run on, for some groups.
    fn pair(&self, row: usize, groups: &Range<usize>) -> &[Line] {
        let run = self.starts.partition_point(|(start, _)| *start <= row) - 1;
        let (start, pairs) = self.starts[run];
        let first = (pairs + (row - start) / PAIR_ROWS) * self.groups;
        &self.lines[(first + groups.start) * PAIR_ROWS..(first + groups.end) * PAIR_ROWS]
    }
}

/// Memory of a thread that the next call can use again.
#[derive(Default)]
struct Scratch {
    /// `[tiles][rows and a gap]`, whole pairs of both.
    sums: Vec<Line>,
    /// `[pairs of tiles][BLOCK_GROUPS][PAIR][GROUP / 2]`: a line is two columns of 16 weight rows.
    weights: Vec<Line>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Gives `each` the products of `tiles` of weights with `rows` of a run of `x`, some rows at a
/// time: the first of them, then a slice for each tile.
pub(super) fn multiply(
    amx: Amx,
    tiles: &[(&Matrix<'_>, usize)],
    (x, rows): (&RowTiles, Range<usize>),
    mut each: impl FnMut(usize, &mut [&mut [[f32; LANES]]]),
) {
    SCRATCH.with_borrow_mut(|scratch| {
        for first in rows.clone().step_by(ROWS) {
            let block = first..(first + ROWS).min(rows.end);
            let held = held_lines(&block);
            scratch.multiply(amx, tiles, (x, &block));
            let sums = &mut scratch.sums[..tiles.len() * held];
            hand_out((sums, held), block, &mut each);
        }
    });
}

impl Scratch {
    fn multiply(
        &mut self,
        amx: Amx,
        tiles: &[(&Matrix<'_>, usize)],
        (x, rows): (&RowTiles, &Range<usize>),
    ) {
        let (pairs, held) = (tiles.len().div_ceil(PAIR), held_lines(rows));
        let sums = PAIR * pairs * held;
        self.sums.resize(sums.max(self.sums.len()), Line::zeroed());
        let block = BLOCK_GROUPS * PAIR_LINES;
        let is_few = rows.len() <= PAIR_ROWS;
        let weights = if is_few { 2 * PAIR_LINES } else { pairs * block };
        self.weights.resize(weights.max(self.weights.len()), Line::zeroed());
        // As many of each matrix as the next call will have.
        let apart = tiles.iter().filter(|(weight, _)| std::ptr::eq(*weight, tiles[0].0)).count();
        let tiles: Vec<Unpacking<'_>> = tiles.iter().map(Unpacking::new).collect();
        let mut registers = Tiles::new(amx);
        registers.set_columns(2 * GROUP);
        if is_few {
            return self.multiply_few((amx, &registers), &tiles, (x, rows));
        }
        for first in (0..x.groups).step_by(BLOCK_GROUPS) {
            let groups = first..(first + BLOCK_GROUPS).min(x.groups);
            for (i, tile) in tiles.iter().enumerate() {
                for g in groups.clone() {
                    // The same tile's next block; after the last one, that of those after these.
                    let next = match groups.end < x.groups {
                        true => g + BLOCK_GROUPS,
                        false => apart * x.groups + g - first,
                    };
                    let at = i / PAIR * block + place(g - first, GROUP / 2, i % PAIR, 0);
                    let out = self.weights[at..].first_chunk_mut().expect("a block");
                    tile.unpack(amx, (g, next), out);
                }
            }
            for row in rows.clone().step_by(PAIR_ROWS) {
                let tiles = x.pair(row, &groups);
                // While these rows are multiplied, the next ones come nearer.
                let next = row + PAIR_ROWS;
                let next =
                    if next < rows.end { x.pair(next, &groups).as_ptr() } else { tiles.as_ptr() };
                for pair in 0..pairs {
                    let weights = &self.weights[pair * block..][..groups.len() * PAIR * GROUP / 2];
                    let (one, other) =
                        self.sums[PAIR * pair * held..][..PAIR * held].split_at_mut(held);
                    let at = row - rows.start;
                    let sums = [one, other].map(|sums| {
                        sums[at..].first_chunk_mut().expect("whole pairs of row tiles")
                    });
                    let ahead = next.wrapping_add(pair * tiles.len() / 8 % tiles.len());
                    registers.add_products((sums, first > 0), (tiles, weights), ahead);
                }
            }
        }
    }

    /// For rows of one pair of tiles, whose sums stay in registers: two weight tiles are unpacked
    /// from their first column to the last, as they come from memory, and while a group is unpacked
    /// the one before it is multiplied. The bits are those of the other way.
    fn multiply_few(
        &mut self,
        (amx, registers): (Amx, &Tiles),
        tiles: &[Unpacking<'_>],
        (x, rows): (&RowTiles, &Range<usize>),
    ) {
        let held = held_lines(rows);
        let lines = x.pair(rows.start, &(0..x.groups));
        for (tiles, sums) in tiles.chunks(PAIR).zip(self.sums.chunks_exact_mut(PAIR * held)) {
            registers.zero_sums();
            for g in 0..=x.groups {
                let (now, before) = self.weights[..2 * PAIR_LINES].split_at_mut(PAIR_LINES);
                let (now, before) = if g % 2 == 0 { (now, before) } else { (before, now) };
                if g < x.groups {
                    let next = g + AHEAD_GROUPS;
                    // After its last group the next tile is the other of the pair.
                    let next = if next < x.groups { next } else { next + x.groups };
                    for (tile, out) in tiles.iter().zip(now.as_chunks_mut().0) {
                        tile.unpack(amx, (g, next), out);
                    }
                }
                if g > 0 {
                    let x = lines[(g - 1) * PAIR_ROWS..].first_chunk().expect("a group");
                    registers.add_group(x, before.first_chunk().expect("a pair"));
                }
            }
            let (one, other) = sums.split_at_mut(held);
            let sums =
                [one, other].map(|sums| sums.first_chunk_mut().expect("a pair of row tiles"));
            registers.store_sums(sums);
        }
    }
}

/// Lines from one tile's sums to the next.
fn held_lines(rows: &Range<usize>) -> usize {
    rows.len().next_multiple_of(PAIR_ROWS) + GAP
}

/// Where line `r` of group `g` goes in lines of pairs of tiles that have `per_tile` lines.
fn place(g: usize, per_tile: usize, half: usize, r: usize) -> usize {
    (g * PAIR + half) * per_tile + r
}

/// A row as bf16 into lines `r` of a pair of row tiles; an empty one is zeros.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,avx2")]
fn round_row(s: Avx512, x: &[f32], (lines, r): (&mut [Line], usize)) {
    let (half, r) = (r / WIDE_ROWS, r % WIDE_ROWS);
    let groups = lines.len() / PAIR_ROWS;
    let (whole, rest) = x.as_chunks::<GROUP>();
    for g in 0..groups {
        let line = &mut lines[place(g, WIDE_ROWS, half, r)];
        if let Some(x) = whole.get(g) {
            round_group(s, x, line);
            continue;
        }
        let mut padded = [0.0; GROUP];
        if g == whole.len() {
            padded[..rest.len()].copy_from_slice(rest);
        }
        round_group(s, &padded, line);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,avx2")]
pub(crate) fn round_group(s: Avx512, x: &[f32; GROUP], line: &mut Line) {
    let halves: &mut [[u16; LANES]; 2] = bytemuck::cast_mut(line);
    let (low, high) = x.split_at(LANES);
    for (x, out) in [low, high].into_iter().zip(halves) {
        let x = s.load(x.first_chunk().expect("half of a group"));
        let bits = x86::_mm512_castps_si512(x);
        // To the nearest, ties to even; what is not a number stays so.
        let odd = x86::_mm512_and_si512(x86::_mm512_srli_epi32::<16>(bits), splat(1));
        let up = x86::_mm512_add_epi32(bits, x86::_mm512_add_epi32(odd, splat(0x7fff)));
        let nan = x86::_mm512_cmp_ps_mask::<{ x86::_CMP_UNORD_Q }>(x, x);
        let rounded = x86::_mm512_mask_mov_epi32(up, nan, splat(0x7fc0_0000));
        let words = x86::_mm512_cvtepi32_epi16(x86::_mm512_srli_epi32::<16>(rounded));
        // SAFETY: writes the 32 bytes of `out`.
        unsafe { x86::_mm256_storeu_si256(out.as_mut_ptr().cast(), words) };
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(x: i32) -> __m512i {
    x86::_mm512_set1_epi32(x)
}

/// Two columns side by side as bf16, to the nearest.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn side_by_side(low: __m512, high: __m512) -> __m512i {
    let half = splat(0x8000);
    let low = x86::_mm512_add_epi32(x86::_mm512_castps_si512(low), half);
    let high = x86::_mm512_add_epi32(x86::_mm512_castps_si512(high), half);
    // The high bytes of `low` where the low ones of `high` were.
    shuffled_into(high, 0x3333_3333_3333_3333, low, in_dwords(0x0302))
}

/// Bytes of `x` at `places` of their 16 into those of `to` that `mask` has. The compiler would make
/// two instructions of the one that does it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn shuffled_into(mut to: __m512i, mask: u64, x: __m512i, places: __m512i) -> __m512i {
    // SAFETY: it works on registers alone.
    unsafe {
        asm!(
            "vpshufb {to}{{{mask}}}, {x}, {places}",
            to = inout(zmm_reg) to,
            mask = in(kreg) mask,
            x = in(zmm_reg) x,
            places = in(zmm_reg) places,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    to
}

/// For shuffles within dwords: the places of bytes in the first one.
#[inline]
#[target_feature(enable = "avx512f")]
fn in_dwords(places: i32) -> __m512i {
    let of = |dword: i32| places + 0x0404_0404 * dword;
    x86::_mm512_broadcast_i32x4(x86::_mm_setr_epi32(of(0), of(1), of(2), of(3)))
}

/// A weight tile that becomes bf16, one group of columns after the other.
struct Unpacking<'a> {
    lines: &'a [Line],
    scales: &'a [u8],
    k: usize,
    group: UnpackGroup,
}

/// Unpacks the first of two groups and asks for the other, which may be another tile's.
type UnpackGroup = unsafe fn(Avx512, &Unpacking<'_>, (usize, usize), &mut [Line; GROUP / 2]);

impl<'a> Unpacking<'a> {
    fn new((weight, tile): &(&'a Matrix<'_>, usize)) -> Unpacking<'a> {
        let (lines, scales) = weight.packed.tile(*tile);
        let group: UnpackGroup = with_format!(
            weight.format,
            F => unpack_codes::<F>,
            match Floats::of(weight.format) {
                Floats::F16 => unpack_floats::<f16>,
                Floats::Bf16 => unpack_floats::<bf16>,
                Floats::F32 | Floats::Blocks(_) => unreachable!("f32 weights are not rounded"),
            }
        );
        Unpacking { lines, scales, k: weight.k, group }
    }

    #[inline]
    fn unpack(&self, amx: Amx, groups: (usize, usize), out: &mut [Line; GROUP / 2]) {
        // SAFETY: `Amx` is also proof of these features.
        unsafe { (self.group)(amx.simd(), self, groups, out) };
    }
}

/// Asks for lines `at..at + count` of what may be larger than `lines`.
#[inline]
#[target_feature(enable = "avx512f")]
fn fetch<T>(lines: &[T], at: usize, count: usize) {
    for line in (0..count * size_of::<T>()).step_by(size_of::<Line>()) {
        let at = lines.as_ptr().wrapping_add(at).wrapping_byte_add(line);
        x86::_mm_prefetch::<{ x86::_MM_HINT_T1 }>(at.cast());
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,avx2")]
fn unpack_codes<F: Format>(
    s: Avx512,
    of: &Unpacking<'_>,
    (g, next): (usize, usize),
    out: &mut [Line; GROUP / 2],
) {
    fetch(of.lines, next * F::Codes::LINES, F::Codes::LINES);
    if next.is_multiple_of(F::Scales::SUPER) {
        fetch(of.scales, next / F::Scales::SUPER * F::Scales::BYTES, F::Scales::BYTES);
    }
    let lines = &of.lines[g * F::Codes::LINES..][..F::Codes::LINES];
    let block = &of.scales[g / F::Scales::SUPER * F::Scales::BYTES..][..F::Scales::BYTES];
    let bias = Bias::of(F::Codes::MOST);
    let offset = s.splat(-((1_u32 << F::Scales::SHIFT) as f32) - bias.value);
    let head = F::Scales::head(s, block);
    let codes = F::Codes::unpack(s, lines);
    for part in 0..F::Scales::HALVES {
        let index = g % F::Scales::SUPER * F::Scales::HALVES + part;
        let (scale, min) = F::Scales::group(s, head, block, index);
        let min = match F::Scales::MIN {
            true => s.fma(s.splat(-bias.value), scale, min),
            false => s.mul(offset, scale),
        };
        let count = OPERANDS / F::Scales::HALVES;
        for v in part * count..(part + 1) * count {
            let column = |column: i32| s.fma(bias.column(codes[v], column), scale, min);
            s.store_line(&mut out[2 * v], side_by_side(column(0), column(1)));
            s.store_line(&mut out[2 * v + 1], side_by_side(column(2), column(3)));
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,avx2")]
fn unpack_floats<T: crate::floats::Column>(
    s: Avx512,
    of: &Unpacking<'_>,
    (g, next): (usize, usize),
    out: &mut [Line; GROUP / 2],
) {
    fetch(of.lines, next * GROUP / 2, GROUP / 2);
    let columns: &[[T; LANES]] = bytemuck::cast_slice(of.lines);
    // The last line may have more columns than the matrix.
    let columns = &columns[..of.k];
    let at = |column: usize| match columns.get(g * GROUP + column) {
        Some(column) => T::load(s, column),
        None => s.splat(0.0),
    };
    for (pair, line) in out.iter_mut().enumerate() {
        s.store_line(line, side_by_side(at(2 * pair), at(2 * pair + 1)));
    }
}

/// A code becomes a float without conversion: among the bits of a power of two, right above those
/// that stand for fractions, it is added to that power.
#[derive(Clone, Copy)]
struct Bias {
    value: f32,
    /// The byte where codes go.
    place: i32,
}

impl Bias {
    /// For codes that are no larger.
    const fn of(most: u8) -> Bias {
        match most < 128 {
            true => Bias { value: 128.0, place: 2 },
            false => Bias { value: 32_768.0, place: 1 },
        }
    }

    /// Byte `column` of each dword, added to it.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn column(self, codes: __m512i, column: i32) -> __m512 {
        let power = splat(self.value.to_bits().cast_signed());
        let shift = 8 * self.place;
        if column == self.place {
            // codes & mask | power
            let mask = splat(0xff << shift);
            let bits = x86::_mm512_ternarylogic_epi32::<0xf8>(power, codes, mask);
            return x86::_mm512_castsi512_ps(bits);
        }
        let mask = 0x1111_1111_1111_1111 << self.place;
        let bits = shuffled_into(power, mask, codes, in_dwords(column << shift));
        x86::_mm512_castsi512_ps(bits)
    }
}
