//! Two things that minijinja does not know are written differently before it reads a template:
//! `generation`, Hugging Face's statement that marks what the assistant says, for training; when a
//! prompt is made it only bounds a scope, as `with` does. And lists that change in place.

/// The source as minijinja takes it; lines stay as they are.
pub(crate) fn prepare(source: &str) -> String {
    with_lists(&without_generation(source))
}

/// Lists that are changed in place, as Python's are and minijinja's are not: a statement that
/// appends or pops becomes one that sets the variable anew. That is the same where the variable
/// belongs to a namespace, or where nothing around the statement has a scope of its own; elsewhere
/// the statement stays, and fails by name.
fn with_lists(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut scopes = 0_usize;
    while let Some(at) = rest.find(['{']) {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let close = match tag.as_bytes().get(1) {
            Some(b'%') => "%}",
            Some(b'{') => "}}",
            Some(b'#') => "#}",
            _ => {
                out.push('{');
                rest = &tag[1..];
                continue;
            }
        };
        let end = tag.find(close).map_or(tag.len(), |end| end + 2);
        let (tag, after) = tag.split_at(end);
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
    use super::{with_lists, without_generation};

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
