//! What a step must read and compute at least, whatever computes it and however well.
//!
//! Weights count with the bytes of the file: a backend whose layout is larger reads more than it
//! must. Norms, biases and activations are left out; they are less than a hundredth.

use gguf::GgufFile;
use tensor::KvFormat;

use crate::arch::{self, Role};
use crate::inventory::{self, Kind};
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
    /// Of keys and values of one position.
    kv_bytes: u64,
    /// Of one row with one cached position.
    attention_ops: u64,
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
            let Kind::Matrix { n, k } = item.kind else { continue };
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
                layers.add(cost);
            }
        }
        let kv_bytes = kv_values(&spec) * kv_format.value_bytes() as u64;
        let heads = spec.n_layers as u64 * spec.n_heads as u64;
        let attention_ops = 2 * heads * (spec.head_dim_k + spec.head_dim_v) as u64;
        Ok(CostModel { layers, output, embedding_row_bytes, kv_bytes, attention_ops })
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
        for (first, rows) in spans {
            let (first, rows) = (*first as u64, *rows as u64);
            // The row at position p sees p + 1 positions.
            let seen = rows * first + rows * (rows + 1) / 2;
            cost.float_ops += seen * self.attention_ops;
            cost.read_bytes += (first + rows) * self.kv_bytes;
        }
        cost
    }
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

/// Values of one position over all layers.
fn kv_values(spec: &ModelSpec) -> u64 {
    (spec.n_layers * spec.n_kv_heads * (spec.head_dim_k + spec.head_dim_v)) as u64
}
