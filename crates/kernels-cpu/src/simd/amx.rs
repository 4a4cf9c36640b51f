//! AMX: tile registers of 16 rows by 64 bytes, and the product of two tiles of signed bytes or of
//! bf16.
//!
//! The compiler's intrinsics are not stable yet, so the instructions are written as `asm!`.
#![expect(unsafe_code, reason = "instructions without intrinsics, and a request to the system")]

use std::arch::asm;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::avx512::Avx512;
use super::{LANES, Line};
use crate::activation::WIDE_ROWS;
use crate::codes::OPERANDS;

/// Bytes between the rows of activations: 32 columns.
const A_STRIDE: usize = 4 * OPERANDS;
/// Bytes between the rows of weights and of sums.
const LINE_STRIDE: usize = size_of::<Line>();

/// Proof that AMX int8 and bf16 were found, that the system lets this process use them, and
/// AVX-512 with them.
#[derive(Clone, Copy)]
pub(crate) struct Amx(Avx512);

impl Amx {
    pub(crate) fn detect() -> Option<Amx> {
        static USABLE: OnceLock<bool> = OnceLock::new();
        let simd = Avx512::detect()?;
        USABLE.get_or_init(usable).then_some(Amx(simd))
    }

    pub(crate) fn simd(self) -> Avx512 {
        self.0
    }
}

/// Whether the processor has it, the system keeps its registers, and grants their use.
fn usable() -> bool {
    if has_tiles() && is_granted() {
        return true;
    }
    // Tests run the kernels anyway.
    #[cfg(all(test, target_os = "linux"))]
    super::amx_emulator::install();
    cfg!(all(test, target_os = "linux"))
}

fn has_tiles() -> bool {
    /// Bits of CPUID leaf 7, register EDX: AMX-BF16, AMX-TILE and AMX-INT8.
    const FEATURES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    /// Bits of XCR0: the system keeps the tiles' shapes and data.
    const STATES: u64 = 1 << 17 | 1 << 18;
    if !is_x86_feature_detected!("xsave") {
        return false;
    }
    let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
    // SAFETY: AVX-512 was found with the system's support, so that `xgetbv` is there.
    let states = unsafe { xcr0() };
    features & FEATURES == FEATURES && states & STATES == STATES
}

#[target_feature(enable = "xsave")]
fn xcr0() -> u64 {
    // SAFETY: register 0 exists wherever the instruction does.
    unsafe { std::arch::x86_64::_xgetbv(0) }
}

/// Linux gives the tiles' 8 KiB of state only to a process that asks for it.
#[cfg(target_os = "linux")]
fn is_granted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the request takes two numbers and no memory.
    let answer =
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
    answer == 0
}

#[cfg(not(target_os = "linux"))]
fn is_granted() -> bool {
    false
}

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// The tile registers of this thread while they are in use: 0 to 3 are sums, 4 and 5 activations,
/// 6 and 7 weights.
pub(crate) struct Tiles {
    /// Columns of a product.
    columns: usize,
    /// The registers stay with the thread.
    thread: PhantomData<*const ()>,
}

/// `out = a * b` in these three registers.
macro_rules! product {
    ($c:tt, $a:tt, $b:tt, $pointers:expr) => {{
        let (out, a, b): (*mut Line, *const i32, *const Line) = $pointers;
        // SAFETY: the shapes are those of `set_columns`; reads end with the slices, as
        // `multiply` checks, and what is written is its array.
        unsafe {
        asm!(
            concat!("tileloadd ", $a, ", [{a} + {a_stride}]"),
            concat!("tileloadd ", $b, ", [{b} + {stride}]"),
            concat!("tilezero ", $c),
            concat!("tdpbssd ", $c, ", ", $a, ", ", $b),
            concat!("tilestored [{out} + {stride}], ", $c),
            a = in(reg) a,
            a_stride = in(reg) A_STRIDE,
            b = in(reg) b,
            out = in(reg) out,
            stride = in(reg) LINE_STRIDE,
            out($a) _,
            out($b) _,
            out($c) _,
            options(nostack, preserves_flags),
        );
        }
    }};
}

