//! How the scales and minimums of a weight tile lie in memory, one kind per family of formats.
//!
//! A weight is `s * (u - 2^SHIFT)`, or `s * u + m` where the kind has minimums. Sixteen rows'
//! values of one sort lie together, as one vector.

use half::f16;

use crate::simd::{LANES, Simd};

/// Bytes of 16 f16.
const F16S: usize = 2 * LANES;

/// One family.
pub(crate) trait Scales {
    /// Groups of 32 columns that share a head.
    const SUPER: usize;
    /// Scales in a group of 32 columns: 1, or 2 where they change every 16.
    const HALVES: usize;
    /// Binary logarithm of the offset of the codes.
    const SHIFT: u32;
    /// Whether there are minimums, and then no offset.
    const MIN: bool;
    /// Bytes of one superblock of a tile.
    const BYTES: usize;
    /// Scale and minimum of the head.
    fn head<S: Simd>(s: S, block: &[u8]) -> (S::F, S::F);
    /// `s` and `m` of scale `index` in the superblock.
    fn group<S: Simd>(s: S, head: (S::F, S::F), block: &[u8], index: usize) -> (S::F, S::F);
    /// Puts a row's scales into a zeroed superblock.
    fn pack(block: &mut [u8], row: usize, scales: &RowScales);
    /// `(s, m)` of one row; `m` is 0 where the kind has none.
    fn row(block: &[u8], row: usize, index: usize) -> (f32, f32);
}

/// A row's scales of one superblock as the file has them.
pub(crate) struct RowScales {
    /// f16 bits.
    pub(crate) d: u16,
    /// f16 bits.
    pub(crate) min: u16,
    pub(crate) scales: [u8; 16],
    pub(crate) mins: [u8; 16],
}

/// One f16 a group and codes offset by `2^SHIFT`: `Q4_0`, `Q5_0`, `Q8_0`.
pub(crate) struct Offset<const SHIFT: u32>;
/// Two f16 a group, `d * u + m`: `Q4_1`, `Q5_1`.
pub(crate) struct WithMin;
/// Two f16 and a pair of small integers a scale, `d * a * u - dmin * b`: `Q2_K`, `Q4_K`, `Q5_K`.
pub(crate) struct SuperMin<const HALVES: usize>;
/// One f16, a signed byte every 16 columns and codes offset by `2^SHIFT`: `Q3_K`, `Q6_K`.
pub(crate) struct SuperOffset<const SHIFT: u32>;

#[inline(always)]
fn f16s<S: Simd>(s: S, bytes: &[u8], at: usize) -> S::F {
    let halves: &[u8; F16S] = bytes[at..].first_chunk().expect("a superblock is whole");
    s.load_f16(bytemuck::cast_ref::<Aligned, [u16; LANES]>(&Aligned(*halves)))
}

#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(2))]
struct Aligned([u8; F16S]);

#[inline(always)]
fn bytes16(bytes: &[u8], at: usize) -> &[u8; LANES] {
    bytes[at..].first_chunk().expect("a superblock is whole")
}

fn put_f16(block: &mut [u8], at: usize, row: usize, bits: u16) {
    block[at + 2 * row..][..2].copy_from_slice(&bits.to_ne_bytes());
}

fn f16_at(block: &[u8], at: usize, row: usize) -> f32 {
    f16::from_bits(u16::from_ne_bytes([block[at + 2 * row], block[at + 2 * row + 1]])).to_f32()
}

impl<const SHIFT: u32> Scales for Offset<SHIFT> {
    const SUPER: usize = 1;
    const HALVES: usize = 1;
    const SHIFT: u32 = SHIFT;
    const MIN: bool = false;
    const BYTES: usize = F16S;
    #[inline(always)]
    fn head<S: Simd>(s: S, block: &[u8]) -> (S::F, S::F) {
        (f16s(s, block, 0), s.splat(0.0))
    }
    #[inline(always)]
    fn group<S: Simd>(_: S, head: (S::F, S::F), _: &[u8], _: usize) -> (S::F, S::F) {
        head
    }
    fn pack(block: &mut [u8], row: usize, scales: &RowScales) {
        put_f16(block, 0, row, scales.d);
    }
    fn row(block: &[u8], row: usize, _: usize) -> (f32, f32) {
        (f16_at(block, 0, row), 0.0)
    }
}

