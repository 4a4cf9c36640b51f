//! What a step must read and compute at least, whatever computes it and however well.
//!
//! Weights count with the bytes of the file: a backend whose layout is larger reads more than it
//! must. Norms, biases and activations are left out; they are less than a hundredth.

use gguf::GgufFile;
use tensor::KvFormat;

use crate::arch::{self, Role};
use crate::inventory::{self, Item};
use crate::spec::FeedForward;
use crate::{ModelSpec, Result, spec};

/// Least work of a step. A multiplication and an addition are two operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepCost {
    /// Bytes of weights, keys and values.
    pub read_bytes: u64,
    /// Operations on quantised weights, which bytes can carry.
    pub int8_ops: u64,
    /// Operations on float weights, and on keys and values.
    pub float_ops: u64,
}

/// Least work of any step of a model.
#[derive(Clone, Debug)]
pub struct CostModel {
    /// Of all layers, for one row.
    layers: StepCost,
    /// Of the output matrix, for one row.
    output: StepCost,
    embedding_row_bytes: u64,
    /// Attention, of layers with the same window together.
    attention: Vec<AttentionCost>,
    /// States of one sequence, read and written.
    state_bytes: u64,
    /// Of one row and all states: forget, look up, take in, read.
    state_ops: u64,
}

/// Of some layers.
#[derive(Clone, Debug)]
struct AttentionCost {
    window: Option<usize>,
    /// Whether rows see those after them.
    bidirectional: bool,
    /// Of keys and values of one position.
    kv_bytes: u64,
    /// Of one row with one cached position.
    ops: u64,
}

impl CostModel {
    /// From the headers alone.
    ///
    /// # Errors
    /// What [`crate::Model::load`] would refuse.
    pub fn new(file: &GgufFile, kv_format: KvFormat) -> Result<CostModel> {
        let (architecture, spec) = (arch::find(file)?, spec(file)?);
        let (mut layers, mut output) = (StepCost::default(), StepCost::default());
        let mut embedding_row_bytes = 0;
        let name = |role| architecture.tensor_name(role, 0);
        let (embedding, head) = (name(Role::TokenEmbedding), name(Role::Output));
        for item in inventory::check(file, architecture, &spec)? {
            let (rows, k) = item.kind.matrices();
            let n: usize = rows.iter().sum();
            if n == 0 {
                continue;
            }
            let tensor = item.tensor;
            let ops = 2 * n as u64 * k as u64;
            let is_float = tensor.format.block_len() == 1;
            let cost = StepCost {
                read_bytes: tensor.size_bytes,
                int8_ops: if is_float { 0 } else { ops },
                float_ops: if is_float { ops } else { 0 },
            };
            if tensor.name == embedding {
                // One row a token is looked up; the whole table is read only where it is the
                // output matrix too.
                embedding_row_bytes = tensor.size_bytes / n as u64;
                if spec.tied {
                    output = cost;
                }
            } else if tensor.name == head {
                output = cost;
            } else {
                layers.add(of_used(cost, &item, &spec));
            }
        }
        let attention = attention(&spec, kv_format);
        let (net, count) = spec.state();
        let (conv, recurrent) = net.map_or((0, 0), |net| net.state_values());
        let values = |of: usize| (of * count) as u64;
        let state_bytes = 2 * values(conv + recurrent) * size_of::<f32>() as u64;
        let state_ops = 7 * values(recurrent);
        Ok(CostModel { layers, output, embedding_row_bytes, attention, state_bytes, state_ops })
    }

    /// Of a step with these `(first position, rows)` and logits of so many rows.
    #[must_use]
    pub fn step(&self, spans: &[(usize, usize)], output_rows: usize) -> StepCost {
        let rows: u64 = spans.iter().map(|(_, rows)| *rows as u64).sum();
        // Every weight serves all rows, so it is read once.
        let mut cost = self.layers.times(rows);
        cost.read_bytes += rows * self.embedding_row_bytes;
        if output_rows > 0 {
            cost.add(self.output.times(output_rows as u64));
        }
        cost.float_ops += rows * self.state_ops;
        for (first, rows) in spans {
            cost.read_bytes += self.state_bytes;
            for layers in &self.attention {
                cost.float_ops += layers.ops * layers.seen(*first, *rows);
                let window = layers.window.unwrap_or(usize::MAX);
                let read = (first + rows).min(window.saturating_add(rows.saturating_sub(1)));
                cost.read_bytes += layers.kv_bytes * read as u64;
            }
        }
        cost
    }
}

impl AttentionCost {
    /// Positions that rows `first..first + rows` see, added up: the row at position p sees p + 1
    /// of them, or the window, or all.
    fn seen(&self, first: usize, rows: usize) -> u64 {
        if self.bidirectional {
            return (rows * rows) as u64;
        }
        let window = self.window.unwrap_or(usize::MAX);
        // So many rows do not fill the window yet.
        let growing = window.saturating_sub(first).min(rows);
        let (first, growing_rows) = (first as u64, growing as u64);
        let grown = growing_rows * first + growing_rows * (growing_rows + 1) / 2;
        let full = (rows - growing) as u64;
        grown + if full == 0 { 0 } else { full * window as u64 }
    }
}

/// Of the experts at least those of one row are read, and each row computes its own.
fn of_used(cost: StepCost, item: &Item<'_>, spec: &ModelSpec) -> StepCost {
    if !matches!(item.role, Role::ExpertGates | Role::ExpertUps | Role::ExpertDowns) {
        return cost;
    }
    let used = spec.layers.iter().find_map(|layer| match layer.feed_forward {
        FeedForward::Experts(experts) => Some((experts.routing.used, experts.count)),
        FeedForward::Dense(_) => None,
    });
    let (used, count) = used.map_or((1, 1), |(used, count)| (used as u64, count as u64));
    let share = |whole: u64| whole / count * used;
    StepCost {
        read_bytes: share(cost.read_bytes),
        int8_ops: share(cost.int8_ops),
        float_ops: share(cost.float_ops),
    }
}

fn attention(spec: &ModelSpec, kv_format: KvFormat) -> Vec<AttentionCost> {
    let mut groups: Vec<AttentionCost> = Vec::new();
    for layer in &spec.layers {
        let Some(shape) = layer.mixer.kv_shape() else { continue };
        let window = layer.mixer.window();
        let values = shape.head_dim_k + shape.head_dim_v;
        let head = |dim| kv_format.head_bytes(dim);
        let stored = head(shape.head_dim_k) + head(shape.head_dim_v);
        let kv_bytes = (shape.n_kv_heads * stored) as u64;
        let ops = 2 * (layer.mixer.n_heads() * values) as u64;
        let bidirectional = layer.mixer.is_bidirectional();
        match groups.iter_mut().find(|group| group.window == window) {
            Some(group) => {
                group.kv_bytes += kv_bytes;
                group.ops += ops;
            }
            None => groups.push(AttentionCost { window, bidirectional, kv_bytes, ops }),
        }
    }
    groups
}

impl StepCost {
    fn add(&mut self, other: StepCost) {
        self.read_bytes += other.read_bytes;
        self.int8_ops += other.int8_ops;
        self.float_ops += other.float_ops;
    }

    /// For so many rows that share what is read.
    fn times(self, rows: u64) -> StepCost {
        let (int8_ops, float_ops) = (rows * self.int8_ops, rows * self.float_ops);
        StepCost { read_bytes: self.read_bytes, int8_ops, float_ops }
    }
}
