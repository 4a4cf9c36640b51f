//! The shapes and values that operations are tried on. Everything follows from seeds, which stand
//! in the names of the cases.

use quant::FormatId;

/// Rows of a step: none, one, and both sides of what kernels like to take at once. The most last.
pub(super) const ROWS: [usize; 8] = [0, 1, 2, 7, 31, 32, 33, 65];
/// Outputs of a matrix.
const OUTPUTS: [usize; 6] = [1, 15, 16, 17, 33, 100];
/// Inputs of a matrix, where they are whole blocks.
const INPUTS: [usize; 5] = [32, 64, 256, 288, 576];
/// Inputs that only formats without blocks can have.
const INPUTS_ODD: [usize; 3] = [1, 33, 100];
/// One wide input.
const INPUT_WIDE: (usize, usize) = (17, 2048);

/// What activations look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// In -1 to 1.
    Even,
    /// Whole numbers of -127 to 127 with a 127 in each 32: int8 holds them exactly, so that the
    /// bound for quantised activations may be as tight as for f32.
    Whole,
    /// All 0.
    Zeros,
    /// In -1e4 to 1e4, one in 50 a thousand times larger.
    Large,
    /// In -1e-20 to 1e-20, and whole groups below the smallest normal number.
    Tiny,
    /// In -1 to 1, but every other 32 are 0.
    Holes,
}

/// All kinds.
pub(super) const VALUES: [Values; 6] =
    [Values::Even, Values::Whole, Values::Zeros, Values::Large, Values::Tiny, Values::Holes];

/// `(n, k)` of all matrices to try in this format.
pub(super) fn matrices(format: FormatId) -> Vec<(usize, usize)> {
    let odd = INPUTS_ODD.into_iter().filter(|_| format.block_len() == 1);
    let inputs = INPUTS.into_iter().chain(odd).filter(|k| format.row_bytes(*k).is_some());
    let mut matrices: Vec<(usize, usize)> =
        inputs.flat_map(|k| OUTPUTS.into_iter().map(move |n| (n, k))).collect();
    matrices.push(INPUT_WIDE);
    matrices
}

/// A small matrix `[n, k]` of each format, for what need not be tried on all shapes.
pub(super) fn small_matrix(format: FormatId) -> (usize, usize) {
    (33, format.block_len().max(64))
}

/// A matrix as it lies in a file.
pub(super) struct Matrix {
    pub(super) format: FormatId,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) bytes: Vec<u8>,
    factor: f32,
}

impl Matrix {
    /// One that is kept apart from a factor where files in this format have one.
    pub(super) fn new(format: FormatId, (n, k): (usize, usize), rng: &mut Rng) -> Matrix {
        let mut bytes = vec![0; n * format.row_bytes(k).expect("cases have whole blocks")];
        if format.can_quantize() {
            let weights: Vec<f32> = (0..n * k).map(|_| rng.even() * 0.5).collect();
            format.quantize_row(&weights, &mut bytes);
        } else {
            bytes.chunks_exact_mut(format.block_bytes()).for_each(|block| fill(format, block, rng));
        }
        let factor = if format == FormatId::NVFP4 { 1.5 + rng.even() } else { 1.0 };
        Matrix { format, n, k, bytes, factor }
    }

    pub(super) fn source(&self) -> crate::WeightSource<'_> {
        let Matrix { format, n, k, ref bytes, factor } = *self;
        crate::WeightSource { name: "case", format, n, k, bytes, precise: false, factor }
    }

    /// `[n, k]`.
    pub(super) fn dequantized(&self) -> Vec<f32> {
        let mut weights = vec![0.0; self.n * self.k];
        self.format.dequantize_row(&self.bytes, &mut weights);
        weights.iter_mut().for_each(|weight| *weight *= self.factor);
        weights
    }
}

/// Any bytes whose weights are in -1 to 1, and not all of them small.
fn fill(format: FormatId, block: &mut [u8], rng: &mut Rng) {
    let mut weights = vec![0.0_f32; format.block_len()];
    let mut highest = 0.0;
    while !(0.01..=1.0).contains(&highest) {
        block.fill_with(|| rng.next_u64() as u8);
        format.dequantize_row(block, &mut weights);
        // Of blocks whose scale is not a number this is 0.
        highest = weights.iter().fold(0.0, |highest: f32, weight| highest.max(weight.abs()));
    }
}

/// `rows * cols` values of this kind.
pub(super) fn values(kind: Values, rows: usize, cols: usize, rng: &mut Rng) -> Vec<f32> {
    let value = |i: usize| {
        let (group, even) = ((i % cols.max(1)) / 32, rng.even());
        match kind {
            Values::Even => even,
            Values::Whole if (i % cols.max(1)).is_multiple_of(32) => 127.0 * even.signum(),
            Values::Whole => (even * 127.0).round(),
            Values::Zeros => 0.0,
            Values::Large if rng.next_u64().is_multiple_of(50) => even * 1e7,
            Values::Large => even * 1e4,
            Values::Tiny if group % 2 == 1 => even * 1e-40,
            Values::Tiny => even * 1e-20,
            Values::Holes if group % 2 == 1 => 0.0,
            Values::Holes => even,
        }
    };
    (0..rows * cols).map(value).collect()
}

/// Numbers from a seed. Source: Steele, Lea and Flood 2014 (SplitMix64), doi
/// 10.1145/2660193.2660195.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in -1 to 1.
    pub(super) fn even(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    /// 0 to `n - 1` in some order.
    pub(super) fn shuffled(&mut self, n: u32) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..n).collect();
        for i in (1..numbers.len()).rev() {
            numbers.swap(i, (self.next_u64() % (i as u64 + 1)) as usize);
        }
        numbers
    }
}
