//! Random low-rank adapters for a model, and the model with one worked into its weights: what
//! adapters are compared with.

use gguf::{GgufFile, TensorInfo, Value, Writer};
use quant::FormatId;

use crate::rng;

/// An adapter to make.
#[derive(Clone, Debug)]
pub struct TinyAdapter {
    /// Of the values.
    pub seed: u64,
    /// Rank.
    pub rank: usize,
    /// Alpha; what is added is scaled by alpha over rank.
    pub alpha: f32,
}

impl Default for TinyAdapter {
    fn default() -> TinyAdapter {
        TinyAdapter { seed: 1, rank: 4, alpha: 8.0 }
    }
}

impl TinyAdapter {
    /// The adapter in the making: beside all tensors of `base` of these names.
    ///
    /// # Panics
    /// When one is no matrix.
    #[must_use]
    pub fn writer(&self, base: &GgufFile, is_wanted: impl Fn(&str) -> bool) -> Writer {
        let mut writer = Writer::new();
        let text = |text: &str| Value::String(text.to_owned());
        let architecture = base.metadata().str("general.architecture").expect("text");
        writer.metadata("general.type", text("adapter"));
        writer.metadata("general.architecture", text(architecture.expect("it is there")));
        writer.metadata("adapter.type", text("lora"));
        writer.metadata("adapter.lora.alpha", Value::F32(self.alpha));
        let mut rng = rng(self.seed);
        for tensor in base.tensors().iter().filter(|tensor| is_wanted(&tensor.name)) {
            let (n, k) = shape(tensor);
            let mut values = |rows: usize, columns: usize| -> Vec<u8> {
                let scale = 1.0 / (columns as f32).sqrt();
                (0..rows * columns).flat_map(|_| (rng.f32() * scale).to_le_bytes()).collect()
            };
            let (down, up) = (values(self.rank, k), values(n, self.rank));
            let dims = |columns: usize, rows: usize| [columns as u64, rows as u64];
            let name = &tensor.name;
            let shape = dims(k, self.rank);
            writer.tensor(&format!("{name}.lora_a"), &shape, FormatId::F32, down);
            writer.tensor(&format!("{name}.lora_b"), &dims(self.rank, n), FormatId::F32, up);
        }
        writer
    }
}

/// A model of F32 matrices with these adapters added to its weights, each with a scale.
///
/// # Panics
/// When a matrix is not F32.
#[must_use]
pub fn merged(base: &GgufFile, adapters: &[(&GgufFile, f32)]) -> Writer {
    let mut writer = Writer::new();
    for (key, value) in base.metadata().iter() {
        writer.metadata(key, value.clone());
    }
    for tensor in base.tensors() {
        let mut bytes = base.bytes(tensor).into_owned();
        for (adapter, scale) in adapters {
            add(&mut bytes, tensor, (adapter, *scale));
        }
        writer.tensor(&tensor.name, &tensor.shape, tensor.format, bytes);
    }
    writer
}

/// `weights += scale * alpha / rank * up * down`.
fn add(weights: &mut [u8], tensor: &TensorInfo, (adapter, scale): (&GgufFile, f32)) {
    let part = |end: &str| adapter.tensor(&format!("{}{end}", tensor.name));
    let (Some(down), Some(up)) = (part(".lora_a"), part(".lora_b")) else { return };
    assert_eq!(tensor.format, FormatId::F32, "{}", tensor.name);
    let ((n, k), (rank, _)) = (shape(tensor), shape(down));
    let alpha = adapter.metadata().f32("adapter.lora.alpha").expect("a number").expect("it");
    let factor = f64::from(scale) * f64::from(alpha) / rank as f64;
    let (down, up) = (floats(&adapter.bytes(down)), floats(&adapter.bytes(up)));
    for row in 0..n {
        for column in 0..k {
            let products = (0..rank).map(|r| up[row * rank + r] * down[r * k + column]);
            let value = &mut weights.as_chunks_mut::<4>().0[row * k + column];
            let sum = f64::from(f32::from_le_bytes(*value)) + factor * products.sum::<f64>();
            *value = (sum as f32).to_le_bytes();
        }
    }
}

/// Rows and columns.
fn shape(tensor: &TensorInfo) -> (usize, usize) {
    let [k, n] = *tensor.shape else { panic!("{} is no matrix", tensor.name) };
    (usize::try_from(n).expect("small"), usize::try_from(k).expect("small"))
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks::<4>().0.iter().map(|value| f64::from(f32::from_le_bytes(*value))).collect()
}
