//! What minijinja does not know is written differently before it reads a template: `generation`,
//! Hugging Face's statement that marks what the assistant says, for training; when a prompt is made
//! it only bounds a scope, as `with` does. Lists that change in place. A plus without anything
//! before it, which changes no number, and `a[]`, which asks for the empty tuple. Dictionaries
//! whose keys are not texts, floats as indices, and questions about methods: see `keyed`.

use crate::keyed::{ATTRIBUTE_TESTS, BY_PYTHON, FLOAT_KEY, is_method};

/// The source as minijinja takes it; lines stay as they are.
pub(crate) fn prepare(source: &str) -> String {
    with_plain_expressions(&with_lists(&without_generation(source)))
}

/// A statement or an expression with its delimiters, and what stands around it.
struct Tag<'s> {
    before: &'s str,
    text: &'s str,
    close: &'static str,
    after: &'s str,
}

/// The first tag of a source. Comments and what stands in a `raw` block are text.
fn next_tag(source: &str) -> Option<Tag<'_>> {
    let mut from = 0;
    loop {
        let start = from + source[from..].find('{')?;
        let close = match source.as_bytes().get(start + 1) {
            Some(b'%') => "%}",
            Some(b'{') => "}}",
            Some(b'#') => "#}",
            _ => {
                from = start + 1;
                continue;
            }
        };
        let end = source[start..].find(close).map_or(source.len(), |at| start + at + close.len());
        let text = &source[start..end];
        match keyword(&text[2..]).0 {
            _ if close == "#}" => from = end,
            "raw" if close == "%}" => {
                from = end + source[end..].find("endraw").unwrap_or(source.len() - end);
            }
            _ => {
                let (before, after) = (&source[..start], &source[end..]);
                return Some(Tag { before, text, close, after });
            }
        }
    }
}

/// Words after which an expression begins.
const BEFORE_VALUES: &[&str] = &["and", "elif", "else", "if", "in", "is", "not", "or"];

fn with_plain_expressions(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(Tag { before, text, after, .. }) = next_tag(rest) {
        out.push_str(before);
        out.extend(Expressions::default().read(text));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The expressions of a tag, written anew: without signs of plus, with a tuple in empty brackets,
/// and with marks where Python's keys and methods are more than minijinja's (`keyed`).
#[derive(Default)]
struct Expressions<'s> {
    pieces: Vec<&'s str>,
    open: Vec<Bracket>,
    /// Whether what was read last is a value, so that an operator follows.
    after_value: bool,
}

/// A bracket that was opened; of a dictionary also what its keys are.
struct Bracket {
    /// The piece before it, which is empty until a mark is due.
    mark: usize,
    is_dictionary: bool,
    in_key: bool,
    all_texts: bool,
}

impl<'s> Expressions<'s> {
    fn read(mut self, tag: &'s str) -> Vec<&'s str> {
        // What follows the delimiter at once is a sign for white space.
        let head = 2 + usize::from(tag[2..].starts_with(['-', '+']));
        let (head, mut rest) = tag.split_at(head.min(tag.len()));
        self.pieces.push(head);
        while let Some(first) = rest.chars().next() {
            let len = match first {
                '"' | '\'' => text_len(rest),
                _ if is_of_word(first) => rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()),
                _ => first.len_utf8(),
            };
            let (token, after) = rest.split_at(len);
            self.note_key(token);
            rest = self.push(token, after);
            self.after_value = match first {
                '"' | '\'' | ')' | ']' | '}' => true,
                _ if is_of_word(first) => !BEFORE_VALUES.contains(&token),
                _ => self.after_value && first.is_whitespace(),
            };
        }
        self.pieces
    }

    /// Whether the keys of the dictionary that is open are still all texts.
    fn note_key(&mut self, token: &str) {
        let Some(open) = self.open.last_mut().filter(|open| open.is_dictionary) else { return };
        match token {
            ":" => open.in_key = false,
            "," => open.in_key = true,
            "}" => {}
            _ if token.starts_with(['"', '\'']) || token.trim().is_empty() => {}
            _ => open.all_texts &= !open.in_key,
        }
    }

    /// Writes a token; what is left to be read.
    fn push(&mut self, token: &'s str, after: &'s str) -> &'s str {
        match token {
            "+" if !self.after_value && !after.starts_with(['%', '}']) => {}
            "[" if self.after_value && after.trim_start().starts_with(']') => {
                self.open(false);
                self.pieces.push("[()");
            }
            "[" if self.after_value && float_index(after).is_some() => {
                let number = float_index(after).unwrap_or_default();
                self.open(false);
                self.pieces.extend(["[(", number, "|", FLOAT_KEY, ")"]);
                return &after[after.find(']').unwrap_or(after.len())..];
            }
            "(" | "[" | "{" => {
                self.open(token == "{");
                self.pieces.push(token);
            }
            ")" | "]" | "}" => {
                self.pieces.push(token);
                if let Some(open) = self.open.pop().filter(|open| !open.all_texts) {
                    self.pieces[open.mark] = "(";
                    self.pieces.extend(["|", BY_PYTHON, ")"]);
                }
            }
            _ => match method_test(token, after) {
                Some((value, words, rest)) => {
                    self.pieces.push(value);
                    self.pieces.extend(words);
                    return rest;
                }
                None => self.pieces.push(token),
            },
        }
        after
    }

    fn open(&mut self, is_dictionary: bool) {
        let mark = self.pieces.len();
        self.pieces.push("");
        self.open.push(Bracket { mark, is_dictionary, in_key: is_dictionary, all_texts: true });
    }
}

