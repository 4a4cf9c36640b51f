//! The real templates of many models, as llama.cpp collects them: each compiles and renders.

use std::path::{Path, PathBuf};

use chat::{Dialect, Error, Message, RenderOptions, Template};
use serde_json::json;

/// Templates that cannot be rendered yet, with the reason. This list may only shrink.
const NOT_YET: &[(&str, &str)] = &[];

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
    assert!(right >= 70, "only {right} templates were rendered");
}

/// Templates of the collection that no dialect knows: their answers are read as `generic`.
const GENERIC: &[&str] = &[
    "Apertus-8B-Instruct.jinja",
    "Apriel-1.6-15b-Thinker-fixed.jinja",
    "CohereForAI-c4ai-command-r-plus-tool_use.jinja",
    "GigaChat3-10B-A1.8B.jinja",
    "GigaChat3.1-10B-A1.8B.jinja",
    "Kimi-K3.jinja",
    "LFM2-8B-A1B.jinja",
    "LFM2.5-8B-A1B.jinja",
    "MiniMax-M1.jinja",
    "MiniMax-M2.jinja",
    "MiniMax-M3.jinja",
    "NVIDIA-Nemotron-Nano-v2.jinja",
    "deepseek-ai-DeepSeek-V3.2.jinja",
    "deepseek-ai-DeepSeek-V4-Flash-0731.jinja",
    "deepseek-ai-DeepSeek-V4.jinja",
    "fireworks-ai-llama-3-firefunction-v2.jinja",
    "llama-cpp-rwkv-world.jinja",
    "meetkai-functionary-medium-v3.2.jinja",
    "microsoft-Phi-3.5-mini-instruct.jinja",
    "muse-glimmer.jinja",
    "openbmb-MiniCPM5-1B.jinja",
    "tencent-Hy3.jinja",
    "unsloth-Apriel-1.5.jinja",
    "upstage-Solar-Open-100B.jinja",
];

#[test]
fn a_template_is_of_one_dialect_at_most() {
    let mut generic = Vec::new();
    let mut of: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for (name, source) in templates() {
        let rows = Dialect::candidates(&source);
        assert!(rows.len() < 2, "{name} is of {rows:?}");
        match rows.first() {
            Some(row) => *of.entry(row).or_default() += 1,
            None => generic.push(name),
        }
    }
    assert_eq!(generic, GENERIC, "{of:?}");
}

/// Templates that leave out a part of a conversation with a call, with the reason.
const SILENT: &[(&str, &str)] = &[(
    "mistralai-Mistral-Nemo-Instruct-2407.jinja",
    "writes the system message only where the last one is a question",
)];

/// Templates of the collection without a system role: system messages begin the next question.
const NO_SYSTEM: &[&str] = &["google-gemma-2-2b-it.jinja"];

#[test]
fn a_conversation_with_a_call_is_said_whole_by_all_that_know_calls() {
    let city = json!({ "type": "string", "description": "c" });
    let tools = json!([{ "type": "function", "function": { "name": "weather", "description": "w",
        "parameters": { "type": "object", "properties": { "city": city } } } }]);
    let function = json!({ "name": "weather", "arguments": { "city": "Sevilla" } });
    let calls = json!([{ "id": "call_000000001", "type": "function", "function": function }]);
    let messages = [
        Message::new("system", "Be short."),
        Message::new("user", "Which?"),
        Message {
            tool_calls: Some(calls),
            reasoning_content: Some("Hm.".to_owned()),
            ..Message::new("assistant", "")
        },
        Message {
            tool_call_id: Some("call_000000001".to_owned()),
            name: Some("weather".to_owned()),
            ..Message::new("tool", "31 degrees")
        },
    ];
    let options = RenderOptions {
        add_generation_prompt: true,
        tools: Some(tools),
        ..RenderOptions::default()
    };
    let (mut no_system, mut silent, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (name, source) in templates() {
        let template = Template::new(&source, "<s>", "</s>").expect("valid");
        if template.merges_system() {
            no_system.push(name.clone());
        }
        match template.render(&messages, &options) {
            Ok(text) if text.contains("weather") && text.contains("Sevilla") => {
                let bad = ["'city': 'Sevilla'", "{\\\"city", "[object", "Some("];
                let bad = bad.iter().find(|bad| text.contains(**bad));
                wrong.extend(bad.map(|bad| format!("{name} writes {bad}: {text}")));
                if !text.contains("Be short.") || !text.contains("31 degrees") {
                    silent.push(name);
                }
            }
            Ok(_) => silent.push(name),
            Err(Error::Refused(_)) => silent.push(name),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let listed: Vec<&str> = SILENT.iter().map(|(name, _)| *name).collect();
    assert_eq!(silent, listed, "the list of what loses a part of the conversation is exact");
    assert_eq!(no_system, NO_SYSTEM);
}
