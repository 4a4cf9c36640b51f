//! Answers that are held to calls: whatever a model draws of what is allowed, its dialect's parser
//! reads calls whose arguments fit.

use std::collections::HashSet;
use std::sync::Arc;

use chat::{DIALECTS, OutputEvent, OutputParser, ParseOptions, Template};
use grammar::{Kind, Limits, Matcher, Vocabulary, Word};
use serde_json::{Value, json};

use super::{Ready, Voice};
use crate::{ChatRequest, Constraint, Message, TemplateWishes, ToolChoice, Tools};

/// For each dialect, words of its templates.
const SIGNS: &[(&str, &str)] = &[
    ("chatml", "<|im_start|>"),
    ("command_r", "<|START_ACTION|>"),
    ("deepseek", "<｜Assistant｜>"),
    ("gemma", "<start_of_turn>"),
    ("generic", ""),
    ("glm4", "<arg_key> <tool_call>"),
    ("granite", "<|start_of_role|>"),
    ("harmony", "<|channel|> <|message|>"),
    ("kimi_k2", "<|tool_calls_section_begin|>"),
    ("llama3", "<|start_header_id|>"),
    ("mistral", "[INST]"),
    ("qwen3_coder", "<function= <parameter="),
    ("seed_oss", "<seed:tool_call>"),
];

/// The token that ends an answer; a byte's token is the byte, and markers follow.
const END: u32 = 256;
/// Tokens of an answer, when nothing was found that ends it.
const TOKENS_MAX: usize = 20_000;
/// Answers for each dialect and wish.
const ANSWERS: u64 = 6;

struct Model {
    voice: Voice,
    vocabulary: Arc<Vocabulary>,
    words: Vec<String>,
}

/// A model of a dialect, which has the dialect's markers as tokens or spells them.
fn model(name: &str, sign: &str, has_markers: bool) -> Model {
    let source = format!(
        "{{# {sign} #}}{{% for tool in tools or [] %}}{{{{ tool }}}}{{% endfor %}}\
        {{% for m in messages %}}{{{{ m.content }}}}{{% for call in m.tool_calls or [] %}}\
        {{{{ call }}}}{{% endfor %}}{{% endfor %}}¶"
    );
    let template = Template::new(&source, "", "").expect("valid");
    assert_eq!(template.dialect().name, name);
    let markers = template.dialect().markers();
    let tokens: Vec<&str> = if has_markers { markers } else { Vec::new() };
    let all: Vec<u8> = (0..=255).collect();
    let texts = all.chunks(1).map(Word::Text).chain([Word::Control(b"<|over|>")]);
    let controls = tokens.iter().map(|text| Word::Control(text.as_bytes()));
    let words = texts.chain(controls);
    let vocabulary = Vocabulary::new(words, &[END], Limits::default()).expect("sound");
    let voice = Voice {
        template,
        stand_in: None,
        is_without_images: false,
        markers: Arc::default(),
        tokens: tokens.iter().copied().collect::<HashSet<_>>(),
    };
    Model { voice, vocabulary, words: tokens.into_iter().map(str::to_owned).collect() }
}

fn tools() -> Tools {
    tools_that_are(&Value::Null)
}

fn tools_that_are(strict: &Value) -> Tools {
    let tool = |name: &str, parameters: Value| {
        let function = json!({ "name": name, "parameters": parameters, "strict": strict });
        json!({ "type": "function", "function": function })
    };
    Tools::new(&json!([
        tool(
            "get_weather",
            json!({
                "type": "object",
                "properties": {
                    "city": { "type": "string", "maxLength": 12 },
                    "unit": { "enum": ["celsius", "kelvin"] },
                    "days": { "type": "integer", "minimum": 1, "maximum": 14 },
                    "note": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
                },
                "required": ["city", "unit"],
                "additionalProperties": false,
            })
        ),
        tool("get_weather_now", Value::Null),
        tool(
            "find",
            json!({
                "type": "object",
                "properties": {
                    "query": { "type": "string" },
                    "tags": { "type": "array", "items": { "$ref": "#/$defs/tag" }, "maxItems": 3 },
                    "first": { "$ref": "#/$defs/tag" },
                    "exact": { "type": "boolean" },
                },
                "required": ["query", "tags", "exact"],
                "additionalProperties": false,
                "$defs": { "tag": { "type": "string", "enum": ["a", "b c", "null"] } },
            })
        ),
    ]))
    .expect("sound")
}

