//! The texts that llama.cpp's own tests say its grammars and schemas accept and reject.

mod support;

use grammar::{Grammar, Kind, Limits, Vocabulary, Word};
use support::{END, bytes, cache, compare, fits, fits_tokens, read};

/// A grammar or schema with texts that must fit and texts that must not.
#[derive(Debug, Default)]
struct Case {
    name: String,
    is_schema: bool,
    source: String,
    passing: Vec<Vec<Piece>>,
    failing: Vec<Vec<Piece>>,
}

/// A part of a text: characters, or a token by its id.
#[derive(Debug)]
enum Piece {
    Text(String),
    Token(u32),
}

#[test]
fn texts_of_llama_cpp() {
    let source = read(&cache().join("llama.cpp/tests/test-grammar-integration.cpp"));
    let cases = cases(&source);
    let count = |of: fn(&Case) -> usize| cases.iter().map(of).sum::<usize>();
    assert_eq!(
        (cases.len(), count(|case| case.passing.len()), count(|case| case.failing.len())),
        (47, 196, 191),
        "all were found"
    );
    let vocabulary = bytes();
    let mut wrong = Vec::new();
    for case in &cases {
        let kind = if case.is_schema { Kind::JsonSchema } else { Kind::Gbnf };
        if case.source.contains("<[") {
            wrong.extend(with_tokens(case));
            continue;
        }
        let grammar = match Grammar::compile(&vocabulary, kind, &case.source) {
            Ok(grammar) => grammar,
            Err(error) => {
                wrong.push(format!("* {}: {error}", case.name));
                continue;
            }
        };
        let accepts = |text: &[Piece]| {
            let text: String = text.iter().map(Piece::text).collect();
            fits(&grammar, text.as_bytes())
        };
        wrong.extend(judge(case, &accepts));
    }
    compare("wrong strings", &wrong);
}

fn judge(case: &Case, accepts: &dyn Fn(&[Piece]) -> bool) -> Vec<String> {
    let shown = |text: &[Piece]| text.iter().map(Piece::text).collect::<String>();
    let rejected = case.passing.iter().filter(|text| !accepts(text));
    let accepted = case.failing.iter().filter(|text| accepts(text));
    let rejected = rejected.map(|text| format!("* {}: `{}`: rejected", case.name, shown(text)));
    let accepted = accepted.map(|text| format!("* {}: `{}`: accepted", case.name, shown(text)));
    rejected.chain(accepted).collect()
}

/// Ids of these cases are tokens of no text; bytes have the ids after them.
fn with_tokens(case: &Case) -> Vec<String> {
    const NAMED: u32 = 32;
    let names: Vec<String> = (0..NAMED).map(|id| format!("<|{id}|>")).collect();
    let all: Vec<u8> = (0..=255).collect();
    let controls = names.iter().map(|name| Word::Control(name.as_bytes()));
    let words = controls.chain(all.chunks(1).map(Word::Text)).chain([Word::Control(b"<|end|>")]);
    let end = END + NAMED;
    let vocabulary = Vocabulary::new(words, &[end], Limits::default()).expect("a vocabulary");
    let grammar = Grammar::compile(&vocabulary, Kind::Gbnf, &case.source).expect("a grammar");
    let accepts = |text: &[Piece]| {
        let tokens = text.iter().flat_map(|piece| match piece {
            Piece::Text(text) => text.bytes().map(|byte| NAMED + u32::from(byte)).collect(),
            Piece::Token(id) => vec![*id],
        });
        fits_tokens(grammar.matcher(None), tokens, end)
    };
    judge(case, &accepts)
}

impl Piece {
    fn text(&self) -> String {
        match self {
            Piece::Text(text) => text.clone(),
            Piece::Token(id) => format!("<[{id}]>"),
        }
    }
}

/// Reads the calls of `test_grammar` and `test_schema`.
fn cases(source: &str) -> Vec<Case> {
    let mut found = Vec::new();
    for (call, is_schema) in [("\n    test_grammar(", false), ("\n    test_schema(", true)] {
        for (at, _) in source.match_indices(call) {
            let mut reader = Reader { rest: &source[at + call.len()..] };
            let name = reader.text().expect("a name");
            let source = reader.text().expect("a grammar");
            let (passing, failing) = (reader.texts(), reader.texts());
            found.push(Case { name, is_schema, source, passing, failing });
        }
    }
    found
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// Skips white space, commas, comments.
    fn space(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if !self.rest.starts_with("//") {
                return;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    fn text(&mut self) -> Option<String> {
        self.space();
        if let Some(raw) = self.rest.strip_prefix("R\"\"\"(") {
            let (text, rest) = raw.split_once(")\"\"\"")?;
            self.rest = rest;
            return Some(text.to_owned());
        }
        let body = self.rest.strip_prefix('"')?;
        let (mut text, mut escaped) = (String::new(), false);
        for (at, c) in body.char_indices() {
            match c {
                _ if escaped => {
                    text.push(if c == 'n' { '\n' } else { c });
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.rest = &body[at + 1..];
                    return Some(text);
                }
                _ => text.push(c),
            }
        }
        None
    }

    /// `{ text, token(7) + text, .. }`.
    fn texts(&mut self) -> Vec<Vec<Piece>> {
        self.space();
        self.rest = self.rest.strip_prefix('{').expect("a list");
        let mut all = Vec::new();
        loop {
            self.space();
            if let Some(rest) = self.rest.strip_prefix('}') {
                self.rest = rest;
                return all;
            }
            let mut pieces = vec![self.piece()];
            while let Some(rest) = self.rest.trim_start().strip_prefix('+') {
                self.rest = rest;
                pieces.push(self.piece());
            }
            all.push(pieces);
        }
    }

    fn piece(&mut self) -> Piece {
        self.space();
        if let Some(rest) = self.rest.strip_prefix("token(") {
            let (id, rest) = rest.split_once(')').expect("a bracket");
            self.rest = rest;
            return Piece::Token(id.parse().expect("an id"));
        }
        Piece::Text(self.text().expect("a text"))
    }
}
