//! The package client: `pip download` as a child process whose output is read line by line.
//! The person's own pip settings (mirror, proxy, certificates) apply, which is the point of it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};

use guard::Permit;

use crate::limits::{
    KILL_LOOKS_MAX, LINE_LEN_MAX, PIP_LOOK_INTERVAL, PIP_RETRIES, WATCHED_FILES_MAX,
};
use crate::{Error, Result};

/// Which package, and where to.
#[derive(Clone, Copy, Debug)]
pub struct PackageRequest<'a> {
    /// Python whose pip is asked, e.g. `python3`.
    pub python: &'a str,
    /// Name of the package.
    pub package: &'a str,
    /// Its version.
    pub version: &'a str,
    /// An empty folder; the wheel and what pip needs on the way are written there.
    pub dir: &'a Path,
}

/// What a running client tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PipEvent {
    /// A line it printed.
    Line(String),
    /// Bytes of the largest file it is writing.
    Bytes(u64),
}

/// Fetches one wheel and returns its path. The client is killed when `cancelled` becomes true.
///
/// # Errors
/// When the permit is for something else, pip is missing, fails, or is stopped.
pub fn pip_download(
    permit: &Permit,
    request: &PackageRequest<'_>,
    cancelled: &AtomicBool,
    on_event: &mut dyn FnMut(PipEvent),
) -> Result<PathBuf> {
    if !permit.covers_package(request.package) {
        let what = format!("fetching the package {}", request.package);
        return Err(Error::NotPermitted { what });
    }
    let mut child = Running { child: start(request)? };
    let lines = lines_of(&mut child.child);
    let said = match watch(&lines, request.dir, cancelled, on_event) {
        Ok(said) => said,
        Err(error) => {
            drop(child);
            wait_for_end(&lines);
            return Err(error);
        }
    };
    let status = child.child.wait().map_err(|error| Error::Pip { line: error.to_string() })?;
    // A Ctrl-C reaches the client as well, and may do so first.
    if cancelled.load(Ordering::Relaxed) {
        return Err(Error::Cancelled);
    }
    if !status.success() {
        let line = last_word(&said).unwrap_or_else(|| format!("it ended with {status}"));
        return Err(Error::Pip { line });
    }
    wheel_in(request.dir).ok_or_else(|| Error::WheelMissing { dir: request.dir.to_owned() })
}

/// Kills the child, with all that it has started, when it is left behind.
struct Running {
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A child that was waited for has given its id back: it may be another's by now.
        if matches!(self.child.try_wait(), Ok(None)) {
            kill_group(&self.child);
        }
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `python3` may be a shim that runs Python as a child of its own.
#[cfg(unix)]
fn kill_group(child: &Child) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(Err(error)) = pid.map(|pid| kill_process_group(pid, Signal::KILL)) {
        tracing::warn!(%error, "the package client may be running on");
    }
}

#[cfg(not(unix))]
fn kill_group(_: &Child) {}

/// Until nobody holds the output any more, so that nothing is written after this; bounded.
fn wait_for_end(lines: &Receiver<String>) {
    for _ in 0..KILL_LOOKS_MAX {
        if let Err(RecvTimeoutError::Disconnected) = lines.recv_timeout(PIP_LOOK_INTERVAL) {
            return;
        }
    }
    tracing::warn!("the package client does not end");
}

fn start(request: &PackageRequest<'_>) -> Result<Child> {
    let PackageRequest { python, package, version, dir } = request;
    #[expect(clippy::disallowed_methods, reason = "the package client is started here only")]
    let mut command = Command::new(python);
    command
        .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"])
        .args(["--no-input", "--disable-pip-version-check", "--progress-bar", "off"])
        .args(["--retries", PIP_RETRIES, "-d"])
        .arg(dir)
        .arg(format!("{package}=={version}"))
        // pip writes to its temporary folder first: there it is watched, and no other disk fills.
        .env("TMPDIR", dir)
        .env("PYTHONUNBUFFERED", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // A group of its own, so that all of it can be ended.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().map_err(|source| Error::PythonMissing { program: (*python).to_owned(), source })
}

fn lines_of(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = sync_channel(64);
    if let Some(out) = child.stdout.take() {
        read_lines(out, sender.clone());
    }
    if let Some(err) = child.stderr.take() {
        read_lines(err, sender);
    }
    lines
}

fn read_lines(from: impl Read + Send + 'static, to: SyncSender<String>) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        loop {
            line.clear();
            match from.by_ref().take(LINE_LEN_MAX).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    if to.send(text).is_err() {
                        return;
                    }
                }
            }
        }
    });
}

/// The meaningful lines, once the client has closed its output.
fn watch(
    lines: &Receiver<String>,
    dir: &Path,
    cancelled: &AtomicBool,
    on_event: &mut dyn FnMut(PipEvent),
) -> Result<Vec<String>> {
    let mut said = Vec::new();
    let mut known_bytes = 0;
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        match lines.recv_timeout(PIP_LOOK_INTERVAL) {
            Ok(line) => {
                tracing::debug!(line, "pip");
                if is_meaningful(&line) {
                    said.push(line.clone());
                    if said.len() > 32 {
                        said.remove(0);
                    }
                }
                on_event(PipEvent::Line(line));
            }
            Err(RecvTimeoutError::Timeout) => {
                let bytes = largest_file_bytes(dir);
                if bytes > known_bytes {
                    known_bytes = bytes;
                    on_event(PipEvent::Bytes(bytes));
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(said),
        }
    }
}

fn is_meaningful(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("[notice]")
}

/// pip's own verdict: the last `ERROR:` line, else the last line of all. It calls a package missing
/// also when its index could not be reached; that is added.
fn last_word(said: &[String]) -> Option<String> {
    let verdict = said.iter().rev().find(|line| line.starts_with("ERROR:"));
    let line = verdict.or(said.last())?;
    let line = line.trim_start_matches("ERROR:").trim();
    let is_unreached = said.iter().any(|line| line.starts_with("WARNING: Retrying"));
    let why = if is_unreached { " (its package index could not be reached)" } else { "" };
    Some(format!("{line}{why}"))
}

fn largest_file_bytes(dir: &Path) -> u64 {
    let mut largest = 0;
    let mut folders = vec![dir.to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        // pip makes and removes folders meanwhile: what cannot be read is gone.
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > WATCHED_FILES_MAX {
                return largest;
            }
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) => largest = largest.max(meta.len()),
                Err(_) => {}
            }
        }
    }
    largest
}

fn wheel_in(dir: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths.find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

#[cfg(test)]
mod tests {
    use super::last_word;

    fn check(said: &[&str], expect: Option<&str>) {
        let said: Vec<String> = said.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(last_word(&said).as_deref(), expect);
    }

    #[test]
    fn the_last_word_is_the_verdict() {
        check(&[], None);
        check(
            &["Collecting x", "ERROR: no such version", "ERROR: none found", "hint: look"],
            Some("none found"),
        );
        check(
            &["WARNING: Retrying (Retry(total=1))", "ERROR: none found"],
            Some("none found (its package index could not be reached)"),
        );
        check(
            &["/usr/bin/python3: No module named pip"],
            Some("/usr/bin/python3: No module named pip"),
        );
    }
}
