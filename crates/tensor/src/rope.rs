//! Rotary position embedding, as data: which pairs turn, and how fast.

/// Which two values of a head form a rotated pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairing {
    /// `(x[2i], x[2i+1])`: GGUF `llama`, whose converter permutes the weights so.
    Interleaved,
    /// `(x[i], x[i + dims/2])`: NeoX, Qwen, Gemma.
    Halves,
}

/// One rotation rule. Pair `i` at position `p` turns by `p * inverse_frequencies[i]` radians and
/// both results are multiplied by `magnitude` (1 but for YaRN).
/// Source: Su et al. 2021, arXiv 2104.09864, equation 34.
#[derive(Clone, Debug)]
pub struct Rope {
    /// Pairing of values.
    pub pairing: RopePairing,
    /// Width of a head; only the first `2 * inverse_frequencies.len()` values turn.
    pub head_dim: usize,
    /// Radians per position of each pair, `[dims / 2]`.
    pub inverse_frequencies: Vec<f32>,
    /// Factor on rotated values.
    pub magnitude: f32,
}

impl Rope {
    /// The classic rule: `base^(-2i/dims)` for pair `i` of `dims / 2`.
    #[must_use]
    pub fn new(pairing: RopePairing, head_dim: usize, dims: usize, base: f32) -> Rope {
        let frequency = |i: usize| f64::from(base).powf(-2.0 * i as f64 / dims as f64) as f32;
        let inverse_frequencies = (0..dims / 2).map(frequency).collect();
        Rope { pairing, head_dim, inverse_frequencies, magnitude: 1.0 }
    }
}
