//! The lanes in plain Rust, for any machine.

use half::{bf16, f16};

use super::{Kernel, LANES, Line, Row, Simd};

/// Every machine has this.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn each<T: Copy, U: Copy>(a: [T; LANES], f: impl Fn(T) -> U) -> [U; LANES] {
    // Not `a.map(f)`: that is a call that the compiler does not turn into vectors.
    let mut out = [f(a[0]); LANES];
    for i in 1..LANES {
        out[i] = f(a[i]);
    }
    out
}

#[inline(always)]
fn zip<T: Copy>(a: [T; LANES], b: [T; LANES], f: impl Fn(T, T) -> T) -> [T; LANES] {
    let mut out = a;
    for i in 0..LANES {
        out[i] = f(a[i], b[i]);
    }
    out
}

/// Whether there is an instruction that multiplies and adds.
const FUSES: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    // Without an instruction for it, `mul_add` is a slow library call.
    if FUSES { a.mul_add(b, c) } else { a * b + c }
}

impl Simd for Portable {
    type F = [f32; LANES];
    type I = [i32; LANES];
    type B = [u32; LANES];
    const ROWS: usize = 4;
    const SUMS: usize = 4;
    const FUSES: bool = FUSES;
    const LOWERS: bool = false;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        let _ = at;
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, src: &[f32; LANES]) -> Self::F {
        *src
    }
    #[inline(always)]
    fn store(self, dst: &mut [f32; LANES], x: Self::F) {
        *dst = x;
    }
    #[inline(always)]
    fn load_f16(self, src: &[u16; LANES]) -> Self::F {
        each(*src, |x| f16::from_bits(x).to_f32())
    }
    #[inline(always)]
    fn load_bf16(self, src: &[u16; LANES]) -> Self::F {
        each(*src, |x| bf16::from_bits(x).to_f32())
    }
    #[inline(always)]
    fn store_f16(self, dst: &mut [u16; LANES], x: Self::F) {
        *dst = each(x, |x| f16::from_f32(x).to_bits());
    }
    #[inline(always)]
    fn load_u8(self, src: &[u8; LANES]) -> Self::F {
        each(*src, f32::from)
    }
    #[inline(always)]
    fn load_i8(self, src: &[u8; LANES]) -> Self::F {
        each(*src, |x| f32::from(x.cast_signed()))
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        let mut out = c;
        for i in 0..LANES {
            out[i] = fused(a[i], b[i], c[i]);
        }
        out
    }
    #[inline(always)]
    fn round(self, x: Self::F) -> Self::F {
        each(x, f32::round_ties_even)
    }
    #[inline(always)]
    fn scale2(self, x: Self::F, n: Self::F) -> Self::F {
        zip(x, n, |x, n| x * f32::from_bits(((n as i32 + 127) << 23).cast_unsigned()))
    }
    #[inline(always)]
    fn zero_below(self, value: Self::F, x: Self::F, limit: f32) -> Self::F {
        zip(value, x, |value, x| if x < limit { 0.0 } else { value })
    }
    #[inline(always)]
    fn abs(self, x: Self::F) -> Self::F {
        each(x, f32::abs)
    }
    #[inline(always)]
    fn highest(self, x: Self::F) -> f32 {
        x.into_iter().fold(x[0], |a, b| if b > a { b } else { a })
    }
    #[inline(always)]
    fn to_i8(self, x: Self::F) -> [i8; LANES] {
        each(x, |x| x.round_ties_even() as i8)
    }
    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        [x; LANES]
    }
    #[inline(always)]
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn shl_i(self, x: Self::I, n: u32) -> Self::I {
        each(x, |x| x << n)
    }
    #[inline(always)]
    fn as_f32(self, x: Self::I) -> Self::F {
        each(x, |x| f32::from_bits(x.cast_unsigned()))
    }
    #[inline(always)]
    fn to_f32(self, x: Self::I) -> Self::F {
        each(x, |x| x as f32)
    }
    #[inline(always)]
    fn line(self, src: &Line) -> Self::B {
        src.0
    }
    #[inline(always)]
    fn store_line(self, dst: &mut Line, x: Self::B) {
        dst.0 = x;
    }
    #[inline(always)]
    fn columns(self, rows: &[Row; LANES], first: usize) -> [Self::B; 8] {
        std::array::from_fn(|v| std::array::from_fn(|row| rows[row][first + v]))
    }
    #[inline(always)]
    fn and(self, x: Self::B, mask: u8) -> Self::B {
        let mask = u32::from_le_bytes([mask; 4]);
        each(x, |x| x & mask)
    }
    #[inline(always)]
    fn or(self, a: Self::B, b: Self::B) -> Self::B {
        zip(a, b, |a, b| a | b)
    }
    #[inline(always)]
    fn shr<const N: u32>(self, x: Self::B) -> Self::B {
        each(x, |x| x >> N)
    }
    #[inline(always)]
    fn shl<const N: u32>(self, x: Self::B) -> Self::B {
        each(x, |x| x << N)
    }
    #[inline(always)]
    fn lookup(self, x: Self::B, table: &[u8; 16]) -> Self::B {
        let value = |code: u8| table[usize::from(code & 15)];
        each(x, |x| u32::from_le_bytes(x.to_le_bytes().map(value)))
    }
    #[inline(always)]
    fn dot(self, acc: Self::I, codes: Self::B, x: i32) -> Self::I {
        let mut out = acc;
        for j in 0..4 {
            let x = (x << (24 - 8 * j)) >> 24;
            for i in 0..LANES {
                out[i] += ((codes[i] >> (8 * j)) & 255).cast_signed() * x;
            }
        }
        out
    }
    #[inline(always)]
    fn dot_wide(self, acc: Self::I, codes: Self::B, x: i32) -> Self::I {
        self.dot(acc, codes, x)
    }
}
