//! Sixteen lanes as the kernels see them, and the few operations that they are written in.
//!
//! A kernel is one generic function over [`Simd`]; each instruction set implements the trait once.
//! Everything is inlined into one function that has the instruction set's target features.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod amx_emulator;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod portable;

/// Lanes of a vector; rows of a weight tile.
pub(crate) const LANES: usize = 16;

/// Most activation rows that the matmul micro-kernel takes in any instruction set.
pub(crate) const ROWS_MAX: usize = 8;

/// Sixteen dwords: one row of a weight tile each.
#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u32; LANES]);

/// Dwords that [`Simd::columns`] takes eight of: the codes of a row's longest superblock.
pub(crate) type Row = [u32; 64];

/// Something that runs on any instruction set.
pub(crate) trait Kernel {
    type Output;
    /// Must be `#[inline(always)]`, and so must all that it calls with a `S`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// An instruction set that this machine was found to have.
pub(crate) trait Simd: Copy {
    /// 16 x f32.
    type F: Copy;
    /// 16 x i32.
    type I: Copy;
    /// 64 x u8.
    type B: Copy;
    /// Activation rows that the matmul micro-kernel takes at most.
    const ROWS: usize;
    /// Vectors of sums that stay in registers beside what they are made of.
    const SUMS: usize;
    /// Whether [`Simd::fma`] rounds once.
    const FUSES: bool;
    /// Whether [`Simd::dot_wide`] takes 128 off each code.
    const LOWERS: bool;

    /// Runs a kernel in a function that has this instruction set's target features.
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output;

    /// Asks for the cache line at `at`, if there is any, before it is read.
    fn prefetch(self, at: *const u8);
    fn splat(self, x: f32) -> Self::F;
    fn load(self, src: &[f32; LANES]) -> Self::F;
    fn store(self, dst: &mut [f32; LANES], x: Self::F);
    fn load_f16(self, src: &[u16; LANES]) -> Self::F;
    fn load_bf16(self, src: &[u16; LANES]) -> Self::F;
    fn store_f16(self, dst: &mut [u16; LANES], x: Self::F);
    fn load_u8(self, src: &[u8; LANES]) -> Self::F;
    fn load_i8(self, src: &[u8; LANES]) -> Self::F;
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `if a > b { a } else { b }`: `b` where either is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `if a < b { a } else { b }`: `b` where either is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once where the machine can.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// Nearest integer, ties to even.
    fn round(self, x: Self::F) -> Self::F;
    /// `x * 2^n` for whole `n` in `-126..=127`.
    fn scale2(self, x: Self::F, n: Self::F) -> Self::F;
    /// `value`, but 0 where `x < limit`.
    fn zero_below(self, value: Self::F, x: Self::F, limit: f32) -> Self::F;
    fn abs(self, x: Self::F) -> Self::F;
    /// Largest lane; any lane where one is NaN.
    fn highest(self, x: Self::F) -> f32;
    /// Nearest integers as i8, for lanes within -127..=127.
    fn to_i8(self, x: Self::F) -> [i8; LANES];

    fn splat_i(self, x: i32) -> Self::I;
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I;
    fn shl_i(self, x: Self::I, n: u32) -> Self::I;
    fn to_f32(self, x: Self::I) -> Self::F;
    /// The same bits.
    fn as_f32(self, x: Self::I) -> Self::F;

