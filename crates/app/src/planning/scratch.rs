//! What the kernels of the processor work in besides a step's activations: memory that grows to
//! what the largest step needs, and stays. Counted from the shapes and formats of a file.

use gguf::{GgufFile, TensorInfo};
use kernels_cpu::{Variant, is_blockwise, variants};
use model::{FeedForward, Mixer, ModelSpec};
use planner::Role;
use quant::FormatId;

/// 32 values of an activation, prepared for integer weights: two bytes each, and scales and sums.
const GROUP: u64 = 32;
const GROUP_BYTES: u64 = 97;
/// A value prepared for float weights, and one for tiles of a processor that has them.
const FLOAT_BYTES: u64 = 4;
const TILE_BYTES: u64 = 2;
/// Rows of two tiles: prompts are rounded up to whole ones.
const TILE_ROWS: u64 = 32;
/// Of a row and an expert that it goes through: index and weight, as chosen and as sorted.
const CHOICE_BYTES: u64 = 32;
/// A row's list of experts.
const CHOICES_BYTES: u64 = 24;
/// A sine and a cosine.
const ANGLE_BYTES: u64 = 8;
/// What a thread works in besides: converted weights, and those of tiles apart.
const THREAD_BYTES: u64 = 128 << 10;
const TILE_WEIGHTS_BYTES: u64 = 128 << 10;
/// Rows of a conversation whose attention is computed together, and positions of keys and values
/// that are converted for them.
const QUERY_ROWS: u64 = 16;
const BLOCK_POSITIONS: u64 = 64;
/// Sums of a row with a column of 16 weights; float weights have two for each product. So many
/// columns are multiplied at once.
const SUM_BYTES: u64 = 64;
const FLOAT_SUMS: u64 = 2;
const COLUMN_WEIGHTS: u64 = 16;
const COLUMNS_MAX: u64 = 16;

/// A step: how far back it may look, all its rows, those that write, and those whose logits are
/// wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) context: u64,
    pub(super) rows: u64,
    pub(super) writing: u64,
    pub(super) logits: u64,
}

/// Bytes that the kernels keep for a step, on so many threads.
pub(super) fn bytes(file: &GgufFile, spec: &ModelSpec, step: Step, threads: u64) -> u64 {
    let has_tiles = variants().first() == Some(&Variant::Amx);
    let matrices: Vec<Product> = file
        .tensors()
        .iter()
        .filter_map(|tensor| Product::of(tensor, spec, step, has_tiles))
        .collect();
    let most = |of: fn(&Product) -> u64| matrices.iter().map(of).max().unwrap_or(0);
    let prepared = most(Product::codes_bytes) + most(Product::floats_bytes);
    let tiles = most(|product| product.tile_rows * product.k * TILE_BYTES);
    let attention = spec.layers.iter().map(|layer| attention_bytes(&layer.mixer, step));
    let attention = attention.max().unwrap_or(0);
    // What tasks give back stays with the allocator, in pieces: as much again.
    let attention = 2 * attention;
    let sums = most(Product::sums_bytes) + most(Product::tile_sums_bytes);
    let of_thread = THREAD_BYTES + sums + attention;
    prepared + tiles + layers_bytes(file, spec, step.rows) + threads * of_thread
}

/// What a thread holds of one task of attention: queries in two forms, sums twice, and a block of
/// keys and values.
fn attention_bytes(mixer: &Mixer, step: Step) -> u64 {
    let (heads, dim_k, dim_v) = match mixer {
        Mixer::Attention(of) => (of.n_heads / of.n_kv_heads, of.head_dim_k, of.head_dim_v),
        Mixer::Latent(of) => (of.n_heads, of.kv_rank + of.turned_dim, of.kv_rank),
        Mixer::DeltaNet(_) => return 0,
    };
    let (heads, dim_k, dim_v) = (heads as u64, dim_k as u64, dim_v as u64);
    let each = (FLOAT_BYTES + TILE_BYTES) * dim_k + 2 * FLOAT_BYTES * dim_v;
    let positions = step.context.min(BLOCK_POSITIONS);
    step.rows.min(QUERY_ROWS) * heads * each + positions * FLOAT_BYTES * (dim_k + dim_v)
}

