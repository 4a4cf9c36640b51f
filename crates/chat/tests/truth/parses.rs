//! What models said, and what llama.cpp's tests read in it: reasoning, content, calls.

use std::collections::BTreeMap;

use chat::{
    Dialect, Hold, Message, Output, OutputEvent, OutputParser, ParseOptions, RenderOptions,
    Template, Tools,
};
use serde_json::{Value, json};

use crate::cpp::{self, Expr, Reader, Token};

/// Names and what they stand for.
type Names = BTreeMap<String, Expr>;

#[derive(Clone, Debug, Default)]
struct Case {
    template: String,
    input: String,
    calls: Vec<(String, Vec<Expr>)>,
}

#[derive(Debug, Default, PartialEq)]
struct Wanted {
    content: String,
    reasoning: String,
    /// Name, arguments, id.
    calls: Vec<(String, String, String)>,
}

fn text(expr: &Expr, names: &Names) -> Option<String> {
    match expr {
        Expr::Word(name) => text(names.get(name)?, names),
        Expr::Sum(parts) => parts.iter().map(|part| text(part, names)).collect(),
        Expr::List(items) if items.is_empty() => Some(String::new()),
        Expr::Call(name, items) if name == "std::string" => text(items.first()?, names),
        _ => Some(expr.json()?.as_str()?.to_owned()),
    }
}

/// `name = expression;` and `name{ .. };` of the types that matter.
fn definitions(tokens: &[Token]) -> Names {
    let types =
        ["common_chat_msg", "common_chat_tool", "std::string", "char", "common_chat_tool>", "auto"];
    let mut names = Names::new();
    for at in 0..tokens.len() {
        let Token::Word(kind) = &tokens[at] else { continue };
        if !types.contains(&kind.as_str()) {
            continue;
        }
        let mut rest = &tokens[at + 1..];
        while let [Token::Sign('*' | '>'), more @ ..] = rest {
            rest = more;
        }
        let [Token::Word(name), Token::Sign(sign), rest @ ..] = rest else { continue };
        let mut reader = Reader { rest };
        let value = match sign {
            '=' => reader.expression(),
            '{' => reader.list('}').map(Expr::List),
            _ => None,
        };
        if let Some(value) = value {
            names.entry(name.clone()).or_insert(value);
        }
    }
    names
}

/// The cases in order, and how many there are that could not be read.
fn cases(tokens: &[Token], names: &Names) -> (Vec<Case>, usize) {
    let word = |text: &str| Token::Word(text.to_owned());
    let mut testers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut paths: Vec<String> = Vec::new();
    let (mut cases, mut unread) = (Vec::new(), 0);
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        if let [Token::Word(path), Token::Sign(':'), Token::Sign('{'), list @ ..] = rest
            && path == "path"
        {
            let list = Reader { rest: list }.list('}').unwrap_or_default();
            paths = list.iter().filter_map(|item| text(item, names)).collect();
        }
        if let [Token::Word(name), Token::Sign('='), kind, Token::Sign('('), list @ ..] = rest
            && *kind == word("peg_tester")
        {
            let items = Reader { rest: list }.list(')').unwrap_or_default();
            let given = items.first().and_then(|item| text(item, names));
            testers.insert(name.clone(), given.map_or_else(|| paths.clone(), |path| vec![path]));
        }
        if let [Token::Word(name), Token::Sign('.'), test, Token::Sign('('), ..] = rest
            && *test == word("test")
            && let Some(templates) = testers.get(name)
        {
            let read = chain(&rest[4..], names);
            if read.is_none() {
                unread += 1;
            }
            for template in templates {
                let template = template.rsplit('/').next().unwrap_or_default().to_owned();
                cases.extend(read.clone().map(|case| Case { template, ..case }));
            }
        }
        at += 1;
    }
    (cases, unread)
}

