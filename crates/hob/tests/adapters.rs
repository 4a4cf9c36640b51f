//! `--lora` in the real binary: answers of merged weights, scales, and refusals in one line.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use gguf::{GgufFile, Writer};
use quant::FormatId;
use testkit::{TinyAdapter, TinyModel, merged};

fn hob(folder: &Path, arguments: &[&str]) -> Output {
    #[expect(clippy::disallowed_methods, reason = "the test starts hob as a person does")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_hob"));
    command.env_clear().env("HOB_HOME", folder.join("hob")).env("HOME", folder);
    command.arg("--offline").args(arguments).current_dir(folder).stdin(Stdio::null());
    command.output().unwrap()
}

fn write(folder: &Path, name: &str, writer: &Writer) -> GgufFile {
    let mut bytes = Vec::new();
    writer.write_to(&mut bytes).unwrap();
    std::fs::write(folder.join(name), bytes).unwrap();
    GgufFile::open(&folder.join(name)).unwrap()
}

fn answer(folder: &Path, arguments: &[&str]) -> String {
    let usual = ["-n", "12", "--temp", "0", "-t", "1", "--backend", "reference"];
    let output = hob(folder, &[&["run"], arguments, &usual[..]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn check_refused(folder: &Path, arguments: &[&str], code: i32, part: &str) {
    let output = hob(folder, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(part), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
}

#[test]
fn answers_are_those_of_merged_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let tiny = TinyModel { format: FormatId::F32, ..TinyModel::default() };
    let base = write(folder, "tiny.gguf", &tiny.writer());
    let wanted = |name: &str| name.ends_with(".weight") && name.contains("ffn_");
    let wanted = |name: &str| wanted(name) && !name.contains("norm");
    let first = write(folder, "first.gguf", &TinyAdapter::default().writer(&base, wanted));
    let second = TinyAdapter { seed: 2, ..TinyAdapter::default() };
    let second = write(folder, "second.gguf", &second.writer(&base, wanted));
    write(folder, "one.gguf", &merged(&base, &[(&first, 1.0)]));
    write(folder, "both.gguf", &merged(&base, &[(&first, 0.5), (&second, -1.0)]));
    let plain = answer(folder, &["tiny.gguf", "hi"]);
    let one = answer(folder, &["tiny.gguf", "hi", "--lora", "first.gguf"]);
    assert_eq!(one, answer(folder, &["one.gguf", "hi"]));
    let both = ["tiny.gguf", "hi", "--lora", "first.gguf:0.5", "--lora", "tone=second.gguf:-1"];
    let both = answer(folder, &both);
    assert_eq!(both, answer(folder, &["both.gguf", "hi"]));
    assert!(plain != one && plain != both && one != both, "{plain:?} {one:?} {both:?}");
    assert_eq!(answer(folder, &["tiny.gguf", "hi", "--lora", "first.gguf:0"]), plain);
}

#[test]
fn what_cannot_be_used_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let base = write(folder, "tiny.gguf", &TinyModel::default().writer());
    let query = |name: &str| name == "blk.0.attn_q.weight";
    write(folder, "law.gguf", &TinyAdapter::default().writer(&base, query));
    let wide = TinyModel { d: 128, ..TinyModel::default() };
    let wide = write(folder, "wide.gguf", &wide.writer());
    write(folder, "other.gguf", &TinyAdapter::default().writer(&wide, query));
    let run = |lora: &[&str], code: i32, part: &str| {
        let flags = lora.iter().flat_map(|file| ["--lora", file]);
        let arguments = ["run", "tiny.gguf", "hi"].into_iter().chain(flags).collect::<Vec<_>>();
        check_refused(folder, &arguments, code, part);
    };
    run(&["none.gguf"], 1, "the adapter none: ");
    run(&["tiny.gguf=law.gguf"], 1, "the adapter tiny.gguf has the name of its model");
    run(&["x=tiny.gguf"], 1, "the adapter x cannot be used: general.type is model, not adapter");
    run(&["law.gguf", "law.gguf"], 1, "two adapters are called law: give one another name");
    run(&["other.gguf"], 1, "blk.0.attn_q.weight.lora_a is [128, 4], and this model wants");
    run(&["law="], 2, "give a file");
    let serve =
        ["serve", "--listen", "127.0.0.1:0", "--model", "tiny.gguf", "--lora", "other.gguf"];
    check_refused(folder, &serve, 1, "the adapter other cannot be used");
}
