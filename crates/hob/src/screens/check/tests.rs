//! Sentences with every kind of verdict. Measurements are made up where their number matters to a
//! screen, so that a new row of the table changes nothing here.

use app::planner::claim::{Evidence, Known, Sample, judge, parse};
use app::planner::{machines, models};

use super::{Checked, Expected, Marks, Range, billions, figure, gigabytes, lines, short};

const GB10: (&str, f64) = ("dgx-spark", 273.0);
const STRIX: (&str, f64) = ("strix-halo-128", 256.0);

fn samples() -> Vec<Sample<'static>> {
    let llama = ("Llama-3.3-70B", [70.554, 69.503], "Q4_K_M");
    let gpt_oss = ("gpt-oss-120b", [116.8, 5.17], "MXFP4");
    let qwen = ("Qwen3.5/3.6-35B-A3B", [34.7, 2.95], "Q4_K_M");
    vec![
        sample(GB10, llama, 4.57, "llmfit 1.1.17 community benchmarks"),
        sample(STRIX, llama, 4.97, "The Register"),
        sample(STRIX, llama, 4.97, "geerlingguy/ai-benchmarks"),
        sample(GB10, gpt_oss, 55.4, "NVIDIA blog"),
        sample(GB10, gpt_oss, 59.02, "llama.cpp dgx-spark.md"),
        sample(GB10, gpt_oss, 43.9, "llmfit 1.1.17 community benchmarks"),
        sample(GB10, qwen, 71.9, "llmfit 1.1.17 community benchmarks"),
    ]
}

fn sample(
    (machine, bandwidth_gbs): (&'static str, f64),
    (model, [parameters, active], quant): (&'static str, [f64; 2], &'static str),
    decode_tps: f64,
    source: &'static str,
) -> Sample<'static> {
    let (parameters, active) = (parameters * 1e9, active * 1e9);
    Sample { machine, bandwidth_gbs, model, parameters, active, quant, decode_tps, source }
}

/// gpt-oss-120b on a DGX Spark, alone and as one of ten.
const GPT_OSS: Expected = Expected {
    file_gb: 63.3,
    read_gb: 3.64,
    alone: Some(Range { tps: 50.0, low: 37.0, high: 68.0 }),
    each: Some(Range { tps: 15.0, low: 8.9, high: 22.0 }),
};

fn screen(text: &str, usable_gb: Option<f64>, expected: Option<&Expected>) -> Vec<String> {
    let known = Known { models: models(), machines: machines() };
    let claim = parse(text, &known).unwrap_or_else(|error| panic!("{text}: {error}"));
    let samples = samples();
    let evidence = Evidence {
        file_read_gb: expected.map(|expected| expected.read_gb),
        expected_tps: expected.and_then(|expected| Some(expected.alone?.tps)),
        samples: &samples,
    };
    let judgement = judge(&claim, &evidence);
    let checked =
        Checked { claim: &claim, judgement: &judgement, usable_gb, expected, samples: &samples };
    let narrow = lines(&checked, Marks::Signs, 80);
    assert!(narrow.iter().all(|line| line.chars().count() <= 80), "{narrow:#?}");
    let lines = lines(&checked, Marks::Signs, 120);
    for line in lines.iter().filter(|line| !line.starts_with("  [")) {
        assert!(line.chars().count() <= 100 && line.trim_end() == line, "{line:?}");
    }
    lines
}

/// The verdicts alone, from the blank line above them to the one below.
fn verdicts(text: &str, usable_gb: Option<f64>, expected: Option<&Expected>) -> String {
    let lines = screen(text, usable_gb, expected);
    let mut parts = lines.split(String::is_empty);
    parts.nth(1).expect("a part for what was understood, and then this").join("\n")
}

