//! What the formats share whose codes stand for the values of a table: the nearest code, fitting a
//! scale, and nibbles.

/// What the 16 codes stand for.
pub(crate) type Codebook = [i8; 16];

/// How much of the table the largest value may reach past or leave: trades clipping for finer
/// steps, as in `affine`.
const REACHES: [f32; 11] = [0.8, 0.84, 0.88, 0.91, 0.94, 0.96, 0.98, 1.0, 1.02, 1.05, 1.08];

/// The code whose value times `scale` is nearest to `x`; the first of equals.
pub(crate) fn nearest(codebook: &Codebook, x: f32, scale: f32) -> u8 {
    let mut best = (0, f32::INFINITY);
    for (code, value) in (0..).zip(codebook) {
        let error = (scale * f32::from(*value) - x).abs();
        if error < best.1 {
            best = (code, error);
        }
    }
    best.0
}

/// Squared error of `src` in its nearest codes.
pub(crate) fn error(codebook: &Codebook, src: &[f32], scale: f32) -> f64 {
    let of = |x: &f32| {
        let value = f32::from(codebook[usize::from(nearest(codebook, *x, scale))]);
        f64::from(scale * value - x).powi(2)
    };
    src.iter().map(of).sum()
}

/// The scale with the least squared error; it may be negative, so that the largest value meets the
/// end of the table that suits it.
pub(crate) fn fit(codebook: &Codebook, src: &[f32]) -> f32 {
    let extreme = super::extreme(src);
    if extreme == 0.0 {
        return 0.0;
    }
    let mut best = (f64::INFINITY, 0.0);
    for end in [codebook[0], codebook[15]] {
        for reach in REACHES {
            let scale = solve(codebook, src, extreme / (f32::from(end) * reach));
            let error = error(codebook, src, scale);
            if error < best.0 {
                best = (error, scale);
            }
        }
    }
    best.1
}

/// Least squares for the scale with the codes that `scale` gives.
fn solve(codebook: &Codebook, src: &[f32], scale: f32) -> f32 {
    let (mut s_vv, mut s_vx) = (0.0, 0.0);
    for x in src {
        let value = f64::from(codebook[usize::from(nearest(codebook, *x, scale))]);
        s_vv += value * value;
        s_vx += value * f64::from(*x);
    }
    (s_vx / f64::max(s_vv, f64::MIN_POSITIVE)) as f32
}

/// The nearest codes, the first half of them in the low nibbles of `packed`.
pub(crate) fn pack(codebook: &Codebook, src: &[f32], scale: f32, packed: &mut [u8]) {
    let half = packed.len();
    for (i, byte) in packed.iter_mut().enumerate() {
        let code = |i: usize| nearest(codebook, src[i], scale);
        *byte = code(i) | code(i + half) << 4;
    }
}

/// The inverse of [`pack`].
pub(crate) fn unpack(codebook: &Codebook, packed: &[u8], scale: f32, out: &mut [f32]) {
    let half = packed.len();
    for (i, byte) in packed.iter().enumerate() {
        out[i] = scale * f32::from(codebook[usize::from(byte & 15)]);
        out[i + half] = scale * f32::from(codebook[usize::from(byte >> 4)]);
    }
}