/// The float that stands alone before a closing bracket.
fn float_index(after: &str) -> Option<&str> {
    let number = after.trim_start();
    let end = number.find(|letter| !is_of_word(letter))?;
    let (number, rest) = number.split_at(end);
    let (whole, part) = number.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(whole) && digits(part) && rest.trim_start().starts_with(']')).then_some(number)
}

/// `a.keys is defined`: `a`, the words of a test that knows methods too, and what follows them.
fn method_test<'s>(token: &'s str, after: &'s str) -> Option<(&'s str, [&'s str; 5], &'s str)> {
    let (value, name) = token.rsplit_once('.').filter(|(_, name)| is_method(name))?;
    let word = |rest: &'s str| {
        let rest = rest.trim_start();
        rest.split_at(rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len()))
    };
    let (_, rest) = Some(word(after)).filter(|(is, _)| *is == "is")?;
    let ((asked, rest), negated) = match word(rest) {
        ("not", rest) => (word(rest), " is not "),
        asked => (asked, " is "),
    };
    let (_, test) = ATTRIBUTE_TESTS.iter().find(|(known, _)| *known == asked)?;
    Some((value, [negated, test, "('", name, "')"], rest))
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '.'
}

/// The bytes of a text with its quotes.
fn text_len(source: &str) -> usize {
    let mut letters = source.char_indices();
    let quote = letters.next().map(|(_, quote)| quote);
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' {
            letters.next();
        } else if Some(letter) == quote {
            return at + 1;
        }
    }
    source.len()
}

