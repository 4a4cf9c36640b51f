//! `pre_tokenizer`: how a text is cut into words.

use super::read::Node;
use crate::Result;
use crate::normal::is_mark;
use crate::pre::{FirstSpace, GPT_2, Matches, Step};

/// The steps, and whether words are written in GPT-2's letters for bytes.
pub(super) struct Pre {
    pub(super) steps: Vec<Step>,
    pub(super) byte_letters: bool,
}

pub(super) fn read(node: &Node<'_>) -> Result<Pre> {
    let mut pre = Pre { steps: Vec::new(), byte_letters: false };
    for step in node.steps("pretokenizers")? {
        if pre.byte_letters {
            return Err(step.wrong("has a step after ByteLevel, which is not supported"));
        }
        add(&step, &mut pre)?;
    }
    Ok(pre)
}

fn add(node: &Node<'_>, pre: &mut Pre) -> Result<()> {
    let steps = &mut pre.steps;
    match node.kind()? {
        "BertPreTokenizer" => steps.push(Step::words(is_mark)),
        "ByteLevel" => {
            if node.part("add_prefix_space").flag(true)? {
                let first = FirstSpace::Always;
                steps.push(Step::Spaces { mark: ' ', first, cut: false });
            }
            if node.part("use_regex").flag(true)? {
                steps.push(Step::of_file(GPT_2, false, Matches::Apart)?);
            }
            pre.byte_letters = true;
        }
        "CharDelimiterSplit" => {
            let delimiter = escape(node.part("delimiter").str()?);
            steps.push(Step::of_file(&delimiter, false, Matches::Removed)?);
        }
        "Digits" => {
            let each = node.part("individual_digits").flag(false)?;
            let pattern = if each { r"\p{N}" } else { r"\p{N}+" };
            steps.push(Step::of_file(pattern, false, Matches::Apart)?);
        }
        "Metaspace" => steps.push(metaspace(node)?),
        "Punctuation" => {
            let matches = matches(&node.part("behavior"))?;
            steps.push(Step::of_file(r"[\p{P}!-/:-@\[-`{-~]", false, matches)?);
        }
        "Split" => {
            let pattern = node.part("pattern");
            let (string, regex) = (pattern.part("String"), pattern.part("Regex"));
            let pattern =
                if string.is_null() { regex.str()?.to_owned() } else { escape(string.str()?) };
            let matches = matches(&node.part("behavior"))?;
            steps.push(Step::of_file(&pattern, node.part("invert").flag(false)?, matches)?);
        }
        "Whitespace" => steps.push(Step::of_file(r"\w+|[^\w\s]+", true, Matches::Removed)?),
        "WhitespaceSplit" => steps.push(Step::words(|_| false)),
        other => return Err(node.unknown_kind(other)),
    }
    Ok(())
}

/// A pattern that fits a text and nothing else.
pub(super) fn escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

fn matches(node: &Node<'_>) -> Result<Matches> {
    if node.is_null() {
        return Ok(Matches::Apart);
    }
    Ok(match node.str()? {
        "Contiguous" => Matches::Joined,
        "Isolated" => Matches::Apart,
        "MergedWithNext" => Matches::WithNext,
        "MergedWithPrevious" => Matches::WithPrevious,
        "Removed" => Matches::Removed,
        _ => return Err(node.wrong("is no behaviour that is known")),
    })
}

fn metaspace(node: &Node<'_>) -> Result<Step> {
    let mark = node.part("replacement");
    let mut letters = mark.str()?.chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else {
        return Err(mark.wrong("must be one character"));
    };
    Ok(Step::Spaces {
        mark: letter,
        first: first_space(node)?,
        cut: node.part("split").flag(true)?,
    })
}

/// When a Metaspace puts a space first; older files say it by another key.
pub(super) fn first_space(node: &Node<'_>) -> Result<FirstSpace> {
    let scheme = node.part("prepend_scheme");
    if scheme.is_null() {
        let always = node.part("add_prefix_space").flag(true)?;
        return Ok(if always { FirstSpace::Always } else { FirstSpace::Never });
    }
    Ok(match scheme.str()? {
        "always" => FirstSpace::Always,
        "first" => FirstSpace::First,
        "never" => FirstSpace::Never,
        _ => return Err(scheme.wrong("must be always, first or never")),
    })
}
