//! What the K-quants share: fitting `x = scale * code - min` to a group, and packing 6-bit scales.

use half::f16;

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

/// The scales of a block of `G` groups as the format keeps them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scales<const G: usize> {
    /// Scale of the scales.
    pub(crate) d: f16,
    /// Scale of the minimums.
    pub(crate) dmin: f16,
    /// Scale and minimum of each group.
    pub(crate) groups: [(u8, u8); G],
}

/// The largest code of a weight, and of a group's scale and minimum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeMax {
    pub(crate) weight: f32,
    pub(crate) scale: f32,
}

/// Rounds of the search for better scales of a block.
const ROUNDS: usize = 4;

/// How far from its nearest code a group's scale or minimum is sought.
const REACH: i16 = 1;

/// The scales of a block with a small squared error: fitted to each group alone, rounded, and then
/// in turn each group's codes and the scales of both chosen anew for all that was rounded.
pub(crate) fn fit_block<const G: usize>(src: &[f32], max: CodeMax) -> Scales<G> {
    let group_len = src.len() / G;
    let fits: [Group; G] =
        std::array::from_fn(|g| fit(&src[g * group_len..][..group_len], max.weight));
    let largest = |of: fn(&Group) -> f32| fits.iter().map(of).fold(0.0, f32::max) / max.scale;
    let (d, dmin) = (largest(|group| group.scale), largest(|group| group.min));
    let groups = fits.map(|fit| (code(fit.scale, d, max.scale), code(fit.min, dmin, max.scale)));
    let mut best = Scales { d: f16::from_f32(d), dmin: f16::from_f32(dmin), groups };
    let mut best_error = best.error(src, max);
    for _ in 0..ROUNDS {
        let trial = best.with_nearer_groups(src, max).with_solved_scales(src, max);
        let error = trial.error(src, max);
        if error >= best_error {
            break;
        }
        (best, best_error) = (trial, error);
    }
    best
}

impl<const G: usize> Scales<G> {
    /// Scale and minimum of group `g`.
    pub(crate) fn group(&self, g: usize) -> Group {
        let (scale, min) = self.groups[g];
        Group {
            scale: self.d.to_f32() * f32::from(scale),
            min: self.dmin.to_f32() * f32::from(min),
        }
    }

    fn error(&self, src: &[f32], max: CodeMax) -> f64 {
        let parts = src.chunks_exact(src.len() / G).enumerate();
        parts.map(|(g, src)| error(src, self.group(g), max.weight)).sum()
    }

    /// The best of the codes beside each group's.
    fn with_nearer_groups(mut self, src: &[f32], max: CodeMax) -> Scales<G> {
        for (g, src) in src.chunks_exact(src.len() / G).enumerate() {
            let (scale, min) = self.groups[g];
            let mut best = (error(src, self.group(g), max.weight), (scale, min));
            for step in 0..(2 * REACH + 1).pow(2) {
                let beside = |code: u8, by: i16| {
                    (i16::from(code) + by - REACH).clamp(0, max.scale as i16) as u8
                };
                let trial =
                    (beside(scale, step / (2 * REACH + 1)), beside(min, step % (2 * REACH + 1)));
                self.groups[g] = trial;
                let error = error(src, self.group(g), max.weight);
                if error < best.0 {
                    best = (error, trial);
                }
            }
            self.groups[g] = best.1;
        }
        self
    }

    /// Least squares for the scales of scales and minimums, with all codes as they are.
    fn with_solved_scales(self, src: &[f32], max: CodeMax) -> Scales<G> {
        let (mut s_aa, mut s_ab, mut s_bb, mut s_ax, mut s_bx) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (g, src) in src.chunks_exact(src.len() / G).enumerate() {
            let (group, (scale, min)) = (self.group(g), self.groups[g]);
            for x in src {
                let weight = code(x + group.min, group.scale, max.weight);
                let (a, b) = (f64::from(scale) * f64::from(weight), -f64::from(min));
                let x = f64::from(*x);
                s_aa += a * a;
                s_ab += a * b;
                s_bb += b * b;
                s_ax += a * x;
                s_bx += b * x;
            }
        }
        let determinant = s_aa * s_bb - s_ab * s_ab;
        if determinant <= 0.0 {
            return self;
        }
        let d = (s_bb * s_ax - s_ab * s_bx) / determinant;
        let dmin = (s_aa * s_bx - s_ab * s_ax) / determinant;
        if d <= 0.0 || dmin <= 0.0 {
            return self;
        }
        Scales { d: f16::from_f64(d), dmin: f16::from_f64(dmin), ..self }
    }
}

/// `x / step` as a code `0..=code_max`; 0 where the step is.
pub(crate) fn code(x: f32, step: f32, code_max: f32) -> u8 {
    // Not `round`, which is a call for each weight where the processor may lack the instruction.
    ((x * super::inverse(step)).clamp(0.0, code_max) + 0.5) as u8
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