// docs/planner.md.
#[test]
fn the_claim_of_the_article() {
    let text = "50 to 150 tokens per second on a quantized 70B, 200 W, 273 GB/s";
    insta::assert_snapshot!(screen(text, None, None).join("\n"), @r"
    claim    50 to 150 tokens/s
    model    70B, quantized, taken as 4 bits
    machine  273 GB/s, 200 W

    ✗ not possible for one conversation: 6.4 to 19 times what the memory allows
      70B at 4 bits: 35.0 GB a token, 273 GB/s allow 7.8 tokens/s (real files 42.2 GB: 6.5)
      expected: about 4.5 tokens/s, some 70 % of the bound as usual
      energy: 200 W at the expected rate are 44 J a token, 12 kWh a million tokens
    ✓ possible as a total of conversations at once: about 16 for 50, 34 or more for 150
    ✓ possible for a mixture of experts of which a token passes at most 10.9B (3.6B for 150)
      measured: gpt-oss-120b 44 to 59, Qwen3.5/3.6-35B-A3B 72

    measured like it, one conversation at short context:
      dgx-spark       Llama-3.3-70B  Q4_K_M  4.6 tokens/s  [1]
      strix-halo-128  Llama-3.3-70B  Q4_K_M  5.0 tokens/s  [2, 3]
    measured mixtures of experts that do it:
      dgx-spark  gpt-oss-120b         MXFP4   44 to 59 tokens/s  [1, 4, 5]
      dgx-spark  Qwen3.5/3.6-35B-A3B  Q4_K_M        72 tokens/s  [1]
    by:
      [1] llmfit 1.1.17 community benchmarks
      [2] The Register
      [3] geerlingguy/ai-benchmarks
      [4] NVIDIA blog
      [5] llama.cpp dgx-spark.md
    ");
}

#[test]
fn a_claim_that_is_possible() {
    let text = "gpt-oss-120b at 57 tok/s on a DGX Spark";
    insta::assert_snapshot!(screen(text, Some(109.5), Some(&GPT_OSS)).join("\n"), @r"
    claim    57 tokens/s
    model    gpt-oss-120b: 117B weights, of which a token passes 5.2B, MXFP4
    machine  NVIDIA DGX Spark (GB10), 273 GB/s, 128 GiB

    ✓ 57 tokens/s possible for one conversation: 76 % of what the memory allows
      5.2B of 117B at 4 bits: 2.6 GB a token, 273 GB/s allow 106 tokens/s (real files 3.6 GB: 75)
      expected: 50 tokens/s (37 to 68), nine times of ten in that range
    ✓ fits: 63.3 GB of weights, models can have 110 GB of 137 GB

    measured like it, one conversation at short context:
      dgx-spark  gpt-oss-120b  MXFP4  44 to 59 tokens/s  [1, 2, 3]
    by:
      [1] NVIDIA blog
      [2] llama.cpp dgx-spark.md
      [3] llmfit 1.1.17 community benchmarks
    ");
}

// The research: "2.2 times an RTX 4090" is true only because 42.5 GB are not in 24 GiB.
#[test]
fn what_does_not_fit_is_said_first() {
    let offload = Range { tps: 2.7, low: 2.0, high: 3.5 };
    let llama = Expected { file_gb: 42.5, read_gb: 41.9, alone: Some(offload), each: None };
    let text = "Llama-3.3-70B in Q4_K_M at 24 tok/s on an RTX 4090";
    insta::assert_snapshot!(verdicts(text, Some(25.2), Some(&llama)), @r"
    ✗ does not fit: 42.5 GB of weights, models can have 25.2 GB of 25.8 GB
    ? 24 tokens/s hardly for one conversation, if it fitted: 100 % of what the memory allows
      70.6B at 4 bits: 34.8 GB a token, 1,008 GB/s allow 29 tokens/s (real files 41.9 GB: 24)
      expected: 2.7 tokens/s (2.0 to 3.5), nine times of ten in that range
    ");
    // Two boxes hold 405B only where next to nothing else is in their memory.
    let text = "two DGX Sparks run a 405B in NVFP4, 228 GB of weights, at 2 tok/s";
    insta::assert_snapshot!(verdicts(text, Some(219.0), None), @r"
    ? hardly fits: 228 GB of weights, models can have 219 GB of 275 GB
    ✓ 2.0 tokens/s possible for one conversation, if it fitted: 83 % of what the memory allows
      405B by the claim: 228 GB a token, 546 GB/s allow 2.4 tokens/s
    ");
}

#[test]
fn part_of_a_claim() {
    let text = "13B Q4 (a 7 GB file), 10 to 15 tok/s, 76.8 GB/s";
    insta::assert_snapshot!(verdicts(text, None, None), @r"
    ? 10 to 11 tokens/s for one conversation only if the weights are as small as the claim says
      13B by the claim: 7.0 GB a token, 76.8 GB/s allow 11 tokens/s (real files 7.8 GB: 9.8)
      expected: about 6.9 tokens/s, some 70 % of the bound as usual
    ✗ not above 11 tokens/s for one conversation: up to 1.4 times that
    ✓ possible as a total of conversations at once: about 3 for 15
    ✓ possible for a mixture of experts of which a token passes at most 9.5B for 15
    ");
    let first = |text: &str| verdicts(text, None, None).lines().next().map(str::to_owned);
    assert_eq!(
        first("70B Q4 at 4 to 6 tok/s, 273 GB/s").as_deref(),
        Some("✓ up to 5.8 tokens/s possible for one conversation, more hardly")
    );
    insta::assert_snapshot!(verdicts("70B Q4 at 6 to 12 tok/s, 273 GB/s", None, None), @r"
    ? 6.0 to 7.8 tokens/s hardly for one conversation: 93 % to 100 % of what the memory allows
      70B at 4 bits: 35.0 GB a token, 273 GB/s allow 7.8 tokens/s (real files 42.2 GB: 6.5)
      expected: about 4.5 tokens/s, some 70 % of the bound as usual
    ✗ not above 7.8 tokens/s for one conversation: up to 1.5 times that
    ✓ possible as a total of conversations at once: about 3 for 12
    ✓ possible for a mixture of experts of which a token passes at most 45.5B for 12
      measured: gpt-oss-120b 44 to 59, Qwen3.5/3.6-35B-A3B 72
    ");
}

#[test]
fn totals_and_shares() {
    let check = |text: &str, expected: Option<&Expected>| {
        let verdicts = verdicts(text, None, expected);
        verdicts.lines().filter(|line| !line.starts_with("  ")).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!([
        check("700 tok/s in total, 70B 4-bit, 2,039 GB/s", None),
        check("2 users, 700 tokens per second, 70B 4-bit, 2,039 GB/s", None),
        check("100 users get 4,000 tok/s from an 8B in 16-bit at 2,039 GB/s", None),
        check("10 users get 120 tok/s in total, gpt-oss-120b on a DGX Spark", Some(&GPT_OSS)),
        check("10 users get 200 tok/s in total, gpt-oss-120b on a DGX Spark", Some(&GPT_OSS)),
        check("8 tok/s each for 10 people, gpt-oss-120b, dgx-spark", Some(&GPT_OSS)),
        check("20 tok/s each for 10 people, gpt-oss-120b, dgx-spark", Some(&GPT_OSS)),
        check("30 tok/s each for 10 people, gpt-oss-120b, dgx-spark", Some(&GPT_OSS)),
        check("8 tok/s each for 10 people, gpt-oss-120b, 273 GB/s", None),
    ].join("\n--\n"), @r"
    ? perhaps as a total of conversations at once: more than 32
    --
    ✗ not possible for 2 conversations at once: each would have 6.0 times what the memory allows
    --
    ✓ possible as a total of 100 conversations at once: it takes 45 or more
    --
    ✓ as a total of 10 conversations at once: 150 tokens/s (89 to 220) are expected
    ✓ fits: 63.3 GB of weights, the memory is 137 GB
    --
    ? as a total of 10 conversations at once: 150 tokens/s (89 to 220) are expected
    ✓ fits: 63.3 GB of weights, the memory is 137 GB
    --
    ✓ 8.0 tokens/s possible for one conversation: 11 % of what the memory allows
    ✓ for each of 10 at once: 15 tokens/s (8.9 to 22) are expected
    ✓ fits: 63.3 GB of weights, the memory is 137 GB
    --
    ✓ 20 tokens/s possible for one conversation: 27 % of what the memory allows
    ? for each of 10 at once: 15 tokens/s (8.9 to 22) are expected
    ✓ fits: 63.3 GB of weights, the memory is 137 GB
    --
    ✓ 30 tokens/s possible for one conversation: 40 % of what the memory allows
    ✗ for each of 10 at once: 15 tokens/s (8.9 to 22) are expected
    ✓ fits: 63.3 GB of weights, the memory is 137 GB
    --
    ✓ 8.0 tokens/s possible for one conversation: 8 % of what the memory allows
    ? for each of 10 at once: not judged without a machine and model of the table
    ");
}

#[test]
fn experts_of_which_nobody_says_how_many() {
    let text = "MoE with 120 billion weights: 21 tokens per second, 256 GB/s";
    insta::assert_snapshot!(screen(text, None, None).join("\n"), @r"
    claim    21 tokens/s
    model    120B with experts, how many a token passes is unsaid, 4-bit assumed
    machine  256 GB/s

    ? perhaps as a total of conversations at once: more than 32
      all 120B at 4 bits: 60.0 GB a token, 256 GB/s allow 4.3 tokens/s (real files 72.3 GB: 3.5)
    ✓ possible if a token passes at most 24.4B
      measured: gpt-oss-120b 44 to 59

    measured like it, one conversation at short context:
      dgx-spark  gpt-oss-120b  MXFP4  44 to 59 tokens/s  [1, 2, 3]
    by:
      [1] NVIDIA blog
      [2] llama.cpp dgx-spark.md
      [3] llmfit 1.1.17 community benchmarks
    ");
}

#[test]
fn counted_by_the_hour_and_nothing_measured() {
    let text = "several hundred thousand tokens per hour, 405B, FP8, 4 x RTX PRO 6000 Blackwell";
    insta::assert_snapshot!(screen(text, None, None).join("\n"), @r"
    claim    at least 300,000 tokens an hour, 83 tokens/s
    model    405B, FP8
    machine  4 x RTX PRO 6000 Blackwell WS 96 GB, 7,168 GB/s, 384 GiB

    ✗ not possible for one conversation: 4.7 times what the memory allows
      405B at 8 bits: 405 GB a token, 7,168 GB/s allow 18 tokens/s
      expected: about 12 tokens/s, some 70 % of the bound as usual; 3.1 where they read in turn
    ✓ possible as a total of conversations at once: about 8
    ✓ possible for a mixture of experts of which a token passes at most 86B
    ✓ fits: 405 GB of weights, the memory is 412 GB

    hob's table has no measurement like it
    ");
}

#[test]
fn words_where_a_terminal_has_no_signs() {
    assert_eq!(Marks::Words.yes("fits"), "yes: fits");
    assert_eq!(Marks::Words.no("fits"), "no: fits");
    assert_eq!(Marks::Words.doubt("fits"), "doubtful: fits");
    assert_eq!(Marks::Signs.yes("fits"), "✓ fits");
}

#[test]
fn figures_are_short() {
    let weights = [350e6, 5.17e9, 70e9, 116.8e9, 1.026e12].map(billions);
    assert_eq!(weights, ["350M", "5.2B", "70B", "117B", "1T"]);
    assert_eq!([0.4, 7.75, 141.0].map(gigabytes), ["400 MB", "7.8 GB", "141 GB"]);
    assert_eq!([0.51, 4.66, 46.0].map(short), ["0.51", "4.7", "46"]);
    assert_eq!([76.8, 273.0, 2039.0].map(figure), ["76.8", "273", "2,039"]);
}
