//! The engine as its callers see it, on a tiny random model: answers that do not depend on company,
//! the prefix cache, ends of every kind, and refusals.

mod support;

use std::collections::HashSet;
use std::sync::Arc;

use engine::sampling::SamplingParams;
use engine::{EngineOptions, EngineRequest, Error, FinishReason, Markers, Speculation};
use support::{
    Answer, CONTEXT_LEN, PAGE_LEN, answer, backends, collect, options, reference, request, seeded,
    start, start_file, start_gated,
};

/// Different from the first page on, and none a multiple of another's length.
const PROMPTS: [&str; 6] = [
    "x",
    "the weather in the north",
    "A much longer question, about the sand and the interest of the other people in it?",
    "12345678",
    "And then there were none of them",
    "π and ünïcödé, and <|im_end|>",
];

const LONG: &str = "the same long beginning of a conversation that she had before";

#[test]
fn company_does_not_change_an_answer() {
    for (backend, kv_format) in backends() {
        let name = backend.name();
        let engine = start((backend.clone(), kv_format), options());
        let alone: Vec<Vec<u32>> =
            PROMPTS.iter().map(|text| answer(&engine, request(&engine, text, 24)).tokens).collect();

        let (engine, gate) = start_gated((backend, kv_format), options());
        let submit = |text: &&str| engine.submit(request(&engine, text, 24)).expect("room");
        let generations: Vec<_> = PROMPTS.iter().map(submit).collect();
        gate.open();
        let together: Vec<Vec<u32>> =
            generations.into_iter().map(|generation| collect(generation).tokens).collect();

        assert_eq!(gate.sequences_most(), PROMPTS.len(), "{name}: all ran in one step");
        assert_eq!(alone, together, "{name}");
        assert!(alone.iter().all(|tokens| tokens.len() == 24), "{name}: {alone:?}");
        assert_ne!(alone[1], alone[2], "{name}: the prompt matters");
    }
}

#[test]
fn a_prompt_read_in_small_steps_gets_the_same_answer() {
    for (backend, kv_format) in backends() {
        let name = backend.name();
        let answers = [64, 4].map(|step_tokens_max| {
            let options = EngineOptions { step_tokens_max, ..options() };
            let engine = start((backend.clone(), kv_format), options);
            let request = request(&engine, LONG, 24);
            assert!(request.prompt.len() > 40 && request.prompt.len() <= 64, "one step holds it");
            answer(&engine, request).tokens
        });
        assert_eq!(answers[0], answers[1], "{name}");
    }
}

#[test]
fn what_lies_behind_a_window_is_given_back_and_found_again() {
    let gemma = testkit::reference_models().into_iter().find(|model| model.name == "gemma3");
    let writer = gemma.expect("a model with windows of 8").writer(quant::FormatId::F32);
    let apart = EngineOptions {
        page_count: 50,
        sequences_max: 2,
        step_tokens_max: 16,
        context_len: 200,
        ..options()
    };
    // The windows of so many are no less than all pages, so that they have none of their own.
    let together = EngineOptions { sequences_max: 6, ..apart };
    for (backend, kv_format) in backends() {
        let name = backend.name();
        let engines = [apart, together]
            .map(|options| start_file(&writer, (backend.clone(), kv_format), options));
        let tokens = |len: u32, seed: u32| (0..len).map(move |i| (i * 37 + seed * (i / 50)) % 150);
        let mut conversation: Vec<u32> = tokens(130, 1).collect();
        for (turn, other) in [(0, 2), (1, 3), (2, 4)] {
            let ask = |prompt: &[u32]| {
                let [apart, together] = engines.each_ref().map(|engine| {
                    let sampling = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
                    let prompt = prompt.to_vec();
                    answer(engine, EngineRequest { prompt, sampling, ..request(engine, "a", 10) })
                });
                assert_eq!(apart.tokens, together.tokens, "{name}, turn {turn}");
                apart
            };
            let said = ask(&conversation);
            // All that was computed before, in full pages.
            let known = u32::try_from(conversation.len()).unwrap().saturating_sub(4) / PAGE_LEN;
            assert_eq!(said.usage.cached_tokens, if turn == 0 { 0 } else { known * PAGE_LEN });
            conversation.extend(said.tokens);
            conversation.extend([turn, 7, 8]);
            // Somebody else, whose windows take the place of those that were behind.
            ask(&tokens(190, other).collect::<Vec<u32>>());
        }
    }
}

