//! Tokens with a role, by the names that files give them; where a file names none of a family's
//! tokens for code, they are known by their texts.

use gguf::Metadata;

use crate::Result;
use crate::vocabulary::Vocabulary;

/// Ids of tokens that have a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// Start of a text; `[CLS]` of BERT.
    pub bos: Option<u32>,
    /// End of a text; `[SEP]` of BERT.
    pub eos: Option<u32>,
    /// End of a turn.
    pub eot: Option<u32>,
    /// End of a message after which the turn goes on.
    pub eom: Option<u32>,
    /// What has no token.
    pub unknown: Option<u32>,
    /// Between two texts.
    pub separator: Option<u32>,
    /// Filling of a batch.
    pub pad: Option<u32>,
    /// A hidden word.
    pub mask: Option<u32>,
    /// Before the code that stands before the gap.
    pub fim_prefix: Option<u32>,
    /// Before the code that stands after the gap.
    pub fim_suffix: Option<u32>,
    /// Before the code that fills the gap.
    pub fim_middle: Option<u32>,
    /// Filling, in code.
    pub fim_pad: Option<u32>,
    /// Before the name of a repository.
    pub fim_repo: Option<u32>,
    /// Before the name of a file.
    pub fim_separator: Option<u32>,
}

const FIM_PREFIX: &[&str] = &[
    "<PRE>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<|code_prefix|>",
    "<|fim_prefix|>",
    "<|prefix|>",
    "<｜fim▁begin｜>",
    "▁<PRE>",
];
const FIM_SUFFIX: &[&str] = &[
    "<SUF>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<|code_suffix|>",
    "<|fim_suffix|>",
    "<|suffix|>",
    "<｜fim▁hole｜>",
    "▁<SUF>",
];
const FIM_MIDDLE: &[&str] = &[
    "<MID>",
    "<fim-middle>",
    "<fim_middle>",
    "<|code_middle|>",
    "<|fim_middle|>",
    "<|middle|>",
    "<｜fim▁end｜>",
    "▁<MID>",
];
const FIM_PAD: &[&str] = &["<PAD>", "<fim-pad>", "<fim_pad>", "<|fim_pad|>"];
const FIM_REPO: &[&str] = &["<REPO>", "<fim-repo>", "<reponame>", "<|fim_repo|>", "<|repo_name|>"];
const FIM_SEPARATOR: &[&str] = &["<|file_sep|>"];

impl SpecialIds {
    /// Of the tokens for code, those that are known by their texts.
    pub(crate) fn by_text(vocabulary: &Vocabulary) -> SpecialIds {
        let any = |texts: &[&str]| texts.iter().find_map(|text| vocabulary.id_of(text.as_bytes()));
        SpecialIds {
            fim_prefix: any(FIM_PREFIX),
            fim_suffix: any(FIM_SUFFIX),
            fim_middle: any(FIM_MIDDLE),
            fim_pad: any(FIM_PAD),
            fim_repo: any(FIM_REPO),
            fim_separator: any(FIM_SEPARATOR),
            ..SpecialIds::default()
        }
    }

    /// Those that metadata names, and those known by their texts.
    pub(crate) fn read(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<SpecialIds> {
        let id =
            |name: &str| vocabulary.id_of_key(metadata, &format!("tokenizer.ggml.{name}_token_id"));
        let either =
            |name: &str, older: &str| -> Result<Option<u32>> { Ok(id(name)?.or(id(older)?)) };
        let known = SpecialIds::by_text(vocabulary);
        Ok(SpecialIds {
            bos: either("bos", "cls")?,
            eos: id("eos")?,
            eot: id("eot")?,
            eom: id("eom")?,
            unknown: id("unknown")?,
            // The key is spelled so in the format.
            separator: id("seperator")?,
            pad: id("padding")?,
            mask: id("mask")?,
            fim_prefix: either("fim_pre", "prefix")?.or(known.fim_prefix),
            fim_suffix: either("fim_suf", "suffix")?.or(known.fim_suffix),
            fim_middle: either("fim_mid", "middle")?.or(known.fim_middle),
            fim_pad: id("fim_pad")?.or(known.fim_pad),
            fim_repo: id("fim_rep")?.or(known.fim_repo),
            fim_separator: id("fim_sep")?.or(known.fim_separator),
        })
    }
}
