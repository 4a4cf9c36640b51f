//! Verdicts: the checks of the articles that people quote, and what must always hold.

use planner::{
    Adapter, Coefficients, Engine, Fit, Knowledge, KvType, Miss, Need, Offer, Projector,
    Quantisation, Subject, Tower, Verdict, Wish, find_machine, find_model, machines, machines_for,
    measurements, models, plan, recommended,
};

fn wish(quant: &str, context: u64, users: u64) -> Wish {
    let quantisation = Quantisation::from_name(quant).expect("a name of the table");
    Wish { context, users, kv: KvType::F16, quantisation, engine: Engine::Plain }
}

fn verdict(model: &str, machine: &str, quant: &str, context: u64) -> Verdict {
    let subject = Subject::of_row(find_model(model).expect("a row"));
    let machine = find_machine(machine).expect("a row");
    let knowledge = Knowledge::of(Coefficients::embedded(), machine);
    plan(&subject, machine, &wish(quant, context, 1), &knowledge)
}

#[test]
fn the_mock_screen_comes_true() {
    // 14 measurements of this pair, 55 to 59 tokens/s; 59.0 GiB of weights.
    let verdict = verdict("gpt-oss-120b", "dgx-spark", "MXFP4", 0);
    let (low, high) = (verdict.speed.decode_low, verdict.speed.decode_high);
    assert!(low < 55.0 && 59.0 < high, "{low} to {high}");
    assert!((75.0..77.0).contains(&verdict.speed.bound_tps), "{}", verdict.speed.bound_tps);
    let weights_gib = verdict.memory.weights_bytes as f64 / f64::from(1 << 30);
    assert!((58.8..59.2).contains(&weights_gib), "{weights_gib}");
    assert_eq!(verdict.kv_bytes_per_token, 36 * 1024);
    assert_eq!(verdict.verdict, Fit::Well);
}

#[test]
fn memory_tiers_of_the_articles() {
    for (model, machine, quant, context, fit) in [
        // 8 GB: a 7 to 8B in four bits.
        ("Llama-3.1-8B", "rtx-4060", "Q4_K_M", 8192, Fit::Well),
        // 12 GB: a 13B is tight at 4k, as its cache is not shared between heads.
        ("Llama-2-13B", "rtx-4070", "Q4_K_M", 4096, Fit::Well),
        // 16 GB: 13B at higher quality; eight bits do not fit.
        ("Llama-2-13B", "rtx-4080-super", "Q6_K", 4096, Fit::Well),
        ("Llama-2-13B", "rtx-4080-super", "Q8_0", 4096, Fit::Partly),
        // 24 GB: up to about 32B.
        ("Qwen3-32B", "rtx-4090", "Q4_K_M", 8192, Fit::Well),
        ("Llama-3.3-70B", "rtx-4090", "Q4_K_M", 8192, Fit::Partly),
        // 32 GB: 70B only with few bits.
        ("Llama-3.3-70B", "rtx-5090", "IQ2_XXS", 8192, Fit::Well),
        // 128 GB does not hold a 70B without quantisation, against the article; it holds eight
        // bits of it, slower than one reads.
        ("Llama-3.3-70B", "dgx-spark", "BF16", 8192, Fit::No),
        ("Llama-3.3-70B", "dgx-spark", "Q8_0", 32_768, Fit::Runs),
        // "Up to 405B" on two.
        ("Llama-3.1-405B", "dgx-spark", "Q4_K_M", 8192, Fit::No),
    ] {
        let verdict = verdict(model, machine, quant, context);
        let memory = verdict.memory;
        assert_eq!(verdict.verdict, fit, "{model} {quant} on {machine}: {memory:?}");
    }
}

#[test]
fn no_claim_of_the_articles_passes_the_bound() {
    for (model, machine, quant, claimed, bound) in [
        // "50 to 150 tokens/s on a quantised 70B".
        ("Llama-3.3-70B", "dgx-spark", "Q4_K_M", 50.0, 6.6),
        // "30 to 50".
        ("Llama-3.3-70B", "strix-halo-128", "Q4_K_M", 30.0, 6.2),
        // "8 to 15".
        ("Llama-3.3-70B", "nuc-14-pro", "Q4_K_M", 8.0, 2.2),
    ] {
        let found = verdict(model, machine, quant, 0).speed.bound_tps;
        assert!(found < bound && found > 0.95 * bound, "{model} on {machine}: {found}");
        assert!(found < claimed);
    }
}

