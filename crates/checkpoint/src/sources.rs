//! The tensors of all files of a checkpoint, and their bytes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;

use gguf::MappedFile;
use quant::FormatId;

use crate::error::{Told, shown};
use crate::families::images::Meaning;
use crate::headers::{Files, Parsed, SafeTensor, length, parse};
use crate::{Error, Result, fp8, nvfp4};

/// The open files.
pub(crate) struct Sources {
    files: Vec<MappedFile>,
    pub(crate) paths: Vec<PathBuf>,
    tensors: Vec<Source>,
    by_name: HashMap<String, usize>,
}

/// A tensor.
pub(crate) struct Source {
    pub(crate) tensor: SafeTensor,
    /// What it is found by, which is its name in a model of text alone; empty where it is none.
    pub(crate) name: String,
    /// Whether it is known to belong to what is not read.
    pub(crate) is_left_out: bool,
    file: usize,
    scales: Option<Scales>,
}

/// What a tensor of few bits is multiplied with, by tensors beside it.
#[derive(Clone, Copy, Debug)]
enum Scales {
    /// Of 8 bits: the factor of each block of `(rows, columns)`.
    Fp8(usize, (usize, usize)),
    /// Of 4 bits: the scale of each 16 columns, and the factor of all.
    Nvfp4(usize, f32),
}

impl Sources {
    pub(crate) fn open(files: &Files) -> Result<Sources> {
        let mut sources = Sources {
            files: Vec::new(),
            paths: files.parts.clone(),
            tensors: Vec::new(),
            by_name: HashMap::new(),
        };
        for (file, path) in files.parts.iter().enumerate() {
            length(path)?;
            let map = MappedFile::open(path)?;
            let parsed = parse(map.bytes(), Some(map.bytes().len() as u64));
            let tensors = match parsed.map_err(|why| Error::at(path, why))? {
                Parsed::Whole(tensors) => tensors,
                Parsed::Needs(_) => return Err(Error::at(path, "it ends within its header")),
            };
            for tensor in tensors {
                let at = sources.tensors.len();
                if sources.by_name.insert(tensor.name.clone(), at).is_some() {
                    let why = format!("tensor {} is in an earlier file too", shown(&tensor.name));
                    return Err(Error::at(path, why));
                }
                let name = tensor.name.clone();
                sources.tensors.push(Source {
                    tensor,
                    name,
                    is_left_out: false,
                    file,
                    scales: None,
                });
            }
            sources.files.push(map);
        }
        Ok(sources)
    }

    /// Gives tensors the names that they have in a model of text alone.
    pub(crate) fn rename(&mut self, meaning: impl Fn(&str) -> Meaning) -> Told<()> {
        self.by_name.clear();
        for (i, source) in self.tensors.iter_mut().enumerate() {
            let meaning = meaning(&source.tensor.name);
            source.is_left_out = meaning == Meaning::Images;
            source.name.clear();
            let Meaning::Text(name) = meaning else { continue };
            if self.by_name.insert(name.clone(), i).is_some() {
                let found = shown(&source.tensor.name);
                return Err(format!("tensor {found} is there in two spellings"));
            }
            source.name = name;
        }
        Ok(())
    }