#[test]
fn the_second_of_two_equal_prompts_is_served_from_the_cache() {
    for (backend, kv_format) in backends() {
        let name = backend.name();
        let engine = start((backend, kv_format), options());
        let first = answer(&engine, request(&engine, LONG, 24));
        let second = answer(&engine, request(&engine, LONG, 24));
        let prompt_tokens = second.usage.prompt_tokens;
        assert_eq!(first.usage.cached_tokens, 0, "{name}");
        // All full pages, short of the token that gives the first logits.
        let cached = (prompt_tokens - 1) / PAGE_LEN * PAGE_LEN;
        assert!(cached > 0);
        assert_eq!(second.usage.cached_tokens, cached, "{name}");
        assert_eq!(first.tokens, second.tokens, "{name}");
    }
}

#[test]
fn a_seed_fixes_the_answer() {
    let engine = start(reference(), options());
    let with_seed = |seed| {
        let sampling = seeded(&engine, seed);
        answer(&engine, EngineRequest { sampling, ..request(&engine, "the", 32) }).tokens
    };
    assert_eq!(with_seed(7), with_seed(7));
    assert_ne!(with_seed(7), with_seed(8));
}

#[test]
fn tokens_max_ends_an_answer() {
    let engine = start(reference(), options());
    let answer = answer(&engine, request(&engine, "the", 5));
    assert_eq!(answer.reason, FinishReason::Length);
    assert_eq!((answer.tokens.len(), answer.usage.completion_tokens), (5, 5));
}

#[test]
fn a_full_context_ends_an_answer() {
    let engine = start(reference(), options());
    let answer = answer(&engine, request(&engine, LONG, CONTEXT_LEN * 2));
    assert_eq!(answer.reason, FinishReason::Context);
    assert_eq!(answer.usage.prompt_tokens + answer.usage.completion_tokens, CONTEXT_LEN);
}

#[test]
fn the_end_token_ends_an_answer_and_is_not_part_of_it() {
    let engine = start(reference(), options());
    let end = engine.tokenizer().eos().expect("the tiny model has one");
    let mut forced = request(&engine, "the", 20);
    forced.sampling.logit_bias = vec![(end, 1e6)];
    let mut generation = engine.submit(forced).expect("a sound request");
    let mut last = None;
    while let Some(event) = generation.recv() {
        assert!(!matches!(event, engine::Event::Token(_)), "{event:?}");
        last = Some(event);
    }
    let ended = |event: &engine::Event| {
        matches!(event, engine::Event::Finished { reason: FinishReason::EndOfText, .. })
    };
    assert!(last.as_ref().is_some_and(ended), "{last:?}");
}

#[test]
fn a_stop_text_over_several_tokens_ends_the_answer_without_it() {
    let engine = start(reference(), options());
    // Only single letters, so that each token is one character.
    let mut plain = request(&engine, "the", 40);
    plain.sampling = seeded(&engine, 3);
    plain.sampling.logit_bias = (u32::from(b'a')..=u32::from(b'z')).map(|id| (id, 1e3)).collect();
    let whole = answer(&engine, plain.clone());
    assert_eq!(whole.text.len(), 40, "{:?}", whole.text);

    let stop = &whole.text[10..14];
    let place = whole.text.find(stop).expect("it is cut from it");
    assert_eq!(place, 10, "the text of this seed says {stop:?} twice: take another seed");
    let stopped = answer(&engine, EngineRequest { stop: vec![stop.to_owned()], ..plain.clone() });
    assert_eq!(stopped.reason, FinishReason::Stop);
    assert_eq!(stopped.text, whole.text[..place]);
    assert_eq!(stopped.tokens, whole.tokens[..place + 4]);

    // The start of a stop text that never comes is held back, and shown in the end.
    let open = format!("{}!", &whole.text[36..]);
    let held = answer(&engine, EngineRequest { stop: vec![open], ..plain });
    assert_eq!((held.text, held.reason), (whole.text, FinishReason::Length));
}

