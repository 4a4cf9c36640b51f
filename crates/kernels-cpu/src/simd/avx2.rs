//! The lanes as two 256-bit registers.
#![expect(unsafe_code, reason = "intrinsics outside functions with target features")]

use std::arch::asm;
use std::arch::x86_64 as x86;
use std::arch::x86_64::{__m256, __m256i};

use super::{Kernel, LANES, Line, Row, Simd, dots_by_row};

/// Proof that AVX2, FMA, F16C and `M` were found.
#[derive(Clone, Copy)]
pub(crate) struct Avx2<M>(M);

/// How bytes are multiplied; only this file can make one.
pub(crate) trait Multiply: Copy {
    /// [`Simd::LOWERS`].
    const LOWERS: bool;
    /// Runs a kernel in a function that has the target features.
    fn enter<K: Kernel>(s: Avx2<Self>, kernel: K) -> K::Output;
    /// [`Simd::dot`].
    fn narrow(self, acc: Ints, codes: Ints, x: i32) -> Ints;
    /// [`Simd::dot_wide`].
    fn wide(self, acc: Ints, codes: Ints, x: i32) -> Ints;
    /// [`Simd::dots`] of all rows.
    fn dots<const R: usize, const V: usize>(
        self,
        accs: &mut [Ints; R],
        codes: (&[Ints; V], u8),
        x: &[i32],
    );
    /// [`Simd::dots_in_memory`] of a tile and all rows.
    #[inline(always)]
    fn dots_in_memory<const R: usize, const V: usize>(
        self,
        accs: &mut [Ints; R],
        (codes, most): (&[Line; V], u8),
        x: &[i32],
    ) {
        loaded(self, accs, (codes, most), x);
    }
}

/// 16 x i32, or 64 x u8.
type Ints = [__m256i; 2];

/// Products in words, which all have.
#[derive(Clone, Copy)]
pub(crate) struct Words(());
/// Four products of an unsigned and a signed byte at once.
#[derive(Clone, Copy)]
pub(crate) struct Vnni(());

impl Avx2<Words> {
    pub(crate) fn detect() -> Option<Avx2<Words>> {
        is_found().then_some(Avx2(Words(())))
    }
}

impl Avx2<Vnni> {
    pub(crate) fn detect() -> Option<Avx2<Vnni>> {
        let found = is_found() && is_x86_feature_detected!("avxvnni");
        found.then_some(Avx2(Vnni(())))
    }
}

fn is_found() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

/// One intrinsic on a machine that has it.
macro_rules! on {
    ($call:expr) => {
        // SAFETY: `Avx2` exists only where its features were found; pointers come from references
        // to arrays of at least the width that is read or written.
        unsafe { $call }
    };
}

/// The same intrinsic on both halves.
macro_rules! both {
    ($name:ident($($arg:ident),*)) => {
        [on!(x86::$name($($arg[0]),*)), on!(x86::$name($($arg[1]),*))]
    };
}

const NEAREST: i32 = x86::_MM_FROUND_TO_NEAREST_INT | x86::_MM_FROUND_NO_EXC;

