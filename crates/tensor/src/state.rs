//! State of recurrent mixers: geometry here, memory with the backend.

use crate::{KvStore, Tensor};

/// Geometry of the states of a model; the same for every layer that has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateLayout {
    /// Layers that keep a state.
    pub n_layers: usize,
    /// Sequences that may have a state at once.
    pub slots: usize,
    /// What the convolution looks back on, values of a slot.
    pub conv_values: usize,
    /// What is kept of all before, values of a slot.
    pub recurrent_values: usize,
}

impl StateLayout {
    /// Bytes of all layers and slots.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        let values = self.conv_values + self.recurrent_values;
        self.n_layers * self.slots * values * size_of::<f32>()
    }
}

/// The states of one model on one backend.
pub struct StateCache {
    /// Geometry.
    pub layout: StateLayout,
    /// Memory.
    pub store: Box<dyn KvStore>,
}

/// Which key head a value head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadOrder {
    /// Value head `h` reads key head `h / (n_v_heads / n_k_heads)`.
    Grouped,
    /// Value head `h` reads key head `h % n_k_heads`.
    Tiled,
}

/// The inner part of a gated delta net: shapes and small weights of one layer.
/// Source: Yang, Kautz and Hatamizadeh 2024, arXiv 2412.06464, equation 10.
pub struct DeltaNet {
    /// Heads of queries and of keys.
    pub n_k_heads: usize,
    /// Heads of values; a multiple.
    pub n_v_heads: usize,
    /// Which of them go together.
    pub order: HeadOrder,
    /// Width of a query and key head.
    pub head_dim_k: usize,
    /// Width of a value head.
    pub head_dim_v: usize,
    /// `[channels, kernel]`: the weights of each channel on the last `kernel` rows, oldest first.
    pub conv: Tensor,
    /// `[1, n_v_heads]`, below 0: how fast each head forgets.
    pub decay: Tensor,
    /// `[1, n_v_heads]`, added to a row's step before it is made positive.
    pub step_bias: Tensor,
    /// `[1, head_dim_v]`, of the norm of what comes out.
    pub norm: Tensor,
    /// Added to the mean square there.
    pub norm_eps: f32,
}

/// What a delta net reads of a step.
#[derive(Clone, Copy)]
pub struct DeltaInputs<'a> {
    /// Queries, keys and values before the convolution, `[rows, channels]`.
    pub qkv: &'a Tensor,
    /// `[rows, n_v_heads * head_dim_v]`.
    pub gate: &'a Tensor,
    /// How much each value head takes in, `[rows, n_v_heads]`.
    pub intake: &'a Tensor,
    /// By how much it steps, `[rows, n_v_heads]`.
    pub step: &'a Tensor,
}

impl DeltaNet {
    /// Queries, keys and values of a row.
    #[must_use]
    pub fn channels(&self) -> usize {
        2 * self.n_k_heads * self.head_dim_k + self.n_v_heads * self.head_dim_v
    }

    /// The key head that value head `head` reads.
    #[must_use]
    pub fn key_head(&self, head: usize) -> usize {
        match self.order {
            HeadOrder::Grouped => head / (self.n_v_heads / self.n_k_heads),
            HeadOrder::Tiled => head % self.n_k_heads,
        }
    }

    /// Rows that the convolution looks at, the current one included.
    #[must_use]
    pub fn kernel(&self) -> usize {
        self.conv.cols()
    }

    /// What wrong shapes are refused with, and nothing where all fit.
    #[must_use]
    pub fn misfit(
        &self,
        out: &Tensor,
        inputs: DeltaInputs<'_>,
        state: &StateLayout,
    ) -> Option<String> {
        let shape = |tensor: &Tensor| (tensor.rows(), tensor.cols());
        let (rows, heads, channels) = (inputs.qkv.rows(), self.n_v_heads, self.channels());
        let values = heads * self.head_dim_v;
        let fits = self.n_k_heads > 0
            && heads.is_multiple_of(self.n_k_heads)
            && self.kernel() > 0
            && self.conv.rows() == channels
            && [&self.decay, &self.step_bias].map(shape) == [(1, heads); 2]
            && shape(&self.norm) == (1, self.head_dim_v)
            && inputs.qkv.cols() == channels
            && shape(inputs.gate) == (rows, values)
            && [inputs.intake, inputs.step].map(shape) == [(rows, heads); 2]
            && out.cols() == values
            && state.conv_values == (self.kernel() - 1) * channels
            && state.recurrent_values == values * self.head_dim_k;
        let shapes = || [inputs.qkv, inputs.gate, inputs.intake, inputs.step, out].map(shape);
        (!fits).then(|| format!("a delta net of {channels} channels with {:?}", shapes()))
    }
}
