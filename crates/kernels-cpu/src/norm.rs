//! RMS norm, of rows, of heads and with the residual addition before it; layer norm; what else is
//! done value by value.

use crate::isa::Isa;
use crate::simd::{self, Kernel, LANES, Simd, lanes_of};
use crate::threads::Pool;

/// Values that are worth a thread.
const PART_VALUES: usize = 8 << 10;

/// `out = x / sqrt(mean(x^2) + eps) * scale`, rows of `scale.len()`.
pub(crate) fn rms_norm(
    (isa, pool): (Isa, &Pool),
    out: &mut [f32],
    x: &[f32],
    (scale, eps): (&[f32], f32),
) {
    let part_len = part_len(scale.len());
    pool.run_parts(out, part_len, |index, out| {
        let x = &x[index * part_len..][..out.len()];
        isa.run(RmsNorm { out, x, scale, eps });
    });
}

/// `residual += delta`, then the norm of it.
pub(crate) fn add_rms_norm(
    (isa, pool): (Isa, &Pool),
    out: &mut [f32],
    (residual, delta): (&mut [f32], &[f32]),
    (scale, eps): (&[f32], f32),
) {
    let part_len = part_len(scale.len());
    let mut parts: Vec<(&mut [f32], &mut [f32])> =
        out.chunks_mut(part_len).zip(residual.chunks_mut(part_len)).collect();
    pool.run_parts(&mut parts, 1, |index, parts| {
        for (out, residual) in parts {
            add_values(residual, &delta[index * part_len..][..out.len()]);
            isa.run(RmsNorm { out, x: residual, scale, eps });
        }
    });
}

/// `out = (x - mean) / sqrt(variance + eps) * scale + bias`, rows of `scale.len()`.
pub(crate) fn layer_norm(
    (isa, pool): (Isa, &Pool),
    out: &mut [f32],
    x: &[f32],
    (scale, bias, eps): (&[f32], &[f32], f32),
) {
    let part_len = part_len(scale.len());
    pool.run_parts(out, part_len, |index, out| {
        let x = &x[index * part_len..][..out.len()];
        isa.run(LayerNorm { out, x, scale, bias, eps });
    });
}

/// `x = x / sqrt(mean(x^2) + eps) * scale` of each run of `scale.len()` values of rows of `cols`.
pub(crate) fn rms_norm_heads(
    (isa, pool): (Isa, &Pool),
    (x, cols): (&mut [f32], usize),
    (scale, eps): (&[f32], f32),
) {
    pool.run_parts(x, part_len(cols), |_, x| isa.run(RmsNormHeads { x, scale, eps }));
}

/// `x *= factor`.
pub(crate) fn scale(pool: &Pool, x: &mut [f32], factor: f32) {
    pool.run_parts(x, PART_VALUES, |_, x| x.iter_mut().for_each(|x| *x *= factor));
}

/// `x = cap * tanh(x / cap)`.
pub(crate) fn soft_cap((isa, pool): (Isa, &Pool), x: &mut [f32], cap: f32) {
    pool.run_parts(x, PART_VALUES, |_, x| isa.run(SoftCap { x, cap }));
}

/// `x *= 1 / (1 + exp(-gate))`, value by value, or where `gate` has one for each row of `cols`, row
/// by row.
pub(crate) fn sigmoid_gate(pool: &Pool, (x, cols): (&mut [f32], usize), gate: &[f32]) {
    let (len, by_row) = (part_len(cols), gate.len() != x.len());
    pool.run_parts(x, len, |part, x| {
        for (i, x) in x.iter_mut().enumerate() {
            let at = part * len + i;
            let gate = gate[if by_row { at / cols } else { at }];
            *x /= 1.0 + (-gate).exp();
        }
    });
}

/// `a += b`.
pub(crate) fn add(pool: &Pool, a: &mut [f32], b: &[f32]) {
    pool.run_parts(a, PART_VALUES, |index, a| {
        add_values(a, &b[index * PART_VALUES..][..a.len()]);
    });
}

