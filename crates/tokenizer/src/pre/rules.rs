//! The pre-tokenisers by the names that `tokenizer.ggml.pre` has: one row a rule. The patterns are
//! those of the tokenizers' own published files.

/// A row.
pub(crate) struct Rule {
    /// Names in `tokenizer.ggml.pre`, sorted.
    pub(crate) names: &'static [&'static str],
    /// The text is cut by the first one, into matches and what lies between them; each piece is
    /// cut by the next one, and so on.
    pub(crate) patterns: &'static [&'static str],
    /// Whether a word that is a token as a whole is taken as it is.
    pub(crate) whole_words: bool,
    /// Whether a start token is added where metadata does not say.
    pub(crate) adds_bos: bool,
    /// How the vocabulary writes what is no letter.
    pub(crate) letters: Letters,
}

/// How a vocabulary writes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Letters {
    /// Every byte by GPT-2's letter for it.
    Bytes,
    /// Characters, with `▁` for a space, and `<0xAB>` for bytes.
    Spaces,
    /// Characters of words; white space is only what parts them.
    Words,
}

pub(crate) const GPT_2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
pub(crate) const LLAMA_3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
/// Long runs of white space are cut into powers of two.
const JAIS_2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)",
    r"|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}",
);
pub(crate) const MINICPM_5: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
pub(crate) const QWEN_2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
/// The Qwen 2 rule without English short forms.
pub(crate) const UFAKZEKA: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
pub(crate) const QWEN_35: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}",
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
pub(crate) const BAILING: &str = concat!(
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
);
pub(crate) const SEED_CODER: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}",
    r"| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
);
/// Korean words go on over a space.
const EXAONE_MOE: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
);
/// Words end where small letters are followed by great ones; a short form stays with its word.
pub(crate) const GPT_4O: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
pub(crate) const YOUTU: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
pub(crate) const TEKKEN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
/// The GPT-4o rule with Chinese characters apart.
pub(crate) const KIMI_K2: &str = concat!(
    r"\p{Han}+",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*",
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+",
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const DEEPSEEK_3: &str = concat!(
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*",
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const SPARK: &str = concat!(
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+",
);
const CJK: &str = r"[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}]+";
const CJK_KANA: &str = r"[\u{4E00}-\u{9FA5}\u{3040}-\u{30FF}]+";
/// Korean, full-width marks, Bopomofo, and Chinese with Kana, each apart.
const YOUTU_CJK: &str = concat!(
    r"[\u{AC00}-\u{D7A3}\u{3131}-\u{318E}]+",
    r"|[\u{FF01}\u{2026}\u{201C}\u{201D}\u{2018}\u{2019}\u{2014}\u{FF1A}\u{FF1B}\u{FF0C}",
    r"\u{3001}-\u{303F}\u{FE30}-\u{FE4F}]+|[\u{3105}-\u{312F}]+",
    r"|[\u{4E00}-\u{9FA5}\u{3040}-\u{30FF}]+",
);
const AFMOE_CJK: &str = concat!(
    r"[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{F900}-\u{FAFF}\u{3040}-\u{30FF}\u{FF65}-\u{FF9F}",
    r"\u{2F00}-\u{2FDF}\u{E40}-\u{E7F}\u{E80}-\u{EFF}\u{1780}-\u{17FF}\u{1000}-\u{109F}",
    r"\u{AA60}-\u{AA7F}\u{A9E0}-\u{A9FF}\u{AC00}-\u{D7AF}\u{1100}-\u{11FF}]+",
);
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
pub(crate) const LINES: &str = r"[^\n]+|[\n]+";
pub(crate) const NUMBER_EACH: &str = r"\p{N}";
pub(crate) const NUMBERS_OF_THREE: &str = r"\p{N}{1,3}";
pub(crate) const NUMBERS: &str = r"\p{N}+";
pub(crate) const ASCII_THREES: &str = "[0-9][0-9][0-9]";
pub(crate) const THREES_BEFORE_END: &str = r"(?=(\d{3})+(?!\d))";
pub(crate) const THREES_OF_WORD: &str = r"\d{1,3}(?=(?:\d{3})*\b)";
/// No pattern of a published file: threes counted from the right, as its authors do in code.
pub(crate) const THREES_FROM_RIGHT: &str = "threes from the right";

/// Nothing special: no whole words, no start token, byte letters.
const PLAIN: Rule = Rule {
    names: &[],
    patterns: &[],
    whole_words: false,
    adds_bos: false,
    letters: Letters::Bytes,
};

/// Sorted by first name.
pub(crate) static RULES: &[Rule] = &[
    Rule {
        names: &[
            "a.x-4.0",
            "exaone4",
            "gigachat",
            "gpt-2",
            "granite-docling",
            "jais",
            "jina-de",
            "jina-es",
            "jina-v1-en",
            "jina-v2-code",
            "jina-v2-de",
            "jina-v2-es",
            "mellum",
            "modern-bert",
            "mpt",
            "olmo",
            "phi-2",
            "roberta-bpe",
            "trillion",
        ],
        patterns: &[GPT_2],
        ..PLAIN
    },
    Rule { names: &["afmoe"], patterns: &[THREES_FROM_RIGHT, AFMOE_CJK, DEEPSEEK_3], ..PLAIN },
    Rule { names: &["bailingmoe", "bailingmoe2", "llada-moe"], patterns: &[BAILING], ..PLAIN },
    Rule { names: &["bloom", "gpt3-finnish", "poro-chat"], patterns: &[BLOOM], ..PLAIN },
    Rule {
        names: &["chameleon"],
        patterns: &[
            "<sentinel:[0-9]+>",
            "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
            r"([\t\n]|    |  )",
            NUMBER_EACH,
            r"[\p{P}!-/:-@\[-`{-~]",
            GPT_2,
        ],
        adds_bos: true,
        ..PLAIN
    },
    Rule { names: &["chatglm-bpe", "dbrx", "smaug-bpe"], patterns: &[LLAMA_3], ..PLAIN },
    Rule {
        names: &[
            "codeshell",
            "command-r",
            "exaone",
            "mellum2",
            "minerva-7b",
            "refact",
            "smollm",
            "starcoder",
        ],
        patterns: &[NUMBER_EACH, GPT_2],
        ..PLAIN
    },
    Rule { names: &["cohere2moe", "tiny_aya"], patterns: &[THREES_OF_WORD, GPT_4O], ..PLAIN },
    Rule {
        names: &["deepseek-coder"],
        patterns: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, NUMBER_EACH],
        ..PLAIN
    },
    Rule {
        names: &["deepseek-llm"],
        patterns: &[r"[\r\n]", DEEPSEEK_LETTERS, DEEPSEEK_MARKS, r"\s+$", CJK, NUMBERS],
        ..PLAIN
    },
    Rule {
        names: &[
            "deepseek-r1-qwen",
            "f2llmv2",
            "grok-2",
            "hunyuan",
            "kormo",
            "megrez",
            "qwen2",
            "solar-open",
            "stablelm2",
        ],
        patterns: &[QWEN_2],
        ..PLAIN
    },
    Rule {
        names: &["deepseek-v3", "hunyuan-dense", "hy_v4", "joyai-llm"],
        patterns: &[NUMBERS_OF_THREE, CJK_KANA, DEEPSEEK_3],
        ..PLAIN
    },
    Rule {
        names: &["default"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT_2, NUMBERS, ASCII_THREES],
        ..PLAIN
    },
    Rule { names: &["exaone-moe"], patterns: &[EXAONE_MOE], ..PLAIN },
    Rule {
        names: &["falcon"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT_2, ASCII_THREES],
        ..PLAIN
    },
    Rule {
        names: &[
            "falcon-h1",
            "falcon3",
            "jina-v5-nano",
            "lfm2",
            "llama-bpe",
            "llama-v3",
            "llama3",
            "midm-2.0",
            "pixtral",
        ],
        patterns: &[LLAMA_3],
        whole_words: true,
        adds_bos: true,
        ..PLAIN
    },
    Rule {
        names: &["gemma4", "granite-embed-multi-311m"],
        patterns: &[LINES],
        adds_bos: true,
        letters: Letters::Spaces,
        ..PLAIN
    },
    Rule { names: &["glm4", "glm5"], patterns: &[LLAMA_3], whole_words: true, ..PLAIN },
    Rule {
        names: &["gpt-4o", "kanana2", "llama4", "minimax-m2", "talkie"],
        patterns: &[GPT_4O],
        ..PLAIN
    },
    Rule { names: &["granite-embed-multi-97m"], patterns: &[GPT_4O], whole_words: true, ..PLAIN },
    Rule { names: &["jais-2"], patterns: &[JAIS_2], ..PLAIN },
    Rule { names: &["kimi-k2"], patterns: &[KIMI_K2], ..PLAIN },
    Rule { names: &["laguna"], patterns: &[LINES, QWEN_2], ..PLAIN },
    Rule {
        names: &["minicpm5"],
        patterns: &[NUMBERS_OF_THREE, MINICPM_5],
        whole_words: true,
        ..PLAIN
    },
    Rule { names: &["qwen35"], patterns: &[QWEN_35], ..PLAIN },
    Rule { names: &["sarvam-moe"], patterns: &[LINES], letters: Letters::Spaces, ..PLAIN },
    Rule { names: &["seed-coder"], patterns: &[SEED_CODER], ..PLAIN },
    Rule {
        names: &["spark2_5"],
        patterns: &[NUMBERS_OF_THREE, CJK_KANA, SPARK, NUMBER_EACH],
        ..PLAIN
    },
    Rule { names: &["superbpe"], patterns: &[NUMBERS, THREES_BEFORE_END], ..PLAIN },
    Rule { names: &["tekken"], patterns: &[TEKKEN], whole_words: true, adds_bos: true, ..PLAIN },
    Rule { names: &["ufakzeka"], patterns: &[UFAKZEKA], ..PLAIN },
    Rule { names: &["viking"], patterns: &[BLOOM, NUMBER_EACH], ..PLAIN },
    Rule { names: &["whitespace"], letters: Letters::Words, ..PLAIN },
    Rule { names: &["youtu"], patterns: &[YOUTU_CJK, YOUTU], whole_words: true, ..PLAIN },
];