/// Lists that are changed in place, as Python's are and minijinja's are not: a statement that
/// appends or pops becomes one that sets the variable anew. That is the same where the variable
/// belongs to a namespace, or where nothing around the statement has a scope of its own; elsewhere
/// the statement stays, and fails by name.
fn with_lists(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut scopes = 0_usize;
    while let Some(Tag { before, text: tag, close, after }) = next_tag(rest) {
        out.push_str(before);
        let inner = tag[2..].strip_suffix(close).unwrap_or_default();
        let inner = inner.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        match inner.split_whitespace().next() {
            Some("for" | "macro" | "call") if close == "%}" => scopes += 1,
            Some("endfor" | "endmacro" | "endcall") if close == "%}" => {
                scopes = scopes.saturating_sub(1);
            }
            _ => {}
        }
        match changed_list(inner, close, scopes == 0) {
            Some((value, new)) => {
                let (open, shut) = (&tag[..tag.find(inner).unwrap_or(2)], tag_end(tag));
                let list = inner_path(inner).unwrap_or_default();
                out.push_str(&format!("{open}{value} {close}{{% set {list} = {new} {shut}"));
            }
            None => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// How a statement's tag ends, with its sign for white space.
fn tag_end(tag: &str) -> &'static str {
    if tag.ends_with("-%}") || tag.ends_with("-}}") { "-%}" } else { "%}" }
}

/// The list that a statement changes: `a.b` of `set _ = a.b.append(..)`.
fn inner_path(inner: &str) -> Option<&str> {
    let call = inner.find(".append(").or_else(|| inner.find(".pop("))?;
    let start = inner[..call].rfind(['=', ' ']).map_or(0, |at| at + 1);
    let path = &inner[start..call];
    let fine = |letter: char| letter.is_ascii_alphanumeric() || "_.".contains(letter);
    (!path.is_empty() && path.chars().all(fine)).then_some(path)
}

/// What takes the place of a statement that changes a list: what it gives, and the new list.
fn changed_list(inner: &str, close: &str, unscoped: bool) -> Option<(String, String)> {
    let path = inner_path(inner)?;
    let (head, call) = inner.split_once(path)?;
    let is_set = close == "%}" && head.starts_with("set ") && head.trim_end().ends_with('=');
    let is_shown = close == "}}" && head.is_empty();
    if !(is_set || is_shown) || !(unscoped || path.contains('.')) {
        return None;
    }
    let argument = call.trim_end().strip_suffix(')')?;
    if let Some(item) = argument.strip_prefix(".append(") {
        return Some((format!("{head}none"), format!("{path} + [{item}]"))).filter(|_| is_set);
    }
    let (index, new) = match argument.strip_prefix(".pop(")?.trim() {
        "" | "-1" => ("-1", format!("{path}[:-1]")),
        "0" => ("0", format!("{path}[1:]")),
        _ => return None,
    };
    Some((format!("{head}{path}[{index}]"), new))
}

/// The source with `with` for `generation`; lines and white space stay as they are.
fn without_generation(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at + 2);
        out.push_str(before);
        let (keyword, length) = keyword(tag);
        match keyword {
            "generation" => out.push_str(&tag[..length].replace("generation", "with")),
            "endgeneration" => out.push_str(&tag[..length].replace("endgeneration", "endwith")),
            _ => out.push_str(&tag[..length]),
        }
        rest = &tag[length..];
    }
    out.push_str(rest);
    out
}

/// The word after `{%`, and how many bytes it and what stands before it have; an empty word where
/// more than it stands in the tag.
fn keyword(tag: &str) -> (&str, usize) {
    let body = tag.strip_prefix(['-', '+']).unwrap_or(tag).trim_start();
    let start = tag.len() - body.len();
    let length = body.bytes().take_while(u8::is_ascii_alphabetic).count();
    let after = body[length..].trim_start();
    let alone = ["%}", "-%}", "+%}"].iter().any(|end| after.starts_with(end));
    (if alone { &body[..length] } else { "" }, start + length)
}

#[cfg(test)]
mod tests {
    use super::{with_lists, with_plain_expressions, without_generation};

    #[test]
    fn only_the_statement_is_replaced() {
        for (source, wanted) in [
            ("a{%- generation -%}b{% endgeneration %}c", "a{%- with -%}b{% endwith %}c"),
            ("{%generation+%}{%\n endgeneration%}", "{%with+%}{%\n endwith%}"),
            ("{% if generation %}{{ generation }}{%", "{% if generation %}{{ generation }}{%"),
            ("{% set generation = 1 %}", "{% set generation = 1 %}"),
            ("{%", "{%"),
        ] {
            assert_eq!(without_generation(source), wanted);
        }
    }

