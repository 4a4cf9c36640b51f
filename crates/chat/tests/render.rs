//! Conversations through templates: our own, odd ones, and the real ones of many models.

use std::path::Path;

use chat::{Message, RenderOptions, Template};

fn conversation() -> Vec<Message> {
    vec![
        Message::new("user", "Hello"),
        Message::new("assistant", "Hi there"),
        Message::new("user", "Why?"),
    ]
}

fn open() -> RenderOptions {
    RenderOptions { add_generation_prompt: true, ..RenderOptions::default() }
}

fn render(source: &str) -> Result<String, String> {
    let template = Template::new(source, "<s>", "</s>").map_err(|error| error.to_string())?;
    template.render(&conversation(), &open()).map_err(|error| error.to_string())
}

#[test]
fn chatml_is_what_is_known() {
    let text = Template::chatml().render(&conversation()[..1], &open()).expect("renders");
    assert_eq!(text, "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
}

#[test]
fn python_and_hugging_face_manners_work() {
    for (source, wanted) in [
        ("{{ bos_token }}{{ messages[0].content.upper() }}", "<s>HELLO"),
        ("{{ messages[0]['content'].strip().startswith('He') }}", "True"),
        ("{% for m in messages[1:] %}{{ loop.index0 }}{{ m.role[0] }}{% endfor %}", "0a1u"),
        ("{% for m in messages %}{% if loop.last %}{% break %}{% endif %}x{% endfor %}", "xx"),
        (
            "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
            "3",
        ),
        ("{{ {'b': [1, 'ä'], 'a': none} | tojson }}", "{\"b\": [1, \"ä\"], \"a\": null}"),
        ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
        ("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"),
        ("{% if tools is defined %}tools{% else %}none{% endif %}", "none"),
        ("  {% if true %}\nx\n  {% endif %}\ny", "x\ny"),
    ] {
        assert_eq!(render(source).as_deref(), Ok(wanted), "{source}");
    }
}

#[test]
fn faults_are_said_in_one_line() {
    for (source, words) in [
        ("{{ raise_exception('roles must alternate') }}", "refuses these messages: roles must"),
        ("\n{% for %}", "line 2"),
        ("{{ messages.nonsense() }}", "failed"),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(99) %}x{% endfor %}{% endfor %}{% endfor %}",
            "fuel",
        ),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    ] {
        let error = render(source).expect_err(source);
        assert!(error.contains(words), "{source}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

/// Templates that cannot be rendered yet, with the reason. This list may only shrink.
const NOT_YET: &[(&str, &str)] = &[
    ("LFM2.5-8B-A1B.jinja", "the statement `generation` is not known"),
    ("fireworks-ai-llama-3-firefunction-v2.jinja", "wants functions"),
    ("poolside-Laguna-S-2.1.jinja", "the statement `generation` is not known"),
    ("poolside-Laguna-XS-2.1.jinja", "the statement `generation` is not known"),
    ("poolside-Laguna-XS.2.jinja", "the statement `generation` is not known"),
    ("unsloth-Apriel-1.5.jinja", "wants tools"),
];

#[test]
fn real_templates_render() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two up");
    let folder = root.join(".cache/llama.cpp/models/templates");
    assert!(folder.is_dir(), "real templates are not here: run `cargo xtask setup`");
    let (mut right, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "jinja") {
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("text");
        let listed = NOT_YET.iter().any(|(listed, _)| *listed == name);
        match render(&source) {
            Ok(text) if text.contains("Why?") && !listed => right += 1,
            Ok(_) if listed => wrong.push(format!("{name} renders now: take it off the list")),
            Ok(text) => wrong.push(format!("{name} lost the question: {text:?}")),
            Err(error) if !listed => wrong.push(format!("{name}: {error}")),
            Err(_) => {}
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{right} right, wrong:\n{}", wrong.join("\n"));
    assert!(right >= 50, "only {right} templates were found");
}
