//! Integer weights times rows: a micro-kernel of 16 weight rows, or some tiles of them, by 1, 2, 4
//! or 8 activation rows. Weights are packed for few rows, and were unpacked by `blocked` for many.

use std::marker::PhantomData;

use crate::activation::{
    self, FINE_BITS, GROUP_DWORDS, MINUS_CODES, SCALE, SUM, WHOLE, WHOLE_VALUE,
};
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
            let format = PhantomData::<F>;
            isa.run(Integers::<F, $rows> { format, lines, scales, ahead, x, out })
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
        let mut sums = [[[s.splat(0.0)]]; ABREAST];
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
                    let index = g * F::Scales::HALVES;
                    let tile = Packed { codes, head: heads[t], block: blocks[t], index };
                    add_group::<S, F, _, 1, 1>(s, &mut sums[t], &x, &tile);
                }
                at += 1;
            }
        }
        for (out, [[sum]]) in self.out.iter_mut().zip(sums) {
            s.store(out, sum);
        }
    }
}

/// A weight tile times a tile of R rows.
struct Integers<'a, F, const R: usize> {
    format: PhantomData<F>,
    lines: &'a [Line],
    scales: &'a [u8],
    ahead: bool,
    x: activation::Codes<'a>,
    /// What the products are added to.
    out: &'a mut [[f32; LANES]],
}

impl<F: Format, const R: usize> Kernel for Integers<'_, F, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(R <= S::ROWS && self.out.len() == R, "a tile that this variant takes");
        let fits = F::Scales::MIN || self.x.shift == F::Scales::SHIFT;
        assert!(fits, "activations prepared for other weights");
        let mut sums = [[s.splat(0.0); R]];
        for (r, sum) in sums[0].iter_mut().enumerate() {
            *sum = s.load(&self.out[r]);
        }
        let mut lines = self.lines.chunks_exact(F::Codes::LINES);
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
                let (codes, index) = (F::Codes::unpack(s, lines), g * F::Scales::HALVES);
                let x = Group { highs, lows, fine };
                let tile = Packed { codes, head, block, index };
                add_group::<S, F, _, R, 1>(s, &mut sums, &x, &tile);
            }
        }
        for (out, sum) in self.out.iter_mut().zip(sums[0]) {
            s.store(out, sum);
        }
    }
}

/// Lines of the scales of a group, where they are unpacked, and so of its minimums, if there are.
pub(crate) const fn scale_lines<K: Scales>() -> usize {
    if K::MIN { 2 * K::HALVES } else { K::HALVES }
}

/// Some groups of a weight tile, unpacked.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tile<'a> {
    /// `[groups][OPERANDS]`.
    pub(crate) codes: &'a [Line],
    /// `[groups][scale_lines]`, in f32.
    pub(crate) scales: &'a [Line],
}

/// Packed groups that become a [`Tile`].
pub(crate) struct Unpack<'a, F> {
    pub(crate) format: PhantomData<F>,
    pub(crate) lines: &'a [Line],
    /// From the first of these groups on, which is the first of a superblock.
    pub(crate) scales: &'a [u8],
    /// Codes that will be unpacked soon.
    pub(crate) ahead: &'a [Line],
    pub(crate) codes_out: &'a mut [Line],
    pub(crate) scales_out: &'a mut [Line],
}

impl<F: Format> Kernel for Unpack<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for line in self.ahead {
            s.prefetch(std::ptr::from_ref(line).cast());
        }
        let groups = self.lines.chunks_exact(F::Codes::LINES);
        for (lines, out) in groups.zip(self.codes_out.chunks_exact_mut(OPERANDS)) {
            let codes = F::Codes::unpack(s, lines);
            for v in 0..OPERANDS {
                s.store_line(&mut out[v], codes[v]);
            }
        }
        unpack_scales::<S, F::Scales>(s, self.scales, self.scales_out);
    }
}

/// `packed` scales of whole superblocks as [`Tile::scales`], of as many groups as `out` takes.
#[inline(always)]
pub(crate) fn unpack_scales<S: Simd, K: Scales>(s: S, packed: &[u8], out: &mut [Line]) {
    for (g, out) in out.chunks_exact_mut(scale_lines::<K>()).enumerate() {
        let block = &packed[g / K::SUPER * K::BYTES..][..K::BYTES];
        let head = K::head(s, block);
        for half in 0..K::HALVES {
            let (scale, min) = K::group(s, head, block, g % K::SUPER * K::HALVES + half);
            s.store(bytemuck::cast_mut(&mut out[half]), scale);
            if K::MIN {
                s.store(bytemuck::cast_mut(&mut out[K::HALVES + half]), min);
            }
        }
    }
}

