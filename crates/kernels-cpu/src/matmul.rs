//! Matrix products, alone and as a gated unit: a micro-kernel of 16 weight rows by 1, 2, 4 or 8
//! activation rows.
//!
//! **Invariant:** each output is one chain over the groups of its row, in order, with the same
//! operations in every tile size; so a row's result never depends on its neighbours or threads.
#![expect(unsafe_code, reason = "threads write disjoint columns of one output")]

use std::marker::PhantomData;
use std::ops::Range;

use quant::FormatId;

use crate::activation::{
    self, Activation, FINE_BITS, GROUP_DWORDS, MINUS_CODES, SCALE, SUM, tiles,
};
use crate::blocked;
use crate::codes::{Codes, OPERANDS};
use crate::floats;
use crate::formats::{Format, is_quantised, with_format};
use crate::gate::Gate;
use crate::isa::Isa;
use crate::packed::{Floats, Packed};
use crate::scales::Scales;
use crate::simd::{Kernel, LANES, Line, ROWS_MAX, Simd};
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
}

/// `outs[j] = x * weights[j]^T` for a prepared `x` of `rows` rows.
pub(crate) fn matmul(
    (isa, pool): (Isa, &Pool),
    outs: &mut [&mut [f32]],
    (x, rows): (&Activation, usize),
    weights: &[Matrix<'_>],
) {
    let outs: Vec<Parts<'_, f32>> = outs.iter_mut().map(|out| Parts::new(out)).collect();
    let mut chunks = Vec::new();
    for (j, weight) in weights.iter().enumerate() {
        let step = tiles_per_chunk(weight, pool, blocked::rows(isa, weight.format, rows));
        chunks.extend((0..weight.packed.tiles()).step_by(step).map(|first| (j, first, step)));
    }
    pool.run(chunks.len(), |chunk| {
        let (j, first, step) = chunks[chunk];
        let weight = &weights[j];
        let last = (first + step).min(weight.packed.tiles());
        let many = blocked::rows(isa, weight.format, rows);
        if many > 0 {
            let tiles: Vec<_> = (first..last).map(|tile| (weight, tile)).collect();
            blocked::multiply(isa, &tiles, (x, many), |row, sums| {
                for (tile, sums) in (first..last).zip(sums) {
                    write(&outs[j], (row, tile), weight.n, sums);
                }
            });
        }
        for (row, len) in tiles(many..rows, isa.float_tile_rows()) {
            if len == 1 {
                for tiles in abreast(first..last) {
                    let mut out = [[0.0; LANES]; ABREAST];
                    let out = &mut out[..tiles.len()];
                    row_products(isa, weight, tiles.start, (x, row), out);
                    for (tile, out) in tiles.zip(out.chunks(1)) {
                        write(&outs[j], (row, tile), weight.n, out);
                    }
                }
                continue;
            }
            for tile in first..last {
                let mut out = [[0.0; LANES]; ROWS_MAX];
                product(isa, weight, tile, (x, row), &mut out[..len]);
                write(&outs[j], (row, tile), weight.n, &out[..len]);
            }
        }
    });
}

/// `out = activation(x * gate^T, x * up^T)` for weights that want `x` prepared alike.
pub(crate) fn gated(
    (isa, pool): (Isa, &Pool),
    out: &mut [f32],
    (x, rows): (&Activation, usize),
    ([gate, up], activation): ([Matrix<'_>; 2], tensor::Activation),
) {
    let parts = Parts::new(out);
    let many = blocked::rows(isa, gate.format, rows);
    let (tile_count, step) = (gate.packed.tiles(), tiles_per_chunk(&gate, pool, many));
    pool.run(tile_count.div_ceil(step), |chunk| {
        let first = chunk * step;
        let last = (first + step).min(tile_count);
        if many > 0 {
            let both = |tile| [(&gate, tile), (&up, tile)];
            let tiles: Vec<_> = (first..last).flat_map(both).collect();
            blocked::multiply(isa, &tiles, (x, many), |row, sums| {
                for (tile, pair) in (first..last).zip(sums.chunks_exact_mut(2)) {
                    let [gates, ups] = pair else { continue };
                    isa.run(Gate { activation, gates, ups });
                    write(&parts, (row, tile), gate.n, gates);
                }
            });
        }
        for (row, len) in tiles(many..rows, isa.float_tile_rows()) {
            if len == 1 {
                for tiles in abreast(first..last) {
                    let mut sums = [[[0.0; LANES]; ABREAST]; 2];
                    let [gates, ups] = sums.each_mut().map(|sums| &mut sums[..tiles.len()]);
                    row_products(isa, &gate, tiles.start, (x, row), gates);
                    row_products(isa, &up, tiles.start, (x, row), ups);
                    isa.run(Gate { activation, gates, ups });
                    for (tile, gates) in tiles.zip(gates.chunks(1)) {
                        write(&parts, (row, tile), gate.n, gates);
                    }
                }
                continue;
            }
            for tile in first..last {
                let mut gates = [[0.0; LANES]; ROWS_MAX];
                let mut ups = [[0.0; LANES]; ROWS_MAX];
                product(isa, &gate, tile, (x, row), &mut gates[..len]);
                product(isa, &up, tile, (x, row), &mut ups[..len]);
                isa.run(Gate { activation, gates: &mut gates[..len], ups: &ups[..len] });
                write(&parts, (row, tile), gate.n, &gates[..len]);
            }
        }
    });
}

/// Weight tiles that a thread takes at a time when `many` rows go in blocks.
fn tiles_per_chunk(weight: &Matrix<'_>, pool: &Pool, many: usize) -> usize {
    let fair = weight.packed.tiles().div_ceil(4 * pool.threads());
    let fit = (CHUNK_BYTES / weight.packed.tile_bytes()).max(ABREAST);
    let most = if many > 0 { blocked::TILES } else { fit };
    most.min(fair).max(1)
}

fn write(out: &Parts<'_, f32>, (row, tile): (usize, usize), n: usize, values: &[[f32; LANES]]) {
    let first = tile * LANES;
    let len = LANES.min(n - first);
    for (r, values) in values.iter().enumerate() {
        // SAFETY: each tile of columns belongs to one chunk, and the slice ends in this function.
        let part = unsafe { out.slice((row + r) * n + first, len) };
        // A copy of known length is two instructions, and else a call.
        match <&mut [f32; LANES]>::try_from(&mut *part) {
            Ok(whole) => *whole = *values,
            Err(_) => part.copy_from_slice(&values[..len]),
        }
    }
}

/// One tile of `weight` times the rows of one tile of `x` that starts at `row`.
fn product(
    isa: Isa,
    weight: &Matrix<'_>,
    tile: usize,
    (x, row): (&Activation, usize),
    out: &mut [[f32; LANES]],
) {
    let (lines, scales) = weight.packed.tile(tile);
    // The first rows bring a tile's weights into the cache for all others.
    let ahead = row == 0;
    if is_quantised(weight.format) {
        let x = x.codes(weight.k, (row, out.len()));
        with_format!(weight.format, F => integers::<F>(isa, (lines, scales, ahead), x, out), ());
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

/// The tiles of `weight` from `first` times one row of `x`.
fn row_products(
    isa: Isa,
    weight: &Matrix<'_>,
    first: usize,
    (x, row): (&Activation, usize),
    out: &mut [[f32; LANES]],
) {
    let whole = <&mut [[f32; LANES]; ABREAST]>::try_from(&mut *out);
    if let Ok(out) = whole {
        let tiles = std::array::from_fn(|i| weight.packed.tile(first + i));
        with_format!(weight.format, F => {
            let x = x.codes(weight.k, (row, 1));
            isa.run(Abreast { format: PhantomData::<F>, tiles, x, out });
        }, {
            let (kind, x) = (Floats::of(weight.format), x.floats(weight.k, (row, 1)));
            isa.run(floats::Abreast { kind, lines: tiles.map(|tile| tile.0), x, out });
        });
        return;
    }
    for (i, out) in out.chunks_mut(1).enumerate() {
        product(isa, weight, first + i, (x, row), out);
    }
}

/// Some weight tiles times one row.
struct Abreast<'a, F> {
    format: PhantomData<F>,
    /// Lines and scales of each.
    tiles: [(&'a [Line], &'a [u8]); ABREAST],
    x: activation::Codes<'a>,
    out: &'a mut [[f32; LANES]; ABREAST],
}

impl<F: Format> Kernel for Abreast<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let fits = F::Scales::MIN || self.x.shift == F::Scales::SHIFT;
        assert!(fits, "activations prepared for other weights");
        let (size, groups) = (F::Codes::LINES, self.x.fine.len());
        let mut sums = [[s.splat(0.0)]; ABREAST];
        let mut at = 0;
        while at < groups {
            let bytes = at / F::Scales::SUPER * F::Scales::BYTES;
            let mut blocks = [&[][..]; ABREAST];
            let mut heads = [(s.splat(0.0), s.splat(0.0)); ABREAST];
            for t in 0..ABREAST {
                blocks[t] = &self.tiles[t].1[bytes..][..F::Scales::BYTES];
                heads[t] = F::Scales::head(s, blocks[t]);
            }
            for g in 0..F::Scales::SUPER {
                let highs = &self.x.highs[at * GROUP_DWORDS..][..GROUP_DWORDS];
                let lows = &self.x.lows[at * OPERANDS..][..OPERANDS];
                let x = Group { highs, lows, fine: self.x.fine[at] };
                for t in 0..ABREAST {
                    let lines = &self.tiles[t].0[at * size..][..size];
                    ask_ahead(s, lines);
                    let codes = F::Codes::unpack(s, lines);
                    let scales = (heads[t], blocks[t], g * F::Scales::HALVES);
                    add_group::<S, F, 1>(s, &mut sums[t], &x, &codes, scales);
                }
                at += 1;
            }
        }
        for (out, [sum]) in self.out.iter_mut().zip(sums) {
            s.store(out, sum);
        }
    }
}

fn integers<F: Format>(
    isa: Isa,
    (lines, scales, ahead): (&[Line], &[u8], bool),
    x: activation::Codes<'_>,
    out: &mut [[f32; LANES]],
) {
    macro_rules! run {
        ($rows:literal) => {{
            let tile = Integers::<F, F::Codes, $rows>::new(lines, scales, x, out);
            isa.run(Integers { ahead, ..tile })
        }};
    }
    match out.len() {
        1 => run!(1),
        2 => run!(2),
        4 => run!(4),
        _ => run!(8),
    }
}

/// A weight tile, or some of its groups, times a tile of R rows; its codes are kept as `C` does.
pub(crate) struct Integers<'a, F, C, const R: usize> {
    kinds: PhantomData<(F, C)>,
    lines: &'a [Line],
    scales: &'a [u8],
    ahead: bool,
    x: activation::Codes<'a>,
    /// What the products are added to.
    out: &'a mut [[f32; LANES]],
}

impl<'a, F, C, const R: usize> Integers<'a, F, C, R> {
    pub(crate) fn new(
        lines: &'a [Line],
        scales: &'a [u8],
        x: activation::Codes<'a>,
        out: &'a mut [[f32; LANES]],
    ) -> Integers<'a, F, C, R> {
        Integers { kinds: PhantomData, lines, scales, ahead: false, x, out }
    }
}

