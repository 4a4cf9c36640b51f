//! As much of C++ as llama.cpp's tests use to write down data: literals, lists, calls. The files
//! are read where `cargo xtask setup` puts them; nothing of them is kept here.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Where the files of llama.cpp lie.
pub(crate) fn folder() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests may be pointed at another folder")]
    let given = std::env::var_os("HOB_GOLDEN_DIR").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two up");
    match given {
        // The variable names the folder of models; the tests lie beside it.
        Some(models) => models.parent().expect("a folder above").to_owned(),
        None => root.join(".cache/llama.cpp"),
    }
}

/// One of llama.cpp's test programs.
pub(crate) fn read(name: &str) -> String {
    let path = folder().join("tests").join(name);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask setup`", path.display()))
}

/// A piece of the program.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Word(String),
    Text(String),
    Number(String),
    Sign(char),
}

/// An expression that stands for data.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    Text(String),
    Number(String),
    Word(String),
    List(Vec<Expr>),
    /// `name(..)` and `name{..}`.
    Call(String, Vec<Expr>),
    Sum(Vec<Expr>),
}

/// Cuts a program into tokens; comments and white space go.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            _ if first.is_whitespace() => &rest[first.len_utf8()..],
            '/' if rest.starts_with("//") => rest.split_once('\n').map_or("", |(_, rest)| rest),
            '/' if rest.starts_with("/*") => rest.split_once("*/").map_or("", |(_, rest)| rest),
            'R' if rest.starts_with("R\"") => raw_text(rest, &mut out),
            'u' if rest.starts_with("u8\"") => plain_text(&rest[3..], &mut out),
            '"' => plain_text(&rest[1..], &mut out),
            '\'' => {
                let end = if rest[1..].starts_with('\\') { 4 } else { 3 };
                out.push(Token::Sign('\''));
                &rest[end..]
            }
            '0'..='9' => {
                let number = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
                let (number, after) =
                    rest.split_at(rest.find(|c| !number(c)).unwrap_or(rest.len()));
                out.push(Token::Number(number.to_owned()));
                after
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
                let mut end = rest.find(|c| !word(c)).unwrap_or(rest.len());
                while rest[end..].starts_with("::") {
                    let more = &rest[end + 2..];
                    end += 2 + more.find(|c| !word(c)).unwrap_or(more.len());
                }
                out.push(Token::Word(rest[..end].to_owned()));
                &rest[end..]
            }
            sign => {
                out.push(Token::Sign(sign));
                &rest[sign.len_utf8()..]
            }
        };
    }
    out
}

fn raw_text<'a>(rest: &'a str, out: &mut Vec<Token>) -> &'a str {
    let (mark, body) = rest[2..].split_once('(').expect("R\"mark(");
    let (text, after) = body.split_once(&format!("){mark}\"")).expect("a raw text ends");
    out.push(Token::Text(text.to_owned()));
    after
}

/// The text whose quote was read, with its escapes undone.
fn plain_text<'a>(rest: &'a str, out: &mut Vec<Token>) -> &'a str {
    let mut bytes = Vec::new();
    let mut at = 0;
    let source = rest.as_bytes();
    while source[at] != b'"' {
        if source[at] != b'\\' {
            bytes.push(source[at]);
            at += 1;
            continue;
        }
        at += 2;
        let hex = |from: usize, digits: usize| {
            u32::from_str_radix(&rest[from..from + digits], 16).expect("hexadecimal digits")
        };
        match source[at - 1] {
            // A line goes on.
            b'\n' => {}
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'r' => bytes.push(b'\r'),
            b'0' => bytes.push(0),
            b'x' => {
                bytes.push(u8::try_from(hex(at, 2)).expect("two digits"));
                at += 2;
            }
            b'u' => {
                let letter = char::from_u32(hex(at, 4)).expect("a letter");
                bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes());
                at += 4;
            }
            other => bytes.push(other),
        }
    }
    out.push(Token::Text(String::from_utf8_lossy(&bytes).into_owned()));
    &rest[at + 1..]
}

/// Reads expressions from tokens.
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [Token],
}

impl Reader<'_> {
    pub(crate) fn sign(&mut self, sign: char) -> bool {
        let found = self.rest.first() == Some(&Token::Sign(sign));
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn starts_with(&self, signs: &str) -> bool {
        signs.chars().enumerate().all(|(at, sign)| self.rest.get(at) == Some(&Token::Sign(sign)))
    }

    /// An expression; none where something else stands.
    pub(crate) fn expression(&mut self) -> Option<Expr> {
        let mut parts = vec![self.part()?];
        while self.starts_with("+") && !self.starts_with("++") {
            self.sign('+');
            parts.push(self.part()?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { Expr::Sum(parts) })
    }

    fn part(&mut self) -> Option<Expr> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        match first {
            Token::Text(text) => {
                let mut text = text.clone();
                while let Some((Token::Text(more), rest)) = self.rest.split_first() {
                    text.push_str(more);
                    self.rest = rest;
                }
                Some(Expr::Text(text))
            }
            Token::Number(number) => Some(Expr::Number(number.clone())),
            Token::Sign('-') => match self.part()? {
                Expr::Number(number) => Some(Expr::Number(format!("-{number}"))),
                _ => None,
            },
            Token::Sign('{') => Some(Expr::List(self.list('}')?)),
            Token::Sign('(') => {
                let inner = self.list(')')?;
                match inner.as_slice() {
                    // A cast in front of what is cast.
                    [_] if matches!(self.rest.first(), Some(Token::Text(_))) => self.part(),
                    _ => inner.into_iter().next(),
                }
            }
            Token::Word(name) => {
                let close = match self.rest.first() {
                    Some(Token::Sign('(')) => ')',
                    Some(Token::Sign('{')) => '}',
                    _ => return Some(Expr::Word(name.clone())),
                };
                self.rest = &self.rest[1..];
                Some(Expr::Call(name.clone(), self.list(close)?))
            }
            Token::Sign(_) => None,
        }
    }

    /// What stands between commas up to `close`.
    pub(crate) fn list(&mut self, close: char) -> Option<Vec<Expr>> {
        let mut items = Vec::new();
        while !self.sign(close) {
            items.push(self.expression()?);
            // A macro or a cast may leave a word behind; a list has commas.
            if !self.sign(',') && self.rest.first() != Some(&Token::Sign(close)) {
                return None;
            }
        }
        Some(items)
    }
}

impl Expr {
    /// The value as JSON, by the rules of nlohmann's lists: pairs that begin with a text are an
    /// object.
    pub(crate) fn json(&self) -> Option<Value> {
        Some(match self {
            Expr::Text(text) => Value::from(text.as_str()),
            Expr::Number(number) => serde_json::from_str(number).ok()?,
            Expr::Word(word) => match word.as_str() {
                "true" => true.into(),
                "false" => false.into(),
                "nullptr" => Value::Null,
                _ => return None,
            },
            Expr::List(items) => list_json(items)?,
            Expr::Call(name, items) => match (name.as_str(), items.as_slice()) {
                ("json::array", []) => Value::Array(Vec::new()),
                ("json::array", [Expr::List(items)]) => {
                    items.iter().map(Expr::json).collect::<Option<Value>>()?
                }
                ("json::object", []) => Value::Object(Map::new()),
                ("json::object" | "json", [only]) => only.json()?,
                ("json", items) => list_json(items)?,
                ("std::string", [only]) => only.json()?,
                _ => return None,
            },
            Expr::Sum(parts) => {
                let texts = parts.iter().map(|part| Some(part.json()?.as_str()?.to_owned()));
                Value::from(texts.collect::<Option<String>>()?)
            }
        })
    }
}

fn list_json(items: &[Expr]) -> Option<Value> {
    let pair = |item: &Expr| match item {
        Expr::List(pair) => match pair.as_slice() {
            [Expr::Text(key), value] => Some((key.clone(), value.clone())),
            _ => None,
        },
        _ => None,
    };
    if items.is_empty() {
        // `{}` stands for nothing, as an object or as a list.
        return Some(Value::Object(Map::new()));
    }
    if let Some(pairs) = items.iter().map(pair).collect::<Option<Vec<_>>>() {
        let fields = pairs.into_iter().map(|(key, value)| Some((key, value.json()?)));
        return Some(Value::Object(fields.collect::<Option<Map<_, _>>>()?));
    }
    items.iter().map(Expr::json).collect::<Option<Value>>()
}
