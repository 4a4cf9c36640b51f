//! What a caller may ask of the sampler. Names and defaults are llama.cpp's, so that people find
//! what they know.

/// How the next token is chosen. The default is llama.cpp's.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    /// Divides the logits; 0 takes the most likely token always.
    pub temperature: f32,
    /// Keeps the `top_k` most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the smallest set of most likely tokens whose probabilities reach this; 1 keeps all.
    pub top_p: f32,
    /// Drops tokens less likely than `min_p` times the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Locally typical sampling; 1 is off.
    pub typical_p: f32,
    /// Divides positive and multiplies negative logits of recent tokens; 1 is off.
    pub repeat_penalty: f32,
    /// Recent tokens the three penalties look at; 0 none, -1 the whole context.
    pub repeat_last_n: i32,
    /// Subtracted once from the logit of every recent token; 0 is off.
    pub presence_penalty: f32,
    /// Subtracted for every occurrence of a recent token; 0 is off.
    pub frequency_penalty: f32,
    /// Mirostat replaces top-k, top-p, min-p, typical and XTC when on.
    pub mirostat: Mirostat,
    /// Target surprise of Mirostat, in bits.
    pub mirostat_tau: f32,
    /// Learning rate of Mirostat.
    pub mirostat_eta: f32,
    /// Penalty on repeating sequences.
    pub dry: Dry,
    /// Chance that XTC removes the top choices in a step; 0 is off.
    pub xtc_probability: f32,
    /// Probability above which a token counts as a top choice for XTC.
    pub xtc_threshold: f32,
    /// Seed of the random choices; none takes a fresh one for each request.
    pub seed: Option<u64>,
    /// Added to the logits of these tokens before anything else; `-inf` bans a token.
    pub logit_bias: Vec<(u32, f32)>,
    /// Reports the log-probability of each token and of this many alternatives.
    pub logprobs: Option<u32>,
}

/// Which Mirostat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mirostat {
    /// Off.
    #[default]
    Off,
    /// Version 1, which estimates the Zipf exponent.
    V1,
    /// Version 2.
    V2,
}

/// DRY: a penalty on continuing a sequence that was seen before.
#[derive(Clone, Debug, PartialEq)]
pub struct Dry {
    /// Strength; 0 is off.
    pub multiplier: f32,
    /// Growth per token of repeated length.
    pub base: f32,
    /// Repetitions up to this length are free.
    pub allowed_length: u32,
    /// Recent tokens to look at; 0 none, -1 the whole context.
    pub penalty_last_n: i32,
    /// Texts across which no repetition is counted.
    pub sequence_breakers: Vec<String>,
}

impl Default for Dry {
    fn default() -> Dry {
        let sequence_breakers = ["\n", ":", "\"", "*"].map(str::to_owned).to_vec();
        Dry {
            multiplier: 0.0,
            base: 1.75,
            allowed_length: 2,
            penalty_last_n: -1,
            sequence_breakers,
        }
    }
}

impl Default for SamplingParams {
    fn default() -> SamplingParams {
        SamplingParams {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            mirostat: Mirostat::Off,
            mirostat_tau: 5.0,
            mirostat_eta: 0.1,
            dry: Dry::default(),
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            seed: None,
            logit_bias: Vec::new(),
            logprobs: None,
        }
    }
}
