//! Float weights times few rows. Even and odd columns go in two chains, to halve the wait for each
//! addition; whatever multiplies float weights keeps to them, so that bits are the same.

use crate::isa::Isa;
use crate::matmul::{ABREAST, AHEAD_LINES};
use crate::packed::Floats;
use crate::simd::{Kernel, LANES, Line, Simd};

/// One weight tile times the rows of one tile of `x`.
pub(crate) fn multiply(
    isa: Isa,
    (lines, kind, ahead): (&[Line], Floats, bool),
    x: &[f32],
    out: &mut [[f32; LANES]],
) {
    match out.len() {
        1 => isa.run(Rows::<1> { kind, lines, ahead, x, out }),
        2 => isa.run(Rows::<2> { kind, lines, ahead, x, out }),
        4 => isa.run(Rows::<4> { kind, lines, ahead, x, out }),
        _ => isa.run(Rows::<8> { kind, lines, ahead, x, out }),
    }
}

struct Rows<'a, const R: usize> {
    kind: Floats,
    lines: &'a [Line],
    ahead: bool,
    x: &'a [f32],
    out: &'a mut [[f32; LANES]],
}

impl<const R: usize> Kernel for Rows<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(R <= S::ROWS && self.out.len() == R, "a tile that this variant takes");
        let mut sums = [[s.splat(0.0); R]; 2];
        match self.kind {
            Floats::F32 => self.add_lines::<S, f32>(s, &mut sums),
            Floats::F16 => self.add_lines::<S, half::f16>(s, &mut sums),
            Floats::Bf16 => self.add_lines::<S, half::bf16>(s, &mut sums),
            Floats::Blocks(_) => unreachable!("blocks are multiplied by `blocked`"),
        }
        for (out, (even, odd)) in self.out.iter_mut().zip(sums[0].into_iter().zip(sums[1])) {
            s.store(out, s.add(even, odd));
        }
    }
}

/// A number of a float weight. A function as an argument would not be inlined where the instruction
/// set's features are.
pub(crate) trait Column: bytemuck::Pod {
    fn load<S: Simd>(s: S, column: &[Self; LANES]) -> S::F;
}

impl Column for f32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, column: &[f32; LANES]) -> S::F {
        s.load(column)
    }
}

impl Column for half::f16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, column: &[half::f16; LANES]) -> S::F {
        s.load_f16(bytemuck::cast_ref(column))
    }
}

impl Column for half::bf16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, column: &[half::bf16; LANES]) -> S::F {
        s.load_bf16(bytemuck::cast_ref(column))
    }
}

impl<const R: usize> Rows<'_, R> {
    /// Adds all columns, which are kept as `T`.
    #[inline(always)]
    fn add_lines<S: Simd, T: Column>(&self, s: S, sums: &mut [[S::F; R]; 2]) {
        let (columns, _) = bytemuck::cast_slice::<Line, [T; LANES]>(self.lines).as_chunks::<2>();
        // By index: the steps of a zip of these are not always inlined.
        for (i, pair) in columns.iter().enumerate() {
            let x = &self.x[i * 2 * R..][..2 * R];
            for parity in 0..2 {
                if self.ahead {
                    let at = std::ptr::from_ref(&pair[parity]).cast::<Line>();
                    s.prefetch(at.wrapping_add(AHEAD_LINES).cast());
                }
                let column = T::load(s, &pair[parity]);
                for r in 0..R {
                    sums[parity][r] = s.fma(column, s.splat(x[parity * R + r]), sums[parity][r]);
                }
            }
        }
    }
}

/// Some tiles of float weights times one row.
pub(crate) struct Abreast<'a> {
    pub(crate) kind: Floats,
    pub(crate) lines: [&'a [Line]; ABREAST],
    pub(crate) x: &'a [f32],
    pub(crate) out: &'a mut [[f32; LANES]; ABREAST],
}

impl Kernel for Abreast<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.kind {
            Floats::F32 => self.multiply::<S, f32>(s),
            Floats::F16 => self.multiply::<S, half::f16>(s),
            Floats::Bf16 => self.multiply::<S, half::bf16>(s),
            Floats::Blocks(_) => unreachable!("blocks are multiplied by `blocked`"),
        }
    }
}

impl Abreast<'_> {
    #[inline(always)]
    fn multiply<S: Simd, T: Column>(mut self, s: S) {
        // Few registers hold two chains of two tiles only.
        if 2 * ABREAST <= S::SUMS {
            self.add::<S, T, ABREAST>(s, 0);
        } else {
            for first in (0..ABREAST).step_by(2) {
                self.add::<S, T, 2>(s, first);
            }
        }
    }

    /// The products of `N` tiles from `first` on.
    #[inline(always)]
    fn add<S: Simd, T: Column, const N: usize>(&mut self, s: S, first: usize) {
        let mut columns: [&[[T; LANES]]; N] = [&[]; N];
        for (t, columns) in columns.iter_mut().enumerate() {
            *columns = bytemuck::cast_slice(self.lines[first + t]);
        }
        let mut sums = [[s.splat(0.0); 2]; N];
        for (pair, x) in self.x.chunks_exact(2).enumerate() {
            for (parity, x) in x.iter().enumerate() {
                let x = s.splat(*x);
                for t in 0..N {
                    let column = &columns[t][2 * pair + parity];
                    let ahead = std::ptr::from_ref(column).cast::<Line>();
                    s.prefetch(ahead.wrapping_add(AHEAD_LINES).cast());
                    sums[t][parity] = s.fma(T::load(s, column), x, sums[t][parity]);
                }
            }
        }
        for (out, [even, odd]) in self.out[first..].iter_mut().zip(sums) {
            s.store(out, s.add(even, odd));
        }
    }
}
