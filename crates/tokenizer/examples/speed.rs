//! How fast a text becomes ids: `speed MODEL TEXT [RUNS]`; MODEL is a GGUF file or a
//! `tokenizer.json`. Prints the time to load, then bytes a second of the best of RUNS (5).
//!
//! With 0 RUNS it loads and encodes once without a clock, and with an empty TEXT it only loads: the
//! difference of the two under callgrind is the instructions of the text. `--ids` as the third word
//! prints the ids of each line instead.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use gguf::GgufFile;
use tokenizer::{Specials, Tokenizer};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, text, rest @ ..] = arguments.as_slice() else {
        return Err("usage: speed MODEL TEXT [RUNS | --ids]".into());
    };
    let text = std::fs::read_to_string(text)?;
    if rest.first().map(String::as_str) == Some("--ids") {
        let tokenizer = load(model)?.0;
        let mut out = std::io::stdout().lock();
        for line in text.split('\n') {
            writeln!(out, "{:?}", tokenizer.encode(line, Specials::Plain))?;
        }
        return Ok(());
    }
    let runs: u32 = rest.first().map_or(Ok(5), |runs| runs.parse())?;
    let (tokenizer, load_ms) = load(model)?;
    if runs == 0 {
        println!("{} ids", tokenizer.encode(&text, Specials::Plain).len());
        return Ok(());
    }
    let mut best_s = f64::INFINITY;
    let mut ids = 0;
    for _ in 0..runs {
        let start = Instant::now();
        ids = tokenizer.encode(&text, Specials::Plain).len();
        best_s = best_s.min(start.elapsed().as_secs_f64());
    }
    let megabytes = text.len() as f64 / 1e6;
    println!("loaded in {load_ms:.1} ms, {} tokens", tokenizer.vocab_len());
    println!("{megabytes:.3} MB, {ids} ids: {:.1} MB/s, best of {runs}", megabytes / best_s);
    Ok(())
}

/// The tokenizer, and how long it took to make it from a file that is read.
fn load(model: &str) -> Result<(Tokenizer, f64), Failure> {
    let ms = |start: Instant| start.elapsed().as_secs_f64() * 1e3;
    if Path::new(model).extension().is_some_and(|extension| extension == "json") {
        let bytes = std::fs::read(model)?;
        let start = Instant::now();
        let tokenizer = Tokenizer::from_json(&bytes)?;
        return Ok((tokenizer, ms(start)));
    }
    let file = GgufFile::open(Path::new(model))?;
    let start = Instant::now();
    let tokenizer = Tokenizer::from_metadata(file.metadata())?;
    Ok((tokenizer, ms(start)))
}
