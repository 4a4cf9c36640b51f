//! Making a smaller file of a model: the types of its tensors as llama.cpp's recipes give them, the
//! blocks as this house fits them.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use gguf::{GgufFile, Metadata, TensorData, TensorInfo, Value, Writer};
use planner::{Family, FileType, Role, Shape, TensorGroup};
use quant::FormatId;

use crate::{Error, ErrorKind, Result, open};

/// What can be made, with the number that `general.file_type` has for it.
/// Source: the `gguf` package, `LlamaFileType`.
const FILE_TYPES: &[(FileType, u32)] = &[
    (FileType::F32, 0),
    (FileType::F16, 1),
    (FileType::Q4_0, 2),
    (FileType::Q4_1, 3),
    (FileType::Q8_0, 7),
    (FileType::Q5_0, 8),
    (FileType::Q5_1, 9),
    (FileType::Q2K, 10),
    (FileType::Q3KS, 11),
    (FileType::Q3KM, 12),
    (FileType::Q3KL, 13),
    (FileType::Q4KS, 14),
    (FileType::Q4KM, 15),
    (FileType::Q5KS, 16),
    (FileType::Q5KM, 17),
    (FileType::Q6K, 18),
    (FileType::Q2KS, 21),
    (FileType::IQ4NL, 25),
    (FileType::IQ4XS, 30),
    (FileType::BF16, 32),
    (FileType::MXFP4Moe, 38),
];

/// Matrices that stay as they are: small, and what they decide is large. By parts of their names.
/// Source: the list of llama.cpp's quantiser.
const KEPT: &[&str] = &[
    "_norm.weight",
    "ffn_gate_inp",
    "ssm_conv1d",
    "shortconv",
    "position_embd",
    "token_types",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "attn_rel_b",
];

/// Weights that one thread fits at a time.
const PART_WEIGHTS: usize = 1 << 18;

