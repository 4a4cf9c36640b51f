//! Conversations through templates: our own, SmolLM2's, and odd ones.

use chat::{Message, OutputParser, ParseOptions, RenderOptions, Template, Tools};

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
fn keys_that_are_one_number_are_one_key() {
    for (source, wanted) in [
        (
            "{% set d = {true: 1, 1.0: 2, 0: 3} %}{{ d }}{{ d[1] }}{{ d[false] }}",
            "{True: 2, 0: 3}23",
        ),
        (
            "{% set k = 0 == 0 %}{% set d = {k: 'x'} %}{{ d[1] }}{{ d.get(1.0) }}{{ d | length }}",
            "xx1",
        ),
        (
            "{% for k, v in {1: 'a', none: 'b'}.items() %}{{ k }}={{ v }};{% endfor %}",
            "1=a;None=b;",
        ),
        (
            "{{ {1: 2} == {true: 2} }}{{ {true: 2} == {1: 2} }}{{ {1: 2} == {1: 3} }}",
            "TrueTrueFalse",
        ),
        ("{{ dict([(1, 'a'), (true, 'b')]) }}{{ {1: 'a'} | tojson }}", r#"{1: 'b'}{"1": "a"}"#),
        (
            "{{ {1: 2} is mapping }}{{ 1.0 in {true: 2} }}{{ messages[1.0] is defined }}",
            "TrueTrueFalse",
        ),
        ("{{ 'abc'[1.0] is defined }}{{ [7, 8][1.0] is defined }}{{ [7, 8][1] }}", "FalseFalse8"),
    ] {
        assert_eq!(render(source).as_deref(), Ok(wanted), "{source}");
    }
}

#[test]
fn methods_are_asked_for_by_name() {
    for (source, wanted) in [
        ("{{ messages[0].keys is defined }}{{ messages[0].role.keys is defined }}", "TrueFalse"),
        ("{{ messages.append is callable }}{{ messages[0].role is callable }}", "TrueFalse"),
        ("{{ {'upper': 1}.upper is callable }}{{ {'upper': 1}.upper is defined }}", "FalseTrue"),
        ("{{ messages[0].values is undefined or 'x'.split is not callable }}", "False"),
        ("{% macro m() %}{% endmacro %}{{ {'get': m}.get is callable }}", "True"),
    ] {
        assert_eq!(render(source).as_deref(), Ok(wanted), "{source}");
    }
    let error = render("{{ nothing.keys is defined }}").expect_err("nothing has no keys");
    assert!(error.contains("undefined"), "{error}");
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

#[test]
fn a_default_is_chosen_by_the_vocabulary_and_named() {
    let conversation = [
        Message::new("system", "Be short."),
        Message::new("user", "Hello"),
        Message::new("assistant", "Hi"),
        Message::new("user", "Why?"),
    ];
    for (token, name, wanted) in [
        (
            "<|start_header_id|>",
            "llama3",
            "<s><|start_header_id|>system<|end_header_id|>\n\nBe short.<|eot_id|>\
             <|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>\
             <|start_header_id|>assistant<|end_header_id|>\n\nHi<|eot_id|>\
             <|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|>\
             <|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            "<start_of_turn>",
            "gemma",
            "<s><start_of_turn>user\nBe short.\n\nHello<end_of_turn>\n\
             <start_of_turn>model\nHi<end_of_turn>\n<start_of_turn>user\nWhy?<end_of_turn>\n\
             <start_of_turn>model\n",
        ),
        ("[INST]", "mistral", "<s>[INST] Be short.\n\nHello [/INST]Hi</s>[INST] Why? [/INST]"),
        (
            "nothing",
            "chatml",
            "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n\
             <|im_start|>assistant\nHi<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n\
             <|im_start|>assistant\n",
        ),
    ] {
        let (template, found) = Template::default_for(|text| text == token, "<s>", "</s>");
        assert_eq!(found, name);
        assert_eq!(template.render(&conversation, &open()), Ok(wanted.to_owned()), "{name}");
        assert!(!template.merges_system(), "{name} says what the system says");
    }
}

/// A conversation with a call, its arguments in the given form.
fn with_call(arguments: &serde_json::Value, id: &str) -> Vec<Message> {
    let function = serde_json::json!({ "name": "f", "arguments": arguments });
    let calls = serde_json::json!([{ "id": id, "type": "function", "function": function }]);
    vec![
        Message::new("user", "?"),
        Message { tool_calls: Some(calls), ..Message::new("assistant", "") },
        Message { tool_call_id: Some(id.to_owned()), ..Message::new("tool", "x") },
    ]
}

#[test]
fn arguments_come_as_the_template_wants_them() {
    let each = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}";
    let end = "{% endfor %}{% endfor %}";
    let as_object = format!("{each}{{{{ c.function.arguments | tojson }}}}{end}");
    let as_text = format!("{each}{{{{ '' + c.function.arguments }}}}{end}");
    let shown = format!("{each}{{{{ c.function.arguments }}}}{end}");
    let (object, text) = (serde_json::json!({ "a": 1 }), serde_json::json!("{\"a\": 1}"));
    for source in [&as_object, &as_text, &shown] {
        let template = Template::new(source, "", "").expect("valid");
        for arguments in [&object, &text] {
            let messages = with_call(arguments, "c");
            let found = template.render(&messages, &RenderOptions::default());
            assert_eq!(found, Ok("?{\"a\": 1}x".to_owned()), "{source} with {arguments}");
        }
        let wrong = with_call(&serde_json::json!("no"), "c");
        let error = template.render(&wrong, &RenderOptions::default()).expect_err("wrong");
        let words = "message 1: the arguments of the call of `f` are no JSON object";
        assert_eq!(error.to_string(), words);
    }
}

#[test]
fn calls_are_written_by_templates_that_want_no_content_beside_them() {
    let source = "{% for m in messages %}{% if m.content is none %}{% for c in m.tool_calls %}\
                  {{ c.function.arguments | tojson }}{% endfor %}{% else %}{{ m.content }}\
                  {% endif %}{% endfor %}";
    let template = Template::new(source, "", "").expect("valid");
    let messages = with_call(&serde_json::json!({ "a": 1 }), "c");
    let found = template.render(&messages, &RenderOptions::default());
    assert_eq!(found, Ok("?{\"a\": 1}x".to_owned()));
}

#[test]
fn ids_fit_mistral_and_stay_together() {
    let source = "[TOOL_CALLS]{% for m in messages %}{% for c in m.tool_calls or [] %}\
                  {{ c.id }}{% endfor %}={{ m.tool_call_id }};{% endfor %}";
    let template = Template::new(source, "", "").expect("valid");
    let render = |id: &str| {
        let messages = with_call(&serde_json::json!({}), id);
        template.render(&messages, &RenderOptions::default()).expect("renders")
    };
    assert_eq!(render("abcdefgh1"), "[TOOL_CALLS]=;abcdefgh1=;=abcdefgh1;");
    let long = render("call_of_another_model");
    let id = &long["[TOOL_CALLS]=;".len()..][..9];
    assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{long}");
    assert_eq!(long, format!("[TOOL_CALLS]=;{id}=;={id};"));
}

#[test]
fn a_system_message_is_never_dropped() {
    let source = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}\
                  {% endif %}{{ m.role }}: {{ m.content }};{% endfor %}";
    let template = Template::new(source, "", "").expect("valid");
    assert!(template.merges_system());
    let messages = [Message::new("system", "Be short."), Message::new("user", "Hello")];
    let text = template.render(&messages, &RenderOptions::default()).expect("renders");
    assert_eq!(text, "user: Be short.\nHello;");
}

