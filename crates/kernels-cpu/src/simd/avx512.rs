//! The lanes as one 512-bit register, with the VNNI dot product.
#![expect(unsafe_code, reason = "intrinsics outside functions with target features")]

use std::arch::asm;
use std::arch::x86_64 as x86;
use std::arch::x86_64::{__m512, __m512i};

use super::{Kernel, LANES, Line, Row, Simd, dots_by_row, dots_of_loaded};

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
    const SUMS: usize = 16;
    const FUSES: bool = true;
    const LOWERS: bool = false;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        on!(enter(self, kernel))
    }
    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        on!(x86::_mm_prefetch::<{ x86::_MM_HINT_T0 }>(at.cast()));
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
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I {
        on!(x86::_mm512_add_epi32(a, b))
    }
    #[inline(always)]
    fn shl_i(self, x: Self::I, n: u32) -> Self::I {
        // The count is a constant once this is inlined, and becomes an immediate.
        let count = on!(x86::_mm_cvtsi32_si128(n.cast_signed()));
        on!(x86::_mm512_sll_epi32(x, count))
    }
    #[inline(always)]
    fn as_f32(self, x: Self::I) -> Self::F {
        on!(x86::_mm512_castsi512_ps(x))
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
    fn store_line(self, dst: &mut Line, x: Self::B) {
        on!(x86::_mm512_store_si512(dst.0.as_mut_ptr().cast(), x));
    }
    #[inline(always)]
    fn columns(self, rows: &[Row; LANES], first: usize) -> [Self::B; 8] {
        let half =
            |row: usize| on!(x86::_mm256_loadu_si256(rows[row][first..][..8].as_ptr().cast()));
        let mut x = [on!(x86::_mm512_setzero_si512()); 8];
        for (i, x) in x.iter_mut().enumerate() {
            let low = on!(x86::_mm512_castsi256_si512(half(i)));
            *x = on!(x86::_mm512_inserti64x4::<1>(low, half(i + 8)));
        }
        // Dwords of two rows, then of four: columns `c` and `c + 4` of them in turn.
        let mut fours = [[x[0]; 4]; 2];
        for i in 0..2 {
            let [a, b, c, d] = [x[4 * i], x[4 * i + 1], x[4 * i + 2], x[4 * i + 3]];
            let (ab, cd) =
                (on!(x86::_mm512_unpacklo_epi32(a, b)), on!(x86::_mm512_unpacklo_epi32(c, d)));
            fours[i][0] = on!(x86::_mm512_unpacklo_epi64(ab, cd));
            fours[i][1] = on!(x86::_mm512_unpackhi_epi64(ab, cd));
            let (ab, cd) =
                (on!(x86::_mm512_unpackhi_epi32(a, b)), on!(x86::_mm512_unpackhi_epi32(c, d)));
            fours[i][2] = on!(x86::_mm512_unpacklo_epi64(ab, cd));
            fours[i][3] = on!(x86::_mm512_unpackhi_epi64(ab, cd));
        }
        let even = on!(x86::_mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13));
        let odd = on!(x86::_mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15));
        for c in 0..4 {
            let (a, b) = (fours[0][c], fours[1][c]);
            x[c] = on!(x86::_mm512_permutex2var_epi64(a, even, b));
            x[c + 4] = on!(x86::_mm512_permutex2var_epi64(a, odd, b));
        }
        x
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
    fn lookup(self, x: Self::B, table: &[u8; 16]) -> Self::B {
        // The shuffle stays within each quarter of the register, so that all need the table.
        let table = on!(x86::_mm_loadu_si128(table.as_ptr().cast()));
        let table = on!(x86::_mm512_broadcast_i32x4(table));
        on!(x86::_mm512_shuffle_epi8(table, x))
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
    #[inline(always)]
    fn dots<const R: usize, const V: usize>(
        self,
        accs: &mut [Self::I; R],
        (codes, most): (&[Self::B; V], u8),
        x: &[i32],
        rows: u8,
    ) {
        let x = &x[..R * V];
        if let Ok(accs) = <&mut [__m512i; 8]>::try_from(&mut accs[..]) {
            for codes in codes.as_chunks::<4>().0.iter().zip(x.as_chunks::<32>().0) {
                match rows & 3 {
                    0 => {}
                    1 => on!(dots_4x4(accs.first_chunk_mut().expect("eight"), codes, 0)),
                    2 => on!(dots_4x4(accs.last_chunk_mut().expect("eight"), codes, 4)),
                    _ => on!(dots_8x4(accs, codes)),
                }
            }
            return;
        }
        dots_by_row::<Self, R, V>(self, accs, (codes, most), x);
    }
    #[inline(always)]
    fn dots_in_memory<const R: usize, const V: usize, const T: usize>(
        self,
        accs: &mut [[Self::I; R]; T],
        (codes, most): ([&[Line; V]; T], u8),
        x: &[i32],
        rows: u8,
    ) {
        if T != 2 || R != 8 || rows & 3 != 3 {
            dots_of_loaded::<Self, R, V, T>(self, accs, (codes, most), x, rows);
            return;
        }
        let accs = accs.as_flattened_mut().as_mut_array().expect("two tiles of eight rows");
        for (i, x) in x[..R * V].as_chunks::<32>().0.iter().enumerate() {
            let four = |t: usize| codes[t][4 * i..].first_chunk().expect("four");
            on!(dots_16x4(accs, [four(0), four(1)], x));
        }
    }
}

