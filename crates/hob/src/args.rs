//! Flags that several commands share. They are plain data until `as meant`: the methods turn
//! them into the roof's types.

use app::{
    AdapterSource, Constraint, GrammarKind, LoadOptions, Mirostat, RopeRule, RopeScaling,
    SamplingParams, Speculation, TemplateWishes,
};

/// How a model is loaded.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Loading")]
pub(crate) struct LoadArgs {
    /// Tokens of a conversation [default: the model's own, at most 8192]
    #[arg(long, short = 'c', value_name = "TOKENS")]
    pub(crate) context: Option<u32>,
    /// Hold more than it was trained for: linear, ntk, yarn or e.g. yarn:4
    ///
    /// RULE[:FACTOR]; yarn is to be preferred. FACTOR is the longest context over the original
    /// one; --context says it when none is given. The rule takes the place of the file's own. A
    /// model that was not trained with it answers worse, on short texts too. Files with LongRoPE's
    /// factors need none of this.
    #[arg(long, value_name = "RULE", value_parser = rope_scaling)]
    pub(crate) rope_scaling: Option<RopeScaling>,
    /// Compute threads [default: all cores]
    #[arg(long, short = 't', value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// What computes: `cpu`, or `reference` (slow, exact) [default: cpu]
    ///
    /// `cpu` takes the best kernels that the machine has; `cpu:avx2` and the like take others, to
    /// compare. A name that is wrong is answered with those that are right.
    #[arg(long, value_name = "NAME")]
    pub(crate) backend: Option<String>,
    /// Type of keys and values: f32, f16, bf16 or q8_0 [default: f16]
    ///
    /// q8_0 takes 53 % of the memory of f16. What it costs is in the documentation of models.
    #[arg(long, value_name = "TYPE")]
    pub(crate) kv: Option<String>,
    /// Quantise weights while loading, e.g. q4_k_m; from F16, BF16 or F32
    ///
    /// Any type that `hob quantize` makes. Nothing is written: the next load does it again.
    #[arg(long, value_name = "TYPE")]
    pub(crate) quant: Option<String>,
}

impl LoadArgs {
    pub(crate) fn options(&self) -> LoadOptions {
        LoadOptions {
            threads: self.threads,
            context_len: self.context,
            backend: self.backend.clone(),
            kv: self.kv.clone(),
            quant: self.quant.clone(),
            rope_scaling: self.rope_scaling,
            ..LoadOptions::default()
        }
    }
}

/// How answers are made, for those who load a model to answer.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Loading")]
pub(crate) struct EngineArgs {
    /// Draft what may be said next: on, off or always [default: on]
    ///
    /// Answers are the same either way. Drafts are made only as long as they save time; `always`
    /// makes them whatever they cost, to compare.
    #[arg(long, value_name = "WHEN", value_parser = speculation)]
    pub(crate) speculation: Option<Speculation>,
    /// Smaller model of the same family, to draft answers [default: none]
    ///
    /// A name, GGUF file, checkpoint or hub repository; its tokens must be the model's. Answers are
    /// the same with and without. It takes memory of its own, and is asked as long as that saves
    /// time.
    #[arg(long, value_name = "MODEL")]
    pub(crate) draft_model: Option<String>,
    /// LoRA adapter, [NAME=]FILE[:SCALE]; may be given several times
    ///
    /// FILE is GGUF, or a folder that PEFT wrote. NAME is what requests call it, the file's name if
    /// none is given; SCALE is a factor on what it adds, 1 if none is given. `run` has all of them
    /// in its answers; a server lists each as a model, and requests say which they have.
    #[arg(long, value_name = "FILE", value_parser = adapter)]
    pub(crate) lora: Vec<AdapterSource>,
}

impl EngineArgs {
    /// The adapters; whether answers have them that say nothing of any.
    pub(crate) fn adapters(&self, is_applied: bool) -> Vec<AdapterSource> {
        let applied = |adapter: &AdapterSource| AdapterSource { is_applied, ..adapter.clone() };
        self.lora.iter().map(applied).collect()
    }
}