/// `input).method(..).method(..).run()`.
fn chain(tokens: &[Token], names: &Names) -> Option<Case> {
    let mut reader = Reader { rest: tokens };
    let input = reader.list(')')?;
    let mut case = Case { input: text(input.first()?, names)?, ..Case::default() };
    while reader.sign('.') {
        let Some(Expr::Call(name, items)) = reader.expression() else { return None };
        if name == "run" {
            return Some(case);
        }
        case.calls.push((name, items));
    }
    None
}

impl Case {
    fn argument(&self, name: &str) -> Option<&Expr> {
        self.calls.iter().rev().find(|(found, _)| found == name)?.1.first()
    }

    fn is_set(&self, name: &str, word: &str) -> bool {
        self.argument(name) == Some(&Expr::Word(word.to_owned()))
    }

    fn tools(&self, names: &Names) -> Value {
        let items = match self.argument("tools") {
            Some(Expr::List(items)) => items.clone(),
            Some(Expr::Word(name)) => match names.get(name) {
                Some(Expr::List(items)) => items.clone(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        let tool = |item: &Expr| {
            let fields = match item {
                Expr::Word(name) => names.get(name).cloned(),
                other => Some(other.clone()),
            };
            let Some(Expr::List(fields)) = fields else { panic!("{item:?} is no tool") };
            let field = |at: usize| fields.get(at).and_then(|field| text(field, names));
            let parameters = field(2).unwrap_or_default();
            let parameters: Value = serde_json::from_str(&parameters).unwrap_or(Value::Null);
            json!({ "type": "function", "function": {
                "name": field(0), "description": field(1), "parameters": parameters } })
        };
        items.iter().map(tool).collect()
    }

    fn wanted(&self, names: &Names) -> Option<Wanted> {
        let mut wanted = match self.argument("expect") {
            Some(message) => message_of(message, names)?,
            None => Wanted::default(),
        };
        if let Some(content) = self.argument("expect_content") {
            wanted.content = text(content, names)?;
        }
        if let Some(reasoning) = self.argument("expect_reasoning") {
            wanted.reasoning = text(reasoning, names)?;
        }
        if let Some(Expr::List(calls)) = self.argument("expect_tool_calls") {
            wanted.calls = calls.iter().map(|call| call_of(call, names)).collect::<Option<_>>()?;
        }
        Some(wanted)
    }

    /// Why the case says nothing of hob; none where it does.
    fn left_out(&self, wanted: &Wanted) -> Option<&'static str> {
        let separates = self.argument("reasoning_format").is_some()
            && !self.is_set("reasoning_format", "COMMON_REASONING_FORMAT_NONE");
        let tags = ["think>", "THINK", "<|channel", "_THINKING|>", "think:"];
        if self.argument("continue_final_message").is_some() {
            Some("continues a turn that the client began, which hob does not offer")
        } else if !separates && tags.iter().any(|tag| wanted.content.contains(tag)) {
            Some("wants the reasoning left in the content, which hob always takes out")
        } else if self.is_set("is_partial", "true") && !wanted.calls.is_empty() {
            Some("ends within a call, which hob flags and gives as content")
        } else if self.argument("json_schema").is_some() && self.input.contains("```") {
            Some("wants the fence around a constrained answer gone: the grammar's part")
        } else {
            None
        }
    }
}

fn call_of(expr: &Expr, names: &Names) -> Option<(String, String, String)> {
    let Expr::List(fields) = expr else { return None };
    let field = |at: usize| fields.get(at).map_or(Some(String::new()), |item| text(item, names));
    Some((field(0)?, field(1)?, field(2)?))
}

fn message_of(expr: &Expr, names: &Names) -> Option<Wanted> {
    let (name, items) = match expr {
        Expr::Word(name) => return message_of(names.get(name)?, names),
        Expr::Call(name, items) => (name.as_str(), items),
        _ => return None,
    };
    let item = |at: usize| items.get(at).map_or(Some(String::new()), |item| text(item, names));
    let calls = |name: String, arguments: String, id: String| {
        if name.is_empty() && id.is_empty() { Vec::new() } else { vec![(name, arguments, id)] }
    };
    Some(match name {
        "simple_assist_msg" => Wanted {
            content: item(0)?,
            reasoning: item(1)?,
            calls: calls(item(2)?, item(3)?, item(4)?),
        },
        "message_with_tool_calls" => {
            Wanted { calls: calls(item(0)?, item(1)?, String::new()), ..Wanted::default() }
        }
        "message_with_tool_calls_and_reasoning" => Wanted {
            reasoning: item(2)?,
            calls: calls(item(0)?, item(1)?, String::new()),
            ..Wanted::default()
        },
        "message_with_content_and_tool_call" => Wanted {
            content: item(0)?,
            calls: calls(item(1)?, item(2)?, String::new()),
            ..Wanted::default()
        },
        "message_with_reasoning_and_tool_call" => Wanted {
            reasoning: item(0)?,
            calls: calls(item(1)?, item(2)?, String::new()),
            ..Wanted::default()
        },
        "message_with_reasoning_content_and_multiple_tool_calls" => {
            let Expr::List(list) = items.get(2)? else { return None };
            let calls = list.iter().map(|call| call_of(call, names)).collect::<Option<_>>()?;
            Wanted { reasoning: item(0)?, content: item(1)?, calls }
        }
        _ => return None,
    })
}

/// The end of the prompt that the input answers, and the dialect.
fn prompt(case: &Case, tools: &Value) -> (String, &'static Dialect) {
    let path = cpp::folder().join("models/templates").join(&case.template);
    let source = std::fs::read_to_string(&path).expect("a template");
    let thinking = !case.is_set("enable_thinking", "false");
    let options = RenderOptions {
        add_generation_prompt: true,
        enable_thinking: Some(thinking),
        tools: Some(tools.clone()).filter(|tools| tools != &json!([])),
        ..RenderOptions::default()
    };
    let template = Template::new(&source, "<s>", "</s>").expect("valid");
    let rendered = template.render(&[Message::new("user", "Hey there!")], &options);
    let rendered = rendered.unwrap_or_else(|error| panic!("{}: {error}", case.template));
    (rendered, Dialect::detect(Some(&source), ""))
}

fn found(output: &Output, wanted: &Wanted) -> Wanted {
    let call = |(at, call): (usize, &chat::ToolCall)| {
        // Where the model wrote no id, hob made one.
        let asked = wanted.calls.get(at).is_some_and(|(_, _, id)| !id.is_empty());
        let id = if asked { call.id.clone() } else { String::new() };
        (call.name.clone(), Value::Object(call.arguments.clone()).to_string(), id)
    };
    Wanted {
        content: output.content.trim().to_owned(),
        reasoning: output.reasoning.trim().to_owned(),
        calls: output.tool_calls.iter().enumerate().map(call).collect(),
    }
}

fn tidied(wanted: &Wanted) -> Wanted {
    let arguments = |text: &str| match serde_json::from_str::<Value>(text) {
        Ok(value) => value.to_string(),
        Err(_) if text.is_empty() => "{}".to_owned(),
        Err(_) => text.to_owned(),
    };
    let calls = wanted.calls.iter();
    Wanted {
        content: wanted.content.trim().to_owned(),
        reasoning: wanted.reasoning.trim().to_owned(),
        calls: calls.map(|(name, args, id)| (name.clone(), arguments(args), id.clone())).collect(),
    }
}

/// Templates whose calls or reasoning hob does not read yet, with how many cases that are.
const NO_ROW: &[(&str, usize)] = &[
    ("Apertus-8B-Instruct.jinja", 1),
    ("Apriel-1.6-15b-Thinker-fixed.jinja", 2),
    ("CohereForAI-c4ai-command-r-plus-tool_use.jinja", 2),
    ("GigaChat3-10B-A1.8B.jinja", 2),
    ("GigaChat3.1-10B-A1.8B.jinja", 2),
    ("Kimi-K3.jinja", 9),
    ("LFM2.5-8B-A1B.jinja", 4),
    ("MiniMax-M2.jinja", 2),
    ("MiniMax-M3.jinja", 19),
    ("deepseek-ai-DeepSeek-V3.2.jinja", 11),
    ("deepseek-ai-DeepSeek-V4-Flash-0731.jinja", 1),
    ("deepseek-ai-DeepSeek-V4.jinja", 6),
    ("meetkai-functionary-medium-v3.2.jinja", 2),
    ("muse-glimmer.jinja", 7),
    ("openbmb-MiniCPM5-1B.jinja", 6),
];

/// Cases of hob's own dialects that it reads otherwise: the template, the number of the case in it,
/// the reason. This list may only shrink.
const DIFFER: &[(&str, usize, &str)] = &[
    (
        "Qwen3.5-4B.jinja",
        15,
        "a tag that the model writes after the prompt has written it is no word",
    ),
    (
        "inclusionai-ling-3.0-flash.jinja",
        6,
        "wants the reasoning left in the content, which hob always takes out",
    ),
    ("openai-gpt-oss-120b.jinja", 13, "a call of what was not offered is content, and flagged"),
    ("openai-gpt-oss-120b.jinja", 14, "a call of what was not offered is content, and flagged"),
];

#[test]
fn answers_are_read_as_llama_cpp_expects() {
    let tokens = cpp::tokens(&cpp::read("test-chat.cpp"));
    let names = definitions(&tokens);
    let (cases, unread) = cases(&tokens, &names);
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let (mut right, mut differ, mut no_row) = (0, Vec::new(), BTreeMap::<String, usize>::new());
    for case in &cases {
        let number = numbers.entry(case.template.clone()).or_default();
        *number += 1;
        let wanted = case.wanted(&names).unwrap_or_else(|| panic!("unread: {case:?}"));
        if let Some(reason) = case.left_out(&wanted) {
            *left_out.entry(reason).or_default() += 1;
            continue;
        }
        let tools = case.tools(&names);
        let (prompt, dialect) = prompt(case, &tools);
        let options = ParseOptions {
            hold: Hold::Free,
            tools: Tools::new(&tools).expect("tools"),
            prompt: prompt.clone(),
            id_seed: 1,
        };
        let output = OutputParser::parse(dialect, options.clone(), &case.input);
        let (wanted, found) = (tidied(&wanted), found(&output, &wanted));
        let mut parser = OutputParser::new(dialect, options);
        let mut letters: Vec<OutputEvent> = Vec::new();
        for letter in case.input.chars() {
            letters.extend(parser.push(letter.encode_utf8(&mut [0; 4])));
        }
        letters.extend(parser.finish());
        assert_eq!(Output::from_events(&letters), output, "letter by letter: {case:?}");
        if wanted == found {
            right += 1;
        } else if dialect.name == "generic" {
            *no_row.entry(case.template.clone()).or_default() += 1;
        } else {
            let tail: String =
                prompt.chars().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect();
            println!(
                "{} #{number} ({}): {:?} after {tail:?}\n  wanted {wanted:?}\n  found  {found:?}\n",
                case.template, dialect.name, case.input
            );
            differ.push((case.template.clone(), *number));
        }
    }
    println!(
        "{} cases, {unread} unread, {right} right, left out {left_out:#?}, {no_row:#?}",
        cases.len()
    );
    assert_eq!((cases.len(), unread, left_out.values().sum::<usize>()), (415, 0, 86));
    let listed: Vec<(String, usize)> =
        DIFFER.iter().map(|(name, number, _)| ((*name).to_owned(), *number)).collect();
    assert_eq!(differ, listed, "the list of what differs is exact; {right} are right");
    let listed: BTreeMap<String, usize> =
        NO_ROW.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(no_row, listed, "the list of what has no row is exact");
}
