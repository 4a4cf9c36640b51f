//! What the parser accepts, and that the help is what people are meant to read.

use std::ffi::OsString;

use super::{Typed, command, mistake, parse};
use crate::commands::COMMANDS;

fn words(line: &str) -> Vec<OsString> {
    std::iter::once("hob").chain(line.split_whitespace()).map(OsString::from).collect()
}

fn parsed(line: &str) -> Typed {
    parse(words(line)).unwrap_or_else(|_| panic!("{line} is refused"))
}

fn check_refused(line: &str, part: &str) {
    let error = command().try_get_matches_from(words(line)).unwrap_err();
    assert!(error.to_string().contains(part), "{line}: {error}");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn clap_finds_no_fault() {
    command().debug_assert();
}

#[test]
fn rows_are_sorted_and_have_places_of_their_own() {
    assert!(COMMANDS.is_sorted_by_key(|row| row.name));
    let mut places: Vec<usize> = COMMANDS.iter().map(|row| row.place).collect();
    places.sort_unstable();
    assert_eq!(places, (0..COMMANDS.len()).collect::<Vec<_>>());
}

#[test]
fn lines_from_the_issue() {
    for line in [
        "run",
        "run smollm2",
        "run smollm2 Why is the sky blue?",
        "run smollm2 hi --json --temp 0 --seed 1 --stop a --stop b -n 5 -t 2 -c 512 --verbose",
        "run --presence-penalty -0.5 --repeat-last-n -1 --logit-bias 5=-inf --logprobs 3",
        "run m hi --dry-multiplier 0.8 --dry-sequence-breaker x --xtc-probability 0.5 --mirostat 2",
        "serve --listen 127.0.0.1:0 --model m.gguf --parallel 2 --context 4096 --queue 8",
        "bench -m FILE -p 512 -n 128 -d 0,4096 -t 2 -r 5",
        "perplexity -m MODEL -c 512 TEXTFILE",
        "quantize MODEL Q4_K_M -o FILE",
        "tokenize -m MODEL --ids some text",
        "fit m --finetune qlora --seq 4096 --rank 8 --json",
        "fit m --finetune --explain",
        "fit m --kv bf16 --explain --json",
        "show m --tensors --template --metadata --json",
        "import m.gguf --name x",
        "rm a b",
        "pull smollm2",
        "list --json",
        "top",
        "top --url http://box.local:11434 --once --json",
    ] {
        let typed = parsed(line);
        assert_eq!(Some(typed.command.as_str()), line.split(' ').next());
        assert!(!typed.offline);
    }
    assert!(parsed("pull x --offline").offline);
    assert!(parsed("--offline list").offline);
}

#[test]
fn mistakes_are_refused_before_anything_is_loaded() {
    check_refused("run m hi --top-p 1.5", "from 0 to 1");
    check_refused("run m hi --temperature nan", "from 0 on");
    check_refused("run m hi --mirostat 3", "0..=2");
    check_refused("run m hi -n 0", "0 is not in 1..");
    check_refused("run m hi -t 0", "from 1 to 1024");
    check_refused("run m hi --rope-scaling yarn:0.5", "a factor from 1 on");
    check_refused("serve --rope-scaling longrope", "one of linear, ntk, yarn");
    check_refused("fit m --rope-scaling yarn:", "a factor from 1 on");
    check_refused("quantize m Q8_0 -t 9223372036854775808", "from 1 to 1024");
    check_refused("run m hi --logit-bias 5", "42=-inf");
    check_refused("serve --listen here", "invalid socket address");
    check_refused("serve --parallel 0", "1..=256");
    check_refused("bench -p 1,x", "invalid digit");
    check_refused("bench -r 0", "1..=1000");
    check_refused("fit m --finetune dora", "full, lora, qlora");
    check_refused("fit m --kv f64", "f32, f16, bf16, q8_0, q4_0");
    check_refused("fit m --verify plan --on dgx-spark", "--on");
    check_refused("machines --users 5", "--for");
    check_refused("perplexity", "<TEXTFILE>");
    check_refused("rm", "<MODEL>");
    check_refused("fly", "unrecognized subcommand");
}

#[test]
fn a_mistake_is_told_in_one_line() {
    let told = |line: &str| mistake(&command().try_get_matches_from(words(line)).unwrap_err());
    assert_eq!(
        told("run m --tmperature 1"),
        "error: unexpected argument '--tmperature' found; tip: a similar argument exists: \
         '--temperature' (--help says more)"
    );
    assert_eq!(
        told("pull"),
        "error: the following required arguments were not provided: <MODEL> (--help says more)"
    );
}

#[test]
fn help_is_for_people() {
    let help = command().term_width(100).render_help().to_string();
    insta::assert_snapshot!(help, @r#"
    Runs language models on this machine

    Usage: hob [OPTIONS] <COMMAND>

    Commands:
      run         Ask a model, or chat with it
      serve       Serve a model to programs, in OpenAI's dialect
      pull        Fetch a model
      fit         Say whether a model runs on this machine or another, how fast, and what it takes
      machines    List machines, or say which of them do what you need
      cost        Say what tokens cost on a machine and in the cloud, and when it pays
      check       Say whether a claimed speed is possible, and what was measured
      calibrate   Measure this machine, for `hob fit`
      doctor      Find what makes this machine slow, and how to mend it
      top         Show what a running hob does: speed, queue, memory, heat, watts
      import      Take a GGUF file from this machine
      list        List the models on this machine
      show        Show what a model is
      rm          Remove models from hob's folder
      bench       Measure a model's speed, as llama-bench defines it
      perplexity  Measure how well a model foresees a text
      tokenize    Show how a model cuts a text into tokens
      quantize    Make a smaller file of a model

    Options:
          --offline  Nothing leaves this machine: no downloads
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version

    Examples:
      hob run smollm2 "Why is the sky blue?"
      hob run                                  a chat with smollm2
      cat report.txt | hob run smollm2 "Summarise this:"
      hob serve                                OpenAI's interface on 127.0.0.1:11434
    "#);
}

#[test]
fn long_help_names_variables_and_codes() {
    let help = command().render_long_help().to_string();
    for part in ["HOB_HOME", "HF_ENDPOINT", "NO_COLOR", "130 interrupted", "2 wrong command line"] {
        assert!(help.contains(part), "{part}");
    }
}

#[test]
fn every_command_and_flag_is_explained() {
    for row in COMMANDS {
        let command = (row.arguments)(clap::Command::new(row.name));
        assert!(command.get_about().is_some(), "{}", row.name);
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty(), "{} {}", row.name, argument.get_id());
        }
    }
}

