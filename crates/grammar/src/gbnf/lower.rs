//! From a grammar to the text of one in Lark.

use std::fmt::Write as _;

use super::automaton::Automaton;
use super::check::{Part, follows};
use super::regex::{class, count, regex_of};
use super::sets::Alphabet;
use super::tree::{Grammar, Node, is_regular};

pub(super) fn lower(grammar: &Grammar) -> String {
    let regular = grammar.regular_rules();
    let written = Lexed::of(grammar, &|node| is_regular(node, &regular));
    if let Some(lark) = written.to_lark(grammar) {
        return lark;
    }
    Lexed::of(grammar, &|node| matches!(node, Node::Chars(_))).single_chars()
}

/// A grammar cut into lexemes.
struct Lexed {
    /// None for those that the root does not lead to, or only from within lexemes.
    rules: Vec<Option<Part>>,
    lexemes: Vec<Node>,
    root: usize,
}

impl Lexed {
    fn of(grammar: &Grammar, is_lexeme: &dyn Fn(&Node) -> bool) -> Lexed {
        let rules = vec![None; grammar.rules.len()];
        let mut lexed = Lexed { rules, lexemes: Vec::new(), root: grammar.root };
        let mut open = vec![grammar.root];
        while let Some(rule) = open.pop() {
            if lexed.rules[rule].is_none() {
                let part = lexed.part(&grammar.rules[rule], (grammar, is_lexeme));
                rules_in(&part, &mut open);
                lexed.rules[rule] = Some(part);
            }
        }
        lexed
    }

    fn part(&mut self, node: &Node, by: (&Grammar, &dyn Fn(&Node) -> bool)) -> Part {
        if by.1(node) {
            let named = |node: &Node| match node {
                Node::Rule(rule) => Some(*rule),
                Node::Chars(_) | Node::Seq(_) | Node::Alt(_) => None,
                Node::Repeat(..) | Node::Token { .. } => None,
            };
            let mut node = node;
            while let Some(rule) = named(node) {
                node = &by.0.rules[rule];
            }
            let known = self.lexemes.iter().position(|lexeme| lexeme == node);
            return Part::Lexeme(known.unwrap_or_else(|| {
                self.lexemes.push(node.clone());
                self.lexemes.len() - 1
            }));
        }
        let mut parts = |items: &[Node]| -> Vec<Part> {
            items.iter().map(|item| self.part(item, by)).collect()
        };
        match node {
            Node::Seq(items) => Part::Seq(parts(items)),
            Node::Alt(items) => Part::Alt(parts(items)),
            Node::Repeat(inner, least, most) => {
                Part::Repeat(Box::new(self.part(inner, by)), *least, *most)
            }
            Node::Rule(rule) => Part::Rule(*rule),
            Node::Token { id, negated } => Part::Token { id: *id, negated: *negated },
            Node::Chars(_) => unreachable!("characters are a lexeme always"),
        }
    }

    /// None where the lexemes could be cut otherwise than the grammar means, or are too large.
    fn to_lark(&self, grammar: &Grammar) -> Option<String> {
        let alphabet = Alphabet::of(&grammar.rules);
        let automaton = Automaton::of(&self.lexemes, grammar, &alphabet)?;
        let begins = automaton.begins(&alphabet);
        let rules: Vec<Part> =
            self.rules.iter().map(|rule| rule.clone().unwrap_or_default()).collect();
        let follows = follows(&rules, &begins, &alphabet);
        if automaton.is_ambiguous(&follows, &alphabet) {
            return None;
        }
        let regexes: Option<Vec<(String, bool)>> = self
            .lexemes
            .iter()
            .zip(&begins)
            .map(|(node, (empty, _))| Some((regex_of(node, grammar)?, *empty)))
            .collect();
        Some(self.write(&regexes?))
    }

    fn single_chars(&self) -> String {
        let expression = |node: &Node| {
            let mut out = String::new();
            if let Node::Chars(ranges) = node {
                class(ranges, &mut out);
            }
            (out, false)
        };
        let regexes: Vec<(String, bool)> = self.lexemes.iter().map(expression).collect();
        self.write(&regexes)
    }

    fn write(&self, regexes: &[(String, bool)]) -> String {
        let mut out = format!("start: r{}\n", self.root);
        let mut lexemes = vec![false; regexes.len()];
        for (at, rule) in self.rules.iter().enumerate() {
            let Some(rule) = rule else { continue };
            let _ = write!(out, "r{at}: ");
            write_part(rule, regexes, &mut lexemes, &mut out);
            out.push('\n');
        }
        for (at, (regex, empty)) in regexes.iter().enumerate().filter(|(at, _)| lexemes[*at]) {
            // A lexeme has a character at least; that there may be none is said in the rules.
            let some = if *empty { " & /(?s:.)+/" } else { "" };
            let _ = writeln!(out, "T{at}: /{regex}/{some}");
        }
        out
    }
}

fn rules_in(part: &Part, found: &mut Vec<usize>) {
    match part {
        Part::Rule(rule) => found.push(*rule),
        Part::Seq(items) | Part::Alt(items) => {
            items.iter().for_each(|item| rules_in(item, found));
        }
        Part::Repeat(inner, ..) => rules_in(inner, found),
        Part::Lexeme(_) | Part::Token { .. } => {}
    }
}

fn write_part(part: &Part, regexes: &[(String, bool)], lexemes: &mut [bool], out: &mut String) {
    match part {
        Part::Lexeme(lexeme) => {
            lexemes[*lexeme] = true;
            let _ = write!(out, "T{lexeme}");
            if regexes[*lexeme].1 {
                out.push('?');
            }
        }
        Part::Seq(items) if items.is_empty() => out.push_str("\"\""),
        Part::Seq(items) => {
            out.push('(');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                write_part(item, regexes, lexemes, out);
            }
            out.push(')');
        }
        Part::Alt(items) => {
            out.push('(');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(" | ");
                }
                write_part(item, regexes, lexemes, out);
            }
            out.push(')');
        }
        Part::Repeat(inner, least, most) => {
            out.push('(');
            write_part(inner, regexes, lexemes, out);
            out.push(')');
            out.push_str(&count(*least, *most));
        }
        Part::Rule(rule) => {
            let _ = write!(out, "r{rule}");
        }
        Part::Token { id, negated } => {
            let _ = write!(out, "<[{}{id}]>", if *negated { "^" } else { "" });
        }
    }
}
