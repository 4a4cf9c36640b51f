//! Writes random models of real shapes: what `cargo xtask bench` measures.
//!
//! `random_models FOLDER TOKENIZER.gguf SHAPE-TYPE..`, e.g. `1.17B-Q4_K_M`; `--list` prints every
//! name that can be made. A file that is there already stays as it is.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use gguf::{GgufFile, Metadata};
use testkit::{MIXES, Mix, SHAPES, Shape};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [flag] if flag == "--list" => {
            models().for_each(|(shape, mix)| println!("{}", name(shape, mix)));
            Ok(())
        }
        [folder, tokenizer, names @ ..] => {
            let tokenizer = GgufFile::open(Path::new(tokenizer))?;
            fs::create_dir_all(folder)?;
            names.iter().try_for_each(|name| make(Path::new(folder), tokenizer.metadata(), name))
        }
        _ => Err("usage: random_models FOLDER TOKENIZER.gguf SHAPE-TYPE.. | --list".into()),
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
    let found = models().find(|(shape, mix)| name(shape, mix) == wanted);
    let (shape, mix) = found.ok_or_else(|| format!("no model {wanted}; see --list"))?;
    let path = folder.join(format!("{wanted}.gguf"));
    if path.exists() {
        return Ok(());
    }
    // Under another name until it is whole, so that what is there can be believed.
    let part = path.with_extension("part");
    let mut out = BufWriter::new(File::create(&part)?);
    let mut told = u64::MAX;
    shape.write(mix, tokenizer, &mut out, &mut |done, total| {
        let percent = done * 100 / total;
        if percent != told {
            told = percent;
            eprint!("\r{wanted}: {percent} % of {} MiB", total >> 20);
        }
    })?;
    eprintln!();
    out.flush()?;
    drop(out);
    fs::rename(part, path)?;
    Ok(())
}
