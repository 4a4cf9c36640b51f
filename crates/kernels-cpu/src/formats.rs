//! The file's block formats as this crate keeps them: which codes, which scales, and how a file
//! block comes apart into both.
//!
//! Bytes are read at the offsets that the GGUF format defines (see `quant` for what they mean).

use quant::FormatId;

use crate::codes::{BIT, Codes, Fp4, Nl4, OPERANDS, U2, U3, U4, U5, U6, U8};
use crate::scales::{
    Exponent, Offset, RowScales, Scales, SmallFloat, SuperMin, SuperOffset, WithMin,
};

/// A quantised file format.
pub(crate) trait Format: 'static {
    type Codes: Codes;
    type Scales: Scales;
    /// Bytes of a superblock (`Scales::SUPER * 32` weights) in the file.
    const FILE_BYTES: usize;
    /// Takes a superblock apart; `codes` has `Scales::SUPER * 8` dwords of four columns each, not
    /// looked up yet.
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales;
}

/// Runs `$then!(Type)` for the format type of `$format`, `$dense` for formats kept as floats.
macro_rules! with_format {
    ($format:expr, $type:ident => $quantised:expr, $dense:expr) => {
        match $format {
            quant::FormatId::IQ4NL => {
                type $type = $crate::formats::IQ4NL;
                $quantised
            }
            quant::FormatId::IQ4XS => {
                type $type = $crate::formats::IQ4XS;
                $quantised
            }
            quant::FormatId::MXFP4 => {
                type $type = $crate::formats::MXFP4;
                $quantised
            }
            quant::FormatId::NVFP4 => {
                type $type = $crate::formats::NVFP4;
                $quantised
            }
            quant::FormatId::Q4_0 => {
                type $type = $crate::formats::Q4_0;
                $quantised
            }
            quant::FormatId::Q4_1 => {
                type $type = $crate::formats::Q4_1;
                $quantised
            }
            quant::FormatId::Q5_0 => {
                type $type = $crate::formats::Q5_0;
                $quantised
            }
            quant::FormatId::Q5_1 => {
                type $type = $crate::formats::Q5_1;
                $quantised
            }
            quant::FormatId::Q8_0 => {
                type $type = $crate::formats::Q8_0;
                $quantised
            }
            quant::FormatId::Q2K => {
                type $type = $crate::formats::Q2K;
                $quantised
            }
            quant::FormatId::Q3K => {
                type $type = $crate::formats::Q3K;
                $quantised
            }
            quant::FormatId::Q4K => {
                type $type = $crate::formats::Q4K;
                $quantised
            }
            quant::FormatId::Q5K => {
                type $type = $crate::formats::Q5K;
                $quantised
            }
            quant::FormatId::Q6K => {
                type $type = $crate::formats::Q6K;
                $quantised
            }
            quant::FormatId::F32
            | quant::FormatId::F16
            | quant::FormatId::BF16
            | quant::FormatId::IQ1M
            | quant::FormatId::IQ1S
            | quant::FormatId::IQ2S
            | quant::FormatId::IQ2XS
            | quant::FormatId::IQ2XXS
            | quant::FormatId::IQ3S
            | quant::FormatId::IQ3XXS
            | quant::FormatId::Q8K
            | quant::FormatId::TQ1_0
            | quant::FormatId::TQ2_0 => $dense,
        }
    };
}
pub(crate) use with_format;

/// Whether weights of `format` are multiplied as integers.
pub(crate) fn is_quantised(format: FormatId) -> bool {
    fn yes<F: Format>() -> bool {
        true
    }
    with_format!(format, F => yes::<F>(), false)
}

/// Whether weights of `format` are kept as blocks of their file and unpacked to be multiplied.
#[must_use]
pub fn is_blockwise(format: FormatId) -> bool {
    format.block_len() > 1 && !is_quantised(format)
}

/// Binary logarithm of the offset of the codes, where there is one.
pub(crate) fn offset_shift(format: FormatId) -> Option<u32> {
    fn shift<S: Scales>() -> Option<u32> {
        (!S::MIN).then_some(S::SHIFT)
    }
    with_format!(format, F => shift::<<F as Format>::Scales>(), None)
}

pub(crate) struct IQ4NL;
pub(crate) struct IQ4XS;
pub(crate) struct MXFP4;
pub(crate) struct NVFP4;
pub(crate) struct Q4_0;
pub(crate) struct Q4_1;
pub(crate) struct Q5_0;
pub(crate) struct Q5_1;
pub(crate) struct Q8_0;
pub(crate) struct Q2K;
pub(crate) struct Q3K;
pub(crate) struct Q4K;
pub(crate) struct Q5K;
pub(crate) struct Q6K;

#[inline(always)]
fn half_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

#[inline(always)]
fn flat(d: u16, min: u16) -> RowScales {
    RowScales { d, min, scales: [0; 16], mins: [0; 16] }
}

