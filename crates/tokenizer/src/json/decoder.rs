//! `decoder`: how ids become text again. hob keeps what a token stands for as bytes, so that a
//! stream needs no more than the token; a decoder says how they are written.

use super::pre::first_space;
use super::read::Node;
use crate::Result;
use crate::pre::FirstSpace;
use crate::vocabulary::Writing;

pub(super) struct Decoder {
    pub(super) writing: Writing,
    /// Whether the text loses one space at its start.
    pub(super) strips_space: bool,
}

pub(super) fn read(node: &Node<'_>) -> Result<Decoder> {
    // Without a decoder tokens are words.
    let mut decoder = Decoder { writing: Writing::Words, strips_space: true };
    let steps = node.steps("decoders")?;
    if !steps.is_empty() {
        decoder = Decoder { writing: Writing::Sentence, strips_space: false };
    }
    for step in steps {
        match step.kind()? {
            "ByteFallback" | "Fuse" => {}
            "ByteLevel" => decoder.writing = Writing::ByteLetters,
            "Metaspace" => {
                if step.part("replacement").str()? != "▁" {
                    return Err(step.part("replacement").wrong("must be `▁`"));
                }
                decoder.strips_space = first_space(&step)? != FirstSpace::Never;
            }
            "Replace" => {
                let from = step.part("pattern").part("String").str()?;
                if from != "▁" || step.part("content").str()? != " " {
                    return Err(step.wrong("replaces another text than `▁` by a space"));
                }
            }
            "Strip" => {
                let count = |key: &str| step.part(key).id();
                let ends = (step.part("content").str()?, count("start")?, count("stop")?);
                if ends != (" ", 1, 0) {
                    return Err(step.wrong("strips another text than one space at the start"));
                }
                decoder.strips_space = true;
            }
            "WordPiece" => {
                if step.part("prefix").str()? != "##" {
                    return Err(step.part("prefix").wrong("must be `##`"));
                }
                let cleanup = step.part("cleanup").flag(true)?;
                decoder.writing = if cleanup { Writing::Pieces } else { Writing::PiecesAsTheyAre };
                decoder.strips_space = true;
            }
            other => return Err(step.unknown_kind(other)),
        }
    }
    Ok(decoder)
}