/// Whether a value fits a schema of the few keywords above.
fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(path) = schema["$ref"].as_str() {
        return fits(root, root.pointer(path.trim_start_matches('#')).expect("there"), value);
    }
    if let Some(list) = schema["anyOf"].as_array() {
        return list.iter().any(|schema| fits(root, schema, value));
    }
    let is_type = match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        other => other.is_none(),
    };
    let listed = schema["enum"].as_array().is_none_or(|list| list.contains(value));
    let length = value.as_str().map_or(0, |text| text.chars().count()) as u64;
    let within = |key: &str, least: bool| {
        let bound = schema[key].as_i64();
        bound.zip(value.as_i64()).is_none_or(|(at, it)| if least { it >= at } else { it <= at })
    };
    let items = value.as_array().is_none_or(|list| {
        let most = schema["maxItems"].as_u64().is_none_or(|most| list.len() as u64 <= most);
        most && list.iter().all(|item| fits(root, &schema["items"], item))
    });
    let fields = value.as_object().is_none_or(|fields| {
        let known = |(key, field): (&String, &Value)| {
            schema["properties"].get(key).is_some_and(|schema| fits(root, schema, field))
        };
        let required = schema["required"].as_array().into_iter().flatten();
        fields.iter().all(known)
            && required.filter_map(Value::as_str).all(|key| fields.contains_key(key))
    });
    let short = schema["maxLength"].as_u64().is_none_or(|most| length <= most);
    is_type
        && listed
        && short
        && within("minimum", true)
        && within("maximum", false)
        && items
        && fields
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }
}

impl Model {
    fn token(&self, marker: &str) -> Option<u32> {
        (END + 1..).zip(&self.words).find(|(_, word)| *word == marker).map(|(id, _)| id)
    }

    fn text(&self, id: u32) -> Vec<u8> {
        match u8::try_from(id) {
            Ok(byte) => vec![byte],
            Err(_) => self.words[(id - END - 1) as usize].clone().into_bytes(),
        }
    }

    /// Draws of what is allowed up to the end. Where nearly all is, it soon does what ends that.
    fn draw(&self, mut matcher: Matcher, dice: &mut Dice) -> String {
        const EXITS: &[&str] = &[
            "\"",
            "</parameter>",
            "\n</parameter>",
            "</arg_value>",
            "</think>",
            "<|end|><|start|>assistant",
        ];
        let only = tools().only("find").expect("offered");
        let has_token = |text: &str| self.token(text).is_some();
        let call = self.voice.template.dialect().calls(&only, false, &has_token).expect("sound");
        let call = chat::beginning(&call).0;
        let call = call.split("find").next().expect("a part");
        let mut said = Vec::new();
        for _ in 0..TOKENS_MAX {
            let mask = matcher
                .mask()
                .unwrap_or_else(|error| panic!("{error} after {}", String::from_utf8_lossy(&said)));
            let last = END + 1 + self.words.len() as u32;
            let allowed: Vec<u32> = (0..last).filter(|id| mask.allows(*id)).collect();
            if allowed.contains(&END) && (allowed.len() == 1 || dice.roll(3) == 0) {
                matcher.accept(END).expect("allowed");
                // Nothing holds the reasoning, not even to letters.
                return String::from_utf8_lossy(&said).into_owned();
            }
            let choice: Vec<u32> = allowed.iter().copied().filter(|id| *id != END).collect();
            let mut next = vec![choice[dice.roll(choice.len())]];
            if choice.len() > 60 && dice.roll(if said.is_empty() { 2 } else { 4 }) == 0 {
                let exit = EXITS[dice.roll(EXITS.len())];
                let ids = self.ids(if dice.roll(2) == 0 { exit } else { call });
                let mut other = matcher.clone();
                if ids.iter().all(|id| {
                    other.mask().is_ok_and(|mask| mask.allows(*id)) && other.accept(*id).is_ok()
                }) {
                    next = ids;
                }
            }
            for id in next {
                matcher.accept(id).unwrap_or_else(|error| {
                    panic!("{error} after {}", String::from_utf8_lossy(&said))
                });
                said.extend(self.text(id));
            }
        }
        panic!("no end: {}", String::from_utf8_lossy(&said[..2000]));
    }

    /// A text in tokens, markers as such.
    fn ids(&self, text: &str) -> Vec<u32> {
        let mut out = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let marker =
                self.words.iter().filter(|word| rest.starts_with(*word)).max_by_key(|it| it.len());
            match marker {
                Some(marker) => {
                    out.push(self.token(marker).expect("its own"));
                    rest = &rest[marker.len()..];
                }
                None => {
                    let letter = rest.chars().next().expect("as there is a byte").len_utf8();
                    out.extend(rest[..letter].bytes().map(u32::from));
                    rest = &rest[letter..];
                }
            }
        }
        out
    }

    /// An answer to a request: calls as names and arguments, and the words beside them.
    fn answer(
        &self,
        request: &ChatRequest,
        dice: &mut Dice,
    ) -> (String, Vec<(String, Value)>, String) {
        let Ready { mut prompt, held, .. } = self.voice.prepare(request).expect("sound");
        let held = held.expect("held");
        let hold = held.hold;
        let has_token = |text: &str| self.words.iter().any(|word| word == text);
        let matcher = held.matcher(&self.vocabulary, &has_token).expect("compiles");
        let drawn = self.draw(matcher, dice);
        // What was said for the model is a part of the answer.
        let said =
            prompt.split_off(prompt.find('¶').expect("the prompt's end") + '¶'.len_utf8()) + &drawn;
        let parse = ParseOptions { tools: request.tools.clone(), hold, ..ParseOptions::default() };
        let mut parser = OutputParser::new(self.voice.template.dialect(), parse);
        let mut events = parser.push(&said);
        events.extend(parser.finish());
        let (mut calls, mut content) = (Vec::new(), String::new());
        for event in events {
            match event {
                OutputEvent::ToolCallStart { name, .. } => calls.push((name, String::new())),
                OutputEvent::ToolCallArgumentsDelta { text, .. } => {
                    calls.last_mut().expect("begun").1.push_str(&text);
                }
                OutputEvent::ContentDelta(text) => content.push_str(&text),
                OutputEvent::ToolCallEnd { .. } | OutputEvent::ReasoningDelta(_) => {}
                OutputEvent::Malformed { text, .. } => panic!("{text}\nof\n{said}"),
            }
        }
        let read = |(name, text): (String, String)| {
            let value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {said}"));
            (name, value)
        };
        let calls = calls.into_iter().map(read).collect();
        (said, calls, content)
    }
}

