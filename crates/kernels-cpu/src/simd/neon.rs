//! The lanes as four 128-bit NEON registers, with three ways to multiply bytes.
//!
//! `sdot` and `usdot` are written in assembly: their intrinsics are not stable yet.
#![expect(unsafe_code, reason = "intrinsics outside functions with target features")]

use std::arch::aarch64 as arm;
use std::arch::aarch64::{float32x4_t, int32x4_t, uint8x16_t};
use std::arch::{asm, is_aarch64_feature_detected};

use super::{Kernel, LANES, Line, Row, Simd};

/// Proof that NEON and `M` were found.
#[derive(Clone, Copy)]
pub(crate) struct Neon<M>(M);

/// How bytes are multiplied; only this file can make one.
pub(crate) trait Multiply: Copy {
    /// Runs a kernel in a function that has the target features.
    fn enter<K: Kernel>(s: Neon<Self>, kernel: K) -> K::Output;
    /// [`Simd::dot`].
    fn narrow(self, acc: Ints, codes: Bytes, x: i32) -> Ints;
    /// [`Simd::dot_wide`].
    fn wide(self, acc: Ints, codes: Bytes, x: i32) -> Ints;
}

/// 16 x i32.
pub(crate) type Ints = [int32x4_t; 4];
/// 64 x u8.
pub(crate) type Bytes = [uint8x16_t; 4];

/// Widening products, which every NEON has.
#[derive(Clone, Copy)]
pub(crate) struct Widening(());
/// Four signed products at once.
#[derive(Clone, Copy)]
pub(crate) struct Dotprod(());
/// Four products of an unsigned and a signed byte at once.
#[derive(Clone, Copy)]
pub(crate) struct I8mm(());

impl Neon<Widening> {
    pub(crate) fn detect() -> Option<Neon<Widening>> {
        is_aarch64_feature_detected!("neon").then_some(Neon(Widening(())))
    }
}

impl Neon<Dotprod> {
    pub(crate) fn detect() -> Option<Neon<Dotprod>> {
        let found = is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("dotprod");
        found.then_some(Neon(Dotprod(())))
    }
}

impl Neon<I8mm> {
    pub(crate) fn detect() -> Option<Neon<I8mm>> {
        let found = is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("i8mm");
        found.then_some(Neon(I8mm(())))
    }
}

/// One intrinsic on a machine that has it.
macro_rules! on {
    ($call:expr) => {
        // SAFETY: `Neon` and what it holds exist only where their features were found; pointers
        // come from references to arrays of at least the width that is read or written.
        unsafe { $call }
    };
}

/// The same intrinsic on all four registers.
macro_rules! all {
    ($name:ident($($arg:ident),*)) => {
        [
            on!(arm::$name($($arg[0]),*)),
            on!(arm::$name($($arg[1]),*)),
            on!(arm::$name($($arg[2]),*)),
            on!(arm::$name($($arg[3]),*)),
        ]
    };
}

#[target_feature(enable = "neon")]
fn enter_widening<K: Kernel>(s: Neon<Widening>, kernel: K) -> K::Output {
    kernel.run(s)
}

#[target_feature(enable = "neon,dotprod")]
fn enter_dotprod<K: Kernel>(s: Neon<Dotprod>, kernel: K) -> K::Output {
    kernel.run(s)
}

#[target_feature(enable = "neon,i8mm")]
fn enter_i8mm<K: Kernel>(s: Neon<I8mm>, kernel: K) -> K::Output {
    kernel.run(s)
}