#[test]
fn help_of_a_command() {
    let line = words("serve -h");
    let help = command().term_width(100).try_get_matches_from(line).unwrap_err().to_string();
    insta::assert_snapshot!(help, @"
    Serve a model to programs, in OpenAI's dialect

    Usage: hob serve [OPTIONS]

    Options:
          --listen <ADDR:PORT>     Address and port [default: 127.0.0.1:11434]
          --offline                Nothing leaves this machine: no downloads
      -m, --model <MODEL>          Name, GGUF file, checkpoint or hub repository [default: smollm2]
          --parallel <N>           Conversations that are answered at once [default: 4]
          --queue <N>              Requests that may wait; more are refused [default: 64]
          --allow-origin <ORIGIN>  Let web pages of this origin in, such as https://chat.example
          --allow-unauthenticated  Let other machines in, although nobody is asked for a key
      -h, --help                   Print help (see more with '--help')

    Loading:
      -c, --context <TOKENS>     Tokens of a conversation [default: the model's own, at most 8192]
          --rope-scaling <RULE>  Hold more than it was trained for: linear, ntk, yarn or e.g. yarn:4
      -t, --threads <N>          Compute threads [default: all cores]
          --backend <NAME>       What computes: `cpu`, or `reference` (slow, exact) [default: cpu]
          --kv <TYPE>            Type of keys and values: f32, f16, bf16 or q8_0 [default: f16]
          --quant <TYPE>         Quantise weights while loading, e.g. q4_k_m; from F16, BF16 or F32
          --speculation <WHEN>   Draft what may be said next: on, off or always [default: on]
          --draft-model <MODEL>  Smaller model of the same family, to draft answers [default: none]
          --lora <FILE>          LoRA adapter, [NAME=]FILE[:SCALE]; may be given several times
    ");
}

#[test]
fn sampling_has_a_heading_of_its_own() {
    let help = command().try_get_matches_from(words("run -h")).unwrap_err().to_string();
    let at = |part: &str| help.find(part).unwrap_or_else(|| panic!("{part} in {help}"));
    assert!(at("\nAnswer:") < at("--max-tokens") && at("--max-tokens") < at("\nSampling:"));
    assert!(at("\nSampling:") < at("--dry-base") && at("--logprobs") < at("\nLoading:"));
}