    pub(crate) fn all(&self) -> &[Source] {
        &self.tensors
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Whether factors of blocks of this tensor are known.
    pub(crate) fn is_scaled(&self, i: usize) -> bool {
        matches!(self.tensors[i].scales, Some(Scales::Fp8(..)))
    }

    /// Names the factors of a tensor of 8 bits.
    pub(crate) fn scaled(&mut self, of: usize, by: usize, block: (usize, usize)) -> Told<()> {
        let (tensor, scales) = (&self.tensors[of].tensor, &self.tensors[by].tensor);
        let (name, found) = (&tensor.name, &scales.shape);
        if tensor.dtype != "F8_E4M3" {
            let (name, by) = (shown(name), shown(&scales.name));
            let of = tensor.dtype;
            return Err(format!("tensor {name} is {of} and has factors ({by}): F8_E4M3 has them"));
        }
        let [n, k] = *tensor.shape else {
            return Err(format!("tensor {} has factors and is no matrix", shown(name)));
        };
        let wanted = [n.div_ceil(block.0 as u64), k.div_ceil(block.1 as u64)];
        if **found != wanted || !matches!(scales.dtype, "F32" | "BF16") {
            return Err(format!(
                "tensor {} is {found:?} as {}, and {wanted:?} as F32 or BF16 is wanted",
                shown(&scales.name),
                scales.dtype
            ));
        }
        self.tensors[of].scales = Some(Scales::Fp8(by, block));
        Ok(())
    }

    /// Names the scales of a tensor of 4 bits, and its factor.
    pub(crate) fn packed(&mut self, of: usize, (by, factor): (usize, f32)) -> Told<()> {
        let (tensor, scales) = (&self.tensors[of].tensor, &self.tensors[by].tensor);
        let shown = |tensor: &SafeTensor| {
            format!("{} {:?} as {}", shown(&tensor.name), tensor.shape, tensor.dtype)
        };
        let group = nvfp4::GROUP as u64 / 2;
        let fits = match (&*tensor.shape, &*scales.shape) {
            (&[n, bytes], &[rows, groups]) => n == rows && groups.checked_mul(group) == Some(bytes),
            _ => false,
        };
        if !(fits && tensor.dtype == "U8" && scales.dtype == "F8_E4M3") {
            let (of, by) = (shown(tensor), shown(scales));
            return Err(format!("tensor {of} has scales {by}: they do not fit each other"));
        }
        self.tensors[of].scales = Some(Scales::Nvfp4(by, factor));
        Ok(())
    }

    /// The factor of a whole tensor, where it is read with one.
    pub(crate) fn factor(&self, i: usize) -> Option<f32> {
        match self.tensors[i].scales {
            Some(Scales::Nvfp4(_, factor)) => Some(factor),
            Some(Scales::Fp8(..)) | None => None,
        }
    }

    /// The shape of a tensor as [`Sources::bytes`] gives it, slowest first.
    pub(crate) fn shape(&self, i: usize) -> Vec<usize> {
        // Below the file's length, as its header was checked against it.
        let stored = self.tensors[i].tensor.shape.iter().map(|len| *len as usize);
        let mut shape: Vec<usize> = stored.collect();
        if let (Some(_), Some(columns)) = (self.factor(i), shape.last_mut()) {
            // Two in a byte.
            *columns *= 2;
        }
        shape
    }

    /// Lets a tensor be found by this name too.
    pub(crate) fn alias(&mut self, name: String, i: usize) -> Told<()> {
        match self.by_name.insert(name, i) {
            None => Ok(()),
            Some(_) => {
                Err(format!("tensor {} is there twice", shown(&self.tensors[i].tensor.name)))
            }
        }
    }

    /// The format of a tensor as [`Sources::bytes`] gives it.
    pub(crate) fn format(&self, i: usize) -> Told<FormatId> {
        let Source { tensor, scales, .. } = &self.tensors[i];
        match (tensor.dtype, scales) {
            ("F32", _) => Ok(FormatId::F32),
            ("F16", _) => Ok(FormatId::F16),
            ("BF16", _) => Ok(FormatId::BF16),
            ("F8_E4M3", Some(_)) => Ok(FormatId::BF16),
            ("U8", Some(Scales::Nvfp4(..))) if nvfp4::are_blocks(tensor) => Ok(FormatId::NVFP4),
            ("U8", Some(Scales::Nvfp4(..))) => Ok(FormatId::BF16),
            ("F8_E4M3", None) => Err(format!(
                "tensor {} is of 8 bits and has no factors of blocks (weight_scale_inv)",
                shown(&tensor.name)
            )),
            (dtype, _) => Err(format!(
                "tensor {} is {dtype}: F32, F16, BF16 and F8_E4M3 can be run",
                shown(&tensor.name)
            )),
        }
    }

    /// A tensor's bytes as they lie in the file.
    pub(crate) fn stored(&self, i: usize) -> &[u8] {
        let Source { tensor, file, .. } = &self.tensors[i];
        // Both are below the file's length, as its header was checked against it.
        &self.files[*file].bytes()[tensor.offset as usize..][..tensor.bytes as usize]
    }

    /// A tensor's values in the format that [`Sources::format`] says.
    pub(crate) fn bytes(&self, i: usize) -> Cow<'_, [u8]> {
        let Source { tensor, scales, .. } = &self.tensors[i];
        let (by, block) = match *scales {
            None => return Cow::Borrowed(self.stored(i)),
            Some(Scales::Nvfp4(by, _)) => {
                let made = if nvfp4::are_blocks(tensor) { nvfp4::repack } else { nvfp4::widen };
                return Cow::Owned(made(self.stored(i), self.stored(by)));
            }
            Some(Scales::Fp8(by, block)) => (by, block),
        };
        let format =
            if self.tensors[by].tensor.dtype == "F32" { FormatId::F32 } else { FormatId::BF16 };
        let stored = self.stored(by);
        let mut factors = vec![0.0; stored.len() / format.block_bytes()];
        format.dequantize_row(stored, &mut factors);
        let columns = tensor.shape[1] as usize;
        Cow::Owned(fp8::widen(self.stored(i), columns, (&factors, block)))
    }

    /// Tells the system that a tensor will not be read again soon.
    pub(crate) fn release(&self, i: usize) {
        let Source { tensor, file, .. } = &self.tensors[i];
        self.files[*file].release(tensor.offset as usize, tensor.bytes as usize);
    }

    /// Bytes of all files.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes().len() as u64).sum()
    }
}
