//! How the unsigned codes of a weight tile lie in memory: 16 rows x 32 columns a group.
//!
//! Unpacked, operand `v` of a group holds columns `4v..4v+4` of all rows, row `r` in dword `r`:
//! what `vpdpbusd` multiplies with one activation dword (and, four operands on, an AMX B tile).
//! Codes that stand for the values of a table are looked up on the way, raised to be unsigned.

use quant::formats::{iq4_nl, mxfp4};

use crate::simd::{Line, Simd};

/// Columns of a group.
pub(crate) const GROUP: usize = 32;
/// Operands of a group.
pub(crate) const OPERANDS: usize = GROUP / 4;

/// One bit width, or one table.
pub(crate) trait Codes {
    /// 64-byte lines of one group.
    const LINES: usize;
    /// The largest code.
    const MOST: u8;
    /// All lines of a group, of its operands before any lookup.
    fn pack<S: Simd>(s: S, lines: &mut [Line], codes: &[S::B; OPERANDS]);
    /// Takes them out again, as `unpack` has them.
    fn row(lines: &[Line], row: usize) -> [u32; OPERANDS];
    /// All operands of a group.
    fn unpack<S: Simd>(s: S, lines: &[Line]) -> [S::B; OPERANDS];
}

pub(crate) struct U2;
pub(crate) struct U3;
pub(crate) struct U4;
pub(crate) struct U5;
pub(crate) struct U6;
pub(crate) struct U8;
/// The values of IQ4_NL, raised by 128.
pub(crate) struct Nl4;
/// The values of MXFP4, raised by 16.
pub(crate) struct Fp4;

const NL4: [u8; 16] = raised(iq4_nl::VALUES, 128);
const FP4: [u8; 16] = raised(mxfp4::VALUES, 16);

const fn raised(values: [i8; 16], by: u8) -> [u8; 16] {
    let mut out = [0; 16];
    let mut i = 0;
    while i < out.len() {
        out[i] = by.wrapping_add_signed(values[i]);
        i += 1;
    }
    out
}

const fn most(table: [u8; 16]) -> u8 {
    let mut most = 0;
    let mut i = 0;
    while i < table.len() {
        if table[i] > most {
            most = table[i];
        }
        i += 1;
    }
    most
}

/// One in each of four codes.
pub(crate) const BIT: u32 = 0x0101_0101;

/// Lines `0..2`: bits `SHIFT..SHIFT + 2` of operand `4p + j` in bits `2j..2j+2` of line `p`.
#[inline(always)]
fn pack_twos<S: Simd, const SHIFT: u32>(s: S, lines: &mut [Line], codes: &[S::B; OPERANDS]) {
    for (line, codes) in lines.iter_mut().zip(codes.as_chunks::<4>().0) {
        let two = |i: usize| s.and(s.shr::<SHIFT>(codes[i]), 3);
        let low = s.or(two(0), s.shl::<2>(two(1)));
        s.store_line(line, s.or(low, s.or(s.shl::<4>(two(2)), s.shl::<6>(two(3)))));
    }
}

fn row_twos(lines: &[Line], row: usize) -> [u32; OPERANDS] {
    std::array::from_fn(|v| (lines[v / 4].0[row] >> (2 * (v % 4))) & (3 * BIT))
}

/// One line: bit `SHIFT` of operand `v` in bit `v`.
#[inline(always)]
fn pack_ones<S: Simd, const SHIFT: u32>(s: S, line: &mut Line, codes: &[S::B; OPERANDS]) {
    let one = |v: usize| s.and(s.shr::<SHIFT>(codes[v]), 1);
    let a = s.or(one(0), s.shl::<1>(one(1)));
    let b = s.or(s.shl::<2>(one(2)), s.shl::<3>(one(3)));
    let c = s.or(s.shl::<4>(one(4)), s.shl::<5>(one(5)));
    let d = s.or(s.shl::<6>(one(6)), s.shl::<7>(one(7)));
    s.store_line(line, s.or(s.or(a, b), s.or(c, d)));
}

fn row_ones(line: &Line, row: usize) -> [u32; OPERANDS] {
    std::array::from_fn(|v| (line.0[row] >> v) & BIT)
}