/// All answers to a request: their calls fit, and what else they say.
fn check(request: &ChatRequest, mut judge: impl FnMut(&str, &[(String, Value)], &str)) {
    for (name, sign) in SIGNS {
        for has_markers in [true, false] {
            let model = model(name, sign, has_markers);
            for seed in 0..ANSWERS {
                let mut dice = Dice(seed * 977 + 1);
                let (said, calls, content) = model.answer(request, &mut dice);
                for (tool, arguments) in &calls {
                    let tool = request.tools.get(tool).expect("offered");
                    let none = json!({ "type": "object" });
                    let schema = if tool.parameters.is_null() { &none } else { &tool.parameters };
                    assert!(fits(schema, schema, arguments), "{name}: {arguments}\nof\n{said}");
                }
                judge(&format!("{name}, markers {has_markers}: {said}"), &calls, &content);
            }
        }
    }
}

fn request(tool_choice: ToolChoice) -> ChatRequest {
    let messages = vec![Message::new("user", "hi")];
    let wishes = TemplateWishes { thinking: Some(true), ..TemplateWishes::default() };
    ChatRequest { messages, tools: tools(), tool_choice, wishes, ..ChatRequest::default() }
}

#[test]
fn each_dialect_is_here() {
    let names: Vec<&str> = SIGNS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, DIALECTS.iter().map(|row| row.name).collect::<Vec<_>>());
}

#[test]
fn a_named_tool_is_called_once() {
    for name in ["get_weather", "find"] {
        let request = request(ToolChoice::Named(name.to_owned()));
        check(&request, |said, calls, content| {
            assert_eq!(calls.len(), 1, "{said}");
            assert_eq!((&*calls[0].0, content), (name, ""), "{said}");
        });
    }
}

#[test]
fn some_tool_is_called_where_one_must_be() {
    let mut several = 0;
    let mut names = HashSet::new();
    check(&request(ToolChoice::Required), |said, calls, content| {
        assert!(!calls.is_empty() && content.is_empty(), "{said}");
        several += usize::from(calls.len() > 1);
        names.extend(calls.iter().map(|(name, _)| name.clone()));
    });
    assert_eq!(names.len(), 3, "all tools are possible");
    assert!(several > ANSWERS as usize, "several calls are possible");
    let one = ChatRequest { one_call: true, ..request(ToolChoice::Required) };
    check(&one, |said, calls, content| assert_eq!((calls.len(), content), (1, ""), "{said}"));
}

#[test]
fn an_answer_calls_or_fits() {
    let constraint = Constraint {
        kind: Kind::Regex,
        source: "(yes|no)[0-9]{1,3}".to_owned(),
        field: "guided_regex",
    };
    let request = ChatRequest { constraint: Some(constraint), ..request(ToolChoice::Auto) };
    let (mut called, mut spoke) = (0, 0);
    check(&request, |said, calls, content| {
        let word = content.trim_start_matches("yes").trim_start_matches("no");
        let is_word = content != word && (1..=3).contains(&word.len());
        let is_word = is_word && word.bytes().all(|byte| byte.is_ascii_digit());
        assert!(if calls.is_empty() { is_word } else { content.is_empty() }, "{said}");
        called += usize::from(!calls.is_empty());
        spoke += usize::from(calls.is_empty());
    });
    assert!(called > 5 && spoke > 5, "{called} called, {spoke} spoke");
}

#[test]
fn a_strict_tool_is_called_rightly_or_words_are_said() {
    let free = request(ToolChoice::Auto);
    let (name, sign) = SIGNS[0];
    let ready = model(name, sign, true).voice.prepare(&free).expect("sound");
    assert!(ready.held.is_none(), "nothing holds calls of tools that are not strict");
    let request = ChatRequest { tools: tools_that_are(&json!(true)), ..free };
    let (mut called, mut spoke, mut both) = (0, 0, HashSet::new());
    check(&request, |said, calls, content| {
        called += usize::from(!calls.is_empty());
        spoke += usize::from(calls.is_empty() && !content.is_empty());
        if !calls.is_empty() && !content.is_empty() {
            both.insert(said.split(',').next().unwrap_or_default().to_owned());
        }
    });
    assert!(called > 20 && spoke > 20, "{called} called, {spoke} spoke");
    assert!(both.len() > 5, "calls behind words: {both:?}");
}
