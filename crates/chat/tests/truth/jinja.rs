//! The Jinja of chat templates, case by case.

use chat::{RenderOptions, Template};
use serde_json::Value;

use crate::cpp::{self, Expr, Reader, Token};

/// Cases that hob answers otherwise, with the reason. This list may only shrink.
const DIFFER: &[(&str, &str)] = &[];

struct Case {
    name: String,
    source: String,
    variables: serde_json::Map<String, Value>,
    wanted: String,
}

fn cases() -> Vec<Case> {
    let tokens = cpp::tokens(&cpp::read("test-jinja.cpp"));
    let call = [Token::Word("test_template".to_owned()), Token::Sign('(')];
    let starts = (0..tokens.len()).filter(|at| tokens[*at..].starts_with(&call));
    let case = |at: usize| {
        let mut reader = Reader { rest: &tokens[at + 2..] };
        let items = reader.list(')').unwrap_or_default();
        match items.as_slice() {
            [Expr::Word(_), Expr::Text(name), source, variables, wanted] => {
                let text = |expr: &Expr| Some(expr.json()?.as_str()?.to_owned());
                let Some(Value::Object(variables)) = variables.json() else {
                    panic!("{name}: {variables:?} is no object");
                };
                let (source, wanted) = (text(source).expect("text"), text(wanted).expect("text"));
                Some(Case { name: name.clone(), source, variables, wanted })
            }
            _ => None,
        }
    };
    starts.filter_map(case).collect()
}

#[test]
fn jinja_is_as_llama_cpp_expects() {
    let cases = cases();
    assert_eq!(cases.len(), 306, "all cases are read");
    let (mut failed, mut right) = (Vec::new(), 0);
    for case in &cases {
        let options = RenderOptions { extra: case.variables.clone(), ..RenderOptions::default() };
        let found = Template::new(&case.source, "", "")
            .and_then(|template| template.render(&[], &options))
            .map_err(|error| error.to_string());
        if found.as_ref() == Ok(&case.wanted) {
            right += 1;
        } else {
            println!(
                "{}: {:?}\n  wanted {:?}\n  found  {found:?}",
                case.name, case.source, case.wanted
            );
            failed.push(case.name.as_str());
        }
    }
    let listed: Vec<&str> = DIFFER.iter().map(|(name, _)| *name).collect();
    assert_eq!(failed, listed, "the list of what differs is exact; {right} are right");
}