/// The bits of operand 0 to 3 of a line of twos, each moved to `4` or left at `0`.
#[inline(always)]
fn twos<S: Simd>(s: S, line: &Line, high: bool) -> [S::B; 4] {
    let x = s.line(line);
    if high {
        let mask = 0x30;
        let a = s.and(s.shl::<4>(x), mask);
        let b = s.and(s.shl::<2>(x), mask);
        [a, b, s.and(x, mask), s.and(s.shr::<2>(x), mask)]
    } else {
        let b = s.and(s.shr::<2>(x), 3);
        [s.and(x, 3), b, s.and(s.shr::<4>(x), 3), s.and(s.shr::<6>(x), 3)]
    }
}

impl Codes for U4 {
    const LINES: usize = 4;
    const MOST: u8 = 15;
    #[inline(always)]
    fn pack<S: Simd>(s: S, lines: &mut [Line], codes: &[S::B; OPERANDS]) {
        for i in 0..4 {
            let high = s.shl::<4>(s.and(codes[2 * i + 1], 15));
            s.store_line(&mut lines[i], s.or(s.and(codes[2 * i], 15), high));
        }
    }
    fn row(lines: &[Line], row: usize) -> [u32; OPERANDS] {
        std::array::from_fn(|v| (lines[v / 2].0[row] >> (4 * (v % 2))) & (15 * BIT))
    }
    #[inline(always)]
    fn unpack<S: Simd>(s: S, lines: &[Line]) -> [S::B; OPERANDS] {
        let x = [s.line(&lines[0]), s.line(&lines[1]), s.line(&lines[2]), s.line(&lines[3])];
        let mut out = [x[0]; OPERANDS];
        for i in 0..4 {
            out[2 * i] = s.and(x[i], 15);
            out[2 * i + 1] = s.and(s.shr::<4>(x[i]), 15);
        }
        out
    }
}

fn row_looked_up(lines: &[Line], row: usize, table: &[u8; 16]) -> [u32; OPERANDS] {
    let value = |code: u8| table[usize::from(code)];
    U4::row(lines, row).map(|codes| u32::from_le_bytes(codes.to_le_bytes().map(value)))
}

#[inline(always)]
fn unpack_looked_up<S: Simd>(s: S, lines: &[Line], table: &[u8; 16]) -> [S::B; OPERANDS] {
    let mut out = U4::unpack(s, lines);
    for codes in &mut out {
        *codes = s.lookup(*codes, table);
    }
    out
}

impl Codes for Nl4 {
    const LINES: usize = U4::LINES;
    const MOST: u8 = most(NL4);
    #[inline(always)]
    fn pack<S: Simd>(s: S, lines: &mut [Line], codes: &[S::B; OPERANDS]) {
        U4::pack(s, lines, codes);
    }
    fn row(lines: &[Line], row: usize) -> [u32; OPERANDS] {
        row_looked_up(lines, row, &NL4)
    }
    #[inline(always)]
    fn unpack<S: Simd>(s: S, lines: &[Line]) -> [S::B; OPERANDS] {
        unpack_looked_up(s, lines, &NL4)
    }
}

impl Codes for Fp4 {
    const LINES: usize = U4::LINES;
    const MOST: u8 = most(FP4);
    #[inline(always)]
    fn pack<S: Simd>(s: S, lines: &mut [Line], codes: &[S::B; OPERANDS]) {
        U4::pack(s, lines, codes);
    }
    fn row(lines: &[Line], row: usize) -> [u32; OPERANDS] {
        row_looked_up(lines, row, &FP4)
    }
    #[inline(always)]
    fn unpack<S: Simd>(s: S, lines: &[Line]) -> [S::B; OPERANDS] {
        unpack_looked_up(s, lines, &FP4)
    }
}

impl Codes for U8 {
    const LINES: usize = 8;
    const MOST: u8 = u8::MAX;
    #[inline(always)]
    fn pack<S: Simd>(s: S, lines: &mut [Line], codes: &[S::B; OPERANDS]) {
        for v in 0..OPERANDS {
            s.store_line(&mut lines[v], codes[v]);
        }
    }
    fn row(lines: &[Line], row: usize) -> [u32; OPERANDS] {
        std::array::from_fn(|v| lines[v].0[row])
    }
    #[inline(always)]
    fn unpack<S: Simd>(s: S, lines: &[Line]) -> [S::B; OPERANDS] {
        let mut out = [s.line(&lines[0]); OPERANDS];
        for v in 1..OPERANDS {
            out[v] = s.line(&lines[v]);
        }
        out
    }
}

