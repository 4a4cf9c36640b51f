//! Opens a folder as the model that it is.

use std::path::Path;

use gguf::{GgufFile, Metadata, TensorInfo, Value};
use quant::FormatId;

use crate::config::Config;
use crate::directory::Directory;
use crate::families::images;
use crate::headers::{CONFIG, Files, small_file};
use crate::keys::Keys;
use crate::limits::CONFIG_BYTES_MAX;
use crate::recipe::{Made, Recipe};
use crate::sources::Sources;
use crate::{Error, Result, families, quantised, tokens};

/// The key that says what a model was trained with and is not read here: `images`.
pub const NOT_READ: &str = "hob.not_read";

/// Opens a checkpoint on disk, its folder or any file of it, as a GGUF file: the same keys, and
/// tensors of the same names and shapes. Weights stay where they are; those that GGUF has in
/// another order are made when they are asked for, one tensor at a time.
///
/// # Errors
/// When a file is missing, damaged or forged, or the model is of a family that hob does not know
/// in this form.
pub fn open(path: &Path) -> Result<GgufFile> {
    let files = Files::find(path)?;
    let config_path = files.folder.join(CONFIG);
    let config = Config::parse(&small_file(&config_path, CONFIG_BYTES_MAX)?)
        .map_err(|why| Error::at(&config_path, why))?;
    let mut sources = Sources::open(&files)?;
    if let Some(index) = &files.index {
        let tensors: Vec<_> = sources.all().iter().map(|source| source.tensor.clone()).collect();
        index.check(&tensors).map_err(|why| Error::at(path, why))?;
    }
    let at_config = |why| Error::at(&config_path, why);
    let with_images = images::find(&config).map_err(at_config)?;
    let config = match with_images {
        None => config,
        Some(class) => {
            sources.rename(|name| class.meaning(name)).map_err(|why| Error::at(path, why))?;
            class.text(&config).map_err(at_config)?
        }
    };
    let family = families::find(&config).map_err(at_config)?;
    quantised::join(&config, &files.folder, &mut sources)?;
    let mut keys = Keys::new(&config, family.architecture);
    (family.keys)(&mut keys).map_err(at_config)?;
    let Keys { mut metadata, computed, .. } = keys;
    let mut directory =
        Directory::read(&sources, family, &config).map_err(|why| Error::at(path, why))?;
    for (name, values) in computed {
        directory.add_values(name, values);
    }
    let Directory { tensors, recipes, .. } = directory;
    describe(&mut metadata, &files.folder, &tensors);
    if with_images.is_some() {
        metadata.insert(NOT_READ, Value::String("images".to_owned()));
    }
    tokens::put(&mut metadata, &files.folder, &config)?;
    Ok(assembled(metadata, tensors, (sources, recipes)))
}

pub(crate) fn assembled(
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    (sources, recipes): (Sources, Vec<Recipe>),
) -> GgufFile {
    let (paths, size_bytes) = (sources.paths.clone(), sources.size_bytes());
    let data = Box::new(Made { sources, recipes });
    GgufFile::assembled(metadata, tensors, (paths, size_bytes), data)
}

/// Name and type, as GGUF files say them.
fn describe(metadata: &mut Metadata, folder: &Path, tensors: &[TensorInfo]) {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    if let Some(name) = folder.file_name() {
        metadata.insert("general.name", Value::String(name.to_string_lossy().into_owned()));
    }
    let bytes_of = |format: FormatId| -> u64 {
        let of = tensors.iter().filter(|tensor| tensor.format == format);
        of.map(|tensor| tensor.size_bytes).sum()
    };
    // GGML's numbers of file types.
    let types = [
        (FormatId::F32, 0),
        (FormatId::F16, 1),
        (FormatId::BF16, 32),
        (FormatId::MXFP4, 38),
        (FormatId::NVFP4, 39),
    ];
    let most = types.into_iter().max_by_key(|(format, _)| bytes_of(*format));
    if let Some((_, number)) = most {
        metadata.insert("general.file_type", Value::U32(number));
    }
}