/// The dot products of one operand with rows `$first..$first + 4`, from dword `$at` on.
macro_rules! four_rows {
    ($codes:literal, $at:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "vpdpbusd {",
            $a,
            "}, {",
            $codes,
            "}, dword ptr [{x} + 4*",
            $at,
            "]{{1to16}}\n",
            "vpdpbusd {",
            $b,
            "}, {",
            $codes,
            "}, dword ptr [{x} + 4*",
            $at,
            "+4]{{1to16}}\n",
            "vpdpbusd {",
            $c,
            "}, {",
            $codes,
            "}, dword ptr [{x} + 4*",
            $at,
            "+8]{{1to16}}\n",
            "vpdpbusd {",
            $d,
            "}, {",
            $codes,
            "}, dword ptr [{x} + 4*",
            $at,
            "+12]{{1to16}}\n",
        )
    };
}

/// `a[r] += c[v] . x[8 v + r]`, operand by operand: left to itself, the compiler puts the products
/// of a row one after the other, and each waits for the last.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dots_8x4(a: &mut [__m512i; 8], (c, x): (&[__m512i; 4], &[i32; 32])) {
    // SAFETY: reads the 32 dwords of `x` only, writes registers only.
    unsafe {
        asm!(
            four_rows!("c0", "0", "a0", "a1", "a2", "a3"),
            four_rows!("c0", "4", "a4", "a5", "a6", "a7"),
            four_rows!("c1", "8", "a0", "a1", "a2", "a3"),
            four_rows!("c1", "12", "a4", "a5", "a6", "a7"),
            four_rows!("c2", "16", "a0", "a1", "a2", "a3"),
            four_rows!("c2", "20", "a4", "a5", "a6", "a7"),
            four_rows!("c3", "24", "a0", "a1", "a2", "a3"),
            four_rows!("c3", "28", "a4", "a5", "a6", "a7"),
            x = in(reg) x.as_ptr(),
            c0 = in(zmm_reg) c[0],
            c1 = in(zmm_reg) c[1],
            c2 = in(zmm_reg) c[2],
            c3 = in(zmm_reg) c[3],
            a0 = inout(zmm_reg) a[0],
            a1 = inout(zmm_reg) a[1],
            a2 = inout(zmm_reg) a[2],
            a3 = inout(zmm_reg) a[3],
            a4 = inout(zmm_reg) a[4],
            a5 = inout(zmm_reg) a[5],
            a6 = inout(zmm_reg) a[6],
            a7 = inout(zmm_reg) a[7],
            options(pure, readonly, nostack, preserves_flags),
        );
    }
}

/// As [`dots_8x4`] for the four rows from `first`.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dots_4x4(a: &mut [__m512i; 4], (c, x): (&[__m512i; 4], &[i32; 32]), first: usize) {
    let x = &x[first..first + 28];
    // SAFETY: reads dwords 0..28 of `x` only, writes registers only.
    unsafe {
        asm!(
            four_rows!("c0", "0", "a0", "a1", "a2", "a3"),
            four_rows!("c1", "8", "a0", "a1", "a2", "a3"),
            four_rows!("c2", "16", "a0", "a1", "a2", "a3"),
            four_rows!("c3", "24", "a0", "a1", "a2", "a3"),
            x = in(reg) x.as_ptr(),
            c0 = in(zmm_reg) c[0],
            c1 = in(zmm_reg) c[1],
            c2 = in(zmm_reg) c[2],
            c3 = in(zmm_reg) c[3],
            a0 = inout(zmm_reg) a[0],
            a1 = inout(zmm_reg) a[1],
            a2 = inout(zmm_reg) a[2],
            a3 = inout(zmm_reg) a[3],
            options(pure, readonly, nostack, preserves_flags),
        );
    }
}

