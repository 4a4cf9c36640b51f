//! What this machine can do at most: the rates that no kernel can pass, measured with the same
//! threads and instruction sets that the kernels use.
//!
//! Time comes from the caller, because nothing in this crate has a clock. Other work on the
//! machine only ever lowers a rate, so each is the best of several rounds.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use tensor::Result;

use crate::blocked;
use crate::isa::{Isa, Variant};
use crate::memory::Pages;
use crate::prefill;
use crate::simd::{Kernel, LANES, Line, Simd};
use crate::threads::Pool;

/// Seconds since any moment that stays the same.
pub type Clock<'a> = &'a dyn Fn() -> f64;

/// From here on a buffer is beyond the caches of any processor this runs on today.
pub const BEYOND_CACHES_BYTES: usize = 1 << 30;
/// Lines that a thread reads before it takes the next ones: 256 KiB.
const PART_LINES: usize = 4096;
/// Rounds of a rate at least, and the time after which there are no more.
const ROUNDS_MIN: usize = 3;
const ROUNDS_S: f64 = 0.12;
/// Time of one round of arithmetic: long against waking the threads.
const ROUND_S: f64 = 0.01;
/// Multiplications and additions of one line of codes with four bytes of an activation.
const DOT_OPS: usize = LANES * 4 * 2;
/// Multiplications and additions of one fused instruction.
const FMA_OPS: usize = LANES * 2;

/// The arithmetic that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// Products of bytes, summed in 32 bits.
    Int8,
    /// Fused multiplications and additions of 32-bit floats.
    Float32,
    /// Of floats of rows of prompts: of bf16, summed in 32 bits, where a variant does so; else as
    /// `Float32`.
    PrefillFloat,
}

/// Operations per second from registers, a multiplication and an addition counted as two; none on
/// a machine without the variant.
#[must_use]
pub fn arithmetic_rate(
    arithmetic: Arithmetic,
    variant: Variant,
    pool: &Pool,
    clock: Clock<'_>,
) -> Option<f64> {
    let isa = Isa::find(variant)?;
    let tile_ops = match arithmetic {
        Arithmetic::Int8 => blocked::tile_ops_per_turn(isa),
        Arithmetic::Float32 => None,
        Arithmetic::PrefillFloat => prefill::ops_per_turn(isa),
    };
    let round = |turns: usize| {
        let started = clock();
        pool.run(pool.threads(), |_| match arithmetic {
            Arithmetic::Int8 if tile_ops.is_some() => blocked::spend(isa, turns),
            Arithmetic::PrefillFloat if tile_ops.is_some() => prefill::spend(isa, turns),
            Arithmetic::Int8 => isa.run(Int8 { turns }),
            Arithmetic::Float32 | Arithmetic::PrefillFloat => isa.run(Float32 { turns }),
        });
        clock() - started
    };
    // Doubling until a round is long enough also brings the clock of the cores to where it stays.
    let mut turns = 1 << 10;
    while round(turns) < ROUND_S && turns < 1 << 40 {
        turns *= 2;
    }
    let ops_per_turn = tile_ops.unwrap_or_else(|| isa.run(OpsPerTurn(arithmetic)));
    let ops = turns * pool.threads() * ops_per_turn;
    Some(ops as f64 / best(clock, || round(turns)))
}

/// A buffer to read from, written by the threads that will read it.
pub struct ReadBuffer {
    lines: Pages<Line>,
}

impl ReadBuffer {
    /// Of at least so many bytes.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn new(bytes: usize, pool: &Pool) -> Result<ReadBuffer> {
        let mut lines =
            Pages::<Line>::zeroed(bytes.div_ceil(size_of::<Line>()), "measuring bandwidth")?;
        // Every page must be a page of its own: reading memory never written reads one page of
        // zeros from the caches.
        pool.run_parts(&mut lines, PART_LINES, |part, lines| {
            lines.fill(Line([u32::try_from(part).unwrap_or(u32::MAX) | 1; LANES]));
        });
        Ok(ReadBuffer { lines })
    }

    /// Bytes per second that all threads together read of the first `bytes` bytes, again and
    /// again; none on a machine without the variant.
    #[must_use]
    pub fn read_rate(
        &self,
        bytes: usize,
        variant: Variant,
        pool: &Pool,
        clock: Clock<'_>,
    ) -> Option<f64> {
        let isa = Isa::find(variant)?;
        let count = bytes.div_ceil(size_of::<Line>()).clamp(1, self.lines.len());
        let lines = &self.lines[..count];
        // Every thread leaves what it read, so that the reading cannot be left out.
        let seen = AtomicU32::new(0);
        let round = || {
            let started = clock();
            pool.run(count.div_ceil(PART_LINES), |part| {
                let start = part * PART_LINES;
                let lines = &lines[start..count.min(start + PART_LINES)];
                seen.fetch_or(isa.run(Read { lines }), Ordering::Relaxed);
            });
            clock() - started
        };
        round();
        let rate = (count * size_of::<Line>()) as f64 / best(clock, round);
        black_box(seen.into_inner());
        Some(rate)
    }
}

/// The shortest of several rounds.
fn best(clock: Clock<'_>, mut round: impl FnMut() -> f64) -> f64 {
    let started = clock();
    let mut best = f64::INFINITY;
    let mut rounds = 0;
    while rounds < ROUNDS_MIN || clock() - started < ROUNDS_S {
        best = best.min(round());
        rounds += 1;
    }
    // A clock too coarse to see a round must not make an endless rate.
    best.max(1e-9)
}