#[test]
fn every_verdict_is_sound() {
    // Every seventh model on every ninth machine: enough kinds of both.
    for row in models().iter().step_by(7) {
        let subject = Subject::of_row(row);
        for machine in machines().iter().step_by(9) {
            let knowledge = Knowledge::of(Coefficients::embedded(), machine);
            let of = |quant: &str, context, users| {
                plan(&subject, machine, &wish(quant, context, users), &knowledge)
            };
            let name = format!("{} on {}", row.name, machine.name);
            let one = of("Q4_K_M", 4096, 1);
            let (memory, speed) = (one.memory, one.speed);
            assert!(memory.total_bytes >= memory.weights_bytes, "{name}");
            assert!(speed.decode_tps <= speed.bound_tps, "{name}");
            assert!(speed.decode_high <= speed.bound_tps, "{name}");
            assert!(speed.decode_low <= speed.decode_tps, "{name}");
            let deeper = of("Q4_K_M", 8192, 1);
            assert!(deeper.memory.total_bytes >= memory.total_bytes, "{name}");
            assert!(deeper.speed.bound_tps <= speed.bound_tps, "{name}");
            let more = of("Q4_K_M", 4096, 4);
            assert!(more.memory.total_bytes >= memory.total_bytes, "{name}");
            assert!(of("Q8_0", 4096, 1).memory.total_bytes > memory.total_bytes, "{name}");
            assert!(of("F16", 4096, 1).speed.bound_tps < speed.bound_tps, "{name}");
        }
    }
}

#[test]
fn what_is_recommended_runs_well_where_anything_does() {
    let name = |model: &str, machine: &str| {
        let subject = Subject::of_row(find_model(model).unwrap());
        let machine = find_machine(machine).unwrap();
        let knowledge = Knowledge::of(Coefficients::embedded(), machine);
        recommended(&subject, machine, &wish("Q4_K_M", 8192, 1), &knowledge).name()
    };
    assert_eq!(name("Llama-3.1-8B", "rtx-4090"), "Q8_0");
    assert_eq!(name("gpt-oss-20b", "rtx-4090"), "MXFP4_MOE");
    // All run slowly: half the bits are twice as fast.
    assert_eq!(name("Llama-3.3-70B", "dgx-spark"), "Q4_K_M");
    // Nothing fits whole: the fewest bits.
    assert_eq!(name("Llama-3.1-405B", "rtx-4090"), "Q2_K");
    // Its makers publish eight bits, others make fewer of them.
    assert_eq!(name("DeepSeek-R1", "Mac Studio M3 Ultra 512 GB"), "Q4_K_M");
}

#[test]
fn mixes_that_others_make_are_offered_too() {
    let need = Need { context: 8192, users: 1, rate_tps: 10.0, budget_usd: None, watts: None };
    let offers = offers("DeepSeek-R1", &need);
    let able = offers.iter().find(|offer| offer.misses.is_empty()).expect("a box holds it");
    assert_eq!(able.verdict.quant, "Q4_K_M", "{}", able.machine.name);
}

/// The part of a model in the PC's memory slows prompts and answers, and what is said of either.
#[test]
fn rates_ranges_and_waits_of_a_part_on_the_cpu_agree() {
    let verdict = verdict("Llama-3.3-70B", "rtx-4090", "Q4_K_M", 8192);
    assert_eq!(verdict.verdict, Fit::Partly);
    assert!(verdict.token.offload > 2.0, "{}", verdict.token.offload);
    let speed = verdict.speed;
    let [low, tps, high] = [speed.prefill_low, speed.prefill_tps, speed.prefill_high]
        .map(|rate| rate.expect("the card's arithmetic is known"));
    assert!(low < tps && tps < high && high < 2.5 * tps, "{low} {tps} {high}");
    let wait = verdict.first_token.iter().find(|wait| wait.prompt == 8192).expect("a prompt");
    // The rate is at the end of the context, the wait from its beginning: half as deep.
    for (seconds, tps) in [(wait.seconds, tps), (wait.low_s, high), (wait.high_s, low)] {
        let ratio = seconds * tps / 8192.0;
        assert!((0.8..1.2).contains(&ratio), "{seconds} s at {tps} tokens/s");
    }
    assert!(wait.low_s < wait.seconds && wait.seconds < wait.high_s);
}

fn offers(model: &str, need: &Need) -> Vec<Offer> {
    let subject = Subject::of_row(find_model(model).expect("a row"));
    machines_for(&subject, need, Coefficients::embedded())
}

