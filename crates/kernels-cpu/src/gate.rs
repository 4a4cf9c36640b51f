//! What makes a gate of two products: the activations of gated feed-forward blocks.

use tensor::Activation;

use crate::isa::Isa;
use crate::simd::{self, Kernel, LANES, Simd};
use crate::threads::Pool;

/// Values of [`gate`] that a thread takes at a time.
const PART_VALUES: usize = 1 << 14;
/// `2 * sqrt(2 / pi)` of [`Activation::GeluTanh`].
const GELU_SLOPE: f32 = 1.595_769_2;
/// Of the cube there.
const GELU_CUBE: f32 = 0.044_715;

/// `gates = activation(gates, ups)`.
pub(crate) fn gate(
    (isa, pool): (Isa, &Pool),
    gates: &mut [f32],
    ups: &[f32],
    activation: Activation,
) {
    pool.run_parts(gates, PART_VALUES, |part, gates| {
        let ups = ups[part * PART_VALUES..].chunks(LANES);
        for (gate, up) in gates.chunks_mut(LANES).zip(ups) {
            let (mut gates, mut padded) = ([[0.0; LANES]], [[0.0; LANES]]);
            gates[0][..gate.len()].copy_from_slice(gate);
            padded[0][..gate.len()].copy_from_slice(&up[..gate.len()]);
            isa.run(Gate { activation, gates: &mut gates, ups: &padded });
            gate.copy_from_slice(&gates[0][..gate.len()]);
        }
    });
}

/// `x = activation(x, 1)`.
pub(crate) fn activate((isa, pool): (Isa, &Pool), x: &mut [f32], activation: Activation) {
    pool.run_parts(x, PART_VALUES, |_, x| {
        for x in x.chunks_mut(LANES) {
            let mut gates = [[0.0; LANES]];
            gates[0][..x.len()].copy_from_slice(x);
            isa.run(Gate { activation, gates: &mut gates, ups: &[[1.0; LANES]] });
            x.copy_from_slice(&gates[0][..x.len()]);
        }
    });
}

/// `gates = activation(gates, ups)` of some tiles. NaN stays NaN.
pub(crate) struct Gate<'a> {
    pub(crate) activation: Activation,
    pub(crate) gates: &'a mut [[f32; LANES]],
    pub(crate) ups: &'a [[f32; LANES]],
}

impl Kernel for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pairs = self.gates.iter_mut().zip(self.ups);
        match self.activation {
            Activation::Silu => pairs.for_each(|(gate, up)| {
                let x = s.load(gate);
                let product = s.mul(over_sigmoid(s, x, s.sub(s.splat(0.0), x)), s.load(up));
                s.store(gate, product);
            }),
            Activation::GeluTanh => pairs.for_each(|(gate, up)| {
                // (1 + tanh(y)) / 2 = 1 / (1 + exp(-2 y))
                let x = s.load(gate);
                let cube = s.mul(s.mul(x, s.splat(GELU_CUBE)), s.mul(x, x));
                let power = s.mul(s.add(x, cube), s.splat(-GELU_SLOPE));
                s.store(gate, s.mul(over_sigmoid(s, x, power), s.load(up)));
            }),
            Activation::GeluErf => pairs.for_each(|(gate, up)| {
                let x = s.load(gate);
                s.store(gate, s.mul(s.mul(x, below(s, x)), s.load(up)));
            }),
            Activation::ClampedSilu { alpha, limit } => pairs.for_each(|(gate, up)| {
                let x = s.min(s.splat(limit), s.load(gate));
                let up = s.max(s.splat(-limit), s.min(s.splat(limit), s.load(up)));
                let gated = over_sigmoid(s, x, s.mul(x, s.splat(-alpha)));
                s.store(gate, s.mul(gated, s.add(up, s.splat(1.0))));
            }),
        }
    }
}

/// Of the variable `1 / (1 + p x)` there.
const ERF_SLOPE: f32 = 0.327_591_1;
/// Of its powers there, the highest first.
const ERF_FACTORS: [f32; 5] = [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6];

/// `(1 + erf(x / sqrt(2))) / 2`, within 2^-22; NaN stays NaN.
/// Source: Abramowitz and Stegun 1964, equation 7.1.26.
#[inline(always)]
fn below<S: Simd>(s: S, x: S::F) -> S::F {
    let z = s.mul(s.abs(x), s.splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = s.div(s.splat(1.0), s.fma(z, s.splat(ERF_SLOPE), s.splat(1.0)));
    let mut tail = s.splat(0.0);
    for factor in ERF_FACTORS {
        tail = s.fma(tail, t, s.splat(factor));
    }
    let power = simd::exp(s, s.sub(s.splat(0.0), s.mul(z, z)));
    // Half of what is left to 1, which is all that there is on the side of -infinity.
    let half = s.mul(s.mul(s.mul(tail, t), power), s.splat(0.5));
    let other = s.sub(s.splat(1.0), s.add(half, half));
    s.add(half, s.zero_below(other, x, 0.0))
}

/// `x / (1 + exp(power))`.
#[inline(always)]
pub(crate) fn over_sigmoid<S: Simd>(s: S, x: S::F, power: S::F) -> S::F {
    s.div(x, s.add(s.splat(1.0), simd::exp(s, power)))
}
