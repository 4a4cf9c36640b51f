//! Texts that are embedded or scored: together as alone, in turns, bounded, given up.

mod support;

use std::sync::Arc;

use engine::{Engine, EngineOptions, Error, Retrieval, RetrievalRequest, Retrieved, TextTokens};
use support::{options, start_retrieval};
use tensor::reference::Reference;

fn started(name: &str, change: impl FnOnce(&mut EngineOptions)) -> (Engine, Vec<u32>) {
    let mut options = EngineOptions { context_len: 32, step_tokens_max: 32, ..options() };
    change(&mut options);
    start_retrieval(Arc::new(Reference::new()), name, options)
}

fn request(texts: &[&[u32]]) -> RetrievalRequest {
    let text = |tokens: &&[u32]| TextTokens { tokens: tokens.to_vec(), types: Vec::new() };
    RetrievalRequest { texts: texts.iter().map(text).collect() }
}

fn told(mut retrieval: Retrieval) -> Option<Retrieved> {
    let told = retrieval.recv();
    assert!(told.is_none() || retrieval.recv().is_none(), "two ends");
    told
}

fn vectors(engine: &Engine, texts: &[&[u32]]) -> Vec<Vec<f32>> {
    told(engine.retrieve(request(texts)).expect("a sound request"))
        .expect("an end")
        .expect("done")
        .0
}

#[test]
fn many_texts_come_to_what_each_comes_to_alone() {
    for name in ["bert", "nomic_bert", "qwen3_embedding", "reranker"] {
        let (engine, tokens) = started(name, |_| {});
        let texts: Vec<&[u32]> = (1..=20).map(|len| &tokens[..len]).collect();
        let together = vectors(&engine, &texts);
        for (text, together) in texts.iter().zip(&together) {
            assert_eq!(vectors(&engine, &[text])[0], *together, "{name}, {} tokens", text.len());
        }
        let stats = engine.stats();
        // 210 rows in steps of at most 32, whole texts each.
        assert!(stats.counts.steps - 20 <= 10, "{name}: {} steps", stats.counts.steps);
        assert_eq!(stats.counts.ended.end_of_text, 21, "{name}");
        let busy = stats.counts.busy.as_secs_f64();
        let known: f64 = stats.recent.iter().map(|ended| ended.usage.busy.as_secs_f64()).sum();
        assert!((known - busy).abs() < 1e-6, "{name}: {known} of {busy}");
        assert_eq!((stats.waiting, stats.running), (0, 0), "{name}");
    }
}

#[test]
fn a_long_text_that_sees_only_its_past_comes_in_steps() {
    let (whole, tokens) = started("qwen3_embedding", |_| {});
    let (cut, _) = started("qwen3_embedding", |options| options.step_tokens_max = 7);
    assert_eq!(vectors(&cut, &[&tokens, &tokens[..3]]), vectors(&whole, &[&tokens, &tokens[..3]]));
    assert_eq!(cut.stats().counts.steps, 4);
}

#[test]
fn what_cannot_be_is_refused_in_a_line() {
    let (engine, tokens) = started("bert", |options| options.step_tokens_max = 19);
    let refused = |texts: &[&[u32]], expected: &str| {
        let error = engine.retrieve(request(texts)).err().expect(expected).to_string();
        assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
    };
    refused(&[], "0 texts in one request: send 1 to 2048");
    refused(&vec![&tokens[..1]; 2049], "2049 texts");
    refused(&[&tokens[..1], &[]], "text 1 is empty");
    refused(&[&tokens[..1], &tokens], "text 1 has 20 tokens and the model takes 19");
    refused(&[&[160]], "token 160 is not in the vocabulary of 160");
    let chat = support::request(&engine, "Hi", 4);
    assert_eq!(engine.submit(chat).err(), Some(Error::MakesNoText));
    let text = support::start(support::reference(), options());
    assert_eq!(text.retrieve(request(&[&tokens])).err(), Some(Error::MakesText));
}

#[test]
fn the_queue_is_bounded_and_what_is_given_up_ends() {
    let options =
        EngineOptions { context_len: 32, step_tokens_max: 32, queue_len_max: 2, ..options() };
    let (backend, gate) = support::gated(Arc::new(Reference::new()));
    let ((engine, tokens), gate) = (start_retrieval(backend, "bert", options), gate);
    let submit = || engine.retrieve(request(&[&tokens]));
    let first = submit().expect("a place");
    gate.wait_for_a_step();
    let (second, third) = (submit().expect("a place"), submit().expect("a place"));
    assert_eq!(submit().err(), Some(Error::QueueFull { waiting: 2 }));
    assert_eq!((engine.stats().waiting, engine.stats().running), (2, 1));
    drop(second);
    gate.open();
    assert!(told(first).is_some_and(|told| told.is_ok()));
    assert!(told(third).is_some_and(|told| told.is_ok()));
    let stats = engine.stats();
    assert_eq!((stats.counts.ended.end_of_text, stats.counts.ended.cancelled), (2, 1));
    assert_eq!(stats.counts.refused_busy, 1);
}

#[test]
fn requests_take_turns() {
    let options = EngineOptions { context_len: 20, step_tokens_max: 20, ..options() };
    let (backend, gate) = support::gated(Arc::new(Reference::new()));
    let (engine, tokens) = start_retrieval(backend, "bert", options);
    let many = engine.retrieve(request(&vec![&tokens[..]; 50])).expect("a place");
    gate.wait_for_a_step();
    let few = engine.retrieve(request(&[&tokens])).expect("a place");
    gate.open();
    assert!(told(few).is_some_and(|told| told.is_ok()));
    let steps = engine.stats().counts.steps;
    assert!(steps < 50, "the one text waited for {steps} steps");
    assert!(told(many).is_some_and(|told| told.is_ok()));
}
