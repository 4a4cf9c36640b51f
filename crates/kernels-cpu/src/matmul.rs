//! Matrix products, and gate-up-SwiGLU: a micro-kernel of 16 weight rows by 1, 2, 4 or 8
//! activation rows.
//!
//! **Invariant:** each output is one chain over the groups of its row, in order, with the same
//! operations in every tile size; so a row's result never depends on its neighbours or threads.
#![expect(unsafe_code, reason = "threads write disjoint columns of one output")]

use std::marker::PhantomData;

use quant::FormatId;

use crate::activation::{Activation, GROUP_DWORDS, MINUS_CODES, SCALE, SUM, tiles};
use crate::codes::{Codes, GROUP, OPERANDS};
use crate::formats::{Format, is_quantised, with_format};
use crate::isa::Isa;
use crate::packed::{Floats, Packed};
use crate::scales::Scales;
use crate::simd::{self, Kernel, LANES, Line, Simd};
use crate::threads::{Parts, Pool};

/// Weight bytes that a thread takes at a time, so that they stay in its cache for all rows.
const CHUNK_BYTES: usize = 32 << 10;
/// Rows of the largest tile.
const ROWS_MAX: usize = 8;

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
        let step = tiles_per_chunk(weight, pool);
        chunks.extend((0..weight.packed.tiles()).step_by(step).map(|first| (j, first, step)));
    }
    pool.run(chunks.len(), |chunk| {
        let (j, first, step) = chunks[chunk];
        let weight = &weights[j];
        let last = (first + step).min(weight.packed.tiles());
        let parts = parts_of(weight.format);
        for (row, len) in tiles(rows * parts, isa.tile_rows()) {
            for tile in first..last {
                let mut out = [[0.0; LANES]; ROWS_MAX];
                product(isa, weight, tile, (x, row), &mut out[..len]);
                let out = fold(&mut out[..len], parts);
                write(&outs[j], (row / parts, tile), weight.n, out);
            }
        }
    });
}

