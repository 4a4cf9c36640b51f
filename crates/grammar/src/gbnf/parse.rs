//! Reads GBNF.

use std::collections::HashMap;

use super::tree::{Chars, Grammar, Node, any_char, negated, normal};

/// Most repetitions that may be written; more copies than that never come from a person.
const REPEAT_MAX: u32 = 10_000;

type Read<T> = Result<T, String>;

pub(super) fn parse(
    source: &str,
    depth_max: usize,
    named: &dyn Fn(&[u8]) -> Option<u32>,
) -> Read<Grammar> {
    let chars: Vec<char> = source.chars().collect();
    let mut reader = Reader {
        chars: &chars,
        at: 0,
        depth_max,
        named,
        places: HashMap::new(),
        used_at: Vec::new(),
        rules: Vec::new(),
    };
    reader.space(true);
    while reader.peek().is_some() {
        reader.rule()?;
    }
    reader.finish()
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
    depth_max: usize,
    named: &'a dyn Fn(&[u8]) -> Option<u32>,
    places: HashMap<String, usize>,
    /// Where each rule was first named, to say so when it is missing.
    used_at: Vec<(String, usize)>,
    rules: Vec<Option<Node>>,
}

impl Reader<'_> {
    fn finish(self) -> Read<Grammar> {
        let mut rules = Vec::with_capacity(self.rules.len());
        for (rule, (name, at)) in self.rules.iter().zip(&self.used_at) {
            let Some(body) = rule else {
                return Err(self.fault(*at, &format!("the rule `{name}` is missing: write it")));
            };
            rules.push(body.clone());
        }
        let Some(root) = self.places.get("root").copied() else {
            return Err("it has no rule `root`: name the rule where it starts so".to_owned());
        };
        Ok(Grammar { rules, root })
    }

    fn fault(&self, at: usize, what: &str) -> String {
        let before = &self.chars[..at.min(self.chars.len())];
        let line = before.iter().filter(|c| **c == '\n').count() + 1;
        let column = before.iter().rev().take_while(|c| **c != '\n').count() + 1;
        format!("line {line}, column {column}: {what}")
    }

    fn expected(&self, what: &str) -> String {
        let found = match self.peek() {
            Some(c) => format!("`{}`", c.escape_default()),
            None => "the end".to_owned(),
        };
        self.fault(self.at, &format!("{what} is expected and {found} found"))
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn demand(&mut self, wanted: char) -> Read<()> {
        if self.take(wanted) { Ok(()) } else { Err(self.expected(&format!("`{wanted}`"))) }
    }

    /// Skips spaces and comments, and ends of lines where those mean nothing.
    fn space(&mut self, lines: bool) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' => self.at += 1,
                '#' => {
                    while self.peek().is_some_and(|c| !matches!(c, '\r' | '\n')) {
                        self.at += 1;
                    }
                }
                '\r' | '\n' if lines => self.at += 1,
                _ => return,
            }
        }
    }

    fn name(&mut self) -> Read<String> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '-') {
            self.at += 1;
        }
        if start == self.at {
            return Err(self.expected("the name of a rule"));
        }
        Ok(self.chars[start..self.at].iter().collect())
    }

    fn place(&mut self, name: String, at: usize) -> usize {
        if let Some(place) = self.places.get(&name) {
            return *place;
        }
        self.places.insert(name.clone(), self.rules.len());
        self.used_at.push((name, at));
        self.rules.push(None);
        self.rules.len() - 1
    }

    fn rule(&mut self) -> Read<()> {
        let start = self.at;
        let name = self.name()?;
        let place = self.place(name, start);
        self.space(false);
        for wanted in "::=".chars() {
            self.demand(wanted)?;
        }
        self.space(true);
        let body = self.alternatives(0)?;
        // Where a rule is written twice, the later counts.
        self.rules[place] = Some(body);
        match self.peek() {
            None | Some('\r' | '\n') => {}
            Some(_) => return Err(self.expected("the end of the line")),
        }
        self.space(true);
        Ok(())
    }

    fn alternatives(&mut self, depth: usize) -> Read<Node> {
        if depth > self.depth_max {
            let what = format!("it nests deeper than {} levels: make it flatter", self.depth_max);
            return Err(self.fault(self.at, &what));
        }
        let mut items = vec![self.sequence(depth)?];
        while self.take('|') {
            self.space(true);
            items.push(self.sequence(depth)?);
        }
        Ok(if items.len() == 1 { items.remove(0) } else { Node::Alt(items) })
    }

    fn sequence(&mut self, depth: usize) -> Read<Node> {
        let mut items = Vec::new();
        while let Some(c) = self.peek() {
            let start = self.at;
            let item = match c {
                '"' => self.literal()?,
                '[' => self.class()?,
                '.' => {
                    self.at += 1;
                    Node::Chars(any_char())
                }
                '(' => {
                    self.at += 1;
                    self.space(true);
                    let inner = self.alternatives(depth + 1)?;
                    self.demand(')')?;
                    inner
                }
                '<' | '!' => self.token()?,
                c if c.is_ascii_alphanumeric() || c == '-' => {
                    let name = self.name()?;
                    Node::Rule(self.place(name, start))
                }
                _ => break,
            };
            self.space(depth > 0);
            let item = self.repeated(item)?;
            self.space(depth > 0);
            items.push(item);
        }
        Ok(if items.len() == 1 { items.remove(0) } else { Node::Seq(items) })
    }

    fn repeated(&mut self, mut item: Node) -> Read<Node> {
        loop {
            let (least, most) = match self.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => self.counts()?,
                _ => return Ok(item),
            };
            self.at += 1;
            item = Node::Repeat(Box::new(item), least, most);
        }
    }

    /// `{m}`, `{m,}`, `{m,n}`; stops before the brace.
    fn counts(&mut self) -> Read<(u32, Option<u32>)> {
        let start = self.at;
        self.at += 1;
        self.space(true);
        let least = self.number()?;
        self.space(true);
        let most = if self.take(',') {
            self.space(true);
            if self.peek() == Some('}') { None } else { Some(self.number()?) }
        } else {
            Some(least)
        };
        self.space(true);
        if self.peek() != Some('}') {
            return Err(self.expected("`}`"));
        }
        if most.is_some_and(|most| most < least) {
            return Err(self.fault(start, "it repeats at most less often than at least"));
        }
        Ok((least, most))
    }

    fn number(&mut self) -> Read<u32> {
        let start = self.at;
        let mut value = 0_u32;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            value = value.saturating_mul(10).saturating_add(digit);
            self.at += 1;
        }
        if start == self.at {
            return Err(self.expected("a number"));
        }
        if value > REPEAT_MAX {
            let what = format!("{value} repetitions are too many: at most {REPEAT_MAX}");
            return Err(self.fault(start, &what));
        }
        Ok(value)
    }

    fn literal(&mut self) -> Read<Node> {
        let start = self.at;
        self.at += 1;
        let mut items = Vec::new();
        while !self.take('"') {
            if self.peek().is_none() {
                return Err(self.fault(start, "this text has no closing quote"));
            }
            let c = self.character()?;
            items.push(Node::Chars(normal(vec![(c, c)])));
        }
        Ok(if items.len() == 1 { items.remove(0) } else { Node::Seq(items) })
    }

    fn class(&mut self) -> Read<Node> {
        let start = self.at;
        self.at += 1;
        let inverted = self.take('^');
        let mut ranges = Chars::new();
        while !self.take(']') {
            if self.peek().is_none() {
                return Err(self.fault(start, "these characters have no closing bracket"));
            }
            let first = self.character()?;
            let is_range = self.peek() == Some('-')
                && self.chars.get(self.at + 1).is_some_and(|next| *next != ']');
            let last = if is_range {
                self.at += 1;
                self.character()?
            } else {
                first
            };
            if first <= last {
                ranges.push((first, last));
            }
        }
        let ranges = normal(ranges);
        Ok(Node::Chars(if inverted { negated(&ranges) } else { ranges }))
    }

    /// A character of a text or class, with its escapes.
    fn character(&mut self) -> Read<u32> {
        let start = self.at;
        let Some(c) = self.peek() else { return Err(self.expected("a character")) };
        self.at += 1;
        if c != '\\' {
            return Ok(u32::from(c));
        }
        let Some(escaped) = self.peek() else { return Err(self.expected("an escape")) };
        self.at += 1;
        let digits = match escaped {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            't' => return Ok(9),
            'n' => return Ok(10),
            'r' => return Ok(13),
            '\\' | '"' | '[' | ']' => return Ok(u32::from(escaped)),
            other => {
                let what = format!("`\\{}` is no escape", other.escape_default());
                return Err(self.fault(start, &what));
            }
        };
        let mut value = 0_u32;
        for _ in 0..digits {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else {
                return Err(self.expected(&format!("one of {digits} hexadecimal digits")));
            };
            value = value.checked_mul(16).map_or(u32::MAX, |value| value | digit);
            self.at += 1;
        }
        Ok(value)
    }

    /// `<[7]>`, `<text>`, and the same behind `!`.
    fn token(&mut self) -> Read<Node> {
        let start = self.at;
        let negated = self.take('!');
        self.demand('<')?;
        let id = if self.take('[') {
            let digits = self.at;
            while self.peek().is_some_and(|c| c.is_ascii_digit()) {
                self.at += 1;
            }
            let text: String = self.chars[digits..self.at].iter().collect();
            self.demand(']')?;
            let no_id = |_| self.fault(digits, "this is no id of a token");
            text.parse().map_err(no_id)?
        } else {
            while self.peek().is_some_and(|c| !matches!(c, '>' | '\n')) {
                self.at += 1;
            }
            let from = start + usize::from(negated);
            let text: String = self.chars[from..self.at].iter().chain(&['>']).collect();
            let missing = || self.fault(start, &format!("`{text}` is no token of this model"));
            (self.named)(text.as_bytes()).ok_or_else(missing)?
        };
        self.demand('>')?;
        Ok(Node::Token { id, negated })
    }
}