/// What an answer is made with; also what `/set` changes in a chat. Every flag is an option, so
/// that setting one later leaves the others alone.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct AnswerArgs {
    /// Instruction that stands before the conversation
    #[arg(long, value_name = "TEXT", help_heading = "Answer")]
    pub(crate) system: Option<String>,
    /// Most tokens of an answer [default: up to the context]
    #[arg(long, short = 'n', value_name = "N", help_heading = "Answer")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: Option<u32>,
    /// Whether the model reasons before it answers, where it can do either [default: its own]
    #[arg(long, value_name = "on|off", value_parser = on_off, help_heading = "Answer")]
    pub(crate) thinking: Option<bool>,
    /// How much the model reasons, where it knows degrees: low, medium, high [default: its own]
    #[arg(long, value_name = "DEGREE", help_heading = "Answer")]
    pub(crate) reasoning_effort: Option<String>,
    /// Whether reasoning is shown, on standard error [default: on]
    #[arg(long, value_name = "on|off", value_parser = on_off, help_heading = "Answer")]
    pub(crate) show_reasoning: Option<bool>,
    /// Text that ends the answer; may be given several times
    #[arg(long, value_name = "TEXT", help_heading = "Answer")]
    pub(crate) stop: Vec<String>,
    /// JSON schema in a file, which the answer fits: always, whatever the temperature
    #[arg(long, value_name = "FILE", value_parser = held_to, help_heading = "Answer")]
    pub(crate) json_schema: Option<HeldTo>,
    /// Grammar in a file, which the answer fits: GBNF, or Lark where the name ends so
    #[arg(long, value_name = "FILE", value_parser = held_to, help_heading = "Answer")]
    #[arg(conflicts_with = "json_schema")]
    pub(crate) grammar: Option<HeldTo>,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

/// A file that was read, so that it is known to be there before a model is loaded.
#[derive(Clone, Debug)]
pub(crate) struct HeldTo {
    source: String,
    is_lark: bool,
}

impl AnswerArgs {
    pub(crate) fn shows_reasoning(&self) -> bool {
        self.show_reasoning.unwrap_or(true)
    }

    /// What the answer must fit.
    pub(crate) fn constraint(&self) -> Option<Constraint> {
        let of =
            |held: &HeldTo, kind, field| Constraint { kind, source: held.source.clone(), field };
        let schema = self.json_schema.as_ref();
        let schema = schema.map(|held| of(held, GrammarKind::JsonSchema, "json-schema"));
        schema.or_else(|| {
            let held = self.grammar.as_ref()?;
            let kind = if held.is_lark { GrammarKind::Lark } else { GrammarKind::Gbnf };
            Some(of(held, kind, "grammar"))
        })
    }

    /// What the template is asked for.
    pub(crate) fn wishes(&self) -> TemplateWishes {
        TemplateWishes {
            thinking: self.thinking,
            reasoning_effort: self.reasoning_effort.clone(),
            ..TemplateWishes::default()
        }
    }
}