/// What layers keep that are not only products: experts, recurrent layers, rotation.
fn layers_bytes(file: &GgufFile, spec: &ModelSpec, rows: u64) -> u64 {
    let (mut experts, mut mixed) = (0, 0);
    let format = |part: &str| {
        let of = |tensor: &&TensorInfo| tensor.name.contains(part);
        file.tensors().iter().find(of).map(|tensor| tensor.format)
    };
    // Ups are kept beside gates where the two are not multiplied together.
    let held = if format("ffn_gate_exps") == format("ffn_up_exps") { 1 } else { 2 };
    for layer in &spec.layers {
        if let FeedForward::Experts(of) = &layer.feed_forward {
            let (used, ffn) = (of.routing.used as u64, of.ffn as u64);
            let each = used * (4 * held * ffn + CHOICE_BYTES) + CHOICES_BYTES;
            experts = experts.max(rows * each);
        }
        if let Mixer::DeltaNet(of) = &layer.mixer {
            mixed = mixed.max(rows * 4 * of.channels() as u64);
        }
    }
    let long = spec.long_ropes.iter().flat_map(|(_, ropes)| ropes);
    let pairs = spec.ropes.iter().chain(long).map(|rope| rope.inverse_frequencies.len() as u64);
    experts + mixed + rows * pairs.max().unwrap_or(0) * ANGLE_BYTES
}

/// A matrix by what its product with a step makes of the memory.
struct Product {
    is_float: bool,
    /// Columns of the activation, and its rows that are prepared one by one.
    k: u64,
    rows: u64,
    /// Rows by which it is multiplied at once, and those that go by tiles.
    at_once: u64,
    tile_rows: u64,
    /// Its own rows.
    n: u64,
}

impl Product {
    /// None of what is not multiplied with.
    fn of(tensor: &TensorInfo, spec: &ModelSpec, step: Step, has_tiles: bool) -> Option<Product> {
        let part = tensor.name.strip_suffix(".weight")?.rsplit('.').next()?;
        let (k, n) = (tensor.shape[0], *tensor.shape.get(1)?);
        let role = Role::of_matrix(part);
        let is_head = role == Role::Output || role == Role::TokenEmbedding && spec.tied;
        // Rows of embeddings are looked up, and convolutions are not products.
        if role == Role::TokenEmbedding && !spec.tied || part == "ssm_conv1d" {
            return None;
        }
        let is_float = tensor.format.block_len() == 1 || is_blockwise(tensor.format);
        let by_tiles = has_tiles && tensor.format != FormatId::F32 && !is_blockwise(tensor.format);
        let (rows, at_once) = match (role, tensor.shape.get(2)) {
            (Role::ExpertsUp | Role::ExpertsGate | Role::ExpertsDown, _) => {
                (step.rows * used(spec), step.rows)
            }
            (_, Some(heads)) => (step.rows * heads, step.rows),
            (_, None) if is_head => (step.logits, step.logits),
            (_, None) if by_tiles => (step.writing, step.writing),
            (_, None) => (step.rows, step.rows),
        };
        let is_prompt = by_tiles && tensor.shape.len() == 2 && !is_head;
        let tile_rows = if is_prompt { step.rows.next_multiple_of(TILE_ROWS) } else { 0 };
        Some(Product { is_float, k, rows, at_once, tile_rows, n })
    }

    fn codes_bytes(&self) -> u64 {
        if self.is_float { 0 } else { self.rows * self.k.div_ceil(GROUP) * GROUP_BYTES }
    }

    fn floats_bytes(&self) -> u64 {
        if self.is_float { self.rows * self.k * FLOAT_BYTES } else { 0 }
    }

    fn sums_bytes(&self) -> u64 {
        let each = if self.is_float { FLOAT_SUMS } else { 1 };
        self.columns() * each * SUM_BYTES * self.at_once
    }

    /// Sums of tiles, and the weights that are unpacked for them; each column has a gap.
    fn tile_sums_bytes(&self) -> u64 {
        match self.tile_rows {
            0 => 0,
            rows => {
                // A pair of row tiles goes by two weight tiles at a time, a few lines each.
                let weights = if rows > TILE_ROWS { TILE_WEIGHTS_BYTES } else { 0 };
                self.columns() * SUM_BYTES * (rows + TILE_ROWS / 2) + weights
            }
        }
    }

    /// Columns of 16 weights that are multiplied at once.
    fn columns(&self) -> u64 {
        self.n.div_ceil(COLUMN_WEIGHTS).min(COLUMNS_MAX)
    }
}

/// The most experts that a row goes through.
fn used(spec: &ModelSpec) -> u64 {
    let of = |layer: &model::LayerSpec| match &layer.feed_forward {
        FeedForward::Experts(experts) => experts.routing.used as u64,
        FeedForward::Dense(_) => 0,
    };
    spec.layers.iter().map(of).max().unwrap_or(0)
}