    #[test]
    fn a_plus_before_a_value_goes_and_empty_brackets_ask_for_a_tuple() {
        for (source, wanted) in [
            ("{{ +n }}{{+ -n+m +}}", "{{ n }}{{+ -n+m +}}"),
            ("{%+ if +a + +b in [+c] -%}", "{%+ if a + b in [c] -%}"),
            ("{{ a[]|d }}{{ a[ ] }}{{ f()[] }}", "{{ a[()]|d }}{{ a[() ] }}{{ f()[()] }}"),
            ("{% set a = [] %}{{ x in [] }}", "{% set a = [] %}{{ x in [] }}"),
            (r#"{{ "\" +n[]" ~ ' +n' }}"#, r#"{{ "\" +n[]" ~ ' +n' }}"#),
            ("{{ 'a' + 'b' }}{{ a[0] + 1 }}", "{{ 'a' + 'b' }}{{ a[0] + 1 }}"),
            ("{% raw %}{{ +n }}{% endraw %}", "{% raw %}{{ +n }}{% endraw %}"),
            ("+a[] {# +n #} { +n", "+a[] {# +n #} { +n"),
            ("{{ +", "{{ "),
            ("{{", "{{"),
        ] {
            assert_eq!(with_plain_expressions(source), wanted);
        }
    }

    #[test]
    fn keys_and_methods_are_marked() {
        for (source, wanted) in [
            ("{% set d = {'a': 1, \"b\": {'c': x}} %}", "{% set d = {'a': 1, \"b\": {'c': x}} %}"),
            ("{{ {1: 2}[1] }}", "{{ ({1: 2}|keyed_by_python)[1] }}"),
            (
                "{% set d = {'a': {true: [x, {}]}, 'b': y} %}",
                "{% set d = {'a': ({true: [x, {}]}|keyed_by_python), 'b': y} %}",
            ),
            ("{% set d = {'a': b[1:2], (0, 0): 1", "{% set d = {'a': b[1:2], (0, 0): 1"),
            ("{{ a[ 1.0 ] + [1.0][0] + a[1] }}", "{{ a[(1.0|float_key)] + [1.0][0] + a[1] }}"),
            ("{{ a[1.0:] }}{{ a[x.y] }}", "{{ a[1.0:] }}{{ a[x.y] }}"),
            ("{{ o.keys is defined }}", "{{ o is with_attribute('keys') }}"),
            ("{{ ''.strip is not callable and x", "{{ '' is not with_callable('strip') and x"),
            ("{{ o.name is defined }}{{ keys is", "{{ o.name is defined }}{{ keys is"),
            ("{{ o.keys() is defined }}", "{{ o.keys() is defined }}"),
            ("{{ '{1: 2}' }} {1: 2} o.keys is defined", "{{ '{1: 2}' }} {1: 2} o.keys is defined"),
        ] {
            assert_eq!(with_plain_expressions(source), wanted);
        }
    }

    #[test]
    fn lists_that_change_are_set_anew() {
        for (source, wanted) in [
            (
                "{%- set _ = q.ids.append(x) -%}y",
                "{%- set _ = none %}{% set q.ids = q.ids + [x] -%}y",
            ),
            ("{% set id = q.ids.pop(0) %}", "{% set id = q.ids[0] %}{% set q.ids = q.ids[1:] %}"),
            ("{{ a.pop() }}", "{{ a[-1] }}{% set a = a[:-1] %}"),
            (
                "{% for x in y %}{{ a.pop() }}{% endfor %}",
                "{% for x in y %}{{ a.pop() }}{% endfor %}",
            ),
            ("{# a.pop() #}{ a.pop()", "{# a.pop() #}{ a.pop()"),
            ("{{ f(a.pop()) }}", "{{ f(a.pop()) }}"),
        ] {
            assert_eq!(with_lists(source), wanted);
        }
    }
}
