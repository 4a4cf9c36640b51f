//! What makes a gate of one of two products.

/// `f(gate) * up`, value by value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `gate / (1 + exp(-gate)) * up`. Source: Shazeer 2020, arXiv 2002.05202, equation 6 (SwiGLU).
    Silu,
    /// `gate / 2 * (1 + tanh(sqrt(2 / pi) * (gate + 0.044715 * gate^3))) * up`.
    /// Source: Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2; Shazeer 2020 (GEGLU).
    GeluTanh,
    /// `gate / 2 * (1 + erf(gate / sqrt(2))) * up`.
    /// Source: Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2.
    GeluErf,
    /// `g / (1 + exp(-alpha * g)) * (u + 1)` with `g = min(gate, limit)` and `u` of `up` held
    /// between `-limit` and `limit`: gpt-oss.
    /// Source: Agarwal et al. 2025, arXiv 2508.10925, section 2.
    ClampedSilu {
        /// Steepness of the sigmoid.
        alpha: f32,
        /// Bound of both.
        limit: f32,
    },
}

impl Activation {
    /// The value for one gate and one up.
    #[must_use]
    pub fn of(self, gate: f64, up: f64) -> f64 {
        match self {
            Activation::Silu => gate / (1.0 + (-gate).exp()) * up,
            Activation::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (gate + 0.044_715 * gate.powi(3));
                0.5 * gate * (1.0 + inner.tanh()) * up
            }
            Activation::GeluErf => {
                0.5 * gate * (1.0 + erf(gate * std::f64::consts::FRAC_1_SQRT_2)) * up
            }
            Activation::ClampedSilu { alpha, limit } => {
                let (alpha, limit) = (f64::from(alpha), f64::from(limit));
                let (gate, up) = (gate.min(limit), up.clamp(-limit, limit));
                gate / (1.0 + (-alpha * gate).exp()) * (up + 1.0)
            }
        }
    }
}

/// From here on `erf` is 1 in f64.
const ERF_MAX: f64 = 6.0;

/// `2 / sqrt(pi)` times the integral of `exp(-t^2)` from 0 to `x`, by a series whose terms have one
/// sign. Source: Abramowitz and Stegun 1964, equation 7.1.6.
fn erf(x: f64) -> f64 {
    if x.abs() >= ERF_MAX {
        return x.signum();
    }
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > f64::EPSILON * sum.abs() {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}
