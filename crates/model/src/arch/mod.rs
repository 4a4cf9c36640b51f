//! The architectures that run, one file each, and how a file finds its own.

mod llama;
mod read;
#[cfg(test)]
mod tests;

use gguf::GgufFile;

use crate::{Error, ModelSpec, Result};

/// An architecture: how its metadata become a [`ModelSpec`] and what it calls its tensors.
pub trait Architecture: Sync {
    /// Values of `general.architecture`.
    fn names(&self) -> &'static [&'static str];

    /// Reads the metadata of a file of this architecture; tensors are looked at only to learn
    /// which are there.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::UnsupportedFeature`] with the key.
    fn spec(&self, file: &GgufFile) -> Result<ModelSpec>;

    /// What the tensor of this role is called.
    fn tensor_name(&self, role: Role, layer: usize) -> String {
        default_name(role, layer)
    }
}

/// All of them, sorted.
pub static ARCHITECTURES: &[&dyn Architecture] = &[
    &llama::Llama, //
];

/// What a tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `[vocab, d]`.
    TokenEmbedding,
    /// `[d]`.
    OutputNorm,
    /// `[vocab, d]`, absent when tied.
    Output,
    /// `[head_dim / 2]` divisors of the rotation frequencies, optional.
    RopeFactors,
    /// `[d]`.
    AttentionNorm,
    /// `[n_heads * head_dim_k, d]`.
    Query,
    /// `[n_heads * head_dim_k]`.
    QueryBias,
    /// `[n_kv_heads * head_dim_k, d]`.
    Key,
    /// `[n_kv_heads * head_dim_k]`.
    KeyBias,
    /// `[n_kv_heads * head_dim_v, d]`.
    Value,
    /// `[n_kv_heads * head_dim_v]`.
    ValueBias,
    /// `[d, n_heads * head_dim_v]`.
    AttentionOutput,
    /// `[d]`.
    AttentionOutputBias,
    /// `[d]`.
    FeedForwardNorm,
    /// `[ffn, d]`.
    Gate,
    /// `[ffn, d]`.
    Up,
    /// `[d, ffn]`.
    Down,
}

/// The row for this file.
pub(crate) fn find(file: &GgufFile) -> Result<&'static dyn Architecture> {
    let name = file.metadata().str_required("general.architecture")?;
    let found = ARCHITECTURES.iter().find(|row| row.names().contains(&name));
    found.copied().ok_or_else(|| unsupported(name))
}

fn unsupported(name: &str) -> Error {
    let names = || ARCHITECTURES.iter().flat_map(|row| row.names()).copied();
    // Names are short; a hostile one need not be compared to its end.
    let short: String = name.chars().take(64).collect();
    let nearest = names().min_by_key(|known| distance(&short, known)).unwrap_or("none");
    let runnable = names().collect::<Vec<_>>().join(", ");
    Error::UnsupportedArchitecture { name: short, runnable, nearest }
}

/// Letters to insert, remove or replace to turn `a` into `b`.
/// Source: Wagner and Fischer 1974, doi 10.1145/321796.321811.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The names that most architectures use.
fn default_name(role: Role, layer: usize) -> String {
    let of_layer = |name: &str| format!("blk.{layer}.{name}");
    match role {
        Role::TokenEmbedding => "token_embd.weight".to_owned(),
        Role::OutputNorm => "output_norm.weight".to_owned(),
        Role::Output => "output.weight".to_owned(),
        Role::RopeFactors => "rope_freqs.weight".to_owned(),
        Role::AttentionNorm => of_layer("attn_norm.weight"),
        Role::Query => of_layer("attn_q.weight"),
        Role::QueryBias => of_layer("attn_q.bias"),
        Role::Key => of_layer("attn_k.weight"),
        Role::KeyBias => of_layer("attn_k.bias"),
        Role::Value => of_layer("attn_v.weight"),
        Role::ValueBias => of_layer("attn_v.bias"),
        Role::AttentionOutput => of_layer("attn_output.weight"),
        Role::AttentionOutputBias => of_layer("attn_output.bias"),
        Role::FeedForwardNorm => of_layer("ffn_norm.weight"),
        Role::Gate => of_layer("ffn_gate.weight"),
        Role::Up => of_layer("ffn_up.weight"),
        Role::Down => of_layer("ffn_down.weight"),
    }
}