/// Bits that are set in any of the lines, but for at most three at the end.
struct Read<'a> {
    lines: &'a [Line],
}

impl Kernel for Read<'_> {
    type Output = u32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u32 {
        let Some(first) = self.lines.first() else { return 0 };
        let mut seen = [s.line(first); 4];
        // Four places at once: more pages on their way from memory than one place would have.
        let (a, rest) = self.lines.split_at(self.lines.len() / 4);
        let (b, rest) = rest.split_at(a.len());
        let (c, d) = rest.split_at(a.len());
        for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
            seen[0] = s.or(seen[0], s.line(a));
            seen[1] = s.or(seen[1], s.line(b));
            seen[2] = s.or(seen[2], s.line(c));
            seen[3] = s.or(seen[3], s.line(d));
        }
        let both = s.or(s.or(seen[0], seen[1]), s.or(seen[2], seen[3]));
        let bits = s.to_f32(s.dot(s.splat_i(0), s.and(both, 1), 0x0101_0101));
        // Sums of single bits: any lane tells that something was read.
        s.highest(bits) as u32
    }
}

/// Operations of one turn of [`Int8`] or [`Float32`].
struct OpsPerTurn(Arithmetic);

impl Kernel for OpsPerTurn {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _s: S) -> usize {
        match (self.0, many_registers::<S>()) {
            (Arithmetic::Int8, true) => 2 * 8 * DOT_OPS,
            (Arithmetic::Int8, false) => 4 * DOT_OPS,
            (Arithmetic::Float32 | Arithmetic::PrefillFloat, true) => 12 * FMA_OPS,
            (Arithmetic::Float32 | Arithmetic::PrefillFloat, false) => 5 * FMA_OPS,
        }
    }
}

/// Whether sixteen accumulators fit the registers, and not only five.
#[inline(always)]
fn many_registers<S: Simd>() -> bool {
    S::ROWS >= 8
}

/// The inner loop of a matrix product whose operands never change.
struct Int8 {
    turns: usize,
}

impl Kernel for Int8 {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if many_registers::<S>() {
            dots::<S, 2, 8>(s, self.turns);
        } else {
            dots::<S, 1, 4>(s, self.turns);
        }
    }
}

/// `turns` times `C * R` chains of [`Simd::dot`].
#[inline(always)]
fn dots<S: Simd, const C: usize, const R: usize>(s: S, turns: usize) {
    // Each line of codes is another, or products would be computed once and shared; bytes of an
    // activation cancel out, so that no sum overflows.
    let codes: [Line; C] = std::array::from_fn(|c| Line([0x0101_0101 * (1 + c as u32); LANES]));
    let codes = black_box(codes).each_ref().map(|line| s.line(line));
    let mut x = [0x01FF_01FF_u32.cast_signed(); R];
    let mut acc = [[s.splat_i(0); R]; C];
    for _ in 0..turns {
        // For all the compiler knows the activations are others each turn: it cannot replace the
        // loop by a product.
        black_box(&mut x);
        for (acc, codes) in acc.iter_mut().zip(codes) {
            for (acc, x) in acc.iter_mut().zip(x) {
                *acc = s.dot(*acc, codes, x);
            }
        }
    }
    for acc in acc.as_flattened() {
        black_box(s.highest(s.to_f32(*acc)));
    }
}

/// Chains of `acc * m + b`, whose values stay near `b / (1 - m)`.
struct Float32 {
    turns: usize,
}

impl Kernel for Float32 {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if many_registers::<S>() {
            fmas::<S, 12>(s, self.turns);
        } else {
            fmas::<S, 5>(s, self.turns);
        }
    }
}

#[inline(always)]
fn fmas<S: Simd, const A: usize>(s: S, turns: usize) {
    // Every chain starts elsewhere, or they would all be one.
    let starts: [f32; A] = black_box(std::array::from_fn(|i| 1.0 + i as f32));
    let mut acc = starts.map(|start| s.splat(start));
    let [m, b] = black_box([0.5, 1.0]).map(|value| s.splat(value));
    for _ in 0..turns {
        for acc in &mut acc {
            *acc = s.fma(*acc, m, b);
        }
    }
    for acc in acc {
        black_box(s.highest(acc));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::{Arithmetic, ReadBuffer, arithmetic_rate};
    use crate::{Pool, variants};

    /// A clock that jumps by a tenth of a second each time it is looked at.
    fn jumping(now: &Cell<f64>) -> f64 {
        now.set(now.get() + 0.1);
        now.get()
    }

    #[test]
    fn every_variant_has_every_rate() {
        let pool = Pool::new(2);
        let buffer = ReadBuffer::new(1_000_001, &pool).expect("a megabyte");
        let now = Cell::new(0.0);
        let clock = || jumping(&now);
        for variant in variants() {
            let name = variant.name();
            let read = buffer.read_rate(1_000_000, variant, &pool, &clock);
            // A round takes a tenth of a second by that clock, whatever happens in it.
            let read = read.expect("a variant listed runs");
            assert!((read / 1e7 - 1.0).abs() < 1e-3, "{name}: {read}");
            for arithmetic in [Arithmetic::Int8, Arithmetic::Float32, Arithmetic::PrefillFloat] {
                let rate = arithmetic_rate(arithmetic, variant, &pool, &clock);
                let rate = rate.expect("a variant listed runs");
                let turns = rate / 10.0 / 1024.0;
                assert!(turns >= 2.0 * 4.0 * 32.0, "{name} {arithmetic:?}: {rate}");
            }
        }
    }
}
