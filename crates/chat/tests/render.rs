//! Conversations through templates: our own, SmolLM2's, and odd ones.

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
            "{% set ns = namespace(n=0) %}{% for m in messages %}\
             {% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
            "3",
        ),
        ("{{ {'b': [1, 'ä'], 'a': none} | tojson }}", "{\"b\": [1, \"ä\"], \"a\": null}"),
        ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
        ("{{ {'b': [1, 2], 'a': 'ä'} | tojson(separators=(',', ':')) }}", r#"{"b":[1,2],"a":"ä"}"#),
        (
            "{{ {'b': 1, 'a': '😀'} | tojson(sort_keys=true, ensure_ascii=true) }}",
            r#"{"a": "\ud83d\ude00", "b": 1}"#,
        ),
        ("{{ {'b': 1} | tojson }}{{ '<a>' | tojson }}", r#"{"b": 1}"<a>""#),
        ("{{ none }}{{ true }}{{ messages[::-1][0].content }}", "NoneTrueWhy?"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}!", "Hello!"),
        ("{{ messages[0].tool_calls is defined }}", "False"),
        ("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"),
        ("{% if tools is not none %}tools{% else %}none{% endif %}", "none"),
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
            "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(99) %}x\
             {% endfor %}{% endfor %}{% endfor %}",
            "fuel",
        ),
        ("{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}", "makes more than"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    ] {
        let error = render(source).expect_err(source);
        assert!(error.contains(words), "{source}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

/// Of SmolLM2-135M-Instruct's file.
const SMOLLM2: &str = concat!(
    "{% for message in messages %}",
    "{% if loop.first and messages[0]['role'] != 'system' %}",
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, ",
    "trained by Hugging Face<|im_end|>\n' }}{% endif %}",
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}",
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
);

#[test]
fn smollm2_speaks_chatml_with_its_own_system_prompt() {
    let wanted = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by \
                  Hugging Face<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n\
                  <|im_start|>assistant\nHi there<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n\
                  <|im_start|>assistant\n";
    assert_eq!(render(SMOLLM2).as_deref(), Ok(wanted));
    let own = [Message::new("system", "Be short."), Message::new("user", "Hello")];
    let template = Template::new(SMOLLM2, "", "").expect("valid");
    let text = template.render(&own, &RenderOptions::default()).expect("renders");
    let wanted = "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n";
    assert_eq!(text, wanted);
}

#[test]
fn tools_and_their_calls_pass_through() {
    let source = "{{ tools[0].function.name }}|{% for m in messages %}{{ m.role }}\
                  {%- for c in m.tool_calls or [] %}={{ c.function.arguments | tojson }}\
                  {%- endfor %}\
                  {%- if m.tool_call_id is defined %}#{{ m.tool_call_id }} {{ m.name }}{% endif %};\
                  {%- endfor %}";
    let tools = serde_json::json!([{ "type": "function", "function": { "name": "weather" } }]);
    let call = serde_json::json!([{ "id": "c1", "type": "function",
        "function": { "name": "weather", "arguments": { "city": "Köln", "days": 2 } } }]);
    let messages = [
        Message::new("user", "?"),
        Message { tool_calls: Some(call), ..Message::new("assistant", "") },
        Message {
            tool_call_id: Some("c1".to_owned()),
            name: Some("weather".to_owned()),
            ..Message::new("tool", "rain")
        },
    ];
    let options = RenderOptions { tools: Some(tools), ..RenderOptions::default() };
    let template = Template::new(source, "", "").expect("valid");
    let text = template.render(&messages, &options).expect("renders");
    assert_eq!(text, r#"weather|user;assistant={"city": "Köln", "days": 2};tool#c1 weather;"#);
}