#[target_feature(enable = "avx2,fma,f16c")]
fn enter_words<K: Kernel>(s: Avx2<Words>, kernel: K) -> K::Output {
    kernel.run(s)
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn enter_vnni<K: Kernel>(s: Avx2<Vnni>, kernel: K) -> K::Output {
    kernel.run(s)
}

impl Multiply for Words {
    const LOWERS: bool = true;
    #[inline(always)]
    fn enter<K: Kernel>(s: Avx2<Words>, kernel: K) -> K::Output {
        on!(enter_words(s, kernel))
    }
    #[inline(always)]
    fn narrow(self, acc: Ints, codes: Ints, x: i32) -> Ints {
        // Two products of a code < 128 and a byte stay within i16: 2 * 127 * 127 < 2^15.
        widened(acc, pairs(codes, x))
    }
    #[inline(always)]
    fn wide(self, acc: Ints, codes: Ints, x: i32) -> Ints {
        // Magnitudes times the other factor with their signs; 2 * 128 * 127 < 2^15.
        let offset = [on!(x86::_mm256_set1_epi8(-128)); 2];
        let signed = both!(_mm256_xor_si256(codes, offset));
        let magnitudes = both!(_mm256_abs_epi8(signed));
        let x = [on!(x86::_mm256_set1_epi32(x)); 2];
        let x = both!(_mm256_sign_epi8(x, signed));
        widened(acc, both!(_mm256_maddubs_epi16(magnitudes, x)))
    }
    #[inline(always)]
    fn dots<const R: usize, const V: usize>(
        self,
        accs: &mut [Ints; R],
        (codes, most): (&[Ints; V], u8),
        x: &[i32],
    ) {
        // Where the products of all operands with bytes, added up in words, stay within i16, they
        // are widened once. To do so in parts costs more than it saves.
        if V as i32 * 2 * 128 * i32::from(most) > i32::from(i16::MAX) {
            dots_by_row(Avx2(self), accs, (codes, most), x);
            return;
        }
        let x = &x[..R * V];
        let mut sums = [[on!(x86::_mm256_setzero_si256()); 2]; R];
        for v in 0..V {
            for r in 0..R {
                let (sum, two) = (sums[r], pairs(codes[v], x[v * R + r]));
                sums[r] = if v == 0 { two } else { both!(_mm256_add_epi16(sum, two)) };
            }
        }
        for r in 0..R {
            accs[r] = widened(accs[r], sums[r]);
        }
    }
    #[inline(always)]
    fn dots_in_memory<const R: usize, const V: usize>(
        self,
        accs: &mut [Ints; R],
        (codes, most): (&[Line; V], u8),
        x: &[i32],
    ) {
        // Two operands are added up in words where not all of them fit.
        let Some(accs) = accs.as_mut_array().filter(|_| (16..64).contains(&most)) else {
            loaded(self, accs, (codes, most), x);
            return;
        };
        for i in 0..V / 4 {
            let codes = codes[4 * i..].first_chunk().expect("four operands");
            on!(dots_by_two(accs, codes, x[16 * i..].first_chunk().expect("four operands")));
        }
    }
}

/// [`Multiply::dots`] of codes in memory.
#[inline(always)]
fn loaded<M: Multiply, const R: usize, const V: usize>(
    multiply: M,
    accs: &mut [Ints; R],
    (codes, most): (&[Line; V], u8),
    x: &[i32],
) {
    let s = Avx2(multiply);
    let mut operands = [s.line(&codes[0]); V];
    for v in 1..V {
        operands[v] = s.line(&codes[v]);
    }
    multiply.dots(accs, (&operands, most), x);
}

/// In each word, two products of a code and one of the four signed bytes of `x`.
#[inline(always)]
fn pairs(codes: Ints, x: i32) -> Ints {
    let x = [on!(x86::_mm256_set1_epi32(x)); 2];
    both!(_mm256_maddubs_epi16(codes, x))
}

/// `acc` and both words of each lane.
#[inline(always)]
fn widened(acc: Ints, words: Ints) -> Ints {
    let ones = [on!(x86::_mm256_set1_epi16(1)); 2];
    let sums = both!(_mm256_madd_epi16(words, ones));
    both!(_mm256_add_epi32(acc, sums))
}

impl Multiply for Vnni {
    const LOWERS: bool = false;
    #[inline(always)]
    fn enter<K: Kernel>(s: Avx2<Vnni>, kernel: K) -> K::Output {
        on!(enter_vnni(s, kernel))
    }
    #[inline(always)]
    fn narrow(self, acc: Ints, codes: Ints, x: i32) -> Ints {
        let x = [on!(x86::_mm256_set1_epi32(x)); 2];
        both!(_mm256_dpbusd_avx_epi32(acc, codes, x))
    }
    #[inline(always)]
    fn wide(self, acc: Ints, codes: Ints, x: i32) -> Ints {
        self.narrow(acc, codes, x)
    }
    #[inline(always)]
    fn dots<const R: usize, const V: usize>(
        self,
        accs: &mut [Ints; R],
        (codes, most): (&[Ints; V], u8),
        x: &[i32],
    ) {
        dots_by_row(Avx2(self), accs, (codes, most), x);
    }
}

impl<M: Multiply> Simd for Avx2<M> {
    type F = [__m256; 2];
    type I = Ints;
    type B = Ints;
    const ROWS: usize = 4;
    const SUMS: usize = 4;
    const FUSES: bool = true;
    const LOWERS: bool = M::LOWERS;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        M::enter(self, kernel)
    }
    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        on!(x86::_mm_prefetch::<{ x86::_MM_HINT_T0 }>(at.cast()));
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [on!(x86::_mm256_set1_ps(x)); 2]
    }
    #[inline(always)]
    fn load(self, src: &[f32; LANES]) -> Self::F {
        let low = on!(x86::_mm256_loadu_ps(src.as_ptr()));
        [low, on!(x86::_mm256_loadu_ps(src[8..].as_ptr()))]
    }
    #[inline(always)]
    fn store(self, dst: &mut [f32; LANES], x: Self::F) {
        on!(x86::_mm256_storeu_ps(dst.as_mut_ptr(), x[0]));
        on!(x86::_mm256_storeu_ps(dst[8..].as_mut_ptr(), x[1]));
    }
    #[inline(always)]
    fn load_f16(self, src: &[u16; LANES]) -> Self::F {
        let low = on!(x86::_mm_loadu_si128(src.as_ptr().cast()));
        let high = on!(x86::_mm_loadu_si128(src[8..].as_ptr().cast()));
        [on!(x86::_mm256_cvtph_ps(low)), on!(x86::_mm256_cvtph_ps(high))]
    }
    #[inline(always)]
    fn load_bf16(self, src: &[u16; LANES]) -> Self::F {
        let low = on!(x86::_mm_loadu_si128(src.as_ptr().cast()));
        let high = on!(x86::_mm_loadu_si128(src[8..].as_ptr().cast()));
        let low = on!(x86::_mm256_cvtepu16_epi32(low));
        let high = on!(x86::_mm256_cvtepu16_epi32(high));
        let wide = self.shl::<16>([low, high]);
        both!(_mm256_castsi256_ps(wide))
    }
    #[inline(always)]
    fn store_f16(self, dst: &mut [u16; LANES], x: Self::F) {
        let low = on!(x86::_mm256_cvtps_ph::<{ x86::_MM_FROUND_TO_NEAREST_INT }>(x[0]));
        let high = on!(x86::_mm256_cvtps_ph::<{ x86::_MM_FROUND_TO_NEAREST_INT }>(x[1]));
        on!(x86::_mm_storeu_si128(dst.as_mut_ptr().cast(), low));
        on!(x86::_mm_storeu_si128(dst[8..].as_mut_ptr().cast(), high));
    }
    #[inline(always)]
    fn load_u8(self, src: &[u8; LANES]) -> Self::F {
        let low = on!(x86::_mm_loadl_epi64(src.as_ptr().cast()));
        let high = on!(x86::_mm_loadl_epi64(src[8..].as_ptr().cast()));
        let low = on!(x86::_mm256_cvtepu8_epi32(low));
        self.to_f32([low, on!(x86::_mm256_cvtepu8_epi32(high))])
    }
    #[inline(always)]
    fn load_i8(self, src: &[u8; LANES]) -> Self::F {
        let low = on!(x86::_mm_loadl_epi64(src.as_ptr().cast()));
        let high = on!(x86::_mm_loadl_epi64(src[8..].as_ptr().cast()));
        let low = on!(x86::_mm256_cvtepi8_epi32(low));
        self.to_f32([low, on!(x86::_mm256_cvtepi8_epi32(high))])
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        both!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn round(self, x: Self::F) -> Self::F {
        [on!(x86::_mm256_round_ps::<NEAREST>(x[0])), on!(x86::_mm256_round_ps::<NEAREST>(x[1]))]
    }
    #[inline(always)]
    fn scale2(self, x: Self::F, n: Self::F) -> Self::F {
        let whole = both!(_mm256_cvtps_epi32(n));
        let bias = [on!(x86::_mm256_set1_epi32(127)); 2];
        let power = self.shl::<23>(both!(_mm256_add_epi32(whole, bias)));
        self.mul(x, both!(_mm256_castsi256_ps(power)))
    }
    #[inline(always)]
    fn zero_below(self, value: Self::F, x: Self::F, limit: f32) -> Self::F {
        let limit = on!(x86::_mm256_set1_ps(limit));
        let low = on!(x86::_mm256_cmp_ps::<{ x86::_CMP_LT_OQ }>(x[0], limit));
        let high = on!(x86::_mm256_cmp_ps::<{ x86::_CMP_LT_OQ }>(x[1], limit));
        let below = [low, high];
        both!(_mm256_andnot_ps(below, value))
    }
    #[inline(always)]
    fn abs(self, x: Self::F) -> Self::F {
        let sign = self.splat(-0.0);
        both!(_mm256_andnot_ps(sign, x))
    }
    #[inline(always)]
    fn highest(self, x: Self::F) -> f32 {
        let eight = on!(x86::_mm256_max_ps(x[0], x[1]));
        let low = on!(x86::_mm256_castps256_ps128(eight));
        let high = on!(x86::_mm256_extractf128_ps::<1>(eight));
        let four = on!(x86::_mm_max_ps(low, high));
        let high = on!(x86::_mm_movehl_ps(four, four));
        let two = on!(x86::_mm_max_ps(four, high));
        let second = on!(x86::_mm_shuffle_ps::<1>(two, two));
        let one = on!(x86::_mm_max_ps(two, second));
        on!(x86::_mm_cvtss_f32(one))
    }
    #[inline(always)]
    fn to_i8(self, x: Self::F) -> [i8; LANES] {
        let whole = both!(_mm256_cvtps_epi32(x));
        let mut wide = [0_i32; LANES];
        on!(x86::_mm256_storeu_si256(wide.as_mut_ptr().cast(), whole[0]));
        on!(x86::_mm256_storeu_si256(wide[8..].as_mut_ptr().cast(), whole[1]));
        let mut out = [0; LANES];
        for i in 0..LANES {
            out[i] = wide[i] as i8;
        }
        out
    }
    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        [on!(x86::_mm256_set1_epi32(x)); 2]
    }
    #[inline(always)]
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I {
        [on!(x86::_mm256_add_epi32(a[0], b[0])), on!(x86::_mm256_add_epi32(a[1], b[1]))]
    }
    #[inline(always)]
    fn shl_i(self, x: Self::I, n: u32) -> Self::I {
        // The count is a constant once this is inlined, and becomes an immediate.
        let count = on!(x86::_mm_cvtsi32_si128(n.cast_signed()));
        [on!(x86::_mm256_sll_epi32(x[0], count)), on!(x86::_mm256_sll_epi32(x[1], count))]
    }
    #[inline(always)]
    fn as_f32(self, x: Self::I) -> Self::F {
        both!(_mm256_castsi256_ps(x))
    }
    #[inline(always)]
    fn to_f32(self, x: Self::I) -> Self::F {
        both!(_mm256_cvtepi32_ps(x))
    }
    #[inline(always)]
    fn line(self, src: &Line) -> Self::B {
        let low = on!(x86::_mm256_load_si256(src.0.as_ptr().cast()));
        [low, on!(x86::_mm256_load_si256(src.0[8..].as_ptr().cast()))]
    }
    #[inline(always)]
    fn store_line(self, dst: &mut Line, x: Self::B) {
        on!(x86::_mm256_store_si256(dst.0.as_mut_ptr().cast(), x[0]));
        on!(x86::_mm256_store_si256(dst.0[8..].as_mut_ptr().cast(), x[1]));
    }
    #[inline(always)]
    fn columns(self, rows: &[Row; LANES], first: usize) -> [Self::B; 8] {
        let mut out = [[on!(x86::_mm256_setzero_si256()); 2]; 8];
        for half in 0..2 {
            // Dwords of two rows, then of four: columns `c` and `c + 4` of them in turn.
            let mut fours = [[out[0][0]; 4]; 2];
            for i in 0..2 {
                let row = |r: usize| rows[8 * half + 4 * i + r][first..][..8].as_ptr().cast();
                let (a, b) =
                    (on!(x86::_mm256_loadu_si256(row(0))), on!(x86::_mm256_loadu_si256(row(1))));
                let (c, d) =
                    (on!(x86::_mm256_loadu_si256(row(2))), on!(x86::_mm256_loadu_si256(row(3))));
                let (ab, cd) =
                    (on!(x86::_mm256_unpacklo_epi32(a, b)), on!(x86::_mm256_unpacklo_epi32(c, d)));
                fours[i][0] = on!(x86::_mm256_unpacklo_epi64(ab, cd));
                fours[i][1] = on!(x86::_mm256_unpackhi_epi64(ab, cd));
                let (ab, cd) =
                    (on!(x86::_mm256_unpackhi_epi32(a, b)), on!(x86::_mm256_unpackhi_epi32(c, d)));
                fours[i][2] = on!(x86::_mm256_unpacklo_epi64(ab, cd));
                fours[i][3] = on!(x86::_mm256_unpackhi_epi64(ab, cd));
            }
            for c in 0..4 {
                let (a, b) = (fours[0][c], fours[1][c]);
                out[c][half] = on!(x86::_mm256_permute2x128_si256::<0x20>(a, b));
                out[c + 4][half] = on!(x86::_mm256_permute2x128_si256::<0x31>(a, b));
            }
        }
        out
    }
    #[inline(always)]
    fn and(self, x: Self::B, mask: u8) -> Self::B {
        let mask = [on!(x86::_mm256_set1_epi8(mask.cast_signed())); 2];
        both!(_mm256_and_si256(x, mask))
    }
    #[inline(always)]
    fn or(self, a: Self::B, b: Self::B) -> Self::B {
        both!(_mm256_or_si256(a, b))
    }
    #[inline(always)]
    fn shr<const N: u32>(self, x: Self::B) -> Self::B {
        let count = on!(x86::_mm_cvtsi32_si128(N.cast_signed()));
        [on!(x86::_mm256_srl_epi32(x[0], count)), on!(x86::_mm256_srl_epi32(x[1], count))]
    }
    #[inline(always)]
    fn shl<const N: u32>(self, x: Self::B) -> Self::B {
        let count = on!(x86::_mm_cvtsi32_si128(N.cast_signed()));
        [on!(x86::_mm256_sll_epi32(x[0], count)), on!(x86::_mm256_sll_epi32(x[1], count))]
    }
    #[inline(always)]
    fn lookup(self, x: Self::B, table: &[u8; 16]) -> Self::B {
        // The shuffle stays within each half of a register, so that both need the table.
        let table = on!(x86::_mm_loadu_si128(table.as_ptr().cast()));
        let table = [on!(x86::_mm256_broadcastsi128_si256(table)); 2];
        both!(_mm256_shuffle_epi8(table, x))
    }
    #[inline(always)]
    fn dot(self, acc: Self::I, codes: Self::B, x: i32) -> Self::I {
        self.0.narrow(acc, codes, x)
    }
    #[inline(always)]
    fn dot_wide(self, acc: Self::I, codes: Self::B, x: i32) -> Self::I {
        self.0.wide(acc, codes, x)
    }
    #[inline(always)]
    fn dots<const R: usize, const V: usize>(
        self,
        accs: &mut [Self::I; R],
        codes: (&[Self::B; V], u8),
        x: &[i32],
        _: u8,
    ) {
        self.0.dots(accs, codes, x);
    }
    #[inline(always)]
    fn dots_in_memory<const R: usize, const V: usize, const T: usize>(
        self,
        accs: &mut [[Self::I; R]; T],
        (codes, most): ([&[Line; V]; T], u8),
        x: &[i32],
        _: u8,
    ) {
        for t in 0..T {
            self.0.dots_in_memory(&mut accs[t], (codes[t], most), x);
        }
    }
}