/// How each token is chosen. Defaults in brackets are those of [`SamplingParams`]; a test holds
/// the help to it.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// Higher is more varied; 0 always takes the most likely token [default: 0.8]
    #[arg(long, visible_alias = "temp", value_name = "T", value_parser = not_negative)]
    pub(crate) temperature: Option<f32>,
    /// Choose among the K most likely tokens; 0 is all [default: 40]
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<u32>,
    /// Choose among the likeliest tokens that together reach P; 1 is all [default: 0.95]
    #[arg(long, value_name = "P", value_parser = share)]
    pub(crate) top_p: Option<f32>,
    /// Drop tokens less likely than P times the likeliest; 0 is off [default: 0.05]
    #[arg(long, value_name = "P", value_parser = share)]
    pub(crate) min_p: Option<f32>,
    /// Prefer tokens of typical surprise; 1 is off [default: 1]
    #[arg(long, visible_alias = "typical", value_name = "P", value_parser = share)]
    pub(crate) typical_p: Option<f32>,
    /// Make recent tokens less likely; 1 is off [default: 1]
    #[arg(long, value_name = "X", value_parser = not_negative)]
    pub(crate) repeat_penalty: Option<f32>,
    /// Recent tokens that the penalties look at; -1 is the whole context [default: 64]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i32).range(-1..))]
    pub(crate) repeat_last_n: Option<i32>,
    /// Taken once from every recent token; 0 is off [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = number)]
    pub(crate) presence_penalty: Option<f32>,
    /// Taken for each time a recent token came; 0 is off [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = number)]
    pub(crate) frequency_penalty: Option<f32>,
    /// Mirostat 1 or 2 instead of the choices above; 0 is off [default: 0]
    #[arg(long, value_name = "V", value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) mirostat: Option<u8>,
    /// Surprise that Mirostat aims at, in bits [default: 5]
    #[arg(long, value_name = "X", value_parser = not_negative)]
    pub(crate) mirostat_tau: Option<f32>,
    /// How fast Mirostat learns [default: 0.1]
    #[arg(long, value_name = "X", value_parser = not_negative)]
    pub(crate) mirostat_eta: Option<f32>,
    /// Strength of DRY, against repeated phrases; 0 is off [default: 0]
    #[arg(long, value_name = "X", value_parser = not_negative)]
    pub(crate) dry_multiplier: Option<f32>,
    /// Growth of DRY for each token of a repeated phrase [default: 1.75]
    #[arg(long, value_name = "X", value_parser = not_negative)]
    pub(crate) dry_base: Option<f32>,
    /// Longest phrase that DRY lets repeat freely [default: 2]
    #[arg(long, value_name = "N")]
    pub(crate) dry_allowed_length: Option<u32>,
    /// Recent tokens that DRY looks at; -1 is the whole context [default: -1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i32).range(-1..))]
    pub(crate) dry_penalty_last_n: Option<i32>,
    /// Text that ends a phrase for DRY; several times replaces the usual ones
    #[arg(long, value_name = "TEXT")]
    pub(crate) dry_sequence_breaker: Vec<String>,
    /// Chance that XTC removes the likeliest choices; 0 is off [default: 0]
    #[arg(long, value_name = "P", value_parser = share)]
    pub(crate) xtc_probability: Option<f32>,
    /// How likely a choice must be for XTC to remove it [default: 0.1]
    #[arg(long, value_name = "P", value_parser = share)]
    pub(crate) xtc_threshold: Option<f32>,
    /// Same seed, same answer [default: a fresh one each time]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Make a token likelier or less likely, e.g. `42=-5`; `42=-inf` bans it
    #[arg(long, value_name = "ID=X", value_parser = logit_bias)]
    pub(crate) logit_bias: Vec<(u32, f32)>,
    /// With --json: report each token's log-probability and N alternatives
    #[arg(long, value_name = "N")]
    pub(crate) logprobs: Option<u32>,
}

impl SamplingArgs {
    pub(crate) fn params(&self) -> SamplingParams {
        let mut params = SamplingParams::default();
        set(&mut params.temperature, self.temperature);
        set(&mut params.top_k, self.top_k);
        set(&mut params.top_p, self.top_p);
        set(&mut params.min_p, self.min_p);
        set(&mut params.typical_p, self.typical_p);
        set(&mut params.repeat_penalty, self.repeat_penalty);
        set(&mut params.repeat_last_n, self.repeat_last_n);
        set(&mut params.presence_penalty, self.presence_penalty);
        set(&mut params.frequency_penalty, self.frequency_penalty);
        set(&mut params.mirostat, self.mirostat.map(mirostat));
        set(&mut params.mirostat_tau, self.mirostat_tau);
        set(&mut params.mirostat_eta, self.mirostat_eta);
        set(&mut params.dry.multiplier, self.dry_multiplier);
        set(&mut params.dry.base, self.dry_base);
        set(&mut params.dry.allowed_length, self.dry_allowed_length);
        set(&mut params.dry.penalty_last_n, self.dry_penalty_last_n);
        if !self.dry_sequence_breaker.is_empty() {
            params.dry.sequence_breakers.clone_from(&self.dry_sequence_breaker);
        }
        set(&mut params.xtc_probability, self.xtc_probability);
        set(&mut params.xtc_threshold, self.xtc_threshold);
        params.seed = self.seed;
        params.logit_bias.clone_from(&self.logit_bias);
        params.logprobs = self.logprobs;
        params
    }
}

fn set<T>(field: &mut T, wish: Option<T>) {
    if let Some(wish) = wish {
        *field = wish;
    }
}

fn mirostat(version: u8) -> Mirostat {
    match version {
        1 => Mirostat::V1,
        2 => Mirostat::V2,
        _ => Mirostat::Off,
    }
}

fn speculation(text: &str) -> Result<Speculation, String> {
    match text {
        "on" => Ok(Speculation::Measured),
        "off" => Ok(Speculation::Off),
        "always" => Ok(Speculation::Always),
        _ => Err("give `on`, `off` or `always`".to_owned()),
    }
}