    fn line(self, src: &Line) -> Self::B;
    fn store_line(self, dst: &mut Line, x: Self::B);
    /// Dwords `first..first + 8` of 16 rows: row `r` in dword `r` of each.
    fn columns(self, rows: &[Row; LANES], first: usize) -> [Self::B; 8];
    /// `x & mask`, byte by byte.
    fn and(self, x: Self::B, mask: u8) -> Self::B;
    fn or(self, a: Self::B, b: Self::B) -> Self::B;
    /// Dword shift; bits cross byte borders.
    fn shr<const N: u32>(self, x: Self::B) -> Self::B;
    /// Dword shift; bits cross byte borders.
    fn shl<const N: u32>(self, x: Self::B) -> Self::B;
    /// `table[x]`, byte by byte, for bytes of 0 to 15.
    fn lookup(self, x: Self::B, table: &[u8; 16]) -> Self::B;
    /// `acc[i] += sum_j codes[4i + j] * x_j` with the four signed bytes `x_j` of `x`; codes < 128.
    fn dot(self, acc: Self::I, codes: Self::B, x: i32) -> Self::I;
    /// As [`Simd::dot`], for codes up to 255 and no `x_j` of -128; with [`Simd::LOWERS`] of codes
    /// less 128.
    fn dot_wide(self, acc: Self::I, codes: Self::B, x: i32) -> Self::I;
    /// `accs[r] += codes[v] . x[v * R + r]` for all `v`, and all `r` whose bit `r / 4` is set in
    /// `rows`; the others' `x` is zero. No code is above `most`, a constant once this is inlined:
    /// from 128 on as [`Simd::dot_wide`] does it.
    #[inline(always)]
    fn dots<const R: usize, const V: usize>(
        self,
        accs: &mut [Self::I; R],
        (codes, most): (&[Self::B; V], u8),
        x: &[i32],
        rows: u8,
    ) {
        // Rows without their bit add zeros: leaving them out is only for speed.
        let _ = rows;
        dots_by_row::<Self, R, V>(self, accs, (codes, most), x);
    }
    /// As [`Simd::dots`] of several tiles, `accs[t][r] += codes[t][v] . x[v * R + r]`, whose codes
    /// are in memory.
    #[inline(always)]
    fn dots_in_memory<const R: usize, const V: usize, const T: usize>(
        self,
        accs: &mut [[Self::I; R]; T],
        codes: ([&[Line; V]; T], u8),
        x: &[i32],
        rows: u8,
    ) {
        dots_of_loaded::<Self, R, V, T>(self, accs, codes, x, rows);
    }
}

/// [`Simd::dots_in_memory`], one tile after the other.
#[inline(always)]
fn dots_of_loaded<S: Simd, const R: usize, const V: usize, const T: usize>(
    s: S,
    accs: &mut [[S::I; R]; T],
    (codes, most): ([&[Line; V]; T], u8),
    x: &[i32],
    rows: u8,
) {
    for t in 0..T {
        let mut operands = [s.line(&codes[t][0]); V];
        for v in 1..V {
            operands[v] = s.line(&codes[t][v]);
        }
        s.dots::<R, V>(&mut accs[t], (&operands, most), x, rows);
    }
}

/// [`Simd::dots`] of all rows, one product at a time.
#[inline(always)]
pub(crate) fn dots_by_row<S: Simd, const R: usize, const V: usize>(
    s: S,
    accs: &mut [S::I; R],
    (codes, most): (&[S::B; V], u8),
    x: &[i32],
) {
    for (v, codes) in codes.iter().enumerate() {
        for (r, acc) in accs.iter_mut().enumerate() {
            let x = x[v * R + r];
            *acc = if most < 128 { s.dot(*acc, *codes, x) } else { s.dot_wide(*acc, *codes, x) };
        }
    }
}

/// Sum of the lanes, always in the same tree order.
#[inline(always)]
pub(crate) fn sum<S: Simd>(s: S, x: S::F) -> f32 {
    let mut lanes = [0.0; LANES];
    s.store(&mut lanes, x);
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Below this, `exp` is 0.
const EXP_MIN: f32 = -87.0;
/// From here on, `exp` stays what it is here.
const EXP_MAX: f32 = 88.0;

/// `e^x`, within 2 ULP for `-87 < x < 88`, exactly 1 at 0; 0 below; NaN stays NaN.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    // exp(x) = 2^n * exp(r) with r = x - n ln 2, |r| <= ln 2 / 2; the polynomial is the Taylor
    // series to degree 7, whose error there is below 2^-26.
    let clamped = s.min(s.splat(EXP_MAX), s.max(s.splat(EXP_MIN), x));
    let (n, r) = without_ln2(s, clamped);
    let mut p = s.splat(1.0 / 5040.0);
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = s.fma(p, r, s.splat(c));
    }
    s.zero_below(s.scale2(p, n), x, EXP_MIN)
}

/// `(n, r)` of `x = n ln 2 + r`, whole `n` and `|r| <= ln 2 / 2`, in two steps (Cody and Waite).
#[inline(always)]
fn without_ln2<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-0.693_359_4), x);
    (n, s.fma(n, s.splat(2.121_944_4e-4), r))
}

/// From here on `tanh` is 1.
const TANH_MAX: f32 = 20.0;

/// `tanh(x)`, within 4 ULP, exactly 0 at 0; NaN stays NaN.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    // tanh(x) = m / (m + 2) with m = exp(2x) - 1 = 2^n * (exp(r) - 1) + (2^n - 1): near 0 there is
    // nothing to cancel, because n is 0 there.
    let clamped = s.min(s.splat(TANH_MAX), s.max(s.splat(-TANH_MAX), x));
    let (n, r) = without_ln2(s, s.add(clamped, clamped));
    let mut p = s.splat(1.0 / 5040.0);
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5] {
        p = s.fma(p, r, s.splat(c));
    }
    let p = s.fma(s.mul(p, r), r, r);
    let power = s.scale2(s.splat(1.0), n);
    let m = s.fma(power, p, s.sub(power, s.splat(1.0)));
    s.div(m, s.add(m, s.splat(2.0)))
}

/// `values` in steps of 16 lanes; what is left over is padded with zeros.
#[inline(always)]
pub(crate) fn lanes_of(values: &[f32], start: usize) -> [f32; LANES] {
    if let Some(full) = values[start..].first_chunk::<LANES>() {
        return *full;
    }
    let mut out = [0.0; LANES];
    let rest = &values[start..];
    out[..rest.len()].copy_from_slice(rest);
    out
}