/// What to make.
#[derive(Clone, Debug)]
pub struct QuantizeOptions {
    /// A name such as `Q4_K_M`.
    pub file_type: String,
    /// Where to; next to the source, with the type in its name, when none.
    pub to: Option<PathBuf>,
    /// Whether a source that is quantised already is taken: what it lost stays lost.
    pub again: bool,
    /// Whether a file that is there is replaced.
    pub replace: bool,
    /// Threads; the machine's cores when none.
    pub threads: Option<usize>,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct QuantizeReport {
    /// The file.
    pub path: PathBuf,
    /// Its name as people write it.
    pub file_type: &'static str,
    /// Bytes of the source, and of the file.
    pub size_bytes: (u64, u64),
    /// Weights of the model.
    pub weights: u64,
}

/// Writes the file; `progress(done, total)` bytes of the source.
pub(crate) fn run(
    source: &Path,
    options: &QuantizeOptions,
    cancelled: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<QuantizeReport> {
    let (file_type, id) = file_type(&options.file_type)?;
    let file = open::open(source)?;
    let to = match &options.to {
        Some(to) => to.clone(),
        None => beside(source, file_type.name()),
    };
    refuse(&file, source, &to, options)?;
    let formats = formats(&file, file_type)?;
    let writer = writer(&file, &formats, (file_type, id));
    let threads = threads_or_cores(options.threads);
    let job = Job { file: &file, threads, cancelled };
    let part = with_suffix(&to, ".part");
    let written = write(&writer, &part, &job, progress);
    if let Err(error) = written.and_then(|()| std::fs::rename(&part, &to)) {
        let _ = std::fs::remove_file(&part);
        if cancelled.load(Ordering::SeqCst) {
            let message = format!("stopped; {} was not made", to.display());
            return Err(Error::new(ErrorKind::Cancelled, message));
        }
        return Err(fault(&part, &error));
    }
    let made = std::fs::metadata(&to).map_err(|error| fault(&to, &error))?.len();
    let weights = file.tensors().iter().map(|tensor| tensor.shape.iter().product::<u64>()).sum();
    let size_bytes = (file.size_bytes(), made);
    Ok(QuantizeReport { path: to, file_type: file_type.name(), size_bytes, weights })
}

fn file_type(name: &str) -> Result<(FileType, u32)> {
    let found = FileType::from_name(name);
    let row = FILE_TYPES.iter().find(|(file_type, _)| Some(*file_type) == found);
    row.copied().ok_or_else(|| {
        let names: Vec<&str> = FILE_TYPES.iter().map(|(known, _)| known.name()).collect();
        let message = format!("{name} cannot be made here; these can: {}", names.join(", "));
        Error::new(ErrorKind::BadRequest, message)
    })
}

fn refuse(file: &GgufFile, source: &Path, to: &Path, options: &QuantizeOptions) -> Result<()> {
    let bad = |message: String| Err(Error::new(ErrorKind::BadRequest, message));
    if to.exists() && !options.replace {
        return bad(format!("{} is there already: --replace writes it anew", to.display()));
    }
    if to.is_dir() {
        return bad(format!("{} is a folder: name a file in it", to.display()));
    }
    for made in [to.to_owned(), with_suffix(to, ".part")].iter().filter(|made| made.exists()) {
        let same = |path: &PathBuf| path.canonicalize().ok() == made.canonicalize().ok();
        if file.paths().iter().any(same) {
            return bad(format!("{} cannot be replaced while it is read", made.display()));
        }
        if !begins_as_gguf(made) {
            let name = made.display();
            return bad(format!("{name} is no GGUF file and is not replaced: name another"));
        }
    }
    match quantised(file) {
        Some(tensor) if !options.again => bad(format!(
            "{} is quantised already ({} is {}): start from a file in F16, BF16 or F32, or say \
             --again, which adds a second loss to the first",
            source.display(),
            tensor.name,
            tensor.format.name(),
        )),
        _ => Ok(()),
    }
}

fn quantised(file: &GgufFile) -> Option<&TensorInfo> {
    file.tensors().iter().find(|tensor| tensor.format.block_len() > 1)
}

/// The model with its weights in this type, each made when it is asked for: no file is written,
/// and no more than one tensor is there in both forms.
pub(crate) fn while_loading(
    file: GgufFile,
    name: &str,
    threads: Option<usize>,
) -> Result<GgufFile> {
    let (file_type, id) = file_type(name)?;
    if let Some(tensor) = quantised(&file) {
        let (tensor, format) = (&tensor.name, tensor.format.name());
        let message = format!(
            "--quant {name} would add a second loss to the first: {tensor} is {format} already; \
             load it as it is, or start from weights in F16, BF16 or F32"
        );
        return Err(Error::new(ErrorKind::BadRequest, message));
    }
    let formats = formats(&file, file_type)?;
    let made = |(i, (tensor, format)): (usize, (&TensorInfo, FormatId))| {
        // Recipes only name formats that take whole rows.
        let row = format.row_bytes(tensor.k()).expect("whole rows") as u64;
        let size_bytes = row * tensor.n() as u64;
        TensorInfo { format, shard: 0, offset: i as u64, size_bytes, ..tensor.clone() }
    };
    let tensors = file.tensors().iter().zip(formats).enumerate().map(made).collect();
    let mut metadata = file.metadata().clone();
    metadata.insert("general.file_type", Value::U32(id));
    let files = (file.paths().to_vec(), file.size_bytes());
    let threads = threads_or_cores(threads);
    Ok(GgufFile::assembled(metadata, tensors, files, Box::new(Converted { file, threads })))
}

fn threads_or_cores(threads: Option<usize>) -> usize {
    threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// Tensors of a file in other formats: `offset` is the number of the file's own.
struct Converted {
    file: GgufFile,
    threads: usize,
}

impl TensorData for Converted {
    fn bytes(&self, tensor: &TensorInfo) -> Cow<'_, [u8]> {
        let source = &self.file.tensors()[tensor.offset as usize];
        if source.format == tensor.format {
            return self.file.bytes(source);
        }
        let never = AtomicBool::new(false);
        let job = Job { file: &self.file, threads: self.threads, cancelled: &never };
        let mut out = Vec::with_capacity(tensor.size_bytes as usize);
        let made = job.tensor(source, tensor.format, &mut out, &mut |_| ());
        made.expect("memory takes all, and nobody stops it");
        Cow::Owned(out)
    }

    fn release_pages(&self, tensor: &TensorInfo) {
        self.file.release_pages(&self.file.tensors()[tensor.offset as usize]);
    }
}

/// `model-F16.gguf` becomes `model-Q4_K_M.gguf`; of a folder `model`, beside it.
fn beside(source: &Path, name: &str) -> PathBuf {
    if source.is_dir() {
        let folder = source.canonicalize().unwrap_or_else(|_| source.to_owned());
        let stem = folder.file_name().unwrap_or_default().to_string_lossy();
        return folder.with_file_name(format!("{stem}-{name}.gguf"));
    }
    let stem = source.file_stem().unwrap_or_default().to_string_lossy();
    let plain = ["F32", "F16", "BF16", "f32", "f16", "bf16"].iter().find_map(|format| {
        let base = stem.strip_suffix(format)?;
        base.strip_suffix(['-', '.', '_'])
    });
    source.with_file_name(format!("{}-{name}.gguf", plain.unwrap_or(&stem)))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

fn fault(path: &Path, error: &io::Error) -> Error {
    Error::new(ErrorKind::Machine, format!("{}: {error}", path.display()))
}

/// The format of each tensor of the new file, in the order of the file.
fn formats(file: &GgufFile, file_type: FileType) -> Result<Vec<FormatId>> {
    let shape = shape(file.metadata())?;
    let changed: Vec<&TensorInfo> = file.tensors().iter().filter(|t| is_changed(t)).collect();
    let groups: Vec<TensorGroup> = changed.iter().map(|tensor| group(tensor)).collect();
    let mut types = changed.iter().zip(file_type.types(&shape, &groups));
    let format = |tensor: &TensorInfo| {
        if !is_changed(tensor) {
            return Ok(tensor.format);
        }
        let (_, wanted) = types.next().expect("one for each that is changed");
        let found = FormatId::from_name(wanted.name()).filter(|format| format.can_quantize());
        found.ok_or_else(|| {
            let (name, wanted) = (&tensor.name, wanted.name());
            let message = format!(
                "{} wants {wanted} for {name}, which cannot be made here",
                file_type.name()
            );
            Error::new(ErrorKind::BadRequest, message)
        })
    };
    file.tensors().iter().map(format).collect()
}

fn is_changed(tensor: &TensorInfo) -> bool {
    tensor.shape.len() > 1
        && tensor.name.ends_with(".weight")
        && !KEPT.iter().any(|part| tensor.name.contains(part))
}

fn group(tensor: &TensorInfo) -> TensorGroup {
    let mut parts = tensor.name.split('.');
    let (layer, part) = match (parts.next(), parts.next(), parts.next()) {
        (Some("blk"), Some(layer), Some(part)) => (layer.parse().ok(), part),
        (part, ..) => (None, part.unwrap_or_default()),
    };
    let rows = tensor.shape.iter().skip(1).product();
    TensorGroup { role: Role::of_matrix(part), layer, columns: tensor.shape[0], rows }
}

fn shape(metadata: &Metadata) -> Result<Shape> {
    let architecture = metadata.str("general.architecture")?.unwrap_or_default();
    let number = |key: &str| -> Result<u64> {
        // Where each layer has its own, the rules look at the first.
        let key = format!("{architecture}.{key}");
        if let Ok(Some(values)) = metadata.i32s(&key) {
            return Ok(values.first().and_then(|first| u64::try_from(*first).ok()).unwrap_or(0));
        }
        Ok(metadata.u64(&key)?.unwrap_or(0))
    };
    let heads = number("attention.head_count")?;
    let kv_heads = number("attention.head_count_kv")?;
    Ok(Shape {
        family: Family::from_architecture(architecture),
        layers: number("block_count")?,
        heads,
        kv_heads: if kv_heads == 0 { heads } else { kv_heads },
        experts: number("expert_count")?,
    })
}

/// The new file, whose tensors are made while it is written.
fn writer(file: &GgufFile, formats: &[FormatId], (file_type, id): (FileType, u32)) -> Writer {
    let mut writer = Writer::new();
    for (key, value) in file.metadata().iter() {
        // Of a file in parts one is made.
        if !key.starts_with("split.") {
            writer.metadata(key, value.clone());
        }
    }
    writer.metadata("general.file_type", Value::U32(id));
    if !matches!(file_type, FileType::F32 | FileType::F16 | FileType::BF16) {
        writer.metadata("general.quantization_version", Value::U32(2));
    }
    for (tensor, format) in file.tensors().iter().zip(formats) {
        writer.announce(&tensor.name, &tensor.shape, *format);
    }
    writer
}

/// Whether a file is one that this makes, or the beginning of one.
fn begins_as_gguf(path: &Path) -> bool {
    let mut magic = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4).read_to_end(&mut magic));
    read.is_ok() && b"GGUF".starts_with(&magic)
}

/// What every tensor is made with.
struct Job<'a> {
    file: &'a GgufFile,
    threads: usize,
    cancelled: &'a AtomicBool,
}

