//! The screens of `hob fit` as people see them.

use app::planner::{
    Adapter, Coefficients, Engine, Knowledge, KvType, Machine, Projector, Quantisation, Subject,
    Tuning, Verdict, Wish, find_machine, find_model, models_for, pipelines, plan, size_table,
    tuning_memory,
};
use app::planning::{LoadRow, Loaded};

use super::super::explain;
use super::{Check, checks, grid, hints, loaded, verdict};
use crate::text;

fn planned(
    model: &str,
    machine: &str,
    (quant, context, users): (&str, u64, u64),
) -> (Verdict, &'static Machine) {
    let subject = Subject::of_row(find_model(model).unwrap());
    let machine = find_machine(machine).unwrap();
    let quantisation = Quantisation::from_name(quant).unwrap();
    let wish = Wish { context, users, kv: KvType::F16, quantisation, engine: Engine::Plain };
    let knowledge = Knowledge::of(Coefficients::embedded(), machine);
    (plan(&subject, machine, &wish, &knowledge), machine)
}

#[test]
fn one_model_on_one_machine() {
    let (plan, machine) = planned("gpt-oss-120b", "dgx-spark", ("MXFP4", 65_536, 8));
    let lines: Vec<String> =
        verdict(&plan, 120).into_iter().chain(hints(&plan, machine, false)).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    gpt-oss-120b MXFP4_MOE on NVIDIA DGX Spark (GB10)
    RUNS: 77.7 GiB of 102.0 GiB with 64k of context for 8 at once

      ████████████████████████▓▓▓▓▓▓▓░········
      █ 58.9 GiB weights  ▓ 18.1 GiB keys and values  ░ 0.7 GiB the rest

      writes       7.0 tokens/s each, 56 together at 64k (4.2 to 10; bound 10)
      at depth     0 51 · 8k 48 · 32k 40 · 128k 25 tokens/s
      reads        999 tokens/s at 64k (355 to 1,587)
      first token  1k 0.6 s · 8k 5.1 s · 32k 23 s of prompt
      at once      4 at 10 tokens/s and more each
      loads in     22 s to 58 s
      power        139 W (measured), 2.5 J a token, 0.7 kWh a million tokens
      context      36 KiB a token as f16, up to 131,072 tokens
      licence      apache-2.0
      measured     104 of this machine, 104 of its class, 0 of yours; this machine's decide
      (ranges hold nine of ten measurements)

    hob does not run models of this kind yet: figures are for llama.cpp and its like
    ");
}

