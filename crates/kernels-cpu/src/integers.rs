//! Integer weights times few rows: a micro-kernel of 16 weight rows by 1, 2, 4 or 8 activation
//! rows.

use std::marker::PhantomData;

use crate::activation::{self, FINE_BITS, GROUP_DWORDS, MINUS_CODES, SCALE, SUM};
use crate::codes::{Codes, OPERANDS};
use crate::formats::Format;
use crate::isa::Isa;
use crate::matmul::{ABREAST, AHEAD_LINES};
use crate::scales::Scales;
use crate::simd::{Kernel, LANES, Line, Simd};

/// One weight tile times the rows of one tile of `x`.
pub(crate) fn multiply<F: Format>(
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

/// Some weight tiles times one row.
pub(crate) struct Abreast<'a, F> {
    format: PhantomData<F>,
    /// Lines and scales of each.
    tiles: [(&'a [Line], &'a [u8]); ABREAST],
    x: activation::Codes<'a>,
    out: &'a mut [[f32; LANES]; ABREAST],
}

impl<'a, F> Abreast<'a, F> {
    pub(crate) fn new(
        tiles: [(&'a [Line], &'a [u8]); ABREAST],
        x: activation::Codes<'a>,
        out: &'a mut [[f32; LANES]; ABREAST],
    ) -> Abreast<'a, F> {
        Abreast { format: PhantomData, tiles, x, out }
    }
}

impl<F: Format> Kernel for Abreast<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let fits = F::Scales::MIN || self.x.shift == F::Scales::SHIFT;
        assert!(fits, "activations prepared for other weights");
        let (size, groups) = (F::Codes::LINES, self.x.fine.len());
        let mut sums = [[s.splat(0.0)]; ABREAST];
        let (tile_lines, tile_scales) = (groups * size, self.tiles[0].1.len());
        let scales_ahead = (AHEAD_LINES / size / F::Scales::SUPER).max(1) * F::Scales::BYTES;
        // What lies between the end of a tile and what this row goes by after it.
        let over = |at: usize, tile: usize| if at < tile { 0 } else { (ABREAST - 1) * tile };
        let mut at = 0;
        while at < groups {
            let bytes = at / F::Scales::SUPER * F::Scales::BYTES;
            let mut blocks = [&[][..]; ABREAST];
            let mut heads = [(s.splat(0.0), s.splat(0.0)); ABREAST];
            let ahead = scales_ahead + over(bytes + scales_ahead, tile_scales);
            for t in 0..ABREAST {
                blocks[t] = &self.tiles[t].1[bytes..][..F::Scales::BYTES];
                for line in (0..F::Scales::BYTES).step_by(size_of::<Line>()) {
                    s.prefetch(blocks[t].as_ptr().wrapping_add(ahead + line));
                }
                heads[t] = F::Scales::head(s, blocks[t]);
            }
            for g in 0..F::Scales::SUPER {
                let highs = &self.x.highs[at * GROUP_DWORDS..][..GROUP_DWORDS];
                let lows = &self.x.lows[at * OPERANDS..][..OPERANDS];
                let x = Group { highs, lows, fine: self.x.fine[at] };
                let ahead = AHEAD_LINES + over(at * size + AHEAD_LINES, tile_lines);
                for t in 0..ABREAST {
                    let lines = &self.tiles[t].0[at * size..][..size];
                    ask_for(s, lines, ahead);
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
                    ask_for(s, lines, AHEAD_LINES);
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

/// Asks for the lines that lie `ahead` after these.
#[inline(always)]
fn ask_for<S: Simd>(s: S, lines: &[Line], ahead: usize) {
    for line in lines {
        s.prefetch(std::ptr::from_ref(line).wrapping_add(ahead).cast());
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
    let lowered = S::LOWERS && F::Codes::MOST >= 128;
    let has_offsets = !F::Scales::MIN && !lowered;
    let mut dots = [s.splat_i(0); R];
    if x.fine == 0 && has_offsets {
        // As what the products are added to, offsets cost no addition of their own.
        for (r, dot) in dots.iter_mut().enumerate() {
            *dot = s.splat_i(offsets[r]);
        }
    }
    dots_of::<S, F, R, V>(s, &mut dots, codes, (&x.highs[half * V * R..], u8::MAX));
    if x.fine != 0 {
        for (r, dot) in dots.iter_mut().enumerate() {
            let offset = if has_offsets { offsets[r] } else { 0 };
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
    s.dots::<R, V>(dots, (codes, F::Codes::MOST), x, rows);
}
