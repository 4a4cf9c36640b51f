//! llama.cpp's golden tokenisations: every vocabulary that hob knows, exactly.

use std::path::{Path, PathBuf};

use gguf::GgufFile;
use tokenizer::{Specials, Tokenizer};

fn folder() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests may be pointed at another folder")]
    let given = std::env::var_os("HOB_GOLDEN_DIR").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two up");
    let folder = given.unwrap_or_else(|| root.join(".cache/llama.cpp/models"));
    assert!(folder.is_dir(), "golden tokenisations are not here: run `cargo xtask setup`");
    folder
}

/// Every vocabulary of the folder, also those without golden ids.
fn names() -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        Some(name.strip_prefix("ggml-vocab-")?.strip_suffix(".gguf")?.to_owned())
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

/// `(input, ids)` of a vocabulary; none where no golden ids come with it.
fn cases(name: &str) -> Vec<(String, Vec<u32>)> {
    let path = folder().join(format!("ggml-vocab-{name}.gguf.inp"));
    if !path.exists() {
        return Vec::new();
    }
    let inputs = std::fs::read_to_string(&path).expect("text");
    let outputs = std::fs::read_to_string(path.with_extension("out")).expect("ids");
    let ids = |line: &str| line.split_whitespace().map(|id| id.parse().expect("an id")).collect();
    let inputs = inputs.split("\n__ggml_vocab_test__\n").map(str::to_owned);
    inputs.zip(outputs.lines().map(ids)).collect()
}

#[test]
fn golden_tokenisations_are_exact() {
    let (mut right, mut wrong) = (0, Vec::new());
    let names = names();
    for name in &names {
        let tokenizer = load(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let before = (right, wrong.len());
        for (input, wanted) in cases(name) {
            let found = tokenizer.encode(&input, Specials::Plain);
            if found == wanted {
                right += 1;
            } else {
                wrong.push(format!("{name} {input:?}: {found:?} and not {wanted:?}"));
            }
        }
        let kind = tokenizer.kind();
        println!(
            "{name:16} {kind:6} {:3} right, {} wrong",
            right - before.0,
            wrong.len() - before.1
        );
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!((names.len(), right), (19, 694), "vocabularies and texts that were compared");
}
