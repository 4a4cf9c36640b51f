//! `normalizer`: what is done to a text before it is cut.

use super::read::Node;
use crate::Result;
use crate::charsmap::Charsmap;
use crate::normal::Normal;
use crate::pre::foreign;

pub(super) fn read(node: &Node<'_>) -> Result<Vec<Normal>> {
    let mut steps = Vec::new();
    for step in node.steps("normalizers")? {
        add(&step, &mut steps)?;
    }
    Ok(steps)
}

fn add(node: &Node<'_>, steps: &mut Vec<Normal>) -> Result<()> {
    steps.push(match node.kind()? {
        "BertNormalizer" => return bert(node, steps),
        "Lowercase" => Normal::Lowercase,
        "NFC" => Normal::Nfc,
        "NFD" => Normal::Nfd,
        "NFKC" => Normal::Nfkc,
        "NFKD" => Normal::Nfkd,
        "Precompiled" => {
            let table = node.part("precompiled_charsmap");
            if table.is_null() {
                return Ok(());
            }
            let bytes = base64(table.str()?).ok_or_else(|| table.wrong("is no base64"))?;
            Normal::Charsmap(Charsmap::read(&bytes)?)
        }
        "Prepend" => Normal::Prepend(node.part("prepend").str()?.to_owned()),
        "Replace" => {
            let pattern = node.part("pattern");
            let (string, regex) = (pattern.part("String"), pattern.part("Regex"));
            let to = node.part("content").str()?.to_owned();
            if !string.is_null() {
                let from = string.str()?.to_owned();
                if from.is_empty() {
                    return Err(string.wrong("is empty"));
                }
                Normal::Replace { from, to }
            } else {
                Normal::ReplacePattern { from: Box::new(foreign(regex.str()?)?), to }
            }
        }
        "Strip" => Normal::Strip {
            left: node.part("strip_left").flag(true)?,
            right: node.part("strip_right").flag(true)?,
        },
        "StripAccents" => Normal::NoMarks,
        other => return Err(node.unknown_kind(other)),
    });
    Ok(())
}

fn bert(node: &Node<'_>, steps: &mut Vec<Normal>) -> Result<()> {
    let lowercase = node.part("lowercase").flag(true)?;
    if node.part("clean_text").flag(true)? {
        steps.push(Normal::Clean);
    }
    if node.part("handle_chinese_chars").flag(true)? {
        steps.push(Normal::Chinese);
    }
    if node.part("strip_accents").flag(lowercase)? {
        steps.extend([Normal::Nfd, Normal::NoAccents]);
    }
    if lowercase {
        steps.push(Normal::Lowercase);
    }
    Ok(())
}

/// Bytes of base64 text with its filling.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |letter: u8| {
        Some(u32::from(match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        }))
    };
    let letters = text.trim_end_matches('=').as_bytes();
    if !text.len().is_multiple_of(4) || text.len() - letters.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(letters.len() * 3 / 4);
    for four in letters.chunks(4) {
        let mut value = 0;
        for i in 0..4 {
            value = value << 6 | four.get(i).map_or(Some(0), |letter| digit(*letter))?;
        }
        bytes.extend_from_slice(&value.to_be_bytes()[1..four.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_read() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("TQ==", b"M"),
            ("TWE=", b"Ma"),
            ("TWFu", b"Man"),
            ("+/8A", b"\xfb\xff\0"),
        ] {
            assert_eq!(base64(text).as_deref(), Some(bytes), "{text}");
        }
        for wrong in ["T", "TQ=", "TQ=a", "T===", "T*==", "TWFuT==="] {
            assert_eq!(base64(wrong), None, "{wrong}");
        }
    }
}