impl<F: Format, C: Codes, const R: usize> Kernel for Integers<'_, F, C, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(R <= S::ROWS && self.out.len() == R, "a tile that this variant takes");
        let fits = F::Scales::MIN || self.x.shift == F::Scales::SHIFT;
        assert!(fits, "activations prepared for other weights");
        let mut sums = [s.splat(0.0); R];
        for (r, sum) in sums.iter_mut().enumerate() {
            *sum = s.load(&self.out[r]);
        }
        let mut lines = self.lines.chunks_exact(C::LINES);
        let mut groups = 0..self.x.fine.len();
        for block in self.scales.chunks_exact(F::Scales::BYTES) {
            let head = F::Scales::head(s, block);
            for g in 0..F::Scales::SUPER {
                // By index: the steps of a zip of three are not always inlined.
                let (Some(lines), Some(at)) = (lines.next(), groups.next()) else {
                    break;
                };
                let highs = &self.x.highs[at * GROUP_DWORDS * R..][..GROUP_DWORDS * R];
                let lows = &self.x.lows[at * OPERANDS * R..][..OPERANDS * R];
                let fine = self.x.fine[at];
                if self.ahead {
                    ask_ahead(s, lines);
                }
                let codes = C::unpack(s, lines);
                let x = Group { highs, lows, fine };
                let index = g * F::Scales::HALVES;
                add_group::<S, F, R>(s, &mut sums, &x, &codes, (head, block, index));
            }
        }
        for (out, sum) in self.out.iter_mut().zip(sums) {
            s.store(out, sum);
        }
    }
}

