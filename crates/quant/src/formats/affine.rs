//! What the K-quants share: fitting `x = scale * code - min` to a group, and packing 6-bit scales.

/// Scale and minimum of a group, both 0 or more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) scale: f32,
    pub(crate) min: f32,
}

/// Steps of the search for a better scale.
const STEPS: usize = 20;

/// The scale and minimum with the least squared error for codes `0..=code_max`.
pub(crate) fn fit(src: &[f32], code_max: f32) -> Group {
    let (low, high) = super::range(src);
    let low = low.min(0.0);
    if high <= low {
        return Group { scale: 0.0, min: -low };
    }
    let mut best = Group { scale: (high - low) / code_max, min: -low };
    let mut best_error = error(src, best, code_max);
    for step in 0..STEPS {
        // Fewer or more codes than fit the range: trades clipping for finer steps.
        let width = code_max + 0.1 * step as f32 - 0.05 * STEPS as f32;
        let trial = solve(src, Group { scale: (high - low) / width, min: -low }, code_max);
        let trial_error = error(src, trial, code_max);
        if trial_error < best_error {
            (best, best_error) = (trial, trial_error);
        }
    }
    best
}

/// Least squares for scale and minimum with the codes that `group` gives.
fn solve(src: &[f32], group: Group, code_max: f32) -> Group {
    let n = src.len() as f64;
    let (mut s_c, mut s_cc, mut s_x, mut s_cx) = (0.0, 0.0, 0.0, 0.0);
    for x in src {
        let (c, x) = (f64::from(code(x + group.min, group.scale, code_max)), f64::from(*x));
        s_c += c;
        s_cc += c * c;
        s_x += x;
        s_cx += c * x;
    }
    let determinant = n * s_cc - s_c * s_c;
    if determinant <= 0.0 {
        return group;
    }
    let scale = (n * s_cx - s_c * s_x) / determinant;
    let min = -(s_cc * s_x - s_c * s_cx) / determinant;
    if scale <= 0.0 {
        return group;
    }
    if min < 0.0 {
        // The format has no negative minimum: the best scale through zero.
        return Group { scale: (s_cx / s_cc.max(f64::MIN_POSITIVE)).max(0.0) as f32, min: 0.0 };
    }
    Group { scale: scale as f32, min: min as f32 }
}

fn error(src: &[f32], group: Group, code_max: f32) -> f64 {
    let of = |x: &f32| {
        let code = f32::from(code(x + group.min, group.scale, code_max));
        f64::from(code * group.scale - group.min - x).powi(2)
    };
    src.iter().map(of).sum()
}

/// The scale with the least squared error for signed codes `-bound..bound`; it may be negative,
/// so that the largest value meets the longer side.
pub(crate) fn fit_signed(src: &[f32], bound: f32) -> f32 {
    let extreme = super::extreme(src);
    if extreme == 0.0 {
        return 0.0;
    }
    let mut best = (f64::INFINITY, 0.0);
    for step in 0..STEPS {
        let scale = extreme / -(bound + 0.1 * step as f32 - 0.05 * STEPS as f32);
        let code = |x: f32| f64::from((x / scale).round().clamp(-bound, bound - 1.0));
        let (mut s_cc, mut s_cx) = (0.0, 0.0);
        for x in src {
            s_cc += code(*x) * code(*x);
            s_cx += code(*x) * f64::from(*x);
        }
        let solved = s_cx / s_cc.max(f64::MIN_POSITIVE);
        let error: f64 = src.iter().map(|x| (code(*x) * solved - f64::from(*x)).powi(2)).sum();
        if error < best.0 {
            best = (error, solved as f32);
        }
    }
    best.1
}

/// Scales of the groups' scales and minimums.
pub(crate) fn super_scales(groups: &[Group], code_max: f32) -> (f32, f32) {
    let largest = |of: fn(&Group) -> f32| groups.iter().map(of).fold(0.0, f32::max) / code_max;
    (largest(|group| group.scale), largest(|group| group.min))
}

/// `x / step` as a code `0..=code_max`; 0 where the step is.
pub(crate) fn code(x: f32, step: f32, code_max: f32) -> u8 {
    (x * super::inverse(step)).round().clamp(0.0, code_max) as u8
}

/// Scale and minimum of group `g` in the 12 bytes of Q4_K and Q5_K.
pub(crate) fn packed_scale(packed: &[u8; 12], g: usize) -> (u8, u8) {
    if g < 4 {
        return (packed[g] & 63, packed[g + 4] & 63);
    }
    let scale = packed[g + 4] & 15 | packed[g - 4] >> 6 << 4;
    let min = packed[g + 4] >> 4 | packed[g] >> 6 << 4;
    (scale, min)
}

/// The inverse of [`packed_scale`] for all 8 groups.
pub(crate) fn pack_scales(codes: &[(u8, u8); 8]) -> [u8; 12] {
    let mut packed = [0; 12];
    for g in 0..4 {
        let ((scale, min), (scale_2, min_2)) = (codes[g], codes[g + 4]);
        packed[g] = scale | scale_2 >> 4 << 6;
        packed[g + 4] = min | min_2 >> 4 << 6;
        packed[g + 8] = scale_2 & 15 | (min_2 & 15) << 4;
    }
    packed
}
