//! Why it is slow, or not running: reads this machine's files, asks NVIDIA's library, adds what hob
//! knows of itself, and leaves the judgement to `planner::doctor`.

mod nvidia;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use gguf::GgufFile;
use planner::doctor::{self, Diagnosis, Facts, House, Loading, ModelFile, Node, Source};
use store::{Entry, Store};

use crate::{App, Result};

/// Most that is read of any file: firmware tables and lists of sockets are smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest folder that is looked through, e.g. of a process's open files.
const NAMES_MAX: usize = 65_536;
/// What hob can compute with, as `--backend` takes it.
const BACKENDS: [&str; 2] = ["cpu", "reference"];

/// Tokens that begin or end a turn of a conversation. Those of templates that spell their marks in
/// plain letters are not among them, as no vocabulary has them.
const TURN_TOKENS: &[&str] = &[
    "<end_of_turn>",
    "<start_of_turn>",
    "<|END_OF_TURN_TOKEN|>",
    "<|START_OF_TURN_TOKEN|>",
    "<|channel|>",
    "<|eot_id|>",
    "<|header_start|>",
    "<|im_end|>",
    "<|im_start|>",
    "<|start_header_id|>",
    "<|turn>",
    "<｜Assistant｜>",
    "<｜User｜>",
];

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub struct DoctorOptions {
    /// Port of `hob serve`.
    pub port: u16,
    /// Reads every byte of every model and compares it with what was fetched.
    pub verify: bool,
}

impl App {
    /// Looks at this machine and at hob's folder. What cannot be read is in the answer, not an
    /// error.
    ///
    /// # Errors
    /// `Cancelled` when that was set while models were compared.
    pub fn doctor(&self, options: DoctorOptions, cancelled: &AtomicBool) -> Result<Diagnosis> {
        let house = self.house(options, cancelled)?;
        let mut facts = Facts::gather(&Root::new("/"), house);
        if let Some(gpus) = meter::Nvml::open() {
            nvidia::fill(&mut facts, gpus.as_ref());
        }
        Ok(doctor::diagnose(&facts))
    }

    fn house(&self, options: DoctorOptions, cancelled: &AtomicBool) -> Result<House> {
        let home = real_path(self.home());
        let offered = kernels_cpu::variants();
        let names = offered.iter().map(|variant| variant.short_name().to_owned());
        let kernels: Vec<String> = names.collect();
        // A calibration that cannot be read is as good as none; `hob fit` says what is wrong.
        let measured = self.calibration().ok().flatten();
        Ok(House {
            port: options.port,
            kernels: kernels.first().cloned(),
            kernels_offered: kernels,
            backend: Some("cpu".to_owned()),
            backends: BACKENDS.map(str::to_owned).to_vec(),
            loading: Some(Loading::Map),
            free_bytes: nearest(&home).and_then(|folder| store::available_space(folder).ok()),
            disk_gbs: measured.as_ref().and_then(|file| file.disk_gbs),
            bandwidth_gbs: measured.as_ref().map(|file| file.bandwidth_gbs),
            model: self.model_files(options.verify, cancelled)?,
            home: home.display().to_string(),
        })
    }

    /// None where the store cannot be read.
    fn model_files(&self, verify: bool, cancelled: &AtomicBool) -> Result<Option<Vec<ModelFile>>> {
        let Ok(store) = Store::open(self.home()) else { return Ok(None) };
        let Ok(entries) = store.list() else { return Ok(None) };
        let mut models = Vec::new();
        for entry in entries {
            let mut model = model_file(&entry);
            if verify {
                model.is_changed = is_changed(store.verify(&entry.name, cancelled))?;
            }
            models.push(model);
        }
        Ok(Some(models))
    }
}

/// Whether a model's bytes are others than those that were fetched; none where they could not be
/// read, which its headers tell already.
fn is_changed(verified: store::Result<Entry>) -> Result<Option<bool>> {
    let Err(error) = verified else { return Ok(Some(false)) };
    if matches!(error, store::Error::Cancelled) {
        return Err(error.into());
    }
    Ok(matches!(error, store::Error::Damaged { .. }).then_some(true))
}

