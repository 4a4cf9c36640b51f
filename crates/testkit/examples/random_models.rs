//! Writes random models: of real shapes, which `cargo xtask bench` measures, and of architectures
//! made wider, which `cargo xtask memory` loads.
//!
//! `random_models FOLDER TOKENIZER.gguf NAME..`: a shape and a mix such as `1.17B-Q4_K_M`, which
//! `--list` prints, or a fixture, a factor, a format and, where it is to have more tokens than the
//! tokenizer, their count, e.g. `gemma3-8-Q8_0` or `qwen3-8-Q8_0-151936`. `--hollow` leaves weights
//! out: the file is as long, and takes no room. One that is there already stays as it is.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use gguf::{GgufFile, Metadata};
use quant::FormatId;
use testkit::{Enlarged, MIXES, Mix, SHAPES, Shape, reference_models};

/// Context that models of architectures claim to be trained for.
const CONTEXT: u32 = 32 << 10;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [flag] if flag == "--list" => {
            models().for_each(|(shape, mix)| println!("{}", name(shape, mix)));
            Ok(())
        }
        [flag, path, tokenizer, wanted] if flag == "--hollow" => {
            let found = models().find(|(shape, mix)| name(shape, mix) == *wanted);
            let (shape, mix) = found.ok_or_else(|| format!("no model {wanted}; see --list"))?;
            let tokenizer = GgufFile::open(Path::new(tokenizer))?;
            let mut file = File::create(path)?;
            let len = shape.write_head(mix, tokenizer.metadata(), &mut file)?;
            Ok(file.set_len(len)?)
        }
        [folder, tokenizer, names @ ..] => {
            let tokenizer = GgufFile::open(Path::new(tokenizer))?;
            fs::create_dir_all(folder)?;
            names.iter().try_for_each(|name| make(Path::new(folder), tokenizer.metadata(), name))
        }
        _ => {
            Err("usage: random_models [--hollow] FOLDER|FILE TOKENIZER.gguf NAME.. | --list".into())
        }
    }
}

fn models() -> impl Iterator<Item = (&'static Shape, &'static Mix)> {
    let of = |shape| MIXES.iter().filter(|mix| mix.is_known()).map(move |mix| (shape, mix));
    SHAPES.iter().flat_map(of)
}

fn name(shape: &Shape, mix: &Mix) -> String {
    format!("{}-{}", shape.name, mix.name)
}

fn make(folder: &Path, tokenizer: &Metadata, wanted: &str) -> Result<(), Failure> {
    let path = folder.join(format!("{wanted}.gguf"));
    if path.exists() {
        return Ok(());
    }
    // Under another name until it is whole, so that what is there can be believed.
    let part = path.with_extension("part");
    let mut out = BufWriter::new(File::create(&part)?);
    match models().find(|(shape, mix)| name(shape, mix) == wanted) {
        Some((shape, mix)) => {
            let mut told = u64::MAX;
            shape.write(mix, tokenizer, &mut out, &mut |done, total| {
                let percent = done * 100 / total;
                if percent != told {
                    told = percent;
                    eprint!("\r{wanted}: {percent} % of {} MiB", total >> 20);
                }
            })?;
            eprintln!();
        }
        None => enlarge(tokenizer, wanted, &mut out)?,
    }
    out.flush()?;
    drop(out);
    fs::rename(part, path)?;
    Ok(())
}

fn enlarge(tokenizer: &Metadata, wanted: &str, out: &mut impl Write) -> Result<(), Failure> {
    let unknown = || format!("no model {wanted}; see --list");
    let mut words = wanted.split('-');
    let name = words.next().ok_or_else(unknown)?;
    let models = reference_models();
    let model = models.iter().find(|model| model.name == name).ok_or_else(unknown)?;
    let times = words.next().and_then(|word| word.parse().ok()).ok_or_else(unknown)?;
    let format = words.next().and_then(FormatId::from_name).ok_or_else(unknown)?;
    let own = tokenizer.strings("tokenizer.ggml.tokens")?.map_or(0, |words| words.iter().count());
    let vocab = words.next().map_or(Ok(own), str::parse)?;
    Ok(Enlarged { model, times, context: CONTEXT, vocab, format }.write(tokenizer, out)?)
}
