//! A tokenizer from a `tokenizer.json`, the format of Hugging Face's `tokenizers`.
//!
//! Its parts are mapped onto the same machinery that GGUF files use; a part that has no counterpart
//! is refused by name. What concerns batches, `truncation` and `padding`, is the caller's.

mod decoder;
mod model;
mod normalizer;
mod post;
mod pre;
mod read;

use serde_json::Value;

use crate::ends::ends;
use crate::ids::SpecialIds;
use crate::limits::JSON_BYTES_MAX;
use crate::normal::apply;
use crate::specials::{Special, SpecialTokens};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};
use read::Node;

impl Tokenizer {
    /// The tokenizer that a `tokenizer.json` describes.
    ///
    /// # Errors
    /// When the file is damaged, or wants what hob does not know.
    pub fn from_json(bytes: &[u8]) -> Result<Tokenizer> {
        if bytes.len() > JSON_BYTES_MAX {
            let what = format!("has {} bytes: {JSON_BYTES_MAX} go", bytes.len());
            return Err(Error::Json(what));
        }
        let root: Value =
            serde_json::from_slice(bytes).map_err(|error| Error::Json(error.to_string()))?;
        let root = Node::root(&root);
        let pre = pre::read(&root.part("pre_tokenizer"))?;
        let decoder = decoder::read(&root.part("decoder"))?;
        let mut parsed = model::read(&root, pre, &decoder)?;
        let normal = normalizer::read(&root.part("normalizer"))?;
        let around = post::read(&root.part("post_processor"), &parsed.vocabulary)?;
        let (mut now, mut later) = (Vec::new(), Vec::new());
        let mut spare = (String::new(), String::new());
        for added in parsed.added {
            let Special { text, .. } = &added.special;
            if !added.normalized {
                now.push(added.special);
                continue;
            }
            // It is looked for in the text as the normaliser leaves it, and is normalised too.
            let text = apply(&normal, text, false, &mut spare.0, &mut spare.1).to_owned();
            later.push(Special { text, ..added.special });
        }
        let known = SpecialIds::by_text(&parsed.vocabulary);
        let token = |text: &str| parsed.vocabulary.id_of(text.as_bytes());
        let ids = SpecialIds {
            bos: around.0,
            eos: around.1,
            unknown: parsed.unknown,
            separator: token("[SEP]"),
            pad: token("[PAD]").or_else(|| token("<pad>")),
            mask: token("[MASK]").or_else(|| token("<mask>")),
            ..known
        };
        let named = [ids.eos, ids.fim_pad, ids.fim_repo, ids.fim_separator];
        let ends = ends(&mut parsed.vocabulary, &named);
        Ok(Tokenizer {
            kind: parsed.kind,
            specials: SpecialTokens::new(now),
            later_specials: SpecialTokens::new(later),
            normal,
            steps: parsed.steps,
            starts_anew: false,
            model: parsed.model,
            strips_space: decoder.strips_space,
            adds_bos: around.0.is_some(),
            adds_eos: around.1.is_some(),
            vocabulary: parsed.vocabulary,
            ids,
            ends,
            spare: Default::default(),
        })
    }
}
