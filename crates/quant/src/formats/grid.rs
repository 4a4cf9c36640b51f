//! What the formats share whose codes stand for several weights at once: points of a grid, and
//! signs beside them.

use super::grid_codes;

pub(super) static IQ1: [[i8; 8]; 2048] = points(&grid_codes::IQ1, &[-1, 0, 1]);
pub(super) static IQ2_S: [[i8; 8]; 1024] = points(&grid_codes::IQ2_S, &IQ2_VALUES);
pub(super) static IQ2_XS: [[i8; 8]; 512] = points(&grid_codes::IQ2_XS, &IQ2_VALUES);
pub(super) static IQ2_XXS: [[i8; 8]; 256] = points(&grid_codes::IQ2_XXS, &IQ2_VALUES);
pub(super) static IQ3_S: [[i8; 4]; 512] = points(&grid_codes::IQ3_S, &[1, 3, 5, 7, 9, 11, 13, 15]);
pub(super) static IQ3_XXS: [[i8; 4]; 256] =
    points(&grid_codes::IQ3_XXS, &[4, 12, 20, 28, 36, 44, 52, 62]);

/// What a coordinate may be.
const IQ2_VALUES: [i8; 3] = [8, 25, 43];

/// By how much the weights of IQ1 lie above or below their points.
const IQ1_SHIFT: f32 = 0.125;

/// Points of `N` coordinates; each has its share of a code's 16 bits, which is a place in `values`.
const fn points<const N: usize, const COUNT: usize>(
    codes: &[u16; COUNT],
    values: &[i8],
) -> [[i8; N]; COUNT] {
    let bits = 16 / N;
    let mut points = [[0; N]; COUNT];
    let mut i = 0;
    while i < COUNT * N {
        let code = codes[i / N] as usize >> (i % N * bits) & ((1 << bits) - 1);
        points[i / N][i % N] = values[code];
        i += 1;
    }
    points
}

/// Eight signs of seven bits: an even count of weights is negative.
pub(super) fn even_signs(bits: u32) -> u8 {
    let bits = (bits & 127) as u8;
    bits | ((bits.count_ones() & 1) << 7) as u8
}

/// `scale` times a point; bit `i` of `signs` says that weight `i` is negative.
pub(super) fn unpack<const N: usize>(point: &[i8; N], scale: f32, signs: u8, out: &mut [f32]) {
    for (i, (out, value)) in out.iter_mut().zip(point).enumerate() {
        let sign = u32::from(signs >> i & 1) << 31;
        *out = f32::from_bits((scale * f32::from(*value)).to_bits() ^ sign);
    }
}

/// `scale` times a point of IQ1 that is shifted up, or down.
pub(super) fn unpack_shifted(code: usize, scale: f32, is_down: bool, out: &mut [f32]) {
    let shift = if is_down { -IQ1_SHIFT } else { IQ1_SHIFT };
    for (out, value) in out.iter_mut().zip(&IQ1[code]) {
        *out = scale * (f32::from(*value) + shift);
    }
}

/// Code `i` of 4 bits, the low nibble first.
pub(super) fn nibble(packed: &[u8], i: usize) -> u8 {
    packed[i / 2] >> (i % 2 * 4) & 15
}
