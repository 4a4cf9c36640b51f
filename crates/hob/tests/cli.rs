//! The real binary over a tiny model: what a person or a script gets, in a home folder of its own.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use testkit::TinyModel;

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Home {
        Home { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A tiny model's file.
    fn model(&self) -> PathBuf {
        let path = self.path("tiny.gguf");
        if !path.exists() {
            TinyModel::default().write(&path);
        }
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the test starts hob as a person does")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_hob"));
        // Nothing of the machine's own settings or models gets in.
        command.env_clear().env("HOB_HOME", self.path("hob")).env("HOME", self.folder.path());
        command.arg("--offline").args(arguments).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn hob(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn hob_with_stdin(&self, arguments: &[&str], stdin: &[u8]) -> Output {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        child.wait_with_output().unwrap()
    }

    fn import(&self, name: &str) {
        let model = self.model();
        check_done(&self.hob(&["import", text_of(&model), "--name", name]));
    }
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn check_done(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    stdout(output)
}

/// One line on stderr that says `part`, nothing on stdout, and the code.
#[track_caller]
fn check_failed(output: &Output, code: i32, part: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.starts_with("error: ") && said.contains(part), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert_eq!(stdout(output), "");
}

const GREEDY: [&str; 6] = ["-n", "8", "--temp", "0", "-t", "1"];

#[test]
fn an_answer_is_plain_text_and_the_same_twice() {
    let home = Home::new();
    let model = home.model();
    let ask = || home.hob(&[&["run", text_of(&model), "hi"][..], &GREEDY].concat());
    let first = check_done(&ask());
    assert!(first.ends_with('\n') && !first.contains('\u{1b}'), "{first:?}");
    assert_eq!(check_done(&ask()), first);
}

#[test]
fn standard_input_follows_the_prompt() {
    let home = Home::new();
    let model = home.model();
    let started = |arguments: &[&str], stdin: &str| {
        let all = [&["run", text_of(&model), "--json"][..], &GREEDY, arguments].concat();
        let output = check_done(&home.hob_with_stdin(&all, stdin.as_bytes()));
        event(&output, "started")["prompt_tokens"].as_u64().unwrap()
    };
    let short = started(&["Summarise:"], "");
    assert!(started(&["Summarise:"], "a text") > short);
    assert_eq!(started(&[], "Summarise:\n"), short);
}

#[track_caller]
fn event(output: &str, name: &str) -> serde_json::Value {
    let mut events = output.lines().map(|line| serde_json::from_str(line).unwrap());
    let found = events.find(|event: &serde_json::Value| event["event"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {output}"))
}

#[test]
fn json_events_end_with_usage_and_timings() {
    let home = Home::new();
    let model = home.model();
    let arguments = [&["run", text_of(&model), "hi", "--json", "--verbose"][..], &GREEDY].concat();
    let output = home.hob(&arguments);
    let lines = check_done(&output);
    assert!(event(&lines, "loaded")["load_ms"].is_number());
    let last = lines.lines().last().unwrap();
    let finished = event(last, "finished");
    assert!(finished["usage"]["completion_tokens"].as_u64().unwrap() <= 8);
    assert!(finished["timings"]["first_token_ms"].is_number());
    assert!(stderr(&output).contains("time to first token:"), "{}", stderr(&output));
}

#[test]
fn nothing_to_ask_is_an_error() {
    let home = Home::new();
    let model = home.model();
    let model = text_of(&model);
    check_failed(&home.hob(&["run", model]), 1, "the prompt is empty");
    check_failed(&home.hob_with_stdin(&["run", model], b" \n"), 1, "the prompt is empty");
    let output = home.hob_with_stdin(&["run", model, "hi"], b"a\xff");
    check_failed(&output, 1, "standard input is not UTF-8 text (byte 1)");
}

#[test]
fn a_prompt_in_the_models_place_is_explained() {
    let home = Home::new();
    let output = home.hob(&["run", "Why is the sky blue?"]);
    check_failed(&output, 2, "hob run smollm2 \"Why is the sky blue?\"");
    let output = home.hob(&["run", "Why", "is", "it"]);
    check_failed(&output, 1, "hob run smollm2 \"Why is it\"");
}

#[test]
fn a_prompt_longer_than_the_context_is_refused() {
    let home = Home::new();
    let model = home.model();
    let long = "word ".repeat(2000);
    let output = home.hob_with_stdin(&["run", text_of(&model), "-t", "1"], long.as_bytes());
    check_failed(&output, 1, "context");
}

#[test]
fn missing_and_truncated_files() {
    let home = Home::new();
    let missing = home.path("none.gguf");
    for command in ["run", "show"] {
        let arguments = [command, text_of(&missing), "hi"];
        let arguments = &arguments[..if command == "run" { 3 } else { 2 }];
        check_failed(&home.hob(arguments), 1, "none.gguf");
    }
    let bytes = std::fs::read(home.model()).unwrap();
    let short = home.path("short.gguf");
    for len in [0, 3, 20, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&short, &bytes[..len]).unwrap();
        check_failed(&home.hob(&["show", text_of(&short)]), 1, "short.gguf");
        check_failed(&home.hob(&["run", text_of(&short), "hi"]), 1, "short.gguf");
    }
}

#[test]
fn import_list_show_and_rm() {
    let home = Home::new();
    let empty = home.hob(&["list"]);
    assert_eq!(check_done(&empty), "");
    assert!(stderr(&empty).contains("no models yet"), "{}", stderr(&empty));
    home.import("tiny");
    let listed = check_done(&home.hob(&["list"]));
    assert!(listed.starts_with("NAME") && listed.contains("\ntiny "), "{listed}");
    let listed = check_done(&home.hob(&["list", "--json"]));
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["name"], listed.as_array().unwrap().len()), (&"tiny".into(), 1));
    let shown = check_done(&home.hob(&["show", "tiny"]));
    assert!(shown.contains("architecture  llama"), "{shown}");
    let shown = check_done(&home.hob(&["show", "tiny", "--tensors"]));
    assert!(shown.contains("token_embd.weight"), "{shown}");
    let shown = check_done(&home.hob(&["show", "tiny", "--json"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["layers"], 2);
    let removed = check_done(&home.hob(&["rm", "tiny"]));
    assert!(removed.starts_with("removed tiny; ") && removed.ends_with(" freed\n"), "{removed}");
    check_failed(&home.hob(&["rm", "tiny"]), 1, "tiny");
}

#[test]
fn tokenize_shows_ids_and_pieces() {
    let home = Home::new();
    let model = home.model();
    let model = text_of(&model);
    let ids = check_done(&home.hob(&["tokenize", "-m", model, "--ids", "Hi", "you"]));
    let ids: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
    let pieces = check_done(&home.hob_with_stdin(&["tokenize", "-m", model], b"Hi you"));
    assert_eq!(pieces.lines().count(), ids.len());
    assert!(!ids.is_empty() && pieces.contains('"'), "{pieces}");
}

#[test]
fn bench_has_llama_benchs_rows() {
    let home = Home::new();
    let model = home.model();
    let short = ["bench", "-m", text_of(&model), "-p", "8", "-n", "4", "-t", "1", "-r", "2"];
    let table = check_done(&home.hob(&[&short[..], &["-d", "0,16"]].concat()));
    assert_eq!(table.lines().count(), 8, "{table}");
    assert!(table.contains("tg4 @ d16") && table.contains(" ± "), "{table}");
    assert!(table.lines().last().unwrap().starts_with("limit: "), "{table}");
    let json = check_done(&home.hob(&[&short[..], &["--json"]].concat()));
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&rows[0]["n_prompt"], &rows[1]["n_gen"]), (&8.into(), &4.into()));
    assert_eq!(rows[0]["samples_ts"].as_array().unwrap().len(), 2);
    check_failed(&home.hob(&["bench", "-p", "0", "-n", "0"]), 2, "nothing to measure");
}

#[test]
fn perplexity_ends_with_the_figure() {
    let home = Home::new();
    let model = home.model();
    let text = home.path("text.txt");
    std::fs::write(&text, "The quick brown fox. ".repeat(20)).unwrap();
    let arguments = ["perplexity", "-m", text_of(&model), "-c", "32", "-t", "1", text_of(&text)];
    let output = check_done(&home.hob(&arguments));
    let last = output.lines().last().unwrap().split(' ').next_back().unwrap();
    assert!(last.parse::<f64>().unwrap() > 1.0, "{output}");
}

#[test]
fn a_reader_that_goes_away_ends_hob_quietly() {
    let home = Home::new();
    let model = home.model();
    let mut child = home.command(&["show", text_of(&model), "--tensors"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn serving_refuses_a_busy_port_and_other_machines() {
    let home = Home::new();
    let model = home.model();
    #[expect(clippy::disallowed_types, reason = "the test holds the port that hob then wants")]
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let output = home.hob(&["serve", "--model", text_of(&model), "--listen", &address, "-t", "1"]);
    check_failed(&output, 1, "--listen");
    let output = home.hob(&["serve", "--listen", "0.0.0.0:0"]);
    check_failed(&output, 2, "--allow-unauthenticated");
}

#[test]
fn top_says_in_a_line_that_nobody_serves_or_nobody_looks() {
    let home = Home::new();
    // Port 1 is reserved: nothing of a test listens there.
    let nobody = ["top", "--once", "--url", "http://127.0.0.1:1"];
    check_failed(&home.hob(&nobody), 1, "start one with `hob serve`");
    check_failed(&home.hob(&["top", "--url", "127.0.0.1:1", "--json"]), 1, "http://HOST:PORT");
    let elsewhere = ["top", "--once", "--url", "http://hob.example:1"];
    check_failed(&home.hob(&elsewhere), 1, "told to stay offline");
    check_failed(&home.hob(&["top"]), 2, "a live picture needs a terminal");
}

/// A plan is of the model that `hob run` would fetch by that name, and what cannot be planned is
/// refused in one line.
#[test]
fn plans_are_of_what_would_run() {
    let home = Home::new();
    let plan = check_done(&home.hob(&["fit", "smollm2", "--on", "rtx-4090"]));
    assert!(plan.starts_with("SmolLM2-135M Q4_1 on "), "{plan}");
    let long = ["--for", "Llama-2-7B", "--context", "128k"];
    check_failed(&home.hob(&[&["machines"][..], &long].concat()), 2, "trained for 4096 tokens");
    let tuning = ["fit", "Llama-3.1-8B", "--on", "rtx-4090", "--finetune", "qlora", "--json"];
    let told: serde_json::Value =
        serde_json::from_str(&check_done(&home.hob(&tuning))).expect("it is JSON");
    assert_eq!(told["methods"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(
        (&told["methods"][0]["method"], &told["methods"][0]["fits"]),
        (&"qlora".into(), &true.into())
    );
    // What explains a figure stands beside the figures, by its name.
    let plan = ["fit", "gpt-oss-20b", "--on", "rtx-4090", "--json"];
    for (question, explained) in [(&tuning[..], "activations"), (&plan[..], "weights")] {
        let asked = [question, &["--explain"]].concat();
        let told: serde_json::Value =
            serde_json::from_str(&check_done(&home.hob(&asked))).expect("it is JSON");
        let how = told["explanation"][explained].as_str().unwrap_or_default();
        assert!(how.contains("token") || how.contains("bits each"), "{told}");
        assert!(told["machine"].is_string(), "{told}");
    }
    // An adapter of which nothing is said has rank 16, and what to take is said in one line.
    let rank =
        |flags: &[&str]| check_done(&home.hob(&[&["fit", "gpt-oss-20b"][..], flags].concat()));
    let adapted = rank(&["--on", "rtx-4090", "--lora"]);
    assert_eq!(adapted, rank(&["--on", "rtx-4090", "--lora", "16"]));
    assert!(adapted.contains("\nRecommended: MXFP4_MOE with 8k of context"), "{adapted}");
    check_failed(&home.hob(&["fit", "--finetune", "qlora"]), 2, "name one");
    check_failed(&home.hob(&["fit", "--image", "flux", "--users", "3"]), 2, "only --on");
    let how = check_done(&home.hob(&["fit", "--image", "flux", "--explain"]));
    assert!(how.contains("text encoders"), "{how}");
}

/// What is held against a plan is what it was made for.
#[test]
fn a_plan_of_something_else_is_not_verified() {
    let home = Home::new();
    let (model, plan) = (home.model(), home.path("plan.json"));
    let of = ["fit", text_of(&model), "--context", "64"];
    check_done(&home.hob(&[&of[..], &["--lock", text_of(&plan)]].concat()));
    let verify = |more: &[&str]| home.hob(&[&of[..], more, &["--verify", text_of(&plan)]].concat());
    check_failed(&verify(&["--kv", "bf16"]), 2, "is for --kv f16: ask for the same");
    check_failed(&verify(&["--users", "2"]), 2, "is for --users 1: ask for the same");
    let text = std::fs::read_to_string(&plan).expect("it was written");
    let mut other: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    other["machine"] = "another box".into();
    other["quant"] = "Q2_K".into();
    std::fs::write(&plan, other.to_string()).expect("it can be written");
    check_failed(&verify(&[]), 2, "is for the machine another box, --quant Q2_K: ask for the same");
}

#[test]
fn environment_mistakes_are_named() {
    let home = Home::new();
    let output = home.command(&["list"]).env("HF_ENDPOINT", "hub").output().unwrap();
    check_failed(&output, 1, "HF_ENDPOINT is `hub`");
    let output = home.command(&["list"]).env("HOB_LOG", "a=b=c").output().unwrap();
    check_failed(&output, 1, "HOB_LOG");
}
