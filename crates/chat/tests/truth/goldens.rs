//! Templates with the prompts that llama.cpp's test expects of them.

use chat::{Message, RenderOptions, Template};

use crate::cpp::{self, Expr, Reader, Token};

/// Templates that hob renders otherwise, with the reason. This list may only shrink.
const DIFFER: &[(&str, &str)] = &[];

struct Golden {
    name: String,
    source: String,
    wanted: String,
    bos: String,
    eos: String,
    more: Vec<Message>,
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Call(name, items) if name == "U8C" => text(items.first()?),
        _ => Some(expr.json()?.as_str()?.to_owned()),
    }
}

/// All rows, and how many of them llama.cpp's own Jinja is not asked for.
fn goldens() -> (Vec<Golden>, usize) {
    let tokens = cpp::tokens(&cpp::read("test-chat-template.cpp"));
    let start = [Token::Word("test_cases".to_owned()), Token::Sign('{')];
    let at = tokens.windows(2).position(|pair| pair == start).expect("the list of cases");
    let rows = Reader { rest: &tokens[at + 2..] }.list('}').expect("rows");
    let mut without = 0;
    let mut goldens = Vec::new();
    for row in &rows {
        let Expr::List(fields) = row else { panic!("{row:?} is no row") };
        let field = |at: usize| fields.get(at).and_then(text).unwrap_or_default();
        if fields.get(6) == Some(&Expr::Word("false".to_owned())) {
            // It asks for the vocabulary's special tokens by number, which hob can give it.
            without += 1;
        }
        let more = match fields.get(7) {
            Some(Expr::List(turns)) => turns.iter().map(message).collect(),
            _ => Vec::new(),
        };
        let wanted = if field(3).is_empty() { field(2) } else { field(3) };
        let (name, source, eos) = (field(0), field(1), field(5));
        let bos = if name.contains("GigaChat") { "<s>".to_owned() } else { field(4) };
        goldens.push(Golden { name, source, wanted, bos, eos, more });
    }
    (goldens, without)
}

fn message(turn: &Expr) -> Message {
    let Expr::List(fields) = turn else { panic!("{turn:?} is no turn") };
    Message::new(&text(&fields[0]).expect("a role"), &text(&fields[1]).expect("a content"))
}

#[test]
fn prompts_are_as_llama_cpp_expects() {
    let conversation = [
        ("system", "You are a helpful assistant"),
        ("user", "Hello"),
        ("assistant", "Hi there"),
        ("user", "Who are you"),
        ("assistant", "   I am an assistant   "),
        ("user", "Another question"),
    ];
    let (goldens, without) = goldens();
    assert_eq!((goldens.len(), without), (36, 1), "all rows are read");
    let mut options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
    let tokens = serde_json::json!(["<|role_sep|>", "<|message_sep|>", "[", "]"]);
    options.extra.insert("additional_special_tokens".to_owned(), tokens);
    let mut failed = Vec::new();
    for golden in &goldens {
        let mut messages: Vec<Message> =
            conversation.iter().map(|(role, text)| Message::new(role, text)).collect();
        messages.extend(golden.more.clone());
        let found = Template::new(&golden.source, &golden.bos, &golden.eos)
            .and_then(|template| template.render(&messages, &options))
            .map_err(|error| error.to_string());
        if found.as_ref() != Ok(&golden.wanted) {
            let (name, wanted) = (&golden.name, &golden.wanted);
            println!("{name}:\n  wanted {wanted:?}\n  found  {found:?}\n");
            failed.push(golden.name.as_str());
        }
    }
    let listed: Vec<&str> = DIFFER.iter().map(|(name, _)| *name).collect();
    assert_eq!(failed, listed, "the list of what differs is exact");
}
