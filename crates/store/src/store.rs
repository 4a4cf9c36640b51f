//! The store itself: what is there, what a word means, taking in, checking and removing.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::blobs::{self, Blobs, Hashed};
use crate::catalog::{self, CATALOG, CatalogRow};
use crate::hub::HubSpec;
use crate::limits::MANIFESTS_MAX;
use crate::manifest::{Entry, EntryFile, Manifest, Origin};
use crate::name::{self, Name};
use crate::{Error, Result, local};

/// A folder of models. Opening one touches no disk; the folders are made when something comes.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    pub(crate) blobs: Blobs,
}

/// What a word on the command line means.
#[derive(Clone, Debug)]
pub enum ModelSource {
    /// A file, or the folder of a checkpoint, somewhere on this machine.
    File(PathBuf),
    /// A model of the store.
    Entry(Entry),
    /// A known model that is not here: pull it.
    Catalog(&'static CatalogRow),
    /// A hub's repository that is not here: pull it.
    Hub(HubSpec),
}

impl Store {
    /// The store in `home`, hob's own folder: everything is below `home/models`.
    ///
    /// # Errors
    /// When something else stands where the folder should be.
    pub fn open(home: &Path) -> Result<Store> {
        let root = home.join("models");
        if root.exists() && !root.is_dir() {
            let why = "a file stands where the folder of models should be: move it away";
            return Err(Error::NoFile { path: root, why });
        }
        Ok(Store { blobs: Blobs::new(root.join("blobs")), root })
    }

