//! `post_processor`: which tokens a text begins and ends with.

use serde_json::Value;

use super::read::Node;
use crate::Result;
use crate::vocabulary::Vocabulary;

/// Start and end token of a text.
type Around = (Option<u32>, Option<u32>);

pub(super) fn read(node: &Node<'_>, vocabulary: &Vocabulary) -> Result<Around> {
    let mut around = (None, None);
    for step in node.steps("processors")? {
        let found = match step.kind()? {
            "ByteLevel" => continue,
            "BertProcessing" | "RobertaProcessing" => {
                let id = |key: &str| -> Result<u32> {
                    let value = step.part(key).list()?.get(1).unwrap_or(&Value::Null);
                    Node::root(value).id().map_err(|_| step.part(key).wrong("names no token"))
                };
                (Some(id("cls")?), Some(id("sep")?))
            }
            "TemplateProcessing" => template(&step)?,
            other => return Err(step.unknown_kind(other)),
        };
        if around != (None, None) {
            return Err(step.wrong("has two steps that add tokens, which is not supported"));
        }
        around = found;
    }
    for id in [around.0, around.1].into_iter().flatten() {
        if id as usize >= vocabulary.len() {
            return Err(node.wrong(&format!("names token {id}, which is not there")));
        }
    }
    Ok(around)
}

fn template(node: &Node<'_>) -> Result<Around> {
    let single = node.part("single");
    let (mut before, mut after, mut seen) = (Vec::new(), Vec::new(), false);
    for piece in single.list()? {
        let piece = Node::root(piece);
        if !piece.part("Sequence").is_null() {
            if seen {
                return Err(single.wrong("has the text twice, which is not supported"));
            }
            seen = true;
            continue;
        }
        let name = piece.part("SpecialToken").part("id").str()?;
        let ids = node.part("special_tokens").part(name).part("ids");
        let side = if seen { &mut after } else { &mut before };
        for id in ids.list()? {
            side.push(Node::root(id).id().map_err(|_| ids.wrong("names no token"))?);
        }
    }
    if before.len() > 1 || after.len() > 1 {
        return Err(single.wrong("adds more than one token on a side, which is not supported"));
    }
    Ok((before.first().copied(), after.first().copied()))
}
