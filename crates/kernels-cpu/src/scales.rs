//! How the scales and minimums of a weight tile lie in memory, one kind per family of formats.
//!
//! A weight is `s * (u - 2^SHIFT)`, or `s * u + m` where the kind has minimums. Sixteen rows'
//! values of one sort lie together, as one vector.

use half::{bf16, f16};

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
    /// Whether there are scales that are not finite times a few millions.
    const HUGE: bool = false;
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

/// One f16 a group and codes offset by `2^SHIFT`: `IQ4_NL`, `Q4_0`, `Q5_0`, `Q8_0`.
pub(crate) struct Offset<const SHIFT: u32>;
/// Two f16 a group, `d * u + m`: `Q4_1`, `Q5_1`.
pub(crate) struct WithMin;
/// Two f16 and a pair of small integers a scale, `d * a * u - dmin * b`: `Q2_K`, `Q4_K`, `Q5_K`.
pub(crate) struct SuperMin<const HALVES: usize>;
/// One f16, a small signed integer a scale and codes offset by `2^SHIFT`: `IQ4_XS`, `Q3_K`, `Q6_K`.
pub(crate) struct SuperOffset<const SHIFT: u32, const HALVES: usize>;
/// The exponent of a power of two a group and codes offset by `2^SHIFT`: `MXFP4`.
pub(crate) struct Exponent<const SHIFT: u32>;
/// A float of 8 bits every 16 columns and codes offset by `2^SHIFT`: `NVFP4`.
pub(crate) struct SmallFloat<const SHIFT: u32>;

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

#[inline(always)]
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
    #[inline(always)]
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
    #[inline(always)]
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
    #[inline(always)]
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

impl<const SHIFT: u32, const HALVES: usize> Scales for SuperOffset<SHIFT, HALVES> {
    const SUPER: usize = 8;
    const HALVES: usize = HALVES;
    const SHIFT: u32 = SHIFT;
    const MIN: bool = false;
    const BYTES: usize = F16S + 8 * HALVES * LANES;
    #[inline(always)]
    fn head<S: Simd>(s: S, block: &[u8]) -> (S::F, S::F) {
        (f16s(s, block, 0), s.splat(0.0))
    }
    #[inline(always)]
    fn group<S: Simd>(s: S, head: (S::F, S::F), block: &[u8], index: usize) -> (S::F, S::F) {
        (s.mul(head.0, s.load_i8(bytes16(block, F16S + index * LANES))), head.1)
    }
    #[inline(always)]
    fn pack(block: &mut [u8], row: usize, scales: &RowScales) {
        put_f16(block, 0, row, scales.d);
        for index in 0..8 * HALVES {
            block[F16S + index * LANES + row] = scales.scales[index];
        }
    }
    fn row(block: &[u8], row: usize, index: usize) -> (f32, f32) {
        let scale = block[F16S + index * LANES + row].cast_signed();
        (f16_at(block, 0, row) * f32::from(scale), 0.0)
    }
}

impl<const SHIFT: u32> Scales for Exponent<SHIFT> {
    const SUPER: usize = 1;
    const HALVES: usize = 1;
    const SHIFT: u32 = SHIFT;
    const MIN: bool = false;
    const HUGE: bool = true;
    const BYTES: usize = LANES;
    #[inline(always)]
    fn head<S: Simd>(s: S, block: &[u8]) -> (S::F, S::F) {
        let mut bits = [0; LANES];
        for (bits, e) in bits.iter_mut().zip(bytes16(block, 0)) {
            *bits = half_power(*e);
        }
        (s.load_bf16(&bits), s.splat(0.0))
    }
    #[inline(always)]
    fn group<S: Simd>(_: S, head: (S::F, S::F), _: &[u8], _: usize) -> (S::F, S::F) {
        head
    }
    #[inline(always)]
    fn pack(block: &mut [u8], row: usize, scales: &RowScales) {
        block[row] = scales.scales[0];
    }
    fn row(block: &[u8], row: usize, _: usize) -> (f32, f32) {
        (bf16::from_bits(half_power(block[row])).to_f32(), 0.0)
    }
}

