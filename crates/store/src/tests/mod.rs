//! The store against a loopback hub with faults, a stand-in for pip and other programs' folders.

mod hub;
mod row;
mod server;
mod shelf;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use guard::Policy;
use sha2::{Digest, Sha256};

use crate::{Entry, Places, PullEvent, PullOptions, Result, Store};

/// Bytes that look like a model's and differ with `seed` everywhere but in the magic.
fn model_bytes(seed: u8, len: usize) -> Vec<u8> {
    let filler = (0..len).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0] ^ seed);
    b"GGUF".iter().copied().chain(filler.skip(4)).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A home folder with a store, and what was told.
struct Bench {
    home: tempfile::TempDir,
    store: Store,
    cancelled: AtomicBool,
}

impl Bench {
    fn new() -> Bench {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        Bench { home, store, cancelled: AtomicBool::new(false) }
    }

    fn options(&self, endpoint: &str) -> PullOptions<'_> {
        PullOptions {
            hub_endpoint: endpoint.to_owned(),
            proxy: None,
            python: None,
            places: Places { user_home: Some(self.path("user")), ..Places::default() },
            policy: Policy::default(),
            now_unix_s: 7,
            cancelled: &self.cancelled,
        }
    }

    fn pull(&self, spec: &str, endpoint: &str) -> (Result<Entry>, Vec<PullEvent>) {
        let mut told = Vec::new();
        let entry = self.store.pull(spec, &self.options(endpoint), &mut |event| told.push(event));
        (entry, told)
    }

    fn path(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    fn write(&self, below: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Names in the folder of blobs.
    fn blobs(&self) -> Vec<String> {
        names_in(self.store.blobs.dir())
    }
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn whys(told: &[PullEvent]) -> Vec<&str> {
    let failed = told.iter().filter_map(|event| match event {
        PullEvent::SourceFailed { why, .. } => Some(why.as_str()),
        _ => None,
    });
    failed.collect()
}
