//! Pre-tokenisers: how text is cut into words before bytes are merged. One row a rule.
//!
//! A rule is a list of patterns. The text is cut by the first one, into matches and what lies
//! between them; each piece is cut by the next one, and so on. The patterns are those of the
//! tokenizers' own published files.

use fancy_regex::{Regex, RegexBuilder};

use crate::{Error, Result};

/// A row.
struct Rule {
    /// Names in `tokenizer.ggml.pre`.
    names: &'static [&'static str],
    patterns: &'static [&'static str],
    /// Whether a word that is a token as a whole is taken as it is.
    whole_words: bool,
    /// Whether a start token is added where metadata does not say.
    adds_bos: bool,
}

const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Sorted by first name.
static RULES: &[Rule] = &[
    Rule {
        names: &["codeshell", "command-r", "refact", "smollm", "starcoder"],
        patterns: &[r"\p{N}", GPT_2],
        whole_words: false,
        adds_bos: false,
    },
    Rule {
        names: &["dbrx", "smaug-bpe"],
        patterns: &[LLAMA_3],
        whole_words: false,
        adds_bos: false,
    },
    Rule {
        names: &["deepseek-coder"],
        patterns: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"],
        whole_words: false,
        adds_bos: false,
    },
    Rule {
        names: &["default"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT_2, r"\p{N}+", r"[0-9][0-9][0-9]"],
        whole_words: false,
        adds_bos: false,
    },
    Rule {
        names: &["falcon"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT_2, r"[0-9][0-9][0-9]"],
        whole_words: false,
        adds_bos: false,
    },
    Rule {
        names: &["falcon3", "llama-bpe", "llama-v3", "llama3", "pixtral"],
        patterns: &[LLAMA_3],
        whole_words: true,
        adds_bos: true,
    },
    Rule {
        names: &["gpt-2", "jina-de", "jina-es", "modern-bert", "mpt", "olmo", "phi-2"],
        patterns: &[GPT_2],
        whole_words: false,
        adds_bos: false,
    },
    Rule {
        names: &["deepseek-r1-qwen", "qwen2", "stablelm2"],
        patterns: &[QWEN_2],
        whole_words: false,
        adds_bos: false,
    },
    Rule { names: &["qwen35"], patterns: &[QWEN_35], whole_words: false, adds_bos: false },
];

/// A rule, compiled.
pub(crate) struct PreTokenizer {
    patterns: Vec<Regex>,
    pub(crate) whole_words: bool,
    pub(crate) adds_bos: bool,
}

impl PreTokenizer {
    pub(crate) fn named(name: &str) -> Result<PreTokenizer> {
        let rule = RULES.iter().find(|rule| rule.names.contains(&name)).ok_or_else(|| {
            let known: Vec<&str> = RULES.iter().flat_map(|rule| rule.names).copied().collect();
            Error::PreTokenizer { name: name.to_owned(), known: known.join(", ") }
        })?;
        // The patterns look one character ahead only: they cannot run away, and a limit meant
        // for foreign patterns would cut long runs of spaces.
        let compile =
            |pattern: &&str| RegexBuilder::new(pattern).backtrack_limit(usize::MAX).build();
        let patterns: std::result::Result<_, _> = rule.patterns.iter().map(compile).collect();
        let patterns = patterns.expect("the rows' patterns are tested");
        Ok(PreTokenizer { patterns, whole_words: rule.whole_words, adds_bos: rule.adds_bos })
    }

    /// The words of a text; together they are the text.
    pub(crate) fn words<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut pieces = vec![text];
        for pattern in &self.patterns {
            let mut cut = Vec::with_capacity(pieces.len());
            for piece in pieces {
                cut_by(pattern, piece, &mut cut);
            }
            pieces = cut;
        }
        pieces
    }
}

fn cut_by<'a>(pattern: &Regex, text: &'a str, out: &mut Vec<&'a str>) {
    let mut from = 0;
    // A failed search (which these patterns cannot cause) leaves the rest as one word: the ids
    // still spell the text.
    for found in pattern.find_iter(text).map_while(std::result::Result::ok) {
        if found.start() > from {
            out.push(&text[from..found.start()]);
        }
        if found.end() > found.start() {
            out.push(found.as_str());
        }
        from = found.end();
    }
    if from < text.len() {
        out.push(&text[from..]);
    }
}

#[cfg(test)]
mod tests {
    use super::{PreTokenizer, RULES};

    #[test]
    fn every_rule_compiles_and_loses_nothing() {
        let text = "Hello  world's 12345\n\n\tæøå 漢字!!! 3.14   ";
        for rule in RULES {
            let pre = PreTokenizer::named(rule.names[0]).expect("a row");
            assert_eq!(pre.words(text).concat(), text, "{:?}", rule.names);
        }
    }

    #[test]
    fn an_unknown_rule_is_refused_by_name() {
        let error = PreTokenizer::named("nonsense").map(|_| ()).expect_err("unknown");
        assert!(error.to_string().contains("`nonsense`"), "{error}");
        assert!(error.to_string().contains("llama-bpe"), "{error}");
    }

    #[test]
    fn smollm_cuts_digits_one_by_one() {
        let pre = PreTokenizer::named("smollm").expect("a row");
        assert_eq!(pre.words("in 2024 we"), ["in", " ", "2", "0", "2", "4", " we"]);
    }
}
