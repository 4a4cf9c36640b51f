//! What may follow each lexeme.

use super::sets::{Alphabet, Set};

/// A rule in lexemes.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Lexeme(usize),
    Seq(Vec<Part>),
    Alt(Vec<Part>),
    Repeat(Box<Part>, u32, Option<u32>),
    Rule(usize),
    Token { id: u32, negated: bool },
}

impl Default for Part {
    /// The empty text.
    fn default() -> Part {
        Part::Seq(Vec::new())
    }
}

/// First characters, and whether it may be empty.
type Begin = (bool, Set);

pub(super) struct Follows<'a> {
    rules: &'a [Part],
    lexemes: &'a [Begin],
    all: Set,
    begins: Vec<Begin>,
    of_rules: Vec<Set>,
    of_lexemes: Vec<Set>,
}

/// For each lexeme the characters that may come right after it.
pub(super) fn follows(rules: &[Part], lexemes: &[Begin], alphabet: &Alphabet) -> Vec<Set> {
    let mut follows = Follows {
        rules,
        lexemes,
        all: alphabet.all(),
        begins: vec![Begin::default(); rules.len()],
        of_rules: vec![Set::default(); rules.len()],
        of_lexemes: vec![Set::default(); lexemes.len()],
    };
    follows.find_begins();
    while follows.pass() {}
    follows.of_lexemes
}

impl Follows<'_> {
    fn find_begins(&mut self) {
        loop {
            let found: Vec<Begin> = self.rules.iter().map(|rule| self.begin(rule)).collect();
            if found == self.begins {
                return;
            }
            self.begins = found;
        }
    }

    fn begin(&self, part: &Part) -> Begin {
        match part {
            Part::Lexeme(lexeme) => self.lexemes[*lexeme].clone(),
            Part::Seq(items) => {
                let mut begin = (true, Set::default());
                for item in items {
                    if begin.0 {
                        let next = self.begin(item);
                        begin.0 = next.0;
                        begin.1.join(&next.1);
                    }
                }
                begin
            }
            Part::Alt(items) => {
                let mut begin = Begin::default();
                for item in items {
                    let next = self.begin(item);
                    begin.0 |= next.0;
                    begin.1.join(&next.1);
                }
                begin
            }
            Part::Repeat(inner, least, most) => {
                let (empty, first) = self.begin(inner);
                if *most == Some(0) {
                    (true, Set::default())
                } else {
                    (empty || *least == 0, first)
                }
            }
            Part::Rule(rule) => self.begins[*rule].clone(),
            // A token may hold any text.
            Part::Token { .. } => (false, self.all.clone()),
        }
    }

    /// Whether anything was learnt.
    fn pass(&mut self) -> bool {
        let rules = self.rules;
        let mut changed = false;
        for (at, rule) in rules.iter().enumerate() {
            let after = self.of_rules[at].clone();
            changed |= self.walk(rule, &after);
        }
        changed
    }

    fn walk(&mut self, part: &Part, after: &Set) -> bool {
        match part {
            Part::Lexeme(lexeme) => self.of_lexemes[*lexeme].join(after),
            Part::Rule(rule) => self.of_rules[*rule].join(after),
            Part::Token { .. } => false,
            Part::Alt(items) => {
                let mut changed = false;
                for item in items {
                    changed |= self.walk(item, after);
                }
                changed
            }
            Part::Seq(items) => {
                let (mut changed, mut after) = (false, after.clone());
                for item in items.iter().rev() {
                    changed |= self.walk(item, &after);
                    let (empty, mut first) = self.begin(item);
                    if empty {
                        first.join(&after);
                    }
                    after = first;
                }
                changed
            }
            Part::Repeat(inner, _, most) => {
                let mut after = after.clone();
                if *most != Some(1) {
                    after.join(&self.begin(inner).1);
                }
                self.walk(inner, &after)
            }
        }
    }
}
