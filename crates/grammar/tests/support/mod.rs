//! What the tests of this crate share: a vocabulary of bytes, and whole texts read by a matcher.
#![expect(dead_code, reason = "each test program uses its part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use grammar::{Grammar, Kind, Limits, Matcher, Vocabulary, Word};

/// The token that ends an answer; a byte's token is the byte.
pub(crate) const END: u32 = 256;

/// A token for each byte, and an end.
pub(crate) fn bytes() -> Arc<Vocabulary> {
    let all: Vec<u8> = (0..=255).collect();
    let words = all.chunks(1).map(Word::Text).chain([Word::Control(b"<|end|>")]);
    Vocabulary::new(words, &[END], Limits::default()).expect("a sound vocabulary")
}

/// Whether the text fits: each byte is allowed by the mask, and then the end is.
pub(crate) fn fits(grammar: &Grammar, text: &[u8]) -> bool {
    fits_tokens(grammar.matcher(None), text.iter().map(|byte| u32::from(*byte)), END)
}

/// Same, for tokens; what masks say and what is accepted must be the same.
pub(crate) fn fits_tokens(
    mut matcher: Matcher,
    tokens: impl IntoIterator<Item = u32>,
    end: u32,
) -> bool {
    for token in tokens {
        if matcher.accept(token).is_err() {
            return false;
        }
    }
    let may_end = matcher.may_end();
    let allows = matcher.mask().is_ok_and(|mask| mask.allows(end));
    assert_eq!(may_end, allows, "the mask has an end where the answer may end");
    may_end
}

pub(crate) fn compile(vocabulary: &Arc<Vocabulary>, kind: Kind, source: &str) -> Grammar {
    Grammar::compile(vocabulary, kind, source).unwrap_or_else(|error| panic!("{error}: {source}"))
}

/// Where `cargo xtask setup` puts what others wrote.
pub(crate) fn cache() -> PathBuf {
    root().join(".cache")
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two up").to_owned()
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask setup`", path.display()))
}

/// The lines that a list of `docs/structured-output.md` holds below its marker.
pub(crate) fn listed(marker: &str) -> Vec<String> {
    let path = root().join("docs/structured-output.md");
    let text = read(&path);
    let (_, after) = text
        .split_once(&format!("<!-- {marker} -->\n"))
        .unwrap_or_else(|| panic!("{} has no list {marker}", path.display()));
    let rows = after.lines().take_while(|line| *line != "<!-- end -->");
    rows.filter(|line| line.starts_with("* ")).map(str::to_owned).collect()
}

/// Fails where the list and what was found differ; `cargo xtask tidy` keeps lists from growing.
pub(crate) fn compare(marker: &str, found: &[String]) {
    let listed = listed(marker);
    let new: Vec<&String> = found.iter().filter(|line| !listed.contains(line)).collect();
    let gone: Vec<&String> = listed.iter().filter(|line| !found.contains(line)).collect();
    assert!(new.is_empty(), "these fail and are not in the list {marker}:\n{}", lines(&new));
    assert!(gone.is_empty(), "these do not fail any more, strike them out:\n{}", lines(&gone));
}

fn lines(lines: &[&String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