/// `[NAME=]FILE[:SCALE]`; what stands behind a last colon and is no number is of the file's name.
fn adapter(text: &str) -> Result<AdapterSource, String> {
    let (name, rest) = match text.split_once('=') {
        Some((name, rest)) if !name.contains('/') => (Some(name), rest),
        _ => (None, text),
    };
    let scaled = rest.rsplit_once(':').and_then(|(path, scale)| Some((path, number(scale).ok()?)));
    let (path, scale) = scaled.unwrap_or((rest, 1.0));
    let path = std::path::PathBuf::from(path);
    let own = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = name.map(str::to_owned).or(own).filter(|name| !name.is_empty());
    let Some(name) = name.filter(|_| !path.as_os_str().is_empty()) else {
        return Err("give a file, e.g. `law.gguf`, `law=adapter.gguf` or `law.gguf:0.5`".to_owned());
    };
    Ok(AdapterSource { name, path, scale, is_applied: true })
}

/// `RULE[:FACTOR]`.
pub(crate) fn rope_scaling(text: &str) -> Result<RopeScaling, String> {
    let (name, factor) = match text.split_once(':') {
        None => (text, Ok(None)),
        Some((name, factor)) => (name, factor.parse::<f64>().map(Some)),
    };
    let rule = RopeRule::ALL.into_iter().find(|rule| rule.name() == name);
    let is_above = |factor: &Option<f64>| factor.is_none_or(|it| it.is_finite() && it >= 1.0);
    match (rule, factor.ok().filter(is_above)) {
        (Some(rule), Some(factor)) => Ok(RopeScaling { rule, factor }),
        _ => {
            let names = RopeRule::ALL.map(RopeRule::name).join(", ");
            Err(format!("give one of {names}, and a factor from 1 on: `yarn` or `yarn:4`"))
        }
    }
}

fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("give `on` or `off`".to_owned()),
    }
}

/// More than any machine has; each takes memory.
const THREADS_MAX: usize = 1024;

pub(crate) fn threads(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=THREADS_MAX).contains(count));
    count.ok_or_else(|| format!("give a whole number from 1 to {THREADS_MAX}"))
}

fn number(text: &str) -> Result<f32, String> {
    let number: Option<f32> = text.parse().ok();
    number.filter(|x| x.is_finite()).ok_or_else(|| "give a number".to_owned())
}

fn held_to(path: &str) -> Result<HeldTo, String> {
    let source = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let is_lark = std::path::Path::new(path).extension().is_some_and(|end| end == "lark");
    Ok(HeldTo { source, is_lark })
}

fn not_negative(text: &str) -> Result<f32, String> {
    let number = number(text).ok().filter(|x| *x >= 0.0);
    number.ok_or_else(|| "give a number from 0 on".to_owned())
}

fn share(text: &str) -> Result<f32, String> {
    let number = number(text).ok().filter(|x| (0.0..=1.0).contains(x));
    number.ok_or_else(|| "give a number from 0 to 1".to_owned())
}

fn logit_bias(text: &str) -> Result<(u32, f32), String> {
    let parsed = text.split_once('=').and_then(|(id, bias)| {
        let bias: f32 = bias.parse().ok()?;
        Some((id.parse().ok()?, bias)).filter(|_| bias.is_finite() || bias == f32::NEG_INFINITY)
    });
    parsed.ok_or_else(|| "give a token id and a number, e.g. `42=-5` or `42=-inf`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::adapter;

    #[test]
    fn adapters_are_files_with_a_name_and_a_scale() {
        let read = |text: &str| {
            let found = adapter(text).map_err(|error| error.split(',').next().map(str::to_owned));
            found.map(|it| (it.name, it.path.to_string_lossy().into_owned(), it.scale))
        };
        let ok = |name: &str, path: &str, scale| Ok((name.to_owned(), path.to_owned(), scale));
        assert_eq!(read("law.gguf"), ok("law", "law.gguf", 1.0));
        assert_eq!(read("a/law.v2.gguf:0.5"), ok("law.v2", "a/law.v2.gguf", 0.5));
        assert_eq!(read("tone=a/law.gguf:-2"), ok("tone", "a/law.gguf", -2.0));
        assert_eq!(read("a/b=c.gguf"), ok("b=c", "a/b=c.gguf", 1.0));
        assert_eq!(read("a:b.gguf"), ok("a:b", "a:b.gguf", 1.0));
        for wrong in ["", "law=", "law=:1", "=a.gguf"] {
            assert_eq!(read(wrong), Err(Some("give a file".to_owned())), "{wrong}");
        }
    }
}
