//! What becomes of an answer, token by token.

use std::collections::HashSet;

use chat::Template;
use serde_json::json;

use super::Voice;
use crate::{
    CallEvent, ChatRequest, ErrorKind, Event, Finished, Message, TemplateWishes, TokenText,
    ToolChoice, Tools,
};

/// Qwen 3's manner: it shows tools and calls, and can open or leave out the reasoning.
const TEMPLATE: &str = "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}\
    {% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}\
    {% for call in m.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>\
    {% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n\
    {% if enable_thinking %}<think>\n{% endif %}";

fn voice(template: &str) -> Voice {
    let template = Template::new(template, "", "").expect("valid");
    let markers = super::Arc::default();
    let tokens = HashSet::new();
    Voice { template, stand_in: None, is_without_images: false, markers, tokens }
}

fn request(names: &[&str]) -> ChatRequest {
    let tool = |name: &&str| json!({ "type": "function", "function": { "name": name } });
    let tools = Tools::new(&names.iter().map(tool).collect()).expect("sound");
    let messages = vec![Message::new("user", "hi")];
    ChatRequest { messages, tools, ..ChatRequest::default() }
}

fn token(id: u32) -> TokenText {
    TokenText { id, bytes: Vec::new(), logprob: None, top: Vec::new() }
}

/// The events in one letter each with their text: `r`easoning, `t`ext, calls as they are; `#` and
/// a number for the token that goes with it.
fn line(event: &Event) -> String {
    let number = |token: &Option<TokenText>| match token {
        Some(token) => format!("#{}", token.id),
        None => String::new(),
    };
    match event {
        Event::Reasoning { text, token } => format!("r{text:?}{}", number(token)),
        Event::Text { text, token } => format!("t{text:?}{}", number(token)),
        Event::Call(CallEvent::Start { index, name, .. }) => format!("start {index} {name}"),
        Event::Call(CallEvent::Arguments { index, text }) => format!("arguments {index} {text}"),
        Event::Call(CallEvent::End { index }) => format!("end {index}"),
        Event::Call(CallEvent::Void { index }) => format!("void {index}"),
        other => format!("{other:?}"),
    }
}

/// What a request's answer in these tokens becomes: events, why it ended, tokens of reasoning.
fn answer(request: &ChatRequest, tokens: &[&str]) -> (Vec<String>, Finished, u32) {
    let mut speech = voice(TEMPLATE).prepare(request).expect("sound").speech;
    let mut events = speech.begin();
    for (id, text) in (0..).zip(tokens) {
        events.extend(speech.take(text, Some(token(id))));
    }
    events.extend(speech.end());
    let finished = speech.finished(Finished::EndOfText);
    (events.iter().map(line).collect(), finished, speech.reasoning_tokens())
}

#[track_caller]
fn check(request: &ChatRequest, tokens: &[&str], expect: (&[&str], Finished, u32)) {
    let (events, finished, reasoning) = answer(request, tokens);
    assert_eq!((events.iter().map(String::as_str).collect(), finished, reasoning), {
        let (events, finished, reasoning) = expect;
        (events.to_vec(), finished, reasoning)
    });
}

const CALL: [&str; 4] =
    ["<tool_call>", "{\"name\": \"find\", ", "\"arguments\": {}}", "</tool_call>"];

#[test]
fn reasoning_and_words_are_told_apart_and_counted() {
    let wishes = TemplateWishes { thinking: Some(true), ..TemplateWishes::default() };
    let request = ChatRequest { wishes, ..request(&[]) };
    let tokens = ["Hm", ".", "</think>", "\n\n", "Yes"];
    let events = ["r\"Hm\"#0", "r\".\"#1", "r\"\"#2", "r\"\"#3", "t\"Yes\"#4"];
    check(&request, &tokens, (&events, Finished::EndOfText, 4));
}

#[test]
fn a_call_ends_the_answer() {
    let events =
        ["t\"\"#0", "t\"\"#1", "start 0 find", "arguments 0 {}", "end 0", "t\"\"#2", "t\"\"#3"];
    check(&request(&["find"]), &CALL, (&events, Finished::Calls, 0));
    // Without tools it is what the model said.
    let silent = ChatRequest { tool_choice: ToolChoice::None, ..request(&["find"]) };
    for request in [request(&[]), silent] {
        let (events, finished, _) = answer(&request, &CALL);
        assert!(events.iter().all(|event| event.starts_with('t')), "{events:?}");
        assert_eq!(finished, Finished::EndOfText);
    }
}