impl Codes for U5 {
    const LINES: usize = 5;
    const MOST: u8 = 31;
    #[inline(always)]
    fn pack<S: Simd>(s: S, lines: &mut [Line], codes: &[S::B; OPERANDS]) {
        U4::pack(s, lines, codes);
        pack_ones::<S, 4>(s, &mut lines[4], codes);
    }
    fn row(lines: &[Line], row: usize) -> [u32; OPERANDS] {
        let (low, high) = (U4::row(lines, row), row_ones(&lines[4], row));
        std::array::from_fn(|v| low[v] | (high[v] << 4))
    }
    #[inline(always)]
    fn unpack<S: Simd>(s: S, lines: &[Line]) -> [S::B; OPERANDS] {
        let mut out = U4::unpack(s, lines);
        let x = s.line(&lines[4]);
        out[0] = s.or(out[0], s.and(s.shl::<4>(x), 16));
        out[1] = s.or(out[1], s.and(s.shl::<3>(x), 16));
        out[2] = s.or(out[2], s.and(s.shl::<2>(x), 16));
        out[3] = s.or(out[3], s.and(s.shl::<1>(x), 16));
        out[4] = s.or(out[4], s.and(x, 16));
        out[5] = s.or(out[5], s.and(s.shr::<1>(x), 16));
        out[6] = s.or(out[6], s.and(s.shr::<2>(x), 16));
        out[7] = s.or(out[7], s.and(s.shr::<3>(x), 16));
        out
    }
}

impl Codes for U6 {
    const LINES: usize = 6;
    const MOST: u8 = 63;
    #[inline(always)]
    fn pack<S: Simd>(s: S, lines: &mut [Line], codes: &[S::B; OPERANDS]) {
        U4::pack(s, lines, codes);
        pack_twos::<S, 4>(s, &mut lines[4..], codes);
    }
    fn row(lines: &[Line], row: usize) -> [u32; OPERANDS] {
        let (low, high) = (U4::row(lines, row), row_twos(&lines[4..], row));
        std::array::from_fn(|v| low[v] | (high[v] << 4))
    }
    #[inline(always)]
    fn unpack<S: Simd>(s: S, lines: &[Line]) -> [S::B; OPERANDS] {
        let mut out = U4::unpack(s, lines);
        for p in 0..2 {
            let high = twos(s, &lines[4 + p], true);
            for j in 0..4 {
                out[4 * p + j] = s.or(out[4 * p + j], high[j]);
            }
        }
        out
    }
}

impl Codes for U2 {
    const LINES: usize = 2;
    const MOST: u8 = 3;
    #[inline(always)]
    fn pack<S: Simd>(s: S, lines: &mut [Line], codes: &[S::B; OPERANDS]) {
        pack_twos::<S, 0>(s, lines, codes);
    }
    fn row(lines: &[Line], row: usize) -> [u32; OPERANDS] {
        row_twos(lines, row)
    }
    #[inline(always)]
    fn unpack<S: Simd>(s: S, lines: &[Line]) -> [S::B; OPERANDS] {
        let (a, b) = (twos(s, &lines[0], false), twos(s, &lines[1], false));
        [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]
    }
}

impl Codes for U3 {
    const LINES: usize = 3;
    const MOST: u8 = 7;
    #[inline(always)]
    fn pack<S: Simd>(s: S, lines: &mut [Line], codes: &[S::B; OPERANDS]) {
        pack_twos::<S, 0>(s, lines, codes);
        pack_ones::<S, 2>(s, &mut lines[2], codes);
    }
    fn row(lines: &[Line], row: usize) -> [u32; OPERANDS] {
        let (low, high) = (row_twos(lines, row), row_ones(&lines[2], row));
        std::array::from_fn(|v| low[v] | (high[v] << 2))
    }
    #[inline(always)]
    fn unpack<S: Simd>(s: S, lines: &[Line]) -> [S::B; OPERANDS] {
        let mut out = U2::unpack(s, lines);
        let x = s.line(&lines[2]);
        out[0] = s.or(out[0], s.and(s.shl::<2>(x), 4));
        out[1] = s.or(out[1], s.and(s.shl::<1>(x), 4));
        out[2] = s.or(out[2], s.and(x, 4));
        out[3] = s.or(out[3], s.and(s.shr::<1>(x), 4));
        out[4] = s.or(out[4], s.and(s.shr::<2>(x), 4));
        out[5] = s.or(out[5], s.and(s.shr::<3>(x), 4));
        out[6] = s.or(out[6], s.and(s.shr::<4>(x), 4));
        out[7] = s.or(out[7], s.and(s.shr::<5>(x), 4));
        out
    }
}
