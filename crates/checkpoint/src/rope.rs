//! How positions turn, by `rope_scaling` or `rope_parameters`, as rules of GGUF. What is said there
//! and has no place in GGUF is refused: a rule that is left out gives wrong words, not an error.

use gguf::Value;

use crate::config::Config;
use crate::error::{Told, shown};
use crate::keys::Keys;
use crate::limits::COUNT_MAX;

/// The part of a configuration that says it, in the older form and in the newer one.
const FORMS: [&str; 2] = ["rope_scaling", "rope_parameters"];
/// Where the newer form has a rule for each kind of layers.
const KINDS: [&str; 2] = ["full_attention", "sliding_attention"];
/// Fields that say something by a rule only.
const RULED: &[&str] = &["factor", "long_factor", "short_factor"];
/// Models whose base is not 10000 where they say none.
const OTHER_BASES: &[&str] = &[
    "Gemma3ForCausalLM",
    "GptOssForCausalLM",
    "MixtralForCausalLM",
    "Qwen3_5ForCausalLM",
    "Qwen3_5MoeForCausalLM",
    "SmolLM3ForCausalLM",
];
/// Width of a head beyond which there is none.
const HEAD_DIM_MAX: u64 = 1 << 16;

/// How positions turn, whether a configuration is of the older or the newer form.
pub(crate) struct Rope {
    /// Of all layers, or of those that see everything.
    pub(crate) all: Config,
    /// Of layers with a window, where that is said.
    local: Config,
}

impl Rope {
    pub(crate) fn read(keys: &Keys<'_>) -> Told<Rope> {
        let config = keys.config;
        let [older, newer] = FORMS;
        if config.has(older) && config.has(newer) {
            return Err(format!("{older} and {newer} are both there: take out one of them"));
        }
        let key = if config.has(newer) { newer } else { older };
        let said = config.part(key)?;
        let [mut all, mut local];
        if KINDS.iter().any(|kind| said.has(kind)) {
            let has_kinds = keys.architecture == "gemma3" && !said.has_others(&KINDS);
            keys.must(has_kinds, key)?;
            [all, local] = [said.part(KINDS[0])?, said.part(KINDS[1])?];
        } else {
            let outside =
                ["rope_theta", "partial_rotary_factor", "original_max_position_embeddings"];
            [all, local] = [said, Config::default()];
            all.complete(config, &outside.map(|key| (key, key)));
            local.complete(config, &[("rope_theta", "rope_local_base_freq")]);
        }
        for rule in [&mut all, &mut local] {
            let older = rule.clone();
            rule.complete(&older, &[("rope_type", "type")]);
            let is_one = !rule.has("type") || rule.text("type")? == rule.text("rope_type")?;
            rule.must(is_one, "type", keys.architecture)?;
        }
        Ok(Rope { all, local })
    }

    /// The rule of all layers, or of those that see everything.
    pub(crate) fn kind(&self) -> Told<&str> {
        kind(&self.all)
    }

    /// The part of each head that turns, where it is said.
    pub(crate) fn part_that_turns(&self, keys: &Keys<'_>) -> Told<Option<f64>> {
        let key = "partial_rotary_factor";
        let part = self.all.float(key)?;
        let is_part = part.is_none_or(|part| part > 0.0 && part <= 1.0);
        self.all.must(is_part, key, keys.architecture)?;
        Ok(part)
    }

    /// Writes the rule.
    pub(crate) fn put(&self, keys: &mut Keys<'_>) -> Told<()> {
        match self.kind()? {
            "default" => {}
            "linear" => {
                keys.put("rope.scaling.type", Value::String("linear".to_owned()));
                keys.put_float("rope.scaling.factor", self.all.need_float("factor")?);
            }
            "yarn" => self.yarn(keys)?,
            "llama3" => {
                let factors = self.llama3(keys)?;
                keys.computed.push(("rope_freqs.weight", factors));
            }
            other => return Err(unknown(other)),
        }
        match self.all.float("rope_theta")? {
            Some(base) => keys.put_float("rope.freq_base", base),
            None if OTHER_BASES.iter().any(|class| keys.is_a(class)) => {
                return Err("rope_theta is missing".to_owned());
            }
            None => {}
        }
        self.put_local(keys)
    }

