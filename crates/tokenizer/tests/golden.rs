//! llama.cpp's golden tokenisations: every vocabulary that hob knows, exactly.

use std::path::{Path, PathBuf};

use gguf::GgufFile;
use tokenizer::{Specials, Tokenizer};

/// Vocabularies that hob cannot run yet, with the reason. This list may only shrink.
const NOT_YET: &[(&str, &str)] = &[
    ("bert-bge", "WordPiece"),
    ("deepseek-llm", "its letters are a list of ranges that has no short form"),
    ("gemma-4", "a kind of its own"),
];

fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two up");
    let folder = root.join(".cache/llama.cpp/models");
    assert!(folder.is_dir(), "golden tokenisations are not here: run `cargo xtask setup`");
    folder
}

fn names() -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        Some(name.strip_prefix("ggml-vocab-")?.strip_suffix(".gguf.inp")?.to_owned())
    };
    let mut names: Vec<String> =
        std::fs::read_dir(folder()).expect("the folder").filter_map(name).collect();
    names.sort();
    names
}

fn load(name: &str) -> Result<Tokenizer, tokenizer::Error> {
    let file = GgufFile::open(&folder().join(format!("ggml-vocab-{name}.gguf"))).expect("opens");
    Tokenizer::from_metadata(file.metadata())
}

#[test]
fn golden_tokenisations_are_exact() {
    let (mut right, mut wrong) = (0, Vec::new());
    for name in names() {
        if NOT_YET.iter().any(|(skipped, _)| *skipped == name) {
            continue;
        }
        let tokenizer = load(&name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let path = folder().join(format!("ggml-vocab-{name}.gguf.inp"));
        let inputs = std::fs::read_to_string(&path).expect("text");
        let outputs = std::fs::read_to_string(path.with_extension("out")).expect("ids");
        for (input, output) in inputs.split("\n__ggml_vocab_test__\n").zip(outputs.lines()) {
            let wanted: Vec<u32> =
                output.split_whitespace().map(|id| id.parse().expect("an id")).collect();
            let found = tokenizer.encode(input, Specials::Plain);
            if found == wanted {
                right += 1;
            } else {
                wrong.push(format!("{name} {input:?}: {found:?} and not {wanted:?}"));
            }
        }
    }
    println!("{right} right, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(right >= 500, "only {right} were compared");
}

#[test]
fn what_is_not_supported_is_refused_and_listed() {
    for (name, _) in NOT_YET {
        assert!(load(name).is_err(), "{name} loads now: take it off the list");
    }
}