impl Scales for WithMin {
    const SUPER: usize = 1;
    const HALVES: usize = 1;
    const SHIFT: u32 = 0;
    const MIN: bool = true;
    const BYTES: usize = 2 * F16S;
    #[inline(always)]
    fn head<S: Simd>(s: S, block: &[u8]) -> (S::F, S::F) {
        (f16s(s, block, 0), f16s(s, block, F16S))
    }
    #[inline(always)]
    fn group<S: Simd>(_: S, head: (S::F, S::F), _: &[u8], _: usize) -> (S::F, S::F) {
        head
    }
    fn pack(block: &mut [u8], row: usize, scales: &RowScales) {
        put_f16(block, 0, row, scales.d);
        put_f16(block, F16S, row, scales.min);
    }
    fn row(block: &[u8], row: usize, _: usize) -> (f32, f32) {
        (f16_at(block, 0, row), f16_at(block, F16S, row))
    }
}

impl<const HALVES: usize> Scales for SuperMin<HALVES> {
    const SUPER: usize = 8;
    const HALVES: usize = HALVES;
    const SHIFT: u32 = 0;
    const MIN: bool = true;
    const BYTES: usize = 2 * F16S + 8 * HALVES * 2 * LANES;
    #[inline(always)]
    fn head<S: Simd>(s: S, block: &[u8]) -> (S::F, S::F) {
        (f16s(s, block, 0), s.sub(s.splat(0.0), f16s(s, block, F16S)))
    }
    #[inline(always)]
    fn group<S: Simd>(s: S, head: (S::F, S::F), block: &[u8], index: usize) -> (S::F, S::F) {
        let at = 2 * F16S + index * 2 * LANES;
        let scale = s.mul(head.0, s.load_u8(bytes16(block, at)));
        (scale, s.mul(head.1, s.load_u8(bytes16(block, at + LANES))))
    }
    fn pack(block: &mut [u8], row: usize, scales: &RowScales) {
        put_f16(block, 0, row, scales.d);
        put_f16(block, F16S, row, scales.min);
        for index in 0..8 * HALVES {
            let at = 2 * F16S + index * 2 * LANES + row;
            block[at] = scales.scales[index];
            block[at + LANES] = scales.mins[index];
        }
    }
    fn row(block: &[u8], row: usize, index: usize) -> (f32, f32) {
        let at = 2 * F16S + index * 2 * LANES + row;
        let min = f16_at(block, F16S, row) * f32::from(block[at + LANES]);
        (f16_at(block, 0, row) * f32::from(block[at]), -min)
    }
}

impl<const SHIFT: u32> Scales for SuperOffset<SHIFT> {
    const SUPER: usize = 8;
    const HALVES: usize = 2;
    const SHIFT: u32 = SHIFT;
    const MIN: bool = false;
    const BYTES: usize = F16S + 16 * LANES;
    #[inline(always)]
    fn head<S: Simd>(s: S, block: &[u8]) -> (S::F, S::F) {
        (f16s(s, block, 0), s.splat(0.0))
    }
    #[inline(always)]
    fn group<S: Simd>(s: S, head: (S::F, S::F), block: &[u8], index: usize) -> (S::F, S::F) {
        (s.mul(head.0, s.load_i8(bytes16(block, F16S + index * LANES))), head.1)
    }
    fn pack(block: &mut [u8], row: usize, scales: &RowScales) {
        put_f16(block, 0, row, scales.d);
        for index in 0..16 {
            block[F16S + index * LANES + row] = scales.scales[index];
        }
    }
    fn row(block: &[u8], row: usize, index: usize) -> (f32, f32) {
        let scale = block[F16S + index * LANES + row].cast_signed();
        (f16_at(block, 0, row) * f32::from(scale), 0.0)
    }
}