/// Scale and minimum of half `half` of a group of [`Tile::scales`].
#[inline(always)]
pub(crate) fn scale_of<S: Simd, K: Scales>(s: S, group: &[Line], half: usize) -> (S::F, S::F) {
    let scale = s.load(bytemuck::cast_ref(&group[half]));
    let min = match K::MIN {
        true => s.load(bytemuck::cast_ref(&group[K::HALVES + half])),
        false => s.splat(0.0),
    };
    (scale, min)
}

/// Some groups of T weight tiles, unpacked, times a tile of R rows.
pub(crate) struct Blocks<'a, F, const R: usize, const T: usize> {
    pub(crate) format: PhantomData<F>,
    pub(crate) tiles: [Tile<'a>; T],
    pub(crate) x: activation::Codes<'a>,
    /// What the products are added to.
    pub(crate) out: [&'a mut [[f32; LANES]; R]; T],
}

impl<F: Format, const R: usize, const T: usize> Kernel for Blocks<'_, F, R, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(R <= S::ROWS, "a tile that this variant takes");
        let fits = F::Scales::MIN || self.x.shift == F::Scales::SHIFT;
        assert!(fits, "activations prepared for other weights");
        let mut sums = [[s.splat(0.0); R]; T];
        for (sums, out) in sums.iter_mut().zip(&self.out) {
            for (sum, out) in sums.iter_mut().zip(&**out) {
                *sum = s.load(out);
            }
        }
        let per_group = scale_lines::<F::Scales>();
        for at in 0..self.x.fine.len() {
            let x = Group {
                highs: &self.x.highs[at * GROUP_DWORDS * R..][..GROUP_DWORDS * R],
                lows: &self.x.lows[at * OPERANDS * R..][..OPERANDS * R],
                fine: self.x.fine[at],
            };
            let mut tiles =
                Unpacked { codes: [&[Line([0; LANES]); OPERANDS]; T], scales: [&[]; T] };
            for t in 0..T {
                let Tile { codes, scales } = self.tiles[t];
                tiles.codes[t] = codes[at * OPERANDS..].first_chunk().expect("a group");
                tiles.scales[t] = &scales[at * per_group..][..per_group];
            }
            add_group::<S, F, _, R, T>(s, &mut sums, &x, &tiles);
        }
        for (sums, out) in sums.into_iter().zip(self.out) {
            for (sum, out) in sums.into_iter().zip(out) {
                s.store(out, sum);
            }
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

/// A group of `T` weight tiles.
trait Weights<S: Simd, K: Scales, const T: usize> {
    /// [`Simd::dots`] of the operands `half * V..half * V + V`, no code of which is above `most`.
    fn dots<const R: usize, const V: usize>(
        &self,
        s: S,
        accs: &mut [[S::I; R]; T],
        of: (usize, u8),
        x: (&[i32], u8),
    );
    /// Scale and minimum of half `half` of tile `t`.
    fn scale(&self, s: S, t: usize, half: usize) -> (S::F, S::F);
}

/// One tile whose codes are in registers.
struct Packed<'a, F, B> {
    codes: [B; OPERANDS],
    head: (F, F),
    block: &'a [u8],
    /// Of the group's first scale in the block.
    index: usize,
}

impl<S: Simd, K: Scales> Weights<S, K, 1> for Packed<'_, S::F, S::B> {
    #[inline(always)]
    fn dots<const R: usize, const V: usize>(
        &self,
        s: S,
        [accs]: &mut [[S::I; R]; 1],
        (half, most): (usize, u8),
        (x, rows): (&[i32], u8),
    ) {
        let codes = self.codes[half * V..].first_chunk().expect("whole halves");
        s.dots::<R, V>(accs, (codes, most), x, rows);
    }
    #[inline(always)]
    fn scale(&self, s: S, _: usize, half: usize) -> (S::F, S::F) {
        K::group(s, self.head, self.block, self.index + half)
    }
}

/// In memory, loaded when they are used: there are not registers for all.
struct Unpacked<'a, const T: usize> {
    codes: [&'a [Line; OPERANDS]; T],
    scales: [&'a [Line]; T],
}

impl<S: Simd, K: Scales, const T: usize> Weights<S, K, T> for Unpacked<'_, T> {
    #[inline(always)]
    fn dots<const R: usize, const V: usize>(
        &self,
        s: S,
        accs: &mut [[S::I; R]; T],
        (half, most): (usize, u8),
        (x, rows): (&[i32], u8),
    ) {
        let mut codes = [self.codes[0].first_chunk().expect("whole halves"); T];
        for (codes, all) in codes.iter_mut().zip(self.codes) {
            *codes = all[half * V..].first_chunk().expect("whole halves");
        }
        s.dots_in_memory::<R, V, T>(accs, (codes, most), x, rows);
    }
    #[inline(always)]
    fn scale(&self, s: S, t: usize, half: usize) -> (S::F, S::F) {
        scale_of::<S, K>(s, self.scales[t], half)
    }
}

