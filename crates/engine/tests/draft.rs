//! A draft model beside the model: the same answers, drafts that are right where they can be, and
//! what the caches hold through company, shared prefixes, preemption and cancelling.

mod support;

use std::sync::Arc;

use engine::sampling::{SamplingParams, TokenLogprob};
use engine::{Counts, Engine, EngineOptions, EngineRequest, Error, FinishReason, Speculation};
use gguf::Writer;
use support::{
    PAGE_LEN, answer, backends, collect, gated, options, reference, request, seeded, start,
    try_start,
};
use tensor::{Backend, KvFormat};
use testkit::TinyModel;

const PROMPTS: [&str; 6] = [
    "x",
    "the weather in the north",
    "the same long beginning of a conversation that she had before, and its end",
    "the same long beginning of a conversation that she had before",
    "the same long beginning of a conversation that she had before",
    "π and ünïcödé, and <|im_end|>",
];

type Said = (Vec<u32>, String, Vec<Option<TokenLogprob>>);

fn always() -> EngineOptions {
    EngineOptions { speculation: Speculation::Always, ..options() }
}

/// Another model with the tiny one's tokens.
fn other() -> TinyModel {
    TinyModel { seed: 9, n_layers: 1, ..TinyModel::default() }
}

fn drafted(
    draft: &Writer,
    backend: (Arc<dyn Backend>, KvFormat),
    options: EngineOptions,
) -> Engine {
    try_start(&TinyModel::default().writer(), Some(draft), backend, options).expect("it can draft")
}

/// What becomes of requests of all kinds: alone, and then all at once.
fn said(engine: &Engine, tokens_max: u32) -> Vec<Said> {
    let requests: Vec<EngineRequest> = PROMPTS
        .iter()
        .flat_map(|text| {
            let greedy = request(engine, text, tokens_max);
            let drawn = EngineRequest { sampling: seeded(engine, 5), ..greedy.clone() };
            let sampling = SamplingParams {
                repeat_penalty: 1.3,
                top_k: 3,
                logprobs: Some(1),
                ..seeded(engine, 6)
            };
            [greedy.clone(), drawn, EngineRequest { sampling, ..greedy }]
        })
        .collect();
    let mut answers: Vec<_> =
        requests.iter().take(6).map(|request| answer(engine, request.clone())).collect();
    let submit = |request: EngineRequest| engine.submit(request).expect("room");
    for some in requests.chunks(9) {
        let generations: Vec<_> = some.iter().cloned().map(submit).collect();
        answers.extend(generations.into_iter().map(collect));
    }
    answers.into_iter().map(|answer| (answer.tokens, answer.text, answer.logprobs)).collect()
}

/// Nothing is held or owed when all have ended.
fn at_rest(engine: &Engine) -> Counts {
    let stats = engine.stats();
    assert_eq!((stats.running, stats.waiting, stats.pages_used), (0, 0, 0));
    let counts = stats.counts;
    let known: f64 = stats.recent.iter().map(|ended| ended.usage.busy.as_secs_f64()).sum();
    assert!(known <= counts.busy.as_secs_f64() + 1e-6, "{known} of {:?}", counts.busy);
    assert!(counts.drafting.busy < counts.busy);
    assert!(counts.drafting.draft_tokens <= counts.draft_tokens);
    counts
}

#[test]
fn answers_are_the_same_whatever_drafts() {
    let own = TinyModel::default();
    let few_words = TinyModel { vocab: 277, ..other() };
    let more_words = TinyModel { vocab: 300, ..other() };
    let short = TinyModel { context: 40, ..other() };
    for (backend, kv_format) in backends() {
        let name = backend.name();
        let with = (backend.clone(), kv_format);
        let off = EngineOptions { speculation: Speculation::Off, ..options() };
        let plain = said(&start(with.clone(), off), 30);
        for draft in [&own, &other(), &few_words, &more_words, &short] {
            for speculation in [Speculation::Always, Speculation::Measured] {
                let options = EngineOptions { speculation, ..options() };
                let engine = drafted(&draft.writer(), with.clone(), options);
                assert_eq!(said(&engine, 30), plain, "{name}: {draft:?}, {speculation:?}");
                let counts = at_rest(&engine);
                let accepted = counts.drafting.accepted_tokens;
                let drafts = counts.drafting.draft_tokens;
                if speculation == Speculation::Always {
                    assert!(drafts > accepted, "{name}: {drafts}");
                }
            }
        }
    }
}

