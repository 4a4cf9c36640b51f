//! Metadata under GGUF's keys, from `config.json`.

use gguf::{Array, Metadata, Value};

use crate::config::Config;
use crate::error::Told;
use crate::limits::COUNT_MAX;

/// The keys of one model in the making.
pub(crate) struct Keys<'a> {
    pub(crate) config: &'a Config,
    architecture: &'static str,
    pub(crate) metadata: Metadata,
    /// Tensors that follow from the configuration.
    pub(crate) computed: Vec<(&'static str, Vec<f32>)>,
}

/// How positions turn, whether a configuration is of the older or the newer form.
pub(crate) struct Rope {
    /// Of all layers, or of those that see everything.
    pub(crate) all: Config,
    /// Of layers with a window, where that is said.
    local: Config,
}

impl Rope {
    pub(crate) fn read(config: &Config) -> Told<Rope> {
        let key = if config.has("rope_parameters") { "rope_parameters" } else { "rope_scaling" };
        let both = config.part(key)?;
        if both.has("full_attention") || both.has("sliding_attention") {
            let (all, local) = (both.part("full_attention")?, both.part("sliding_attention")?);
            return Ok(Rope { all, local });
        }
        let mut all = both;
        let older = all.clone();
        all.complete(&older, &[("rope_type", "type")]);
        let outside = ["rope_theta", "partial_rotary_factor", "original_max_position_embeddings"];
        all.complete(config, &outside.map(|key| (key, key)));
        let mut local = Config::default();
        local.complete(config, &[("rope_theta", "rope_local_base_freq")]);
        Ok(Rope { all, local })
    }

    pub(crate) fn kind(&self) -> Told<&str> {
        Ok(self.all.text("rope_type")?.unwrap_or("default"))
    }
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
        // Every number that comes here is below COUNT_MAX, which is that of 32 bits.
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
        let refused = || format!("{key}: hob does not run such a {}", self.architecture);
        is_so.then_some(()).ok_or_else(refused)
    }

    /// What nearly all have: sizes, norms, the rope.
    pub(crate) fn common(&mut self) -> Told<()> {
        self.sizes()?;
        self.rope()
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
        self.copy_float("attention.layer_norm_rms_epsilon", "rms_norm_eps")
    }

    /// Experts, how many there are and how they are chosen.
    pub(crate) fn experts(&mut self) -> Told<()> {
        let counts = ["num_local_experts", "num_experts", "n_routed_experts"];
        if let Some(key) = counts.iter().find(|key| self.config.has(key)) {
            self.copy_whole("expert_count", key)?;
        }
        self.copy_whole("expert_used_count", "num_experts_per_tok")
    }

    fn rope(&mut self) -> Told<()> {
        let rope = Rope::read(self.config)?;
        match rope.kind()? {
            "default" | "longrope" | "su" => {}
            "linear" => {
                self.put("rope.scaling.type", Value::String("linear".to_owned()));
                self.put_float("rope.scaling.factor", factor(&rope)?);
            }
            "yarn" => self.yarn(&rope)?,
            "llama3" => {
                let factors = self.llama3(&rope)?;
                self.computed.push(("rope_freqs.weight", factors));
            }
            other => {
                let shown: String = other.chars().take(32).collect();
                return Err(format!("positions turn by a rule {shown:?} that hob does not know"));
            }
        }
        if let Some(base) = rope.all.float("rope_theta")? {
            self.put_float("rope.freq_base", base);
        }
        if let Some(base) = rope.local.float("rope_theta")? {
            self.put_float("rope.freq_base_swa", base);
        }
        Ok(())
    }

    fn yarn(&mut self, rope: &Rope) -> Told<()> {
        self.put("rope.scaling.type", Value::String("yarn".to_owned()));
        self.put_float("rope.scaling.factor", factor(rope)?);
        let original = rope.all.need("original_max_position_embeddings", COUNT_MAX)?;
        self.put_whole("rope.scaling.original_context_length", original);
        for (name, key) in [
            ("rope.scaling.yarn_ext_factor", "extrapolation_factor"),
            ("rope.scaling.attn_factor", "attention_factor"),
            ("rope.scaling.yarn_beta_fast", "beta_fast"),
            ("rope.scaling.yarn_beta_slow", "beta_slow"),
        ] {
            if let Some(value) = rope.all.float(key)? {
                self.put_float(name, value);
            }
        }
        Ok(())
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

    /// How much slower each pair turns: by the whole factor those of waves longer than the trained
    /// context, not at all short ones, and those between in part. Source: Llama 3.1's rule as
    /// `transformers` documents it (`rope_type` llama3).
    fn llama3(&self, rope: &Rope) -> Told<Vec<f32>> {
        let or = |key: &str, usual: f64| Ok::<f64, String>(rope.all.float(key)?.unwrap_or(usual));
        let (low, high) = (or("low_freq_factor", 1.0)?, or("high_freq_factor", 4.0)?);
        let (factor, base) = (or("factor", 8.0)?, or("rope_theta", 10_000.0)?);
        let trained = or("original_max_position_embeddings", 8192.0)?;
        let head_dim = self.head_dim()?;
        if head_dim > 1 << 16 {
            return Err(format!("head_dim is {head_dim}"));
        }
        let pair = |i: u64| {
            let turns = base.powf(-(2.0 * i as f64) / head_dim as f64);
            let wave = std::f64::consts::TAU / turns;
            if wave < trained / high {
                1.0
            } else if wave > trained / low {
                factor as f32
            } else {
                let smooth = (trained / wave - low) / (high - low);
                (1.0 / ((1.0 - smooth) / factor + smooth)) as f32
            }
        };
        Ok((0..head_dim / 2).map(pair).collect())
    }

    /// The window, where layers that have one are those that `is_window` says; else refused.
    pub(crate) fn layer_types(&self, window: &str, is_window: impl Fn(usize) -> bool) -> Told<()> {
        let Some(types) = self.config.texts("layer_types")? else { return Ok(()) };
        let layers = self.need("num_hidden_layers")?;
        let is_so = types.iter().enumerate().all(|(i, kind)| (*kind == window) == is_window(i));
        self.must(is_so && types.len() as u64 == layers, "layer_types")
    }

    pub(crate) fn put_truths(&mut self, name: &str, truths: Vec<bool>) {
        self.put(name, Value::Array(Array::Bool(truths)));
    }
}

fn factor(rope: &Rope) -> Told<f64> {
    rope.all.float("factor")?.ok_or_else(|| "the rope's factor is missing".to_owned())
}