#[test]
fn reasoning_and_wishes_reach_the_template() {
    let source = "{{ enable_thinking }}{{ reasoning_effort }}{{ custom }}\
                  {% for m in messages %}{{ m.thinking }}{% endfor %}";
    let thought =
        Message { reasoning_content: Some("Hm.".to_owned()), ..Message::new("assistant", "x") };
    let mut options = RenderOptions {
        enable_thinking: Some(false),
        reasoning_effort: Some("low".to_owned()),
        ..RenderOptions::default()
    };
    options.extra.insert("custom".to_owned(), 7.into());
    let template = Template::new(source, "", "").expect("valid");
    assert_eq!(template.render(&[thought], &options), Ok("Falselow7Hm.".to_owned()));
}

#[test]
fn what_a_request_brings_is_bounded_and_named() {
    let template = Template::chatml();
    let deep = (0..99).fold(serde_json::Value::Null, |value, _| serde_json::json!([value]));
    let tool = serde_json::json!({ "type": "function", "function": { "name": "f" } });
    let long = serde_json::json!({ "name": "f", "description": "x".repeat(2 << 20) });
    for (tools, words) in [
        (serde_json::json!({}), "the tools must be a list"),
        (serde_json::json!([{}]), "the tools lack a `name` at number 0"),
        (serde_json::json!([tool, { "name": "f", "parameters": deep }]), "deeper than 64"),
        (vec![tool.clone(); 257].into(), "the tools are 257; 256 are the most"),
        (serde_json::json!([long]), "1048576 are the most"),
    ] {
        let options = RenderOptions { tools: Some(tools), ..RenderOptions::default() };
        let error = template.render(&[], &options).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
    for (value, words) in [(deep, "deeper than 64"), ("x".repeat(70_000).into(), "65536 are")] {
        let mut options = RenderOptions::default();
        options.extra.insert("custom".to_owned(), value);
        let error = template.render(&[], &options).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn content_is_text_and_nothing_else_passes() {
    let check = |content: serde_json::Value, wanted: Result<&str, &str>| {
        let found = Message::content_text(&content).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), wanted, "{content}");
    };
    check(serde_json::json!(null), Ok(""));
    check(serde_json::json!("a"), Ok("a"));
    let text = serde_json::json!({ "type": "text", "text": "a" });
    check(serde_json::json!([text, text]), Ok("aa"));
    check(
        serde_json::json!([text, { "type": "image_url" }]),
        Err("parts of type `image_url` are not supported: send text"),
    );
    check(serde_json::json!([{ "type": "text" }]), Err("a text part has no `text`"));
    check(serde_json::json!([7]), Err("a part of the content has no `type`"));
    check(serde_json::json!(7), Err("`content` must be a text or a list of text parts"));
}

#[test]
fn tools_reach_models_whose_template_knows_none() {
    let template = Template::chatml();
    assert!(!template.reads_tools());
    let weather = serde_json::json!([{ "name": "weather", "parameters": { "city": "string" } }]);
    let calls = serde_json::json!([{ "id": "a", "type": "function", "function": {
        "name": "weather", "arguments": "{\"city\": \"Rome\"}",
    } }]);
    let result =
        |text: &str| Message { tool_call_id: Some("a".to_owned()), ..Message::new("tool", text) };
    let messages = [
        Message::new("system", "Be brief."),
        Message::new("user", "And in Rome?"),
        Message { tool_calls: Some(calls), ..Message::new("assistant", "") },
        result("sunny"),
        result("24 degrees"),
    ];
    let options = RenderOptions { tools: Some(weather), ..open() };
    let text = template.render(&messages, &options).expect("renders");
    insta::assert_snapshot!(text, @r#"
    <|im_start|>system
    Be brief.

    You can call these tools, given as JSON with a schema of their arguments:
    {"name": "weather", "parameters": {"city": "string"}}

    To call one, write nothing but this, with its name and arguments:
    <tool_call>
    {"name": "NAME", "arguments": {"ARGUMENT": VALUE}}
    </tool_call>

    You then get what it says in <tool_response> tags.
    Call a tool where it helps, and answer by yourself where none does.<|im_end|>
    <|im_start|>user
    And in Rome?<|im_end|>
    <|im_start|>assistant
    <tool_call>
    {"name": "weather", "arguments": {"city": "Rome"}}
    </tool_call><|im_end|>
    <|im_start|>user
    <tool_response>
    sunny
    </tool_response>
    <tool_response>
    24 degrees
    </tool_response><|im_end|>
    <|im_start|>assistant
    "#);
    // What the instruction asks for is what the parser reads.
    let form = text
        .split("name and arguments:\n")
        .nth(1)
        .and_then(|rest| rest.split("\n\nYou then").next());
    let said = form.expect("it stands there").replace("NAME", "weather");
    let said = said.replace("\"ARGUMENT\": VALUE", "\"city\": \"Rome\"");
    let tools = Tools::new(options.tools.as_ref().expect("above")).expect("sound");
    let parse = ParseOptions { tools, ..ParseOptions::default() };
    let output = OutputParser::parse(template.dialect(), parse, &said);
    assert_eq!((output.content.as_str(), output.tool_calls.len()), ("", 1), "{output:?}");
    assert_eq!(output.tool_calls[0].arguments["city"], "Rome");
}
