//! Every dialect: what is read in answers, right and wrong ones, and that no cut changes it.

use chat::{
    CallPart, DIALECTS, Dialect, Hold, Output, OutputEvent, OutputParser, ParseOptions, Tools,
    beginning,
};
use proptest::prelude::{Just, Strategy, prop_assert_eq, prop_oneof};
use proptest::test_runner::{Config, TestRng, TestRunner};
use serde_json::{Value, json};

fn dialect(name: &str) -> &'static Dialect {
    DIALECTS.iter().find(|row| row.name == name).copied().expect("a dialect of this name")
}

fn options(prompt: &str) -> ParseOptions {
    let tool = |name: &str| {
        let properties = json!({ "city": { "type": "string" }, "days": { "type": "integer" } });
        let parameters = json!({ "type": "object", "properties": properties });
        json!({ "type": "function", "function": { "name": name, "parameters": parameters } })
    };
    let tools = json!([tool("weather"), tool("python")]);
    ParseOptions {
        hold: Hold::Free,
        tools: Tools::new(&tools).expect("tools"),
        prompt: prompt.to_owned(),
        id_seed: 7,
    }
}

fn parse(name: &str, prompt: &str, text: &str) -> Output {
    OutputParser::parse(dialect(name), options(prompt), text)
}

/// Reasoning, content, calls and what was flagged, in one line.
fn shown(output: &Output) -> String {
    let mut out = String::new();
    for (mark, text) in [("r", &output.reasoning), ("c", &output.content)] {
        if !text.is_empty() {
            out.push_str(&format!("{mark}:{text:?} "));
        }
    }
    for call in &output.tool_calls {
        out.push_str(&format!("{}{} ", call.name, Value::Object(call.arguments.clone())));
    }
    if !output.malformed.is_empty() {
        out.push_str(&format!("flagged {}", output.malformed.len()));
    }
    out.trim_end().to_owned()
}

fn check(name: &str, cases: &[(&str, &str, &str)]) {
    for (prompt, text, wanted) in cases {
        assert_eq!(shown(&parse(name, prompt, text)), *wanted, "{name}: {text:?} after {prompt:?}");
    }
}

#[test]
fn dialects_are_sorted_and_named_once() {
    let names: Vec<&str> = DIALECTS.iter().map(|row| row.name).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
}

#[test]
fn what_a_parser_must_see_is_named() {
    let wanted = ["[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]", "[TOOL_CALLS]"];
    let found = dialect("mistral").markers();
    assert!(wanted.iter().all(|text| found.contains(text)), "{found:?}");
    assert!(dialect("harmony").markers().contains(&"<|message|>"));
    assert!(dialect("gemma").markers().contains(&"<|\"|>"));
}

/// A row of parts as text, with these arguments where JSON stands.
fn text_of(parts: &[CallPart], arguments: &str) -> String {
    let part = |part: &CallPart| match part {
        CallPart::Text(text) => text.clone(),
        CallPart::Marker(marker) => (*marker).to_owned(),
        CallPart::Number => "0".to_owned(),
        CallPart::Json { .. } => arguments.to_owned(),
        CallPart::Free { end, .. } => end.clone(),
        CallPart::Words { .. } => "words".to_owned(),
        CallPart::OneOf(rows) => text_of(&rows[0], arguments),
        CallPart::Maybe(_) => String::new(),
        CallPart::Several(item, between) => {
            let item = text_of(item, arguments);
            format!("{item}{}{item}", text_of(between, arguments))
        }
    };
    parts.iter().map(part).collect()
}