/// A model by its headers.
fn model_file(entry: &Entry) -> ModelFile {
    let mut model = ModelFile {
        name: entry.name.clone(),
        size_bytes: entry.size_bytes,
        ..ModelFile::default()
    };
    let file = match GgufFile::open(&entry.path) {
        Ok(file) => file,
        Err(error) => {
            model.cut_short = cut_short(&error);
            model.error = Some(error.to_string());
            return model;
        }
    };
    // Metadata of another type than the format says is no template and no vocabulary.
    let text = |key: &str| file.metadata().str(key).ok().flatten();
    let template = text("tokenizer.chat_template");
    let strings = file.metadata().strings("tokenizer.ggml.tokens");
    let tokens = strings.ok().flatten();
    let is_token =
        |mark: &&&str| tokens.is_some_and(|tokens| tokens.iter().any(|token| token == **mark));
    let named =
        TURN_TOKENS.iter().filter(|mark| template.is_some_and(|text| text.contains(**mark)));
    let (known, missing): (Vec<&&str>, Vec<&&str>) = named.partition(is_token);
    let owned = |marks: &[&&str]| marks.iter().map(|mark| (**mark).to_owned()).collect::<Vec<_>>();
    model.is_chat = is_chat(&[&entry.name, text("general.name").unwrap_or_default()]);
    model.has_template = template.is_some();
    model.template_tokens_missing = owned(&missing);
    model.template_tokens = [owned(&known), owned(&missing)].concat();
    model
}

/// Makers say it in the name. Vocabularies do not tell: many base models have the tokens too.
fn is_chat(names: &[&str]) -> bool {
    names.iter().any(|name| {
        let name = name.to_ascii_lowercase();
        let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| matches!(word, "chat" | "instruct" | "it"))
    })
}

/// Bytes that are wanted and that are there.
fn cut_short(error: &gguf::Error) -> Option<(u64, u64)> {
    if let gguf::Error::File { fault, .. } = error {
        return cut_short(fault);
    }
    let gguf::Error::Truncated { needed, len } = error else { return None };
    Some((*needed, *len))
}

/// Without links, as far as it exists, so that mounts above it are found.
fn real_path(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let Some(existing) = nearest(&absolute) else { return absolute };
    let Ok(real) = existing.canonicalize() else { return absolute };
    match absolute.strip_prefix(existing) {
        Ok(rest) if rest.as_os_str().is_empty() => real,
        Ok(rest) => real.join(rest),
        Err(_) => absolute,
    }
}

/// The path itself or the nearest folder above it that exists.
fn nearest(path: &Path) -> Option<&Path> {
    path.ancestors().find(|path| path.exists())
}

/// A machine's files below a folder; this machine's below `/`.
pub(crate) struct Root {
    folder: PathBuf,
}

impl Root {
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Root {
        Root { folder: folder.into() }
    }

    fn place(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/'))
    }
}

