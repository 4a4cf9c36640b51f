//! What the planner knows of a model, whatever file or table it came from: which layers keep what
//! for each position, and which matrices a token passes.

/// A model as the planner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFacts {
    /// As it is called.
    pub name: String,
    /// Licence of the weights.
    pub licence: String,
    /// Positions that it was trained for.
    pub context_max: u64,
    /// Tokens that it knows.
    pub vocabulary: u64,
    /// Values of one position between layers.
    pub width: u64,
    /// Query heads of one layer.
    pub heads: u64,
    /// Values of the widest feed-forward that one token passes.
    pub feed_forward: u64,
    /// Layers.
    pub layers: u64,
    /// Routed experts; none in a dense model.
    pub experts: Option<Experts>,
    /// What layers keep of positions, like layers together.
    pub mixers: Vec<MixerGroup>,
    /// Every matrix and vector, those that are alike together.
    pub tensors: Vec<TensorGroup>,
}

/// Routed experts of a layer that has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    /// All of a layer.
    pub total: u64,
    /// Those that one token passes.
    pub used: u64,
}

/// Layers that keep the same things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixerGroup {
    /// How many layers.
    pub layers: u64,
    /// What each keeps.
    pub mixer: Mixer,
}

/// What one layer keeps of the positions before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mixer {
    /// So many values of keys and values for every position: attention, or the latent vector of
    /// multi-head latent attention.
    Full {
        /// Values of one position.
        values: u64,
    },
    /// The same for the last positions only.
    Window {
        /// Values of one position.
        values: u64,
        /// Positions that are kept.
        length: u64,
    },
    /// A state whose size does not depend on the context: gated delta net, Mamba, convolutions.
    Recurrent {
        /// Bytes of the state of one sequence.
        state_bytes: u64,
    },
    /// Nothing: the layer has no mixer, or uses another layer's keys and values.
    Nothing,
}

/// Tensors of one role and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorGroup {
    /// What they are for.
    pub role: Role,
    /// The layer, where there is one.
    pub layer: Option<u64>,
    /// Values of one row: the dimension that blocks run along.
    pub columns: u64,
    /// Rows of all of them together.
    pub rows: u64,
}

/// What a tensor is for; named as in GGUF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// `token_embd`, looked up by the row.
    TokenEmbedding,
    /// `output`, the head; a model without one uses the embedding.
    Output,
    /// `attn_q`.
    AttentionQ,
    /// `attn_k`.
    AttentionK,
    /// `attn_v`.
    AttentionV,
    /// `attn_qkv`: the three in one.
    AttentionQkv,
    /// `attn_output`.
    AttentionOutput,
    /// `attn_q_a`, `attn_q_b`, `attn_kv_a_mqa`, `attn_kv_b`, `attn_k_b`, `attn_v_b` of latent
    /// attention; `attn_gate` of gated attention; any other matrix.
    AttentionOther,
    /// `ssm_*`: matrices of recurrent layers.
    Recurrent,
    /// `ffn_up`.
    FfnUp,
    /// `ffn_gate`.
    FfnGate,
    /// `ffn_down`.
    FfnDown,
    /// `ffn_up_exps`: routed experts.
    ExpertsUp,
    /// `ffn_gate_exps`.
    ExpertsGate,
    /// `ffn_down_exps`.
    ExpertsDown,
    /// `ffn_up_shexp`: the shared expert.
    SharedUp,
    /// `ffn_gate_shexp`.
    SharedGate,
    /// `ffn_down_shexp`.
    SharedDown,
    /// `per_layer_token_embd`: looked up by the row, like the embedding.
    PerLayerEmbedding,
    /// Matrices of layers that predict further tokens: held, and not passed by one token.
    Apart,
    /// Vectors, routers and other small things, kept in F32.
    Small,
}

impl Role {
    /// What a matrix is for, by the part of its name in GGUF that says so, e.g. `attn_q`.
    #[must_use]
    pub fn of_matrix(part: &str) -> Role {
        match part {
            "token_embd" => Role::TokenEmbedding,
            "output" => Role::Output,
            "per_layer_token_embd" => Role::PerLayerEmbedding,
            "attn_q" => Role::AttentionQ,
            "attn_k" => Role::AttentionK,
            "attn_v" => Role::AttentionV,
            "attn_qkv" => Role::AttentionQkv,
            "attn_output" => Role::AttentionOutput,
            "ffn_up" => Role::FfnUp,
            "ffn_gate" => Role::FfnGate,
            "ffn_down" => Role::FfnDown,
            "ffn_up_exps" => Role::ExpertsUp,
            "ffn_gate_exps" => Role::ExpertsGate,
            "ffn_down_exps" => Role::ExpertsDown,
            "ffn_up_shexp" => Role::SharedUp,
            "ffn_gate_shexp" => Role::SharedGate,
            "ffn_down_shexp" => Role::SharedDown,
            part if part.starts_with("ssm_") => Role::Recurrent,
            _ => Role::AttentionOther,
        }
    }

    /// Whether one token reads only the experts that it is routed to.
    #[must_use]
    pub fn is_routed(self) -> bool {
        matches!(self, Role::ExpertsUp | Role::ExpertsGate | Role::ExpertsDown)
    }
}

impl TensorGroup {
    /// Values of all of them.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.columns * self.rows
    }
}