/// `sums += scale * (codes . x) + min * x` of each tile for the columns of a group.
#[inline(always)]
fn add_group<S: Simd, F: Format, W: Weights<S, F::Scales, T>, const R: usize, const T: usize>(
    s: S,
    sums: &mut [[S::F; R]; T],
    x: &Group<'_>,
    tiles: &W,
) {
    if F::Scales::HALVES == 1 {
        let (dots, less) = dots_under::<S, F, W, R, OPERANDS, T>(s, x, tiles, 0);
        for t in 0..T {
            let (scale, min) = tiles.scale(s, t, 0);
            let less = s.mul(less, scale);
            for r in 0..R {
                let term = s.fma(dots[t][r], scale, less);
                sums[t][r] = s.fma(term, x.number(s, SCALE * R + r), sums[t][r]);
            }
            add_minimums::<S, F, R>(s, &mut sums[t], (x, 0), min);
        }
    } else {
        // Of the second half only when the first is done: few registers must hold them.
        let mut terms = [[s.splat(0.0); R]; T];
        let (dots, less) = dots_under::<S, F, W, R, { OPERANDS / 2 }, T>(s, x, tiles, 0);
        for t in 0..T {
            let scale = tiles.scale(s, t, 0).0;
            let less = s.mul(less, scale);
            for r in 0..R {
                terms[t][r] = s.fma(dots[t][r], scale, less);
            }
        }
        let (dots, less) = dots_under::<S, F, W, R, { OPERANDS / 2 }, T>(s, x, tiles, 1);
        for t in 0..T {
            let min = tiles.scale(s, t, 0).1;
            let (scale, high_min) = tiles.scale(s, t, 1);
            for r in 0..R {
                let term = s.fma(s.add(dots[t][r], less), scale, terms[t][r]);
                sums[t][r] = s.fma(term, x.number(s, SCALE * R + r), sums[t][r]);
            }
            add_minimums::<S, F, R>(s, &mut sums[t], (x, 0), min);
            add_minimums::<S, F, R>(s, &mut sums[t], (x, 1), high_min);
        }
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

/// `codes . x` of the columns under scale `half`, `V` operands of each tile, and what is still to
/// be added to each; all are whole numbers.
#[inline(always)]
fn dots_under<
    S: Simd,
    F: Format,
    W: Weights<S, F::Scales, T>,
    const R: usize,
    const V: usize,
    const T: usize,
>(
    s: S,
    x: &Group<'_>,
    tiles: &W,
    half: usize,
) -> ([[S::F; R]; T], S::F) {
    let first = (MINUS_CODES + part(F::Scales::HALVES, half)) * R;
    // They take the offset out of codes that stand for negative numbers too.
    let offsets = &x.highs[first..][..R];
    let lowered = S::LOWERS && F::Codes::MOST >= 128;
    let has_offsets = !F::Scales::MIN && !lowered;
    let mut dots = [[s.splat_i(if x.fine == 0 { WHOLE } else { 0 }); R]; T];
    if x.fine == 0 && has_offsets {
        // As what the products are added to, offsets cost no addition of their own.
        for r in 0..R {
            let offset = s.splat_i(offsets[r]);
            for dots in &mut dots {
                dots[r] = offset;
            }
        }
    }
    let most = F::Codes::MOST;
    tiles.dots::<R, V>(s, &mut dots, (half, most), (&x.highs[half * V * R..], u8::MAX));
    let mut out = [[s.splat(0.0); R]; T];
    if x.fine == 0 {
        for t in 0..T {
            for r in 0..R {
                out[t][r] = s.as_f32(dots[t][r]);
            }
        }
        let less = s.splat(-WHOLE_VALUE);
        if S::FUSES && !F::Scales::HUGE {
            return (out, less);
        }
        for out in out.as_flattened_mut() {
            *out = s.add(*out, less);
        }
        return (out, s.splat(0.0));
    }
    for r in 0..R {
        let offset = s.splat_i(if has_offsets { offsets[r] } else { 0 });
        for dots in &mut dots {
            dots[r] = s.add_i(s.shl_i(dots[r], FINE_BITS), offset);
        }
    }
    tiles.dots::<R, V>(s, &mut dots, (half, most), (&x.lows[half * V * R..], x.fine));
    for t in 0..T {
        for r in 0..R {
            out[t][r] = s.to_f32(dots[t][r]);
        }
    }
    (out, s.splat(0.0))
}