#[test]
fn what_does_not_fit() {
    let (plan, _) = planned("Llama-3.3-70B", "rtx-4090", ("Q4_K_M", 8192, 1));
    insta::assert_snapshot!(verdict(&plan, 120)[..5].join("\n"), @"
    Llama-3.3-70B Q4_K_M on GeForce RTX 4090 24 GB
    PARTLY ON THE CPU: 42.9 GiB with 8k of context, 19.4 GiB of it in the PC's memory

      █████████████████████████████████████▓▓▓
      █ 39.6 GiB weights  ▓ 2.5 GiB keys and values  ░ 0.8 GiB the rest
    ");
    let (plan, _) = planned("Llama-3.1-405B", "rtx-4090", ("Q8_0", 8192, 1));
    insta::assert_snapshot!(verdict(&plan, 120)[..5].join("\n"), @"
    Llama-3.1-405B Q8_0 on GeForce RTX 4090 24 GB
    NO: it takes 406.6 GiB with 8k of context, and 23.5 GiB can be used

      ████████████████████████████████████████
      █ 401.6 GiB weights  ▓ 3.9 GiB keys and values  ░ 1.0 GiB the rest
    ");
}

#[test]
fn what_to_take_is_one_line() {
    let said = |quant, context| {
        super::advice(&planned("Llama-3.3-70B", "dgx-spark", (quant, context, 1)).0)
    };
    assert_eq!(
        said("Q4_K_M", 8192),
        "Recommended: Q4_K_M with 8k of context; it fits, and writes slowly"
    );
    assert!(said("BF16", 8192).starts_with("Recommended: another model or machine; not even BF16"));
    let well = super::advice(&planned("Qwen3-8B", "rtx-4090", ("Q8_0", 8192, 1)).0);
    assert_eq!(well, "Recommended: Q8_0 with 8k of context, the most bits that run well");
    let partly = super::advice(&planned("Llama-3.3-70B", "rtx-4090", ("Q2_K", 8192, 1)).0);
    assert!(partly.starts_with("Recommended: a smaller model; Q2_K"), "{partly}");
}

#[test]
fn mixes_by_contexts() {
    let of = |quant, context| planned("Qwen3-8B", "rtx-4060", (quant, context, 1)).0;
    let table: Vec<Vec<Verdict>> = ["Q8_0", "Q4_K_M"]
        .map(|quant| [8192, 32_768].map(|context| of(quant, context)).to_vec())
        .to_vec();
    insta::assert_snapshot!(grid(&table, 120).join("\n"), @"
    quant   weights            8k context            32k context
    Q8_0    8.1 GiB  10.0 GiB partly 13/s  13.3 GiB partly 7.6/s
    Q4_K_M  4.7 GiB          6.5 GiB 35/s    9.9 GiB partly 15/s
    ");
}

#[test]
fn what_is_beside_has_its_own_signs() {
    let mut subject = Subject::of_row(find_model("Qwen3.5-9B").unwrap());
    let adapter = Adapter::of_rank(64, &[], &subject.facts).unwrap();
    subject.beside.adapters = vec![adapter];
    let name = "mmproj-F16.gguf".to_owned();
    let projector = Projector { name, weights_bytes: 800 << 20, working_bytes: 300 << 20 };
    subject.beside.projector = Some(projector);
    let machine = find_machine("rtx-4090").unwrap();
    let quantisation = Quantisation::from_name("Q4_K_M").unwrap();
    let (kv, engine) = (KvType::F16, Engine::Plain);
    let wish = Wish { context: 8192, users: 1, kv, quantisation, engine };
    let knowledge = Knowledge::of(Coefficients::embedded(), machine);
    let plan = plan(&subject, machine, &wish, &knowledge);
    let lines = verdict(&plan, 80);
    let legend: Vec<&String> = lines[4..].iter().take_while(|line| !line.is_empty()).collect();
    assert_eq!(legend.len(), 2, "{lines:?}");
    assert!(legend.iter().all(|line| line.chars().count() <= 80), "{legend:?}");
    let legend = format!("{} {}", legend[0], legend[1]);
    assert!(legend.contains(" adapters") && legend.contains("▚ 1.1 GiB projector"), "{legend}");
    assert!(lines[3].contains('▞') && lines[3].contains('▚'), "{lines:?}");
}

#[test]
fn a_load_is_told_beside_its_promise() {
    let mut load = LoadRow {
        model: "it".to_owned(),
        file_bytes: 0,
        what: Loaded::Everything,
        context: 8192,
        users: 1,
        kv: "f16".to_owned(),
        promised_bytes: 200 << 20,
        measured_bytes: 197 << 20,
        loaded_unix_s: 86_400 * 365,
    };
    let said = "  (reserved here on 1971-01-01: 197.0 of 200.0 MiB promised, 8k of context)";
    assert_eq!(loaded(&load), said);
    load.users = 3;
    assert!(loaded(&load).ends_with("promised, 8k x 3 of context)"));
    load.what = Loaded::Weights;
    assert!(loaded(&load).ends_with("promised, weights alone)"));
}

#[test]
fn promises_kept_and_broken() {
    let table = checks(&[
        Check::at_most("memory", 1e9, Some(0.99e9)),
        Check::at_least("writes", (50.0, Some(40.0)), 30.0),
    ]);
    insta::assert_snapshot!(table.join("\n"), @"
               promised     measured   off by
    memory    953.7 MiB    944.1 MiB   -1.0 %  kept
    writes  50 tokens/s  30 tokens/s  -40.0 %  BROKEN: at least 40 were promised
    ");
}

fn screen(lines: &[String], width: usize) -> String {
    for line in lines {
        assert!(line.chars().count() <= width && line.trim_end() == line, "{line:?}");
    }
    lines.join("\n")
}

#[test]
fn one_model_in_eighty_columns() {
    let (plan, machine) = planned("gpt-oss-120b", "dgx-spark", ("MXFP4", 65_536, 8));
    let lines = verdict(&plan, 80).into_iter().chain(hints(&plan, machine, false)).collect();
    insta::assert_snapshot!(screen(&text::within(lines, 80), 80), @"
    gpt-oss-120b MXFP4_MOE on NVIDIA DGX Spark (GB10)
    RUNS: 77.7 GiB of 102.0 GiB with 64k of context for 8 at once

      ████████████████████████▓▓▓▓▓▓▓░········
      █ 58.9 GiB weights  ▓ 18.1 GiB keys and values  ░ 0.7 GiB the rest

      writes       7.0 tokens/s each, 56 together at 64k (4.2 to 10; bound 10)
      at depth     0 51 · 8k 48 · 32k 40 · 128k 25 tokens/s
      reads        999 tokens/s at 64k (355 to 1,587)
      first token  1k 0.6 s · 8k 5.1 s · 32k 23 s of prompt
      at once      4 at 10 tokens/s and more each
      loads in     22 s to 58 s
      power        139 W (measured), 2.5 J a token, 0.7 kWh a million tokens
      context      36 KiB a token as f16, up to 131,072 tokens
      licence      apache-2.0
      measured     104 of this machine, 104 of its class, 0 of yours; this machine's
                   decide
      (ranges hold nine of ten measurements)

    hob does not run models of this kind yet: figures are for llama.cpp and its like
    ");
}

#[test]
fn several_mixes_in_eighty_and_more_columns() {
    let of = |quant, context| planned("Llama-3.3-70B", "rtx-4090", (quant, context, 1)).0;
    let table: Vec<Vec<Verdict>> = ["Q8_0", "Q4_K_M", "Q2_K"]
        .map(|quant| [8192, 32_768, 131_072].map(|context| of(quant, context)).to_vec())
        .to_vec();
    insta::assert_snapshot!(screen(&grid(&table, 80), 80), @"
    quant    weights             8k context            32k context  128k context
    Q8_0    69.8 GiB            73.2 GiB no            80.7 GiB no  110.7 GiB no
    Q4_K_M  39.6 GiB  42.9 GiB partly 2.4/s  50.4 GiB partly 1.8/s   80.4 GiB no
    Q2_K    24.6 GiB  27.9 GiB partly 8.3/s  35.4 GiB partly 3.8/s   65.4 GiB no
    ");
    insta::assert_snapshot!(screen(&grid(&table, 120), 120), @"
    quant    weights             8k context            32k context  128k context
    Q8_0    69.8 GiB            73.2 GiB no            80.7 GiB no  110.7 GiB no
    Q4_K_M  39.6 GiB  42.9 GiB partly 2.4/s  50.4 GiB partly 1.8/s   80.4 GiB no
    Q2_K    24.6 GiB  27.9 GiB partly 8.3/s  35.4 GiB partly 3.8/s   65.4 GiB no
    ");
}

#[test]
fn a_machine_alone_in_eighty_and_more_columns() {
    let machine = find_machine("mac-studio-m4-max-128").unwrap();
    let all = |width| {
        let picks = models_for(machine, Coefficients::embedded(), 2);
        let mut lines = super::picks(machine, &picks, width);
        lines.extend(super::sizes(&size_table(Coefficients::embedded()), width));
        screen(&lines, width)
    };
    insta::assert_snapshot!(all(80), @"
    Mac Studio M4 Max 128 GB: 107.5 GiB of 128 GiB for models, 546 GB/s

    Talking (10 tokens/s and more, 8k of context):
      Qwen3.8-Flash-Next  Q4_K_M  107.1 GiB  65 tokens/s  qwen-community-1.0
        (180B-A6B)
      Qwen3.5-122B-A10B   Q6_K     94.1 GiB  45 tokens/s  apache-2.0
      (no room in 80 columns for parameters)

    Agents and code (32k of prompt within 30 s, 10 tokens/s):
      LFM2-8B-A1B / LFM2.5-8B-A1B  Q8_0  8.34 B   9.0 GiB  139 tokens/s  lfm1.0
      Gemma-4-E4B                  BF16  7.52 B  14.9 GiB   44 tokens/s  apache-2.0

    Long documents (128k of context, 5 tokens/s):
      Qwen3.5-122B-A10B           Q6_K   96.9 GiB  36 tokens/s  apache-2.0
      Nemotron-3-Super-120B-A12B  Q6_K  106.9 GiB  28 tokens/s  nvidia-nemotron-open
      (no room in 80 columns for parameters)
    What so much memory holds, in four bits with 8k of context:
      memory   largest dense                             largest with experts
      8 GiB    GLM-4-9B-chat 33/s                        LFM2-8B-A1B / LFM2.5-8B-A1B
                                                         150/s
      12 GiB   DeepSeek-R1-Distill-Qwen-14B 35/s         DeepSeek-(Coder-)V2-Lite
                                                         135/s
      16 GiB   Mistral-Small-3.x/Magistral/Devstral-24B  Gemma-4-26B-A4B 145/s
               36/s
      24 GiB   DeepSeek-R1-Distill-Qwen-32B 35/s         Qwen3.5/3.6-35B-A3B 182/s
      32 GiB   Llama-3.3-Nemotron-Super-49B-v1.5 43/s    Kimi-Linear-48B-A3B 317/s
      128 GiB  Mistral-Large-2411 2.7/s                  Qwen3.5-122B-A10B 31/s
      (no room in 80 columns for such machines)
    ");
    insta::assert_snapshot!(all(120), @"
    Mac Studio M4 Max 128 GB: 107.5 GiB of 128 GiB for models, 546 GB/s

    Talking (10 tokens/s and more, 8k of context):
      Qwen3.8-Flash-Next (180B-A6B)  Q4_K_M  180.00 B  107.1 GiB  65 tokens/s  qwen-community-1.0
      Qwen3.5-122B-A10B              Q6_K    122.11 B   94.1 GiB  45 tokens/s  apache-2.0

    Agents and code (32k of prompt within 30 s, 10 tokens/s):
      LFM2-8B-A1B / LFM2.5-8B-A1B  Q8_0  8.34 B   9.0 GiB  139 tokens/s  lfm1.0
      Gemma-4-E4B                  BF16  7.52 B  14.9 GiB   44 tokens/s  apache-2.0

    Long documents (128k of context, 5 tokens/s):
      Qwen3.5-122B-A10B           Q6_K  122.11 B   96.9 GiB  36 tokens/s  apache-2.0
      Nemotron-3-Super-120B-A12B  Q6_K  120.67 B  106.9 GiB  28 tokens/s  nvidia-nemotron-open
    What so much memory holds, in four bits with 8k of context:
      memory   such as         largest dense                                  largest with experts
      8 GiB    rtx-4060        GLM-4-9B-chat 33/s                             LFM2-8B-A1B / LFM2.5-8B-A1B 150/s
      12 GiB   rtx-4070        DeepSeek-R1-Distill-Qwen-14B 35/s              DeepSeek-(Coder-)V2-Lite 135/s
      16 GiB   rtx-4080-super  Mistral-Small-3.x/Magistral/Devstral-24B 36/s  Gemma-4-26B-A4B 145/s
      24 GiB   rtx-4090        DeepSeek-R1-Distill-Qwen-32B 35/s              Qwen3.5/3.6-35B-A3B 182/s
      32 GiB   rtx-5090        Llama-3.3-Nemotron-Super-49B-v1.5 43/s         Kimi-Linear-48B-A3B 317/s
      128 GiB  dgx-spark       Mistral-Large-2411 2.7/s                       Qwen3.5-122B-A10B 31/s
    ");
}

fn explained(width: usize) -> String {
    let (plan, machine) = planned("gpt-oss-120b", "dgx-spark", ("MXFP4", 65_536, 8));
    screen(&explain::paragraphs(&explain::verdict(&plan, machine), width), width)
}

#[test]
fn every_figure_is_explained_in_eighty_columns() {
    insta::assert_snapshot!(explained(80), @"
    How these figures came about (formulas: docs/planner.md)
      weights: 116.83 B weights, 4.33 bits each: 63,256,331,632 bytes (every tensor
        in the type that this mix gives it)
      keys and values: 36,864 bytes a token as f16 in layers that see everything,
        65,536 tokens, 8 conversations, with full windows: 19,421,724,672 bytes;
        states of recurrent layers 0 bytes
      working memory: activations of 512 rows and logits 89,010,176 bytes, driver
        and program 419,430,400, left free 268,435,456: in all 83,454,932,336
      available: 102.0 GiB of 128 GiB: what was measured on such a machine, or is
        set by a rule of its kind
      bound: a token passes 5.17 B weights and reads 3.63 GB of them and 2.42 GB of
        context; at 273 GB/s that is 45 tokens/s at most; 8 at once read 26.12 GB
        for a token of each: 10
      writes: bytes over the share of bandwidth that such machines reach, and a time
        for each layer, at 64k of context; fitted to 104 published measurements of
        this machine; the range held nine of ten measurements that the fit had not
        seen
      at depth: a token reads 3.63 GB of weights wherever it stands, and 36,864
        bytes of context for each position before it in layers that see everything:
        4.83 GB at 128k; of one conversation
      reads: operations over the share of the arithmetic that such machines reach;
        always less sure than writing: measure it with `hob bench`
      first token: the prompt's tokens over the rate of reading at half its depth,
        and one token written after it, with nobody before; nine of ten between: 1k
        0.4 s to 1.7 s, 8k 3.2 s to 14 s, 32k 14 s to 64 s
      at once: the most conversations, each with 64k of context, that the memory
        holds and that all write at 10 tokens/s and more: weights are read once for
        all, keys and values of each
      loads in: 63.3 GB of files at 2.9 to 1.1 GB/s, as direct reads of disks were
        measured
      power: 139 W over 56 tokens/s; 1 J a token is 0.28 kWh a million
      measured: 104 published measurements of writing on this machine or its twin
        and 104 on its class were fitted, 0 were made here; those held out, above
        the bound, with a part in the PC's memory, with several tokens a step or on
        several boxes do not count
    ");
}

#[test]
fn every_figure_is_explained_in_more_columns() {
    insta::assert_snapshot!(explained(120), @"
    How these figures came about (formulas: docs/planner.md)
      weights: 116.83 B weights, 4.33 bits each: 63,256,331,632 bytes (every tensor in the type that this mix gives it)
      keys and values: 36,864 bytes a token as f16 in layers that see everything, 65,536 tokens, 8 conversations, with full
        windows: 19,421,724,672 bytes; states of recurrent layers 0 bytes
      working memory: activations of 512 rows and logits 89,010,176 bytes, driver and program 419,430,400, left free
        268,435,456: in all 83,454,932,336
      available: 102.0 GiB of 128 GiB: what was measured on such a machine, or is set by a rule of its kind
      bound: a token passes 5.17 B weights and reads 3.63 GB of them and 2.42 GB of context; at 273 GB/s that is 45 tokens/s
        at most; 8 at once read 26.12 GB for a token of each: 10
      writes: bytes over the share of bandwidth that such machines reach, and a time for each layer, at 64k of context;
        fitted to 104 published measurements of this machine; the range held nine of ten measurements that the fit had not
        seen
      at depth: a token reads 3.63 GB of weights wherever it stands, and 36,864 bytes of context for each position before it
        in layers that see everything: 4.83 GB at 128k; of one conversation
      reads: operations over the share of the arithmetic that such machines reach; always less sure than writing: measure it
        with `hob bench`
      first token: the prompt's tokens over the rate of reading at half its depth, and one token written after it, with
        nobody before; nine of ten between: 1k 0.4 s to 1.7 s, 8k 3.2 s to 14 s, 32k 14 s to 64 s
      at once: the most conversations, each with 64k of context, that the memory holds and that all write at 10 tokens/s and
        more: weights are read once for all, keys and values of each
      loads in: 63.3 GB of files at 2.9 to 1.1 GB/s, as direct reads of disks were measured
      power: 139 W over 56 tokens/s; 1 J a token is 0.28 kWh a million
      measured: 104 published measurements of writing on this machine or its twin and 104 on its class were fitted, 0 were
        made here; those held out, above the bound, with a part in the PC's memory, with several tokens a step or on several
        boxes do not count
    ");
}

#[test]
fn images_and_picks_are_explained() {
    let rows = pipelines("flux");
    insta::assert_snapshot!(screen(&explain::images(&rows, 120), 120), @"
    How these figures came about (formulas: docs/planner.md)
      Flux.1-dev bf16, 1024 x 1024: text encoders 9.5 GB, denoiser 23.8 GB, decoder 0.2 GB as published, and 2.576 GB that
        the denoiser was measured to work in; in turn the largest of encoders, denoiser at work and decoder
      Flux.1-dev fp8, 1024 x 1024: text encoders 4.9 GB, denoiser 12 GB, decoder 0.2 GB as published, and 2.576 GB that the
        denoiser was measured to work in; in turn the largest of encoders, denoiser at work and decoder
      Flux.1-dev nf4, 1024 x 1024: text encoders 4.9 GB, denoiser 6.7 GB, decoder 0.2 GB as published, and 2.576 GB that the
        denoiser was measured to work in; in turn the largest of encoders, denoiser at work and decoder
    ");
    insta::assert_snapshot!(screen(&explain::picks(120), 120), @"
    How these figures came about (formulas: docs/planner.md)
      models: every model of the table as Q8_0, Q6_K and Q4_K_M, or as its makers publish it; the most bits that do the task
        in the machine's own memory; the most weights first, and of sisters with the same shape one
      rates: what is expected with the whole context of the task, as `hob fit MODEL --explain` explains it for each
      sizes: the largest model of the table that is whole in the memory of a machine of that size, in the four bits that its
        makers publish, else Q4_K_M
    ");
}

#[test]
fn learning_is_told_and_explained() {
    let subject = Subject::of_row(find_model("Llama-3.1-8B").unwrap());
    let machine = find_machine("rtx-4090").unwrap();
    let ways = [Tuning::Full, Tuning::Qlora { rank: 16 }]
        .map(|way| (way, tuning_memory(&subject.facts, way, 4096)));
    let lines = super::tuning(("Llama-3.1-8B", 4096), machine, &ways, 80);
    insta::assert_snapshot!(screen(&lines, 80), @"
    Llama-3.1-8B learning from examples of 4,096 tokens, one at a time, on GeForce
        RTX 4090 24 GB: 23.5 GiB can be used
                       in all    model     learns  activations
      every weight  126.4 GiB  0.0 GiB  119.7 GiB      6.7 GiB  does not fit
      QLoRA          12.6 GiB  5.3 GiB    0.6 GiB      6.7 GiB  fits
      (published tables are met within a third; hob itself does not fine-tune yet)
    ");
    insta::assert_snapshot!(screen(&explain::paragraphs(&explain::tuning(&ways, 4096), 80), 80), @"
    How these figures came about (formulas: docs/planner.md)
      every weight: 8.03 B weights learn, 16 bytes each: itself and its gradient in
        16 bits, a copy and two moments of AdamW in 32
      QLoRA: matrices in NF4 at 0.516 bytes a weight, embedding and head in 16 bits,
        take 5.3 GiB; 41.94 M weights of adapters of rank 16 learn, 16 bytes each:
        itself and its gradient in 16 bits, a copy and two moments of AdamW in 32
      activations: one example of 4,096 tokens at a time takes 6.7 GiB: what each
        layer keeps for the way back, one layer's values computed anew, and logits
        with their gradients
    ");
}