fn write(
    writer: &Writer,
    path: &Path,
    job: &Job<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<()> {
    let total = job.file.tensors().iter().map(|tensor| tensor.size_bytes).sum();
    let mut done = 0;
    let mut out = BufWriter::new(File::create(path)?);
    writer.write_with(&mut out, |name, format, out| {
        let tensor = job.file.tensor(name).expect("names come from the file");
        job.tensor(tensor, format, out, &mut |bytes| {
            done += bytes;
            progress(done, total);
        })?;
        job.file.release_pages(tensor);
        Ok(())
    })?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

impl Job<'_> {
    /// The rows of a tensor in a new format, some at a time on all threads.
    fn tensor(
        &self,
        tensor: &TensorInfo,
        format: FormatId,
        out: &mut dyn Write,
        done: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        let bytes = self.file.bytes(tensor);
        if format == tensor.format {
            out.write_all(&bytes)?;
            done(bytes.len() as u64);
            return Ok(());
        }
        let columns = usize::try_from(tensor.shape[0]).expect("checked when it was opened");
        let row = tensor.format.row_bytes(columns).expect("checked when it was opened");
        let rows = (PART_WEIGHTS / columns).max(1);
        for batch in bytes.chunks(rows * row * self.threads) {
            if self.cancelled.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let parts = std::thread::scope(|scope| {
                let part =
                    |bytes| scope.spawn(move || convert(bytes, tensor.format, format, columns));
                let parts: Vec<_> = batch.chunks(rows * row).map(part).collect();
                parts
                    .into_iter()
                    .map(|part| part.join().expect("it does not panic"))
                    .collect::<Vec<_>>()
            });
            parts.iter().try_for_each(|part| out.write_all(part))?;
            done(batch.len() as u64);
        }
        Ok(())
    }
}

/// Whole rows of `columns` weights.
fn convert(bytes: &[u8], from: FormatId, to: FormatId, columns: usize) -> Vec<u8> {
    let row = from.row_bytes(columns).expect("checked when it was opened");
    let mut weights = vec![0.0; bytes.len() / row * columns];
    from.dequantize_row(bytes, &mut weights);
    let made = to.row_bytes(columns).expect("announced with whole rows");
    let mut out = vec![0; weights.len() / columns * made];
    to.quantize_row(&weights, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use gguf::GgufFile;
    use quant::FormatId;
    use testkit::TinyModel;

    use super::{QuantizeOptions, beside, run};

    fn options(file_type: &str) -> QuantizeOptions {
        QuantizeOptions {
            file_type: file_type.to_owned(),
            to: None,
            again: false,
            replace: false,
            threads: Some(2),
        }
    }

    fn tiny(folder: &Path, format: FormatId) -> std::path::PathBuf {
        let path = folder.join("tiny-F32.gguf");
        TinyModel { d: 256, ffn: 512, format, ..TinyModel::default() }.write(&path);
        path
    }

    #[test]
    fn names_say_what_was_made() {
        for (source, wanted) in [
            ("/a/m-F16.gguf", "/a/m-Q6_K.gguf"),
            ("/a/m.bf16.gguf", "/a/m-Q6_K.gguf"),
            ("/a/m.gguf", "/a/m-Q6_K.gguf"),
            ("/a/RIF16.gguf", "/a/RIF16-Q6_K.gguf"),
        ] {
            assert_eq!(beside(Path::new(source), "Q6_K"), Path::new(wanted));
        }
    }

    #[test]
    fn weights_come_back_as_near_as_their_format_holds_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = tiny(folder.path(), FormatId::F32);
        let before = GgufFile::open(&source).expect("a model");
        // Root mean square errors of the formats, see quant's round trips, and a little more.
        for (name, main, bound) in [
            ("q8_0", FormatId::Q8_0, 0.006),
            ("Q6_K", FormatId::Q6K, 0.02),
            ("q4_k_m", FormatId::Q4K, 0.085),
            ("Q4_0", FormatId::Q4_0, 0.10),
            ("bf16", FormatId::BF16, 0.002),
        ] {
            let mut told = (0, 0);
            let report = run(&source, &options(name), &AtomicBool::new(false), &mut |done, of| {
                told = (done, of);
            });
            let report = report.expect(name);
            assert!(told.0 == told.1 && told.1 > 0, "{name}: {told:?}");
            let after = GgufFile::open(&report.path).expect("a model");
            assert_eq!(after.size_bytes(), report.size_bytes.1);
            assert_eq!(after.tensor("blk.0.ffn_gate.weight").expect("it").format, main, "{name}");
            assert_eq!(after.tensors().len(), before.tensors().len());
            for tensor in before.tensors() {
                let found = after.tensor(&tensor.name).expect("every tensor");
                let values = |file: &GgufFile, of: &gguf::TensorInfo| {
                    let mut values = vec![0.0; of.shape.iter().product::<u64>() as usize];
                    of.format.dequantize_row(&file.bytes(of), &mut values);
                    values
                };
                let (wanted, found) = (values(&before, tensor), values(&after, found));
                let squares = |x: f32| f64::from(x).powi(2);
                let wrong: f64 = wanted.iter().zip(&found).map(|(a, b)| squares(a - b)).sum();
                let error = (wrong / wanted.iter().map(|x| squares(*x)).sum::<f64>()).sqrt();
                assert!(error <= bound, "{name} {}: {error}", tensor.name);
                assert!(tensor.shape.len() > 1 || error == 0.0, "norms stay: {}", tensor.name);
            }
        }
    }

    #[test]
    fn what_cannot_be_made_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = tiny(folder.path(), FormatId::F32);
        let refused = |source: &Path, options: &QuantizeOptions, expected: &str| {
            let error = run(source, options, &AtomicBool::new(false), &mut |_, _| {});
            let message = error.expect_err(expected).message;
            assert!(message.contains(expected), "{message}");
        };
        refused(&source, &options("Q7_X"), "Q7_X cannot be made here; these can: F32, F16, Q4_0");
        refused(&source, &options("IQ1_S"), "IQ1_S cannot be made here");
        refused(
            &source,
            &QuantizeOptions { to: Some(source.clone()), ..options("Q8_0") },
            "--replace",
        );
        let onto = QuantizeOptions { to: Some(source.clone()), replace: true, ..options("Q8_0") };
        refused(&source, &onto, "cannot be replaced while it is read");
        let part = folder.path().join("x.gguf.part");
        std::fs::rename(&source, &part).expect("it is there");
        let to = QuantizeOptions { to: Some(folder.path().join("x.gguf")), ..options("Q8_0") };
        refused(&part, &to, "x.gguf.part cannot be replaced while it is read");
        std::fs::rename(&part, &source).expect("it is there");
        let other = folder.path().join("tokenizer.json");
        std::fs::write(&other, "{}").expect("room");
        let onto = QuantizeOptions { to: Some(other.clone()), replace: true, ..options("Q8_0") };
        refused(&source, &onto, "tokenizer.json is no GGUF file and is not replaced");
        std::fs::remove_file(&other).expect("it is there");
        let onto = QuantizeOptions { to: Some(folder.path().into()), ..onto };
        refused(&source, &onto, "is a folder: name a file in it");
        let stopped = run(&source, &options("Q8_0"), &AtomicBool::new(true), &mut |_, _| {});
        assert!(stopped.expect_err("it was cancelled").message.contains("was not made"));
        assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 1);
        let quantised = tiny(folder.path(), FormatId::Q8_0);
        refused(&quantised, &options("Q4_0"), "is quantised already (token_embd.weight is Q8_0)");
        let again = QuantizeOptions { again: true, ..options("Q4_0") };
        run(&quantised, &again, &AtomicBool::new(false), &mut |_, _| {}).expect("--again takes it");
    }
}