/// What is not known is no pass: neither a price where there is a budget nor watts where there is a
/// limit, however high.
#[test]
fn machines_with_unknown_figures_meet_no_limit() {
    let limit = Some(1e9);
    let need = Need { context: 4096, users: 1, rate_tps: 0.0, budget_usd: limit, watts: limit };
    for offer in offers("Qwen3-8B", &need) {
        let misses = |miss| offer.misses.contains(&miss);
        assert_eq!(misses(Miss::WattsUnknown), offer.verdict.power.is_none());
        assert_eq!(misses(Miss::PriceUnknown), offer.machine.price_usd.is_none());
        assert!(!misses(Miss::Watts) && !misses(Miss::Price));
        assert_eq!(offer.misses.is_empty(), offer.shortfall == 1.0);
    }
}

/// A card that writes fast and holds a thirtieth of the model is not near.
#[test]
fn the_nearest_machines_lack_the_least() {
    let budget_usd = Some(2500.0);
    let need = Need { context: 8192, users: 1, rate_tps: 10.0, budget_usd, watts: None };
    let offers = offers("DeepSeek-R1", &need);
    assert!(offers.is_sorted_by(|a, b| a.shortfall <= b.shortfall));
    for offer in &offers[..5] {
        assert!(!offer.misses.is_empty());
        let gib = offer.verdict.memory.available_bytes >> 30;
        assert!(gib >= 90, "{}: {gib} GiB", offer.machine.name);
    }
}

#[test]
fn evidence_counts_only_what_the_fit_used() {
    let of = |machine: &str| verdict("Llama-3.1-8B", machine, "Q4_K_M", 4096).evidence;
    let published =
        |machine: &str| measurements().iter().filter(|row| row.machine == machine).count() as u64;
    // Two boxes that share every matrix, cards that hold a part only, several tokens a step.
    for (machine, used) in [
        ("2x DGX Spark (linked)", 0),
        ("GeForce RTX 4060 Ti 16 GB", 1),
        ("MacBook Pro M5 Pro 64 GB", 0),
    ] {
        assert!(published(machine) > used, "{machine}");
        assert_eq!(of(machine).of_machine, used, "{machine}");
    }
    // A sibling is predicted by the measurements of the box that it is the twin of.
    let (spark, twin) = (of("dgx-spark"), of("ASUS Ascent GX10 (GB10)"));
    assert_eq!((spark.of_machine, spark.of_class), (twin.of_machine, twin.of_class));
    assert!(spark.of_machine <= published("NVIDIA DGX Spark (GB10)"));
}

/// What is beside a model takes its bytes, and an adapter slows every token down.
#[test]
fn adapters_and_projectors_are_paid_for() {
    let machine = find_machine("rtx-4060").unwrap();
    let knowledge = Knowledge::of(Coefficients::embedded(), machine);
    let alone = Subject::of_row(find_model("Llama-3.1-8B").unwrap());
    let mut beside = alone.clone();
    let adapter = Adapter::of_rank(64, &[], &alone.facts).unwrap();
    beside.beside.adapters = vec![adapter.clone(), adapter.clone()];
    let name = "mmproj".to_owned();
    let projector = Projector { name, weights_bytes: 800 << 20, working_bytes: 100 << 20 };
    beside.beside.projector = Some(projector);
    let wish = wish("Q4_K_M", 8192, 1);
    let [less, more] = [&alone, &beside].map(|subject| plan(subject, machine, &wish, &knowledge));
    assert_eq!(more.memory.adapter_bytes, 2 * adapter.bytes);
    assert_eq!(more.memory.projector_bytes, 900 << 20);
    assert_eq!(more.memory.total_bytes - less.memory.total_bytes, 2 * adapter.bytes + (900 << 20));
    assert_eq!(more.token.weights_bytes - less.token.weights_bytes, 2 * adapter.bytes);
    assert!(more.speed.bound_tps < less.speed.bound_tps);
    assert!(more.speed.decode_tps < less.speed.decode_tps);
}

/// Buffers that llama.cpp printed with flash attention: 223.30 MiB for the tower of Qwen3.5-4B at
/// 1472 x 1472 (its pull request 22673), 62.62 MiB for Pixtral's at 448 x 448 (issue 16842).
#[test]
fn towers_take_what_was_printed() {
    let qwen = Tower {
        width: 1024,
        feed_forward: 4096,
        heads: 16,
        patch_side: 16,
        merged_side: 2,
        tokens_max: Some(46 * 46),
        ..Tower::default()
    };
    let pixtral = Tower {
        width: 1024,
        feed_forward: 4096,
        heads: 16,
        is_gated: true,
        image_side: 448,
        patch_side: 14,
        merged_side: 2,
        tokens_max: None,
    };
    for (tower, printed_mib) in [(qwen, 223.30), (pixtral, 62.62)] {
        let off = tower.working_bytes() as f64 / f64::from(1 << 20) / printed_mib - 1.0;
        assert!((0.0..0.05).contains(&off), "{off}");
    }
}
