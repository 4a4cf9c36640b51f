//! The lanes as one 512-bit register, with the VNNI dot product.
#![expect(unsafe_code, reason = "intrinsics outside functions with target features")]

use std::arch::x86_64 as x86;
use std::arch::x86_64::{__m512, __m512i};

use super::{Kernel, LANES, Line, Simd};

/// Proof that AVX-512 F, BW, DQ, VL and VNNI were found.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Avx512> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Avx512(()))
    }
}

/// One intrinsic on a machine that has it.
macro_rules! on {
    ($call:expr) => {
        // SAFETY: `Avx512` exists only where its features were found; pointers come from
        // references to arrays of the width that is read or written.
        unsafe { $call }
    };
}

const NEAREST: i32 = x86::_MM_FROUND_TO_NEAREST_INT | x86::_MM_FROUND_NO_EXC;

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,avx2")]
fn enter<K: Kernel>(s: Avx512, kernel: K) -> K::Output {
    kernel.run(s)
}

impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;
    type B = __m512i;
    const ROWS: usize = 8;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        on!(enter(self, kernel))
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        on!(x86::_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn load(self, src: &[f32; LANES]) -> Self::F {
        on!(x86::_mm512_loadu_ps(src.as_ptr()))
    }
    #[inline(always)]
    fn store(self, dst: &mut [f32; LANES], x: Self::F) {
        on!(x86::_mm512_storeu_ps(dst.as_mut_ptr(), x));
    }
    #[inline(always)]
    fn load_f16(self, src: &[u16; LANES]) -> Self::F {
        let bits = on!(x86::_mm256_loadu_si256(src.as_ptr().cast()));
        on!(x86::_mm512_cvtph_ps(bits))
    }
    #[inline(always)]
    fn load_bf16(self, src: &[u16; LANES]) -> Self::F {
        let bits = on!(x86::_mm256_loadu_si256(src.as_ptr().cast()));
        let wide = on!(x86::_mm512_cvtepu16_epi32(bits));
        let bits = on!(x86::_mm512_slli_epi32::<16>(wide));
        on!(x86::_mm512_castsi512_ps(bits))
    }
    #[inline(always)]
    fn store_f16(self, dst: &mut [u16; LANES], x: Self::F) {
        let bits = on!(x86::_mm512_cvtps_ph::<NEAREST>(x));
        on!(x86::_mm256_storeu_si256(dst.as_mut_ptr().cast(), bits));
    }
    #[inline(always)]
    fn load_u8(self, src: &[u8; LANES]) -> Self::F {
        let bytes = on!(x86::_mm_loadu_si128(src.as_ptr().cast()));
        let wide = on!(x86::_mm512_cvtepu8_epi32(bytes));
        on!(x86::_mm512_cvtepi32_ps(wide))
    }
    #[inline(always)]
    fn load_i8(self, src: &[u8; LANES]) -> Self::F {
        let bytes = on!(x86::_mm_loadu_si128(src.as_ptr().cast()));
        let wide = on!(x86::_mm512_cvtepi8_epi32(bytes));
        on!(x86::_mm512_cvtepi32_ps(wide))
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        on!(x86::_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        on!(x86::_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        on!(x86::_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        on!(x86::_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        on!(x86::_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        on!(x86::_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        on!(x86::_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn round(self, x: Self::F) -> Self::F {
        on!(x86::_mm512_roundscale_ps::<NEAREST>(x))
    }
    #[inline(always)]
    fn scale2(self, x: Self::F, n: Self::F) -> Self::F {
        on!(x86::_mm512_scalef_ps(x, n))
    }
    #[inline(always)]
    fn zero_below(self, value: Self::F, x: Self::F, limit: f32) -> Self::F {
        let limit = on!(x86::_mm512_set1_ps(limit));
        let keep = on!(x86::_mm512_cmp_ps_mask::<{ x86::_CMP_NLT_UQ }>(x, limit));
        on!(x86::_mm512_maskz_mov_ps(keep, value))
    }
    #[inline(always)]
    fn abs(self, x: Self::F) -> Self::F {
        on!(x86::_mm512_abs_ps(x))
    }
    #[inline(always)]
    fn highest(self, x: Self::F) -> f32 {
        on!(x86::_mm512_reduce_max_ps(x))
    }
    #[inline(always)]
    fn to_i8(self, x: Self::F) -> [i8; LANES] {
        let wide = on!(x86::_mm512_cvtps_epi32(x));
        let bytes = on!(x86::_mm512_cvtsepi32_epi8(wide));
        let mut out = [0; LANES];
        on!(x86::_mm_storeu_si128(out.as_mut_ptr().cast(), bytes));
        out
    }
    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        on!(x86::_mm512_set1_epi32(x))
    }
    #[inline(always)]
    fn shl_i(self, x: Self::I, n: u32) -> Self::I {
        // The count is a constant once this is inlined, and becomes an immediate.
        let count = on!(x86::_mm_cvtsi32_si128(n.cast_signed()));
        on!(x86::_mm512_sll_epi32(x, count))
    }
    #[inline(always)]
    fn to_f32(self, x: Self::I) -> Self::F {
        on!(x86::_mm512_cvtepi32_ps(x))
    }
    #[inline(always)]
    fn line(self, src: &Line) -> Self::B {
        on!(x86::_mm512_load_si512(src.0.as_ptr().cast()))
    }
    #[inline(always)]
    fn and(self, x: Self::B, mask: u8) -> Self::B {
        let mask = on!(x86::_mm512_set1_epi8(mask.cast_signed()));
        on!(x86::_mm512_and_si512(x, mask))
    }
    #[inline(always)]
    fn or(self, a: Self::B, b: Self::B) -> Self::B {
        on!(x86::_mm512_or_si512(a, b))
    }
    #[inline(always)]
    fn shr<const N: u32>(self, x: Self::B) -> Self::B {
        on!(x86::_mm512_srli_epi32::<N>(x))
    }
    #[inline(always)]
    fn shl<const N: u32>(self, x: Self::B) -> Self::B {
        on!(x86::_mm512_slli_epi32::<N>(x))
    }
    #[inline(always)]
    fn dot(self, acc: Self::I, codes: Self::B, x: i32) -> Self::I {
        let x = on!(x86::_mm512_set1_epi32(x));
        on!(x86::_mm512_dpbusd_epi32(acc, codes, x))
    }
    #[inline(always)]
    fn dot_wide(self, acc: Self::I, codes: Self::B, x: i32) -> Self::I {
        self.dot(acc, codes, x)
    }
}