/// Two operands.
macro_rules! two_operands {
    ($v:literal, $w:literal) => {
        concat!(
            "vmovdqa ymm8, ymmword ptr [{c} + 64*",
            $v,
            "]\nvmovdqa ymm9, ymmword ptr [{c} + 64*",
            $v,
            " + 32]\nvmovdqa ymm10, ymmword ptr [{c} + 64*",
            $w,
            "]\nvmovdqa ymm11, ymmword ptr [{c} + 64*",
            $w,
            " + 32]\n",
        )
    };
}

/// Their products with a row's dwords `$v` and `$w`, added up in words and widened once.
macro_rules! two_of_row {
    ($v:literal, $w:literal, $low:literal, $high:literal) => {
        concat!(
            "vpbroadcastd ymm12, dword ptr [{x} + 4*",
            $v,
            "]\nvpbroadcastd ymm13, dword ptr [{x} + 4*",
            $w,
            "]\nvpmaddubsw ymm14, ymm8, ymm12",
            "\nvpmaddubsw ymm15, ymm10, ymm13",
            "\nvpmaddubsw ymm12, ymm9, ymm12",
            "\nvpmaddubsw ymm13, ymm11, ymm13",
            "\nvpaddw ymm14, ymm14, ymm15",
            "\nvpaddw ymm12, ymm12, ymm13",
            "\nvpmaddwd ymm14, ymm14, ymmword ptr [{ones}]",
            "\nvpmaddwd ymm12, ymm12, ymmword ptr [{ones}]",
            "\nvpaddd {",
            $low,
            "}, {",
            $low,
            "}, ymm14\nvpaddd {",
            $high,
            "}, {",
            $high,
            "}, ymm12\n",
        )
    };
}