#[test]
fn how_a_call_is_written_is_read_again() {
    let tools = options("").tools.only("weather").expect("offered");
    for row in DIALECTS {
        let parts = row.calls(&tools, false, &|_| false).expect("sound");
        let (begun, rest) = beginning(&parts);
        let text = begun + &text_of(&rest, "{\"days\": 3}");
        let is_json = text.contains("days");
        let output = OutputParser::parse(row, options(""), &text);
        let expect = if is_json { r#"weather{"days":3}"# } else { "weather{}" };
        assert_eq!(shown(&output), expect, "{}: {text}", row.name);
        let several = row.calls(&tools, true, &|_| false).expect("sound");
        let output = OutputParser::parse(row, options(""), &text_of(&several, "{\"days\": 3}"));
        let count = if row.name == "harmony" { 1 } else { 2 };
        assert_eq!(output.tool_calls.len(), count, "{}: {output:?}", row.name);
    }
}

#[test]
fn where_an_answer_may_reason_is_known() {
    let cases = [
        ("chatml", "<|im_start|>assistant\n", Some(("<think>", "</think>", false))),
        ("chatml", "<|im_start|>assistant\n<think>\n", Some(("<think>", "</think>", true))),
        // A template that asks for no reasoning has closed it already.
        ("chatml", "<|im_start|>assistant\n<think>\n\n</think>\n\n", None),
        (
            "harmony",
            "<|start|>assistant",
            Some(("<|channel|>analysis<|message|>", "<|end|><|start|>assistant", false)),
        ),
        ("harmony", "<|start|>assistant<|channel|>final<|message|>", None),
    ];
    for (name, prompt, expect) in cases {
        let marks = dialect(name).reasoning_marks(prompt);
        let marks = marks.map(|marks| (marks.open, marks.close, marks.is_open));
        assert_eq!(marks, expect, "{name}: {prompt}");
    }
}

#[test]
fn hermes_calls_are_read() {
    check(
        "chatml",
        &[
            ("", "Hello", r#"c:"Hello""#),
            ("", "<think>\nI see\n</think>\n\nHello\n", r#"r:"I see" c:"Hello\n""#),
            ("…<think>\n", "I see</think>Hello", r#"r:"I see" c:"Hello""#),
            ("…<think>\n", "cut off", r#"r:"cut off""#),
            ("", "Tags like <think> are words here", r#"c:"Tags like <think> are words here""#),
            (
                "",
                "I look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Köln\"}}\n\
             </tool_call>\n<tool_call>{\"arguments\": \"{\\\"days\\\": 2}\", \"name\": \"weather\"}\
             </tool_call>",
                r#"c:"I look." weather{"city":"Köln"} weather{"days":2}"#,
            ),
            // Wrong calls: no JSON, JSON that breaks, no end, arguments that are no object.
            ("", "Use the <tool_call> tag.", r#"c:"Use the <tool_call> tag." flagged 1"#),
            (
                "",
                "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": }}</tool_call> Sorry",
                r#"c:"<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": }}</tool_call> Sorry" flagged 1"#,
            ),
            (
                "",
                "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"K",
                r#"c:"<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"K" flagged 1"#,
            ),
            (
                "",
                "<tool_call>{\"name\": \"weather\", \"arguments\": 3}</tool_call>",
                r#"c:"<tool_call>{\"name\": \"weather\", \"arguments\": 3}</tool_call>" flagged 1"#,
            ),
        ],
    );
}

#[test]
fn llama_calls_are_read() {
    check(
        "llama3",
        &[
            ("", r#"{"name": "weather", "parameters": {"days": 1}}"#, r#"weather{"days":1}"#),
            (
                "",
                r#"{"name": "weather", "parameters": {}}; {"name": "python", "parameters": {}}"#,
                "weather{} python{}",
            ),
            ("", r#"{"name": "Bob", "age": 3}"#, r#"c:"{\"name\": \"Bob\", \"age\": 3}""#),
            ("", r#"{"answer": 42} it is"#, r#"c:"{\"answer\": 42} it is""#),
            ("", "[1] says so", r#"c:"[1] says so""#),
            ("", "<|python_tag|>print(1)", r#"python{"code":"print(1)"}"#),
            ("", "<|python_tag|>weather.call(city=\"Rom\")<|eom_id|>", r#"weather{"city":"Rom"}"#),
            ("", "<function=weather>{\"days\": 1}</function>", r#"weather{"days":1}"#),
            (
                "",
                "<function=weather>{\"days\": 1</function>",
                r#"c:"<function=weather>{\"days\": 1</function>" flagged 1"#,
            ),
        ],
    );
}

#[test]
fn mistral_calls_are_read() {
    check(
        "mistral",
        &[
            (
                "",
                r#"[TOOL_CALLS][{"name": "weather", "arguments": {"days": 1}, "id": "abcdefghi"}]"#,
                r#"weather{"days":1}"#,
            ),
            (
                "",
                r#"[THINK]Hm.[/THINK]So:[TOOL_CALLS]weather[ARGS]{"days": 1}[TOOL_CALLS]python{}"#,
                r#"r:"Hm." c:"So:" weather{"days":1} python{}"#,
            ),
            ("", "[TOOL_CALLS]not a call", r#"c:"[TOOL_CALLS]not a call" flagged 1"#),
        ],
    );
    let text = r#"[TOOL_CALLS]weather[CALL_ID]123456789[ARGS]{"days": 1}"#;
    assert_eq!(parse("mistral", "", text).tool_calls[0].id, "123456789");
    let own = &parse("mistral", "", "[TOOL_CALLS]weather{}[TOOL_CALLS]weather{}").tool_calls;
    assert!(own[0].id != own[1].id && own[0].id.len() == 9, "{own:?}");
}

#[test]
fn xml_calls_are_read() {
    let call = "<tool_call>\n<function=weather>\n<parameter=city>\nRom\n</parameter>\n\
                <parameter=days>\n2\n</parameter>\n</function>\n</tool_call>";
    check(
        "qwen3_coder",
        &[
            ("", call, r#"weather{"city":"Rom","days":2}"#),
            (
                "<think>\n",
                &format!("I look.\n{call}"),
                r#"r:"I look." weather{"city":"Rom","days":2}"#,
            ),
            (
                "",
                &format!("{call}\n{call}\nDone"),
                r#"c:"Done" weather{"city":"Rom","days":2} weather{"city":"Rom","days":2}"#,
            ),
            (
                "",
                "<function=weather>\nfoo</function>",
                r#"c:"<function=weather>\nfoo</function>" flagged 1"#,
            ),
            ("", "<tool_call> is a tag", r#"c:"<tool_call> is a tag""#),
            (
                "",
                "<function=weather>\n<parameter=city>\nR",
                r#"c:"<function=weather>\n<parameter=city>\nR" flagged 1"#,
            ),
        ],
    );
}

#[test]
fn deepseek_calls_are_read() {
    let begin = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>";
    let (mid, end) = ("<｜tool▁sep｜>", "<｜tool▁call▁end｜><｜tool▁calls▁end｜>");
    check(
        "deepseek",
        &[
            (
                "<think>\n",
                &format!("Hm</think>\n\n{begin}weather{mid}{{\"days\": 1}}{end}"),
                r#"r:"Hm" weather{"days":1}"#,
            ),
            (
                "",
                &format!("{begin}function{mid}weather\n```json\n{{\"days\": 1}}\n```{end}"),
                r#"weather{"days":1}"#,
            ),
            (
                "",
                &format!("{begin}weather{mid}no{end}"),
                "c:\"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>no<｜tool▁call▁end｜><｜tool▁calls▁end｜>\" flagged 1",
            ),
        ],
    );
}

#[test]
fn harmony_messages_are_read() {
    let call =
        "<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{\"days\": 1}";
    check(
        "harmony",
        &[
            ("", "plain", r#"c:"plain""#),
            (
                "",
                &format!("<|channel|>analysis<|message|>Hm<|end|><|start|>assistant{call}<|call|>"),
                r#"r:"Hm" weather{"days":1}"#,
            ),
            (
                "",
                &call.replace('}', ""),
                r#"c:"<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{\"days\": 1" flagged 1"#,
            ),
            (
                "",
                &call.replace("weather", "other"),
                r#"c:"<|channel|>commentary to=functions.other <|constrain|>json<|message|>{\"days\": 1}" flagged 1"#,
            ),
            (
                "",
                "<|channel|>lost words<|message|>x",
                r#"c:"<|channel|>lost words<|message|>x" flagged 1"#,
            ),
        ],
    );
}

#[test]
fn gemma_and_granite_calls_are_read() {
    check(
        "gemma",
        &[
            (
                "",
                "```tool_code\nprint(weather(city=\"Rom\", days=2))\n```",
                r#"weather{"city":"Rom","days":2}"#,
            ),
            ("", "```json\n{\"name\": \"weather\", \"arguments\": {}}\n```", "weather{}"),
            ("", "```json\n{\"a\": 1}\n```", r#"c:"```json\n{\"a\": 1}\n```""#),
            ("", "```tool_code\nx = 1\n```", r#"c:"```tool_code\nx = 1\n```""#),
            (
                "",
                "<start_function_call>call:weather{city:<escape>Rom<escape>}<end_function_call>",
                r#"weather{"city":"Rom"}"#,
            ),
            (
                "",
                "<|tool_call>call:weather{city:}<tool_call|>",
                r#"c:"<|tool_call>call:weather{city:}<tool_call|>" flagged 1"#,
            ),
        ],
    );
    check(
        "granite",
        &[
            (
                "",
                "<|tool_call|>[{\"name\": \"weather\", \"arguments\": {\"days\": 1}}]",
                r#"weather{"days":1}"#,
            ),
            ("", "Here is my thought process: a\n\nHere is my response: b", r#"r:"a" c:"b""#),
            ("", "<think>a</think><response>b</response>", r#"r:"a" c:"b""#),
        ],
    );
}

#[test]
fn glm_and_kimi_calls_are_read() {
    let key = |key: &str, value: &str| {
        format!("<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n")
    };
    let call = format!("<tool_call>weather\n{}{}</tool_call>", key("city", "4"), key("days", "4"));
    check(
        "glm4",
        &[
            ("<think>", &format!("Hm</think>\n{call}"), r#"r:"Hm" weather{"city":"4","days":4}"#),
            ("", "<tool_call>weather</tool_call>\nb", r#"c:"b" weather{}"#),
            (
                "",
                "<tool_call>weather\nno</tool_call>",
                r#"c:"<tool_call>weather\nno</tool_call>" flagged 1"#,
            ),
        ],
    );
    let call = "<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:3\
                <|tool_call_argument_begin|>{\"days\": 4}<|tool_call_end|><|tool_calls_section_end|>";
    check("kimi_k2", &[("", &format!("a{call}"), r#"c:"a" weather{"days":4}"#)]);
    assert_eq!(parse("kimi_k2", "", call).tool_calls[0].id, "functions.weather:3");
}

#[test]
fn without_tools_nothing_is_a_call() {
    let text = "<tool_call>{\"name\": \"weather\", \"arguments\": {}}</tool_call>";
    let output = OutputParser::parse(dialect("chatml"), ParseOptions::default(), text);
    assert_eq!((output.content.as_str(), output.tool_calls.len()), (text, 0));
}

#[test]
fn arguments_come_while_they_are_written() {
    let mut parser = OutputParser::new(dialect("chatml"), options(""));
    let mut pieces = Vec::new();
    for piece in
        ["<tool_", "call>{\"name\": \"weather\", \"argu", "ments\": {\"ci", "ty\": \"R", "om\"}}"]
    {
        pieces.push(parser.push(piece));
    }
    assert_eq!(pieces[1], []);
    let start = OutputEvent::ToolCallStart {
        index: 0,
        id: "xGhOV3XGD".to_owned(),
        name: "weather".to_owned(),
    };
    let delta =
        |text: &str| OutputEvent::ToolCallArgumentsDelta { index: 0, text: text.to_owned() };
    assert_eq!(pieces[2], [start, delta("{\"ci")]);
    assert_eq!(pieces[3], [delta("ty\": \"R")]);
    assert_eq!(pieces[4], [delta("om\"}"), OutputEvent::ToolCallEnd { index: 0 }]);
    assert_eq!(parser.finish(), []);
}

#[test]
fn what_a_call_may_hold_is_bounded() {
    let long = format!("[TOOL_CALLS]weather{{\"city\": \"{}\"}} end", "x".repeat(2 << 20));
    let output = parse("mistral", "", &long);
    assert_eq!((output.tool_calls.len(), output.malformed.len()), (0, 1));
    assert_eq!(output.content, long);
    let deep = format!("[TOOL_CALLS]weather{{\"a\": {}{}}}", "[".repeat(9999), "]".repeat(9999));
    assert_eq!(parse("mistral", "", &deep).content, deep);
    let many = "[TOOL_CALLS]weather{}".repeat(200);
    let output = parse("mistral", "", &many);
    assert_eq!(output.tool_calls.len(), 128);
    assert_eq!(output.content, "[TOOL_CALLS]weather{}".repeat(72));
}

/// Pieces that answers are made of; `#` becomes a word that occurs once.
const PIECES: &[&str] = &[
    "#",
    " # ",
    "\n",
    " ",
    "é",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "```",
    "<",
    "<|",
    "```json\n",
    "```tool_code\n",
    "<think>",
    "</think>",
    "[THINK]",
    "[/THINK]",
    "<tool_call>",
    "</tool_call>",
    "<tool_",
    "[TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]#",
    "weather",
    "{\"name\": \"weather\", \"arguments\": {\"city\": \"#\"}}",
    "{\"name\": \"weather\", \"parameters\": {\"city\": \"#",
    "[{\"name\": \"weather\", \"arguments\": {\"#\": 1}}]",
    "weather[ARGS]{\"city\": \"#\"}",
    "{\"city\": \"#\"}",
    "{\"name\": \"",
    "<function=weather>",
    "</function>",
    "<parameter=city>",
    "\n#\n</parameter>",
    "<parameter=#>",
    "<seed:tool_call>",
    "</seed:tool_call>",
    "<seed:think>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>",
    "function",
    "\n```json\n",
    "<|channel|>",
    "<|message|>",
    "<|start|>assistant",
    "<|end|>",
    "<|call|>",
    "analysis",
    "commentary",
    "final",
    " to=functions.weather",
    " to=functions.#",
    "<|constrain|>json",
    "<|python_tag|>",
    "<|eom_id|>",
    ";",
    "weather(city='#')",
    "call:weather{city:<|\"|>#<|\"|>}",
    "<|tool_call>",
    "<tool_call|>",
    "<|channel>thought",
    "<channel|>",
    "<|START_ACTION|>",
    "<|END_ACTION|>",
    "<|START_THINKING|>",
    "<|END_THINKING|>",
    "<|tool_call|>",
    "<arg_key>#</arg_key>",
    "<arg_value>#</arg_value>",
    "<arg_value>",
    "</arg_value>",
    "<|tool_calls_section_begin|>",
    "<|tool_calls_section_end|>",
    "<|tool_call_begin|>",
    "functions.weather:0",
    "<|tool_call_argument_begin|>",
    "<|tool_call_end|>",
    "Here is my thought process:",
    "Here is my response:",
    "<response>",
    "functools",
];

/// An answer of pieces, with its words.
fn answer() -> impl Strategy<Value = (String, usize)> {
    let piece = prop_oneof![3 => Just("#"), 10 => proptest::sample::select(PIECES)];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| {
        let (mut text, mut words) = (String::new(), 0);
        for piece in pieces {
            for (at, part) in piece.split('#').enumerate() {
                if at > 0 {
                    text.push_str(&format!("w{words}w"));
                    words += 1;
                }
                text.push_str(part);
            }
        }
        (text, words)
    })
}

/// Neighbours of one kind in one.
fn joined(events: Vec<OutputEvent>) -> Vec<OutputEvent> {
    let mut out: Vec<OutputEvent> = Vec::new();
    for event in events {
        match (out.last_mut(), event) {
            (Some(OutputEvent::ContentDelta(a)), OutputEvent::ContentDelta(b))
            | (Some(OutputEvent::ReasoningDelta(a)), OutputEvent::ReasoningDelta(b))
            | (
                Some(OutputEvent::ToolCallArgumentsDelta { text: a, .. }),
                OutputEvent::ToolCallArgumentsDelta { text: b, .. },
            ) => a.push_str(&b),
            (_, event) => out.push(event),
        }
    }
    out
}

fn events(row: &'static Dialect, wish: (&str, Hold), pieces: &[&str]) -> Vec<OutputEvent> {
    let (prompt, hold) = wish;
    let mut parser = OutputParser::new(row, ParseOptions { hold, ..options(prompt) });
    let mut events: Vec<OutputEvent> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
    events.extend(parser.finish());
    joined(events)
}

/// Reads an answer in whole, by letters and in pieces; what is wrong with it.
fn check_cuts(row: &'static Dialect, text: &str, words: usize, cuts: &[usize]) -> Option<String> {
    let holds = [Hold::Free, Hold::CallsOrWords, Hold::CallsAfterWords];
    for wish in holds.iter().flat_map(|hold| [("", *hold), ("<think>\n", *hold)]) {
        let whole = events(row, wish, &[text]);
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        let mut at: Vec<usize> = cuts.iter().map(|cut| text.floor_char_boundary(*cut)).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let pieces: Vec<&str> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        for cut in [letters, pieces] {
            let found = events(row, wish, &cut);
            if found != whole {
                return Some(format!("{}: {cut:?} gives {found:?}, not {whole:?}", row.name));
            }
        }
        let output = Output::from_events(&whole);
        let mut said = format!("{}{}", output.reasoning, output.content);
        for call in &output.tool_calls {
            said.push_str(&call.to_json().to_string());
        }
        let lost = (0..words).find(|word| !said.contains(&format!("w{word}w")));
        if let Some(word) = lost {
            return Some(format!("{}: w{word}w of {text:?} is lost: {output:?}", row.name));
        }
    }
    None
}

#[test]
fn no_cut_changes_what_is_read_and_no_word_is_lost() {
    let config = Config { cases: 128, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let cuts = proptest::collection::vec(0_usize..200, 0..8);
    let check = |((text, words), cuts): ((String, usize), Vec<usize>)| {
        for row in DIALECTS {
            prop_assert_eq!(check_cuts(row, &text, words, &cuts), None);
        }
        Ok(())
    };
    TestRunner::new_with_rng(config, rng).run(&(answer(), cuts), check).expect("nothing is lost");
}