#[test]
fn an_answer_that_has_all_that_was_wanted_is_stopped_and_not_cancelled() {
    let (engine, gate) = start_gated(reference(), options());
    let mut generation = engine.submit(request(&engine, "the", 40)).expect("room");
    generation.enough();
    gate.open();
    let last = std::iter::from_fn(|| generation.recv()).last().expect("an end");
    assert!(matches!(last, engine::Event::Finished { reason: FinishReason::Stop, .. }), "{last:?}");
    let counts = engine.stats().counts;
    assert_eq!((counts.ended.stop, counts.ended.cancelled), (1, 0));
}

#[test]
fn markers_are_text_and_may_stand_in_an_answer() {
    let engine = start(reference(), options());
    let tokenizer = engine.tokenizer();
    let id = |text: &str| tokenizer.token_id(text).expect("the tiny model knows ChatML");
    let (open, end) = (id("<|im_start|>"), id("<|im_end|>"));
    assert!(tokenizer.is_end_of_generation(end));
    let said = |bias: &[u32], markers: Markers| {
        let mut request = request(&engine, "the", 4);
        request.sampling.logit_bias = bias.iter().map(|id| (*id, 1e6)).collect();
        request.markers = Arc::new(markers);
        let answer = answer(&engine, request);
        (answer.text, answer.reason)
    };
    let shown = HashSet::from([open, end]);
    assert_eq!(said(&[open], Markers::default()), (String::new(), FinishReason::Length));
    let markers = Markers { shown: shown.clone(), ..Markers::default() };
    assert_eq!(said(&[open], markers), ("<|im_start|>".repeat(4), FinishReason::Length));
    let markers = Markers { shown, not_ends: HashSet::from([end]) };
    assert_eq!(said(&[end], markers), ("<|im_end|>".repeat(4), FinishReason::Length));
}

#[test]
fn answers_are_the_same_with_and_without_drafts() {
    const REPEATED: &str = "she said that the sand is the sand, and he said that the sand is";
    for (backend, kv_format) in backends() {
        let name = backend.name();
        let answers =
            [Speculation::Off, Speculation::Always, Speculation::Measured].map(|speculation| {
                let engine =
                    start((backend.clone(), kv_format), EngineOptions { speculation, ..options() });
                let mut answers = Vec::new();
                for text in PROMPTS.into_iter().chain([REPEATED]) {
                    let greedy = request(&engine, text, 60);
                    let sampling = seeded(&engine, 5);
                    let few = SamplingParams { top_k: 2, logprobs: Some(1), ..sampling.clone() };
                    for request in [
                        EngineRequest { sampling, ..greedy.clone() },
                        EngineRequest { sampling: few, ..greedy.clone() },
                        greedy,
                    ] {
                        let answer = answer(&engine, request);
                        answers.push((answer.tokens, answer.text, answer.logprobs));
                    }
                }
                let counts = engine.stats().counts;
                let (drafted, accepted) = (counts.draft_tokens, counts.accepted_tokens);
                match speculation {
                    Speculation::Off => assert_eq!(drafted, 0, "{name}"),
                    // What is measured depends on the clock; the answers do not.
                    Speculation::Measured => {}
                    // Random models repeat themselves, so some are right, and not all.
                    Speculation::Always => {
                        assert!(
                            accepted > 20 && drafted > accepted,
                            "{name}: {accepted} of {drafted}"
                        );
                    }
                }
                answers
            });
        assert_eq!(answers[0], answers[1], "{name}");
        assert_eq!(answers[0], answers[2], "{name}");
    }
}

