//! The screens of `hob fit` as people see them.

use app::planner::{
    Adapter, Coefficients, Engine, Knowledge, KvType, Machine, Projector, Quantisation, Subject,
    Verdict, Wish, find_machine, find_model, plan,
};
use app::planning::{LoadRow, Loaded};

use super::{Check, checks, grid, hints, loaded, verdict};

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
        verdict(&plan).into_iter().chain(hints(&plan, machine, false)).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    gpt-oss-120b MXFP4_MOE on NVIDIA DGX Spark (GB10)
    RUNS: 77.7 GiB of 102.0 GiB with 64k of context for 8 at once

      ████████████████████████▓▓▓▓▓▓▓░········
      █ 58.9 GiB weights  ▓ 18.1 GiB keys and values  ░ 0.7 GiB the rest

      writes       7.0 tokens/s each, 56 together at 64k (4.2 to 10; bound 10)
      at depth     0 51 · 8k 48 · 32k 40 · 128k 25 tokens/s
      reads        997 tokens/s at 64k (354 to 1,584)
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
    insta::assert_snapshot!(verdict(&plan)[..5].join("\n"), @"
    Llama-3.3-70B Q4_K_M on GeForce RTX 4090 24 GB
    PARTLY ON THE CPU: 42.9 GiB with 8k of context, 19.4 GiB of it in the PC's memory

      █████████████████████████████████████▓▓▓
      █ 39.6 GiB weights  ▓ 2.5 GiB keys and values  ░ 0.8 GiB the rest
    ");
    let (plan, _) = planned("Llama-3.1-405B", "rtx-4090", ("Q8_0", 8192, 1));
    insta::assert_snapshot!(verdict(&plan)[..5].join("\n"), @"
    Llama-3.1-405B Q8_0 on GeForce RTX 4090 24 GB
    NO: it takes 406.6 GiB with 8k of context, and 23.5 GiB can be used

      ████████████████████████████████████████
      █ 401.6 GiB weights  ▓ 3.9 GiB keys and values  ░ 1.0 GiB the rest
    ");
}

#[test]
fn mixes_by_contexts() {
    let of = |quant, context| planned("Qwen3-8B", "rtx-4060", (quant, context, 1)).0;
    let table: Vec<Vec<Verdict>> = ["Q8_0", "Q4_K_M"]
        .map(|quant| [8192, 32_768].map(|context| of(quant, context)).to_vec())
        .to_vec();
    insta::assert_snapshot!(grid(&table).join("\n"), @"
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
    let lines = verdict(&plan);
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
