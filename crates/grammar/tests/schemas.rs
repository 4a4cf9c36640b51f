//! JSON-Schema-Test-Suite, draft 2020-12: of a schema that compiles, valid instances fit and
//! invalid ones do not; schemas that do not compile stand in a list.

mod support;

use std::sync::Arc;

use grammar::{Grammar, Kind, Vocabulary};
use serde_json::Value;
use support::{bytes, cache, compare, fits, read};

/// Orders of an object's keys that are tried: a grammar asks for the order of the schema.
const ORDERS_MAX: usize = 120;

#[test]
fn the_official_suite() {
    let vocabulary = bytes();
    let folder = cache().join("json-schema-test-suite/draft2020-12");
    let listing = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask setup`", folder.display()));
    let mut files: Vec<_> = listing.map(|entry| entry.expect("a folder").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let mut tally = Tally::default();
    for path in files {
        let groups: Value = serde_json::from_str(&read(&path)).expect("JSON");
        let file = path.file_stem().expect("a name").to_string_lossy().into_owned();
        for group in groups.as_array().expect("groups") {
            tally.group(&vocabulary, &file, group);
        }
    }
    assert_eq!((tally.schemas, tally.instances), (368, 1257), "the whole suite was run");
    compare("refused schemas", &tally.refused);
    compare("wrong instances", &tally.wrong);
}

#[derive(Default)]
struct Tally {
    schemas: usize,
    instances: usize,
    refused: Vec<String>,
    wrong: Vec<String>,
}

impl Tally {
    fn group(&mut self, vocabulary: &Arc<Vocabulary>, file: &str, group: &Value) {
        self.schemas += 1;
        let about = group["description"].as_str().expect("a description");
        let tests = group["tests"].as_array().expect("tests");
        self.instances += tests.len();
        let schema = group["schema"].to_string();
        let grammar = match Grammar::compile(vocabulary, Kind::JsonSchema, &schema) {
            Ok(grammar) => grammar,
            Err(error) => {
                // A schema that nothing fits is refused rightly.
                if tests.iter().any(|test| test["valid"] == true) {
                    self.refused.push(format!("* {file}: {about}: {error}"));
                }
                return;
            }
        };
        for test in tests {
            let is_valid = test["valid"] == true;
            let accepted = orders(&test["data"]).iter().any(|text| fits(&grammar, text.as_bytes()));
            if accepted != is_valid {
                let said = if accepted { "accepted" } else { "rejected" };
                let case = test["description"].as_str().expect("a description");
                self.wrong.push(format!("* {file}: {about}: {case}: {said}"));
            }
        }
    }
}

/// The value written without spaces, its objects' keys in every order.
fn orders(value: &Value) -> Vec<String> {
    let joined = |parts: Vec<Vec<String>>, open: &str, close: &str| {
        let mut texts = vec![String::new()];
        for part in parts {
            let longer = |text: &String| {
                let comma = if text.is_empty() { "" } else { "," };
                let text = text.clone();
                part.iter().map(move |next| format!("{text}{comma}{next}")).collect::<Vec<_>>()
            };
            texts = texts.iter().flat_map(longer).take(ORDERS_MAX).collect();
        }
        texts.into_iter().map(|text| format!("{open}{text}{close}")).collect::<Vec<_>>()
    };
    match value {
        Value::Array(items) => joined(items.iter().map(orders).collect(), "[", "]"),
        Value::Object(map) => {
            let fields: Vec<Vec<String>> = map
                .iter()
                .map(|(key, value)| {
                    let key = Value::from(key.as_str());
                    orders(value).iter().map(|value| format!("{key}:{value}")).collect()
                })
                .collect();
            let texts = permutations(&fields).into_iter().flat_map(|it| joined(it, "{", "}"));
            texts.take(ORDERS_MAX).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            vec![value.to_string()]
        }
    }
}

fn permutations(items: &[Vec<String>]) -> Vec<Vec<Vec<String>>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for at in 0..items.len() {
        let mut rest = items.to_vec();
        let first = rest.remove(at);
        for mut order in permutations(&rest) {
            order.insert(0, first.clone());
            all.push(order);
            if all.len() >= ORDERS_MAX {
                return all;
            }
        }
    }
    all
}