/// One in each word.
#[repr(align(32))]
struct Ones([i16; 16]);

static ONES: Ones = Ones([1; 16]);

/// `a[r] += c[v] . x[4 v + r]` for codes below 64, by twos of operands, whose products fit in
/// words: the compiler would not keep to the registers that there are.
#[inline]
#[target_feature(enable = "avx2")]
fn dots_by_two(a: &mut [Ints; 4], c: &[Line; 4], x: &[i32; 16]) {
    // SAFETY: reads the lines of `c`, the dwords of `x` and `ONES` only, writes registers only.
    unsafe {
        asm!(
            two_operands!("0", "1"),
            two_of_row!("0", "4", "a0", "b0"),
            two_of_row!("1", "5", "a1", "b1"),
            two_of_row!("2", "6", "a2", "b2"),
            two_of_row!("3", "7", "a3", "b3"),
            two_operands!("2", "3"),
            two_of_row!("8", "12", "a0", "b0"),
            two_of_row!("9", "13", "a1", "b1"),
            two_of_row!("10", "14", "a2", "b2"),
            two_of_row!("11", "15", "a3", "b3"),
            x = in(reg) x.as_ptr(),
            c = in(reg) c.as_ptr(),
            ones = in(reg) ONES.0.as_ptr(),
            a0 = inout(ymm_reg) a[0][0],
            b0 = inout(ymm_reg) a[0][1],
            a1 = inout(ymm_reg) a[1][0],
            b1 = inout(ymm_reg) a[1][1],
            a2 = inout(ymm_reg) a[2][0],
            b2 = inout(ymm_reg) a[2][1],
            a3 = inout(ymm_reg) a[3][0],
            b3 = inout(ymm_reg) a[3][1],
            out("ymm8") _,
            out("ymm9") _,
            out("ymm10") _,
            out("ymm11") _,
            out("ymm12") _,
            out("ymm13") _,
            out("ymm14") _,
            out("ymm15") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
}
