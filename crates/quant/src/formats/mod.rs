//! A file per format. `FORMATS` in `table.rs` lists them.

mod affine;
pub mod bf16;
mod codebook;
pub mod f16;
pub mod f32;
mod grid;
mod grid_codes;
pub mod iq1_m;
pub mod iq1_s;
pub mod iq2_s;
pub mod iq2_xs;
pub mod iq2_xxs;
pub mod iq3_s;
pub mod iq3_xxs;
pub mod iq4_nl;
pub mod iq4_xs;
pub mod mxfp4;
pub mod nvfp4;
pub mod q2_k;
pub mod q3_k;
pub mod q4_0;
pub mod q4_1;
pub mod q4_k;
pub mod q5_0;
pub mod q5_1;
pub mod q5_k;
pub mod q6_k;
pub mod q8_0;
pub mod q8_k;
pub mod tq1_0;
pub mod tq2_0;

/// The value of largest magnitude, with its sign.
fn extreme(src: &[f32]) -> f32 {
    src.iter().copied().fold(0.0, |best, x| if x.abs() > f32::abs(best) { x } else { best })
}

/// Least and largest value.
fn range(src: &[f32]) -> (f32, f32) {
    let wider = |(low, high): (f32, f32), x: &f32| (low.min(*x), high.max(*x));
    src.iter().fold((f32::INFINITY, f32::NEG_INFINITY), wider)
}

/// `1 / d`, and 0 for 0: a block of zeros has the scale 0.
fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// 32 codes of 5 bits as fifth bits and nibbles.
fn split_5_bits(codes: &[u8; 32]) -> ([u8; 4], [u8; 16]) {
    let mut qh = [0; 4];
    for (i, code) in codes.iter().enumerate() {
        qh[i / 8] |= (code >> 4) << (i % 8);
    }
    (qh, std::array::from_fn(|i| codes[i] & 15 | (codes[i + 16] & 15) << 4))
}
