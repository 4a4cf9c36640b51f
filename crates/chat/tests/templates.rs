//! The real templates of many models, as llama.cpp collects them: each compiles and renders.

use std::path::{Path, PathBuf};

use chat::{Message, RenderOptions, Template};

/// Templates that cannot be rendered yet, with the reason. This list may only shrink.
const NOT_YET: &[(&str, &str)] =
    &[("fireworks-ai-llama-3-firefunction-v2.jinja", "wants `functions`, which is its own")];

fn folder() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests may be pointed at another folder")]
    let given = std::env::var_os("HOB_GOLDEN_DIR").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two up");
    let folder = given.unwrap_or_else(|| root.join(".cache/llama.cpp/models")).join("templates");
    assert!(folder.is_dir(), "real templates are not here: run `cargo xtask setup`");
    folder
}

/// `(name, source)`, sorted.
fn templates() -> Vec<(String, String)> {
    let template = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        let name = path.file_name()?.to_str()?.to_owned();
        let is_template = name.ends_with(".jinja");
        is_template.then(|| (name, std::fs::read_to_string(&path).expect("text")))
    };
    let mut templates: Vec<_> =
        std::fs::read_dir(folder()).expect("the folder").filter_map(template).collect();
    templates.sort();
    templates
}

#[test]
fn real_templates_render() {
    let messages = [
        Message::new("user", "Hello"),
        Message::new("assistant", "Hi there"),
        Message::new("user", "Why?"),
    ];
    let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
    let (mut right, mut failed, mut wrong) = (0, Vec::new(), Vec::new());
    for (name, source) in templates() {
        let template = Template::new(&source, "<s>", "</s>");
        match template.and_then(|template| template.render(&messages, &options)) {
            Ok(text) if text.contains("Hello") && text.contains("Why?") => right += 1,
            Ok(text) => wrong.push(format!("{name} lost a question: {text:?}")),
            Err(error) => {
                println!("{name}: {error}");
                failed.push(name);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let listed: Vec<&str> = NOT_YET.iter().map(|(name, _)| *name).collect();
    assert_eq!(failed, listed, "the list of what does not render is exact");
    assert!(right >= 69, "only {right} templates were rendered");
}
