//! The running softmax of attention: what a block of scores changes, how segments are merged, and
//! what is written at the end.
#![expect(unsafe_code, reason = "threads write disjoint heads of one output")]

use super::{BLOCK_TILES, Heads, Task};
use crate::simd::{self, Kernel, LANES, Simd, lanes_of};
use crate::threads::Parts;

/// The maximum before any score: finite, so that differences of it are no NaN.
pub(super) const NOTHING: f32 = -1.0e30;

/// Running softmax of `rows` (query, head) pairs.
#[derive(Clone)]
pub(super) struct State {
    pub(super) max: Vec<f32>,
    pub(super) sum: Vec<f32>,
    /// `[rows][head_dim_v rounded up to 16]`, not yet divided by `sum`.
    pub(super) out: Vec<f32>,
}

impl State {
    pub(super) fn new(heads: Heads<'_>, task: &Task<'_>) -> State {
        let rows = task.queries * (heads.n_heads / heads.geometry.n_kv_heads);
        let width = heads.geometry.value_tiles() * LANES;
        State { max: vec![NOTHING; rows], sum: vec![0.0; rows], out: vec![0.0; rows * width] }
    }

    /// Divides by the sums and writes the task's part of `out [rows, n_heads * head_dim_v]`.
    pub(super) fn write(&self, out: &Parts<'_, f32>, heads: Heads<'_>, task: &Task<'_>) {
        let (group, dim) = (heads.n_heads / heads.geometry.n_kv_heads, heads.geometry.head_dim_v);
        let width = heads.geometry.value_tiles() * LANES;
        for (i, values) in self.out.chunks_exact(width).enumerate() {
            let head = task.kv_head * group + i % group;
            let at = ((task.row + i / group) * heads.n_heads + head) * dim;
            // SAFETY: each (row, head) belongs to one task; the slice ends in this iteration.
            let out = unsafe { out.slice(at, dim) };
            // Its term may be beyond f32: then what the values weigh is below it.
            let sink = heads.sinks.map_or(0.0, |sinks| (sinks[head] - self.max[i]).exp());
            let sum = self.sum[i] + sink;
            for (out, value) in out.iter_mut().zip(values) {
                *out = value / sum;
            }
        }
    }
}

/// `scores = cap * tanh(scores)`.
#[inline(always)]
pub(super) fn soft_cap<S: Simd>(s: S, scores: &mut [[f32; LANES]; BLOCK_TILES], cap: f32) {
    for scores in scores {
        let capped = s.mul(s.splat(cap), simd::tanh(s, s.load(scores)));
        s.store(scores, capped);
    }
}

/// Turns a row's scores into probabilities and moves its maximum, sums and output on.
#[inline(always)]
pub(super) fn softmax<S: Simd>(
    s: S,
    scores: &mut [[f32; LANES]; BLOCK_TILES],
    (max, sums): (&mut f32, &mut [f32; LANES]),
    out: &mut [f32],
) {
    let low = s.max(s.load(&scores[0]), s.load(&scores[1]));
    let high = s.max(s.load(&scores[2]), s.load(&scores[3]));
    let highest = s.highest(s.max(low, high));
    let mut sum = s.load(sums);
    if highest > *max {
        let change = simd::exp(s, s.splat(*max - highest));
        *max = highest;
        sum = s.mul(sum, change);
        for out in out.as_chunks_mut().0 {
            s.store(out, s.mul(s.load(out), change));
        }
    }
    for scores in scores {
        let p = simd::exp(s, s.sub(s.load(scores), s.splat(*max)));
        sum = s.add(sum, p);
        s.store(scores, p);
    }
    s.store(sums, sum);
}

/// Takes a later segment into a running softmax.
pub(super) struct Merge<'a> {
    pub(super) state: &'a mut State,
    pub(super) part: &'a State,
}

impl Kernel for Merge<'_> {
    type Output = ();

    /// Adds a later segment. A segment in which a row saw nothing leaves it as it was.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (state, part) = (self.state, self.part);
        let width = state.out.len() / state.max.len();
        for r in 0..state.max.len() {
            let (a, b) = (state.max[r], part.max[r]);
            let max = if b > a { b } else { a };
            let old = simd::exp(s, s.splat(a - max));
            let new = simd::exp(s, s.splat(b - max));
            state.max[r] = max;
            let sum = s.fma(s.splat(part.sum[r]), new, s.mul(s.splat(state.sum[r]), old));
            let mut lanes = [0.0; LANES];
            s.store(&mut lanes, sum);
            state.sum[r] = lanes[0];
            let out = &mut state.out[r * width..][..width];
            for (i, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let add = s.load(&lanes_of(&part.out[r * width..], i * LANES));
                s.store(out, s.fma(add, new, s.mul(s.load(out), old)));
            }
        }
    }
}
