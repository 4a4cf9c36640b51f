//! Answers of a model of random weights that are held to a grammar: whatever the temperature, they
//! fit it or are cut by their length.

mod support;

use std::sync::Arc;

use engine::sampling::SamplingParams;
use engine::{Engine, EngineRequest, Error, Event, FinishReason, Markers};
use grammar::{Grammar, Kind, Reasoning, Vocabulary};
use support::{Answer, answer, backends, options, reference, request, seeded, start, start_gated};

const OBJECT: &str = r#"{"type": "object", "properties": {"age": {"type": "integer", "minimum": 0,
    "maximum": 99}, "pet": {"enum": ["cat", "dog"]}}, "required": ["age", "pet"],
    "additionalProperties": false}"#;

type Fits = fn(&str) -> bool;

/// Grammars, and what fits them in plain words.
const CASES: [(Kind, &str, Fits); 5] = [
    (Kind::Choice, r#"["yes", "no", "perhaps"]"#, |text| ["yes", "no", "perhaps"].contains(&text)),
    (Kind::Regex, "[0-9]{3}-[a-f]{2}", |text| {
        let (number, letters) = text.split_once('-').unwrap_or_default();
        (number.len(), letters.len()) == (3, 2)
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && letters.bytes().all(|byte| (b'a'..=b'f').contains(&byte))
    }),
    (Kind::Gbnf, "root ::= \"(\" root? \")\"", |text| {
        let half = text.len() / 2;
        half > 0 && text == "(".repeat(half) + &")".repeat(half)
    }),
    (Kind::JsonSchema, r#"{"type": "array", "items": {"const": 7}, "maxItems": 3}"#, |text| {
        let text: String = text.split_whitespace().collect();
        ["[]", "[7]", "[7,7]", "[7,7,7]"].contains(&text.as_str())
    }),
    (Kind::JsonSchema, OBJECT, |text| {
        let text: String = text.split_whitespace().collect();
        let inner = text.strip_prefix("{\"age\":").and_then(|rest| rest.strip_suffix("\"}"));
        let (age, pet) = inner.and_then(|it| it.split_once(",\"pet\":\"")).unwrap_or_default();
        age.parse::<u32>().is_ok_and(|age| age < 100) && ["cat", "dog"].contains(&pet)
    }),
];

fn words(engine: &Engine) -> Arc<Vocabulary> {
    engine::vocabulary(engine.tokenizer(), &Markers::default()).expect("a sound vocabulary")
}

fn held(engine: &Engine, sampling: SamplingParams, of: (Kind, &str)) -> EngineRequest {
    let grammar = Grammar::compile(&words(engine), of.0, of.1).expect("a sound grammar");
    let constraint = Some(grammar.matcher(None));
    EngineRequest { sampling, constraint, ..request(engine, "the", 100) }
}

/// No token is barred: where the answer may end, the grammar says.
fn at_temperature(engine: &Engine, temperature: f32, seed: u64) -> SamplingParams {
    SamplingParams { temperature, logit_bias: Vec::new(), ..seeded(engine, seed) }
}

#[test]
fn answers_fit_at_every_temperature() {
    for (backend, kv_format) in backends() {
        let name = backend.name();
        let engine = start((backend, kv_format), options());
        for (kind, source, fits) in CASES {
            let mut whole = 0;
            for (temperature, seed) in [(0.0, 1), (0.7, 2), (1.0, 3), (1.0, 4), (3.0, 5), (30.0, 6)]
            {
                let sampling = at_temperature(&engine, temperature, seed);
                let Answer { text, reason, .. } =
                    answer(&engine, held(&engine, sampling, (kind, source)));
                if reason != FinishReason::Length {
                    whole += 1;
                    assert_eq!(reason, FinishReason::EndOfText, "{name}: {source}: {text}");
                    assert!(fits(&text), "{name}, {temperature}: {source}: {text}");
                }
            }
            assert!(whole >= 2, "{name}: {source}: answers come to an end");
        }
    }
}

#[test]
fn each_of_a_batch_has_its_own_grammar() {
    let (engine, gate) = start_gated(reference(), options());
    let submit = |case: &(Kind, &str, Fits)| {
        let sampling = at_temperature(&engine, 1.0, 9);
        engine.submit(held(&engine, sampling, (case.0, case.1))).expect("room")
    };
    let generations: Vec<_> = CASES.iter().map(submit).collect();
    gate.open();
    for ((_, source, fits), generation) in CASES.iter().zip(generations) {
        let Answer { text, reason, .. } = support::collect(generation);
        assert!(reason == FinishReason::Length || fits(&text), "{source}: {text}");
    }
    assert_eq!(gate.sequences_most(), CASES.len(), "all ran in one step");
    assert!(gate.steps() > 3, "and none waited for another's end");
}

#[test]
fn a_grammar_holds_after_reasoning() {
    let engine = start(reference(), options());
    let grammar = Grammar::compile(&words(&engine), Kind::Choice, r#"["42"]"#).expect("a grammar");
    let reasoning = Reasoning { open: None, close: "e".to_owned(), is_open: true };
    for seed in 0..8 {
        let constraint = Some(grammar.matcher(Some(&reasoning)));
        let sampling = at_temperature(&engine, 1.0, seed);
        let request = EngineRequest { sampling, constraint, ..request(&engine, "the", 100) };
        let Answer { text, reason, .. } = answer(&engine, request);
        if reason == FinishReason::EndOfText {
            let (_, after) = text.split_once('e').expect("the marker");
            assert_eq!(after.trim(), "42", "{text}");
        }
    }
}

#[test]
fn where_nothing_can_be_chosen_the_request_fails() {
    let engine = start(reference(), options());
    let seven = engine.tokenizer().token_id("7").map(|id| (id, f32::NEG_INFINITY));
    let mut request = held(&engine, at_temperature(&engine, 1.0, 1), (Kind::Regex, "7{4}"));
    let ids = (0..).take(engine.tokenizer().vocab_len());
    let sevens = ids.filter(|id| engine.tokenizer().token_bytes(*id).contains(&b'7'));
    request.sampling.logit_bias = sevens.map(|id| (id, f32::NEG_INFINITY)).collect();
    assert!(request.sampling.logit_bias.len() >= usize::from(seven.is_some()));
    let mut generation = engine.submit(request).expect("a sound request");
    let mut last = None;
    while let Some(event) = generation.recv() {
        last = Some(event);
    }
    let failed =
        matches!(&last, Some(Event::Failed(Error::Constraint(why))) if why.contains("logit_bias"));
    assert!(failed, "{last:?}");
}