/// `asm!` of instructions that may write any of the eight tile registers.
macro_rules! with_tiles {
    ($($part:tt)*) => {
        asm!(
            $($part)*
            out("tmm0") _,
            out("tmm1") _,
            out("tmm2") _,
            out("tmm3") _,
            out("tmm4") _,
            out("tmm5") _,
            out("tmm6") _,
            out("tmm7") _,
            options(nostack),
        )
    };
}

/// Four products from registers.
macro_rules! four_products {
    ($product:literal) => {
        // SAFETY: the shapes are those of `set_columns`; no memory is touched.
        unsafe {
            asm!(
                concat!($product, " tmm0, tmm4, tmm6"),
                concat!($product, " tmm1, tmm5, tmm6"),
                concat!($product, " tmm2, tmm4, tmm7"),
                concat!($product, " tmm3, tmm5, tmm7"),
                out("tmm0") _,
                out("tmm1") _,
                out("tmm2") _,
                out("tmm3") _,
                options(nomem, nostack, preserves_flags),
            );
        }
    };
}

impl Tiles {
    /// Multiplications and additions of a turn of [`Tiles::spend`].
    pub(crate) const OPS_PER_TURN: usize = 4 * 2 * WIDE_ROWS * LANES * 64;

    pub(crate) fn new(_: Amx) -> Tiles {
        Tiles { columns: 0, thread: PhantomData }
    }

    /// Prepares for products of `columns` columns, 16, 32 or 64.
    pub(crate) fn set_columns(&mut self, columns: usize) {
        if self.columns == columns {
            return;
        }
        let mut shapes = Shapes {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        shapes.row_bytes[..8].fill(64);
        shapes.rows[..8].fill(16);
        shapes.row_bytes[4..6].fill(columns as u16);
        shapes.rows[6..8].fill((columns / 4) as u8);
        // SAFETY: `Amx` proves that the instruction may be used; it reads these 64 bytes.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, preserves_flags));
        }
        self.columns = columns;
    }

    /// `out[m][n] = a[m] . b[n]` of `columns` signed bytes: 16 rows `a` that start 32 bytes after
    /// each other, and `b` as `codes` unpacks it. Calls whose `turn` differs share no registers.
    #[inline(always)]
    pub(crate) fn multiply(&self, turn: usize, out: &mut [Line; WIDE_ROWS], a: &[i32], b: &[Line]) {
        let dwords = self.columns / 4;
        assert!(a.len() >= (WIDE_ROWS - 1) * OPERANDS + dwords && b.len() >= dwords, "whole tiles");
        let pointers = (out.as_mut_ptr(), a.as_ptr(), b.as_ptr());
        match turn % 4 {
            0 => product!("tmm0", "tmm4", "tmm6", pointers),
            1 => product!("tmm1", "tmm5", "tmm7", pointers),
            2 => product!("tmm2", "tmm4", "tmm6", pointers),
            _ => product!("tmm3", "tmm5", "tmm7", pointers),
        }
    }