#[test]
fn logprobs_come_when_asked_for() {
    let engine = start(reference(), options());
    let without = answer(&engine, request(&engine, "the", 6));
    assert!(without.logprobs.iter().all(Option::is_none));

    let mut asking = request(&engine, "the", 6);
    asking.sampling.logprobs = Some(3);
    let with = answer(&engine, asking);
    assert_eq!((with.tokens.len(), &with.tokens), (6, &without.tokens));
    for (token, logprob) in with.tokens.iter().zip(&with.logprobs) {
        let found = logprob.as_ref().expect("it was asked for");
        assert!(found.logprob < 0.0 && found.logprob.is_finite(), "{found:?}");
        assert_eq!(found.top.len(), 3);
        assert!(found.top.is_sorted_by(|a, b| a.1 >= b.1), "best first: {found:?}");
        let listed = found.top.iter().find(|(id, _)| id == token);
        assert!(listed.is_none_or(|(_, value)| *value == found.logprob), "{found:?}");
    }
}

#[test]
fn dropping_a_generation_frees_its_place() {
    let one = EngineOptions { sequences_max: 1, ..options() };
    let (engine, gate) = start_gated(reference(), one);
    let long = request(&engine, "the first", CONTEXT_LEN);
    drop(engine.submit(long).expect("room"));
    let next = engine.submit(request(&engine, "next", 3)).expect("room");
    gate.open();
    assert_eq!(collect(next).tokens.len(), 3);
    assert!(gate.steps() <= 4, "{} steps: one under way, and three of the next", gate.steps());
    let load = engine.stats();
    assert_eq!((load.running, load.waiting), (0, 0));
}

#[test]
fn cancelling_ends_with_a_word() {
    let (engine, gate) = start_gated(reference(), options());
    let generation = engine.submit(request(&engine, "the", CONTEXT_LEN)).expect("room");
    generation.cancel();
    gate.open();
    let answer = collect(generation);
    assert_eq!(answer.reason, FinishReason::Cancelled);
    assert!(answer.tokens.len() <= 1, "{:?}", answer.tokens);
}

#[test]
fn what_was_done_is_counted() {
    let (engine, gate) =
        start_gated(reference(), EngineOptions { speculation: Speculation::Off, ..options() });
    let submit = |text: &&str| engine.submit(request(&engine, text, 24)).expect("room");
    let generations: Vec<_> = PROMPTS.iter().map(submit).collect();
    let given_up = engine.submit(request(&engine, LONG, 24)).expect("room");
    drop(given_up);
    gate.open();
    let answers: Vec<_> = generations.into_iter().map(collect).collect();
    let again = answer(&engine, request(&engine, PROMPTS[2], 24));

    let stats = engine.stats();
    let counts = &stats.counts;
    let answers: Vec<_> = answers.iter().chain([&again]).collect();
    assert_eq!((counts.ended.length, counts.ended.cancelled, counts.ended.total()), (7, 1, 8));
    assert_eq!(counts.made_tokens, 7 * 24);
    // The first token of an answer comes with its prompt's last row.
    assert_eq!(counts.decode_rows, 7 * 23);
    let sum = |of: fn(&Answer) -> u32| answers.iter().map(|answer| u64::from(of(answer))).sum();
    let (read, cached): (u64, u64) =
        (sum(|answer| answer.usage.prompt_tokens), sum(|answer| answer.usage.cached_tokens));
    assert!(cached > 0);
    assert_eq!((counts.prompt_tokens, counts.cached_tokens), (read, cached));
    assert_eq!(counts.prefill_rows, read - cached);
    assert!(counts.steps >= 24 + 24 && counts.steps <= 8 * 24, "{}", counts.steps);
    assert_eq!((stats.waiting, stats.running, stats.pages_used), (0, 0, 0));
    assert_eq!(stats.pages_cached + stats.pages_free, options().page_count);

    assert_eq!(counts.end_to_end.count(), 8);
    assert_eq!((counts.first_token.count(), counts.inter_token.count()), (7, 7 * 23));
    assert!(counts.queued.count() >= 7 && counts.end_to_end.sum() >= counts.first_token.sum());
    // Each step's time is shared out among its requests, and nothing is left over but rounding.
    let busy: f64 = answers.iter().map(|answer| answer.usage.busy.as_secs_f64()).sum();
    let known: f64 = stats.recent.iter().map(|ended| ended.usage.busy.as_secs_f64()).sum();
    assert!(busy > 0.0 && known > busy - 1e-9, "{known} {busy}");
    assert!((known - counts.busy.as_secs_f64()).abs() < 1e-6, "{known} of {:?}", counts.busy);
    assert!(stats.recent.iter().map(|ended| ended.number).eq(1..=8));
}