#[test]
fn one_call_is_one() {
    let tokens = [CALL, CALL].concat();
    let ends = |request: &ChatRequest| {
        let (events, finished, _) = answer(request, &tokens);
        assert_eq!(finished, Finished::Calls);
        events.iter().filter(|event| event.starts_with("end")).count()
    };
    assert_eq!(ends(&request(&["find"])), 2);
    assert_eq!(ends(&ChatRequest { one_call: true, ..request(&["find"]) }), 1);
}

#[test]
fn what_is_no_call_after_all_is_void_and_said() {
    let tokens = ["<tool_call>{\"name\": \"find\", \"arguments\": {\"a\"", " oh</tool_call>"];
    let (events, finished, _) = answer(&request(&["find"]), &tokens);
    assert!(events.contains(&"void 0".to_owned()), "{events:?}");
    assert!(events.iter().any(|event| event.starts_with("t\"<tool_call>")), "{events:?}");
    assert_eq!(finished, Finished::EndOfText);
}

#[test]
fn a_call_that_must_come_is_begun_for_the_model() {
    let named = ToolChoice::Named("find".to_owned());
    let wishes = TemplateWishes { thinking: Some(true), ..TemplateWishes::default() };
    let wanted = ChatRequest { tool_choice: named, wishes, ..request(&["lose", "find"]) };
    let ready = voice(TEMPLATE).prepare(&wanted).expect("sound");
    assert!(!ready.prompt.contains("lose"), "{}", ready.prompt);
    let begun = "<tool_call>\n{\"name\": \"find\", \"arguments\":";
    assert!(ready.prompt.ends_with(&format!("assistant\n{begun}")), "{}", ready.prompt);
    let tokens = [" {}", "}", "\n</tool_call>"];
    let (events, finished, _) = answer(&wanted, &tokens);
    let called = |events: &[String]| {
        let calls = events.iter().filter(|event| !event.starts_with('t'));
        assert_eq!(
            calls.collect::<Vec<_>>(),
            ["start 0 find", "arguments 0 {}", "end 0"],
            "{events:?}"
        );
    };
    called(&events);
    assert_eq!(finished, Finished::Calls);
    let required = ChatRequest { tool_choice: ToolChoice::Required, ..request(&["find"]) };
    called(&answer(&required, &tokens).0);
    // A template that always opens the reasoning has it closed.
    let stubborn = TEMPLATE.replace("if enable_thinking", "if true");
    let ready = voice(&stubborn).prepare(&required).expect("sound");
    assert!(ready.prompt.ends_with(&format!("<think>\n</think>\n\n{begun}")), "{}", ready.prompt);
}

#[test]
fn impossible_wishes_are_named() {
    let check = |request: ChatRequest, parameter: &'static str, part: &str| {
        let error = voice(TEMPLATE).prepare(&request).err().expect(part);
        assert_eq!((error.kind, error.parameter), (ErrorKind::BadRequest, Some(parameter)));
        assert!(error.message.contains(part), "{error}");
    };
    let wish = |tool_choice, names: &[&str]| ChatRequest { tool_choice, ..request(names) };
    let named = || ToolChoice::Named("find".to_owned());
    check(wish(named(), &["lose"]), "tool_choice", "no tool named `find` is offered");
    check(wish(ToolChoice::Required, &[]), "tool_choice", "no `tools` are offered");
    check(wish(ToolChoice::Required, &["a b", "c"]), "tools", "named \"a b\"");
    check(ChatRequest::default(), "messages", "there are no messages");
}

#[test]
fn a_person_hears_of_what_hob_does_to_the_conversation() {
    assert!(voice(TEMPLATE).notes("m").is_empty());
    let plain = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}\
        {% endfor %}";
    let voice = Voice { stand_in: Some("gemma"), is_without_images: true, ..voice(plain) };
    let notes = voice.notes("m").join("\n");
    assert!(notes.contains("m brings no chat template; hob uses its own `gemma`"), "{notes}");
    assert!(notes.contains("m knows images too; hob runs its text part"), "{notes}");
    assert!(notes.contains("m knows no system message"), "{notes}");
}