#[test]
fn a_model_that_drafts_for_itself_is_always_right() {
    for (backend, kv_format) in backends() {
        let name = backend.name();
        let (waiting, gate) = gated(backend);
        let engine = drafted(&TinyModel::default().writer(), (waiting, kv_format), always());
        let submit = |text: &&str| engine.submit(request(&engine, text, 40)).expect("room");
        let together: Vec<_> = PROMPTS.iter().map(submit).collect();
        gate.open();
        together.into_iter().map(collect).for_each(drop);
        // From the prefix cache, of which the draft model has its part too.
        for text in PROMPTS {
            let before = engine.stats().counts.drafting;
            let found = answer(&engine, request(&engine, text, 8));
            let now = engine.stats().counts.drafting;
            let read = now.rows - before.rows;
            let unread = found.usage.prompt_tokens - found.usage.cached_tokens;
            let made = u64::from(unread + found.usage.completion_tokens);
            // What is drafted at the start of a page is read again when the page is there.
            let most = 2 * made + u64::from(PAGE_LEN);
            assert!(read <= most, "{name}: {read} rows for {made}");
        }
        let counts = at_rest(&engine);
        let drafting = counts.drafting;
        assert!(drafting.draft_tokens > 40, "{name}: {drafting:?}");
        assert_eq!(drafting.draft_tokens, drafting.accepted_tokens, "{name}");
        assert!(drafting.steps > 0 && drafting.rows >= drafting.steps, "{name}");
    }
}

#[test]
fn a_prompt_longer_than_a_step_is_read_in_turns() {
    let short = EngineOptions { step_tokens_max: 16, ..always() };
    let engine = drafted(&TinyModel::default().writer(), reference(), short);
    let text = PROMPTS[2];
    let found = answer(&engine, request(&engine, text, 40));
    assert!(found.usage.prompt_tokens > 3 * 16, "{}", found.usage.prompt_tokens);
    let drafting = at_rest(&engine).drafting;
    assert!(drafting.accepted_tokens > 0, "{drafting:?}");
    assert_eq!(drafting.draft_tokens, drafting.accepted_tokens);
    let off = EngineOptions { speculation: Speculation::Off, ..options() };
    let plain = start(reference(), off);
    assert_eq!(answer(&plain, request(&plain, text, 40)).tokens, found.tokens);
}

#[test]
fn who_is_preempted_goes_on_as_before() {
    // Far fewer pages than all want together.
    let scarce = EngineOptions { page_count: 20, queue_len_max: 32, ..always() };
    for (backend, kv_format) in backends() {
        let name = backend.name();
        let plain = EngineOptions { speculation: Speculation::Off, ..scarce };
        let plain = said(&start((backend.clone(), kv_format), plain), 60);
        for draft in [TinyModel::default(), other()] {
            let engine = drafted(&draft.writer(), (backend.clone(), kv_format), scarce);
            assert_eq!(said(&engine, 60), plain, "{name}");
            let counts = at_rest(&engine);
            assert!(counts.preemptions > 0 && counts.drafting.accepted_tokens > 0, "{counts:?}");
        }
        let engine = drafted(
            &TinyModel::default().writer(),
            (backend.clone(), kv_format),
            EngineOptions { sequences_max: 3, ..scarce },
        );
        let submit = |text: &&str| engine.submit(request(&engine, text, 60)).expect("room");
        let together: Vec<_> = PROMPTS.iter().map(submit).collect();
        together.into_iter().map(collect).for_each(drop);
        let drafting = at_rest(&engine).drafting;
        assert_eq!(drafting.draft_tokens, drafting.accepted_tokens, "{name}: {drafting:?}");
    }
}