/// `acc[i] += sum_j a[4i + j] * x_j` of signed bytes; `x` holds four in the bits of an f32, because
/// then it is loaded into a vector register and not moved there.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut acc: int32x4_t, a: uint8x16_t, x: f32) -> int32x4_t {
    // SAFETY: the instruction reads and writes these registers only, and the feature is on.
    unsafe {
        asm!(
            "sdot {acc:v}.4s, {a:v}.16b, {x:v}.4b[0]",
            acc = inlateout(vreg) acc,
            a = in(vreg) a,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}

/// The same with unsigned `a`.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn usdot(mut acc: int32x4_t, a: uint8x16_t, x: f32) -> int32x4_t {
    // SAFETY: the instruction reads and writes these registers only, and the feature is on.
    unsafe {
        asm!(
            "usdot {acc:v}.4s, {a:v}.16b, {x:v}.4b[0]",
            acc = inlateout(vreg) acc,
            a = in(vreg) a,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}

#[inline(always)]
fn as_float(x: i32) -> f32 {
    f32::from_bits(x.cast_unsigned())
}

/// Codes less 128, as signed bytes.
#[inline(always)]
fn centred(codes: Bytes) -> Bytes {
    let offset = [on!(arm::vdupq_n_u8(128)); 4];
    all!(veorq_u8(codes, offset))
}

impl Multiply for I8mm {
    #[inline(always)]
    fn enter<K: Kernel>(s: Neon<I8mm>, kernel: K) -> K::Output {
        on!(enter_i8mm(s, kernel))
    }
    #[inline(always)]
    fn narrow(self, acc: Ints, codes: Bytes, x: i32) -> Ints {
        let (mut out, x) = (acc, as_float(x));
        for i in 0..4 {
            out[i] = on!(usdot(out[i], codes[i], x));
        }
        out
    }
    #[inline(always)]
    fn wide(self, acc: Ints, codes: Bytes, x: i32) -> Ints {
        self.narrow(acc, codes, x)
    }
}

impl Multiply for Dotprod {
    #[inline(always)]
    fn enter<K: Kernel>(s: Neon<Dotprod>, kernel: K) -> K::Output {
        on!(enter_dotprod(s, kernel))
    }
    #[inline(always)]
    fn narrow(self, acc: Ints, codes: Bytes, x: i32) -> Ints {
        let (mut out, x) = (acc, as_float(x));
        for i in 0..4 {
            out[i] = on!(sdot(out[i], codes[i], x));
        }
        out
    }
    #[inline(always)]
    fn wide(self, acc: Ints, codes: Bytes, x: i32) -> Ints {
        // sum c x = sum (c - 128) x + 128 sum x.
        let (zero, ones) = (on!(arm::vdupq_n_s32(0)), on!(arm::vdupq_n_u8(1)));
        let sum = on!(sdot(zero, ones, as_float(x)));
        let back = [on!(arm::vshlq_n_s32::<7>(sum)); 4];
        self.narrow(all!(vaddq_s32(acc, back)), centred(codes), x)
    }
}

impl Multiply for Widening {
    #[inline(always)]
    fn enter<K: Kernel>(s: Neon<Widening>, kernel: K) -> K::Output {
        on!(enter_widening(s, kernel))
    }
    #[inline(always)]
    fn narrow(self, acc: Ints, codes: Bytes, x: i32) -> Ints {
        // Two products of a code < 128 and a byte stay within i16: 2 * 127 * 128 < 2^15.
        let [low, high] = products(codes, x);
        let pairs = all!(vpaddq_s16(low, high));
        all!(vpadalq_s16(acc, pairs))
    }
    #[inline(always)]
    fn wide(self, acc: Ints, codes: Bytes, x: i32) -> Ints {
        // sum c x = sum (c - 128) x + 128 sum x. Two products may now be 2 * 128 * 128, so they
        // are added as i32.
        let bytes = on!(arm::vdupq_n_s32(x));
        let bytes = on!(arm::vreinterpretq_s8_s32(bytes));
        let pairs = on!(arm::vpaddlq_s8(bytes));
        let sum = on!(arm::vpaddlq_s16(pairs));
        let back = [on!(arm::vshlq_n_s32::<7>(sum)); 4];
        let [low, high] = products(centred(codes), x);
        let (low, high) = (all!(vpaddlq_s16(low)), all!(vpaddlq_s16(high)));
        let sums = all!(vpaddq_s32(low, high));
        let acc = all!(vaddq_s32(acc, back));
        all!(vaddq_s32(acc, sums))
    }
}

/// Each signed byte times its byte of `x`: of the lower and of the upper half of each register.
#[inline(always)]
fn products(bytes: Bytes, x: i32) -> [[arm::int16x8_t; 4]; 2] {
    let x = [on!(arm::vdupq_n_s32(x)); 4];
    let x = all!(vreinterpretq_s8_s32(x));
    let bytes = all!(vreinterpretq_s8_u8(bytes));
    let (low, low_x) = (all!(vget_low_s8(bytes)), all!(vget_low_s8(x)));
    [all!(vmull_s8(low, low_x)), all!(vmull_high_s8(bytes, x))]
}

/// Each dword shifted to the left, or to the right where `n` is negative.
#[inline(always)]
fn shifted(x: Bytes, n: i32) -> Bytes {
    // The count is a constant once this is inlined, and becomes an immediate.
    let count = [on!(arm::vdupq_n_s32(n)); 4];
    let dwords = all!(vreinterpretq_u32_u8(x));
    let dwords = all!(vshlq_u32(dwords, count));
    all!(vreinterpretq_u8_u32(dwords))
}

/// The columns of the low halves of two registers, and those of the high ones.
#[inline(always)]
fn halves(ab: arm::uint32x4_t, cd: arm::uint32x4_t) -> (uint8x16_t, uint8x16_t) {
    let (ab, cd) = (on!(arm::vreinterpretq_u64_u32(ab)), on!(arm::vreinterpretq_u64_u32(cd)));
    let (low, high) = (on!(arm::vzip1q_u64(ab, cd)), on!(arm::vzip2q_u64(ab, cd)));
    (on!(arm::vreinterpretq_u8_u64(low)), on!(arm::vreinterpretq_u8_u64(high)))
}

/// Sixteen 16-bit numbers, four in each register.
#[inline(always)]
fn quarters(src: &[u16; LANES]) -> [arm::uint16x4_t; 4] {
    let low = on!(arm::vld1q_u16(src.as_ptr()));
    let high = on!(arm::vld1q_u16(src[8..].as_ptr()));
    let (a, b) = (on!(arm::vget_low_u16(low)), on!(arm::vget_high_u16(low)));
    [a, b, on!(arm::vget_low_u16(high)), on!(arm::vget_high_u16(high))]
}

impl<M: Multiply> Simd for Neon<M> {
    type F = [float32x4_t; 4];
    type I = Ints;
    type B = Bytes;
    const ROWS: usize = 4;
    const SUMS: usize = 4;
    const FUSES: bool = true;
    const LOWERS: bool = false;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        M::enter(self, kernel)
    }
    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a hint changes nothing that the program can see.
        unsafe {
            asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly));
        }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [on!(arm::vdupq_n_f32(x)); 4]
    }
    #[inline(always)]
    fn load(self, src: &[f32; LANES]) -> Self::F {
        let mut out = self.splat(0.0);
        for i in 0..4 {
            out[i] = on!(arm::vld1q_f32(src[4 * i..].as_ptr()));
        }
        out
    }
    #[inline(always)]
    fn store(self, dst: &mut [f32; LANES], x: Self::F) {
        for i in 0..4 {
            on!(arm::vst1q_f32(dst[4 * i..].as_mut_ptr(), x[i]));
        }
    }
    #[inline(always)]
    fn load_f16(self, src: &[u16; LANES]) -> Self::F {
        let halves = quarters(src);
        let halves = all!(vreinterpret_f16_u16(halves));
        all!(vcvt_f32_f16(halves))
    }
    #[inline(always)]
    fn load_bf16(self, src: &[u16; LANES]) -> Self::F {
        let halves = quarters(src);
        let bits = all!(vmovl_u16(halves));
        let count = [on!(arm::vdupq_n_s32(16)); 4];
        let bits = all!(vshlq_u32(bits, count));
        all!(vreinterpretq_f32_u32(bits))
    }
    #[inline(always)]
    fn store_f16(self, dst: &mut [u16; LANES], x: Self::F) {
        let halves = all!(vcvt_f16_f32(x));
        let halves = all!(vreinterpret_u16_f16(halves));
        for i in 0..4 {
            on!(arm::vst1_u16(dst[4 * i..].as_mut_ptr(), halves[i]));
        }
    }
    #[inline(always)]
    fn load_u8(self, src: &[u8; LANES]) -> Self::F {
        let bytes = on!(arm::vld1q_u8(src.as_ptr()));
        let first = on!(arm::vget_low_u8(bytes));
        let (first, last) = (on!(arm::vmovl_u8(first)), on!(arm::vmovl_high_u8(bytes)));
        let (a, c) = (on!(arm::vget_low_u16(first)), on!(arm::vget_low_u16(last)));
        let (a, b) = (on!(arm::vmovl_u16(a)), on!(arm::vmovl_high_u16(first)));
        let wide = [a, b, on!(arm::vmovl_u16(c)), on!(arm::vmovl_high_u16(last))];
        all!(vcvtq_f32_u32(wide))
    }
    #[inline(always)]
    fn load_i8(self, src: &[u8; LANES]) -> Self::F {
        let bytes = on!(arm::vld1q_u8(src.as_ptr()));
        let bytes = on!(arm::vreinterpretq_s8_u8(bytes));
        let first = on!(arm::vget_low_s8(bytes));
        let (first, last) = (on!(arm::vmovl_s8(first)), on!(arm::vmovl_high_s8(bytes)));
        let (a, c) = (on!(arm::vget_low_s16(first)), on!(arm::vget_low_s16(last)));
        let (a, b) = (on!(arm::vmovl_s16(a)), on!(arm::vmovl_high_s16(first)));
        self.to_f32([a, b, on!(arm::vmovl_s16(c)), on!(arm::vmovl_high_s16(last))])
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        all!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        all!(vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        all!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        all!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        // Not `fmax`, which gives NaN where either is.
        let above = all!(vcgtq_f32(a, b));
        all!(vbslq_f32(above, a, b))
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        let below = all!(vcltq_f32(a, b));
        all!(vbslq_f32(below, a, b))
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        all!(vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn round(self, x: Self::F) -> Self::F {
        all!(vrndnq_f32(x))
    }
    #[inline(always)]
    fn scale2(self, x: Self::F, n: Self::F) -> Self::F {
        let (whole, bias) = (all!(vcvtnq_s32_f32(n)), self.splat_i(127));
        let biased = all!(vaddq_s32(whole, bias));
        let power = self.shl_i(biased, 23);
        let power = all!(vreinterpretq_f32_s32(power));
        self.mul(x, power)
    }
    #[inline(always)]
    fn zero_below(self, value: Self::F, x: Self::F, limit: f32) -> Self::F {
        let limit = self.splat(limit);
        let below = all!(vcltq_f32(x, limit));
        let bits = all!(vreinterpretq_u32_f32(value));
        let kept = all!(vbicq_u32(bits, below));
        all!(vreinterpretq_f32_u32(kept))
    }
    #[inline(always)]
    fn abs(self, x: Self::F) -> Self::F {
        all!(vabsq_f32(x))
    }
    #[inline(always)]
    fn highest(self, x: Self::F) -> f32 {
        let low = on!(arm::vmaxq_f32(x[0], x[1]));
        let high = on!(arm::vmaxq_f32(x[2], x[3]));
        let all = on!(arm::vmaxq_f32(low, high));
        on!(arm::vmaxvq_f32(all))
    }
    #[inline(always)]
    fn to_i8(self, x: Self::F) -> [i8; LANES] {
        let wide = all!(vcvtnq_s32_f32(x));
        let (a, c) = (on!(arm::vqmovn_s32(wide[0])), on!(arm::vqmovn_s32(wide[2])));
        let low = on!(arm::vqmovn_high_s32(a, wide[1]));
        let high = on!(arm::vqmovn_high_s32(c, wide[3]));
        let low = on!(arm::vqmovn_s16(low));
        let bytes = on!(arm::vqmovn_high_s16(low, high));
        let mut out = [0; LANES];
        on!(arm::vst1q_s8(out.as_mut_ptr(), bytes));
        out
    }
    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        [on!(arm::vdupq_n_s32(x)); 4]
    }
    #[inline(always)]
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I {
        all!(vaddq_s32(a, b))
    }
    #[inline(always)]
    fn shl_i(self, x: Self::I, n: u32) -> Self::I {
        let count = self.splat_i(n.cast_signed());
        all!(vshlq_s32(x, count))
    }
    #[inline(always)]
    fn as_f32(self, x: Self::I) -> Self::F {
        all!(vreinterpretq_f32_s32(x))
    }
    #[inline(always)]
    fn to_f32(self, x: Self::I) -> Self::F {
        all!(vcvtq_f32_s32(x))
    }
    #[inline(always)]
    fn line(self, src: &Line) -> Self::B {
        let bytes: &[u8; 4 * LANES] = bytemuck::cast_ref(&src.0);
        let mut out = [on!(arm::vdupq_n_u8(0)); 4];
        for i in 0..4 {
            out[i] = on!(arm::vld1q_u8(bytes[16 * i..].as_ptr()));
        }
        out
    }
    #[inline(always)]
    fn store_line(self, dst: &mut Line, x: Self::B) {
        let bytes: &mut [u8; 4 * LANES] = bytemuck::cast_mut(&mut dst.0);
        for i in 0..4 {
            on!(arm::vst1q_u8(bytes[16 * i..].as_mut_ptr(), x[i]));
        }
    }
    #[inline(always)]
    fn columns(self, rows: &[Row; LANES], first: usize) -> [Self::B; 8] {
        let mut out = [[on!(arm::vdupq_n_u8(0)); 4]; 8];
        for i in 0..4 {
            for j in 0..2 {
                let row = |r: usize| rows[4 * i + r][first + 4 * j..][..4].as_ptr();
                let (a, b) = (on!(arm::vld1q_u32(row(0))), on!(arm::vld1q_u32(row(1))));
                let (c, d) = (on!(arm::vld1q_u32(row(2))), on!(arm::vld1q_u32(row(3))));
                let (ab, cd) = (on!(arm::vzip1q_u32(a, b)), on!(arm::vzip1q_u32(c, d)));
                (out[4 * j][i], out[4 * j + 1][i]) = halves(ab, cd);
                let (ab, cd) = (on!(arm::vzip2q_u32(a, b)), on!(arm::vzip2q_u32(c, d)));
                (out[4 * j + 2][i], out[4 * j + 3][i]) = halves(ab, cd);
            }
        }
        out
    }
    #[inline(always)]
    fn and(self, x: Self::B, mask: u8) -> Self::B {
        let mask = [on!(arm::vdupq_n_u8(mask)); 4];
        all!(vandq_u8(x, mask))
    }
    #[inline(always)]
    fn or(self, a: Self::B, b: Self::B) -> Self::B {
        all!(vorrq_u8(a, b))
    }
    #[inline(always)]
    fn shr<const N: u32>(self, x: Self::B) -> Self::B {
        shifted(x, -N.cast_signed())
    }
    #[inline(always)]
    fn shl<const N: u32>(self, x: Self::B) -> Self::B {
        shifted(x, N.cast_signed())
    }
    #[inline(always)]
    fn lookup(self, x: Self::B, table: &[u8; 16]) -> Self::B {
        let tables = [on!(arm::vld1q_u8(table.as_ptr())); 4];
        all!(vqtbl1q_u8(tables, x))
    }
    #[inline(always)]
    fn dot(self, acc: Self::I, codes: Self::B, x: i32) -> Self::I {
        self.0.narrow(acc, codes, x)
    }
    #[inline(always)]
    fn dot_wide(self, acc: Self::I, codes: Self::B, x: i32) -> Self::I {
        self.0.wide(acc, codes, x)
    }
}

#[cfg(test)]
mod tests {
    use super::{Kernel, LANES, Line, Simd};
    use crate::isa::{Isa, Variant, variants};

    /// What every operation gives for these lanes; all NaN are written alike.
    struct Floats([f32; LANES], [f32; LANES]);

    impl Kernel for Floats {
        type Output = Vec<[u32; LANES]>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let (a, b) = (s.load(&self.0), s.load(&self.1));
            let mut halves = [0; LANES];
            s.store_f16(&mut halves, a);
            let shifts = s.load(&std::array::from_fn(|i| 17.0 * i as f32 - 126.0));
            let results = [
                [s.add(a, b), s.sub(a, b), s.mul(a, b), s.div(a, b), s.fma(a, b, a)],
                [s.max(a, b), s.min(a, b), s.round(a), s.abs(a), s.zero_below(b, a, 0.5)],
                [s.scale2(a, shifts), s.load_f16(&halves), s.load_bf16(&halves), a, b],
            ];
            let bits = |x: &S::F| {
                let mut lanes = [0.0; LANES];
                s.store(&mut lanes, *x);
                lanes.map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() })
            };
            let mut out: Vec<_> = results.as_flattened().iter().map(bits).collect();
            let in_range = s.min(s.splat(127.0), s.max(s.splat(-127.0), a));
            out.push(s.to_i8(in_range).map(|x| u32::from(x.cast_unsigned())));
            out.push([s.highest(s.max(a, s.splat(-1.0))).to_bits(); LANES]);
            out
        }
    }

    /// Sums of products, and the bytes after each operation, of this line and this dword.
    struct Integers(Line, i32);

    impl Kernel for Integers {
        type Output = Vec<[f32; LANES]>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let (line, start) = (s.line(&self.0), s.shl_i(s.splat_i(-3), 7));
            let small = s.and(line, 127);
            let mut sums = vec![s.dot(start, small, self.1), s.dot_wide(start, line, self.1)];
            let shifted = [s.shr::<4>(line), s.shr::<1>(line), s.shl::<4>(line), s.shl::<1>(line)];
            for bytes in shifted.into_iter().chain([s.or(small, s.shr::<2>(line))]) {
                sums.extend((0..4).map(|j| s.dot_wide(s.splat_i(0), bytes, 1 << (8 * j))));
            }
            let bytes = std::array::from_fn(|i| self.0.0[i].to_le_bytes()[i % 4]);
            let floats = sums.into_iter().map(|sum| s.to_f32(sum));
            let floats = floats.chain([s.load_u8(&bytes), s.load_i8(&bytes)]);
            let mut out = Vec::new();
            for x in floats {
                out.push([0.0; LANES]);
                s.store(out.last_mut().unwrap(), x);
            }
            out
        }
    }

    fn all() -> Vec<(Variant, Isa)> {
        variants().into_iter().map(|variant| (variant, Isa::find(variant).unwrap())).collect()
    }

    #[test]
    fn floats_are_those_of_plain_rust() {
        let portable = Isa::find(Variant::Portable).unwrap();
        // Every f16, and what lies halfway to the next one or just beside that.
        for first in (0..=u16::MAX).step_by(LANES) {
            for beside in [0x0000_u32, 0x0fff, 0x1000, 0x1001] {
                let lane = |i| half::f16::from_bits(first + i as u16).to_f32().to_bits() + beside;
                let a: [f32; LANES] = std::array::from_fn(|i| f32::from_bits(lane(i)));
                let b = std::array::from_fn(|i| a[(i + 3) % LANES] * [1.0, -0.75][i % 2]);
                let want = portable.run(Floats(a, b));
                for (variant, isa) in all() {
                    assert_eq!(isa.run(Floats(a, b)), want, "{variant:?} {a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn integers_are_those_of_plain_rust() {
        let portable = Isa::find(Variant::Portable).unwrap();
        let dwords = [0, -1, i32::MIN, 0x7f7f_7f7f, -0x7f7f_7f80, 0x7f80_0180, 0x0102_fe03];
        for (k, x) in dwords.into_iter().enumerate() {
            let line =
                || Line(std::array::from_fn(|i| (dwords[(i + k) % 7] ^ 128).cast_unsigned()));
            let want = portable.run(Integers(line(), x));
            for (variant, isa) in all() {
                assert_eq!(isa.run(Integers(line(), x)), want, "{variant:?} {x:#x}");
            }
        }
    }
}
