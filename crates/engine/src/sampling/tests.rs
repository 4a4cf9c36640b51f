//! Each sampler against values that follow from its formula.

use std::collections::HashSet;

use super::candidates::{Candidates, most_likely};
use super::params::{Dry, Mirostat, SamplingParams};
use super::rng::Rng;
use super::{Sampler, dry, filters, mirostat, penalties};

/// Everything off: the model's own distribution.
fn plain() -> SamplingParams {
    SamplingParams {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        seed: Some(1),
        ..SamplingParams::default()
    }
}

fn sampler(params: &SamplingParams) -> Sampler {
    params.validate().expect("tests use valid parameters");
    Sampler::new(params, HashSet::new())
}

/// Logits with these probabilities.
fn logits(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|probability| probability.ln()).collect()
}

fn candidates(probabilities: &[f32]) -> Candidates {
    let mut candidates = Candidates::default();
    candidates.fill(&logits(probabilities), 0);
    candidates
}

fn ids(candidates: &Candidates) -> Vec<u32> {
    let mut ids: Vec<u32> = candidates.items().iter().map(|candidate| candidate.id).collect();
    ids.sort_unstable();
    ids
}

/// How often each token is drawn in `count` draws.
fn shares(params: &SamplingParams, logits: &[f32], count: u32) -> Vec<f64> {
    let mut sampler = sampler(params);
    let mut counts = vec![0_u32; logits.len()];
    for _ in 0..count {
        counts[sampler.sample(&mut logits.to_vec(), &[], None).token as usize] += 1;
    }
    counts.into_iter().map(|drawn| f64::from(drawn) / f64::from(count)).collect()
}

fn near(left: f64, right: f64, within: f64) {
    assert!((left - right).abs() <= within, "{left} is not {right} to {within}");
}

#[test]
fn the_generator_is_the_published_one() {
    // xoshiro256++ from the state that splitmix64 gives for seed 0, computed apart from this code
    // with unbounded integers.
    let mut rng = Rng::new(Some(0));
    assert_eq!([rng.next_u64(), rng.next_u64()], [0x5317_5d61_490b_23df, 0x61da_6f3d_c380_d507]);
    let mean = (0..10_000).map(|_| rng.unit()).sum::<f64>() / 10_000.0;
    near(mean, 0.5, 0.02);
}

#[test]
fn fresh_seeds_differ() {
    assert_ne!(Rng::new(None).next_u64(), Rng::new(None).next_u64());
}