/// `out = silu(x * gate^T) * (x * up^T)`.
pub(crate) fn swiglu(
    (isa, pool): (Isa, &Pool),
    out: &mut [f32],
    (x, rows): (&Activation, usize),
    [gate, up]: [Matrix<'_>; 2],
) {
    if is_quantised(gate.format) != is_quantised(up.format) {
        return swiglu_of_two_kinds((isa, pool), out, (x, rows), [gate, up]);
    }
    let parts = Parts::new(out);
    let (tile_count, step) = (gate.packed.tiles(), tiles_per_chunk(&gate, pool));
    pool.run(tile_count.div_ceil(step), |chunk| {
        let first = chunk * step;
        let row_parts = parts_of(gate.format);
        for (row, len) in tiles(rows * row_parts, isa.tile_rows()) {
            for tile in first..(first + step).min(tile_count) {
                let mut gates = [[0.0; LANES]; ROWS_MAX];
                let mut ups = [[0.0; LANES]; ROWS_MAX];
                product(isa, &gate, tile, (x, row), &mut gates[..len]);
                product(isa, &up, tile, (x, row), &mut ups[..len]);
                let gates = fold(&mut gates[..len], row_parts);
                let ups = fold(&mut ups[..len], row_parts);
                isa.run(SiluMul { gates, ups });
                write(&parts, (row / row_parts, tile), gate.n, gates);
            }
        }
    });
}

/// The same where one matrix is of integers and the other of floats: no file in use has it so.
fn swiglu_of_two_kinds(
    on: (Isa, &Pool),
    out: &mut [f32],
    x: (&Activation, usize),
    matrices: [Matrix<'_>; 2],
) {
    let mut ups = vec![0.0; out.len()];
    matmul(on, &mut [&mut *out, &mut ups], x, &matrices);
    for (gate, up) in out.chunks_mut(LANES).zip(ups.chunks(LANES)) {
        let (mut gates, mut padded) = ([[0.0; LANES]], [[0.0; LANES]]);
        gates[0][..gate.len()].copy_from_slice(gate);
        padded[0][..up.len()].copy_from_slice(up);
        on.0.run(SiluMul { gates: &mut gates, ups: &padded });
        gate.copy_from_slice(&gates[0][..gate.len()]);
    }
}

/// Rows of codes that make a row of activations: itself and its rest, for integer weights.
fn parts_of(format: FormatId) -> usize {
    if is_quantised(format) { 2 } else { 1 }
}

/// Adds the products of a row and of its rest.
fn fold(values: &mut [[f32; LANES]], parts: usize) -> &mut [[f32; LANES]] {
    if parts == 1 {
        return values;
    }
    let rows = values.len() / 2;
    for row in 0..rows {
        let (value, rest) = (values[2 * row], values[2 * row + 1]);
        values[row] = std::array::from_fn(|i| value[i] + rest[i]);
    }
    &mut values[..rows]
}

fn tiles_per_chunk(weight: &Matrix<'_>, pool: &Pool) -> usize {
    let fair = weight.packed.tiles().div_ceil(4 * pool.threads());
    (CHUNK_BYTES / weight.packed.tile_bytes()).min(fair).max(1)
}

fn write(out: &Parts<'_, f32>, (row, tile): (usize, usize), n: usize, values: &[[f32; LANES]]) {
    let first = tile * LANES;
    let len = LANES.min(n - first);
    for (r, values) in values.iter().enumerate() {
        // SAFETY: each tile of columns belongs to one chunk, and the slice ends in this function.
        let part = unsafe { out.slice((row + r) * n + first, len) };
        part.copy_from_slice(&values[..len]);
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
    if is_quantised(weight.format) {
        let row_len = weight.k / GROUP * GROUP_DWORDS;
        let x = &x.codes[row * row_len..][..out.len() * row_len];
        with_format!(weight.format, F => integers::<F>(isa, (lines, scales), x, out), ());
    } else {
        let row_len = weight.k.next_multiple_of(2);
        let x = &x.floats[row * row_len..][..out.len() * row_len];
        floats(isa, (lines, Floats::of(weight.format)), x, out);
    }
}

fn integers<F: Format>(
    isa: Isa,
    (lines, scales): (&[Line], &[u8]),
    x: &[i32],
    out: &mut [[f32; LANES]],
) {
    let format = PhantomData::<F>;
    match out.len() {
        1 => isa.run(Integers::<F, 1> { format, lines, scales, x, out }),
        2 => isa.run(Integers::<F, 2> { format, lines, scales, x, out }),
        4 => isa.run(Integers::<F, 4> { format, lines, scales, x, out }),
        _ => isa.run(Integers::<F, 8> { format, lines, scales, x, out }),
    }
}

fn floats(isa: Isa, (lines, kind): (&[Line], Floats), x: &[f32], out: &mut [[f32; LANES]]) {
    match out.len() {
        1 => isa.run(FloatRows::<1> { kind, lines, x, out }),
        2 => isa.run(FloatRows::<2> { kind, lines, x, out }),
        4 => isa.run(FloatRows::<4> { kind, lines, x, out }),
        _ => isa.run(FloatRows::<8> { kind, lines, x, out }),
    }
}

struct Integers<'a, F, const R: usize> {
    format: PhantomData<F>,
    lines: &'a [Line],
    scales: &'a [u8],
    x: &'a [i32],
    out: &'a mut [[f32; LANES]],
}

impl<F: Format, const R: usize> Kernel for Integers<'_, F, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(R <= S::ROWS && self.out.len() == R, "a tile that this variant takes");
        let mut sums = [s.splat(0.0); R];
        let mut lines = self.lines.chunks_exact(F::Codes::LINES);
        let mut x = self.x.chunks_exact(GROUP_DWORDS * R);
        for block in self.scales.chunks_exact(F::Scales::BYTES) {
            let head = F::Scales::head(s, block);
            for g in 0..F::Scales::SUPER {
                let (Some(lines), Some(x)) = (lines.next(), x.next()) else { break };
                let codes = F::Codes::unpack(s, lines);
                for half in 0..F::Scales::HALVES {
                    let index = g * F::Scales::HALVES + half;
                    let scales = F::Scales::group(s, head, block, index);
                    add_group::<S, F, R>(s, &mut sums, (x, half), &codes, scales);
                }
            }
        }
        for (out, sum) in self.out.iter_mut().zip(sums) {
            s.store(out, sum);
        }
    }
}

