//! The numbers of a Llama-like model as a GGUF file has them.

use gguf::{Value, Writer};

/// What the keys of an architecture say.
pub(crate) struct Numbers {
    pub(crate) n_layers: u32,
    pub(crate) context: u32,
    pub(crate) d: u32,
    pub(crate) ffn: u32,
    pub(crate) n_heads: u32,
    pub(crate) n_kv_heads: u32,
    pub(crate) vocab: u32,
    pub(crate) rope_base: f32,
}

impl Numbers {
    pub(crate) fn put(&self, writer: &mut Writer, architecture: &str, name: String) {
        let key = |name: &str| format!("{architecture}.{name}");
        writer
            .metadata("general.architecture", Value::String(architecture.to_owned()))
            .metadata("general.name", Value::String(name));
        for (name, value) in [
            ("block_count", self.n_layers),
            ("context_length", self.context),
            ("embedding_length", self.d),
            ("feed_forward_length", self.ffn),
            ("attention.head_count", self.n_heads),
            ("attention.head_count_kv", self.n_kv_heads),
            ("rope.dimension_count", self.d / self.n_heads),
            ("vocab_size", self.vocab),
        ] {
            writer.metadata(&key(name), Value::U32(value));
        }
        writer.metadata(&key("attention.layer_norm_rms_epsilon"), Value::F32(1e-5));
        writer.metadata(&key("rope.freq_base"), Value::F32(self.rope_base));
    }
}