/// bf16 bits of half of `2^(e - 127)`, the table being doubled. Below the smallest normal number
/// the one bit of the power is in the fraction.
#[inline(always)]
fn half_power(e: u8) -> u16 {
    let normal = u16::from(e.wrapping_sub(1)) << 7;
    if e < 2 { 0x20 << (e & 1) } else { normal }
}

impl<const SHIFT: u32> Scales for SmallFloat<SHIFT> {
    const SUPER: usize = 2;
    const HALVES: usize = 2;
    const SHIFT: u32 = SHIFT;
    const MIN: bool = false;
    const BYTES: usize = 4 * LANES;
    #[inline(always)]
    fn head<S: Simd>(s: S, _: &[u8]) -> (S::F, S::F) {
        (s.splat(SMALL_FLOAT_UNIT), s.splat(0.0))
    }
    #[inline(always)]
    fn group<S: Simd>(s: S, head: (S::F, S::F), block: &[u8], index: usize) -> (S::F, S::F) {
        let mut bits = [0; LANES];
        for (bits, d) in bits.iter_mut().zip(bytes16(block, index * LANES)) {
            *bits = u16::from(*d) << 7;
        }
        (s.mul(head.0, s.load_f16(&bits)), head.1)
    }
    #[inline(always)]
    fn pack(block: &mut [u8], row: usize, scales: &RowScales) {
        for (index, d) in scales.scales[..4].iter().enumerate() {
            // 127 alone stands for 0, and the first bit for nothing.
            block[index * LANES + row] = if *d == 127 { 0 } else { d & 127 };
        }
    }
    fn row(block: &[u8], row: usize, index: usize) -> (f32, f32) {
        let d = f16::from_bits(u16::from(block[index * LANES + row]) << 7);
        (SMALL_FLOAT_UNIT * d.to_f32(), 0.0)
    }
}

/// The seven bits of E4M3 are those of an f16 that is 2^8 times smaller, its bias being 15 and not
/// 7; half of that is left, the table being doubled.
const SMALL_FLOAT_UNIT: f32 = 128.0;

#[cfg(test)]
mod tests {
    use super::{Exponent, RowScales, Scales, SmallFloat};
    use crate::isa::{Isa, variants};
    use crate::simd::{Kernel, LANES, Simd};
    use quant::formats::{mxfp4, nvfp4};

    /// The scales `index` of 16 rows.
    struct Lanes<'a, K> {
        kind: std::marker::PhantomData<K>,
        block: &'a [u8],
        index: usize,
    }

    impl<K: Scales> Kernel for Lanes<'_, K> {
        type Output = [f32; LANES];
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [f32; LANES] {
            let mut out = [0.0; LANES];
            let head = K::head(s, self.block);
            s.store(&mut out, K::group(s, head, self.block, self.index).0);
            out
        }
    }

    /// Every byte, in the lanes of every variant and alone, is what the format says.
    fn check<K: Scales>(meaning: fn(u8) -> f32) {
        for first in (0..=u8::MAX).step_by(LANES) {
            let mut block = vec![0; K::BYTES];
            for row in 0..LANES {
                let scales = std::array::from_fn(|i| (first + row as u8).wrapping_add(i as u8));
                K::pack(&mut block, row, &RowScales { d: 0, min: 0, scales, mins: [0; 16] });
            }
            for index in 0..K::SUPER * K::HALVES {
                let byte = |row: usize| (first + row as u8).wrapping_add(index as u8);
                let want: [f32; LANES] = std::array::from_fn(|row| meaning(byte(row)));
                let alone = std::array::from_fn(|row| K::row(&block, row, index).0);
                assert_eq!(want, alone, "{first}, {index}");
                for variant in variants() {
                    let isa = Isa::find(variant).unwrap();
                    let kind = std::marker::PhantomData::<K>;
                    let found = isa.run(Lanes { kind, block: &block, index });
                    assert_eq!(want, found, "{variant:?} {first}, {index}");
                }
            }
        }
    }

    #[test]
    fn scales_of_a_byte_are_exact() {
        check::<Exponent<4>>(mxfp4::half_scale);
        check::<SmallFloat<4>>(nvfp4::half_scale);
    }
}