/// Asks for the lines that come a while after these, in this tile or the next.
#[inline(always)]
fn ask_ahead<S: Simd>(s: S, lines: &[Line]) {
    for line in lines {
        s.prefetch(std::ptr::from_ref(line).wrapping_add(AHEAD_LINES).cast());
    }
}

/// A tile's activations of one group, or of the half of it that is under one scale.
struct Group<'a> {
    /// `[GROUP_DWORDS][R]`.
    highs: &'a [i32],
    /// `[OPERANDS][R]`.
    lows: &'a [i32],
    fine: u8,
}

impl Group<'_> {
    /// The float at `index` of what comes with the high bytes.
    #[inline(always)]
    fn number<S: Simd>(&self, s: S, index: usize) -> S::F {
        s.splat(f32::from_bits(self.highs[index].cast_unsigned()))
    }
}

/// `sums += scale * (codes . x) + min * x` for the columns of a group.
#[inline(always)]
fn add_group<S: Simd, F: Format, const R: usize>(
    s: S,
    sums: &mut [S::F; R],
    x: &Group<'_>,
    codes: &[S::B; OPERANDS],
    (head, block, index): ((S::F, S::F), &[u8], usize),
) {
    // Of the second half only when the first is done: few registers must hold them.
    let (scale, min) = F::Scales::group(s, head, block, index);
    if F::Scales::HALVES == 1 {
        let dots = dots_under::<S, F, R, OPERANDS>(s, x, codes, 0);
        for (r, sum) in sums.iter_mut().enumerate() {
            let scale = s.mul(scale, x.number(s, SCALE * R + r));
            *sum = s.fma(s.to_f32(dots[r]), scale, *sum);
        }
        add_minimums::<S, F, R>(s, sums, (x, 0), min);
    } else {
        let [low, high]: [&[S::B; OPERANDS / 2]; 2] =
            [codes.first_chunk().expect("half"), codes.last_chunk().expect("half")];
        let mut terms = [s.splat(0.0); R];
        let dots = dots_under::<S, F, R, { OPERANDS / 2 }>(s, x, low, 0);
        for (r, term) in terms.iter_mut().enumerate() {
            *term = s.mul(s.to_f32(dots[r]), scale);
        }
        let (scale, high_min) = F::Scales::group(s, head, block, index + 1);
        let dots = dots_under::<S, F, R, { OPERANDS / 2 }>(s, x, high, 1);
        for (r, sum) in sums.iter_mut().enumerate() {
            let term = s.fma(s.to_f32(dots[r]), scale, terms[r]);
            *sum = s.fma(term, x.number(s, SCALE * R + r), *sum);
        }
        add_minimums::<S, F, R>(s, sums, (x, 0), min);
        add_minimums::<S, F, R>(s, sums, (x, 1), high_min);
    }
}

