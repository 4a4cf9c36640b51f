//! A statement that Hugging Face adds to Jinja: `generation` marks what the assistant says, for
//! training. When a prompt is made it only bounds a scope, as `with` does.

/// The source with `with` for `generation`; lines and white space stay as they are.
pub(crate) fn without_generation(source: &str) -> String {
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
    use super::without_generation;

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
}