/// `out += factor * delta` of the rows of `cols` whose factor is not 0.
pub(crate) fn add_rows(
    pool: &Pool,
    (out, cols): (&mut [f32], usize),
    delta: &[f32],
    factors: &[f32],
) {
    let len = part_len(cols);
    pool.run_parts(out, len, |part, out| {
        let rows = delta[part * len..].chunks_exact(cols).zip(&factors[part * (len / cols)..]);
        for (out, (delta, factor)) in out.chunks_exact_mut(cols).zip(rows) {
            if *factor != 0.0 {
                out.iter_mut().zip(delta).for_each(|(out, delta)| *out += factor * delta);
            }
        }
    });
}

/// `row += bias` for every row of `x`.
pub(crate) fn add_bias(pool: &Pool, x: &mut [f32], bias: &[f32]) {
    pool.run_parts(x, part_len(bias.len()), |_, x| {
        x.chunks_exact_mut(bias.len()).for_each(|row| add_values(row, bias));
    });
}

/// Whole rows of `cols` that are worth a thread.
pub(crate) fn part_len(cols: usize) -> usize {
    (PART_VALUES / cols.max(1)).max(1) * cols
}

fn add_values(a: &mut [f32], b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

struct RmsNorm<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    scale: &'a [f32],
    eps: f32,
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let cols = self.scale.len();
        for (out, x) in self.out.chunks_exact_mut(cols).zip(self.x.chunks_exact(cols)) {
            let factor = factor(s, x, self.eps);
            for ((out, x), scale) in out.iter_mut().zip(x).zip(self.scale) {
                *out = x * factor * scale;
            }
        }
    }
}

struct LayerNorm<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    scale: &'a [f32],
    bias: &'a [f32],
    eps: f32,
}

impl Kernel for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let cols = self.scale.len();
        for (out, x) in self.out.chunks_exact_mut(cols).zip(self.x.chunks_exact(cols)) {
            let mean = mean(s, x);
            for (out, x) in out.iter_mut().zip(x) {
                *out = x - mean;
            }
            let factor = factor(s, out, self.eps);
            for ((out, scale), bias) in out.iter_mut().zip(self.scale).zip(self.bias) {
                *out = *out * factor * scale + bias;
            }
        }
    }
}

#[inline(always)]
fn mean<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut sums = [s.splat(0.0); 4];
    for (i, start) in (0..x.len()).step_by(LANES).enumerate() {
        sums[i % 4] = s.add(sums[i % 4], s.load(&lanes_of(x, start)));
    }
    let sums = s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]));
    simd::sum(s, sums) / x.len() as f32
}

/// `1 / sqrt(mean(x^2) + eps)`.
#[inline(always)]
fn factor<S: Simd>(s: S, x: &[f32], eps: f32) -> f32 {
    let mut squares = [s.splat(0.0); 4];
    for (i, start) in (0..x.len()).step_by(LANES).enumerate() {
        let x = s.load(&lanes_of(x, start));
        squares[i % 4] = s.fma(x, x, squares[i % 4]);
    }
    let squares = s.add(s.add(squares[0], squares[1]), s.add(squares[2], squares[3]));
    let mean = simd::sum(s, squares) / x.len() as f32;
    1.0 / (mean + eps).sqrt()
}

struct RmsNormHeads<'a> {
    x: &'a mut [f32],
    scale: &'a [f32],
    eps: f32,
}

impl Kernel for RmsNormHeads<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for head in self.x.chunks_exact_mut(self.scale.len()) {
            let factor = factor(s, head, self.eps);
            for (x, scale) in head.iter_mut().zip(self.scale) {
                *x = *x * factor * scale;
            }
        }
    }
}

struct SoftCap<'a> {
    x: &'a mut [f32],
    cap: f32,
}

impl Kernel for SoftCap<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (cap, inverse) = (s.splat(self.cap), s.splat(1.0 / self.cap));
        for x in self.x.chunks_mut(LANES) {
            let mut lanes = lanes_of(x, 0);
            let capped = s.mul(cap, simd::tanh(s, s.mul(s.load(&lanes), inverse)));
            s.store(&mut lanes, capped);
            x.copy_from_slice(&lanes[..x.len()]);
        }
    }
}