/// Operand `$v` of two tiles.
macro_rules! two_operands {
    ($v:literal) => {
        concat!(
            "vmovdqa64 zmm26, zmmword ptr [{c} + 64*",
            $v,
            "]\nvmovdqa64 zmm27, zmmword ptr [{d} + 64*",
            $v,
            "]\n",
        )
    };
}

/// Their dot products with the row at dword `$at`.
macro_rules! two_tiles {
    ($at:literal, $a:literal, $e:literal, $x:literal) => {
        concat!(
            "vpbroadcastd ",
            $x,
            ", dword ptr [{x} + 4*",
            $at,
            "]\nvpdpbusd {",
            $a,
            "}, zmm26, ",
            $x,
            "\nvpdpbusd {",
            $e,
            "}, zmm27, ",
            $x,
            "\n",
        )
    };
}

/// As [`dots_8x4`] of two tiles: they share the loads of `x`.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dots_16x4(a: &mut [__m512i; 16], [c, d]: [&[Line; 4]; 2], x: &[i32; 32]) {
    // SAFETY: reads four lines of each tile and the 32 dwords of `x` only, writes registers only.
    unsafe {
        asm!(
            two_operands!("0"),
            two_tiles!("0", "a0", "e0", "zmm28"),
            two_tiles!("1", "a1", "e1", "zmm29"),
            two_tiles!("2", "a2", "e2", "zmm30"),
            two_tiles!("3", "a3", "e3", "zmm31"),
            two_tiles!("4", "a4", "e4", "zmm28"),
            two_tiles!("5", "a5", "e5", "zmm29"),
            two_tiles!("6", "a6", "e6", "zmm30"),
            two_tiles!("7", "a7", "e7", "zmm31"),
            two_operands!("1"),
            two_tiles!("8", "a0", "e0", "zmm28"),
            two_tiles!("9", "a1", "e1", "zmm29"),
            two_tiles!("10", "a2", "e2", "zmm30"),
            two_tiles!("11", "a3", "e3", "zmm31"),
            two_tiles!("12", "a4", "e4", "zmm28"),
            two_tiles!("13", "a5", "e5", "zmm29"),
            two_tiles!("14", "a6", "e6", "zmm30"),
            two_tiles!("15", "a7", "e7", "zmm31"),
            two_operands!("2"),
            two_tiles!("16", "a0", "e0", "zmm28"),
            two_tiles!("17", "a1", "e1", "zmm29"),
            two_tiles!("18", "a2", "e2", "zmm30"),
            two_tiles!("19", "a3", "e3", "zmm31"),
            two_tiles!("20", "a4", "e4", "zmm28"),
            two_tiles!("21", "a5", "e5", "zmm29"),
            two_tiles!("22", "a6", "e6", "zmm30"),
            two_tiles!("23", "a7", "e7", "zmm31"),
            two_operands!("3"),
            two_tiles!("24", "a0", "e0", "zmm28"),
            two_tiles!("25", "a1", "e1", "zmm29"),
            two_tiles!("26", "a2", "e2", "zmm30"),
            two_tiles!("27", "a3", "e3", "zmm31"),
            two_tiles!("28", "a4", "e4", "zmm28"),
            two_tiles!("29", "a5", "e5", "zmm29"),
            two_tiles!("30", "a6", "e6", "zmm30"),
            two_tiles!("31", "a7", "e7", "zmm31"),
            x = in(reg) x.as_ptr(),
            c = in(reg) c.as_ptr(),
            d = in(reg) d.as_ptr(),
            a0 = inout(zmm_reg) a[0],
            a1 = inout(zmm_reg) a[1],
            a2 = inout(zmm_reg) a[2],
            a3 = inout(zmm_reg) a[3],
            a4 = inout(zmm_reg) a[4],
            a5 = inout(zmm_reg) a[5],
            a6 = inout(zmm_reg) a[6],
            a7 = inout(zmm_reg) a[7],
            e0 = inout(zmm_reg) a[8],
            e1 = inout(zmm_reg) a[9],
            e2 = inout(zmm_reg) a[10],
            e3 = inout(zmm_reg) a[11],
            e4 = inout(zmm_reg) a[12],
            e5 = inout(zmm_reg) a[13],
            e6 = inout(zmm_reg) a[14],
            e7 = inout(zmm_reg) a[15],
            out("zmm26") _,
            out("zmm27") _,
            out("zmm28") _,
            out("zmm29") _,
            out("zmm30") _,
            out("zmm31") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
}