#[test]
fn cancelling_leaves_nothing_behind() {
    let engine = drafted(&TinyModel::default().writer(), reference(), always());
    for round in 0..4 {
        let submit = |text: &&str| engine.submit(request(&engine, text, 60)).expect("room");
        let mut generations: Vec<_> = PROMPTS.iter().map(submit).collect();
        for generation in &mut generations {
            (0..4 + round * 2).for_each(|_| drop(generation.recv()));
        }
        // Three are told that they end, and three are not there to hear it.
        generations.truncate(3);
        generations.iter().for_each(engine::Receiver::cancel);
        for generation in generations {
            let reason = collect(generation).reason;
            assert!(matches!(reason, FinishReason::Cancelled | FinishReason::Length));
        }
    }
    let last = answer(&engine, request(&engine, PROMPTS[2], 40));
    let alone = start(reference(), options());
    assert_eq!(last.tokens, answer(&alone, request(&alone, PROMPTS[2], 40)).tokens);
    let counts = at_rest(&engine);
    assert_eq!(counts.ended.total(), 4 * 6 + 1);
    assert!(counts.ended.cancelled > 0 && counts.drafting.draft_tokens > 0, "{counts:?}");
}

#[test]
fn what_was_predicted_is_drafted() {
    for (backend, kv_format) in backends() {
        let name = backend.name();
        let engine = start((backend, kv_format), always());
        let plain = request(&engine, PROMPTS[1], 60);
        let drawn = EngineRequest { sampling: seeded(&engine, 4), ..plain.clone() };
        for request in [plain, drawn] {
            let without = answer(&engine, request.clone());
            let nothing = (without.usage.accepted_prediction_tokens, 0);
            assert_eq!(nothing, (0, without.usage.rejected_prediction_tokens));
            let ask = |prediction: Vec<u32>| {
                let found = answer(&engine, EngineRequest { prediction, ..request.clone() });
                assert_eq!(found.tokens, without.tokens, "{name}");
                let usage = found.usage;
                assert!(usage.accepted_prediction_tokens <= usage.accepted_tokens);
                (usage.accepted_prediction_tokens, usage.rejected_prediction_tokens)
            };
            // Nearly all, for some tokens of each step are the model's own.
            let (accepted, rejected) = ask(without.tokens.clone());
            assert!(accepted > 35, "{name}: {accepted} and {rejected}");
            // With a change in the middle it goes on behind that.
            let mut changed = without.tokens.clone();
            changed[30] = (changed[30] + 1) % 200;
            let (accepted, rejected) = ask(changed);
            assert!(accepted > 25 && rejected > 0, "{name}: {accepted} and {rejected}");
            let other = without.tokens.iter().map(|token| (token + 100) % 200).collect();
            let (accepted, _) = ask(other);
            assert!(accepted < 20, "{name}: {accepted}");
        }
    }
}

#[test]
fn what_cannot_draft_is_refused_by_name() {
    let fixture = |name: &str| {
        let models = testkit::reference_models().into_iter().chain(testkit::retrieval_models());
        let model = models.into_iter().find(|model| model.name == name);
        model.unwrap_or_else(|| panic!("no fixture {name}")).writer(quant::FormatId::F32)
    };
    let tiny = TinyModel::default().writer();
    let refusal = |model: &Writer, draft: &Writer| {
        let options = EngineOptions { page_count: 200, sequences_max: 2, ..always() };
        match try_start(model, Some(draft), reference(), options) {
            Err(Error::Draft(why)) => why,
            Err(error) => panic!("{error}"),
            Ok(_) => "none".to_owned(),
        }
    };
    let state = "keeps a state that cannot go back to before a wrong draft";
    assert_eq!(refusal(&fixture("qwen3next"), &tiny), format!("the model {state}"));
    assert_eq!(refusal(&tiny, &fixture("qwen3next")), format!("it {state}"));
    let windows = "its layers that see only a window have pages of their own";
    assert_eq!(refusal(&tiny, &fixture("gemma3")), windows);
    assert_eq!(refusal(&tiny, &tiny), "none");
}
