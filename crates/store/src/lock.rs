//! One hob at a time fetches a file: a lock on `locks/KEY.lock`, which names who holds it. The
//! system gives it back when its holder ends, however that comes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};

use crate::limits::LOOK_INTERVAL;
use crate::{Error, Result};

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    // Only there to be closed, which unlocks.
    _file: File,
}

/// What the one who waits is told: once who holds the lock, then again and again.
pub(crate) enum Waiting<'a> {
    Begins { holder: &'a str },
    Goes,
}

/// Takes the lock `key`; waits for another holder, telling `on_wait`.
///
/// # Errors
/// When it is stopped, or the file cannot be made.
pub(crate) fn take(
    dir: &Path,
    key: &str,
    cancelled: &AtomicBool,
    on_wait: &mut dyn FnMut(Waiting<'_>),
) -> Result<Lock> {
    let path = dir.join(format!("{key}.lock"));
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|error| Error::io("locking", &path, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            on_wait(Waiting::Begins { holder: &holder(&path) });
            return wait(file, &path, cancelled, on_wait);
        }
        // Some network disks have no locks: two at once then fetch twice, which harms nothing.
        Err(TryLockError::Error(error)) => tracing::warn!(%error, "this disk has no file locks"),
    }
    Ok(signed(file))
}

fn wait(
    file: File,
    path: &Path,
    cancelled: &AtomicBool,
    on_wait: &mut dyn FnMut(Waiting<'_>),
) -> Result<Lock> {
    let (sender, taken) = sync_channel(1);
    // When the one who waits gives up, the file is dropped here as soon as it is locked.
    std::thread::spawn(move || {
        let locked = file.lock().map(|()| file);
        let _ = sender.send(locked);
    });
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        match taken.recv_timeout(LOOK_INTERVAL) {
            Ok(Ok(file)) => return Ok(signed(file)),
            Ok(Err(error)) => return Err(Error::io("locking", path, error)),
            Err(RecvTimeoutError::Timeout) => on_wait(Waiting::Goes),
            Err(RecvTimeoutError::Disconnected) => {
                let error = std::io::Error::other("the waiting thread ended");
                return Err(Error::io("locking", path, error));
            }
        }
    }
}

/// Writes down who holds it; only a help for people, so that failing does no harm.
fn signed(mut file: File) -> Lock {
    let sign = |file: &mut File| -> std::io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "process {}", std::process::id())
    };
    if let Err(error) = sign(&mut file) {
        tracing::debug!(%error, "the lock is not signed");
    }
    Lock { _file: file }
}

fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_string(&mut text));
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
    if read.is_ok() && !text.is_empty() && is_plain { text } else { "another process".to_owned() }
}