impl Source for Root {
    fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let place = self.place(path);
        // Opening a pipe or a device could wait for ever.
        if !std::fs::metadata(&place).ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        std::fs::File::open(place).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.place(folder)) else { return Vec::new() };
        let names = entries.flatten().take(NAMES_MAX);
        let mut names: Vec<String> =
            names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    fn link(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(self.place(path)).ok()?;
        target.into_os_string().into_string().ok()
    }

    #[cfg(unix)]
    fn node(&self, path: &str) -> Option<Node> {
        use std::os::unix::fs::MetadataExt as _;
        let details = std::fs::metadata(self.place(path)).ok()?;
        Some(Node {
            path: path.to_owned(),
            mode: details.mode() & 0o7777,
            uid: details.uid(),
            gid: details.gid(),
        })
    }

    #[cfg(not(unix))]
    fn node(&self, _path: &str) -> Option<Node> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{DoctorOptions, FILE_BYTES_MAX, Root, is_chat, real_path};
    use crate::{App, Config};
    use planner::doctor::{Diagnosis, Facts, House, Source as _, diagnose};
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    fn app(home: &Path) -> App {
        let config = Config {
            home: home.to_owned(),
            user_home: None,
            hugging_face_cache: None,
            ollama_models: None,
            hub_endpoint: String::new(),
            proxy: None,
            python: None,
            offline: true,
        };
        App::new(config).unwrap()
    }

    fn ids(diagnosis: &Diagnosis) -> Vec<&str> {
        diagnosis.found.iter().map(|found| found.id).collect()
    }

    fn look(home: &Path, verify: bool) -> Diagnosis {
        let options = DoctorOptions { port: 1, verify };
        app(home).doctor(options, &AtomicBool::new(false)).unwrap()
    }

    /// Prints what is found here, for whoever runs it with `--nocapture`.
    #[test]
    fn this_machine_can_be_looked_at() {
        let home = tempfile::tempdir().unwrap();
        let diagnosis = look(home.path(), false);
        for found in &diagnosis.found {
            let report = &found.report;
            println!("{} {}: {}", report.severity.name(), found.id, report.what);
            println!("  why: {}\n  fix: {}", report.why, report.fix);
            if let Some(loss) = &report.loss {
                println!("  costs {loss}");
            }
        }
        let fine: Vec<&str> = diagnosis.fine.iter().map(|finding| finding.title).collect();
        println!("fine: {}", fine.join(", "));
        for (finding, what) in &diagnosis.unread {
            println!("not read: {} ({})", what, finding.title);
        }
        assert!(!diagnosis.fine.is_empty());
    }

    #[test]
    fn files_of_another_root_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &[u8]| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/meminfo", b"MemTotal: 1000 kB\nMemAvailable: 20 kB\n");
        write("proc/cpuinfo", &[0xff, 0xfe, b'\n']);
        write("proc/large", &vec![b'x'; 1 + FILE_BYTES_MAX as usize]);
        let root = Root::new(folder.path());
        let facts = Facts::gather(&root, House::default());
        assert_eq!(facts.memory.total_bytes, Some(1_024_000));
        assert_eq!(ids(&diagnose(&facts)), ["memory-low"]);
        assert_eq!(root.bytes("/proc/large").map(|bytes| bytes.len() as u64), Some(FILE_BYTES_MAX));
        assert_eq!(root.bytes("/proc"), None);
        assert_eq!(root.names("/proc"), ["cpuinfo", "large", "meminfo"]);
        assert!(root.names("/nowhere").is_empty() && root.link("/proc").is_none());
    }

    #[test]
    fn models_that_are_cut_short_changed_or_without_template() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tiny-instruct.gguf");
        std::fs::write(&file, testkit::TinyModel::default().gguf()).unwrap();
        let home = folder.path().join("home");
        let entry = app(&home).import(&file, None).unwrap();
        assert!(
            !ids(&look(&home, true))
                .iter()
                .any(|id| ["model-changed", "model-cut-short"].contains(id))
        );
        let mut bytes = std::fs::read(&entry.path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&entry.path, &bytes).unwrap();
        assert!(ids(&look(&home, true)).contains(&"model-changed"));
        assert!(!ids(&look(&home, false)).contains(&"model-changed"));
        std::fs::write(&entry.path, &bytes[..last / 2]).unwrap();
        assert!(ids(&look(&home, true)).contains(&"model-cut-short"));
        std::fs::write(&entry.path, b"<html>").unwrap();
        assert!(ids(&look(&home, false)).contains(&"model-unreadable"));
    }

    #[test]
    fn names_of_models_for_conversations() {
        for name in ["qwen2.5-0.5b-instruct", "gemma-3-4b-it", "Llama-2-7B-Chat"] {
            assert!(is_chat(&[name]), "{name}");
        }
        for name in ["smollm2", "gemma-3-4b-pt", "granite", "whitman"] {
            assert!(!is_chat(&[name]), "{name}");
        }
    }

    #[test]
    fn folders_that_do_not_exist_yet() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        assert_eq!(real_path(&folder.path().join("a/b")), real.join("a/b"));
        assert_eq!(real_path(folder.path()), real);
    }
}