#[test]
fn a_full_queue_refuses() {
    let small = EngineOptions { sequences_max: 1, queue_len_max: 2, ..options() };
    let (engine, gate) = start_gated(reference(), small);
    let mut taken = Vec::new();
    // The step thread may take the first from the queue or not yet: 2 or 3 fit, never 4.
    let refused = (0..4).find_map(|_| match engine.submit(request(&engine, "the", 3)) {
        Ok(generation) => {
            taken.push(generation);
            None
        }
        Err(error) => Some(error),
    });
    assert_eq!(refused, Some(Error::QueueFull { waiting: 2 }), "{} taken", taken.len());
    assert_eq!(engine.stats().counts.refused_busy, 1);
    gate.open();
    let lens: Vec<usize> = taken.into_iter().map(|taken| collect(taken).tokens.len()).collect();
    assert!(lens.len() >= 2 && lens.iter().all(|len| *len == 3), "{lens:?}");
    assert!(engine.submit(request(&engine, "the", 3)).is_ok(), "there is room again");
}

#[test]
fn what_cannot_be_done_is_refused_at_once() {
    let engine = start(reference(), options());
    let sound = || request(&engine, "the", 3);
    let refusal = |request: EngineRequest| engine.submit(request).err();

    let vocab_len = engine.tokenizer().vocab_len();
    let unknown = u32::try_from(vocab_len).expect("small");
    let prompt = vec![1; CONTEXT_LEN as usize + 1];
    let prompt_len = prompt.len();
    let too_long = Error::PromptTooLong { prompt_len, context_len: CONTEXT_LEN };
    assert_eq!(refusal(EngineRequest { prompt, ..sound() }), Some(too_long));
    let empty = EngineRequest { prompt: Vec::new(), ..sound() };
    assert_eq!(refusal(empty), Some(Error::PromptEmpty));
    let foreign = EngineRequest { prompt: vec![1, unknown], ..sound() };
    let error = Error::TokenUnknown { token: unknown, vocab_len };
    assert_eq!(refusal(foreign), Some(error.clone()));
    let mut biased = sound();
    biased.sampling.logit_bias = vec![(unknown, 1.0)];
    assert_eq!(refusal(biased), Some(error));
    let nothing = EngineRequest { tokens_max: 0, ..sound() };
    assert_eq!(refusal(nothing), Some(Error::TokensMaxZero));

    let mut senseless = sound();
    senseless.sampling.temperature = f32::NAN;
    let found = refusal(senseless);
    let names = |error: &Error| matches!(error, Error::Sampling(e) if e.field == "temperature");
    assert!(found.as_ref().is_some_and(names), "{found:?}");
    for stop in [vec![String::new()], vec!["x".repeat(5000)], vec!["x".to_owned(); 65]] {
        let found = refusal(EngineRequest { stop, ..sound() });
        assert!(matches!(found, Some(Error::Stop(_))), "{found:?}");
    }
    let load = engine.stats();
    assert_eq!((load.waiting, load.running), (0, 0), "nothing was queued");
}

#[test]
fn more_than_all_pages_hold_never_fits() {
    let engine = start(reference(), EngineOptions { page_count: 4, ..options() });
    let prompt = vec![1; 60];
    let found = engine.submit(EngineRequest { prompt, ..request(&engine, "the", 3) }).err();
    assert_eq!(found, Some(Error::NeverFits { needed: 8, available: 4 }));
}

#[test]
fn an_engine_that_goes_tells_everybody() {
    let engine = start(reference(), EngineOptions { sequences_max: 1, ..options() });
    let submit = |text: &&str| engine.submit(request(&engine, text, CONTEXT_LEN)).expect("room");
    let generations: Vec<_> = PROMPTS.iter().map(submit).collect();
    drop(engine);
    for generation in generations {
        // Which of them were done by then is left open; none may be left without a last word.
        let reason = collect(generation).reason;
        assert!(matches!(reason, FinishReason::Cancelled | FinishReason::Context), "{reason:?}");
    }
}