/// Bytes by fours.
#[inline(always)]
fn read<const DWORDS: usize>(bytes: &[u8]) -> [u32; DWORDS] {
    let bytes: &[[u8; 4]; DWORDS] = bytes.as_chunks().0.first_chunk().expect("a block is whole");
    bytes.map(u32::from_le_bytes)
}

/// `x >> shift` of each byte, as far as it is in `mask`.
#[inline(always)]
fn field(x: u32, shift: usize, mask: u32) -> u32 {
    (x >> shift) & (mask * BIT)
}

/// Low nibbles are the first half of the values, high nibbles the second. All are read before any
/// is written, so that the loops become vectors.
#[inline(always)]
fn nibbles<const DWORDS: usize>(packed: &[u8], codes: &mut [u32]) {
    let packed = read::<DWORDS>(packed);
    let (low, high) = codes.split_at_mut(DWORDS);
    for i in 0..DWORDS {
        low[i] = field(packed[i], 0, 15);
    }
    for i in 0..DWORDS {
        high[i] = field(packed[i], 4, 15);
    }
}

/// Bit `i` of the little-endian `bits` is bit 4 of code `i`.
#[inline(always)]
fn fifth_bits(bits: &[u8], codes: &mut [u32]) {
    let [bits] = read(bits);
    for (i, codes) in codes.iter_mut().enumerate() {
        // Moves bit `j` of four to byte `j`.
        let four = ((bits >> (4 * i)) & 15) * 0x0020_4081;
        *codes |= field(four, 0, 1) << 4;
    }
}

/// Bit `j` of the dwords of `bits` is the bit `at` of the codes of group `j`.
#[inline(always)]
fn bits_of_groups(bits: &[u8], codes: &mut [u32], at: u32) {
    let bits = read::<OPERANDS>(bits);
    for (j, codes) in codes.chunks_exact_mut(OPERANDS).enumerate() {
        for i in 0..OPERANDS {
            codes[i] |= field(bits[i], j, 1) << at;
        }
    }
}

/// Six-bit scales and minimums of `Q4_K` and `Q5_K`, packed in 12 bytes: four of each whole, and
/// of the next four low nibbles, whose high bits are above the first.
#[inline(always)]
fn six_bit_pairs(packed: &[u8], d: u16, min: u16) -> RowScales {
    let [scales, mins, nibbles] = read(packed);
    let next = |nibbles: u32, first: u32| nibbles | (field(first, 6, 3) << 4);
    let mut out = flat(d, min);
    let pairs = [
        (&mut out.scales, scales, next(field(nibbles, 0, 15), scales)),
        (&mut out.mins, mins, next(field(nibbles, 4, 15), mins)),
    ];
    for (out, first, next) in pairs {
        out[..4].copy_from_slice(&field(first, 0, 63).to_le_bytes());
        out[4..8].copy_from_slice(&next.to_le_bytes());
    }
    out
}

impl Format for IQ4NL {
    type Codes = Nl4;
    type Scales = Offset<7>;
    const FILE_BYTES: usize = 18;
    #[inline(always)]
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales {
        nibbles::<4>(&block[2..], codes);
        flat(half_at(block, 0), 0)
    }
}

impl Format for IQ4XS {
    type Codes = Nl4;
    type Scales = SuperOffset<7, 1>;
    const FILE_BYTES: usize = 136;
    #[inline(always)]
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales {
        for (packed, codes) in block[8..136].chunks_exact(16).zip(codes.chunks_exact_mut(8)) {
            nibbles::<4>(packed, codes);
        }
        let (high, low) = (half_at(block, 2), &block[4..8]);
        let mut out = flat(half_at(block, 0), 0);
        for (i, scale) in out.scales[..8].iter_mut().enumerate() {
            let low = (low[i / 2] >> (4 * (i % 2))) & 15;
            let high = ((high >> (2 * i)) & 3) as u8;
            *scale = (low | (high << 4)).wrapping_sub(32);
        }
        out
    }
}

impl Format for MXFP4 {
    type Codes = Fp4;
    type Scales = Exponent<4>;
    const FILE_BYTES: usize = 17;
    #[inline(always)]
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales {
        nibbles::<4>(&block[1..], codes);
        let mut out = flat(0, 0);
        out.scales[0] = block[0];
        out
    }
}

impl Format for NVFP4 {
    type Codes = Fp4;
    type Scales = SmallFloat<4>;
    const FILE_BYTES: usize = 36;
    #[inline(always)]
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales {
        for (packed, codes) in block[4..36].chunks_exact(8).zip(codes.chunks_exact_mut(4)) {
            nibbles::<2>(packed, codes);
        }
        let mut out = flat(0, 0);
        out.scales[..4].copy_from_slice(&block[..4]);
        out
    }
}

impl Format for Q4_0 {
    type Codes = U4;
    type Scales = Offset<3>;
    const FILE_BYTES: usize = 18;
    #[inline(always)]
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales {
        nibbles::<4>(&block[2..], codes);
        flat(half_at(block, 0), 0)
    }
}