    /// Layers with a window turn by the usual rule, from a base of their own.
    fn put_local(&self, keys: &mut Keys<'_>) -> Told<()> {
        let rule = &self.local;
        rule.must(kind(rule)? == "default", "rope_type", keys.architecture)?;
        let is_whole = rule.float("partial_rotary_factor")?.is_none_or(|part| part == 1.0);
        rule.must(is_whole, "partial_rotary_factor", keys.architecture)?;
        if let Some(base) = rule.float("rope_theta")? {
            keys.put_float("rope.freq_base_swa", base);
        }
        Ok(())
    }

    fn yarn(&self, keys: &mut Keys<'_>) -> Told<()> {
        let rule = &self.all;
        let must = |is_so, key| rule.must(is_so, key, keys.architecture);
        let growth = (rule.float("mscale")?, rule.float("mscale_all_dim")?);
        if keys.architecture == "deepseek2" {
            // Scores grow here, so that what turns must not: the two cancel each other.
            let is_same = growth.0 == growth.1 && growth.0.is_some_and(|growth| growth > 0.0);
            must(is_same, "mscale")?;
            must(rule.float("attention_factor")?.unwrap_or(1.0) == 1.0, "attention_factor")?;
        } else {
            must(growth.0.is_none(), "mscale")?;
            must(growth.1.is_none(), "mscale_all_dim")?;
        }
        // The borders as they are in gpt-oss, the whole pairs around them in all others.
        let is_whole = rule.flag("truncate")?.unwrap_or(true);
        must(is_whole != (keys.architecture == "gpt-oss"), "truncate")?;
        let extrapolation = rule.float("extrapolation_factor")?.unwrap_or(1.0);
        must(extrapolation == 1.0, "extrapolation_factor")?;
        keys.put("rope.scaling.type", Value::String("yarn".to_owned()));
        keys.put_float("rope.scaling.factor", rule.need_float("factor")?);
        let original = rule.need("original_max_position_embeddings", COUNT_MAX)?;
        keys.put_whole("rope.scaling.original_context_length", original);
        for (name, key) in [
            ("rope.scaling.attn_factor", "attention_factor"),
            ("rope.scaling.yarn_beta_fast", "beta_fast"),
            ("rope.scaling.yarn_beta_slow", "beta_slow"),
        ] {
            if let Some(value) = rule.float(key)? {
                keys.put_float(name, value);
            }
        }
        Ok(())
    }

    /// How much slower each pair turns: by the whole factor those of waves longer than the trained
    /// context, not at all short ones, and those between in part. Source: Llama 3.1's rule as
    /// `transformers` documents it (`rope_type` llama3).
    fn llama3(&self, keys: &Keys<'_>) -> Told<Vec<f32>> {
        let need = |key: &str| self.all.need_float(key);
        let (low, high) = (need("low_freq_factor")?, need("high_freq_factor")?);
        let (factor, trained) = (need("factor")?, need("original_max_position_embeddings")?);
        let base = self.all.float("rope_theta")?.unwrap_or(10_000.0);
        let head_dim = keys.head_dim()?;
        if head_dim > HEAD_DIM_MAX {
            return Err(format!("head_dim is {head_dim}, and at most {HEAD_DIM_MAX} is wanted"));
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
}

fn kind(rule: &Config) -> Told<&str> {
    match rule.text("rope_type")? {
        // Sections are of positions in pictures; in text all are the same.
        Some("mrope") if rule.has("mrope_section") => Ok("default"),
        Some(kind) => Ok(kind),
        None => match RULED.iter().find(|key| rule.has(key)) {
            Some(key) => Err(format!("rope_type is missing, and {key} is there")),
            None => Ok("default"),
        },
    }
}

/// A rule that is none of a family's.
pub(crate) fn unknown(kind: &str) -> String {
    format!("positions turn by a rule \"{}\" that hob does not know", shown(kind))
}
