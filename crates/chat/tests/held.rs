//! Answers that are held to a grammar, and what says that they are.

use chat::{DIALECTS, Hold, OutputParser, ParseOptions, Tools};
use serde_json::{Value, json};

#[test]
fn only_what_holds_an_answer_says_whether_calls_follow_words() {
    let text =
        "Let me look. <think>\n<tool_call>{\"name\": \"weather\", \"arguments\": {}}</tool_call>";
    for (hold, expect) in [
        (Hold::CallsOrWords, 0),
        // Words about a tag are words.
        (Hold::CallsAfterWords, 1),
    ] {
        let tools = Tools::new(&json!([{ "name": "weather" }])).expect("tools");
        let options = ParseOptions { hold, tools, ..ParseOptions::default() };
        let chatml = DIALECTS.iter().find(|row| row.name == "chatml").expect("a dialect");
        let output = OutputParser::parse(chatml, options, text);
        assert_eq!(output.tool_calls.len(), expect, "{output:?}");
        assert!(output.content.starts_with("Let me look. <think>"), "{output:?}");
    }
}

#[test]
fn strict_is_true_or_false() {
    let tool = |strict: Value| Tools::new(&json!([{ "name": "f", "strict": strict }]));
    let strict = |value| tool(value).expect("sound").iter().all(|tool| tool.strict);
    assert!(strict(json!(true)) && !strict(json!(false)) && !strict(Value::Null));
    let error = tool(json!("yes")).expect_err("a text").to_string();
    assert!(error.contains("a `strict` of `f` that is not true or false"), "{error}");
}