impl Format for Q4_1 {
    type Codes = U4;
    type Scales = WithMin;
    const FILE_BYTES: usize = 20;
    #[inline(always)]
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales {
        nibbles::<4>(&block[4..], codes);
        flat(half_at(block, 0), half_at(block, 2))
    }
}

impl Format for Q5_0 {
    type Codes = U5;
    type Scales = Offset<4>;
    const FILE_BYTES: usize = 22;
    #[inline(always)]
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales {
        nibbles::<4>(&block[6..], codes);
        fifth_bits(&block[2..6], codes);
        flat(half_at(block, 0), 0)
    }
}

impl Format for Q5_1 {
    type Codes = U5;
    type Scales = WithMin;
    const FILE_BYTES: usize = 24;
    #[inline(always)]
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales {
        nibbles::<4>(&block[8..], codes);
        fifth_bits(&block[4..8], codes);
        flat(half_at(block, 0), half_at(block, 2))
    }
}

impl Format for Q8_0 {
    type Codes = U8;
    type Scales = Offset<7>;
    const FILE_BYTES: usize = 34;
    #[inline(always)]
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales {
        let signed = read::<OPERANDS>(&block[2..]);
        for i in 0..OPERANDS {
            codes[i] = signed[i] ^ (128 * BIT);
        }
        flat(half_at(block, 0), 0)
    }
}

impl Format for Q2K {
    type Codes = U2;
    type Scales = SuperMin<2>;
    const FILE_BYTES: usize = 84;
    #[inline(always)]
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales {
        let mut out = flat(half_at(block, 80), half_at(block, 82));
        for (i, pair) in block[..16].iter().enumerate() {
            out.scales[i] = pair & 15;
            out.mins[i] = pair >> 4;
        }
        two_bit(&block[16..80], codes);
        out
    }
}

/// 128 codes in 32 bytes: code `32j + i` in bits `2j..2j+2` of byte `i`.
#[inline(always)]
fn two_bit(packed: &[u8], codes: &mut [u32]) {
    for (packed, codes) in packed.chunks_exact(32).zip(codes.chunks_exact_mut(32)) {
        let packed = read::<OPERANDS>(packed);
        for (j, codes) in codes.chunks_exact_mut(OPERANDS).enumerate() {
            for i in 0..OPERANDS {
                codes[i] = field(packed[i], 2 * j, 3);
            }
        }
    }
}

impl Format for Q3K {
    type Codes = U3;
    type Scales = SuperOffset<2, 2>;
    const FILE_BYTES: usize = 110;
    #[inline(always)]
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales {
        let packed = &block[96..108];
        two_bit(&block[32..96], codes);
        bits_of_groups(&block[..32], codes, 2);
        let mut out = flat(half_at(block, 108), 0);
        for i in 0..16 {
            let low = (packed[i % 8] >> (4 * (i / 8))) & 15;
            let high = (packed[8 + i % 4] >> (2 * (i / 4))) & 3;
            out.scales[i] = (low | (high << 4)).wrapping_sub(32);
        }
        out
    }
}

impl Format for Q4K {
    type Codes = U4;
    type Scales = SuperMin<1>;
    const FILE_BYTES: usize = 144;
    #[inline(always)]
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales {
        for (packed, codes) in block[16..144].chunks_exact(32).zip(codes.chunks_exact_mut(16)) {
            nibbles::<8>(packed, codes);
        }
        six_bit_pairs(&block[4..16], half_at(block, 0), half_at(block, 2))
    }
}

impl Format for Q5K {
    type Codes = U5;
    type Scales = SuperMin<1>;
    const FILE_BYTES: usize = 176;
    #[inline(always)]
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales {
        for (packed, codes) in block[48..176].chunks_exact(32).zip(codes.chunks_exact_mut(16)) {
            nibbles::<8>(packed, codes);
        }
        bits_of_groups(&block[16..48], codes, 4);
        six_bit_pairs(&block[4..16], half_at(block, 0), half_at(block, 2))
    }
}

impl Format for Q6K {
    type Codes = U6;
    type Scales = SuperOffset<5, 2>;
    const FILE_BYTES: usize = 210;
    #[inline(always)]
    fn split(block: &[u8], codes: &mut [u32]) -> RowScales {
        let (low, high) = (&block[..128], &block[128..192]);
        let parts = low.chunks_exact(64).zip(high.chunks_exact(32));
        for ((low, high), codes) in parts.zip(codes.chunks_exact_mut(32)) {
            nibbles::<16>(low, codes);
            let high = read::<OPERANDS>(high);
            for (j, codes) in codes.chunks_exact_mut(OPERANDS).enumerate() {
                for i in 0..OPERANDS {
                    codes[i] |= field(high[i], 2 * j, 3) << 4;
                }
            }
        }
        let mut out = flat(half_at(block, 208), 0);
        out.scales.copy_from_slice(&block[192..208]);
        out
    }
}
