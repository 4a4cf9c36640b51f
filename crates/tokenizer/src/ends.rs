//! Which tokens end an answer. Files often name only one of their family's, so the others are
//! known by their texts.

use crate::vocabulary::{Kind, Vocabulary};

/// Sorted.
const END_TEXTS: &[&str] = &[
    "</s>",
    "<EOT>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|call|>",
    "<|calls|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|end|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|file_sep|>",
    "<|fim_pad|>",
    "<|fim_repo|>",
    "<|flush|>",
    "<|im_end|>",
    "<|repo_name|>",
    "<|return|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[EOS]",
    "[EOT]",
    "[e~[",
    "_<EOT>",
];

/// Where a vocabulary has all of one list, `<|end|>` ends a message and the answer goes on.
const MESSAGE_ENDS: &[&[&str]] = &[&["<|call|>", "<|return|>"], &["<|calls|>", "<|flush|>"]];

/// A vocabulary that has one of these has `</s>` as the tag of web pages.
const TAG_FAMILIES: &[&str] = &["<|plamo:eos|>", "<|tool_response>"];

/// Ids that end an answer: those that the metadata names, and those known by their texts. A text
/// that cannot be meant as letters becomes a control token, whatever the file says of it: else a
/// person could write it, or read it.
pub(crate) fn ends(vocabulary: &mut Vocabulary, named: &[Option<u32>]) -> Vec<u32> {
    let mut ends: Vec<u32> = named.iter().flatten().copied().collect();
    let has = |text: &&str| vocabulary.id_of(text.as_bytes()).is_some();
    let goes_on = MESSAGE_ENDS.iter().any(|texts| texts.iter().all(has));
    let tag = TAG_FAMILIES.iter().any(has);
    for text in END_TEXTS {
        let Some(id) = vocabulary.id_of(text.as_bytes()) else { continue };
        if (goes_on && *text == "<|end|>") || (tag && *text == "</s>") {
            continue;
        }
        let kind = &mut vocabulary.kinds[id as usize];
        if *kind == Kind::UserDefined || text.contains(['|', '｜']) {
            *kind = Kind::Control;
        }
        if *kind != Kind::Normal {
            ends.push(id);
        }
    }
    ends.sort_unstable();
    ends.dedup();
    ends
}

#[cfg(test)]
mod tests {
    use super::ends;
    use crate::vocabulary::{Kind, Vocabulary};

    fn check(texts: &[&str], kind: Kind) -> (Vec<u32>, Vec<Kind>) {
        let mut vocabulary = Vocabulary::plain(texts, kind);
        let found = ends(&mut vocabulary, &[Some(0), None]);
        (found, vocabulary.kinds)
    }

    #[test]
    fn ends_are_known_by_their_texts_and_become_control_tokens() {
        let (found, kinds) = check(&["a", "<|im_end|>", "</s>"], Kind::UserDefined);
        assert_eq!(found, [0, 1, 2]);
        assert_eq!(kinds, [Kind::UserDefined, Kind::Control, Kind::Control]);
        // A strike-through tag of web pages may well be a normal token.
        let (found, kinds) = check(&["a", "<|im_end|>", "</s>"], Kind::Normal);
        assert_eq!(found, [0, 1]);
        assert_eq!(kinds, [Kind::Normal, Kind::Control, Kind::Normal]);
    }

    #[test]
    fn a_tag_is_no_end_where_a_family_has_other_ends() {
        assert_eq!(check(&["x", "</s>", "<|tool_response>"], Kind::Control).0, [0, 2]);
    }

    #[test]
    fn the_end_of_a_message_is_not_the_end_of_an_answer() {
        let texts = ["x", "<|end|>", "<|call|>", "<|return|>"];
        assert_eq!(check(&texts, Kind::Control).0, [0, 2, 3]);
        assert_eq!(check(&texts[..3], Kind::Control).0, [0, 1, 2]);
    }
}