    /// Every model, by name. A damaged manifest is left out with a warning in the log.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let dir = self.root.join("manifests");
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("reading", &dir, error)),
        };
        let mut list = Vec::new();
        for entry in entries.flatten().take(MANIFESTS_MAX) {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match Manifest::read(&path) {
                Ok(manifest) => list.push(self.entry(manifest)),
                Err(error) => tracing::warn!(%error, "left out"),
            }
        }
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(list)
    }

    /// The model of that name, or of the catalogue's first name for it; none when it is not here.
    ///
    /// # Errors
    /// When its manifest or its file is damaged.
    pub fn find(&self, name: &str) -> Result<Option<Entry>> {
        let Ok(name) = Name::parse(name) else { return Ok(None) };
        let name = canonical(name)?;
        let path = self.manifest_path(&name);
        match Manifest::read(&path) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
            Ok(manifest) => self.checked(self.entry(manifest)).map(Some),
        }
    }

    /// What `spec` means: a file, a model of the store, a known name, a hub's repository; in this
    /// order.
    ///
    /// # Errors
    /// When it means nothing: with the known names, the nearest one and how to import.
    pub fn resolve(&self, spec: &str) -> Result<ModelSource> {
        let path = Path::new(spec);
        if path.is_file() || checkpoint::is_checkpoint(path) {
            return Ok(ModelSource::File(path.to_owned()));
        }
        if let Some(entry) = self.find(spec)? {
            return Ok(ModelSource::Entry(entry));
        }
        self.resolve_absent(spec)
    }

    /// What `spec` means where it is not in the store.
    pub(crate) fn resolve_absent(&self, spec: &str) -> Result<ModelSource> {
        let path = Path::new(spec);
        if let Some(row) = catalog::find(&spec.to_ascii_lowercase()) {
            return Ok(ModelSource::Catalog(row));
        }
        if is_path_like(spec) {
            let is_folder = path.is_dir();
            let why = match is_folder {
                true => "it is a folder without config.json: name a GGUF file or a checkpoint",
                false => "there is no such file",
            };
            return Err(Error::NoFile { path: path.to_owned(), why });
        }
        if let Some(hub) = HubSpec::parse(spec) {
            return Ok(ModelSource::Hub(hub));
        }
        Err(self.not_found(spec))
    }

    /// Takes in a file under a name, without moving it; further files of a split come along.
    ///
    /// # Errors
    /// When the name or the file is none, or the name is taken by other bytes.
    pub fn import(
        &self,
        path: &Path,
        name: &str,
        now_unix_s: u64,
        cancelled: &AtomicBool,
    ) -> Result<Entry> {
        let name = canonical(Name::parse(name)?)?;
        if !path.is_file() {
            let is_folder = path.is_dir();
            let why =
                if is_folder { "it is a folder: name a file" } else { "there is no such file" };
            return Err(Error::NoFile { path: path.to_owned(), why });
        }
        let paths = local::with_siblings(path)?;
        let known = self.find(name.as_str())?;
        paths.iter().try_for_each(|path| local::check_is_gguf(path))?;
        // Nothing that is cut short or cannot run comes under a name.
        gguf::GgufFile::open(&paths[0])?;
        self.make_folders()?;
        let mut files = Vec::new();
        for (at, path) in paths.iter().enumerate() {
            let found = local::hashed(path, cancelled)?;
            if let Some(known) = &known
                && known.files.get(at).is_none_or(|file| file.sha256 != found.hashed.sha256)
            {
                return Err(Error::NameTaken { name: name.as_str().to_owned() });
            }
            files.push(self.take_in(&found, cancelled)?);
        }
        let source = format!("imported from {}", path.display());
        self.register(&name, files, Origin { source, added_unix_s: now_unix_s })
    }

    /// Forgets a model; its bytes go when no other name has them. Says whether it was there.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn remove(&self, name: &str) -> Result<bool> {
        let name = canonical(Name::parse(name)?)?;
        let path = self.manifest_path(&name);
        if !path.exists() {
            return Ok(false);
        }
        // A damaged manifest is removed as well; its bytes stay, since nobody knows which they are.
        let files = Manifest::read(&path).map(|manifest| manifest.files).unwrap_or_default();
        blobs::remove_file(&path)?;
        let split = self.split_dir(&name);
        if split.is_dir() {
            std::fs::remove_dir_all(&split).map_err(|e| Error::io("removing", &split, e))?;
        }
        let others = self.list()?;
        for file in files {
            let is_used = |entry: &Entry| entry.files.iter().any(|f| f.sha256 == file.sha256);
            if !others.iter().any(is_used) {
                blobs::remove_file(&self.blobs.path(&file.sha256))?;
            }
        }
        Ok(true)
    }

    /// Hashes every byte of a model again.
    ///
    /// # Errors
    /// When the model is not here or not what it was.
    pub fn verify(&self, name: &str, cancelled: &AtomicBool) -> Result<Entry> {
        let entry = self.find(name)?.ok_or_else(|| self.not_found(name))?;
        for file in &entry.files {
            let path = self.blobs.path(&file.sha256);
            let found = blobs::hash_file(&path, cancelled)?;
            if found.sha256 != file.sha256 {
                let why = format!("its SHA-256 is {}", found.sha256);
                return Err(Error::Damaged { name: entry.name, path, why });
            }
        }
        Ok(entry)
    }

    pub(crate) fn make_folders(&self) -> Result<()> {
        blobs::make_folder(self.blobs.dir())?;
        blobs::make_folder(&self.root.join("manifests"))?;
        blobs::make_folder(&self.locks_dir())
    }

    pub(crate) fn locks_dir(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// Makes a found file a blob.
    pub(crate) fn take_in(
        &self,
        found: &local::Found,
        cancelled: &AtomicBool,
    ) -> Result<EntryFile> {
        let local::Found { name, real, hashed } = found;
        self.blobs.adopt(real, hashed, cancelled)?;
        let Hashed { sha256, bytes } = hashed.clone();
        Ok(EntryFile { name: name.clone(), sha256, bytes })
    }

    /// Writes down a model whose blobs are all there.
    pub(crate) fn register(
        &self,
        name: &Name,
        files: Vec<EntryFile>,
        origin: Origin,
    ) -> Result<Entry> {
        assert!(!files.is_empty(), "a model has at least one file");
        if files.len() > 1 {
            self.name_split(name, &files)?;
        }
        let manifest = Manifest::new(name.as_str(), files, origin);
        manifest.write(&self.manifest_path(name))?;
        Ok(self.entry(manifest))
    }

    pub(crate) fn not_found(&self, spec: &str) -> Error {
        let stored = self.list().unwrap_or_default().into_iter().map(|entry| entry.name);
        let listed = CATALOG.iter().map(|row| row.names[0].to_owned());
        let mut known: Vec<String> = stored.chain(listed).collect();
        known.sort();
        known.dedup();
        let nearest = name::nearest(spec, known.iter().map(String::as_str)).map(str::to_owned);
        Error::NotFound { spec: spec.to_owned(), nearest, known }
    }

    /// The files of a split need their own names side by side: `splits/NAME/FILE`.
    fn name_split(&self, name: &Name, files: &[EntryFile]) -> Result<()> {
        let dir = self.split_dir(name);
        blobs::make_folder(&dir)?;
        for file in files {
            let path = dir.join(&file.name);
            blobs::remove_file(&path)?;
            let blob = self.blobs.path(&file.sha256);
            std::fs::hard_link(&blob, &path)
                .or_else(|_| std::fs::copy(&blob, &path).map(|_| ()))
                .map_err(|error| Error::io_needing("writing", &path, error, Some(file.bytes)))?;
        }
        Ok(())
    }

    fn manifest_path(&self, name: &Name) -> PathBuf {
        self.root.join("manifests").join(format!("{}.json", name.file_stem()))
    }

    fn split_dir(&self, name: &Name) -> PathBuf {
        self.root.join("splits").join(name.file_stem())
    }

    fn entry(&self, manifest: Manifest) -> Entry {
        let Manifest { name, files, source, added_unix_s, .. } = manifest;
        let first = files.first().expect("a manifest was checked to list a file");
        let path = match Name::parse(&name) {
            Ok(name) if files.len() > 1 => self.split_dir(&name).join(&first.name),
            _ => self.blobs.path(&first.sha256),
        };
        let sha256 = first.sha256.clone();
        let size_bytes = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.bytes));
        Entry { name, path, files, size_bytes, sha256, added_unix_s, source }
    }

    /// That its files are there, in full length.
    fn checked(&self, entry: Entry) -> Result<Entry> {
        for file in &entry.files {
            let hashed = Hashed { sha256: file.sha256.clone(), bytes: file.bytes };
            if !self.blobs.has(&hashed) {
                let path = self.blobs.path(&file.sha256);
                let why = format!("it should be a file of {} bytes", file.bytes);
                return Err(Error::Damaged { name: entry.name, path, why });
            }
        }
        Ok(entry)
    }
}

/// The catalogue's first name where it knows several.
pub(crate) fn canonical(name: Name) -> Result<Name> {
    match catalog::find(name.as_str()) {
        Some(row) => Name::parse(row.names[0]),
        None => Ok(name),
    }
}

/// Whether someone who writes this means a file.
fn is_path_like(spec: &str) -> bool {
    let is_file_name = spec.to_ascii_lowercase().ends_with(".gguf") && !spec.contains(':');
    let is_rooted = spec.starts_with(['/', '.', '~', '\\']);
    is_rooted || is_file_name || spec.contains('\\') || Path::new(spec).is_dir()
}