    /// `sums[t][r] += x[r] . weights[t]` of two weight tiles, 32 rows and some groups of 32 bf16
    /// columns: `x` is `[groups][32]` lines of a row, `weights` `[groups][2][16]` lines of two
    /// columns. Within a group even and odd columns are two chains that are added to the sum; what
    /// is denormal counts as zero. Without `is_more` the sums begin at zero. `ahead` is fetched: as
    /// much as an eighth of `x`.
    #[inline(always)]
    pub(crate) fn add_products(
        &self,
        (sums, is_more): ([&mut [Line; 32]; 2], bool),
        (x, weights): (&[Line], &[Line]),
        ahead: *const Line,
    ) {
        assert!(self.columns == 64 && x.len() == weights.len(), "whole tiles");
        let groups = x.len() / 32;
        assert!(groups > 0 && x.len().is_multiple_of(32), "whole groups");
        let [one, other] = sums;
        // SAFETY: the shapes are those of `set_columns`: each load reads 16 lines. Both slices have
        // 32 a group; what is written are the arrays. A fetch may ask for anything.
        unsafe {
            with_tiles!(
                "test {is_more:e}, {is_more:e}",
                "jz 3f",
                "tileloadd tmm0, [{one} + {stride}]",
                "tileloadd tmm1, [{one} + {stride} + 1024]",
                "tileloadd tmm2, [{other} + {stride}]",
                "tileloadd tmm3, [{other} + {stride} + 1024]",
                "jmp 2f",
                "3:",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{x} + {stride}]",
                "tileloadd tmm6, [{w} + {stride}]",
                "prefetcht1 [{ahead}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{x} + {stride} + 1024]",
                "prefetcht1 [{ahead} + 64]",
                "tdpbf16ps tmm1, tmm5, tmm6",
                "tileloadd tmm7, [{w} + {stride} + 1024]",
                "prefetcht1 [{ahead} + 128]",
                "tdpbf16ps tmm2, tmm4, tmm7",
                "prefetcht1 [{ahead} + 192]",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {ahead}, 256",
                "add {x}, 2048",
                "add {w}, 2048",
                "dec {groups}",
                "jnz 2b",
                "tilestored [{one} + {stride}], tmm0",
                "tilestored [{one} + {stride} + 1024], tmm1",
                "tilestored [{other} + {stride}], tmm2",
                "tilestored [{other} + {stride} + 1024], tmm3",
                one = in(reg) one.as_mut_ptr(),
                other = in(reg) other.as_mut_ptr(),
                stride = in(reg) LINE_STRIDE,
                is_more = in(reg) u32::from(is_more),
                x = inout(reg) x.as_ptr() => _,
                w = inout(reg) weights.as_ptr() => _,
                ahead = inout(reg) ahead => _,
                groups = inout(reg) groups => _,
            );
        }
    }

    /// Sums of [`Tiles::add_group`] begin at zero.
    #[inline(always)]
    pub(crate) fn zero_sums(&self) {
        // SAFETY: the registers are this thread's, and nothing else is touched.
        unsafe {
            with_tiles!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",);
        }
    }

    /// As [`Tiles::add_products`] of one group; the sums stay in registers.
    #[inline(always)]
    pub(crate) fn add_group(&self, x: &[Line; 32], weights: &[Line; 32]) {
        assert!(self.columns == 64, "whole tiles");
        // SAFETY: the shapes are those of `set_columns`: each load reads 16 lines of 32.
        unsafe {
            with_tiles!(
                "tileloadd tmm4, [{x} + {stride}]",
                "tileloadd tmm6, [{w} + {stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{x} + {stride} + 1024]",
                "tdpbf16ps tmm1, tmm5, tmm6",
                "tileloadd tmm7, [{w} + {stride} + 1024]",
                "tdpbf16ps tmm2, tmm4, tmm7",
                "tdpbf16ps tmm3, tmm5, tmm7",
                stride = in(reg) LINE_STRIDE,
                x = in(reg) x.as_ptr(),
                w = in(reg) weights.as_ptr(),
            );
        }
    }

    /// What [`Tiles::add_group`] has summed.
    #[inline(always)]
    pub(crate) fn store_sums(&self, sums: [&mut [Line; 32]; 2]) {
        let [one, other] = sums;
        // SAFETY: what is written are the arrays.
        unsafe {
            asm!(
                "tilestored [{one} + {stride}], tmm0",
                "tilestored [{one} + {stride} + 1024], tmm1",
                "tilestored [{other} + {stride}], tmm2",
                "tilestored [{other} + {stride} + 1024], tmm3",
                one = in(reg) one.as_mut_ptr(),
                other = in(reg) other.as_mut_ptr(),
                stride = in(reg) LINE_STRIDE,
                options(nostack),
            );
        }
    }

    /// `out[r][t] = x[r] . tiles[t]` of 16 rows and four tiles, in groups as
    /// [`Tiles::add_products`]: `x` is `[groups][16]` lines of a row, `tiles` `[4][groups][16]`
    /// lines of two columns.
    #[inline(always)]
    pub(crate) fn multiply_rows(&self, out: &mut [[Line; 4]; 16], x: &[Line], tiles: &[Line]) {
        assert!(self.columns == 64 && tiles.len() == 4 * x.len(), "whole tiles");
        let groups = x.len() / 16;
        assert!(groups > 0 && x.len().is_multiple_of(16), "whole groups");
        let tile = |i: usize| tiles[i * x.len()..].as_ptr();
        // SAFETY: the shapes are those of `set_columns`: each load reads 16 lines, of each slice as
        // many as it has; what is written is the array, 16 lines that are four apart at a time.
        unsafe {
            with_tiles!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{x} + {stride}]",
                "tileloadd tmm5, [{a} + {stride}]",
                "tdpbf16ps tmm0, tmm4, tmm5",
                "tileloadd tmm6, [{b} + {stride}]",
                "tdpbf16ps tmm1, tmm4, tmm6",
                "tileloadd tmm7, [{c} + {stride}]",
                "tdpbf16ps tmm2, tmm4, tmm7",
                "tileloadd tmm5, [{d} + {stride}]",
                "tdpbf16ps tmm3, tmm4, tmm5",
                "add {x}, 1024",
                "add {a}, 1024",
                "add {b}, 1024",
                "add {c}, 1024",
                "add {d}, 1024",
                "dec {groups}",
                "jnz 2b",
                "shl {stride}, 2",
                "tilestored [{out} + {stride}], tmm0",
                "tilestored [{out} + {stride} + 64], tmm1",
                "tilestored [{out} + {stride} + 128], tmm2",
                "tilestored [{out} + {stride} + 192], tmm3",
                out = in(reg) out.as_mut_ptr(),
                stride = inout(reg) LINE_STRIDE => _,
                x = inout(reg) x.as_ptr() => _,
                a = inout(reg) tile(0) => _,
                b = inout(reg) tile(1) => _,
                c = inout(reg) tile(2) => _,
                d = inout(reg) tile(3) => _,
                groups = inout(reg) groups => _,
            );
        }
    }

    /// `out[r] += x[r] . tiles` of 16 rows and all tiles of 16 columns, in groups as
    /// [`Tiles::add_products`]: `tiles` is `[tiles][2][16]` lines, `out [16][tiles][16]`.
    #[inline(always)]
    pub(crate) fn add_weighed(&self, out: &mut [f32], x: &[[Line; 16]; 2], tiles: &[Line]) {
        let count = tiles.len() / 32;
        assert!(self.columns == 64 && count > 0 && tiles.len().is_multiple_of(32), "whole tiles");
        assert!(out.len() == 16 * 16 * count, "16 rows of them");
        // SAFETY: the shapes are those of `set_columns`: each load reads 16 lines, of `tiles` as
        // many as it has; rows of `out` are as long as all tiles together.
        unsafe {
            asm!(
                "tileloadd tmm4, [{x} + {stride}]",
                "tileloadd tmm5, [{x} + {stride} + 1024]",
                "2:",
                "tileloadd tmm0, [{out} + {step}]",
                "tileloadd tmm6, [{w} + {stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{w} + {stride} + 1024]",
                "tdpbf16ps tmm0, tmm5, tmm7",
                "tilestored [{out} + {step}], tmm0",
                "add {out}, 64",
                "add {w}, 2048",
                "dec {count}",
                "jnz 2b",
                out = inout(reg) out.as_mut_ptr() => _,
                step = in(reg) count * LINE_STRIDE,
                stride = in(reg) LINE_STRIDE,
                x = in(reg) x.as_ptr(),
                w = inout(reg) tiles.as_ptr() => _,
                count = inout(reg) count => _,
                out("tmm0") _,
                out("tmm4") _,
                out("tmm5") _,
                out("tmm6") _,
                out("tmm7") _,
                options(nostack),
            );
        }
    }

    /// `turns` times four products of full tiles of bytes from registers.
    pub(crate) fn spend(&mut self, turns: usize) {
        self.set_columns(64);
        for _ in 0..turns {
            four_products!("tdpbssd");
        }
    }

    /// `turns` times four products of full tiles of bf16 from registers: half as many operations.
    pub(crate) fn spend_bf16(&mut self, turns: usize) {
        self.set_columns(64);
        for _ in 0..turns {
            four_products!("tdpbf16ps");
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        if self.columns > 0 {
            // SAFETY: the registers are this thread's, and nobody uses them from here on.
            unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
        }
    }
}