/// `sums += scale * (codes . x)` for the columns under one scale.
#[inline(always)]
fn add_group<S: Simd, F: Format, const R: usize>(
    s: S,
    sums: &mut [S::F; R],
    (x, half): (&[i32], usize),
    codes: &[S::B; OPERANDS],
    (scale, min): (S::F, S::F),
) {
    let count = OPERANDS / F::Scales::HALVES;
    // Sums over the whole group, or over this half of it.
    let part = if F::Scales::HALVES == 1 { 0 } else { 1 + half };
    let mut dots = [s.splat_i(0); R];
    if !F::Scales::MIN {
        for (r, dot) in dots.iter_mut().enumerate() {
            let minus = s.splat_i(x[(MINUS_CODES + part) * R + r]);
            *dot = s.shl_i(minus, F::Scales::SHIFT);
        }
    }
    for v in half * count..(half + 1) * count {
        for r in 0..R {
            let x = x[v * R + r];
            dots[r] = if F::Codes::WIDE {
                s.dot_wide(dots[r], codes[v], x)
            } else {
                s.dot(dots[r], codes[v], x)
            };
        }
    }
    for (r, sum) in sums.iter_mut().enumerate() {
        let x_scale = s.splat(f32::from_bits(x[SCALE * R + r].cast_unsigned()));
        *sum = s.fma(s.to_f32(dots[r]), s.mul(scale, x_scale), *sum);
        if F::Scales::MIN {
            let x_sum = s.splat(f32::from_bits(x[(SUM + part) * R + r].cast_unsigned()));
            *sum = s.fma(min, x_sum, *sum);
        }
    }
}

struct FloatRows<'a, const R: usize> {
    kind: Floats,
    lines: &'a [Line],
    x: &'a [f32],
    out: &'a mut [[f32; LANES]],
}

impl<const R: usize> Kernel for FloatRows<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(R <= S::ROWS && self.out.len() == R, "a tile that this variant takes");
        // Even and odd columns in two chains, to halve the wait for each addition.
        let mut sums = [[s.splat(0.0); R]; 2];
        let columns = self.x.chunks_exact(2 * R);
        match self.kind {
            Floats::F32 => {
                let lines: &[[f32; LANES]] = bytemuck::cast_slice(self.lines);
                for (pair, x) in lines.chunks_exact(2).zip(columns) {
                    let pair = [s.load(&pair[0]), s.load(&pair[1])];
                    add_columns(s, &mut sums, x, pair);
                }
            }
            Floats::F16 => {
                let lines: &[[u16; LANES]] = bytemuck::cast_slice(self.lines);
                for (pair, x) in lines.chunks_exact(2).zip(columns) {
                    let pair = [s.load_f16(&pair[0]), s.load_f16(&pair[1])];
                    add_columns(s, &mut sums, x, pair);
                }
            }
            Floats::Bf16 => {
                let lines: &[[u16; LANES]] = bytemuck::cast_slice(self.lines);
                for (pair, x) in lines.chunks_exact(2).zip(columns) {
                    let pair = [s.load_bf16(&pair[0]), s.load_bf16(&pair[1])];
                    add_columns(s, &mut sums, x, pair);
                }
            }
        }
        for (out, (even, odd)) in self.out.iter_mut().zip(sums[0].into_iter().zip(sums[1])) {
            s.store(out, s.add(even, odd));
        }
    }
}

#[inline(always)]
fn add_columns<S: Simd, const R: usize>(
    s: S,
    sums: &mut [[S::F; R]; 2],
    x: &[f32],
    pair: [S::F; 2],
) {
    for parity in 0..2 {
        for (r, sum) in sums[parity].iter_mut().enumerate() {
            *sum = s.fma(pair[parity], s.splat(x[parity * R + r]), *sum);
        }
    }
}

struct SiluMul<'a> {
    gates: &'a mut [[f32; LANES]],
    ups: &'a [[f32; LANES]],
}

impl Kernel for SiluMul<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (gate, up) in self.gates.iter_mut().zip(self.ups) {
            let x = s.load(gate);
            let below = s.add(s.splat(1.0), simd::exp(s, s.sub(s.splat(0.0), x)));
            s.store(gate, s.mul(s.div(x, below), s.load(up)));
        }
    }
}