#[test]
fn a_seed_gives_the_same_tokens() {
    let run = |seed| {
        let params = SamplingParams { seed: Some(seed), ..plain() };
        let mut sampler = sampler(&params);
        let draw = |_| sampler.sample(&mut logits(&[0.25; 4]), &[], None).token;
        (0..64).map(draw).collect::<Vec<u32>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn draws_follow_the_probabilities() {
    let probabilities = [0.5, 0.3, 0.15, 0.05];
    for (share, expected) in
        shares(&plain(), &logits(&probabilities), 20_000).iter().zip(probabilities)
    {
        near(*share, f64::from(expected), 0.015);
    }
}

#[test]
fn temperature_divides_logits() {
    // At 0.5 probabilities are squared: 0.64 and 0.04 of 0.68.
    let params = SamplingParams { temperature: 0.5, ..plain() };
    near(shares(&params, &logits(&[0.8, 0.2]), 20_000)[0], 0.64 / 0.68, 0.01);
    let params = SamplingParams { temperature: 1e-6, ..plain() };
    near(shares(&params, &[f32::MAX, -f32::MAX, f32::INFINITY], 1000)[1], 0.0, 0.0);
}

#[test]
fn greedy_takes_the_first_of_the_most_likely() {
    for temperature in [0.0, -1.0] {
        let params = SamplingParams { temperature, ..plain() };
        let token = sampler(&params).sample(&mut [1.0, 3.0, 3.0, f32::NAN], &[], None).token;
        assert_eq!(token, 1);
    }
    assert_eq!(most_likely(&[]), 0);
}

#[test]
fn broken_logits_are_survived() {
    let greedy = SamplingParams { temperature: 0.0, ..plain() };
    let mirostat = SamplingParams { mirostat: Mirostat::V2, ..plain() };
    let first = SamplingParams { mirostat: Mirostat::V1, ..plain() };
    let typical = SamplingParams { typical_p: 0.5, top_p: 0.5, min_p: 0.1, ..plain() };
    let xtc = SamplingParams { xtc_probability: 1.0, top_k: 2, logprobs: Some(2), ..plain() };
    for params in [plain(), greedy, mirostat, first, typical, xtc] {
        let nothing = [f32::NAN, f32::NEG_INFINITY, f32::NAN];
        assert_eq!(sampler(&params).sample(&mut nothing.to_vec(), &[], None).token, 0);
        let one = [f32::NAN, f32::NEG_INFINITY, -5.0];
        assert_eq!(sampler(&params).sample(&mut one.to_vec(), &[], None).token, 2, "{params:?}");
        let infinite = [0.0, f32::INFINITY, 0.0];
        assert_eq!(
            sampler(&params).sample(&mut infinite.to_vec(), &[], None).token,
            1,
            "{params:?}"
        );
    }
}

#[test]
fn top_k_equals_a_full_sort() {
    let mut rng = Rng::new(Some(3));
    for (len, top_k) in [(1, 1), (5, 3), (64, 64), (65, 1), (1000, 40), (50_000, 40), (3000, 900)] {
        // Few distinct values, so that ties are met, and a rising stretch, the worst case.
        let mut logits: Vec<f32> = (0..len).map(|_| (rng.unit() * 50.0).floor() as f32).collect();
        for (place, logit) in logits.iter_mut().enumerate().skip(len / 2) {
            *logit += place as f32 / 100.0;
        }
        let mut sorted: Vec<u32> = (0..len as u32).collect();
        sorted.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
        sorted.truncate(top_k);
        let mut candidates = Candidates::default();
        candidates.fill(&logits, top_k);
        let best: Vec<u32> = candidates.best(top_k).iter().map(|candidate| candidate.id).collect();
        assert_eq!(best, sorted, "{top_k} of {len}");
    }
}

#[test]
fn top_p_keeps_the_smallest_set_that_reaches_it() {
    for (p, kept) in [(0.0, 1), (0.49, 1), (0.51, 2), (0.79, 2), (0.81, 3), (0.999, 4), (1.0, 4)] {
        let mut candidates = candidates(&[0.05, 0.3, 0.5, 0.15]);
        filters::top_p(&mut candidates, p);
        assert_eq!(candidates.len(), kept, "top_p {p}");
        assert_eq!(candidates.best(1)[0].id, 2);
    }
    // More than are sorted at first.
    let mut many = Candidates::default();
    many.fill(&vec![0.0; 1000], 0);
    filters::top_p(&mut many, 0.5);
    assert_eq!(ids(&many), (0..500).collect::<Vec<u32>>());
}

#[test]
fn min_p_is_relative_to_the_most_likely() {
    for (p, kept) in [(0.0, 4), (0.099, 4), (0.11, 3), (0.31, 2), (0.61, 1), (1.0, 1)] {
        let mut candidates = candidates(&[0.05, 0.3, 0.5, 0.15]);
        filters::min_p(&mut candidates, p);
        assert_eq!(candidates.len(), kept, "min_p {p}");
    }
    let mut sorted = candidates(&[0.05, 0.3, 0.5, 0.15]);
    assert_eq!(sorted.best(3)[2].id, 3);
    filters::min_p(&mut sorted, 0.31);
    assert_eq!(ids(&sorted), [1, 2]);
    assert_eq!(sorted.best(2)[1].id, 1);
}

#[test]
fn typical_keeps_what_is_as_surprising_as_expected() {
    // Entropy 1.1416 nat; surprises 0.693, 1.204, 1.897, 2.996: nearest is 0.3, then 0.5.
    for (p, kept) in [(0.2, vec![1]), (0.4, vec![1, 2]), (0.85, vec![1, 2, 3])] {
        let mut candidates = candidates(&[0.05, 0.3, 0.5, 0.15]);
        filters::typical(&mut candidates, p);
        assert_eq!(ids(&candidates), kept, "typical_p {p}");
    }
}

#[test]
fn xtc_drops_all_top_choices_but_the_last() {
    let mut rng = Rng::new(Some(1));
    for (threshold, kept) in [(0.1, vec![0, 3]), (0.2, vec![0, 1, 3]), (0.4, vec![0, 1, 2, 3])] {
        let mut candidates = candidates(&[0.05, 0.3, 0.5, 0.15]);
        filters::xtc(&mut candidates, 1.0, threshold, &mut rng);
        assert_eq!(ids(&candidates), kept, "threshold {threshold}");
    }
    let params = SamplingParams { xtc_probability: 0.25, xtc_threshold: 0.1, ..plain() };
    // A quarter of the time the first is dropped; else it comes with 0.6.
    near(shares(&params, &logits(&[0.6, 0.4]), 20_000)[0], 0.75 * 0.6, 0.015);
}

#[test]
fn penalties_are_those_of_llama_cpp() {
    let params = SamplingParams {
        repeat_penalty: 2.0,
        presence_penalty: 0.5,
        frequency_penalty: 0.25,
        repeat_last_n: 4,
        ..plain()
    };
    let mut logits = [4.0, -4.0, 1.0, 1.0, f32::NEG_INFINITY];
    // Token 3 lies too far back; 9 is no token.
    penalties::penalize(&mut logits, &[3, 0, 1, 0, 9], &params);
    assert_eq!(logits, [2.0 - 0.5 - 0.5, -8.0 - 0.5 - 0.25, 1.0, 1.0, f32::NEG_INFINITY]);
    let everything = SamplingParams { repeat_last_n: -1, ..params.clone() };
    penalties::penalize(&mut logits, &[3, 9, 9, 9, 9], &everything);
    assert_eq!(logits[3], 0.5 - 0.5 - 0.25);
    let nothing = SamplingParams { repeat_last_n: 0, ..params };
    penalties::penalize(&mut logits, &[2], &nothing);
    assert_eq!(logits[2], 1.0);
}

#[test]
fn bias_bans_and_forces() {
    let ban = SamplingParams { logit_bias: vec![(1, f32::NEG_INFINITY)], ..plain() };
    assert_eq!(shares(&ban, &[0.0, 9.0, 0.0], 500)[1], 0.0);
    let force = SamplingParams { logit_bias: vec![(2, 100.0), (99, 1.0)], ..plain() };
    assert_eq!(shares(&force, &[0.0, 9.0, 0.0], 500)[2], 1.0);
}

#[test]
fn dry_grows_with_what_is_repeated() {
    let params = Dry { multiplier: 0.5, base: 2.0, allowed_length: 2, ..Dry::default() };
    let check = |history: &[u32], breakers: &[u32], expected: [f32; 5]| {
        let mut logits = [0.0; 5];
        dry::dry(&mut logits, history, &params, &breakers.iter().copied().collect());
        assert_eq!(logits, expected, "{history:?} broken at {breakers:?}");
    };
    // `1 2` was followed by 3: length 2 costs 0.5 * 2^0.
    check(&[1, 2, 3, 1, 2], &[], [0.0, 0.0, 0.0, -0.5, 0.0]);
    // `4 1 2` was followed by 3: length 3 costs 0.5 * 2^1.
    check(&[4, 1, 2, 3, 4, 1, 2], &[], [0.0, 0.0, 0.0, -1.0, 0.0]);
    // One token repeated is free.
    check(&[2, 3, 1, 2], &[], [0.0; 5]);
    // Of the three tokens repeated the last two count, for the first is a breaker.
    check(&[4, 1, 2, 3, 4, 1, 2], &[4], [0.0, 0.0, 0.0, -0.5, 0.0]);
    check(&[4, 1, 2, 3, 4, 1, 2], &[1], [0.0; 5]);
    // A breaker is never penalised.
    check(&[1, 2, 3, 1, 2], &[3], [0.0; 5]);
    check(&[], &[], [0.0; 5]);
    let mut logits = [0.0; 2];
    dry::dry(&mut logits, &[1; 5000], &params, &HashSet::new());
    assert!(logits[1].is_finite() && logits[1] < -1e30, "{logits:?}");
}

#[test]
fn dry_looks_back_as_far_as_told() {
    let params = Dry { multiplier: 1.0, penalty_last_n: 4, ..Dry::default() };
    let mut logits = [0.0; 4];
    dry::dry(&mut logits, &[1, 2, 3, 1, 2], &params, &HashSet::new());
    assert_eq!(logits, [0.0; 4]);
}

#[test]
fn mirostat_2_drops_what_surprises_too_much() {
    // A target of 0.75 bits allows 1.5 bits at first: only the token of 1 bit.
    let params =
        SamplingParams { mirostat: Mirostat::V2, mirostat_tau: 0.75, mirostat_eta: 1.0, ..plain() };
    let mut rng = Rng::new(Some(1));
    let mut limit = mirostat::Limit::new(&params);
    let mut race = candidates(&[0.5, 0.25, 0.25]);
    assert_eq!(limit.choose(&mut race, &params, 3, &mut rng), Some(0));
    // It was certain, 0 bits, so the limit rises by 0.75 to 2.25 bits: all three are let in.
    let mut race = candidates(&[0.5, 0.25, 0.25]);
    limit.choose(&mut race, &params, 3, &mut rng);
    assert_eq!(race.len(), 3);
}

#[test]
fn mirostat_keeps_the_surprise_near_its_target() {
    // Zipf's law, on which version 1 builds.
    let logits: Vec<f32> = (1..=1000).map(|rank| -1.1 * (rank as f32).ln()).collect();
    let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
    for mirostat in [Mirostat::V1, Mirostat::V2] {
        for tau in [2.0, 4.0] {
            let params = SamplingParams { mirostat, mirostat_tau: tau, ..plain() };
            let mut sampler = sampler(&params);
            let mut bits = 0.0;
            for _ in 0..2000 {
                let token = sampler.sample(&mut logits.clone(), &[], None).token;
                bits -= (f64::from(logits[token as usize]).exp() / total).log2();
            }
            // The target is of the narrowed distribution, whose tokens surprise less.
            let mean = bits / 2000.0;
            assert!(
                (f64::from(tau) - 0.3..f64::from(tau) + 2.5).contains(&mean),
                "{mean} of {tau}"
            );
        }
    }
}

#[test]
fn logprobs_are_of_the_model() {
    let params = SamplingParams {
        temperature: 0.0,
        logprobs: Some(2),
        logit_bias: vec![(0, 100.0)],
        ..plain()
    };
    let mut logits = logits(&[0.1, 0.6, 0.3]);
    logits.push(f32::NAN);
    let sampled = sampler(&params).sample(&mut logits, &[], None);
    assert_eq!(sampled.token, 0);
    let told = sampled.logprob.expect("asked for");
    near(f64::from(told.logprob), 0.1_f64.ln(), 1e-6);
    assert_eq!(told.top.iter().map(|(id, _)| *id).collect::<Vec<u32>>(), [1, 2]);
    near(f64::from(told.top[0].1), 0.6_f64.ln(), 1e-6);
    near(f64::from(told.top[1].1), 0.3_f64.ln(), 1e-6);

    let params = SamplingParams { logprobs: Some(0), ..plain() };
    let told = sampler(&params).sample(&mut [0.0], &[], None).logprob.expect("asked for");
    assert_eq!((told.logprob, told.top.len()), (0.0, 0));
    assert_eq!(sampler(&plain()).sample(&mut [0.0], &[], None).logprob, None);
}

#[test]
fn senseless_parameters_are_named() {
    assert_eq!(SamplingParams::default().validate(), Ok(()));
    let check = |change: fn(&mut SamplingParams), message: &str| {
        let mut params = SamplingParams::default();
        change(&mut params);
        assert_eq!(params.validate().expect_err("senseless").to_string(), message);
    };
    check(|params| params.top_p = 1.5, "top_p is 1.5: it must be between 0 and 1");
    check(|params| params.repeat_last_n = -2, "repeat_last_n is -2: it must be -1 or more");
    check(|params| params.dry.base = 0.5, "dry.base is 0.5: it must be between 1 and 1000000");
    check(|params| params.logprobs = Some(101), "logprobs is 101: it must be 100 at most");
    let nan = |params: &mut SamplingParams| params.temperature = f32::NAN;
    check(nan, "temperature is NaN: it must be between -1000000 and 1000000");
    let bias = |params: &mut SamplingParams| params.logit_bias = vec![(1, f32::INFINITY)];
    check(bias, "logit_bias is inf: it must be between -1000000 and 1000000");
}
