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
const LLAMA_3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const QWEN_2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const QWEN_35: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}",
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
/// Words end where small letters are followed by great ones; a short form stays with its word.
const GPT_4O: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const TEKKEN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const DEEPSEEK_3: &str = concat!(
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*",
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const CJK: &str = r"[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}]+";
/// Letters that have a case, as its authors listed them.
const DEEPSEEK_LETTERS: &str = concat!(
    r"\s?[",
    r"A-Za-z\u{B5}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{1BA}\u{1BC}-\u{1BF}",
    r"\u{1C4}-\u{293}\u{295}-\u{2AF}\u{370}-\u{373}\u{376}\u{377}\u{37B}-\u{37D}",
    r"\u{37F}\u{386}\u{388}-\u{38A}\u{38C}\u{38E}-\u{3A1}\u{3A3}-\u{3F5}",
    r"\u{3F7}-\u{481}\u{48A}-\u{52F}\u{531}-\u{556}\u{10A0}-\u{10C5}\u{13A0}-\u{13F5}",
    r"\u{13F8}-\u{13FD}\u{1C90}-\u{1CBA}\u{1CBD}-\u{1CBF}\u{1D00}-\u{1D2B}",
    r"\u{1D6B}-\u{1D77}\u{1D79}-\u{1D9A}\u{1E00}-\u{1F15}\u{1F18}-\u{1F1D}",
    r"\u{1F20}-\u{1F45}\u{1F48}-\u{1F4D}\u{1F50}-\u{1F57}\u{1F59}\u{1F5B}\u{1F5D}",
    r"\u{1F5F}-\u{1F7D}\u{1F80}-\u{1FB4}\u{1FB6}-\u{1FBC}\u{1FBE}\u{1FC2}-\u{1FC4}",
    r"\u{1FC6}-\u{1FCC}\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}\u{1FE0}-\u{1FEC}",
    r"\u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}\u{2102}\u{2107}\u{210A}-\u{2113}\u{2115}",
    r"\u{2119}-\u{211D}\u{2124}\u{2126}\u{2128}\u{212A}-\u{212D}\u{212F}-\u{2134}",
    r"\u{2139}\u{213C}-\u{213F}\u{2145}-\u{2149}\u{214E}\u{2183}\u{2184}",
    r"\u{2C00}-\u{2C7B}\u{2C7E}-\u{2CE4}\u{2CEB}-\u{2CEE}\u{2CF2}\u{2CF3}",
    r"\u{A640}-\u{A66D}\u{A680}-\u{A69B}\u{A722}-\u{A76F}\u{A771}-\u{A787}",
    r"\u{A78B}-\u{A78E}\u{AB70}-\u{ABBF}\u{FB00}-\u{FB06}\u{FB13}-\u{FB17}",
    r"\u{FF21}-\u{FF3A}\u{FF41}-\u{FF5A}\u{10400}-\u{1044F}\u{104B0}-\u{104D3}",
    r"\u{104D8}-\u{104FB}\u{10C80}-\u{10CB2}\u{10CC0}-\u{10CF2}\u{118A0}-\u{118DF}",
    r"\u{1E900}-\u{1E943}",
    r"]+",
);
const DEEPSEEK_MARKS: &str = concat!(
    r"\s?[!-/:-~\u{FF01}-\u{FF0F}\u{FF1A}-\u{FF5E}",
    r"\u{2018}-\u{201F}\u{3000}-\u{3002}]+",
);
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";

/// Nothing special: no whole words, no start token.
const PLAIN: Rule = Rule { names: &[], patterns: &[], whole_words: false, adds_bos: false };

/// Sorted by first name.
static RULES: &[Rule] = &[
    Rule {
        names: &["a.x-4.0", "exaone4", "gigachat", "gpt-2", "granite-docling", "jais", "jina-de"],
        patterns: &[GPT_2],
        ..PLAIN
    },
    Rule { names: &["bloom", "gpt3-finnish", "poro-chat"], patterns: &[BLOOM], ..PLAIN },
    Rule { names: &["chatglm-bpe", "dbrx", "smaug-bpe"], patterns: &[LLAMA_3], ..PLAIN },
    Rule {
        names: &["codeshell", "command-r", "exaone", "mellum2", "minerva-7b", "refact", "smollm"],
        patterns: &[r"\p{N}", GPT_2],
        ..PLAIN
    },
    Rule {
        names: &["deepseek-coder"],
        patterns: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, r"\p{N}"],
        ..PLAIN
    },
    Rule {
        names: &["deepseek-llm"],
        patterns: &[r"[\r\n]", DEEPSEEK_LETTERS, DEEPSEEK_MARKS, r"\s+$", CJK, r"\p{N}+"],
        ..PLAIN
    },
    Rule {
        names: &["deepseek-r1-qwen", "f2llmv2", "grok-2", "hunyuan", "kormo", "megrez", "qwen2"],
        patterns: &[QWEN_2],
        ..PLAIN
    },
    Rule {
        names: &["deepseek-v3", "hunyuan-dense", "hy_v4", "joyai-llm"],
        patterns: &[r"\p{N}{1,3}", r"[\u{4E00}-\u{9FA5}\u{3040}-\u{30FF}]+", DEEPSEEK_3],
        ..PLAIN
    },
    Rule {
        names: &["default"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT_2, r"\p{N}+", r"[0-9][0-9][0-9]"],
        ..PLAIN
    },
    Rule {
        names: &["falcon"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT_2, r"[0-9][0-9][0-9]"],
        ..PLAIN
    },
    Rule {
        names: &["falcon-h1", "falcon3", "jina-v5-nano", "lfm2", "llama-bpe", "llama-v3"],
        patterns: &[LLAMA_3],
        whole_words: true,
        adds_bos: true,
    },
    Rule { names: &["glm4", "glm5"], patterns: &[LLAMA_3], whole_words: true, ..PLAIN },
    Rule { names: &["gpt-4o", "kanana2", "llama4", "minimax-m2"], patterns: &[GPT_4O], ..PLAIN },
    Rule {
        names: &["jina-es", "jina-v2-de", "jina-v2-es", "mellum", "modern-bert", "mpt", "olmo"],
        patterns: &[GPT_2],
        ..PLAIN
    },
    Rule {
        names: &["llama3", "midm-2.0", "pixtral"],
        patterns: &[LLAMA_3],
        whole_words: true,
        adds_bos: true,
    },
    Rule { names: &["phi-2", "trillion"], patterns: &[GPT_2], ..PLAIN },
    Rule { names: &["qwen35"], patterns: &[QWEN_35], ..PLAIN },
    Rule { names: &["solar-open", "stablelm2"], patterns: &[QWEN_2], ..PLAIN },
    Rule { names: &["starcoder"], patterns: &[r"\p{N}", GPT_2], ..PLAIN },
    Rule { names: &["tekken"], patterns: &[TEKKEN], whole_words: true, adds_bos: true },
    Rule { names: &["viking"], patterns: &[BLOOM, r"\p{N}"], ..PLAIN },
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
