//! What is asked: words of the command line, then standard input. Everything is bounded and must
//! be UTF-8.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail, ensure};

/// Most bytes of a prompt or of a text; far more than any context holds as a prompt.
pub(crate) const TEXT_BYTES_MAX: u64 = 64 << 20;

/// Reads a text to its end. `what` names it in errors.
///
/// # Errors
/// When it is too long or not UTF-8.
pub(crate) fn read_text(source: impl Read, what: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let read = source.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.with_context(|| format!("cannot read {what}"))?;
    ensure!(
        bytes.len() as u64 <= TEXT_BYTES_MAX,
        "{what} is longer than {} MiB: give a part of it",
        TEXT_BYTES_MAX >> 20
    );
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow::anyhow!("{what} is not UTF-8 text (byte {at}): convert it, e.g. with iconv")
    })
}

/// Reads a file, or standard input for `-`.
///
/// # Errors
/// When it cannot be read, is too long or not UTF-8.
pub(crate) fn read_file(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        return read_text(std::io::stdin().lock(), "standard input");
    }
    let name = path.display().to_string();
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {name}"))?;
    read_text(file, &name)
}

/// The prompt: the words with spaces between, then what came on standard input.
///
/// # Errors
/// When nothing is left to ask.
pub(crate) fn prompt(words: &[String], stdin: Option<&str>) -> anyhow::Result<String> {
    let words = words.join(" ");
    let stdin = stdin.map(|text| text.trim_end_matches(['\n', '\r'])).unwrap_or_default();
    let has_words = !words.trim().is_empty();
    match (has_words, !stdin.trim().is_empty()) {
        (true, true) => Ok(format!("{words}\n\n{stdin}")),
        (true, false) => Ok(words),
        (false, true) => Ok(stdin.to_owned()),
        (false, false) => bail!(
            "the prompt is empty: write it after the model, e.g. \
             hob run smollm2 \"Why is the sky blue?\", or give text on standard input"
        ),
    }
}

/// Whether `word`, given where a model is expected, reads like a question to one.
pub(crate) fn is_prompt_like(word: &str) -> bool {
    let word = word.trim();
    word.contains(char::is_whitespace) || word.ends_with(['?', '!']) || word.is_empty()
}

#[cfg(test)]
mod tests {
    use super::{is_prompt_like, prompt, read_text};

    fn check(words: &[&str], stdin: Option<&str>, expect: &str) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let joined = prompt(&words, stdin).unwrap_or_else(|error| error.to_string());
        assert!(joined.starts_with(expect), "{joined:?} for {words:?} and {stdin:?}");
        assert!(expect.starts_with("the prompt is empty") || joined == expect, "{joined:?}");
    }

    #[test]
    fn words_then_standard_input() {
        check(&["Why", "is it?"], None, "Why is it?");
        check(&["Summarise this:"], Some("a\nb\n"), "Summarise this:\n\na\nb");
        check(&["hi"], Some("\n"), "hi");
        check(&[], Some("only this\r\n"), "only this");
        check(&[], Some(""), "the prompt is empty");
        check(&["  "], None, "the prompt is empty");
    }

    #[test]
    fn texts_are_utf8_and_bounded() {
        assert_eq!(read_text("grün".as_bytes(), "x").unwrap(), "grün");
        let error = read_text(&b"ab\xff"[..], "standard input").unwrap_err().to_string();
        assert!(error.starts_with("standard input is not UTF-8 text (byte 2)"), "{error}");
        let endless = std::io::repeat(b'a');
        let error = read_text(endless, "f.txt").unwrap_err().to_string();
        assert_eq!(error, "f.txt is longer than 64 MiB: give a part of it");
    }

    #[test]
    fn questions_are_not_models() {
        for prompt in ["Why is the sky blue?", "hello!", "really?", "a b", ""] {
            assert!(is_prompt_like(prompt), "{prompt:?}");
        }
        for model in ["smollm2", "./model.gguf", "org/repo", "org/repo:Q4_K_M"] {
            assert!(!is_prompt_like(model), "{model:?}");
        }
    }
}
