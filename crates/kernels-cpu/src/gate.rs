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
            Activation::ClampedSilu { alpha, limit } => pairs.for_each(|(gate, up)| {
                let x = s.min(s.splat(limit), s.load(gate));
                let up = s.max(s.splat(-limit), s.min(s.splat(limit), s.load(up)));
                let gated = over_sigmoid(s, x, s.mul(x, s.splat(-alpha)));
                s.store(gate, s.mul(gated, s.add(up, s.splat(1.0))));
            }),
        }
    }
}

/// `x / (1 + exp(power))`.
#[inline(always)]
pub(crate) fn over_sigmoid<S: Simd>(s: S, x: S::F, power: S::F) -> S::F {
    s.div(x, s.add(s.splat(1.0), simd::exp(s, power)))
}
