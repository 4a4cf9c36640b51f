//! Metadata under GGUF's keys, from `config.json`.

use gguf::{Array, Metadata, Value};

use crate::config::Config;
use crate::error::Told;
use crate::limits::COUNT_MAX;
use crate::rope::Rope;

/// The keys of one model in the making.
pub(crate) struct Keys<'a> {
    pub(crate) config: &'a Config,
    pub(crate) architecture: &'static str,
    pub(crate) metadata: Metadata,
    /// Tensors that follow from the configuration.
    pub(crate) computed: Vec<(&'static str, Vec<f32>)>,
}

/// Names of the number of experts, of which a configuration has one.
const EXPERT_COUNTS: &[&str] = &["num_local_experts", "num_experts", "n_routed_experts"];

/// The name by which a configuration says how many experts there are; none where there are none.
pub(crate) fn expert_count(config: &Config) -> Option<&'static str> {
    EXPERT_COUNTS.iter().find(|key| config.has(key)).copied()
}

impl<'a> Keys<'a> {
    pub(crate) fn new(config: &'a Config, architecture: &'static str) -> Keys<'a> {
        let mut metadata = Metadata::new();
        metadata.insert("general.architecture", Value::String(architecture.to_owned()));
        Keys { config, architecture, metadata, computed: Vec::new() }
    }

    pub(crate) fn put(&mut self, name: &str, value: Value) {
        self.metadata.insert(&format!("{}.{name}", self.architecture), value);
    }

    pub(crate) fn put_whole(&mut self, name: &str, value: u64) {
        // Every number that comes here is at most COUNT_MAX, which is that of 32 bits.
        self.put(name, Value::U32(u32::try_from(value).unwrap_or(u32::MAX)));
    }

    pub(crate) fn put_float(&mut self, name: &str, value: f64) {
        self.put(name, Value::F32(value as f32));
    }

    pub(crate) fn need(&self, key: &str) -> Told<u64> {
        self.config.need(key, COUNT_MAX)
    }

    pub(crate) fn whole(&self, key: &str) -> Told<Option<u64>> {
        self.config.whole(key, COUNT_MAX)
    }

    /// A number of the configuration, where it is there.
    pub(crate) fn copy_whole(&mut self, name: &str, key: &str) -> Told<()> {
        if let Some(value) = self.whole(key)? {
            self.put_whole(name, value);
        }
        Ok(())
    }

    pub(crate) fn copy_float(&mut self, name: &str, key: &str) -> Told<()> {
        if let Some(value) = self.config.float(key)? {
            self.put_float(name, value);
        }
        Ok(())
    }

    /// Refuses a model that says something else of itself than what hob does.
    pub(crate) fn must(&self, is_so: bool, key: &str) -> Told<()> {
        self.config.must(is_so, key, self.architecture)
    }

    /// Whether `architectures` says this.
    pub(crate) fn is_a(&self, class: &str) -> bool {
        matches!(self.config.texts("architectures"), Ok(Some(found)) if found == [class])
    }

    /// What nearly all have: sizes, norms, the rope.
    pub(crate) fn common(&mut self) -> Told<()> {
        self.sizes()?;
        let rope = Rope::read(self)?;
        rope.put(self)?;
        let is_whole = rope.part_that_turns(self)?.is_none_or(|part| part == 1.0);
        rope.all.must(is_whole, "partial_rotary_factor", self.architecture)
    }

    /// Sizes and norms.
    pub(crate) fn sizes(&mut self) -> Told<()> {
        for (name, key) in [
            ("block_count", "num_hidden_layers"),
            ("context_length", "max_position_embeddings"),
            ("embedding_length", "hidden_size"),
            ("attention.head_count", "num_attention_heads"),
        ] {
            let value = self.need(key)?;
            self.put_whole(name, value);
        }
        self.copy_whole("feed_forward_length", "intermediate_size")?;
        self.copy_whole("attention.head_count_kv", "num_key_value_heads")?;
        self.copy_whole("attention.key_length", "head_dim")?;
        self.copy_whole("attention.value_length", "head_dim")?;
        let epsilon = self.config.need_float("rms_norm_eps")?;
        self.put_float("attention.layer_norm_rms_epsilon", epsilon);
        Ok(())
    }

    /// The window of layers that have one.
    pub(crate) fn need_window(&mut self) -> Told<()> {
        let window = self.need("sliding_window")?;
        self.put_whole("attention.sliding_window", window);
        Ok(())
    }

    /// Experts, how many there are and how they are chosen.
    pub(crate) fn experts(&mut self) -> Told<()> {
        if let Some(key) = expert_count(self.config) {
            self.copy_whole("expert_count", key)?;
        }
        self.copy_whole("expert_used_count", "num_experts_per_tok")
    }

    /// Width of a head.
    pub(crate) fn head_dim(&self) -> Told<u64> {
        match self.whole("head_dim")? {
            Some(head_dim) => Ok(head_dim),
            None => {
                let (d, heads) = (self.need("hidden_size")?, self.need("num_attention_heads")?);
                d.checked_div(heads).ok_or_else(|| "num_attention_heads is 0".to_owned())
            }
        }
    }

    /// That layers with a window are those that `is_window` says, and all others see everything;
    /// else refused.
    pub(crate) fn layer_types(&self, is_window: impl Fn(usize) -> bool) -> Told<()> {
        let Some(types) = self.config.texts("layer_types")? else { return Ok(()) };
        let layers = self.need("num_hidden_layers")?;
        let kind = |i| if is_window(i) { "sliding_attention" } else { "full_attention" };
        let is_so = types.iter().enumerate().all(|(i, found)| *found == kind(i));
        self.must(is_so && types.len() as u64 == layers, "layer_types")
    }

    pub(crate) fn put_truths(&mut self, name: &str, truths: Vec<bool>) {
        self.put(name, Value::Array(Array::Bool(truths)));
    }
}
