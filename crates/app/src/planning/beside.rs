//! What is asked for beside a model: adapters by file or rank, a projector by file.

use std::path::Path;

use gguf::GgufFile;
use planner::{Adapter, AdapterTensor, ModelFacts, Projector};

use super::header::{self, Headers};
use super::{PlannedModel, Subject};
use crate::{Error, ErrorKind, Result};

/// The projector's file when none is wanted.
const NO_PROJECTOR: &str = "none";
/// The file of an adapter's folder, as PEFT names it.
const PEFT_FILE: &str = "adapter_model.safetensors";

impl PlannedModel {
    /// Puts adapters beside it: each a file, a folder of PEFT's, or a rank such as `16` or
    /// `16:q_proj,v_proj`.
    ///
    /// # Errors
    /// When a file is none or for another model, or a rank or a matrix makes no sense.
    pub fn add_adapters(&mut self, asked: &[String]) -> Result<()> {
        for asked in asked {
            let adapter = adapter(asked, &self.subject.facts)?;
            for subject in self.subjects() {
                subject.beside.adapters.push(adapter.clone());
            }
        }
        Ok(())
    }

    /// Puts a projector of a file beside it in place of what was found there; `none` for none.
    ///
    /// # Errors
    /// When the file cannot be read or is no projector.
    pub fn set_projector(&mut self, asked: &str) -> Result<()> {
        let projector = if asked == NO_PROJECTOR { None } else { Some(projector(asked)?) };
        for subject in self.subjects() {
            subject.beside.projector.clone_from(&projector);
        }
        Ok(())
    }

    /// Takes a checkpoint as one that is quantised while it is loaded, so that a mix can be asked
    /// for; says whether it can be.
    pub fn quantise(&mut self) -> bool {
        match self.quantised.take() {
            Some(quantised) => {
                self.subject = quantised;
                true
            }
            None => self.subject.file_quant().is_none(),
        }
    }

    fn subjects(&mut self) -> impl Iterator<Item = &mut Subject> {
        std::iter::once(&mut self.subject).chain(&mut self.quantised)
    }
}

fn projector(path: &str) -> Result<Projector> {
    let file = GgufFile::open(Path::new(path))?;
    header::projector(&Headers::of_file(&file), &file_name(path))
}

fn file_name(path: &str) -> String {
    let name = Path::new(path).file_name();
    name.map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

fn adapter(asked: &str, facts: &ModelFacts) -> Result<Adapter> {
    let path = Path::new(asked);
    let refused = |error: planner::AdapterError| {
        Error::new(ErrorKind::BadModel, format!("adapter {asked}: {error}"))
    };
    if let Some((rank, targets)) = rank(asked).filter(|_| !path.exists()) {
        return Adapter::of_rank(rank, &targets, facts).map_err(refused);
    }
    let folder_file = path.join(PEFT_FILE);
    let path = if path.is_dir() { folder_file.as_path() } else { path };
    if !path.is_file() {
        let message = format!(
            "no adapter is at {}: name a file, or a rank such as 16 or 16:q_proj,v_proj",
            path.display()
        );
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let name = file_name(asked);
    let is_safetensors =
        path.extension().is_some_and(|end| end.eq_ignore_ascii_case("safetensors"));
    if is_safetensors {
        let tensors = checkpoint::file_header(path)?;
        let tensor = |tensor: &'_ checkpoint::SafeTensor| flat(&tensor.shape);
        let shapes: Vec<[u64; 2]> = tensors.iter().map(tensor).collect();
        let parts: Vec<AdapterTensor<'_>> = tensors
            .iter()
            .zip(shapes)
            .map(|(tensor, shape)| AdapterTensor { name: &tensor.name, shape, bytes: tensor.bytes })
            .collect();
        return Adapter::of_tensors(&name, &parts, facts).map_err(refused);
    }
    let file = GgufFile::open(path)?;
    let tensor = |tensor: &'_ gguf::TensorInfo| {
        // GGUF has dimensions the other way round.
        let shape: Vec<u64> = tensor.shape.iter().rev().copied().collect();
        flat(&shape)
    };
    let shapes: Vec<[u64; 2]> = file.tensors().iter().map(tensor).collect();
    let parts: Vec<AdapterTensor<'_>> = file
        .tensors()
        .iter()
        .zip(shapes)
        .map(|(tensor, shape)| AdapterTensor {
            name: &tensor.name,
            shape,
            bytes: tensor.size_bytes,
        })
        .collect();
    Adapter::of_tensors(&name, &parts, facts).map_err(refused)
}

/// `16`, or `16:q_proj,v_proj`.
fn rank(asked: &str) -> Option<(u64, Vec<&str>)> {
    let (rank, targets) = asked.split_once(':').unwrap_or((asked, ""));
    let targets = targets.split(',').filter(|target| !target.is_empty()).collect();
    Some((rank.parse().ok()?, targets))
}

/// Rows and columns, of tensors with more dimensions too.
fn flat(shape: &[u64]) -> [u64; 2] {
    let Some((columns, rows)) = shape.split_last() else { return [1, 1] };
    [rows.iter().fold(1, |all: u64, rows| all.saturating_mul(*rows)), *columns]
}

#[cfg(test)]
mod tests;
