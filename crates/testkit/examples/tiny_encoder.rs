//! Writes a random encoder that embeds, and one that scores pairs: what `cargo xtask e2e` serves.
//!
//! `tiny_encoder FOLDER` makes `tiny-embed.gguf` and `tiny-rerank.gguf` in it.

use std::path::Path;

use testkit::TinyEncoder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: tiny_encoder FOLDER")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    TinyEncoder::default().write(&folder.join("tiny-embed.gguf"));
    TinyEncoder { scores: true, ..TinyEncoder::default() }.write(&folder.join("tiny-rerank.gguf"));
    Ok(())
}