/// `sums += min * x` of the columns under scale `half`, where there are minimums.
#[inline(always)]
fn add_minimums<S: Simd, F: Format, const R: usize>(
    s: S,
    sums: &mut [S::F; R],
    (x, half): (&Group<'_>, usize),
    min: S::F,
) {
    if F::Scales::MIN {
        let first = (SUM + part(F::Scales::HALVES, half)) * R;
        for (r, sum) in sums.iter_mut().enumerate() {
            *sum = s.fma(min, x.number(s, first + r), *sum);
        }
    }
}

/// Which of a group's sums belong to a scale: those of the whole group, or of a half of it.
fn part(halves: usize, half: usize) -> usize {
    if halves == 1 { 0 } else { 1 + half }
}

/// `codes . x` of the columns under scale `half`, `V` operands of them.
#[inline(always)]
fn dots_under<S: Simd, F: Format, const R: usize, const V: usize>(
    s: S,
    x: &Group<'_>,
    codes: &[S::B; V],
    half: usize,
) -> [S::I; R] {
    let first = (MINUS_CODES + part(F::Scales::HALVES, half)) * R;
    // They take the offset out of codes that stand for negative numbers too.
    let offsets = &x.highs[first..][..R];
    let mut dots = [s.splat_i(0); R];
    if x.fine == 0 && !F::Scales::MIN {
        // As what the products are added to, offsets cost no addition of their own.
        for (r, dot) in dots.iter_mut().enumerate() {
            *dot = s.splat_i(offsets[r]);
        }
    }
    dots_of::<S, F, R, V>(s, &mut dots, codes, (&x.highs[half * V * R..], u8::MAX));
    if x.fine != 0 {
        for (r, dot) in dots.iter_mut().enumerate() {
            let offset = if F::Scales::MIN { 0 } else { offsets[r] };
            *dot = s.add_i(s.shl_i(*dot, FINE_BITS), s.splat_i(offset));
        }
        dots_of::<S, F, R, V>(s, &mut dots, codes, (&x.lows[half * V * R..], x.fine));
    }
    dots
}

#[inline(always)]
fn dots_of<S: Simd, F: Format, const R: usize, const V: usize>(
    s: S,
    dots: &mut [S::I; R],
    codes: &[S::B; V],
    (x, rows): (&[i32], u8),
) {
    if F::Codes::WIDE {
        s.dots::<R, V, true>(dots, codes, x, rows);
    } else {
        s.dots::<R, V, false>(dots, codes, x, rows);
    }
}
